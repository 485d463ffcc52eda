/* stream_write_uv - the writing side of stream_uv.h
 *
 * Plain bytes go from the caller's segments to the kernel; what the kernel does not take is queued by
 * reference. Under TLS the segments are encrypted piece by piece into one scratch buffer of the thread; as
 * soon as the kernel leaves something over, nothing more is taken, so a slow peer holds little memory. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "base/stream_inside_uv.h"

#define PIECE (64u << 10)      /* plaintext encrypted before the kernel is asked */
#define SEGMENTS_A_REQUEST 128 /* the rest is taken at the next `writable` */

/* libuv promises this for Unix; segments are passed through without a copy. */
_Static_assert(sizeof(struct iovec) == sizeof(uv_buf_t) &&
                   offsetof(struct iovec, iov_base) == offsetof(uv_buf_t, base) &&
                   offsetof(struct iovec, iov_len) == offsetof(uv_buf_t, len),
    "uv_buf_t is an iovec");

struct request {
    uv_write_t uv;
    struct stream *stream;
    size_t cost;
    char *owned; /* freed with the request; null where the caller's bytes are sent */
};

static void on_written(uv_write_t *uv, int status)
{
    struct request *request = (struct request *)uv;
    struct stream *stream = request->stream;
    stream->queued -= request->cost;
    free(request->owned);
    free(request);
    if (stream->mood == STREAM_ENDED)
        return;
    if (status != 0) {
        stream_end(stream, uv_strerror(status));
    } else if (stream->queued == 0) {
        if (stream->mood == STREAM_OPEN && !stream->tls_asked && stream->calls->writable != NULL)
            stream->calls->writable(stream->context);
        stream_wind_down(stream);
    }
}

/* Queues; `owned` is taken over. */
static void enqueue(struct stream *stream, const uv_buf_t *segments, unsigned count, size_t len, char *owned)
{
    struct request *request = xmalloc(sizeof *request);
    request->stream = stream;
    request->cost = len + sizeof *request;
    request->owned = owned;
    int rc = uv_write(&request->uv, (uv_stream_t *)&stream->tcp, segments, count, on_written);
    if (rc == 0) {
        stream->queued += request->cost;
        return;
    }
    free(owned);
    free(request);
    stream_end(stream, uv_strerror(rc));
}

/* How much of the segments the kernel takes at once. */
static size_t send_now(struct stream *stream, const uv_buf_t *segments, size_t count)
{
    if (stream->queued > 0 || count == 0)
        return 0;
    int rc = uv_try_write((uv_stream_t *)&stream->tcp, segments, (unsigned)count);
    if (rc < 0 && rc != UV_EAGAIN)
        stream_end(stream, uv_strerror(rc));
    return rc < 0 ? 0 : (size_t)rc;
}

static size_t room_left(const struct stream *stream)
{
    size_t used = stream->queued + sizeof(struct request);
    return used >= STREAM_MAX_QUEUED ? 0 : STREAM_MAX_QUEUED - used;
}

/* Queues by reference what lies behind the first `sent` bytes, as far as there is room. Returns how much. */
static size_t queue_rest(struct stream *stream, const struct iovec *segments, size_t count, size_t sent)
{
    uv_buf_t rest[SEGMENTS_A_REQUEST];
    unsigned used = 0;
    size_t len = 0, room = room_left(stream);
    for (size_t i = 0; i < count && used < SEGMENTS_A_REQUEST && room > 0; i++) {
        size_t skip = sent < segments[i].iov_len ? sent : segments[i].iov_len;
        sent -= skip;
        size_t take = segments[i].iov_len - skip;
        if (take > room)
            take = room;
        if (take == 0)
            continue;
        rest[used++] = (uv_buf_t){.base = (char *)segments[i].iov_base + skip, .len = take};
        room -= take;
        len += take;
    }
    if (used > 0)
        enqueue(stream, rest, used, len, NULL);
    return len;
}

static size_t write_plain(struct stream *stream, const struct iovec *segments, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += segments[i].iov_len;
    size_t sent = send_now(stream, (const uv_buf_t *)segments, count);
    if (sent < total && stream->mood == STREAM_OPEN)
        sent += queue_rest(stream, segments, count, sent);
    return sent;
}

