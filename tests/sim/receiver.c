/* receiver - a mail server at the other end, in bytes
 *
 * Speaks enough of RFC 5321 to be talked to, with PIPELINING, 8BITMIME, SIZE and STARTTLS as its host offers
 * them. It is moody: says 4xx and 5xx at any stage, hangs, closes, and takes a message without letting the
 * 250 out. Whatever it takes it reports to the ledger, after comparing the body with what the client handed
 * in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "tests/sim/ledger.h"
#include "tests/sim/wire.h"

enum { RECEIVER_RECIPIENTS = 16 };

struct receiver {
    struct wire *wire;
    struct buffer in; /* commands not yet read, or the body so far */
    bool silent, data, mail, closing;
    struct attempt
        *attempts[RECEIVER_RECIPIENTS]; /* of the accepted recipients; null = a report of our own */
    size_t count;
};

struct receiver *receiver_new(struct wire *wire)
{
    struct receiver *receiver = xcalloc(1, sizeof *receiver);
    receiver->wire = wire;
    return receiver;
}

void receiver_free(struct receiver **receiver)
{
    if (*receiver == NULL)
        return;
    buffer_free(&(*receiver)->in);
    free(*receiver);
    *receiver = NULL;
}

static bool moody(const struct receiver *receiver, uint32_t per_mille)
{
    struct sim *sim = receiver->wire->sim;
    return sim->phase == PHASE_LOAD && sim_chance(sim, per_mille);
}

static void say(struct receiver *receiver, const char *text)
{
    struct wire *wire = receiver->wire;
    usec_t thinks = sim_between(wire->sim, 100, moody(receiver, 50) ? 3 * USEC_SEC : 20 * USEC_MS);
    wire_reply(wire, text, thinks);
}

static void attempts_over(struct receiver *receiver, int code)
{
    for (size_t i = 0; i < receiver->count; i++)
        if (receiver->attempts[i] != NULL)
            ledger_attempt_answered(receiver->wire->sim->ledger, receiver->attempts[i], code);
    receiver->count = 0;
    receiver->mail = false;
}

/* Says nothing any more. */
static void fall_silent(struct receiver *receiver)
{
    receiver->silent = true;
    receiver->wire->stuck = receiver->mail;
}

static void hang_up(struct receiver *receiver, bool broken)
{
    trace_line(receiver->wire->sim, receiver->wire->host->name, "hangs up", "%s session %u%s",
        receiver->wire->member->name, receiver->wire->session, broken ? " (reset)" : "");
    buffer_clear(&receiver->in);
    wire_hang_up(receiver->wire, broken);
}

void receiver_greet(struct receiver *receiver)
{
    struct sim *sim = receiver->wire->sim;
    if (moody(receiver, sim->weather.hang) || sim->now < receiver->wire->host->hang_until) {
        fall_silent(receiver);
    } else if (moody(receiver, sim->weather.greeting_bad)) {
        say(receiver, moody(receiver, 500) ? "421 4.3.2 too busy\r\n" : "554 5.3.2 no service here\r\n");
        hang_up(receiver, false);
    } else {
        say(receiver, "220 receiver.test ESMTP\r\n");
    }
}

static void on_ehlo(struct receiver *receiver)
{
    const struct host *host = receiver->wire->host;
    char text[200];
    snprintf(text, sizeof text, "250-receiver.test\r\n%s%s%s%s250 ENHANCEDSTATUSCODES\r\n",
        host->pipelining ? "250-PIPELINING\r\n" : "", host->eight_bit ? "250-8BITMIME\r\n" : "",
        host->size ? "250-SIZE 10000000\r\n" : "",
        host->starttls && !receiver->wire->secure ? "250-STARTTLS\r\n" : "");
    attempts_over(receiver, 0);
    say(receiver, text);
}

