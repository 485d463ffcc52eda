/* spool - see spool.h
 *
 * The keeper: it knows where each frame goes (spool_index), gives it to the thread that writes
 * (spool_writer), and asks for the deletion of segments nobody needs. The formats are in spool_frame.h. */
#include "node/spool.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/spool_disk.h"
#include "node/spool_frame.h"
#include "node/spool_index.h"
#include "node/spool_recover.h"
#include "node/spool_segment.h"
#include "node/spool_writer.h"

#define SEGMENT_SIZE ((uint64_t)256 << 20)
#define SEGMENT_SIZE_MIN 4096
#define RESERVE ((uint64_t)64 << 20)

struct spool {
    struct spool_disk disk;
    uint64_t segment_size;
    uint64_t last_seq;
    struct spool_writer *writer;
    /* Over the index, which the owner changes and readers ask. */
    pthread_mutex_t *lock;
    struct spool_index index;
    bool closed; /* the newest segment takes no more: the next frame begins another */
};

/* Asks for the deletion of the oldest segments in which nothing lives. The deletion waits for everything
 * appended so far: a restated base record and the word that a message is done are then on the disk before
 * what they replace goes. */
static void retire(struct spool *spool)
{
    struct spool_removal removal = {.after = spool->last_seq};
    for (;;) {
        pthread_mutex_lock(spool->lock);
        bool retired = spool_index_retire(&spool->index, &removal.number, &removal.aside);
        pthread_mutex_unlock(spool->lock);
        if (!retired)
            return;
        spool_writer_remove(spool->writer, removal);
    }
}

static int start(struct spool *spool, const struct spool_settings *settings,
    const struct spool_listener *listener, const struct spool_recovery *recovery, struct error *error)
{
    struct spool_writer_settings writer = {
        .disk = &spool->disk, .listener = *listener, .segment_size = spool->segment_size};
    static const struct spool_recovery silent;
    if (spool_recover(
            &spool->disk, recovery == NULL ? &silent : recovery, &spool->index, &writer.tail, error) < 0)
        return -1;
    spool->last_seq = writer.tail.seq;
    if (recovery == NULL || recovery->from == NULL)
        spool->index.keep_from = UINT64_MAX;
    spool->closed = writer.tail.number == 0;
    writer.reserve = settings->reserve == 0 ? RESERVE : settings->reserve;
    spool->writer = spool_writer_start(&writer, error);
    return spool->writer == NULL ? -1 : 0;
}

static void spool_free(struct spool **spool)
{
    struct spool *s = *spool;
    *spool = NULL;
    spool_writer_free(&s->writer);
    spool_index_free(&s->index);
    spool_disk_close(&s->disk);
    pthread_mutex_destroy(s->lock);
    free(s->lock);
    free(s);
}

struct spool *spool_open(const struct spool_settings *settings, const struct spool_listener *listener,
    const struct spool_recovery *recovery, struct error *error)
{
    uint64_t segment_size = settings->segment_size == 0 ? SEGMENT_SIZE : settings->segment_size;
    if (segment_size < SEGMENT_SIZE_MIN || segment_size > SPOOL_SEGMENT_MAX) {
        error_set(error, "spool %s: a segment of %" PRIu64 " bytes; allowed are %d to %" PRIu64,
            settings->dir, segment_size, SEGMENT_SIZE_MIN, SPOOL_SEGMENT_MAX);
        return NULL;
    }
    struct spool *spool = xcalloc(1, sizeof *spool);
    spool->segment_size = segment_size;
    spool->lock = xmalloc(sizeof *spool->lock);
    pthread_mutex_init(spool->lock, NULL);
    if (spool_disk_open(&spool->disk, settings->dir, error) < 0 ||
        start(spool, settings, listener, recovery, error) < 0) {
        spool_free(&spool);
        return NULL;
    }
    retire(spool);
    return spool;
}

void spool_close(struct spool **spool)
{
    if (*spool != NULL)
        spool_free(spool);
}

const char *spool_disk_id(const struct spool *spool)
{
    return spool->disk.id_text;
}

uint64_t spool_last_seq(const struct spool *spool)
{
    return spool->last_seq;
}

/* Where a frame of `size` goes: behind the last one, or into a new segment. */
static const struct spool_part *place(struct spool *spool, uint64_t seq, uint64_t size, bool base)
{
    struct spool_part *part = spool_index_newest(&spool->index);
    bool full = part != NULL && part->end > SEGMENT_HEAD && part->end + size > spool->segment_size;
    if (part == NULL || full || spool->closed) {
        part = spool_index_begin(&spool->index, part == NULL ? 1 : part->number + 1);
        spool->closed = false;
    }
    uint64_t offset = part->end;
    part->last = seq;
    spool_index_extend(&spool->index, offset + size);
    if (base)
        spool_index_put(&spool->index, seq, offset, size);
    return part;
}

void spool_append(struct spool *spool, uint64_t seq, struct buffer *record, struct blob *body, bool base)
{
    size_t len = buffer_len(record), body_len = body == NULL ? 0 : body->len;
    must(seq > spool->last_seq);
    must(len <= FRAME_RECORD_MAX && body_len <= FRAME_BODY_MAX);
    pthread_mutex_lock(spool->lock);
    uint64_t segments = spool->index.count;
    uint64_t segment = place(spool, seq, frame_size(len, body_len), base)->number;
    bool rotated = spool->index.count != segments;
    pthread_mutex_unlock(spool->lock);
    spool->last_seq = seq;
    spool_writer_append(spool->writer, seq, segment, record, body, base);
    buffer_clear(record);
    if (rotated)
        retire(spool);
}

int spool_read(struct spool *spool, uint64_t seq, struct blob **body_r, struct error *error)
{
    uint64_t number, offset;
    pthread_mutex_lock(spool->lock);
    bool found = spool_index_find(&spool->index, seq, &number, &offset);
    pthread_mutex_unlock(spool->lock);
    *body_r = NULL;
    if (!found)
        return error_set(
            error, "spool %s: frame %" PRIu64 " is no base record that lives here", spool->disk.path, seq);
    if (seq > spool_writer_committed(spool->writer))
        return error_set(error,
            "spool %s: frame %" PRIu64 " is not on the disk yet; keep its body until it is committed",
            spool->disk.path, seq);
    return spool_segment_read(&spool->disk, number, offset, seq, body_r, error);
}

void spool_release(struct spool *spool, uint64_t seq)
{
    pthread_mutex_lock(spool->lock);
    bool released = spool_index_release(&spool->index, seq);
    pthread_mutex_unlock(spool->lock);
    if (released)
        retire(spool);
}

void spool_keep_from(struct spool *spool, uint64_t seq)
{
    pthread_mutex_lock(spool->lock);
    bool later = seq > spool->index.keep_from;
    if (later)
        spool->index.keep_from = seq;
    pthread_mutex_unlock(spool->lock);
    if (later)
        retire(spool);
}

uint64_t spool_untidy(struct spool *spool)
{
    pthread_mutex_lock(spool->lock);
    uint64_t seq = spool_index_untidy(&spool->index);
    pthread_mutex_unlock(spool->lock);
    return seq;
}

enum spool_room spool_room(const struct spool *spool)
{
    return spool_writer_room(spool->writer);
}

struct spool_figures spool_figures(const struct spool *spool)
{
    struct spool_figures figures = {0};
    pthread_mutex_lock(spool->lock);
    figures.bytes = spool->index.bytes;
    figures.segments = spool->index.count;
    figures.live = spool->index.live;
    pthread_mutex_unlock(spool->lock);
    spool_writer_figures(spool->writer, &figures);
    return figures;
}