void stream_flush_cipher(struct stream *stream)
{
    struct buffer *cipher = &stream->shared->cipher;
    if (buffer_len(cipher) == 0)
        return;
    if (stream->mood == STREAM_ENDED) {
        buffer_clear(cipher);
        return;
    }
    uv_buf_t all = uv_buf_init(buffer_bytes(cipher), (unsigned)buffer_len(cipher));
    buffer_eat(cipher, send_now(stream, &all, 1));
    if (buffer_len(cipher) > 0 && stream->mood != STREAM_ENDED) {
        size_t len;
        char *rest = buffer_steal(cipher, &len);
        uv_buf_t one = uv_buf_init(rest, (unsigned)len);
        enqueue(stream, &one, 1, len, rest);
    }
    buffer_clear(cipher);
}

static bool encrypt(struct stream *stream, const void *bytes, size_t len)
{
    if (tls_session_send(stream->tls, bytes, len, &stream->shared->cipher) == 0)
        return true;
    stream_end(stream, tls_session_error(stream->tls));
    return false;
}

/* A walk over the segments that gives pieces for TLS records: neighbours gathered while they fit into one
 * record (which costs more than copying 16 KiB), the others as they are. */
struct walk {
    const struct iovec *segments;
    size_t count, at, offset;
    char *gathered; /* takes STREAM_GATHER bytes */
};

static size_t next_piece(struct walk *walk, const char **bytes_r)
{
    size_t gathered = 0;
    while (walk->at < walk->count) {
        const struct iovec *segment = &walk->segments[walk->at];
        const char *bytes = (const char *)segment->iov_base + walk->offset;
        size_t left = segment->iov_len - walk->offset;
        bool alone = gathered == 0 && walk->at + 1 == walk->count;
        if (alone || gathered + left > STREAM_GATHER) {
            if (gathered > 0)
                break;
            size_t take = left < PIECE ? left : PIECE;
            walk->offset += take;
            *bytes_r = bytes;
            return take;
        }
        if (left > 0)
            memcpy(walk->gathered + gathered, bytes, left);
        gathered += left;
        walk->at++;
        walk->offset = 0;
    }
    *bytes_r = walk->gathered;
    return gathered;
}

static size_t write_secret(struct stream *stream, const struct iovec *segments, size_t count)
{
    struct walk walk = {.segments = segments, .count = count, .gathered = stream->shared->gathered};
    size_t took = 0, len;
    const char *bytes;
    while (stream->queued == 0 && stream->mood == STREAM_OPEN && (len = next_piece(&walk, &bytes)) > 0) {
        if (!encrypt(stream, bytes, len))
            break;
        took += len;
        if (buffer_len(&stream->shared->cipher) >= PIECE)
            stream_flush_cipher(stream);
    }
    stream_flush_cipher(stream);
    return took;
}

size_t stream_write(struct stream *stream, const struct iovec *segments, size_t count)
{
    if (stream->mood != STREAM_OPEN || stream->tls_asked)
        return 0;
    return stream->tls != NULL ? write_secret(stream, segments, count) : write_plain(stream, segments, count);
}

bool stream_write_copy(struct stream *stream, const void *bytes, size_t len)
{
    if (stream->mood != STREAM_OPEN || stream->tls_asked || len > room_left(stream))
        return false;
    if (stream->tls != NULL) {
        bool done = encrypt(stream, bytes, len);
        stream_flush_cipher(stream);
        return done;
    }
    uv_buf_t all = uv_buf_init((char *)bytes, (unsigned)len);
    size_t sent = send_now(stream, &all, 1);
    if (sent < len && stream->mood == STREAM_OPEN) {
        char *rest = xmemdup((const char *)bytes + sent, len - sent);
        uv_buf_t one = uv_buf_init(rest, (unsigned)(len - sent));
        enqueue(stream, &one, 1, len - sent, rest);
    }
    return stream->mood == STREAM_OPEN;
}

bool stream_writing(const struct stream *stream)
{
    return stream->queued > 0;
}
