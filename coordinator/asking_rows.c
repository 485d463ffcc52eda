/* asking_rows - see asking_rows.h */
#include "coordinator/asking_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define MAX_NAME 40

bool row_next(const char **at, const char *end, const char **line_r, size_t *len_r)
{
    while (*at < end) {
        const char *line = *at, *stop = memchr(line, '\n', (size_t)(end - line));
        *at = stop == NULL ? end : stop + 1;
        *line_r = line;
        *len_r = (size_t)((stop == NULL ? end : stop) - line);
        if (*len_r > 0)
            return true;
    }
    return false;
}

static size_t text_len(const char *at, const char *end)
{
    size_t len = 0;
    while (at + len < end && at[len] != '"')
        len += at[len] == '\\' ? 2 : 1;
    return at + len <= end ? len : (size_t)(end - at);
}

struct row_value row_member(const char *line, size_t len, const char *name)
{
    char key[MAX_NAME + 4];
    int key_len = snprintf(key, sizeof key, "\"%.*s\":", MAX_NAME, name);
    const char *end = line + len, *at = memmem(line, len, key, (size_t)key_len);
    struct row_value value = {"", 0};
    if (at == NULL)
        return value;
    at += key_len;
    value.bytes = at;
    if (at < end && *at == '"') {
        value.bytes = at + 1;
        value.len = text_len(at + 1, end);
    } else {
        for (; at < end && *at != ',' && *at != '}' && *at != ']'; at++)
            value.len++;
    }
    return value;
}

int64_t row_number(const char *line, size_t len, const char *name)
{
    char digits[24];
    struct row_value value = row_member(line, len, name);
    if (value.len == 0 || value.len >= sizeof digits)
        return 0;
    memcpy(digits, value.bytes, value.len);
    digits[value.len] = '\0';
    return strtoll(digits, NULL, 10);
}

bool row_is(const char *line, size_t len, const char *name, const char *text)
{
    struct row_value value = row_member(line, len, name);
    return value.len == strlen(text) && memcmp(value.bytes, text, value.len) == 0;
}

void rows_add(struct rows *rows, const char *line, size_t len)
{
    if (rows->count == rows->size) {
        rows->size = rows->size == 0 ? 256 : 2 * rows->size;
        rows->items = xrealloc(rows->items, rows->size * sizeof *rows->items);
    }
    rows->items[rows->count] = (struct row){.line = line, .len = len, .order = rows->count};
    rows->count++;
}

static int compare_text(const struct row_value *a, const struct row_value *b)
{
    size_t common = a->len < b->len ? a->len : b->len;
    int order = common == 0 ? 0 : memcmp(a->bytes, b->bytes, common);
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int compare(const void *left, const void *right)
{
    const struct row *a = left, *b = right;
    for (size_t i = 0; i < 2; i++) {
        if (a->number[i] != b->number[i])
            return a->number[i] > b->number[i] ? -1 : 1;
        int order = compare_text(&a->text[i], &b->text[i]);
        if (order != 0)
            return order;
    }
    return (a->order > b->order) - (a->order < b->order);
}

/* A member is compared as a number if it is turned round: only numbers are. */
static void set_key(struct row *row, size_t i, const char *by)
{
    row->text[i] = (struct row_value){"", 0};
    row->number[i] = 0;
    if (by != NULL && by[0] == '-')
        row->number[i] = row_number(row->line, row->len, by + 1);
    else if (by != NULL)
        row->text[i] = row_member(row->line, row->len, by);
}

void rows_sort(struct rows *rows, const char *by, const char *then)
{
    for (size_t i = 0; i < rows->count; i++) {
        set_key(&rows->items[i], 0, by);
        set_key(&rows->items[i], 1, then);
    }
    if (rows->count > 1)
        qsort(rows->items, rows->count, sizeof *rows->items, compare);
}

void rows_free(struct rows *rows)
{
    free(rows->items);
    *rows = (struct rows){0};
}
