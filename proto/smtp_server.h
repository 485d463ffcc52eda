/* smtp_server - the receiving side of an SMTP session, bytes in and bytes out
 *
 * A core: it owns no socket and knows no tenants. It speaks the dialogue (RFC 5321, 2920, 6152, 1870, 3207,
 * 4954, 2034) and asks its owner three things: is this login right, may the handshake start, and what became
 * of this message.
 *
 * Only CRLF ends a line and only CRLF.CRLF ends a message: a bare CR or LF in a command or in the data is
 * refused (554 5.6.0 / 500 5.5.2) (SMTP smuggling). A data line over max_line gets 550 5.6.0 with its number
 * after the dot. Commands over 2048 octets (incl. AUTH) 500 5.5.6. Everything received before the end of a
 * STARTTLS handshake is forgotten, and plaintext bytes behind STARTTLS end the session. Pipelined commands
 * are fine; input behind the final dot waits (smtp_server_wants_input() is false) until the owner has
 * answered. Refused recipients and oversized messages never hold memory: data beyond max_size is dropped
 * while it is read, answered 552 5.3.4 after the dot (or at MAIL when SIZE= says so). More than
 * max_recipients: 452 4.5.3. After 20 errors without a message answered by 250 between them: 421 4.7.0; more
 * than 100 NOOP, RSET, EHLO ... without a message are errors too. Idle or slow: 421 4.4.2 after
 * command_timeout, and when less than 16 KiB of data come within data_timeout. A client that pipelines on and
 * on without reading is dropped at 1 MiB of output: the owner stops feeding while output waits.
 * Without a login and without trust, MAIL FROM is answered 530 5.7.0: never an open relay. AUTH PLAIN and
 * LOGIN only under TLS or from loopback (allow_plain_auth), else not offered and 538 5.7.11.
 *
 * The message is gathered once, into the buffer that becomes its body: a Received: line made here (RFC
 * 5321 4.4), then the lines as they came, dot-unstuffed.
 *
 * Time: `now` comes in; smtp_server_deadline() says when to call smtp_server_tick(). Randomness: a seed in
 * the settings (message ids). */
#ifndef PROTO_SMTP_SERVER_H
#define PROTO_SMTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "proto/id.h"

struct smtp_server_settings {
    const char *host; /* our name in the greeting and in Received:; copied, as all texts here */
    const char *peer; /* the client's address as text */
    bool tls_offered, tls_from_start;
    bool trusted;          /* may send without a login */
    bool auth_offered;     /* there is somebody to ask */
    bool auth_required;    /* even if trusted */
    bool allow_plain_auth; /* AUTH without TLS (loopback) */
    uint64_t max_size;
    uint32_t max_recipients, max_line;    /* max_line without the CRLF: 998 */
    usec_t command_timeout, data_timeout; /* 0 = 5 minutes, 5 minutes */
    uint64_t seed;
};

enum smtp_server_event {
    SMTP_SERVER_NOTHING,
    SMTP_SERVER_LOGIN,     /* is (user, secret) right? answer by smtp_server_login_done */
    SMTP_SERVER_START_TLS, /* once all output is sent: start the handshake, then smtp_server_tls_done */
    SMTP_SERVER_MESSAGE,   /* a whole message: take it by smtp_server_take, answer by smtp_server_answer */
    SMTP_SERVER_CLOSED,    /* close the connection once output is sent */
};

struct smtp_server_message {
    struct mail_id id; /* fresh; named in Received: and meant for the 250 */
    char *from;        /* "" = null reverse-path; domain lower-case A-label */
    char **recipients; /* at least one */
    size_t recipient_count;
    bool eight_bit;      /* an octet above 127 was seen */
    size_t received_len; /* length of the Received: block made by us at the front of the body */
    char *body;          /* heap block, a zero behind its len */
    size_t body_len;
};
void smtp_server_message_clear(struct smtp_server_message *message);

struct smtp_server;
struct smtp_server *smtp_server_new(
    const struct smtp_server_settings *settings, usec_t now); /* the greeting is in the output */
void smtp_server_free(struct smtp_server **server);

/* Takes as much of the input as it wants; returns how much. What is left must be given again after the next
 * answer. Whatever arrives between START_TLS and smtp_server_tls_done in plaintext must be given too: it ends
 * the session. */
size_t smtp_server_receive(struct smtp_server *server, const char *bytes, size_t len, usec_t now);
bool smtp_server_wants_input(const struct smtp_server *server);
void smtp_server_tick(struct smtp_server *server, usec_t now);
usec_t smtp_server_deadline(const struct smtp_server *server);
/* Says 421 with the text and closes after the current answer (shutdown). */
void smtp_server_shutdown(struct smtp_server *server, const char *text, usec_t now);

enum smtp_server_event smtp_server_next(struct smtp_server *server);
/* After LOGIN. The texts are valid until smtp_server_login_done. */
void smtp_server_login(const struct smtp_server *server, const char **user_r, const char **secret_r);
/* `ok`: 235 and from now on `identity` (copied) is the login; else 535 5.7.8. */
void smtp_server_login_done(struct smtp_server *server, bool ok, const char *identity, usec_t now);
void smtp_server_tls_done(struct smtp_server *server, bool ok, usec_t now);
/* After MESSAGE: hands the message over (the caller clears it). */
void smtp_server_take(struct smtp_server *server, struct smtp_server_message *message_r);
/* The reply to the final dot: code 250, 4xx or 5xx; `text` with its enhanced code: "2.0.0 queued as 0f3c..".
 */
void smtp_server_answer(struct smtp_server *server, int code, const char *text, usec_t now);

/* Output is gathered in this buffer: send and buffer_eat(). */
struct buffer *smtp_server_output(struct smtp_server *server);
/* The login's identity, or "". */
const char *smtp_server_identity(const struct smtp_server *server);

#endif
