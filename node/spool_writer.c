/* spool_writer - see spool_writer.h */
#include "node/spool_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/panic.h"
#include "node/spool_output.h"
#include "node/spool_segment.h"

/* The file system is looked at this often, and whenever this part of the reserve may have gone since. */
#define LOOK_MS 1000
#define LOOK_PART 16

struct spool_writer {
    const struct spool_disk *disk;
    pthread_mutex_t listening; /* over who listens, while he is told */
    struct spool_listener listener;
    uint64_t reserve;
    pthread_t thread;
    int wake; /* an eventfd */

    pthread_mutex_t lock; /* over the next three */
    struct spool_batch filling;
    bool sleeping, stopping;

    /* The thread's own. */
    struct spool_batch writing;
    struct spool_output output;
    usec_t looked;
    uint64_t written; /* since then */
    bool stuck;       /* a segment could not be removed: no younger one may go before it */

    _Atomic int room; /* enum spool_room */
    _Atomic uint64_t free;
    _Atomic uint64_t committed, frames, pending;
};

/* On the writer's thread */

static void look_at_disk(struct spool_writer *writer, uint64_t about_to_write)
{
    struct statvfs fs;
    writer->looked = clock_now();
    writer->written = 0;
    if (fstatvfs(writer->disk->dir, &fs) < 0)
        return;
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    atomic_store_explicit(&writer->free, free_bytes, memory_order_relaxed);
    bool was_low = atomic_load(&writer->room) == SPOOL_LOW;
    /* A little more must be free before it counts as enough again. */
    uint64_t wanted = writer->reserve + about_to_write + (was_low ? writer->reserve / 8 : 0);
    bool low = free_bytes < wanted;
    if (low == was_low)
        return;
    atomic_store(&writer->room, low ? SPOOL_LOW : SPOOL_OK);
    if (low)
        log_warn(writer->disk->path,
            "only %" PRIu64 " MiB are free: no new mail is taken until there are more", free_bytes >> 20);
    else
        log_info(writer->disk->path, "enough is free again: new mail is taken");
}

static void look_when_due(struct spool_writer *writer, uint64_t about_to_write)
{
    writer->written += about_to_write;
    if (writer->written >= writer->reserve / LOOK_PART || clock_now() - writer->looked >= LOOK_MS * USEC_MS)
        look_at_disk(writer, about_to_write);
}

static bool has_failed(const struct spool_writer *writer)
{
    return atomic_load(&writer->room) == SPOOL_FAILED;
}

static void fail_for_good(struct spool_writer *writer, const struct error *error)
{
    atomic_store(&writer->room, SPOOL_FAILED);
    pthread_mutex_lock(&writer->listening);
    if (writer->listener.failed != NULL)
        writer->listener.failed(writer->listener.context, error->text);
    pthread_mutex_unlock(&writer->listening);
}

static void commit(struct spool_writer *writer, uint64_t seq, size_t frames)
{
    atomic_fetch_add_explicit(&writer->frames, frames, memory_order_relaxed);
    atomic_store_explicit(&writer->committed, seq, memory_order_release);
    pthread_mutex_lock(&writer->listening);
    if (writer->listener.committed != NULL)
        writer->listener.committed(writer->listener.context, seq);
    pthread_mutex_unlock(&writer->listening);
}

/* Where the slice that starts at `from` ends. */
static size_t slice_end(const struct spool_batch *batch, size_t from, uint64_t *bytes_r)
{
    uint64_t bytes = 0;
    size_t to = from;
    while (to < batch->count && (to == from || bytes + frame_size(&batch->pieces[to].frame) <= SPOOL_SLICE))
        bytes += frame_size(&batch->pieces[to++].frame);
    *bytes_r = bytes;
    return to;
}

static int write_slice(struct spool_writer *writer, size_t from, size_t to, struct error *error)
{
    for (size_t i = from; i < to; i++) {
        spool_batch_seal(&writer->writing, i, writer->disk->key);
        if (spool_output_put(&writer->output, &writer->writing, i, error) < 0)
            return -1;
    }
    return spool_output_sync(&writer->output, error);
}

static void write_batch(struct spool_writer *writer)
{
    struct error error;
    uint64_t bytes;
    for (size_t from = 0, to; from < writer->writing.count && !has_failed(writer); from = to) {
        to = slice_end(&writer->writing, from, &bytes);
        look_when_due(writer, bytes);
        if (write_slice(writer, from, to, &error) < 0)
            fail_for_good(writer, &error);
        else
            commit(writer, writer->writing.pieces[to - 1].frame.seq, to - from);
    }
}

/* Removals come with everything appended before them, so they are due when the batch is on the disk. */
static void remove_segments(struct spool_writer *writer)
{
    for (size_t i = 0; i < writer->writing.removal_count && !has_failed(writer) && !writer->stuck; i++) {
        const struct spool_removal *removal = &writer->writing.removals[i];
        struct error error;
        must(removal->after <= atomic_load(&writer->committed));
        writer->stuck = spool_segment_remove(writer->disk, removal->number, removal->aside, &error) < 0;
        if (writer->stuck)
            log_warn(writer->disk->path, "%s; nothing is deleted any more until the next start", error.text);
        look_at_disk(writer, 0);
    }
}

