/* smtp_client - the sending side of an SMTP session, bytes in and bytes out
 *
 * A core: it owns no socket. The owner feeds what arrives, sends what smtp_client_output() shows, and asks
 * smtp_client_next() what happened. One session carries one transaction after the other (RSET is not needed
 * after a finished one).
 *
 *   GREETING -> EHLO (-> HELO on 5xx) -> [STARTTLS -> handshake -> EHLO] -> READY -> MAIL+RCPT..+DATA -> DATA
 * -> DOT -> READY ... -> QUIT
 *
 * RFC 5321 (dialogue, timeouts 4.5.3.2, dot-stuffing 4.5.2), 2920 (PIPELINING: MAIL, all RCPTs and DATA in
 * one go where offered; a 354 although every RCPT failed is answered by a lone dot), 1870 (SIZE= is sent; a
 * message larger than the offered limit fails at once with 5.3.4 without being sent), 6152 (BODY=8BITMIME
 * where offered and needed; an 8-bit message to a peer without it: all recipients fail with 5.6.3), 3207
 * (STARTTLS; everything that arrived behind the 220 in plaintext, and all that was known from before TLS, is
 * thrown away: bytes behind the 220 = the session fails as response injection), 9422 (LIMITS RCPTMAX,
 * MAILMAX). Waits for the whole greeting before talking. 421 at any time ends the session: what has no final
 * reply yet gets that 421 as its reply. 452 4.5.3 ("too many recipients") at a RCPT: those recipients get
 * RESULT with `later_now` set: send them again in a new transaction at once. A connection lost or timed out
 * after the final dot was sent (even in part: from the first byte of the last segment on): outcome unknown:
 * results carry stage SMTP_DOT and code 0.
 *
 * The body is never copied: output segments point into the blob; dot-stuffing is done by cutting segments at
 * lines that start with a dot. The body must be CRLF-only (the intake saw to that); if it does not end in
 * CRLF one is added before the dot.
 *
 * Time: `now` comes in; ask smtp_client_deadline() when to call smtp_client_tick(). Memory: bounded; replies
 * are cut by proto/reply. Errors: every failure is a reply (code 0 = local) with a stage. */
#ifndef PROTO_SMTP_CLIENT_H
#define PROTO_SMTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/blob.h"
#include "base/clock.h"
#include "proto/reply.h"

enum smtp_stage {
    SMTP_CONNECT, /* greeting too */
    SMTP_EHLO,
    SMTP_STARTTLS,
    SMTP_MAIL,
    SMTP_RCPT,
    SMTP_DATA, /* the command and the body */
    SMTP_DOT,
    SMTP_QUIT,
};
const char *smtp_stage_name(
    enum smtp_stage stage); /* "connect", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "dot", "QUIT" */

enum smtp_tls { SMTP_TLS_NONE, SMTP_TLS_OPPORTUNISTIC, SMTP_TLS_REQUIRED };

struct smtp_client_settings {
    const char *helo;  /* our name for this source; copied */
    enum smtp_tls tls; /* REQUIRED and not offered or failed: the session fails at SMTP_STARTTLS.
                        * OPPORTUNISTIC and the command refused (not 220): goes on in plaintext; a failed
                        * handshake ends the session (the owner may retry with NONE) */
    usec_t greeting_timeout, command_timeout, data_timeout, block_timeout,
        dot_timeout; /* 0 = RFC: 5, 5, 2, 3, 10 minutes */
};

/* One transaction. All pointers are held or copied by smtp_client_send(). */
struct smtp_transaction {
    const char *from; /* "" = <> */
    const char *const *recipients;
    size_t recipient_count; /* 1 .. 1000 */
    struct blob *head;      /* bytes before the body (DKIM-Signature...), or null; CRLF lines */
    struct blob *body;
    bool eight_bit;
};

enum smtp_client_event {
    SMTP_CLIENT_NOTHING,
    SMTP_CLIENT_START_TLS, /* the owner starts the handshake once all output is sent, then calls
                              smtp_client_tls_done */
    SMTP_CLIENT_READY,     /* a transaction may be sent */
    SMTP_CLIENT_RESULT,    /* one recipient's outcome (every recipient of a transaction gets exactly one) */
    SMTP_CLIENT_SENT,      /* the transaction is over (all results are out); READY or CLOSED follows */
    SMTP_CLIENT_CLOSED, /* the session is over: close the connection once output is sent. `reply`, `stage` say
                           why (stage QUIT and code 2xx = as we wished) */
};

struct smtp_client_report {
    enum smtp_client_event event;
    size_t recipient; /* RESULT: index into the transaction */
    enum smtp_stage stage;
    bool later_now;     /* RESULT: see 452 above */
    struct reply reply; /* RESULT, CLOSED */
};

struct smtp_client;
struct smtp_client *smtp_client_new(
    const struct smtp_client_settings *settings, usec_t now); /* the connection is up, greeting awaited */
/* Frees it; results not yet taken are lost, so first tell it smtp_client_lost() and drain smtp_client_next().
 */
void smtp_client_free(struct smtp_client **client);

void smtp_client_receive(struct smtp_client *client, const char *bytes, size_t len, usec_t now);
/* The connection ended or broke (`why`: "connection reset by peer"...). */
void smtp_client_lost(struct smtp_client *client, const char *why, usec_t now);
/* The handshake ended; `detail` is the protocol and cipher, or what failed. */
void smtp_client_tls_done(struct smtp_client *client, bool ok, const char *detail, usec_t now);
void smtp_client_tick(struct smtp_client *client, usec_t now);
usec_t smtp_client_deadline(const struct smtp_client *client); /* USEC_NEVER if nothing is awaited */

/* Only after READY. Returns 0, or -1 if not ready (a bug of the owner, nothing is started). */
int smtp_client_send(struct smtp_client *client, const struct smtp_transaction *transaction, usec_t now);
void smtp_client_quit(struct smtp_client *client, usec_t now);
/* The final dot of the transaction that is under way, or of the next one, must not leave until smtp_client_may_end().
 * All before it goes; the time in which the server must take something goes on. False: too late, the dot may have been
 * sent (or there is nothing to hold back). A lone dot behind refusals (RFC 2920) ends nothing, and is not held. */
bool smtp_client_hold_end(struct smtp_client *client);
/* There may be output then. */
void smtp_client_may_end(struct smtp_client *client);

/* What waits to be sent: up to `max` segments (pointing into blobs or the client's own buffer, valid until
 * the next call of anything but this; a session that has ended keeps them until smtp_client_free). Returns
 * how many. The owner tells at once how many bytes it has got rid of: that moment decides whether the final
 * dot may have been sent. An owner that has only queued them by reference must copy what is left, or hold
 * back what it receives until the queue is empty: a server that answers before it has read would else free
 * them. */
size_t smtp_client_output(struct smtp_client *client, struct iovec *segments, size_t max);
void smtp_client_output_sent(struct smtp_client *client, size_t bytes, usec_t now);
/* The blobs (or null) that segments may point into. An owner that holds them, and copies what points elsewhere, may
 * use the segments for as long as it likes. */
void smtp_client_parts(const struct smtp_client *client, struct blob *parts_r[2]);

/* The next thing that happened; NOTHING when there is no more. */
enum smtp_client_event smtp_client_next(struct smtp_client *client, struct smtp_client_report *report_r);

bool smtp_client_secure(const struct smtp_client *client);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", or "" in plaintext. */
const char *smtp_client_tls(const struct smtp_client *client);

#endif
