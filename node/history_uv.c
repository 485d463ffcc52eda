/* history_uv - questions that the event log answers: messages, events, and a message's past
 *
 * The files are read in libuv's pool, so that a long search never holds the node up. A message's answer is
 * its events, then how its deliveries stand now. Events and messages are the newest there are, or, with a
 * cursor, the next ones behind it ("": from the oldest on; "end": none, only where the log ends; "t" and
 * milliseconds: from that time on). An answer is some MiB at most. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "base/query.h"
#include "base/units.h"
#include "node/event_find.h"
#include "node/keeper_state_uv.h"
#include "proto/message.h"

#define DEFAULT_LIMIT 1000
#define MAX_LIMIT 100000
/* The pool has four threads, and bodies are read there too. */
#define SEARCHES_AT_ONCE 2
#define MAX_SCAN ((uint64_t)1 << 32)

enum kind { PAST_OF_MESSAGE, MESSAGES, EVENTS };

struct search {
    uv_work_t work;
    struct keeper *keeper;
    struct bus_msg *answer;
    enum kind kind;
    bool newest; /* the last ones there are; else on from the cursor */
    bool in_pool;
    size_t limit;
    char cursor[EVENT_CURSOR_SIZE], next[EVENT_CURSOR_SIZE];
    char id[64], to[330], tenant[128], event[32];
    usec_t since;
    struct buffer out;
    struct buffer now; /* PAST_OF_MESSAGE: its deliveries at this moment */
    int code;
    struct error error;
};