static void on_mail(struct receiver *receiver)
{
    if (moody(receiver, receiver->wire->sim->weather.mail_4xx)) {
        say(receiver, "451 4.7.1 not now\r\n");
        return;
    }
    attempts_over(receiver, 0);
    receiver->mail = true;
    receiver->wire->mails++;
    say(receiver, "250 2.1.0 ok\r\n");
}

/* "RCPT TO:<m17-3@d2.test>": 1 = one of the clients' recipients; 0 = of a report; -1 = no address. */
static int read_recipient(const char *line, unsigned *message_r, unsigned *index_r)
{
    const char *at = strchr(line, '<');
    if (at == NULL)
        return -1;
    if (sscanf(at, "<m%u-%u@", message_r, index_r) == 2)
        return 1;
    return strchr(at, '@') != NULL ? 0 : -1;
}

static void on_rcpt(struct receiver *receiver, const char *line)
{
    struct wire *wire = receiver->wire;
    unsigned message = 0, index = 0;
    int known = read_recipient(line, &message, &index);
    if (!receiver->mail || known < 0 || receiver->count == RECEIVER_RECIPIENTS) {
        say(receiver, !receiver->mail ? "503 5.5.1 MAIL first\r\n"
                      : known < 0     ? "501 5.1.3 what is that\r\n"
                                      : "452 4.5.3 too many recipients\r\n");
        return;
    }
    struct attempt *attempt = NULL;
    if (known == 1 && (attempt = ledger_attempt(wire->sim->ledger, wire, message, index)) == NULL)
        return; /* violated */
    int code = moody(receiver, wire->sim->weather.rcpt_4xx)   ? 450
               : moody(receiver, wire->sim->weather.rcpt_5xx) ? 550
                                                              : 250;
    say(receiver, code == 450   ? "450 4.2.0 mailbox busy, try later\r\n"
                  : code == 550 ? "550 5.1.1 no such user\r\n"
                                : "250 2.1.5 ok\r\n");
    if (code == 250)
        receiver->attempts[receiver->count++] = attempt;
    else if (attempt != NULL)
        ledger_attempt_answered(wire->sim->ledger, attempt, code);
}

static void on_data(struct receiver *receiver)
{
    if (receiver->count == 0) {
        say(receiver, "554 5.5.1 no valid recipients\r\n");
        receiver->mail = false;
    } else if (moody(receiver, receiver->wire->sim->weather.data_4xx)) {
        say(receiver, "451 4.3.0 no\r\n");
        attempts_over(receiver, 451);
    } else {
        say(receiver, "354 go on\r\n");
        receiver->wire->go_on = receiver->wire->to_node_sent;
        receiver->wire->end_seen = 2; /* a line begins */
        receiver->data = true;
    }
}

static void on_starttls(struct receiver *receiver)
{
    if (!receiver->wire->host->starttls || moody(receiver, 50)) {
        say(receiver, "454 4.7.0 TLS not available\r\n");
        return;
    }
    attempts_over(receiver, 0);
    say(receiver, "220 2.0.0 go on\r\n");
}

static void on_command(struct receiver *receiver, const char *line)
{
    if (strncasecmp(line, "EHLO ", 5) == 0 || strncasecmp(line, "HELO ", 5) == 0) {
        on_ehlo(receiver);
    } else if (strncasecmp(line, "MAIL FROM:", 10) == 0) {
        on_mail(receiver);
    } else if (strncasecmp(line, "RCPT TO:", 8) == 0) {
        on_rcpt(receiver, line);
    } else if (strcasecmp(line, "DATA") == 0) {
        on_data(receiver);
    } else if (strcasecmp(line, "STARTTLS") == 0) {
        on_starttls(receiver);
    } else if (strcasecmp(line, "RSET") == 0) {
        attempts_over(receiver, 0);
        say(receiver, "250 2.0.0 ok\r\n");
    } else if (strcasecmp(line, "QUIT") == 0) {
        say(receiver, "221 2.0.0 bye\r\n");
        hang_up(receiver, false);
    } else {
        say(receiver, "500 5.5.2 what\r\n");
    }
}

