/* listing_uv - what waits, by queue, by tenant or by pool: counted in libuv's pool, so that a deep table never holds the node
 * up (node.h: struct listing)
 *
 * One such question is worked on at a time, the others wait; those that ask the same are answered with it. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/keeper_state_uv.h"

#define MAX_WAITING 256

struct listing_asked {
    struct list link; /* in keeper->listings, while it waits */
    uv_work_t work;
    struct keeper *keeper;
    struct bus_msg *msg;
    struct listing *listing;
    int status;
    struct error error;
};

static void answer(struct keeper *keeper, const struct bus_msg *msg, int code, struct buffer *text)
{
    struct bus_msg *out = bus_msg_answer(msg, BUS_ANSWER);
    out->code = code;
    out->complete = true;
    bus_msg_set_text(out, buffer_text(text), buffer_len(text));
    keeper->bus_face.send(keeper->bus_face.context, out);
}

static void refuse(struct keeper *keeper, const struct bus_msg *msg, int code, const char *why)
{
    struct buffer text = {0};
    buffer_add_text(&text, why);
    answer(keeper, msg, code, &text);
    buffer_free(&text);
}

static void asked_free(struct listing_asked *asked)
{
    list_remove(&asked->link);
    asked->keeper->listing_count--;
    listing_free(&asked->listing);
    bus_msg_free(&asked->msg);
    free(asked);
}

static void work(uv_work_t *request)
{
    struct listing_asked *asked = request->data;
    asked->status = listing_read(asked->listing, &asked->error);
}

/* Those that wait for the same. */
static void answer_others(
    struct keeper *keeper, const struct listing_asked *like, int code, struct buffer *text)
{
    list_each_safe (link, &keeper->listings) {
        struct listing_asked *asked = list_item(link, struct listing_asked, link);
        if (strcmp(asked->msg->text, like->msg->text) != 0)
            continue;
        answer(keeper, asked->msg, code, text);
        asked_free(asked);
    }
}

static void start(struct keeper *keeper);

static void done(uv_work_t *request, int status)
{
    struct listing_asked *asked = request->data;
    struct keeper *keeper = asked->keeper;
    struct buffer text = {0};
    bool good = status == 0 && asked->status == 0;
    keeper->working--;
    if (good)
        node_list_end(keeper->node, asked->listing, clock_now(), &text);
    else
        buffer_add_text(&text, status != 0 ? "the node is stopping" : asked->error.text);
    answer(keeper, asked->msg, good ? 200 : 503, &text);
    answer_others(keeper, asked, good ? 200 : 503, &text);
    asked_free(asked);
    buffer_free(&text);
    start(keeper);
}

static size_t name_len(const char *question)
{
    return strcspn(question, "?");
}

/* The first of those that wait. */
static void start(struct keeper *keeper)
{
    if (list_empty(&keeper->listings) || keeper->ending)
        return;
    struct listing_asked *asked = list_item(list_pop(&keeper->listings), struct listing_asked, link);
    size_t len = name_len(asked->msg->text);
    char *what = xstrndup(asked->msg->text, len);
    asked->listing =
        node_list_begin(keeper->node, what, asked->msg->text + len + (asked->msg->text[len] == '?'));
    free(what);
    asked->work.data = asked;
    keeper->working++;
    must(uv_queue_work(&keeper->loop, &asked->work, work, done) == 0);
}

static bool is_one(const struct bus_msg *msg)
{
    static const char *const names[] = {"drain", "queues", "tenants"};
    if (msg->type != BUS_ASK || msg->text == NULL)
        return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (name_len(msg->text) == strlen(names[i]) && strncmp(msg->text, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

bool listing_asked(struct keeper *keeper, const struct bus_msg *msg)
{
    if (!is_one(msg))
        return false;
    if (keeper->listing_count >= MAX_WAITING) {
        refuse(keeper, msg, 503, "too many such questions wait; ask again in a moment");
        return true;
    }
    struct listing_asked *asked = xcalloc(1, sizeof *asked);
    asked->keeper = keeper;
    asked->msg = bus_msg_copy(msg);
    list_push_back(&keeper->listings, &asked->link);
    if (keeper->listing_count++ == 0)
        start(keeper);
    return true;
}

void listing_end(struct keeper *keeper)
{
    list_each_safe (link, &keeper->listings)
        asked_free(list_item(link, struct listing_asked, link));
}
