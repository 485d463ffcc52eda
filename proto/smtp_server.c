/* smtp_server - see smtp_server.h; the parts are listed in smtp_server_state.h */
#include "proto/smtp_server.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "proto/smtp_server_state.h"

#define REPLY_TEXT 480 /* a reply line is at most 512 octets (RFC 5321 section 4.5.3.1.5) */

/* --- replies --- */

static void reply_line(struct smtp_server *server, int code, char separator, const char *text)
{
    char line[REPLY_TEXT + 8];
    int len = snprintf(line, sizeof line, "%03d%c%.*s\r\n", code, separator, REPLY_TEXT, text);
    for (int i = 4; i < len - 2; i++)
        if (line[i] < ' ' || line[i] > '~')
            line[i] = '?';
    buffer_add(&server->output, line, (size_t)len);
}

static void reply_arguments(
    struct smtp_server *server, int code, char separator, const char *format, va_list args)
{
    char text[REPLY_TEXT + 1];
    vsnprintf(text, sizeof text, format, args);
    reply_line(server, code, separator, text);
}

void smtp_server_reply(struct smtp_server *server, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    reply_arguments(server, code, ' ', format, args);
    va_end(args);
}

void smtp_server_reply_more(struct smtp_server *server, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    reply_arguments(server, code, '-', format, args);
    va_end(args);
}

void smtp_server_refuse(struct smtp_server *server, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    reply_arguments(server, code, ' ', format, args);
    va_end(args);
    if (++server->errors < SMTP_SERVER_MAX_ERRORS)
        return;
    smtp_server_reply(server, 421, "4.7.0 %s closes the connection: too many errors", server->settings.host);
    smtp_server_close(server);
}

/* --- states --- */

void smtp_server_move(struct smtp_server *server, enum smtp_server_state to)
{
    if (server->state == SMTP_SERVER_IN_CLOSED)
        return;
    server->state = to;
    switch (to) {
    case SMTP_SERVER_IN_COMMAND:
    case SMTP_SERVER_IN_AUTH:
    case SMTP_SERVER_IN_TLS:
        server->deadline = server->now + server->settings.command_timeout;
        break;
    case SMTP_SERVER_IN_DATA:
        server->deadline = server->now + server->settings.data_timeout;
        break;
    default:
        server->deadline = USEC_NEVER;
    }
}

void smtp_server_reset(struct smtp_server *server)
{
    for (size_t i = 0; i < server->recipient_count; i++)
        free(server->recipients[i]);
    free(server->recipients);
    free(server->from);
    server->recipients = NULL;
    server->from = NULL;
    server->recipient_count = server->recipient_room = 0;
    server->size_hint = 0;
    server->has_mail = false;
    smtp_server_data_forget(server);
}

void smtp_server_close(struct smtp_server *server)
{
    smtp_server_reset(server);
    smtp_server_move(server, SMTP_SERVER_IN_CLOSED);
    server->event = SMTP_SERVER_CLOSED;
}

/* --- life --- */

struct smtp_server *smtp_server_new(const struct smtp_server_settings *settings, usec_t now)
{
    struct smtp_server *server = xcalloc(1, sizeof *server);
    struct smtp_server_settings *s = &server->settings;
    *s = *settings;
    s->host = xstrdup(settings->host);
    s->peer = xstrdup(settings->peer);
    if (s->max_size == 0)
        s->max_size = 25u << 20;
    if (s->max_line == 0)
        s->max_line = 998;
    if (s->max_recipients == 0)
        s->max_recipients = 1000;
    if (s->command_timeout == 0)
        s->command_timeout = 5 * USEC_MIN;
    if (s->data_timeout == 0)
        s->data_timeout = 5 * USEC_MIN;
    server->now = now;
    server->random.state = settings->seed;
    server->tls = settings->tls_from_start;
    smtp_server_move(server, SMTP_SERVER_IN_COMMAND);
    smtp_server_reply(server, 220, "%s ESMTP Todoku", s->host);
    return server;
}

