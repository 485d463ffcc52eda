/* A server that says anything at any time, to a client with one or two messages.
 *
 * Input: a byte of flags, a byte for the number of recipients, a byte n and n bytes that choose the body's
 * pieces, then what the server says. Among the server's bytes 0xf6 and above are deeds: the message's
 * end is held back, or may leave; time passes, the network takes some bytes, QUIT, the connection is lost.
 *
 * What must hold whatever comes: every recipient of a transaction gets exactly one result before it is over;
 * a result from before the dot is final only if the dot was not sent; none leaves that is held back, but behind everybody's result; what leaves has no bare CR or LF, and
 * no line that begins with one dot but the message's last. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/panic.h"
#include "proto/smtp_client.h"

#define MOST_RECIPIENTS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TLS_MODE = 3, TLS_OK = 4, TWO_MESSAGES = 8, TRICKLE = 16, HOLD = 32, EIGHT_BIT = 64 };

struct server {
    struct smtp_client *client;
    usec_t now;
    uint8_t flags;
    struct blob *body;
    size_t recipients;
    int to_send, sent, dots, dots_before;
    bool active, closed, held;
    bool given[MOST_RECIPIENTS];
    /* Where we are in what the client says. */
    char last;
    size_t column;
    bool dotted; /* the line began with a dot, and that is all so far */
};

static bool all_given(const struct server *s)
{
    for (size_t i = 0; i < s->recipients; i++)
        if (!s->given[i])
            return false;
    return true;
}

/* One byte of what the client says. */
static void hear(struct server *s, char c)
{
    must((c == '\n') == (s->last == '\r'));
    if (s->column == 1 && s->dotted) {
        must(c == '.' || c == '\r');
        s->dots += c == '\r';
        must(c != '\r' || !s->held || all_given(s));
    }
    s->dotted = s->column == 0 && c == '.';
    s->column = c == '\n' ? 0 : s->column + 1;
    s->last = c;
}

static void take(struct server *s, size_t most)
{
    struct iovec segments[5];
    size_t count, taken = 0;
    while (taken < most && (count = smtp_client_output(s->client, segments, 5)) > 0) {
        size_t sent = 0;
        for (size_t i = 0; i < count; i++) {
            must(segments[i].iov_len > 0);
            for (size_t k = 0; k < segments[i].iov_len && taken < most; k++, sent++, taken++)
                hear(s, ((const char *)segments[i].iov_base)[k]);
        }
        smtp_client_output_sent(s->client, sent, s->now);
    }
}

static void send_one(struct server *s)
{
    static const char *const addresses[MOST_RECIPIENTS] = {"a@x.example", "b@x.example", "",
        "c\r\nd@x.example", "e@x.example", "f@x.example", "g>@x.example", "h"};
    struct smtp_transaction t = {.from = "me@out.example",
        .recipients = addresses,
        .recipient_count = s->recipients,
        .head = blob_copy("X: y\r\n", 6),
        .body = s->body,
        .eight_bit = (s->flags & EIGHT_BIT) != 0};
    memset(s->given, 0, sizeof s->given);
    s->dots_before = s->dots;
    must(smtp_client_send(s->client, &t, s->now) == 0);
    s->active = true;
    s->to_send--;
    blob_drop(&t.head);
}

static void result(struct server *s, const struct smtp_client_report *report)
{
    must(s->active && report->recipient < s->recipients && !s->given[report->recipient]);
    s->given[report->recipient] = true;
    must(report->stage >= SMTP_MAIL && report->stage <= SMTP_DOT);
    if (report->stage == SMTP_DATA || report->stage == SMTP_RCPT || report->stage == SMTP_MAIL)
        must(s->dots == s->dots_before);
    must(report->reply.code == 0 || report->reply.code >= 200);
    must(report->reply.code / 100 != 2 || report->stage == SMTP_DOT);
}

