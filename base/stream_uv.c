/* stream_uv - see stream_uv.h; connecting is in stream_connect_uv.c, writing in stream_write_uv.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "base/stream_inside_uv.h"

#define GENTLE_MS 5000u
#define CUT_OFF "the peer closed the connection"

/* What a loop's streams share stands in the loop: whoever opens it, runs it and closes it may be three threads,
 * one after the other. */

static struct stream_shared *shared_hold(uv_loop_t *loop)
{
    struct stream_shared *shared = loop->data;
    if (shared == NULL)
        loop->data = shared = xcalloc(1, sizeof *shared);
    shared->holders++;
    return shared;
}

static void shared_drop(uv_loop_t *loop)
{
    struct stream_shared *shared = loop->data;
    must(shared != NULL && shared->holders > 0);
    if (--shared->holders > 0)
        return;
    buffer_free(&shared->plain);
    buffer_free(&shared->cipher);
    free(shared);
    loop->data = NULL;
}

/* Making and ending */

struct stream *stream_new(uv_loop_t *loop, int family, struct error *error)
{
    struct stream *stream = xcalloc(1, sizeof *stream);
    int rc = uv_tcp_init_ex(loop, &stream->tcp, (unsigned)family);
    if (rc != 0) {
        error_set(error, "cannot make a socket: %s", uv_strerror(rc));
        free(stream);
        return NULL;
    }
    uv_timer_init(loop, &stream->timer);
    stream->tcp.data = stream->timer.data = stream;
    stream->handles = 2;
    stream->shared = shared_hold(loop);
    return stream;
}

void stream_note_peer(struct stream *stream, const struct sockaddr *peer)
{
    stream->peer_port = stream_format_address(peer, stream->peer);
}

static void tell_end(struct stream *stream)
{
    if (stream->calls == NULL)
        return;
    const char *why = stream->by_owner ? "" : stream->why;
    if (stream->tls_asked && !stream->by_owner && stream->calls->secured != NULL)
        stream->calls->secured(stream->context, false, why);
    stream->calls->closed(stream->context, why);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct stream *stream = handle->data;
    if (--stream->handles > 0)
        return;
    tell_end(stream);
    tls_session_free(&stream->tls);
    shared_drop(stream->tcp.loop);
    free(stream);
}

void stream_end(struct stream *stream, const char *why)
{
    if (stream->mood == STREAM_ENDED)
        return;
    if (why != NULL && stream->why[0] == '\0')
        snprintf(stream->why, sizeof stream->why, "%s", why);
    stream->mood = STREAM_ENDED;
    uv_close((uv_handle_t *)&stream->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&stream->timer, on_handle_closed);
}

void stream_discard(struct stream *stream)
{
    stream->calls = NULL;
    stream_end(stream, NULL);
}

static void on_gentle_timeout(uv_timer_t *timer)
{
    stream_end(timer->data, NULL);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct stream *stream = request->data;
    if (status != 0 && status != UV_ECANCELED)
        stream_end(stream, NULL);
}

void stream_wind_down(struct stream *stream)
{
    if (stream->mood != STREAM_GENTLE || stream->queued > 0)
        return;
    if (stream->peer_shut) {
        stream_end(stream, NULL);
    } else if (!stream->shut) {
        stream->shut = true;
        stream->shutdown.data = stream;
        if (uv_shutdown(&stream->shutdown, (uv_stream_t *)&stream->tcp, on_shutdown) != 0)
            stream_end(stream, NULL);
    }
}

/* From here on the stream flushes, and drops what comes; an unread byte in the kernel would turn the close
 * into a reset that may overtake our last words. */
static void begin_gentle(struct stream *stream)
{
    if (stream->tls != NULL) {
        tls_session_close(stream->tls, &stream->shared->cipher);
        stream_flush_cipher(stream);
    }
    if (stream->mood == STREAM_ENDED)
        return;
    stream->mood = STREAM_GENTLE;
    uv_timer_start(&stream->timer, on_gentle_timeout, GENTLE_MS, 0);
    stream->paused = false;
    if (!stream->peer_shut)
        stream_read(stream);
    stream_wind_down(stream);
}

void stream_close(struct stream *stream, bool gently)
{
    if (stream->mood == STREAM_ENDED)
        return;
    /* What ended before the owner asked keeps its reason. */
    if (stream->why[0] == '\0')
        stream->by_owner = true;
    if (gently && stream->mood == STREAM_OPEN)
        begin_gentle(stream);
    else if (!gently || stream->mood == STREAM_CONNECTING)
        stream_end(stream, NULL);
}

/* Reading */