/* Takes what was appended meanwhile; sleeps while there is nothing. False: nothing will come any more. */
static bool next_batch(struct spool_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    while (spool_batch_empty(&writer->filling) && !writer->stopping) {
        writer->sleeping = true;
        pthread_mutex_unlock(&writer->lock);
        struct pollfd wait = {.fd = writer->wake, .events = POLLIN};
        uint64_t count;
        if (poll(&wait, 1, LOOK_MS) > 0 && read(writer->wake, &count, sizeof count) < 0)
            must(errno == EAGAIN);
        if (!has_failed(writer))
            look_when_due(writer, 0);
        pthread_mutex_lock(&writer->lock);
        writer->sleeping = false;
    }
    bool more = !spool_batch_empty(&writer->filling);
    struct spool_batch empty = writer->writing;
    writer->writing = writer->filling;
    writer->filling = empty;
    pthread_mutex_unlock(&writer->lock);
    return more;
}

static void *run(void *context)
{
    struct spool_writer *writer = context;
    while (next_batch(writer)) {
        write_batch(writer);
        remove_segments(writer);
        atomic_fetch_sub_explicit(&writer->pending, writer->writing.bytes, memory_order_relaxed);
        spool_batch_clear(&writer->writing);
    }
    return NULL;
}

/* On the owner's thread */

struct spool_writer *spool_writer_start(const struct spool_writer_settings *settings, struct error *error)
{
    struct spool_writer *writer = xcalloc(1, sizeof *writer);
    writer->disk = settings->disk;
    writer->listener = settings->listener;
    writer->reserve = settings->reserve;
    atomic_init(&writer->committed, settings->tail.seq);
    pthread_mutex_init(&writer->lock, NULL);
    pthread_mutex_init(&writer->listening, NULL);
    writer->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (writer->wake < 0) {
        error_set(error, "spool %s: no eventfd: %s", settings->disk->path, strerror(errno));
        goto no_wake;
    }
    if (spool_output_open(&writer->output, settings->disk, &settings->tail, settings->segment_size, error) <
        0)
        goto no_output;
    look_at_disk(writer, 0);
    int why = pthread_create(&writer->thread, NULL, run, writer);
    if (why != 0) {
        error_set(error, "spool %s: cannot start its thread: %s", settings->disk->path, strerror(why));
        goto no_thread;
    }
    return writer;
no_thread:
    spool_output_close(&writer->output);
no_output:
    close(writer->wake);
no_wake:
    pthread_mutex_destroy(&writer->listening);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
    return NULL;
}

static void wake_up(const struct spool_writer *writer)
{
    uint64_t one = 1;
    if (write(writer->wake, &one, sizeof one) < 0)
        must(errno == EAGAIN);
}

bool spool_writer_free(struct spool_writer **writer)
{
    struct spool_writer *w = *writer;
    *writer = NULL;
    if (w == NULL)
        return false;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_mutex_unlock(&w->lock);
    wake_up(w);
    pthread_join(w->thread, NULL);
    bool whole = !has_failed(w);
    spool_output_close(&w->output);
    spool_batch_free(&w->filling);
    spool_batch_free(&w->writing);
    close(w->wake);
    pthread_mutex_destroy(&w->listening);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return whole;
}

void spool_writer_append(struct spool_writer *writer, uint64_t segment, const struct frame *frame,
    const struct buffer *record, struct blob *body)
{
    pthread_mutex_lock(&writer->lock);
    uint64_t before = writer->filling.bytes;
    spool_batch_add(&writer->filling, segment, frame, record, body);
    uint64_t bytes = writer->filling.bytes - before;
    bool wake = writer->sleeping;
    writer->sleeping = false;
    atomic_fetch_add_explicit(&writer->pending, bytes, memory_order_relaxed);
    pthread_mutex_unlock(&writer->lock);
    if (wake)
        wake_up(writer);
}

void spool_writer_remove(struct spool_writer *writer, struct spool_removal removal)
{
    pthread_mutex_lock(&writer->lock);
    spool_batch_remove(&writer->filling, removal);
    bool wake = writer->sleeping;
    writer->sleeping = false;
    pthread_mutex_unlock(&writer->lock);
    if (wake)
        wake_up(writer);
}

void spool_writer_listen(struct spool_writer *writer, const struct spool_listener *listener)
{
    pthread_mutex_lock(&writer->listening);
    writer->listener = *listener;
    pthread_mutex_unlock(&writer->listening);
}

enum spool_room spool_writer_room(const struct spool_writer *writer)
{
    return (enum spool_room)atomic_load_explicit(&writer->room, memory_order_relaxed);
}

uint64_t spool_writer_committed(const struct spool_writer *writer)
{
    return atomic_load_explicit(&writer->committed, memory_order_acquire);
}

void spool_writer_figures(const struct spool_writer *writer, struct spool_figures *figures)
{
    figures->frames = atomic_load_explicit(&writer->frames, memory_order_relaxed);
    figures->pending = atomic_load_explicit(&writer->pending, memory_order_relaxed);
    figures->free = atomic_load_explicit(&writer->free, memory_order_relaxed);
    figures->syncs = atomic_load_explicit(&writer->output.syncs, memory_order_relaxed);
    figures->sync_usec = atomic_load_explicit(&writer->output.sync_usec, memory_order_relaxed);
}