void smtp_server_free(struct smtp_server **server)
{
    struct smtp_server *s = *server;
    *server = NULL;
    if (s == NULL)
        return;
    smtp_server_reset(s);
    smtp_server_auth_forget(s);
    free(s->room);
    buffer_free(&s->output);
    free(s->identity);
    free((char *)s->settings.host);
    free((char *)s->settings.peer);
    free(s);
}

void smtp_server_message_clear(struct smtp_server_message *message)
{
    for (size_t i = 0; i < message->recipient_count; i++)
        free(message->recipients[i]);
    free(message->recipients);
    free(message->from);
    free(message->body);
    *message = (struct smtp_server_message){0};
}

/* --- input --- */

/* A whole line is in server->line, its LF with it. */
static void handle_line(struct smtp_server *server)
{
    size_t len = server->line_len;
    char *line = server->line;
    bool too_long = server->line_too_long, crlf = len >= 2 && line[len - 2] == '\r';
    server->line_len = 0;
    server->line_too_long = false;
    /* Whatever it was: a broken AUTH exchange is over, and the deadline starts anew. */
    bool auth = server->state == SMTP_SERVER_IN_AUTH;
    if (too_long || !crlf || memchr(line, '\r', len - 2) != NULL || memchr(line, '\0', len - 2) != NULL) {
        smtp_server_auth_forget(server);
        smtp_server_move(server, SMTP_SERVER_IN_COMMAND);
        if (too_long)
            smtp_server_refuse(server, 500, "5.5.6 a line of at most %d octets", SMTP_SERVER_MAX_LINE);
        else
            smtp_server_refuse(server, 500, "5.5.2 lines end in CRLF and hold no other CR, LF or zero");
        return;
    }
    line[len - 2] = '\0';
    if (auth) {
        smtp_server_auth_line(server, line);
        return;
    }
    server->deadline = server->now + server->settings.command_timeout;
    smtp_server_command(server, line);
}

/* Gathers a line; returns how much it took. */
static size_t take_line(struct smtp_server *server, const char *bytes, size_t len)
{
    const char *lf = memchr(bytes, '\n', len);
    size_t take = lf == NULL ? len : (size_t)(lf - bytes) + 1;
    if (take > SMTP_SERVER_MAX_LINE - server->line_len) {
        server->line_too_long = true;
        server->line_len = 0;
    }
    if (!server->line_too_long) {
        memcpy(server->line + server->line_len, bytes, take);
        server->line_len += take;
    }
    if (lf != NULL)
        handle_line(server);
    return take;
}

bool smtp_server_wants_input(const struct smtp_server *server)
{
    return server->state != SMTP_SERVER_IN_LOGIN && server->state != SMTP_SERVER_IN_ANSWER &&
           server->state != SMTP_SERVER_IN_CLOSED;
}

size_t smtp_server_receive(struct smtp_server *server, const char *bytes, size_t len, usec_t now)
{
    size_t used = 0;
    server->now = now;
    if (buffer_len(&server->output) > SMTP_SERVER_MAX_OUTPUT && server->state != SMTP_SERVER_IN_CLOSED)
        smtp_server_close(server);
    while (used < len && smtp_server_wants_input(server)) {
        if (server->state == SMTP_SERVER_IN_DATA) {
            used += smtp_server_data_receive(server, bytes + used, len - used);
        } else if (server->state == SMTP_SERVER_IN_TLS) {
            /* Somebody in between put words into the client's mouth (RFC 3207 section 6). */
            smtp_server_reply(server, 421, "4.7.0 nothing may follow STARTTLS but the handshake");
            smtp_server_close(server);
        } else {
            used += take_line(server, bytes + used, len - used);
        }
    }
    return server->state == SMTP_SERVER_IN_CLOSED ? len : used;
}

/* --- time and the end --- */

usec_t smtp_server_deadline(const struct smtp_server *server)
{
    return server->deadline;
}

