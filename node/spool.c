/* spool - see spool.h
 *
 * The keeper: it knows where each frame goes (spool_index), gives it to the thread that writes
 * (spool_writer), lets no text be written twice (spool_texts), and asks for the deletion of segments nobody
 * needs. The formats are in spool_frame.h. */
#include "node/spool.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "node/spool_back.h"
#include "node/spool_disk.h"
#include "node/spool_frame.h"
#include "node/spool_index.h"
#include "node/spool_reader.h"
#include "node/spool_recover.h"
#include "node/spool_segment.h"
#include "node/spool_texts.h"
#include "node/spool_writer.h"

#define SEGMENT_SIZE ((uint64_t)256 << 20)
#define SEGMENT_SIZE_MIN 4096
#define RESERVE ((uint64_t)64 << 20)

struct spool {
    struct spool_disk disk;
    uint64_t segment_size;
    uint64_t last_seq;
    struct spool_writer *writer;
    uint64_t text_key;
    struct spool_texts texts;
    /* Over the index, which the owner changes and readers ask, and the figures. */
    pthread_mutex_t *lock;
    struct spool_index index;
    struct spool_reader reader;
    uint64_t shared, saved;
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
    spool->text_key = frame_keys(spool->disk.key, 0).text;
    if (recovery == NULL || recovery->from == NULL)
        spool->index.keep_from = UINT64_MAX;
    spool->closed = writer.tail.number == 0;
    writer.reserve = settings->reserve == 0 ? RESERVE : settings->reserve;
    spool->writer = spool_writer_start(&writer, error);
    return spool->writer == NULL ? -1 : 0;
}

/* All is on the disk: the next start need not wonder whether a crash cut something off. */
static void say_whole(struct spool *spool)
{
    struct error error;
    const struct spool_part *newest = spool_index_newest(&spool->index);
    if (newest != NULL && spool_disk_say_whole(&spool->disk, newest->number, newest->end, &error) < 0)
        log_warn(spool->disk.path, "%s", error.text);
}

