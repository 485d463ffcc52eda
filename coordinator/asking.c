/* asking - see asking.h */
#include "coordinator/asking.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/heap.h"
#include "base/json_out.h"
#include "base/map.h"

struct question {
    uint64_t ref;
    struct heap_node timer;
    struct view *view;
    bool *answered; /* one a node of the view */
    size_t open;
    int code;   /* the best so far */
    bool plain; /* metrics: no JSON */
    struct buffer text;
    front_answered *done;
    void *arg;
};

struct asking {
    char member[BUS_NAME_SIZE];
    struct asking_ports ports;
    uint64_t last_ref;
    struct map questions;
    struct heap timers;
};

struct asking *asking_new(const char *member, const struct asking_ports *ports)
{
    struct asking *asking = xcalloc(1, sizeof *asking);
    snprintf(asking->member, sizeof asking->member, "%s", member);
    asking->ports = *ports;
    return asking;
}

static void say_missing(struct question *question)
{
    if (question->plain)
        return;
    json_begin(&question->text, '{');
    json_bool(&question->text, "incomplete", true);
    json_begin_named(&question->text, "missing", '[');
    for (size_t i = 0; i < question->view->node_count; i++)
        if (!question->answered[i])
            json_text(&question->text, NULL, question->view->nodes[i].id);
    json_end(&question->text, ']');
    json_end(&question->text, '}');
    buffer_add(&question->text, "\n", 1);
}

static void finish(struct asking *asking, struct question *question)
{
    map_remove(&asking->questions, &question->ref, sizeof question->ref);
    heap_remove(&asking->timers, &question->timer);
    if (question->open > 0)
        say_missing(question);
    int code = question->code == 0 ? 503 : question->code;
    question->done(question->arg, code, buffer_text(&question->text), buffer_len(&question->text));
    view_drop(&question->view);
    buffer_free(&question->text);
    free(question->answered);
    free(question);
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
    free(a);
}

static void answer_nodes(struct view *view, front_answered *done, void *arg)
{
    struct buffer out = {0};
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *node = &view->nodes[i];
        json_begin(&out, '{');
        json_text(&out, "node", node->id);
        json_text(&out, "state", node->draining ? "draining" : "up");
        json_text(&out, "spool", node->spool);
        json_number(&out, "incarnation", (int64_t)node->incarnation);
        json_number(&out, "weight", node->weight);
        json_number(&out, "sources", (int64_t)node->source_count);
        json_number(&out, "epoch", (int64_t)view->epoch);
        json_end(&out, '}');
        buffer_add(&out, "\n", 1);
    }
    done(arg, 200, buffer_text(&out), buffer_len(&out));
    buffer_free(&out);
}

static void ask_node(
    struct asking *asking, const struct question *question, const struct view_node *node, const char *text)
{
    struct bus_msg *msg = bus_msg_new(BUS_ASK, asking->member, node->id);
    msg->ref = question->ref;
    bus_msg_set_text(msg, text, strlen(text));
    asking->ports.send(asking->ports.context, msg);
}

void asking_ask(struct asking *asking, struct view *view, const char *what, const char *selectors,
    const char *tenant, front_answered *done, void *arg, usec_t now)
{
    static const char busy[] = "too many questions are open; ask again in a moment";
    if (view == NULL || map_count(&asking->questions) >= ASKING_MAX) {
        done(arg, 503, busy, sizeof busy - 1);
        return;
    }
    if (strcmp(what, "nodes") == 0) {
        answer_nodes(view, done, arg);
        return;
    }
    struct question *question = xcalloc(1, sizeof *question);
    question->ref = ++asking->last_ref;
    question->view = view_hold(view);
    question->answered = xcalloc(view->node_count, sizeof *question->answered);
    question->open = view->node_count;
    question->plain = strcmp(what, "metrics") == 0;
    question->done = done;
    question->arg = arg;
    map_set(&asking->questions, &question->ref, sizeof question->ref, question);
    heap_put(&asking->timers, &question->timer, now + ASKING_PATIENCE);
    struct buffer text = {0};
    buffer_printf(&text, "%s?%s%s%s%s", what, tenant == NULL ? "" : "tenant=", tenant == NULL ? "" : tenant,
        tenant == NULL ? "" : "&", selectors);
    for (size_t i = 0; i < view->node_count; i++)
        ask_node(asking, question, &view->nodes[i], buffer_text(&text));
    buffer_free(&text);
}

/* A node that is not ready (503) outweighs all, a 200 a 400 (its text is the sentence), that a 404. */
static void gather(struct question *question, const struct bus_msg *msg)
{
    static const int order[] = {503, 200, 400, 404};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (question->code == order[i] && msg->code != order[i])
            return;
        if (msg->code == order[i])
            break;
    }
    if (msg->code != question->code)
        buffer_clear(&question->text);
    question->code = msg->code;
    buffer_add(&question->text, msg->text == NULL ? "" : msg->text, msg->text_len);
}

void asking_message(struct asking *asking, const struct bus_msg *msg)
{
    struct question *question = map_get(&asking->questions, &msg->ref, sizeof msg->ref);
    if (msg->type != BUS_ANSWER || question == NULL)
        return;
    for (size_t i = 0; i < question->view->node_count; i++) {
        if (question->answered[i] || strcmp(question->view->nodes[i].id, msg->from) != 0)
            continue;
        question->answered[i] = true;
        question->open--;
        gather(question, msg);
    }
    if (question->open == 0)
        finish(asking, question);
}

void asking_tick(struct asking *asking, usec_t now)
{
    for (struct heap_node *timer; (timer = heap_pop(&asking->timers, now)) != NULL;)
        finish(asking, heap_item(timer, struct question, timer));
}

usec_t asking_deadline(const struct asking *asking)
{
    const struct heap_node *timer = heap_first(&asking->timers);
    return timer == NULL ? USEC_NEVER : timer->key;
}
