/* asking - see asking.h; how many answers become one is in the files beside (asking_inside.h) */
#include "coordinator/asking.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "base/query.h"
#include "coordinator/asking_inside.h"

#define MANY 10000
#define MANY_EVENTS 1000

static const struct question_kind kinds[] = {
    {"alerts", merge_alerts, NULL, NULL, 0, NULL, false, false},
    {"audit", merge_rows, NULL, NULL, 0, NULL, false, false},
    {"bounce", merge_touched, NULL, NULL, 0, NULL, false, false},
    {"delete", merge_touched, NULL, NULL, 0, NULL, false, false},
    {"drain", merge_drain, NULL, NULL, 0, NULL, false, true},
    {"events", merge_events, NULL, NULL, MANY_EVENTS, NULL, true, false},
    {"explain", merge_explain, NULL, NULL, 0, NULL, false, false},
    {"lanes", merge_rows, NULL, NULL, MANY, NULL, false, false},
    {"message", merge_history, NULL, NULL, 0, NULL, false, false},
    {"messages", merge_rows, "time", NULL, MANY_EVENTS, NULL, true, false},
    {"metrics", merge_metrics, NULL, NULL, 0, NULL, false, true},
    {"nodes", merge_nodes, NULL, NULL, 0, "status", false, false},
    {"providers", merge_rows, "provider", NULL, MANY, NULL, false, false},
    {"queues", merge_rows, "-queued", "domain", MANY, NULL, false, false},
    {"ready", merge_rows, NULL, NULL, 0, NULL, false, true},
    {"retry", merge_touched, NULL, NULL, 0, NULL, false, false},
    {"sources", merge_rows, NULL, NULL, MANY, NULL, false, false},
    {"status", merge_status, NULL, NULL, 0, NULL, false, false},
    {"tenants", merge_rows, "tenant", NULL, MANY, NULL, false, false},
};
static const struct question_kind other = {"", merge_rows, NULL, NULL, MANY, NULL, false, false};

struct asking *asking_new(const char *member, uint64_t seed, const struct asking_ports *ports)
{
    struct asking *asking = xcalloc(1, sizeof *asking);
    snprintf(asking->member, sizeof asking->member, "%s", member);
    asking->last_ref = seed;
    asking->ports = *ports;
    return asking;
}

/* Ending */

static void question_free(struct question *question)
{
    for (size_t i = 0; i < question->count; i++) {
        question->asking->held -= question->replies[i].len;
        free(question->replies[i].text);
    }
    free(question->replies);
    cursor_free(&question->cursor);
    view_drop(&question->view);
    free(question);
}

static bool could_not_be_asked(const struct reply *reply)
{
    return reply->state != REPLY_SAID || reply->code >= 500 || reply->code == 429;
}

static size_t missing(const struct question *question)
{
    size_t count = 0;
    for (size_t i = 0; i < question->count; i++)
        count += could_not_be_asked(&question->replies[i]);
    return count;
}

static void say_missing(struct question *question, struct buffer *out)
{
    json_begin(out, '{');
    json_bool(out, "incomplete", true);
    json_begin_named(out, "missing", '[');
    for (size_t i = 0; i < question->count; i++)
        if (could_not_be_asked(&question->replies[i]))
            json_text(out, NULL, question->replies[i].node->id);
    json_end(out, ']');
    json_end(out, '}');
    buffer_add(out, "\n", 1);
}

/* "n3 is down, n4 does not answer" */
static void say_why(const struct question *question, struct buffer *out)
{
    size_t told = 0;
    for (size_t i = 0; i < question->count && told < 10; i++) {
        const struct reply *reply = &question->replies[i];
        if (could_not_be_asked(reply))
            buffer_printf(out, "%s%s %s", told++ == 0 ? "" : ", ", reply->node->id,
                reply->node->down            ? "is down"
                : reply->state == REPLY_SAID ? "can't answer now"
                                             : "does not answer");
    }
    if (missing(question) > told)
        buffer_printf(out, " and %zu more", missing(question) - told);
}

static const struct reply *first_that_said(const struct question *question, int code)
{
    for (size_t i = 0; i < question->count; i++)
        if (question->replies[i].state == REPLY_SAID && question->replies[i].code == code)
            return &question->replies[i];
    return NULL;
}

/* Nobody gave rows: a 400 is the same from all; "not found" is sure only if everybody was asked. */
static int refuse(const struct question *question, struct buffer *out)
{
    static const int order[] = {400, 404, 429, 503, 500};
    const struct reply *reply = NULL;
    for (size_t i = 0; i < sizeof order / sizeof order[0] && reply == NULL; i++)
        reply = first_that_said(question, order[i]);
    if (reply != NULL && reply->code == 404 && missing(question) > 0) {
        buffer_add_text(out, "nothing is known of it where it could be asked, but ");
        say_why(question, out);
        buffer_add_text(out, ": ask again when all answer");
        return 503;
    }
    if (reply != NULL) {
        buffer_add(out, reply->text, reply->len);
        return reply->code;
    }
    if (question->kind->plain)
        return 503;
    buffer_add_text(out, question->count == 0 ? "there is no node yet" : "nobody could be asked: ");
    say_why(question, out);
    return 503;
}

