/* smtp_dialogue - plays the owner of a proto/smtp_server in tests
 *
 * A dialogue is a list of segments, each one what arrives at once. The owner knows one login (alice, secret
 * "pw"), says yes to every handshake between segments, and answers every message with `answer`. The dialogue
 * runs whole, and again cut into pieces of 1, 2, 3 and 7 bytes: output and messages must be the same. */
#ifndef TESTS_SMTP_DIALOGUE_H
#define TESTS_SMTP_DIALOGUE_H

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/smtp_server.h"

#define DIALOGUE_NOW ((usec_t)1800000000 * USEC_SEC) /* Fri, 15 Jan 2027 08:00:00 */
#define DIALOGUE_MESSAGES 8

struct dialogue {
    struct smtp_server_settings settings;
    int answer_code;
    const char *answer;
    /* What came of it: */
    struct buffer output;
    struct smtp_server_message messages[DIALOGUE_MESSAGES];
    size_t message_count, login_count, tls_count;
    bool closed;
};

static inline struct smtp_server_settings dialogue_settings(void)
{
    return (struct smtp_server_settings){.host = "mx.test",
        .peer = "127.0.0.1",
        .trusted = true,
        .max_size = 1000,
        .max_recipients = 3,
        .max_line = 100,
        .seed = 42};
}

static inline void dialogue_clear(struct dialogue *d)
{
    buffer_free(&d->output);
    for (size_t i = 0; i < d->message_count; i++)
        smtp_server_message_clear(&d->messages[i]);
    d->message_count = d->login_count = d->tls_count = 0;
    d->closed = false;
}

/* True if an event was dealt with. A handshake waits until the segment is over. */
static inline bool dialogue_event(struct dialogue *d, struct smtp_server *server, bool *tls)
{
    const char *user, *secret;
    switch (smtp_server_next(server)) {
    case SMTP_SERVER_LOGIN:
        smtp_server_login(server, &user, &secret);
        d->login_count++;
        smtp_server_login_done(
            server, strcmp(user, "alice") == 0 && strcmp(secret, "pw") == 0, "acme", DIALOGUE_NOW);
        return true;
    case SMTP_SERVER_START_TLS:
        *tls = true;
        return true;
    case SMTP_SERVER_MESSAGE:
        if (d->message_count == DIALOGUE_MESSAGES)
            abort();
        smtp_server_take(server, &d->messages[d->message_count++]);
        smtp_server_answer(server, d->answer_code, d->answer, DIALOGUE_NOW);
        return true;
    case SMTP_SERVER_CLOSED:
        d->closed = true;
        return true;
    default:
        return false;
    }
}

static inline void dialogue_segment(
    struct dialogue *d, struct smtp_server *server, const char *bytes, size_t len, size_t step)
{
    bool tls = false;
    while (len > 0 && !d->closed) {
        size_t piece = step == 0 || step > len ? len : step;
        /* An exact copy, so that the sanitizer sees a read past the end. */
        char *exact = xmemdup(bytes, piece);
        size_t used = smtp_server_receive(server, exact, piece, DIALOGUE_NOW);
        free(exact);
        bytes += used;
        len -= used;
        bool event = false;
        while (dialogue_event(d, server, &tls))
            event = true;
        if (used == 0 && !event)
            abort(); /* neither bytes nor an event: it would hang */
    }
    if (tls && !d->closed) {
        d->tls_count++;
        smtp_server_tls_done(server, true, DIALOGUE_NOW);
    }
}

/* Plays `count` segments of `lens` bytes in pieces of `step` (0 = each at once). */
static inline void dialogue_play(
    struct dialogue *d, const char *const *segments, const size_t *lens, size_t count, size_t step)
{
    dialogue_clear(d);
    if (d->answer == NULL) {
        d->answer_code = 250;
        d->answer = "2.0.0 queued";
    }
    struct smtp_server *server = smtp_server_new(&d->settings, DIALOGUE_NOW);
    for (size_t i = 0; i < count && !d->closed; i++)
        dialogue_segment(d, server, segments[i], lens[i], step);
    struct buffer *output = smtp_server_output(server);
    buffer_add(&d->output, buffer_bytes(output), buffer_len(output));
    smtp_server_free(&server);
}

#endif
