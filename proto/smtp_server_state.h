/* smtp_server_state - the inside of proto/smtp_server, shared by its files only
 *
 *   smtp_server.c          life, lines, deadlines, replies, what the owner calls
 *   smtp_server_command.c  EHLO, MAIL, RCPT, ... one function a command
 *   smtp_server_auth.c     the AUTH exchange
 *   smtp_server_data.c     from 354 to the final dot
 *
 * States and their moves (smtp_server_move is the only writer):
 *   COMMAND -> AUTH (334 said) -> LOGIN (the owner is asked) -> COMMAND
 *   COMMAND -> TLS (220 said, the owner shakes hands) -> COMMAND
 *   COMMAND -> DATA (354 said) -> ANSWER (the owner has the message) -> COMMAND; a refused message goes from
 *              DATA to COMMAND at once
 *   any -> CLOSED, which is the end.
 * In LOGIN and ANSWER no input is taken. */
#ifndef PROTO_SMTP_SERVER_STATE_H
#define PROTO_SMTP_SERVER_STATE_H

#include "base/error.h"
#include "base/random.h"
#include "proto/address.h"
#include "proto/smtp_server.h"

#define SMTP_SERVER_MAX_LINE 2048 /* a command with its CRLF */
#define SMTP_SERVER_MAX_HELO 255
#define SMTP_SERVER_MAX_ERRORS 20
#define SMTP_SERVER_MAX_IDLE_COMMANDS                                                                        \
    100 /* NOOP, RSET, EHLO ... without a message; further ones are errors */
#define SMTP_SERVER_MAX_OUTPUT (1u << 20) /* a client that pipelines and does not read */

enum smtp_server_state {
    SMTP_SERVER_IN_COMMAND,
    SMTP_SERVER_IN_AUTH,
    SMTP_SERVER_IN_LOGIN,
    SMTP_SERVER_IN_TLS,
    SMTP_SERVER_IN_DATA,
    SMTP_SERVER_IN_ANSWER,
    SMTP_SERVER_IN_CLOSED,
};

enum smtp_server_auth { SMTP_SERVER_AUTH_PLAIN, SMTP_SERVER_AUTH_USER, SMTP_SERVER_AUTH_SECRET };

/* Where in a line of the data the scanner stands. A CR, and a dot at the start of a line, are held back until
 * the next byte tells what they are. */
enum smtp_server_at {
    SMTP_SERVER_AT_START,
    SMTP_SERVER_AT_DOT,    /* "." so far */
    SMTP_SERVER_AT_DOT_CR, /* ".CR" so far */
    SMTP_SERVER_AT_INSIDE,
    SMTP_SERVER_AT_CR, /* inside, the last byte was a CR */
};

enum smtp_server_fault {
    SMTP_SERVER_FINE,
    SMTP_SERVER_BARE_CR,
    SMTP_SERVER_BARE_LF,
    SMTP_SERVER_LONG_LINE,
    SMTP_SERVER_TOO_BIG,
};

struct smtp_server_data {
    enum smtp_server_at at;
    enum smtp_server_fault fault; /* the first one; from then on everything is dropped */
    uint64_t line;                /* the present one, from 1 */
    uint64_t fault_line;
    size_t line_len; /* its octets so far, without the stuffed dot */
    uint64_t size;   /* octets of data so far */
    size_t block;    /* octets since the deadline was moved */
    bool eight_bit;
    struct mail_id id;
    size_t received_len;
    char *body; /* Received: and the data; `body_size` is what it has room for */
    size_t body_len, body_size;
};

struct smtp_server {
    struct smtp_server_settings settings; /* host and peer are copies */
    enum smtp_server_state state;
    enum smtp_server_event event; /* not yet fetched by smtp_server_next */
    usec_t now, deadline;
    struct random random;
    struct buffer output;
    bool tls, esmtp;
    bool shutdown; /* after the owner's answer: 421 with shutdown_text */
    char shutdown_text[256];
    unsigned errors, idle_commands;

    char line[SMTP_SERVER_MAX_LINE + 1]; /* the present command, perhaps only its beginning yet */
    size_t line_len;
    bool line_too_long;

    char helo[SMTP_SERVER_MAX_HELO + 1]; /* "" = not yet greeted */
    char *identity;                      /* of the login, or null */
    enum smtp_server_auth auth;
    char *user, *secret; /* what the owner is asked about; wiped when freed */

    bool has_mail; /* a transaction is open */
    uint64_t size_hint;
    char *from;
    char **recipients;
    size_t recipient_count, recipient_room;
    struct smtp_server_data data;
    char *room; /* kept for the next message, or null */
};

void smtp_server_move(struct smtp_server *server, enum smtp_server_state to);
/* A reply line "code enhanced text" (or "code-..." if `more`); what is not printable ASCII becomes '?'. */
void smtp_server_reply(struct smtp_server *server, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void smtp_server_reply_more(struct smtp_server *server, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A reply to a client's mistake; the 20th ends the session. */
void smtp_server_refuse(struct smtp_server *server, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void smtp_server_close(struct smtp_server *server);
/* Forgets the transaction (RSET). */
void smtp_server_reset(struct smtp_server *server);

/* A command line without its CRLF: a text that holds no zero, CR or LF. */
void smtp_server_command(struct smtp_server *server, char *line);
/* May this session hand in mail? */
bool smtp_server_may_send(const struct smtp_server *server);

bool smtp_server_auth_allowed(const struct smtp_server *server);
void smtp_server_auth_begin(struct smtp_server *server, const char *argument);
void smtp_server_auth_line(struct smtp_server *server, const char *line);
void smtp_server_auth_forget(struct smtp_server *server);

void smtp_server_data_begin(struct smtp_server *server);
/* Takes data up to and with the final dot; returns how much. */
size_t smtp_server_data_receive(struct smtp_server *server, const char *bytes, size_t len);
/* The message, the caller's now: a block of its own size, or nearly. */
char *smtp_server_data_take(struct smtp_server *server);
void smtp_server_data_forget(struct smtp_server *server);

#endif
