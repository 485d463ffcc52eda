/* talk_client - plays a script against proto/smtp_client: S is said to it, C is what it must say */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/smtp_client.h"
#include "tests/talk/talk.h"

#define MOST_RECIPIENTS 1000
/* An arbitrary moment; the core may not care which. */
#define START (1790000000 * USEC_SEC)

struct play {
    const struct talk_script *script;
    const struct talk_line *line;
    bool trickle, hold;
    struct smtp_client *client;
    usec_t now;
    struct buffer packet; /* S lines not yet delivered */
    struct buffer heard;  /* what the client said and no C line has asked for */
    struct buffer wire;   /* the message as it must be sent: stuffed, with its dot */
    char *recipients[MOST_RECIPIENTS];
    size_t recipient_count, results;
};

#define wrong(play, ...) talk_wrong((play)->script, (play)->line, __VA_ARGS__)

static void take(struct play *play, size_t most)
{
    struct iovec segments[32];
    size_t count, taken = 0;
    while (taken < most && (count = smtp_client_output(play->client, segments, play->trickle ? 1 : 32)) > 0) {
        size_t sent = 0;
        for (size_t i = 0; i < count && taken < most; i++) {
            size_t n = segments[i].iov_len < most - taken ? segments[i].iov_len : most - taken;
            n = play->trickle ? 1 : n;
            buffer_add(&play->heard, segments[i].iov_base, n);
            sent += n;
            taken += n;
        }
        smtp_client_output_sent(play->client, sent, play->now);
    }
}

static void flow(struct play *play)
{
    if (!play->hold)
        take(play, SIZE_MAX);
}

static void deliver(struct play *play)
{
    size_t len = buffer_len(&play->packet), step = play->trickle ? 1 : len;
    for (size_t at = 0; at < len; at += step) {
        /* A block of its own size, so that a read past its end is seen. */
        char *exact = xmemdup(buffer_bytes(&play->packet) + at, step);
        smtp_client_receive(play->client, exact, step, play->now);
        free(exact);
        flow(play);
    }
    buffer_clear(&play->packet);
}

/* Nothing was said or told that the script didn't ask for. */
static bool quiet(struct play *play)
{
    struct smtp_client_report report;
    char shown[400];
    if (buffer_len(&play->heard) > 0)
        return wrong(play, "before this the client said: %s",
            talk_show(buffer_bytes(&play->heard), buffer_len(&play->heard), shown));
    if (smtp_client_next(play->client, &report) != SMTP_CLIENT_NOTHING)
        return wrong(play, "before this came event %d (stage %s, reply %d %s %s)", (int)report.event,
            smtp_stage_name(report.stage), report.reply.code, report.reply.enhanced, report.reply.text);
    return true;
}

static bool expect_bytes(struct play *play, const char *bytes, size_t len)
{
    char shown[400], wanted[400];
    size_t have = buffer_len(&play->heard);
    if (have < len || memcmp(buffer_bytes(&play->heard), bytes, len) != 0)
        return wrong(play, "the client said:\n  %s\nand not:\n  %s",
            talk_show(buffer_bytes(&play->heard), have, shown), talk_show(bytes, len, wanted));
    buffer_eat(&play->heard, len);
    return true;
}

static bool expect_line(struct play *play)
{
    struct buffer wanted = {0};
    bool good = talk_bytes(play->line, &wanted) || wrong(play, "this makes no sense");
    good = good && expect_bytes(play, buffer_bytes(&wanted), buffer_len(&wanted));
    buffer_free(&wanted);
    return good;
}

static bool expect_event(struct play *play, enum smtp_client_event event, struct smtp_client_report *report)
{
    if (smtp_client_next(play->client, report) == event)
        return true;
    return wrong(play, "event %d came and not %d (stage %s, reply %d %s %s)", (int)report->event, (int)event,
        smtp_stage_name(report->stage), report->reply.code, report->reply.enhanced, report->reply.text);
}

