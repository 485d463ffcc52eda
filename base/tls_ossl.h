/* tls_ossl - TLS as bytes in and bytes out
 *
 * Knows no socket: ciphertext goes in and comes out through buffers, plaintext likewise; OpenSSL reads from
 * and writes to the caller's bytes directly (a BIO of our own), nothing lies in between. TLS 1.2 and newer.
 * The client side does not refuse a certificate it can't verify (opportunistic TLS, RFC 7435) but tells
 * whether it could; SNI is the host's name; sessions are resumed per context where the peer lets us. The
 * server side takes a certificate chain and key as PEM files.
 *
 * Threads: a context may be shared by sessions of one thread. Memory: a context remembers at most
 * TLS_MAX_REMEMBERED sessions of hosts; a session that rests holds no record buffers. A context may be freed
 * before its sessions. Errors: a sentence with OpenSSL's reason. */
#ifndef BASE_TLS_OSSL_H
#define BASE_TLS_OSSL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

#define TLS_MAX_REMEMBERED 2048
#define TLS_TICKET_SECRET 80

struct tls_context;
struct tls_context *tls_context_client(struct error *error);
struct tls_context *tls_context_server(const char *cert_file, const char *key_file, struct error *error);
/* Server contexts that have the same secret take up each other's sessions again; else each has one of its own. */
void tls_context_share_tickets(struct tls_context *context, const uint8_t secret[TLS_TICKET_SECRET]);
/* Held once more; null is fine. Of one thread, as the context is. */
struct tls_context *tls_context_hold(struct tls_context *context);
/* Gives one hold back. */
void tls_context_free(struct tls_context **context);

enum tls_status { TLS_HANDSHAKE, TLS_UP, TLS_CLOSED, TLS_BROKEN };

struct tls_session;
/* `host`: SNI, the name the certificate is checked for, and session cache key for a client (an IP address is
 * checked but sends no SNI, RFC 6066 section 3; null or "" = nothing is known); ignored for a server. */
struct tls_session *tls_session_new(struct tls_context *context, const char *host);
void tls_session_free(struct tls_session **session);
/* Gives ciphertext in; decrypted bytes are appended to `plain` (at most as many as came in). Ciphertext to
 * send is appended to `cipher`. Call once with no bytes to start a client's handshake. */
enum tls_status tls_session_receive(
    struct tls_session *session, const void *bytes, size_t len, struct buffer *plain, struct buffer *cipher);
/* Encrypts; only when TLS_UP. 0, or -1. */
int tls_session_send(struct tls_session *session, const void *bytes, size_t len, struct buffer *cipher);
/* Appends a close_notify. */
void tls_session_close(struct tls_session *session, struct buffer *cipher);
enum tls_status tls_session_status(const struct tls_session *session);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384"; why it broke; whether the certificate was verified against the system's
 * roots and the host name; whether an earlier session was taken up again. */
const char *tls_session_detail(const struct tls_session *session);
const char *tls_session_error(const struct tls_session *session);
bool tls_session_verified(const struct tls_session *session);
bool tls_session_resumed(const struct tls_session *session);

#endif
