/* smtp_client - see smtp_client.h
 *
 * Here: the client's life, and what its owner tells it. See smtp_client_state.h for the other files. */
#include "proto/smtp_client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "proto/smtp_client_state.h"

const char *smtp_stage_name(enum smtp_stage stage)
{
    static const char *const names[] = {"connect", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "dot", "QUIT"};
    must((size_t)stage < sizeof names / sizeof names[0]);
    return names[stage];
}

static usec_t or_else(usec_t timeout, usec_t otherwise)
{
    return timeout > 0 ? timeout : otherwise;
}

struct smtp_client *smtp_client_new(const struct smtp_client_settings *settings, usec_t now)
{
    struct smtp_client *client = xmalloc(sizeof *client);
    /* The reader is the largest part by far and begins by itself. */
    memset(client, 0, offsetof(struct smtp_client, reader));
    reply_reader_init(&client->reader);
    client->tls = settings->tls;
    client->helo = xstrdup(settings->helo);
    /* RFC 5321 4.5.3.2 */
    client->greeting_timeout = or_else(settings->greeting_timeout, 5 * USEC_MIN);
    client->command_timeout = or_else(settings->command_timeout, 5 * USEC_MIN);
    client->data_timeout = or_else(settings->data_timeout, 2 * USEC_MIN);
    client->block_timeout = or_else(settings->block_timeout, 3 * USEC_MIN);
    client->dot_timeout = or_else(settings->dot_timeout, 10 * USEC_MIN);
    client_move(client, CLIENT_GREETING, now, client->greeting_timeout);
    return client;
}

void smtp_client_free(struct smtp_client **client)
{
    struct smtp_client *c = *client;
    *client = NULL;
    if (c == NULL)
        return;
    client_output_free(&c->output);
    client_events_free(&c->events);
    free(c->transaction.fates);
    free(c->helo);
    free(c);
}

void client_move(struct smtp_client *client, enum client_state state, usec_t now, usec_t patience)
{
    must(client->state != CLIENT_CLOSED);
    client->state = state;
    client->patience = patience;
    client->deadline = patience == USEC_NEVER ? USEC_NEVER : now + patience;
}

enum smtp_stage client_stage(const struct smtp_client *client)
{
    const struct client_transaction *t = &client->transaction;
    switch (client->state) {
    case CLIENT_GREETING:
        return SMTP_CONNECT;
    case CLIENT_EHLO:
    case CLIENT_HELO:
        return SMTP_EHLO;
    case CLIENT_STARTTLS:
    case CLIENT_HANDSHAKE:
        return SMTP_STARTTLS;
    case CLIENT_ENVELOPE:
        return !t->mail_answered ? SMTP_MAIL : t->next < t->count ? SMTP_RCPT : SMTP_DATA;
    case CLIENT_BODY:
        return client->output.dot_begun ? SMTP_DOT : SMTP_DATA;
    case CLIENT_DOT:
        return SMTP_DOT;
    case CLIENT_QUIT:
    case CLIENT_CLOSED:
        return SMTP_QUIT;
    case CLIENT_READY:
    case CLIENT_RSET:
        break;
    }
    return SMTP_MAIL;
}

void client_fail(struct smtp_client *client, enum smtp_stage stage, const struct reply *reply)
{
    /* Nothing of a message may leave any more: least of all its dot. */
    client_output_stop(&client->output);
    client_unhappen(client, SMTP_CLIENT_READY);
    client_unhappen(client, SMTP_CLIENT_START_TLS);
    client_transaction_end(client, stage, reply);
    struct told told = client_tell(client, reply);
    client_closed(client, stage, &told);
    client_move(client, CLIENT_CLOSED, 0, USEC_NEVER);
}

