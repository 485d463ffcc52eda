/* stream_connect_uv - streams of stream_uv.h that we begin */
#include <netinet/in.h>
#include <stdio.h>

#include "base/stream_inside_uv.h"

static void on_connected(uv_connect_t *request, int status)
{
    struct stream *stream = request->data;
    if (stream->mood != STREAM_CONNECTING)
        return;
    if (status != 0) {
        stream_end(stream, uv_strerror(status));
        return;
    }
    uv_timer_stop(&stream->timer);
    uv_tcp_nodelay(&stream->tcp, 1);
    stream->mood = STREAM_OPEN;
    stream->calls->connected(stream->context);
    if (stream->mood == STREAM_OPEN)
        stream_read(stream);
}

static void on_connect_timeout(uv_timer_t *timer)
{
    struct stream *stream = timer->data;
    char why[80];
    snprintf(why, sizeof why, "connection timed out after %.3g s", (double)stream->timeout / USEC_SEC);
    stream_end(stream, why);
}

/* Binds without a port: the kernel picks one at connect, when the four-tuple is known, so many connections
 * may share a port (ip(7)). */
static int bind_source(struct stream *stream, const struct sockaddr *source, struct error *error)
{
    uv_os_fd_t fd;
    int on = 1;
    if (uv_fileno((uv_handle_t *)&stream->tcp, &fd) == 0)
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    int rc = uv_tcp_bind(&stream->tcp, source, 0);
    if (rc == 0)
        return 0;
    char text[46];
    stream_format_address(source, text);
    return error_set(error, "cannot send from %s: %s%s", text, uv_strerror(rc),
        rc == UV_EADDRNOTAVAIL ? "; is this address on an interface of this machine?" : "");
}

struct stream *stream_connect(struct uv_loop_s *loop, const struct sockaddr *source,
    const struct sockaddr *peer, usec_t timeout, const struct stream_calls *calls, void *context,
    struct error *error)
{
    struct stream *stream = stream_new(loop, peer->sa_family, error);
    if (stream == NULL)
        return NULL;
    stream->mood = STREAM_CONNECTING;
    stream->timeout = timeout;
    stream->connect.data = stream;
    stream_note_peer(stream, peer);
    if (source != NULL && bind_source(stream, source, error) != 0) {
        stream_discard(stream);
        return NULL;
    }
    int rc = uv_tcp_connect(&stream->connect, &stream->tcp, peer, on_connected);
    if (rc != 0) {
        error_set(error, "cannot connect to %s: %s", stream->peer, uv_strerror(rc));
        stream_discard(stream);
        return NULL;
    }
    stream->calls = calls;
    stream->context = context;
    if (timeout > 0 && timeout != USEC_NEVER)
        uv_timer_start(&stream->timer, on_connect_timeout, (uint64_t)((timeout + 999) / 1000), 0);
    return stream;
}