static void take(struct receiver *receiver, const char *body, size_t len)
{
    struct ledger *ledger = receiver->wire->sim->ledger;
    for (size_t i = 0; i < receiver->count; i++)
        if (receiver->attempts[i] != NULL)
            ledger_accepted(ledger, receiver->attempts[i], body, len);
}

/* The final dot has come: `body` is what stood before it, dots taken out. */
static void on_dot(struct receiver *receiver, const char *body, size_t len)
{
    const struct weather *weather = &receiver->wire->sim->weather;
    receiver->data = false;
    if (moody(receiver, weather->dot_4xx)) {
        say(receiver, "451 4.3.0 could not store it\r\n");
        attempts_over(receiver, 451);
    } else if (moody(receiver, weather->dot_5xx)) {
        say(receiver, "554 5.7.1 we do not like it\r\n");
        attempts_over(receiver, 554);
    } else {
        take(receiver, body, len);
        if (moody(receiver, weather->dot_lost)) {
            attempts_over(receiver, 0);
            if (moody(receiver, 300))
                receiver->silent = true;
            else
                hang_up(receiver, true);
            return;
        }
        say(receiver, "250 2.0.0 queued\r\n");
        attempts_over(receiver, 250);
    }
}

/* Undoes dot-stuffing up to the final dot; false if it has not come yet. */
static bool read_body(struct receiver *receiver)
{
    struct buffer *in = &receiver->in;
    char *bytes = buffer_bytes(in);
    size_t len = buffer_len(in), end = 0, used = 0;
    if (len >= 3 && memcmp(bytes, ".\r\n", 3) == 0) {
        used = 3;
    } else {
        char *at = memmem(bytes, len, "\r\n.\r\n", 5);
        if (at == NULL)
            return false;
        end = (size_t)(at - bytes) + 2;
        used = end + 3;
    }
    char *body = xmalloc(end + 1);
    size_t out = 0;
    for (size_t i = 0; i < end; i++)
        if (!(bytes[i] == '.' && (i == 0 || bytes[i - 1] == '\n')))
            body[out++] = bytes[i];
    buffer_eat(in, used);
    on_dot(receiver, body, out);
    free(body);
    return true;
}

static bool read_command(struct receiver *receiver)
{
    struct buffer *in = &receiver->in;
    char *bytes = buffer_bytes(in), *end = memmem(bytes, buffer_len(in), "\r\n", 2);
    if (end == NULL)
        return false;
    char line[512];
    snprintf(line, sizeof line, "%.*s", (int)(end - bytes), bytes);
    buffer_eat(in, (size_t)(end - bytes) + 2);
    if (moody(receiver, receiver->wire->sim->weather.close)) {
        hang_up(receiver, moody(receiver, 500));
        return false;
    }
    if (moody(receiver, receiver->wire->sim->weather.hang) ||
        receiver->wire->sim->now < receiver->wire->host->hang_until) {
        fall_silent(receiver);
        return false;
    }
    on_command(receiver, line);
    return true;
}

void receiver_bytes(struct receiver *receiver, const char *bytes, size_t len)
{
    if (receiver->silent)
        return;
    buffer_add(&receiver->in, bytes, len);
    while (receiver->wire->receiver_open && !receiver->silent && !receiver->wire->sim->failed &&
           (receiver->data ? read_body(receiver) : read_command(receiver)))
        continue;
}

void receiver_message_ends(const struct receiver *receiver)
{
    for (size_t i = 0; i < receiver->count; i++)
        if (receiver->attempts[i] != NULL)
            ledger_end_leaves(receiver->wire->sim->ledger, receiver->attempts[i]);
}

void receiver_closed(struct receiver *receiver)
{
    buffer_clear(&receiver->in);
}

void receiver_secured(struct receiver *receiver)
{
    buffer_clear(&receiver->in);
    attempts_over(receiver, 0);
}