static const char *set_or_null(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

static struct event_filter filter_of(const struct search *search)
{
    return (struct event_filter){.message_id = set_or_null(search->id),
        .to = set_or_null(search->to),
        .tenant = set_or_null(search->tenant),
        .event = set_or_null(search->event),
        .since = search->since};
}

static void read_newest(struct search *search)
{
    struct event_filter filter = filter_of(search);
    int rc = event_read_newest(
        search->keeper->log_dir, search->limit, &filter, &search->out, search->next, &search->error);
    search->code = rc == 0 ? 200 : 500;
}

/* Reads page by page until enough is found or the log's end is reached. */
static void read_pages(struct search *search)
{
    struct event_filter filter = filter_of(search);
    struct event_page page = {0};
    uint64_t scanned = 0;
    size_t found = 0;
    snprintf(search->next, sizeof search->next, "%s", search->cursor);
    do {
        if (event_read(search->keeper->log_dir, search->next, search->limit - found, &filter, &search->out,
                search->next, &page, &search->error) != 0) {
            search->code = 500;
            return;
        }
        found += page.count;
        scanned += EVENT_READ_SCAN;
    } while (page.more && found < search->limit && scanned < MAX_SCAN &&
             buffer_len(&search->out) < EVENT_READ_OUT);
    search->code = 200;
}

static void follow_from_end(struct search *search)
{
    search->code = 200;
    if (event_last_cursor(search->keeper->log_dir, search->next, &search->error) != 0)
        search->code = 500;
}

static void work(uv_work_t *request)
{
    struct search *search = request->data;
    if (search->kind == EVENTS && strcmp(search->cursor, "end") == 0)
        follow_from_end(search);
    else if (search->newest)
        read_newest(search);
    else
        read_pages(search);
    if (search->code == 200 && search->kind == EVENTS) { /* where to go on */
        json_begin(&search->out, '{');
        json_text(&search->out, "next", search->next);
        json_end(&search->out, '}');
        buffer_add(&search->out, "\n", 1);
    }
}

static void done(uv_work_t *request, int status)
{
    struct search *search = request->data;
    (void)status;
    if (search->kind == PAST_OF_MESSAGE) {
        if (search->code == 200 && buffer_len(&search->out) == 0 && buffer_len(&search->now) == 0)
            search->code = 404;
        if (search->code == 404)
            buffer_add_text(&search->out, "no message with this id is known here");
        buffer_add(&search->out, buffer_bytes(&search->now), buffer_len(&search->now));
    }
    if (search->code == 500) {
        buffer_clear(&search->out);
        buffer_add_text(&search->out, search->error.text);
    }
    search->answer->code = search->code;
    search->answer->complete = true;
    bus_msg_set_text(search->answer, buffer_text(&search->out), buffer_len(&search->out));
    search->keeper->working -= search->in_pool;
    search->keeper->searching -= search->in_pool;
    search->keeper->bus_face.send(search->keeper->bus_face.context, search->answer);
    buffer_free(&search->out);
    buffer_free(&search->now);
    free(search);
}

/* "2h" back from now, or an RFC 3339 time. */
static int read_since(const char *text, usec_t now, usec_t *since_r, struct error *error)
{
    usec_t back;
    if (units_duration(text, &back, NULL) == 0) {
        *since_r = now - back;
        return 0;
    }
    return message_time(text, since_r, error);
}

/* "t1795323852000" is the place before the first event of that time, in milliseconds. */
static void read_time_cursor(struct search *search)
{
    const char *digits = search->cursor + 1;
    if (search->cursor[0] != 't' || strlen(digits) > 15 || strspn(digits, "0123456789") != strlen(digits))
        return;
    usec_t from = strtoll(digits, NULL, 10) * USEC_MS;
    if (from > search->since)
        search->since = from;
    search->cursor[0] = '\0';
}

static int read_selectors(struct search *search, const char *selectors, usec_t now)
{
    char since[64];
    search->limit = (size_t)query_number(selectors, "limit", 1, MAX_LIMIT, DEFAULT_LIMIT);
    const struct {
        const char *name;
        char *out;
        size_t size;
    } texts[] = {
        {"cursor", search->cursor, sizeof search->cursor},
        {"id", search->id, sizeof search->id},
        {"to", search->to, sizeof search->to},
        {"tenant", search->tenant, sizeof search->tenant},
        {"event", search->event, sizeof search->event},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (query_has(selectors, texts[i].name) &&
            !query_get(selectors, texts[i].name, texts[i].out, texts[i].size))
            return error_set(&search->error, "the selector %s is too long or badly encoded", texts[i].name);
    if (query_get(selectors, "since", since, sizeof since) &&
        read_since(since, now, &search->since, &search->error) != 0)
        return -1;
    search->newest = search->kind != PAST_OF_MESSAGE && !query_has(selectors, "cursor");
    read_time_cursor(search);
    return 0;
}

static bool kind_of(const char *what, enum kind *kind_r)
{
    static const char *const names[] = {"message", "messages", "events"};
    for (size_t i = 0; i < 3; i++) {
        size_t len = strlen(names[i]);
        if (strncmp(what, names[i], len) == 0 && (what[len] == '?' || what[len] == '\0')) {
            *kind_r = (enum kind)i;
            return true;
        }
    }
    return false;
}

/* The 400 of the node's own answer (a bad id) is the whole answer. */
static bool add_present(struct search *search, const char *selectors, usec_t now)
{
    search->code = node_answer(search->keeper->node, "message", selectors, now, &search->now);
    if (search->code != 400)
        return true;
    buffer_add(&search->out, buffer_bytes(&search->now), buffer_len(&search->now));
    buffer_clear(&search->now);
    return false;
}

bool history_asked(struct keeper *keeper, const struct bus_msg *msg)
{
    enum kind kind;
    const char *text = msg->text == NULL ? "" : msg->text;
    if (msg->type != BUS_ASK || !kind_of(text, &kind))
        return false;
    usec_t now = clock_now();
    const char *mark = strchr(text, '?'), *selectors = mark == NULL ? "" : mark + 1;
    struct search *search = xcalloc(1, sizeof *search);
    search->work.data = search;
    search->keeper = keeper;
    search->kind = kind;
    search->answer = bus_msg_answer(msg, BUS_ANSWER);
    bool good = read_selectors(search, selectors, now) == 0;
    if (!good) {
        search->code = 400;
        buffer_add_text(&search->out, search->error.text);
    }
    if (good && keeper->searching >= SEARCHES_AT_ONCE) {
        good = false;
        search->code = 503;
        buffer_add_text(&search->out, "other searches are under way; ask again in a moment");
    }
    if (good && kind == PAST_OF_MESSAGE)
        good = add_present(search, selectors, now);
    event_log_flush(keeper->events, now);
    search->in_pool = good && uv_queue_work(&keeper->loop, &search->work, work, done) == 0;
    if (search->in_pool) {
        keeper->working++;
        keeper->searching++;
    } else
        done(&search->work, 0);
    return true;
}