static void spool_free(struct spool **spool)
{
    struct spool *s = *spool;
    *spool = NULL;
    if (spool_writer_free(&s->writer))
        say_whole(s);
    spool_index_free(&s->index);
    spool_texts_free(&s->texts);
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
    spool_texts_init(&spool->texts);
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

void spool_listen(struct spool *spool, const struct spool_listener *listener)
{
    spool_writer_listen(spool->writer, listener);
}

uint64_t spool_committed(const struct spool *spool)
{
    return spool_writer_committed(spool->writer);
}

const char *spool_disk_id(const struct spool *spool)
{
    return spool->disk.id_text;
}

uint64_t spool_last_seq(const struct spool *spool)
{
    return spool->last_seq;
}

/* The newest segment, if a frame of this size goes into it; null: it goes into a new one. */
static struct spool_part *with_room(struct spool *spool, uint64_t size)
{
    struct spool_part *part = spool_index_newest(&spool->index);
    bool full = part != NULL && part->end > SEGMENT_HEAD && part->end + size > spool->segment_size;
    return full || spool->closed ? NULL : part;
}

/* Splits the body into head and text, and refers to the text where it stands in the same segment already. What is
 * known of the text is returned: its place is to be noted if the frame does not refer to it. */
static struct spool_text *look_for_text(struct spool *spool, struct frame *frame, struct blob *body)
{
    frame->head_len = mail_head_len(body->bytes, body->len);
    uint64_t len = frame->body_len - frame->head_len;
    if (!spool_texts_met(&spool->texts, body->bytes + frame->head_len, len))
        return NULL;
    frame->text_check = frame_part_check(spool->text_key, body->bytes + frame->head_len, len);
    struct spool_text *text = spool_texts_see(&spool->texts, frame->text_check, body, len);
    if (text == NULL || text->segment == 0)
        return text;
    frame->shared = true;
    frame->text_at = text->offset;
    const struct spool_part *part = with_room(spool, frame_size(frame));
    frame->shared = part != NULL && part->number == text->segment;
    frame->text_synced = frame->shared && text->seq <= spool_writer_committed(spool->writer);
    return text;
}

/* Where a frame goes: behind the last one, or into a new segment. */
static const struct spool_part *place(struct spool *spool, const struct frame *frame, uint64_t *offset_r)
{
    uint64_t size = frame_size(frame);
    struct spool_part *part = with_room(spool, size);
    if (part == NULL) {
        part = spool_index_newest(&spool->index);
        part = spool_index_begin(&spool->index, part == NULL ? 1 : part->number + 1);
        spool->closed = false;
    }
    *offset_r = part->end;
    part->last = frame->seq;
    spool_index_extend(&spool->index, *offset_r + size);
    if (frame->base)
        spool_index_put(&spool->index, frame->seq, *offset_r, size);
    if (frame->shared) {
        spool->shared++;
        spool->saved += frame->body_len - frame->head_len;
    }
    return part;
}

void spool_append(struct spool *spool, uint64_t seq, struct buffer *record, struct blob *body, bool base)
{
    size_t len = buffer_len(record), body_len = body == NULL ? 0 : body->len;
    must(seq > spool->last_seq);
    must(len <= FRAME_RECORD_MAX && body_len <= FRAME_BODY_MAX);
    struct frame frame = {.version = SEGMENT_VERSION,
        .base = base,
        .seq = seq,
        .record_len = (uint32_t)len,
        .body_len = body_len};
    struct spool_text *text = body_len == 0 ? NULL : look_for_text(spool, &frame, body);
    uint64_t offset;
    pthread_mutex_lock(spool->lock);
    uint64_t segments = spool->index.count;
    uint64_t segment = place(spool, &frame, &offset)->number;
    bool rotated = spool->index.count != segments;
    pthread_mutex_unlock(spool->lock);
    spool->last_seq = seq;
    if (text != NULL && !frame.shared) {
        text->seq = seq;
        text->segment = segment;
        text->offset = offset + frame_body_at(&frame) + frame.head_len;
    }
    spool_writer_append(spool->writer, segment, &frame, record, body);
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
    if (spool_segment_read(&spool->disk, number, offset, seq, body_r, error) == 0)
        return 0;
    pthread_mutex_lock(spool->lock);
    spool_index_spoil(&spool->index, number);
    pthread_mutex_unlock(spool->lock);
    return -1;
}

void spool_frames_from(struct spool *spool, uint64_t after, size_t bytes, struct spool_frames *frames_r)
{
    spool_reader_read(&spool->reader, &spool->disk, spool->lock, &spool->index, after,
        spool_writer_committed(spool->writer), bytes, frames_r);
}

int spool_read_back(
    struct spool *spool, struct spool_back *back, const struct spool_portion *portion, struct error *error)
{
    return spool_back_read(back, &spool->disk, spool->lock, &spool->index, portion, error);
}

bool spool_is_whole(const struct spool *spool, uint64_t after)
{
    pthread_mutex_lock(spool->lock);
    bool whole = after >= spool->index.gone;
    pthread_mutex_unlock(spool->lock);
    return whole;
}

size_t spool_living(const struct spool *spool, uint64_t after, uint64_t *seqs_r, size_t max)
{
    pthread_mutex_lock(spool->lock);
    size_t count = spool_index_living(&spool->index, after, seqs_r, max);
    pthread_mutex_unlock(spool->lock);
    return count;
}

void spool_release(struct spool *spool, uint64_t seq)
{
    pthread_mutex_lock(spool->lock);
    bool released = spool_index_release(&spool->index, seq);
    pthread_mutex_unlock(spool->lock);
    if (released)
        retire(spool);
}

void spool_release_others(
    struct spool *spool, uint64_t after, uint64_t upto, const uint64_t *living, size_t count)
{
    pthread_mutex_lock(spool->lock);
    bool released = spool_index_release_others(&spool->index, after, upto, living, count);
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
    figures.shared = spool->shared;
    figures.saved = spool->saved;
    pthread_mutex_unlock(spool->lock);
    spool_writer_figures(spool->writer, &figures);
    return figures;
}