/* "STAGE code enhanced [later] [~ part of the text]" */
static bool expect_reply(struct play *play, const struct smtp_client_report *report, const char *words)
{
    char *stage = talk_word(&words), *code = talk_word(&words), *enhanced = talk_word(&words), *more;
    bool good = stage != NULL && code != NULL && enhanced != NULL;
    if (!good)
        wrong(play, "a stage, a code and an enhanced code (or -) belong here");
    if (good && (strcmp(stage, smtp_stage_name(report->stage)) != 0 || atoi(code) != report->reply.code ||
                    strcmp(strcmp(enhanced, "-") == 0 ? "" : enhanced, report->reply.enhanced) != 0))
        good = wrong(play, "it was %s %d %s \"%s\"", smtp_stage_name(report->stage), report->reply.code,
            report->reply.enhanced, report->reply.text);
    bool later = false;
    while (good && (more = talk_word(&words)) != NULL) {
        later = later || strcmp(more, "later") == 0;
        if (strcmp(more, "~") == 0 && strstr(report->reply.text, words + (*words == ' ')) == NULL)
            good = wrong(play, "the text was \"%s\"", report->reply.text);
        if (strcmp(more, "~") == 0)
            words = "";
        free(more);
    }
    if (good && report->event == SMTP_CLIENT_RESULT && later != report->later_now)
        good = wrong(play, "later_now was %s", report->later_now ? "set" : "not set");
    free(stage);
    free(code);
    free(enhanced);
    return good;
}

static bool expect_result(struct play *play)
{
    struct smtp_client_report report;
    const char *words = play->line->rest;
    if (!expect_event(play, SMTP_CLIENT_RESULT, &report))
        return false;
    char *word = talk_word(&words);
    struct buffer address = {0};
    bool good = word != NULL && talk_unescape(word, strlen(word), &address) &&
                report.recipient < play->recipient_count &&
                strcmp(buffer_text(&address), play->recipients[report.recipient]) == 0;
    if (!good)
        wrong(play, "it was the result of recipient %zu", report.recipient);
    buffer_free(&address);
    free(word);
    play->results++;
    return good && expect_reply(play, &report, words);
}

static bool expect_sent(struct play *play)
{
    struct smtp_client_report report;
    if (!expect_event(play, SMTP_CLIENT_SENT, &report))
        return false;
    if (play->results != play->recipient_count)
        return wrong(play, "%zu results for %zu recipients", play->results, play->recipient_count);
    return true;
}

static bool expect_closed(struct play *play)
{
    struct smtp_client_report report;
    if (!expect_event(play, SMTP_CLIENT_CLOSED, &report))
        return false;
    if (smtp_client_deadline(play->client) != USEC_NEVER)
        return wrong(play, "a closed session still waits for something");
    return expect_reply(play, &report, play->line->rest);
}

/* "<a@b>,<c@d>" into play->recipients */
static bool recipients(struct play *play, const char *list)
{
    for (size_t i = 0; i < play->recipient_count; i++)
        free(play->recipients[i]);
    play->recipient_count = play->results = 0;
    while (list != NULL && *list == '<' && play->recipient_count < MOST_RECIPIENTS) {
        const char *end = strchr(list, '>');
        if (end == NULL)
            break;
        struct buffer address = {0};
        talk_unescape(list + 1, (size_t)(end - list - 1), &address);
        play->recipients[play->recipient_count++] = xstrdup(buffer_text(&address));
        buffer_free(&address);
        list = end[1] == ',' ? end + 2 : end + 1;
    }
    return list != NULL && *list == '\0' && play->recipient_count > 0;
}

static bool send_message(
    struct play *play, const char *from, const struct buffer *head, const struct buffer *body)
{
    struct buffer whole = {0};
    struct smtp_transaction transaction = {
        .from = from,
        .recipients = (const char *const *)play->recipients,
        .recipient_count = play->recipient_count,
        .head = buffer_len(head) == 0 ? NULL : blob_copy(buffer_bytes(head), buffer_len(head)),
        .body = blob_copy(buffer_bytes(body), buffer_len(body)),
    };
    buffer_add(&whole, buffer_bytes(head), buffer_len(head));
    buffer_add(&whole, buffer_bytes(body), buffer_len(body));
    for (size_t i = 0; i < buffer_len(&whole); i++)
        transaction.eight_bit = transaction.eight_bit || (buffer_bytes(&whole)[i] & 0x80) != 0;
    talk_stuff(&whole, &play->wire);
    int status = smtp_client_send(play->client, &transaction, play->now);
    blob_drop(&transaction.head);
    blob_drop(&transaction.body);
    buffer_free(&whole);
    flow(play);
    return status == 0 || wrong(play, "the client isn't ready");
}

