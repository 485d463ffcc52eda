/* asking_drain - a node that is to become empty: how far it is, and what keeps mail there (asking_inside.h)
 *
 *     {"node","state","head","etcd", "draining","queued","sending","moving","drain_per_second","empty_in_ms",
 *      "why": [sentences]}
 * The node tells what it sees; what it can't know is added: that nobody hears it, that no view tells it. */
#include <stdio.h>
#include <string.h>

#include "base/json_out.h"
#include "coordinator/asking_inside.h"

/* As it is written there. */
static void copy_member(const char *row, size_t len, const char *name, struct buffer *out)
{
    struct row_value value = row_member(row, len, name);
    if (value.len > 0)
        buffer_printf(out, ",\"%s\":%.*s", name, (int)value.len, value.bytes);
}

void ebb_of_row(const char *row, size_t len, struct buffer *out)
{
    static const char *const names[] = {"drain_per_second", "empty_in_ms", "to_move", "moves_per_second",
        "moved_in_ms", "taken_over_per_second", "taken_over_empty_in_ms"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        copy_member(row, len, names[i], out);
}

/* The node has not heard of it, or can't say anything. */
static void why_not_told(const struct question *question, const struct reply *reply, struct buffer *out)
{
    const struct asking *asking = question->asking;
    const char *state = node_standing_of(reply);
    char text[400];
    if (strcmp(state, "up") == 0 || strcmp(state, "draining") == 0)
        return;
    if (strcmp(state, "down") == 0)
        snprintf(text, sizeof text, "%s is down: what it holds waits on its disk until it is started again",
            reply->node->id);
    else
        snprintf(text, sizeof text, "%s does not answer %s: look whether it runs, and at the network",
            reply->node->id, asking->member);
    json_text(out, NULL, text);
}

static void why_no_view(const struct question *question, const struct reply *reply, struct buffer *out)
{
    const struct asking *asking = question->asking;
    char text[500];
    if (reply->node->draining)
        return;
    if (asking->away[0] != '\0')
        snprintf(text, sizeof text, "no view says yet that it is drained: etcd is away (%s)", asking->away);
    else if (!head_is_there(question->view))
        snprintf(
            text, sizeof text, "no view says yet that it is drained: no coordinator is the head just now");
    else
        snprintf(text, sizeof text, "no view says that it is drained");
    json_text(out, NULL, text);
}

/* {"why": a sentence}, each a row. */
static void copy_why(const char *at, const char *end, struct buffer *out)
{
    const char *line;
    size_t len;
    while (row_next(&at, end, &line, &len)) {
        struct row_value value = row_member(line, len, "why");
        char last = buffer_text(out)[buffer_len(out) - 1];
        if (value.len > 0)
            buffer_printf(out, "%s\"%.*s\"", last == '[' ? "" : ",", (int)value.len, value.bytes);
    }
}

static void drain_row(const struct question *question, const struct reply *reply, struct buffer *out)
{
    static const char *const figures[] = {"draining", "queued", "sending", "moving"};
    const char *at = reply->text, *end = reply->text + reply->len, *line = "";
    size_t len = 0;
    if (reply_counts(reply))
        row_next(&at, end, &line, &len);
    json_begin(out, '{');
    json_text(out, "node", reply->node->id);
    json_text(out, "state", node_standing_of(reply));
    json_bool(out, "head", head_is_there(question->view));
    json_bool(out, "etcd", question->asking->away[0] == '\0');
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        copy_member(line, len, figures[i], out);
    ebb_of_row(line, len, out);
    json_begin_named(out, "why", '[');
    why_no_view(question, reply, out);
    why_not_told(question, reply, out);
    if (len > 0)
        copy_why(at, end, out);
    json_end(out, ']');
    json_end(out, '}');
    buffer_add(out, "\n", 1);
}

void merge_drain(struct question *question, struct buffer *out)
{
    for (size_t i = 0; i < question->count; i++)
        drain_row(question, &question->replies[i], out);
}