static void finish(struct question *question)
{
    struct asking *asking = question->asking;
    struct buffer out = {0};
    map_remove(&asking->questions, &question->ref, sizeof question->ref);
    heap_remove(&asking->timers, &question->timer);
    bool about_all = question->kind->merge == merge_nodes || question->kind->merge == merge_status ||
                     question->kind->merge == merge_alerts || question->kind->merge == merge_metrics ||
                     question->kind->merge == merge_drain;
    int code = 200;
    if (first_that_said(question, 200) != NULL || (about_all && !question->alone))
        question->kind->merge(question, &out);
    else
        code = refuse(question, &out);
    if (code == 200 && missing(question) > 0 && !question->kind->plain)
        say_missing(question, &out);
    question->done(question->arg, code, buffer_text(&out), buffer_len(&out));
    buffer_free(&out);
    question_free(question);
}

static void troubles_free(struct map *troubles)
{
    struct map_entry *at = NULL;
    for (struct trouble *trouble; (trouble = map_next(troubles, &at)) != NULL;)
        free(trouble);
    map_free(troubles);
}

void asking_free(struct asking **asking)
{
    struct asking *a = *asking;
    *asking = NULL;
    if (a == NULL)
        return;
    asking_tick(a, USEC_NEVER);
    map_free(&a->questions);
    heap_free(&a->timers);
    troubles_free(&a->down);
    troubles_free(&a->silent);
    holds_drop(&a->holds);
    free(a);
}

/* Asking */

static const struct question_kind *kind_of(const char *what)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].what, what) == 0)
            return &kinds[i];
    return &other;
}

/* One reply a node; the selector `node` leaves one. */
static void choose_nodes(struct question *question, const char *selectors)
{
    const struct view *view = question->view;
    char only[MEMBER_ID_SIZE] = "";
    bool one = query_has(selectors, "node");
    query_get(selectors, "node", only, sizeof only);
    question->replies = xcalloc(view->node_count + 1, sizeof *question->replies);
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *node = &view->nodes[i];
        if (one && strcmp(node->id, only) != 0)
            continue;
        struct reply *reply = &question->replies[question->count++];
        reply->node = node;
        reply->silent = map_get_text(&question->asking->silent, node->id) != NULL;
        reply->state = node->down || reply->silent ? REPLY_MISSING : REPLY_OPEN;
        question->open += reply->state == REPLY_OPEN;
    }
}

/* Where a reading of events begins. False: the cursor is none. */
static bool read_cursor(struct question *question, const char *selectors, usec_t now)
{
    struct cursor *cursor = &question->cursor;
    const struct view *view = question->view;
    question->newest = question->kind->newest && !query_has(selectors, "cursor");
    cursor->base = now / USEC_MS;
    if (question->kind->merge != merge_events || question->newest)
        return true;
    char *text = xmalloc(CURSOR_MAX + 1);
    bool good = query_get(selectors, "cursor", text, CURSOR_MAX + 1);
    question->from_end = good && strcmp(text, "end") == 0;
    if (good && text[0] == '\0')
        cursor->base = 0;
    else if (good && cursor_is_place(text) && text[0] != 't' && view->node_count == 1)
        cursor_set(cursor, view->nodes[0].id, text, strlen(text));
    else if (good && !question->from_end)
        good = cursor_read(text, cursor) == 0;
    free(text);
    return good;
}

/* Whether each node is told its own place instead of the cursor of all. */
static bool has_places(const struct question *question)
{
    return question->kind->merge == merge_events && !question->newest && !question->alone;
}

static void ask_node(struct question *question, const struct reply *reply, const char *selectors)
{
    char room[CURSOR_PLACE_SIZE];
    struct buffer text = {0};
    struct bus_msg *msg = bus_msg_new(BUS_ASK, question->asking->member, reply->node->id);
    msg->ref = question->ref;
    buffer_printf(&text, "%s?", question->kind->ask != NULL ? question->kind->ask : question->kind->what);
    if (has_places(question))
        buffer_printf(&text, "cursor=%s&",
            question->from_end ? "end" : cursor_place(&question->cursor, reply->node->id, room));
    buffer_add_text(&text, selectors);
    bus_msg_set_text(msg, buffer_text(&text), buffer_len(&text));
    buffer_free(&text);
    question->asking->ports.send(question->asking->ports.context, msg);
}

/* One machine alone, whose answers are passed on as they are; but a cursor of several nodes is read here. */
static bool is_alone(const struct view *view, const char *selectors)
{
    char text[CURSOR_PLACE_SIZE];
    if (view->node_count != 1 || view->leader[0] != '\0' || query_has(selectors, "node"))
        return false;
    return !query_has(selectors, "cursor") ||
           (query_get(selectors, "cursor", text, sizeof text) && strchr(text, ',') == NULL);
}

