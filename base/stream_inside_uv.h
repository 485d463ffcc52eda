/* stream_inside_uv - what the files of stream_uv share
 *
 * stream_uv.c is a stream's life and its reading, stream_connect_uv.c its start, stream_write_uv.c its
 * writing, listener_uv.c makes streams
 * out of arrivals, address_uv.c reads and writes addresses.
 *
 * Moods of a stream: CONNECTING -> OPEN -> (GENTLE ->) ENDED. OPEN includes a running TLS handshake.
 * GENTLE: the owner hears nothing any more but `closed`; what was taken is flushed, then our side is shut
 * down, then the peer's end is awaited. ENDED: the handles are closing; `closed` comes from the last one. */
#ifndef BASE_STREAM_INSIDE_UV_H
#define BASE_STREAM_INSIDE_UV_H

#include <uv.h>

#include "base/buffer.h"
#include "base/stream_uv.h"

#define STREAM_READ_SIZE (64u << 10)
#define STREAM_GATHER (16u << 10) /* what fits into a TLS record */

enum stream_mood { STREAM_CONNECTING, STREAM_OPEN, STREAM_GENTLE, STREAM_ENDED };

/* What all streams of a loop share while there are any (loop->data): calls never nest, so one of each is enough. */
struct stream_shared {
    unsigned holders;
    struct buffer plain, cipher;  /* empty between calls */
    char gathered[STREAM_GATHER]; /* small pieces that make one record */
    char read[STREAM_READ_SIZE];
};

struct stream {
    uv_tcp_t tcp;
    uv_timer_t timer; /* connecting, or closing gently */
    uv_shutdown_t shutdown;
    uv_connect_t connect;
    struct stream_shared *shared;
    const struct stream_calls *calls; /* null: nobody is told */
    void *context;
    struct tls_session *tls;
    enum stream_mood mood;
    unsigned handles; /* not yet closed */
    size_t queued;    /* bytes taken and not with the kernel, and what their requests cost */
    usec_t timeout;
    bool paused, reading;
    bool by_owner;  /* the owner closed it */
    bool tls_asked; /* stream_start_tls was not answered yet */
    bool shut;      /* our side is shut down */
    bool peer_shut; /* the peer's side is */
    int peer_port;
    char peer[46];
    char why[200];
};

/* A stream with both handles initialised; its socket exists already where `family` is not AF_UNSPEC. Null
 * with the reason. */
struct stream *stream_new(uv_loop_t *loop, int family, struct error *error);
/* Starts reading unless paused. */
void stream_read(struct stream *stream);
/* Ends it for the reason (null: none; the first one counts). No call is made here. */
void stream_end(struct stream *stream, const char *why);
/* Ends what nobody was told about. */
void stream_discard(struct stream *stream);
/* Goes on with a gentle end, if one is asked for and everything is flushed. */
void stream_wind_down(struct stream *stream);
/* Sends what stands in shared->cipher (and empties it). */
void stream_flush_cipher(struct stream *stream);
/* Tells where the peer is. */
void stream_note_peer(struct stream *stream, const struct sockaddr *peer);

#endif
