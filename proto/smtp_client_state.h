/* smtp_client_state - what the files of the client share with each other, and with nobody else
 *
 * smtp_client.c               its life, and what its owner tells it
 * smtp_client_dialogue.c      the session: greeting, EHLO, STARTTLS, RSET, QUIT
 * smtp_client_transaction.c   one message: MAIL, RCPT, DATA, the dot, and everybody's result
 * smtp_client_output.c        what waits to be sent
 * smtp_client_events.c        what waits to be told
 *
 * States and their moves (client_move() is the only writer):
 *   GREETING -> EHLO -> READY, EHLO -> HELO -> READY (5xx to EHLO), EHLO -> STARTTLS -> HANDSHAKE -> EHLO
 *   READY -> ENVELOPE -> BODY -> DOT -> READY; ENVELOPE -> RSET -> READY if the server still has a sender
 *   READY -> QUIT; and from everywhere -> CLOSED, from where nothing leads away. */
#ifndef PROTO_SMTP_CLIENT_STATE_H
#define PROTO_SMTP_CLIENT_STATE_H

#include "base/buffer.h"
#include "proto/smtp_client.h"
#include "proto/smtp_ehlo.h"

enum client_state {
    CLIENT_GREETING,
    CLIENT_EHLO,
    CLIENT_HELO,
    CLIENT_STARTTLS,
    CLIENT_HANDSHAKE,
    CLIENT_READY,
    CLIENT_ENVELOPE, /* MAIL, RCPT, DATA are said; not all are answered */
    CLIENT_BODY,     /* 354 came; the body and the dot are being sent */
    CLIENT_DOT,      /* the dot is sent, its reply awaited */
    CLIENT_RSET,
    CLIENT_QUIT,
    CLIENT_CLOSED,
};

#define CLIENT_RUNS 16

/* Commands first, then the runs of the message. The message is cut so that a line's leading dot is the last
 * byte of one run and the first of the next: sent twice, copied never (RFC 5321 4.5.2). */
struct client_output {
    struct buffer commands;
    size_t held; /* the last `held` bytes of the commands wait for a reply (no PIPELINING) */
    struct blob *parts[2];
    size_t part, at;                /* where the next run begins */
    bool line_start;                /* a new line begins at `at` if that is a part's first byte */
    bool doubled;                   /* the dot at `at` has been sent once */
    bool cutting;                   /* runs are being made */
    bool end_held;                  /* the final dot's run is not to be made */
    bool ended;                     /* the last run made is the final dot's */
    bool dot_begun;                 /* a byte of the final dot's run is gone */
    struct iovec runs[CLIENT_RUNS]; /* a ring */
    size_t first_run, run_count;
};

/* A reply in short, its text in client_events.texts. */
struct told {
    int code;
    char enhanced[12];
    size_t text;
};

struct occurrence {
    enum smtp_client_event event;
    enum smtp_stage stage;
    bool later_now;
    size_t recipient;
    struct told told;
};

struct client_events {
    struct occurrence *list;
    size_t first, count, room;
    struct buffer texts;
};

enum { RCPT_SAID = 1, RCPT_TAKEN = 2, RCPT_OVER = 4 };

struct client_transaction {
    bool active;
    bool pipelined;
    bool mail_answered;
    bool server_open;   /* the server has a sender or recipients: a new MAIL needs a RSET before it */
    size_t count, next; /* recipients; the first whose RCPT may be unanswered */
    size_t taken, over; /* accepted by the server; results given */
    uint8_t *fates;     /* RCPT_ bits */
    size_t fates_room;
};

struct smtp_client {
    enum client_state state;
    enum smtp_tls tls;
    usec_t greeting_timeout, command_timeout, data_timeout, block_timeout, dot_timeout;
    usec_t deadline, patience; /* how long the deadline was away when it was set */
    char *helo;
    bool quit_wanted, secure;
    char tls_detail[128];
    uint64_t mails; /* MAIL commands of this session (RFC 9422 MAILMAX) */
    struct smtp_ehlo ehlo;
    struct client_output output;
    struct client_transaction transaction;
    struct client_events events;
    struct reply_reader reader;
};

/* smtp_client.c: the state and the time until which it may last. */
void client_move(struct smtp_client *client, enum client_state state, usec_t now, usec_t patience);
enum smtp_stage client_stage(const struct smtp_client *client);
/* Ends the session: what waits to be sent is dropped, everybody without a result gets `reply`, CLOSED is
 * told.
 */
void client_fail(struct smtp_client *client, enum smtp_stage stage, const struct reply *reply);
/* The same by a reply of our own; behind the final dot it says that the outcome is unknown. */
void client_fail_local(struct smtp_client *client, const char *enhanced, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* smtp_client_dialogue.c */
/* One whole reply. */
void client_reply(struct smtp_client *client, const struct reply *reply, usec_t now);
void client_say_ehlo(struct smtp_client *client, usec_t now);
void client_say_quit(struct smtp_client *client, usec_t now);
/* Free for the next transaction (or for QUIT). */
void client_ready(struct smtp_client *client, usec_t now);
/* A reply that can't belong to what was said. */
void client_out_of_turn(struct smtp_client *client, const struct reply *reply);

/* smtp_client_transaction.c */
void client_envelope_reply(struct smtp_client *client, const struct reply *reply, usec_t now);
void client_body_reply(struct smtp_client *client, const struct reply *reply);
void client_dot_reply(struct smtp_client *client, const struct reply *reply, usec_t now);
/* Every recipient without a result gets this one; the transaction is over. Nothing if there is none. */
void client_transaction_end(struct smtp_client *client, enum smtp_stage stage, const struct reply *reply);

/* smtp_client_output.c */
/* Holds both (each may be null) until client_output_end_message or client_output_free. */
void client_output_message(struct client_output *output, struct blob *head, struct blob *body);
/* The next held command line may be sent; or none of them. */
void client_output_release(struct client_output *output);
void client_output_drop_held(struct client_output *output);
void client_output_end_message(struct client_output *output);
/* The final dot is not to leave; false: it may have. */
bool client_output_hold_end(struct client_output *output);
/* All that may leave has left, and only the dot's leave is awaited. */
bool client_output_awaits_end(const struct client_output *output);
/* Nothing more may leave. What was shown stays readable: the network may still be busy with it. */
void client_output_stop(struct client_output *output);
void client_output_free(struct client_output *output);

/* smtp_client_events.c */
struct told client_tell(struct smtp_client *client, const struct reply *reply);
void client_happened(struct smtp_client *client, enum smtp_client_event event);
void client_result(struct smtp_client *client, size_t recipient, enum smtp_stage stage,
    const struct told *told, bool later_now);
void client_closed(struct smtp_client *client, enum smtp_stage stage, const struct told *told);
/* Takes back an event that is no longer true, if it is the newest and nobody has seen it. */
void client_unhappen(struct smtp_client *client, enum smtp_client_event event);
void client_events_free(struct client_events *events);

#endif
