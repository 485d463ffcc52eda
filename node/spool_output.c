/* spool_output - see spool_output.h */
#include "node/spool_output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "node/spool_frame.h"
#include "node/spool_segment.h"

#define RESERVE_STEP ((uint64_t)16 << 20)

static const uint8_t zeros[FRAME_ALIGN];

static int fail(const struct spool_output *output, const char *what, struct error *error)
{
    char name[SEGMENT_NAME_SIZE];
    int why = errno;
    return error_set(error, "spool %s: cannot %s %s at offset %" PRIu64 ": %s", output->disk->path, what,
        spool_segment_name(output->segment, name), output->offset, strerror(why));
}

int spool_output_open(struct spool_output *output, const struct spool_disk *disk,
    const struct spool_tail *tail, uint64_t segment_size, struct error *error)
{
    *output = (struct spool_output){.disk = disk, .fd = -1, .seq = tail->seq, .segment_size = segment_size};
    output->reserves = true;
    if (tail->number == 0)
        return 0;
    char name[SEGMENT_NAME_SIZE];
    output->segment = tail->number;
    output->offset = output->reserved = tail->offset;
    output->fd = openat(disk->dir, spool_segment_name(tail->number, name), O_RDWR | O_CLOEXEC);
    return output->fd < 0 ? fail(output, "open", error) : 0;
}

void spool_output_close(struct spool_output *output)
{
    if (output->fd < 0)
        return;
    /* Blocks reserved beyond the end are given back; if not now, then with the file. */
    bool beyond = output->reserved > output->offset;
    if (beyond && ftruncate(output->fd, (off_t)output->offset) < 0)
        log_debug(output->disk->path, "blocks reserved for segment %" PRIu64 " stay: %s", output->segment,
            strerror(errno));
    close(output->fd);
    output->fd = -1;
}

/* Only a help: where it is refused, writing goes on without. */
static void reserve(struct spool_output *output, uint64_t bytes)
{
    uint64_t wanted = output->offset + bytes;
    if (!output->reserves || wanted <= output->reserved)
        return;
    uint64_t step = output->segment_size / 4 < RESERVE_STEP ? output->segment_size / 4 : RESERVE_STEP;
    uint64_t len = wanted + step - output->reserved;
    if (fallocate(output->fd, FALLOC_FL_KEEP_SIZE, (off_t)output->reserved, (off_t)len) == 0)
        output->reserved += len;
    else
        output->reserves = false;
}

/* After a short write: what is left. */
static int drop_written(struct iovec *vectors, int count, size_t written)
{
    int first = 0;
    while (first < count && written >= vectors[first].iov_len)
        written -= vectors[first++].iov_len;
    memmove(vectors, vectors + first, (size_t)(count - first) * sizeof *vectors);
    if (first < count) {
        vectors[0].iov_base = (char *)vectors[0].iov_base + written;
        vectors[0].iov_len -= written;
    }
    return count - first;
}

static int flush(struct spool_output *output, struct error *error)
{
    uint64_t bytes = 0;
    for (int i = 0; i < output->vector_count; i++)
        bytes += output->vectors[i].iov_len;
    if (bytes > 0)
        reserve(output, bytes);
    while (output->vector_count > 0) {
        ssize_t n = pwritev(output->fd, output->vectors, output->vector_count, (off_t)output->offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return fail(output, "write", error);
        }
        output->offset += (uint64_t)n;
        output->vector_count = drop_written(output->vectors, output->vector_count, (size_t)n);
    }
    return 0;
}

int spool_output_sync(struct spool_output *output, struct error *error)
{
    if (flush(output, error) < 0)
        return -1;
    if (output->fd < 0)
        return 0;
    usec_t before = clock_now();
    if (fdatasync(output->fd) < 0)
        return fail(output, "sync", error);
    atomic_fetch_add_explicit(&output->syncs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&output->sync_usec, (uint64_t)(clock_now() - before), memory_order_relaxed);
    return 0;
}

static int next_segment(struct spool_output *output, uint64_t segment, struct error *error)
{
    if (spool_output_sync(output, error) < 0)
        return -1;
    spool_output_close(output);
    output->segment = segment;
    output->offset = output->reserved = SEGMENT_HEAD;
    output->reserves = true;
    output->fd = spool_segment_create(output->disk, segment, output->seq, error);
    return output->fd < 0 ? -1 : 0;
}

/* Frames without bodies stand one behind the other: one vector for all of them. */
static void add_vector(struct spool_output *output, const void *bytes, size_t len)
{
    struct iovec *last = output->vector_count == 0 ? NULL : &output->vectors[output->vector_count - 1];
    if (last != NULL && (const char *)last->iov_base + last->iov_len == (const char *)bytes)
        last->iov_len += len;
    else
        output->vectors[output->vector_count++] = (struct iovec){(void *)bytes, len};
}

int spool_output_put(
    struct spool_output *output, struct spool_batch *batch, size_t piece_index, struct error *error)
{
    const struct spool_piece *piece = &batch->pieces[piece_index];
    if (piece->segment != output->segment && next_segment(output, piece->segment, error) < 0)
        return -1;
    if (output->vector_count + 3 > OUTPUT_VECTORS && flush(output, error) < 0)
        return -1;
    size_t body_len = piece->body == NULL ? 0 : piece->body->len;
    size_t used = (size_t)frame_body_at(&piece->frame), size = (size_t)frame_size(&piece->frame);
    size_t pad = size - used - body_len;
    const char *head = buffer_bytes(&batch->heads) + piece->head;
    add_vector(output, head, body_len == 0 ? size : used);
    if (body_len > 0)
        add_vector(output, piece->body->bytes, body_len);
    if (body_len > 0 && pad > 0)
        add_vector(output, zeros, pad);
    output->seq = piece->frame.seq;
    return 0;
}
