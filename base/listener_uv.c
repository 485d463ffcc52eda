/* listener_uv - the arrivals of stream_uv.h */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/stream_inside_uv.h"

#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

struct listener {
    uv_tcp_t tcp;
    const struct listener_calls *calls;
    void *context;
    int port;
};

/* Tells the owner; true if the owner takes the stream. */
static bool offer(const struct listener_calls *asked, void *asked_context, struct stream *stream)
{
    struct sockaddr_storage peer = {0};
    int len = sizeof peer;
    /* A peer that is gone already has no name; its reset is found by the first read. */
    uv_tcp_getpeername(&stream->tcp, (struct sockaddr *)&peer, &len);
    stream_note_peer(stream, (struct sockaddr *)&peer);
    const struct stream_calls *calls = NULL;
    void *context = NULL;
    const char *refusal = NULL;
    if (asked->accepted(
            asked_context, stream, stream->peer, (struct sockaddr *)&peer, &calls, &context, &refusal)) {
        stream->calls = calls;
        stream->context = context;
        return true;
    }
    if (refusal != NULL)
        stream_write_copy(stream, refusal, strlen(refusal));
    return false;
}

static void begin(const struct listener_calls *calls, void *context, struct stream *stream)
{
    stream->mood = STREAM_OPEN;
    if (!offer(calls, context, stream))
        stream_discard(stream);
    else if (stream->mood == STREAM_OPEN)
        stream_read(stream);
}

static void on_arrival(uv_stream_t *handle, int status)
{
    struct listener *listener = handle->data;
    struct error error = {0};
    if (status != 0) {
        log_warn("listener", "port %d: cannot accept: %s", listener->port, uv_strerror(status));
        return;
    }
    struct stream *stream = stream_new(handle->loop, AF_UNSPEC, &error);
    if (stream == NULL)
        return;
    if (uv_accept(handle, (uv_stream_t *)&stream->tcp) != 0) {
        stream_discard(stream);
        return;
    }
    uv_tcp_nodelay(&stream->tcp, 1);
    begin(listener->calls, listener->context, stream);
}

int stream_share(const struct stream *stream)
{
    uv_os_fd_t fd;
    if (uv_fileno((const uv_handle_t *)&stream->tcp, &fd) != 0)
        return -1;
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

void stream_adopt(struct uv_loop_s *loop, int number, const struct listener_calls *calls, void *context)
{
    struct error error;
    struct stream *stream = stream_new(loop, AF_UNSPEC, &error);
    if (stream == NULL || uv_tcp_open(&stream->tcp, number) != 0) {
        close(number);
        if (stream != NULL)
            stream_discard(stream);
        return;
    }
    begin(calls, context, stream);
}

static void on_listener_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static const char *advice(int rc)
{
    switch (rc) {
    case UV_EADDRINUSE:
        return "; another program has this port: `ss -ltnp` names it, or choose another port";
    case UV_EACCES:
        return "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
    case UV_EADDRNOTAVAIL:
        return "; this address is on no interface of this machine (`ip address` lists them)";
    default:
        return "";
    }
}

static void note_port(struct listener *listener)
{
    struct sockaddr_storage own = {0};
    int len = sizeof own;
    char text[46];
    if (uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&own, &len) == 0)
        listener->port = stream_format_address((struct sockaddr *)&own, text);
}

struct listener *listener_start(struct uv_loop_s *loop, const char *address,
    const struct listener_calls *calls, void *context, struct error *error)
{
    struct sockaddr_storage own;
    socklen_t len;
    if (stream_parse_address(address, 25, &own, &len, error) != 0)
        return NULL;
    struct listener *listener = xcalloc(1, sizeof *listener);
    listener->calls = calls;
    listener->context = context;
    uv_tcp_init(loop, &listener->tcp);
    listener->tcp.data = listener;
    int rc =
        uv_tcp_bind(&listener->tcp, (struct sockaddr *)&own, own.ss_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&listener->tcp, BACKLOG, on_arrival);
    if (rc != 0) {
        error_set(error, "cannot listen on %s: %s%s", address, uv_strerror(rc), advice(rc));
        listener_stop(&listener);
        return NULL;
    }
    note_port(listener);
    return listener;
}

int listener_port(const struct listener *listener)
{
    return listener->port;
}

void listener_stop(struct listener **listener)
{
    struct listener *l = *listener;
    *listener = NULL;
    if (l != NULL)
        uv_close((uv_handle_t *)&l->tcp, on_listener_closed);
}