/* Either READY was asked for by a line of its own, or it is the next event. */
static bool ready(struct play *play)
{
    struct smtp_client_report report;
    enum smtp_client_event event = smtp_client_next(play->client, &report);
    if (event == SMTP_CLIENT_READY || event == SMTP_CLIENT_NOTHING)
        return quiet(play);
    return wrong(play, "event %d came instead of READY", (int)event);
}

static bool do_send(struct play *play)
{
    char *from = talk_value(play->line->rest, "from"), *to = talk_value(play->line->rest, "to");
    char *body = talk_value(play->line->rest, "body"), *head = talk_value(play->line->rest, "head");
    struct buffer head_bytes = {0}, body_bytes = {0};
    size_t len = from == NULL ? 0 : strlen(from);
    bool good = len >= 2 && recipients(play, to);
    if (!good)
        wrong(play, "from=<> and to=<a@b>,<c@d> belong here");
    good = good && ready(play);
    if (good && ((head != NULL && !talk_body(head, &head_bytes)) ||
                    !talk_body(body == NULL ? "plain" : body, &body_bytes)))
        good = wrong(play, "there is no such body or head");
    if (good) {
        struct buffer sender = {0};
        talk_unescape(from + 1, len - 2, &sender);
        good = send_message(play, buffer_text(&sender), &head_bytes, &body_bytes);
        buffer_free(&sender);
    }
    buffer_free(&head_bytes);
    buffer_free(&body_bytes);
    free(from);
    free(to);
    free(body);
    free(head);
    return good;
}

static bool do_time(struct play *play)
{
    usec_t length = talk_duration(play->line->rest);
    if (length < 0)
        return wrong(play, "a duration belongs here: 30s, 5m");
    usec_t until = play->now + length;
    for (int i = 0; i < 100 && smtp_client_deadline(play->client) <= until; i++) {
        play->now = smtp_client_deadline(play->client);
        smtp_client_tick(play->client, play->now);
        flow(play);
    }
    play->now = until;
    smtp_client_tick(play->client, play->now);
    flow(play);
    return true;
}

static bool do_tls(struct play *play)
{
    struct smtp_client_report report;
    const char *words = play->line->rest;
    if (!expect_event(play, SMTP_CLIENT_START_TLS, &report))
        return false;
    char *outcome = talk_word(&words);
    const char *detail = words + (*words == ' ');
    if (outcome != NULL && strcmp(outcome, "wait") != 0)
        smtp_client_tls_done(play->client, strcmp(outcome, "ok") == 0, detail, play->now);
    free(outcome);
    flow(play);
    return true;
}

/* "12" or "-3" (all but three) of the message on the wire; all of it if nothing stands there. */
static size_t how_many(const struct play *play)
{
    long number = strtol(play->line->rest, NULL, 10);
    size_t all = buffer_len(&play->wire);
    if (*play->line->rest == '\0')
        return all;
    return number < 0 ? all - (size_t)-number : (size_t)number;
}

static bool do_deadline(struct play *play)
{
    usec_t deadline = smtp_client_deadline(play->client), wanted = talk_duration(play->line->rest);
    usec_t left = deadline == USEC_NEVER ? -1 : deadline - play->now;
    return left == wanted || wrong(play, "the deadline is %lld ms away", (long long)(left / USEC_MS));
}

static bool do_secure(struct play *play)
{
    const char *secure = smtp_client_secure(play->client) ? smtp_client_tls(play->client) : "no";
    return strcmp(secure, play->line->rest) == 0 || wrong(play, "it is: %s", secure);
}

static bool do_flow(struct play *play)
{
    play->hold = false;
    flow(play);
    return true;
}

