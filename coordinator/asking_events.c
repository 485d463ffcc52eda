/* asking_events - the events of several nodes as one stream (asking_inside.h)
 *
 * Each node gives its lines in the order of its own log; they are merged by their times, and each line gets a
 * cursor that holds the places of all nodes behind it, so a reader may break off at any line and come back:
 * nothing is lost and nothing told twice, whichever nodes answer. A node that is missing keeps its place.
 * Where the cursor is long (many nodes) only the last line carries one; a reader that breaks off before it is
 * told the lines of that answer again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "coordinator/api_time.h"
#include "coordinator/asking_inside.h"

#define EACH_LINE 400 /* a cursor up to this length stands in every line */

struct head { /* of a node's lines, while they are merged */
    const struct reply *reply;
    const char *at, *line; /* null: no more */
    size_t len;
    struct row_value time, next;
};

/* {"next": CURSOR} is where the node's log was read to. */
static void advance(struct head *head)
{
    const char *end = head->reply->text + head->reply->len;
    while (row_next(&head->at, end, &head->line, &head->len)) {
        head->time = row_member(head->line, head->len, "time");
        if (row_member(head->line, head->len, "cursor").len > 0)
            return;
        struct row_value next = row_member(head->line, head->len, "next");
        if (next.len > 0)
            head->next = next;
    }
    head->line = NULL;
}

static bool is_earlier(const struct head *a, const struct head *b)
{
    size_t len = a->time.len < b->time.len ? a->time.len : b->time.len;
    return len > 0 && memcmp(a->time.bytes, b->time.bytes, len) < 0;
}

static struct head *earliest(struct head *heads, size_t count)
{
    struct head *first = NULL;
    for (size_t i = 0; i < count; i++)
        if (heads[i].line != NULL && (first == NULL || is_earlier(&heads[i], first)))
            first = &heads[i];
    return first;
}

static size_t count_lines(const struct question *question)
{
    size_t count = 0;
    for (size_t i = 0; i < question->count; i++) {
        struct head head = {.reply = &question->replies[i], .at = question->replies[i].text};
        if (!reply_counts(head.reply))
            continue;
        for (advance(&head); head.line != NULL; advance(&head))
            count++;
    }
    return count;
}

/* Where the newest lines were asked for, a node's place is before its first of them. */
static void place_before(struct cursor *cursor, const struct head *head)
{
    char text[40], place[CURSOR_PLACE_SIZE];
    usec_t when;
    if (head->line == NULL || head->time.len == 0 || head->time.len >= sizeof text)
        return;
    memcpy(text, head->time.bytes, head->time.len);
    text[head->time.len] = '\0';
    if (api_time(text, &when) != 0)
        return;
    snprintf(place, sizeof place, "t%lld", (long long)(when / USEC_MS));
    cursor_set(cursor, head->reply->node->id, place, strlen(place));
}

static size_t begin(struct question *question, struct head *heads)
{
    size_t count = 0;
    for (size_t i = 0; i < question->count; i++) {
        if (!reply_counts(&question->replies[i]))
            continue;
        struct head *head = &heads[count++];
        head->reply = &question->replies[i];
        head->at = head->reply->text;
        advance(head);
        if (question->newest)
            place_before(&question->cursor, head);
    }
    return count;
}

/* The line with the cursor of all in the place of its own; without any if that is long. */
static void add_line(struct question *question, const struct head *head, bool last, struct buffer *out)
{
    struct row_value own = row_member(head->line, head->len, "cursor");
    const char *rest = own.bytes + own.len;
    size_t len = (size_t)(head->line + head->len - rest);
    if (last || cursor_room(&question->cursor) <= EACH_LINE) {
        buffer_add(out, head->line, (size_t)(own.bytes - head->line));
        cursor_write(&question->cursor, out);
        buffer_add(out, rest, len);
    } else if (len > 2) { /* `{"cursor":"3:81920","seq":4 ...`: behind the comma */
        buffer_add(out, "{", 1);
        buffer_add(out, rest + 2, len - 2);
    }
    buffer_add(out, "\n", 1);
}

static void add_next(struct question *question, struct buffer *out)
{
    struct buffer cursor = {0};
    cursor_write(&question->cursor, &cursor);
    json_begin(out, '{');
    json_text(out, "next", buffer_text(&cursor));
    json_end(out, '}');
    buffer_add(out, "\n", 1);
    buffer_free(&cursor);
}

static void merge(struct question *question, struct head *heads, size_t count, struct buffer *out)
{
    struct cursor *cursor = &question->cursor;
    size_t total = count_lines(question), most = total < question->limit ? total : question->limit;
    size_t skip = question->newest ? total - most : 0;
    struct head *head;
    for (size_t i = 0; i < skip + most && (head = earliest(heads, count)) != NULL; i++) {
        struct row_value own = row_member(head->line, head->len, "cursor");
        cursor_set(cursor, head->reply->node->id, own.bytes, own.len);
        if (i >= skip)
            add_line(question, head, i + 1 == skip + most, out);
        advance(head);
    }
    for (size_t i = 0; i < count; i++)
        if (heads[i].line == NULL)
            cursor_set(cursor, heads[i].reply->node->id, heads[i].next.bytes, heads[i].next.len);
}

void merge_events(struct question *question, struct buffer *out)
{
    if (question->alone) {
        for (size_t i = 0; i < question->count; i++)
            buffer_add(out, question->replies[i].text, question->replies[i].len);
        return;
    }
    struct head *heads = xcalloc(question->count + 1, sizeof *heads);
    size_t count = begin(question, heads);
    merge(question, heads, count, out);
    add_next(question, out);
    free(heads);
}