/* A cursor of many nodes is long, and nobody's there. */
static void add_without_cursor(struct buffer *out, const char *selectors)
{
    bool first = true;
    for (size_t len; *selectors != '\0'; selectors += len + (selectors[len] == '&')) {
        len = strcspn(selectors, "&");
        if (strncmp(selectors, "cursor=", 7) == 0)
            continue;
        if (!first)
            buffer_add(out, "&", 1);
        buffer_add(out, selectors, len);
        first = false;
    }
}

static void send_all(struct question *question, const char *selectors, const char *tenant)
{
    struct buffer text = {0};
    /* The first of a name counts. */
    if (tenant != NULL)
        buffer_printf(&text, "tenant=%s&", tenant);
    if (has_places(question))
        add_without_cursor(&text, selectors);
    else
        buffer_add_text(&text, selectors);
    for (size_t i = 0; i < question->count; i++)
        if (question->replies[i].state == REPLY_OPEN)
            ask_node(question, &question->replies[i], buffer_text(&text));
    buffer_free(&text);
}

static struct question *question_new(
    struct asking *asking, struct view *view, const char *what, const char *selectors, usec_t now)
{
    struct question *question = xcalloc(1, sizeof *question);
    question->asking = asking;
    question->kind = kind_of(what);
    question->ref = ++asking->last_ref;
    question->view = view_hold(view);
    question->alone = is_alone(view, selectors);
    question->limit = (size_t)query_number(selectors, "limit", 1, 1000000, (int64_t)question->kind->limit);
    question->asked = now;
    choose_nodes(question, selectors);
    return question;
}

static void refuse_at_once(
    struct question *question, front_answered *done, void *arg, int code, const char *why)
{
    done(arg, code, why, strlen(why));
    question_free(question);
}

void asking_ask(struct asking *asking, struct view *view, const char *what, const char *selectors,
    const char *tenant, front_answered *done, void *arg, usec_t now)
{
    static const char busy[] = "too many questions are open; ask again in a moment";
    static const char blind[] = "this coordinator knows of no node yet; ask again in a moment";
    if (view == NULL || map_count(&asking->questions) >= ASKING_MAX) {
        const char *why = view == NULL ? blind : busy;
        done(arg, 503, why, strlen(why));
        return;
    }
    struct question *question = question_new(asking, view, what, selectors, now);
    if (question->count == 0 && view->node_count > 0) {
        refuse_at_once(question, done, arg, 404, "there is no such node; `todoku nodes` lists them");
        return;
    }
    if (!question->alone && !read_cursor(question, selectors, now)) {
        refuse_at_once(question, done, arg, 400,
            "this cursor is none of this cluster's: leave it out to read from now on, or ask the node it is "
            "of (`node=`)");
        return;
    }
    question->done = done;
    question->arg = arg;
    map_set(&asking->questions, &question->ref, sizeof question->ref, question);
    bool command = question->kind->merge == merge_touched;
    heap_put(&asking->timers, &question->timer, now + (command ? ASKING_COMMAND_PATIENCE : ASKING_PATIENCE));
    send_all(question, selectors, tenant);
    if (question->open == 0)
        finish(question);
}

/* What would go beyond all that may be held counts as not said. */
static void take_reply(struct asking *asking, struct reply *reply, const struct bus_msg *msg)
{
    size_t len = msg->text == NULL ? 0 : msg->text_len;
    reply->state = len > ASKING_MAX_BYTES - asking->held ? REPLY_MISSING : REPLY_SAID;
    if (reply->state == REPLY_MISSING)
        return;
    asking->held += len;
    reply->code = msg->code;
    reply->len = len;
    reply->text = xstrndup(msg->text == NULL ? "" : msg->text, len);
}

void asking_message(struct asking *asking, const struct bus_msg *msg)
{
    struct question *question = map_get(&asking->questions, &msg->ref, sizeof msg->ref);
    if (msg->type != BUS_ANSWER || question == NULL)
        return;
    for (size_t i = 0; i < question->count; i++) {
        struct reply *reply = &question->replies[i];
        if (reply->state != REPLY_OPEN || strcmp(reply->node->id, msg->from) != 0)
            continue;
        question->open--;
        take_reply(asking, reply, msg);
    }
    if (question->open == 0)
        finish(question);
}

void asking_tick(struct asking *asking, usec_t now)
{
    for (struct heap_node *timer; (timer = heap_pop(&asking->timers, now)) != NULL;) {
        struct question *question = heap_item(timer, struct question, timer);
        for (size_t i = 0; i < question->count; i++)
            if (question->replies[i].state == REPLY_OPEN)
                question->replies[i].state = REPLY_MISSING;
        finish(question);
    }
}

usec_t asking_deadline(const struct asking *asking)
{
    const struct heap_node *timer = heap_first(&asking->timers);
    return timer == NULL ? USEC_NEVER : timer->key;
}