static bool do_hold(struct play *play)
{
    play->hold = true;
    return true;
}

static bool do_take(struct play *play)
{
    take(play, how_many(play));
    return true;
}

static bool do_end(struct play *play)
{
    const char *how = play->line->rest;
    if (strcmp(how, "may") == 0) {
        smtp_client_may_end(play->client);
        flow(play);
        return true;
    }
    bool held = smtp_client_hold_end(play->client);
    return held == (strcmp(how, "held") == 0) ||
           wrong(play, "it %s held back", held ? "could be" : "can't be");
}

static bool do_message(struct play *play)
{
    return expect_bytes(play, buffer_bytes(&play->wire), how_many(play));
}

static bool do_lost(struct play *play)
{
    smtp_client_lost(play->client, play->line->rest, play->now);
    return true;
}

static bool do_quit(struct play *play)
{
    smtp_client_quit(play->client, play->now);
    flow(play);
    return true;
}

static bool expect_ready(struct play *play)
{
    struct smtp_client_report report;
    return expect_event(play, SMTP_CLIENT_READY, &report);
}

static bool step(struct play *play)
{
    static const struct {
        const char *word;
        bool input; /* nothing may be left unasked before it */
        bool (*run)(struct play *play);
    } words[] = {{"SEND", false, do_send}, {"QUIT", false, do_quit}, {"TIME", true, do_time},
        {"LOST", true, do_lost}, {"TLS", false, do_tls}, {"HOLD", false, do_hold}, {"FLOW", false, do_flow},
        {"TAKE", false, do_take}, {"END", false, do_end}, {"MESSAGE", false, do_message},
        {"DEADLINE", false, do_deadline}, {"SECURE", false, do_secure}, {"READY", false, expect_ready},
        {"RESULT", false, expect_result}, {"SENT", false, expect_sent}, {"CLOSED", false, expect_closed}};
    if (talk_is_bytes(play->line, 'S')) {
        if (buffer_len(&play->packet) == 0 && !quiet(play))
            return false;
        return talk_bytes(play->line, &play->packet) || wrong(play, "this makes no sense");
    }
    deliver(play);
    if (talk_is_bytes(play->line, 'C'))
        return expect_line(play);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].word, play->line->word) == 0)
            return (!words[i].input || quiet(play)) && words[i].run(play);
    return wrong(play, "what is \"%s\"?", play->line->word);
}

/* SET helo=... tls=... lines at the head. Returns how many there are. */
static size_t settings(struct play *play, struct smtp_client_settings *set, char **helo_r)
{
    size_t i = 0;
    for (; i < play->script->count && strcmp(play->script->lines[i].word, "SET") == 0; i++) {
        const char *rest = play->script->lines[i].rest;
        char *helo = talk_value(rest, "helo"), *tls = talk_value(rest, "tls");
        if (helo != NULL) {
            free(*helo_r);
            *helo_r = helo;
        }
        if (tls != NULL && strcmp(tls, "required") == 0)
            set->tls = SMTP_TLS_REQUIRED;
        else if (tls != NULL && strcmp(tls, "opportunistic") == 0)
            set->tls = SMTP_TLS_OPPORTUNISTIC;
        free(tls);
    }
    set->helo = *helo_r;
    return i;
}

bool talk_client(const struct talk_script *script, bool trickle)
{
    struct play play = {.script = script, .trickle = trickle, .now = START};
    struct smtp_client_settings set = {.tls = SMTP_TLS_NONE};
    char *helo = xstrdup("out.example");
    size_t i = settings(&play, &set, &helo);
    play.client = smtp_client_new(&set, play.now);
    bool good = i < script->count;
    for (; good && i < script->count; i++) {
        play.line = &script->lines[i];
        good = step(&play);
    }
    deliver(&play);
    good = good && quiet(&play);
    smtp_client_free(&play.client);
    for (size_t k = 0; k < play.recipient_count; k++)
        free(play.recipients[k]);
    buffer_free(&play.packet);
    buffer_free(&play.heard);
    buffer_free(&play.wire);
    free(helo);
    return good;
}