void client_fail_local(struct smtp_client *client, const char *enhanced, const char *format, ...)
{
    struct reply reply;
    char what[REPLY_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    enum smtp_stage stage = client_stage(client);
    reply_local(&reply, enhanced, "%.*s%s", REPLY_TEXT_SIZE - 64, what,
        stage == SMTP_DOT ? "; the message may have been delivered" : "");
    client_fail(client, stage, &reply);
}

/* RFC 5321 4.2: a reply that can't be read leaves no way to tell what the next ones answer. */
static void unreadable(struct smtp_client *client)
{
    client_fail_local(client, "4.5.0", "the server's reply can't be read: %s", client->reader.reply.text);
}

/* A capability stands on a line of its own behind the first: the kept text of a long reply may be cut short,
 * the lines are not. */
static void ehlo_line(struct smtp_client *client)
{
    const struct reply_reader *reader = &client->reader;
    if (client->state == CLIENT_EHLO && reader->whole && reader->lines > 1 && reader->line_len > 4)
        smtp_ehlo_line(&client->ehlo, reader->line + 4, reader->line_len - 4);
}

void smtp_client_receive(struct smtp_client *client, const char *bytes, size_t len, usec_t now)
{
    size_t at = 0;
    while (at < len && client->state != CLIENT_CLOSED) {
        if (client->state == CLIENT_HANDSHAKE) {
            /* RFC 3207: somebody between us and the server put it there, to be read as said under TLS. */
            client_fail_local(client, "4.7.0", "plaintext behind the reply to STARTTLS (response injection)");
            return;
        }
        size_t n = len - at, used;
        const char *line_end = client->state == CLIENT_EHLO ? memchr(bytes + at, '\n', n) : NULL;
        if (line_end != NULL)
            n = (size_t)(line_end + 1 - (bytes + at));
        enum reply_status status = reply_read(&client->reader, bytes + at, n, &used);
        at += used;
        if (status == REPLY_BAD) {
            unreadable(client);
            return;
        }
        ehlo_line(client);
        if (status == REPLY_READY)
            client_reply(client, &client->reader.reply, now);
    }
}

void smtp_client_lost(struct smtp_client *client, const char *why, usec_t now)
{
    (void)now;
    if (client->state != CLIENT_CLOSED)
        client_fail_local(client, "4.4.2", "%s", why);
}

void smtp_client_tls_done(struct smtp_client *client, bool ok, const char *detail, usec_t now)
{
    if (client->state == CLIENT_CLOSED)
        return;
    must(client->state == CLIENT_HANDSHAKE);
    if (!ok) {
        client_fail_local(client, "4.7.5", "the TLS handshake failed: %s", detail);
        return;
    }
    /* RFC 3207 4.2: forget what was learnt in plaintext. */
    reply_reader_init(&client->reader);
    client->secure = true;
    snprintf(client->tls_detail, sizeof client->tls_detail, "%s", detail);
    client_say_ehlo(client, now);
}

void smtp_client_tick(struct smtp_client *client, usec_t now)
{
    if (now < client->deadline)
        return;
    int64_t seconds = client->patience / USEC_SEC;
    const char *stage = smtp_stage_name(client_stage(client));
    if (client->state == CLIENT_GREETING)
        client_fail_local(client, "4.4.2", "no greeting within %lld s", (long long)seconds);
    else if (client->state == CLIENT_HANDSHAKE)
        client_fail_local(client, "4.4.2", "no TLS within %lld s", (long long)seconds);
    else if (client->state == CLIENT_BODY && client_output_awaits_end(&client->output))
        client_fail_local(
            client, "4.3.0", "the message's end was held back here for %lld s", (long long)seconds);
    else if (client->state == CLIENT_BODY)
        client_fail_local(
            client, "4.4.2", "the server took nothing of the message for %lld s", (long long)seconds);
    else
        client_fail_local(client, "4.4.2", "no reply to %s within %lld s",
            client->state == CLIENT_RSET ? "RSET" : stage, (long long)seconds);
}

usec_t smtp_client_deadline(const struct smtp_client *client)
{
    return client->deadline;
}

void smtp_client_quit(struct smtp_client *client, usec_t now)
{
    if (client->state == CLIENT_READY)
        client_say_quit(client, now);
    else if (client->state != CLIENT_CLOSED)
        client->quit_wanted = true;
}

bool smtp_client_hold_end(struct smtp_client *client)
{
    if (client->state == CLIENT_READY) {
        client->output.end_held = true;
        return true;
    }
    bool under_way = client->state == CLIENT_ENVELOPE || client->state == CLIENT_BODY;
    return under_way && client->transaction.active && client_output_hold_end(&client->output);
}

void smtp_client_may_end(struct smtp_client *client)
{
    client->output.end_held = false;
}

bool smtp_client_secure(const struct smtp_client *client)
{
    return client->secure;
}

const char *smtp_client_tls(const struct smtp_client *client)
{
    return client->tls_detail;
}
