/* asking_merge - rows of several nodes as one list (asking_inside.h) */
#include <stdlib.h>
#include <string.h>

#include "coordinator/asking_inside.h"

static void add_row(struct buffer *out, const char *line, size_t len)
{
    buffer_add(out, line, len);
    buffer_add(out, "\n", 1);
}

static void collect(const struct question *question, struct rows *rows)
{
    for (size_t i = 0; i < question->count; i++) {
        const struct reply *reply = &question->replies[i];
        const char *at = reply->text, *line;
        size_t len;
        while (reply_counts(reply) && row_next(&at, reply->text + reply->len, &line, &len))
            rows_add(rows, line, len);
    }
}

void merge_rows(struct question *question, struct buffer *out)
{
    struct rows rows = {0};
    collect(question, &rows);
    if (question->kind->sort != NULL && question->count > 1)
        rows_sort(&rows, question->kind->sort, question->kind->then);
    size_t over = question->limit > 0 && rows.count > question->limit ? rows.count - question->limit : 0;
    size_t first = question->kind->newest ? over : 0;
    for (size_t i = first; i < first + rows.count - over; i++)
        add_row(out, rows.items[i].line, rows.items[i].len);
    rows_free(&rows);
}

/* What happened, by time, wherever it was; then how its deliveries stand now, which has no time. */
void merge_history(struct question *question, struct buffer *out)
{
    struct rows rows = {0};
    collect(question, &rows);
    if (question->count > 1)
        rows_sort(&rows, "time", NULL);
    for (int present = 0; present < 2; present++)
        for (size_t i = 0; i < rows.count; i++)
            if ((row_member(rows.items[i].line, rows.items[i].len, "time").len == 0) == (present == 1))
                add_row(out, rows.items[i].line, rows.items[i].len);
    rows_free(&rows);
}

/* Whether this row was written by the node that it calls the owner. */
static bool is_owners(const char *line, size_t len)
{
    struct row_value owner = row_member(line, len, "owner"), node = row_member(line, len, "node");
    return owner.len > 0 && owner.len == node.len && memcmp(owner.bytes, node.bytes, owner.len) == 0;
}

/* The owner's word counts, by the newest view if two nodes think they are; else the first node's. */
void merge_explain(struct question *question, struct buffer *out)
{
    const char *best = NULL;
    size_t best_len = 0;
    int64_t best_rank = -1;
    for (size_t i = 0; i < question->count; i++) {
        const struct reply *reply = &question->replies[i];
        const char *at = reply->text, *line;
        size_t len;
        if (!reply_counts(reply) || !row_next(&at, reply->text + reply->len, &line, &len))
            continue;
        int64_t rank = is_owners(line, len) ? 1 + row_number(line, len, "view_epoch") : 0;
        if (rank <= best_rank)
            continue;
        best = line;
        best_len = len;
        best_rank = rank;
    }
    if (best != NULL)
        add_row(out, best, best_len);
}