/* Takes what happened, up to the first thing that asks for an answer. */
static bool listen_once(struct server *s)
{
    struct smtp_client_report report;
    switch (smtp_client_next(s->client, &report)) {
    case SMTP_CLIENT_NOTHING:
        return false;
    case SMTP_CLIENT_START_TLS:
        take(s, SIZE_MAX);
        smtp_client_tls_done(s->client, (s->flags & TLS_OK) != 0, "TLSv1.3 X", s->now);
        break;
    case SMTP_CLIENT_READY:
        must(!s->active && !s->closed);
        if (s->to_send > 0)
            send_one(s);
        break;
    case SMTP_CLIENT_RESULT:
        result(s, &report);
        break;
    case SMTP_CLIENT_SENT:
        must(s->active && all_given(s));
        s->active = s->held = false;
        s->sent++;
        break;
    case SMTP_CLIENT_CLOSED:
        must(!s->active && !s->closed);
        s->closed = true;
        break;
    }
    return true;
}

static void go_on(struct server *s)
{
    while (listen_once(s))
        ;
    if ((s->flags & HOLD) == 0)
        take(s, SIZE_MAX);
    while (listen_once(s))
        ;
}

static void deed(struct server *s, uint8_t which)
{
    usec_t deadline = smtp_client_deadline(s->client);
    switch (which) {
    case 0xf6:
        s->held = smtp_client_hold_end(s->client) || s->held;
        break;
    case 0xf7:
        smtp_client_may_end(s->client);
        s->held = false;
        break;
    case 0xf8:
        s->now += USEC_MIN;
        smtp_client_tick(s->client, s->now);
        break;
    case 0xf9:
        if (deadline != USEC_NEVER)
            s->now = deadline;
        smtp_client_tick(s->client, s->now);
        break;
    case 0xfa:
    case 0xfb:
        take(s, which == 0xfa ? 1 : 7);
        break;
    case 0xfc:
        take(s, SIZE_MAX);
        break;
    case 0xfd:
        s->flags ^= HOLD;
        break;
    case 0xfe:
        smtp_client_quit(s->client, s->now);
        s->to_send = 0;
        break;
    default:
        smtp_client_lost(s->client, "lost", s->now);
    }
    go_on(s);
}

static void serve(struct server *s, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        if (data[at] >= 0xf6) {
            deed(s, data[at++]);
            continue;
        }
        size_t n = 1;
        while ((s->flags & TRICKLE) == 0 && at + n < size && data[at + n] < 0xf6)
            n++;
        char *exact = xmemdup(data + at, n);
        smtp_client_receive(s->client, exact, n, s->now);
        free(exact);
        go_on(s);
        at += n;
    }
    smtp_client_lost(s->client, "the end", s->now);
    go_on(s);
    must(s->closed && !s->active && smtp_client_deadline(s->client) == USEC_NEVER);
}

/* A body of whole CRLFs, with dots where they hurt. */
static struct blob *body_of(const uint8_t *choices, size_t count)
{
    static const char *const pieces[] = {
        ".", "\r\n", "x", "..", "\r\n.\r\n", "Subject: a\r\n", "\r\n.", "DATA\r\n"};
    struct buffer bytes = {0};
    for (size_t i = 0; i < count; i++)
        buffer_add_text(&bytes, pieces[choices[i] % 8]);
    struct blob *body = blob_copy(buffer_bytes(&bytes), buffer_len(&bytes));
    buffer_free(&bytes);
    return body;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || (size_t)data[2] + 3 > size)
        return 0;
    struct server s = {.now = 1790000000 * USEC_SEC, .flags = data[0]};
    struct smtp_client_settings settings = {.helo = "out.example", .tls = SMTP_TLS_NONE};
    if ((data[0] & TLS_MODE) == 1)
        settings.tls = SMTP_TLS_OPPORTUNISTIC;
    else if ((data[0] & TLS_MODE) == 2)
        settings.tls = SMTP_TLS_REQUIRED;
    s.to_send = (data[0] & TWO_MESSAGES) != 0 ? 2 : 1;
    s.recipients = 1 + data[1] % MOST_RECIPIENTS;
    s.body = body_of(data + 3, data[2]);
    s.client = smtp_client_new(&settings, s.now);
    serve(&s, data + 3 + data[2], size - 3 - data[2]);
    smtp_client_free(&s.client);
    must(atomic_load(&s.body->holders) == 1);
    blob_drop(&s.body);
    return 0;
}