void smtp_server_tick(struct smtp_server *server, usec_t now)
{
    server->now = now;
    if (now < server->deadline)
        return;
    /* In the middle of a handshake there is nobody to read a word. */
    if (server->state != SMTP_SERVER_IN_TLS)
        smtp_server_reply(server, 421, "4.4.2 %s waited too long", server->settings.host);
    smtp_server_close(server);
}

static void say_shutdown(struct smtp_server *server)
{
    if (server->state == SMTP_SERVER_IN_CLOSED)
        return;
    const char *text = server->shutdown_text;
    if (server->state != SMTP_SERVER_IN_TLS)
        smtp_server_reply(server, 421, "%s%s", text[0] >= '2' && text[0] <= '5' ? "" : "4.3.2 ", text);
    smtp_server_close(server);
}

void smtp_server_shutdown(struct smtp_server *server, const char *text, usec_t now)
{
    server->now = now;
    server->shutdown = true;
    snprintf(server->shutdown_text, sizeof server->shutdown_text, "%s", text);
    if (server->state != SMTP_SERVER_IN_LOGIN && server->state != SMTP_SERVER_IN_ANSWER)
        say_shutdown(server);
}

/* --- questions to the owner and their answers --- */

enum smtp_server_event smtp_server_next(struct smtp_server *server)
{
    enum smtp_server_event event = server->event;
    server->event = SMTP_SERVER_NOTHING;
    return event;
}

void smtp_server_login(const struct smtp_server *server, const char **user_r, const char **secret_r)
{
    must(server->user != NULL && server->secret != NULL);
    *user_r = server->user;
    *secret_r = server->secret;
}

/* After an answer of the owner: the next command, unless it is time to go. */
static void go_on(struct smtp_server *server)
{
    smtp_server_move(server, SMTP_SERVER_IN_COMMAND);
    if (server->shutdown)
        say_shutdown(server);
}

void smtp_server_login_done(struct smtp_server *server, bool ok, const char *identity, usec_t now)
{
    server->now = now;
    if (server->state != SMTP_SERVER_IN_LOGIN)
        return;
    if (ok)
        server->identity = xstrdup(identity); /* which may be the user name itself */
    smtp_server_auth_forget(server);
    if (ok)
        smtp_server_reply(server, 235, "2.7.0 welcome");
    else
        smtp_server_refuse(server, 535, "5.7.8 user name or password is wrong");
    go_on(server);
}

void smtp_server_tls_done(struct smtp_server *server, bool ok, usec_t now)
{
    server->now = now;
    if (server->state != SMTP_SERVER_IN_TLS)
        return;
    if (!ok) {
        smtp_server_close(server);
        return;
    }
    /* RFC 3207 section 4.2: as if the session had just begun. */
    smtp_server_reset(server);
    server->tls = true;
    server->esmtp = false;
    server->helo[0] = '\0';
    free(server->identity);
    server->identity = NULL;
    go_on(server);
}

void smtp_server_take(struct smtp_server *server, struct smtp_server_message *message_r)
{
    struct smtp_server_data *d = &server->data;
    must(server->state == SMTP_SERVER_IN_ANSWER && d->body != NULL);
    *message_r = (struct smtp_server_message){.id = d->id,
        .from = server->from,
        .recipients = server->recipients,
        .recipient_count = server->recipient_count,
        .eight_bit = d->eight_bit,
        .received_len = d->received_len,
        .body = smtp_server_data_take(server),
        .body_len = d->body_len};
    server->from = NULL;
    server->recipients = NULL;
    server->recipient_count = server->recipient_room = 0;
    d->body_len = 0;
}

void smtp_server_answer(struct smtp_server *server, int code, const char *text, usec_t now)
{
    server->now = now;
    if (server->state != SMTP_SERVER_IN_ANSWER)
        return;
    if (code / 100 == 2)
        server->errors = 0;
    smtp_server_reset(server);
    smtp_server_reply(server, code, "%s", text);
    go_on(server);
}

struct buffer *smtp_server_output(struct smtp_server *server)
{
    return &server->output;
}

const char *smtp_server_identity(const struct smtp_server *server)
{
    return server->identity == NULL ? "" : server->identity;
}