static void stop_reading(struct stream *stream)
{
    uv_read_stop((uv_stream_t *)&stream->tcp);
    stream->reading = false;
}

/* A paused stream keeps its watcher until the peer says something after all: most pauses end before, and
 * cost no system call. libuv answers no room with UV_ENOBUFS, and reads nothing. */
static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    (void)suggested;
    struct stream *stream = handle->data;
    if (stream->paused && stream->mood == STREAM_OPEN)
        *room = uv_buf_init(NULL, 0);
    else
        *room = uv_buf_init(stream->shared->read, sizeof stream->shared->read);
}

/* The peer has said its last. What we still have for it is flushed: it may only have shut down its side. */
static void on_last_word(struct stream *stream)
{
    if (stream->mood == STREAM_OPEN && stream->queued > 0) {
        snprintf(stream->why, sizeof stream->why, CUT_OFF);
        begin_gentle(stream);
    } else if (stream->mood == STREAM_OPEN) {
        stream_end(stream, CUT_OFF);
    }
}

/* Decrypts; the owner may do anything in each of its calls, so the mood is looked at again after each. */
static void receive_cipher(struct stream *stream, const char *bytes, size_t len)
{
    struct stream_shared *shared = stream->shared;
    enum tls_status status = tls_session_receive(stream->tls, bytes, len, &shared->plain, &shared->cipher);
    stream_flush_cipher(stream);
    if (stream->queued > STREAM_MAX_QUEUED)
        stream_end(stream, "the peer asks for answers and does not read them");
    if (status == TLS_BROKEN)
        stream_end(stream, tls_session_error(stream->tls));
    if (stream->mood == STREAM_OPEN && stream->tls_asked && status != TLS_HANDSHAKE) {
        stream->tls_asked = false;
        stream->calls->secured(stream->context, true, tls_session_detail(stream->tls));
    }
    if (stream->mood == STREAM_OPEN && buffer_len(&shared->plain) > 0)
        stream->calls->received(stream->context, buffer_bytes(&shared->plain), buffer_len(&shared->plain));
    buffer_clear(&shared->plain);
    if (stream->mood == STREAM_OPEN && status == TLS_CLOSED)
        on_last_word(stream);
}

static void on_peer_shut(struct stream *stream)
{
    stream->peer_shut = true;
    stop_reading(stream);
    if (stream->mood == STREAM_GENTLE)
        stream_wind_down(stream);
    else
        on_last_word(stream);
}

static void on_read(uv_stream_t *handle, ssize_t got, const uv_buf_t *room)
{
    struct stream *stream = handle->data;
    if (got == 0 || stream->mood == STREAM_ENDED)
        return;
    if (got == UV_ENOBUFS)
        stop_reading(stream);
    else if (got == UV_EOF)
        on_peer_shut(stream);
    else if (got < 0)
        stream_end(stream, uv_strerror((int)got));
    else if (stream->mood != STREAM_OPEN)
        return;
    else if (stream->tls != NULL)
        receive_cipher(stream, room->base, (size_t)got);
    else
        stream->calls->received(stream->context, room->base, (size_t)got);
}

void stream_read(struct stream *stream)
{
    if (stream->reading || stream->paused || stream->peer_shut)
        return;
    int rc = uv_read_start((uv_stream_t *)&stream->tcp, on_room, on_read);
    if (rc != 0)
        stream_end(stream, uv_strerror(rc));
    else
        stream->reading = true;
}

void stream_pause(struct stream *stream, bool paused)
{
    if (stream->mood == STREAM_GENTLE || stream->mood == STREAM_ENDED)
        return;
    stream->paused = paused;
    if (stream->mood != STREAM_OPEN)
        return;
    if (!paused)
        stream_read(stream);
}

/* TLS */

void stream_start_tls(struct stream *stream, struct tls_context *context, bool server, const char *host)
{
    if (stream->mood != STREAM_OPEN)
        return;
    must(stream->tls == NULL);
    stream->tls = tls_session_new(context, host);
    stream->tls_asked = true;
    if (server)
        return;
    if (tls_session_receive(stream->tls, "", 0, &stream->shared->plain, &stream->shared->cipher) ==
        TLS_BROKEN)
        stream_end(stream, tls_session_error(stream->tls));
    stream_flush_cipher(stream);
}

const struct tls_session *stream_tls(const struct stream *stream)
{
    return stream->tls == NULL || stream->tls_asked ? NULL : stream->tls;
}

const char *stream_peer(const struct stream *stream)
{
    return stream->peer;
}

int stream_peer_port(const struct stream *stream)
{
    return stream->peer_port;
}
