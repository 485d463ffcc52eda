/* stream_uv - one TCP connection on a libuv loop, plain or under TLS
 *
 * What both ends of the house use: the intake for clients, the node for receivers. Reads are handed up as
 * they come (decrypted), writes are gathered from segments and sent with as few system calls as possible:
 * first at once without waiting (uv_try_write), the rest queued by reference while its bytes stay valid
 * (plain) or encrypted. Backpressure: stream_pause(true) stops reading; writes above STREAM_MAX_QUEUED are
 * not taken (stream_write returns how much it took). Under TLS at most about 64 KiB wait encrypted.
 *
 * Life: stream_connect or a listener makes it; exactly one `closed` call comes, at the end, whoever ended it,
 * and the stream is freed after it. No call comes from within stream_* functions called by the owner, so
 * `closed` never comes before stream_close returns; after stream_close only `closed` comes. The owner's
 * context must live until then. Sources: connecting binds to the source address first, with
 * IP_BIND_ADDRESS_NO_PORT, so that ports are not burnt. TCP_NODELAY is on.
 *
 * Threads: the loop's only; the process must ignore SIGPIPE. Memory: about 700 bytes a plain connection; one
 * read buffer of 64 KiB for all streams of a loop, whose `data` is ours: null before the first one. Errors: the sentence in `closed`. */
#ifndef BASE_STREAM_UV_H
#define BASE_STREAM_UV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/tls_ossl.h"

#define STREAM_MAX_QUEUED (1u << 20)

struct uv_loop_s;
struct stream;

struct stream_calls {
    void (*connected)(void *context);                               /* stream_connect only */
    void (*received)(void *context, const char *bytes, size_t len); /* plaintext */
    void (*writable)(void *context); /* everything taken so far is with the kernel; more may be written */
    void (*secured)(void *context, bool ok, const char *detail); /* answers stream_start_tls */
    void (*closed)(
        void *context, const char *why); /* "" = closed in order by us; else "connection refused" ... */
};

/* Starts connecting; `source` may be null; timeout 0 = the kernel's. Null with the reason if not even a start
 * was possible (no call comes then). */
struct stream *stream_connect(struct uv_loop_s *loop, const struct sockaddr *source,
    const struct sockaddr *peer, usec_t timeout, const struct stream_calls *calls, void *context,
    struct error *error);
/* Takes the segments' bytes; where stream_writing() is true afterwards, they must stay valid until `writable`
 * or `closed`, else they are no longer needed. Returns how many bytes it took, all or a prefix (0 = wait for
 * `writable`, or first for `connected` / `secured`). `writable` comes once after every time something had to
 * wait, never where all went at once. */
size_t stream_write(struct stream *stream, const struct iovec *segments, size_t count);
/* Copies what it is given; for short texts. All or nothing: false if the queue is full, or before `connected`
 * / `secured`. */
bool stream_write_copy(struct stream *stream, const void *bytes, size_t len);
bool stream_writing(const struct stream *stream); /* something taken is not yet with the kernel */
void stream_pause(struct stream *stream, bool paused);
/* What was written before goes out in clear first. `secured` answers with the protocol and cipher, or with
 * false and the reason; then `closed` follows by itself. No time limit of its own: the owner's clock ends a
 * handshake that hangs. The context must live as long as the stream. */
void stream_start_tls(struct stream *stream, struct tls_context *context, bool server, const char *host);
/* The session of a secured stream (detail, verified, resumed), else null. */
const struct tls_session *stream_tls(const struct stream *stream);
/* Ends it: at once, or (gently) after what was taken has been sent and the peer has closed too, at most 5 s;
 * what the peer still sends then is dropped. A second call changes gently into at once, never back. */
void stream_close(struct stream *stream, bool gently);
/* "192.0.2.1" / "2001:db8::1"; and the port. */
const char *stream_peer(const struct stream *stream);
int stream_peer_port(const struct stream *stream);

struct listener;
struct listener_calls {
    /* A new connection: set *context_r and *calls_r for it; return false to refuse it (closed at once, after
     * `refusal` was sent if not null; no call comes for it). `peer` is the bare address. */
    bool (*accepted)(void *context, struct stream *stream, const char *peer,
        const struct sockaddr *peer_address, const struct stream_calls **calls_r, void **context_r,
        const char **refusal_r);
};
/* Binds and listens on "127.0.0.1:2525", "[::1]:25", "0.0.0.0:25" (an IPv6 address takes IPv6 only); the
 * error names the address and what to do (port in use, no permission). */
struct listener *listener_start(struct uv_loop_s *loop, const char *address,
    const struct listener_calls *calls, void *context, struct error *error);
/* For an owner that gives a connection to another loop: in `accepted`, a number for its socket, good on any thread
 * (-1: there is none left), for stream_adopt; the stream itself is then to be refused. */
int stream_share(const struct stream *stream);
/* As if it had come to a listener of this loop; takes over the number. */
void stream_adopt(struct uv_loop_s *loop, int number, const struct listener_calls *calls, void *context);
/* The port it got (for port 0). */
int listener_port(const struct listener *listener);
/* Stops at once; connections live on. The loop must run once more to let go of its memory. */
void listener_stop(struct listener **listener);

/* "192.0.2.1:25", "[::1]:25", "192.0.2.1" or "::1" (with default_port) into a socket address. 0 or -1 with
 * the reason. */
int stream_parse_address(
    const char *text, int default_port, struct sockaddr_storage *out, socklen_t *len_r, struct error *error);
/* The bare address and the port of a socket address; `out` takes 46 bytes. */
int stream_format_address(const struct sockaddr *address, char out[46]);

#endif
