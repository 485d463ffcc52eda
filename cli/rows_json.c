/* rows_json - see rows_json.h */
#include "cli/rows_json.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"

/* Cells */

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), e = strlen(end);
    return n >= e && strcmp(name + n - e, end) == 0;
}

static void add_size(struct buffer *out, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    buffer_printf(out, unit == 0 || bytes >= 100 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

static void add_duration(struct buffer *out, double ms)
{
    if (ms < 1000)
        buffer_printf(out, "%.0f ms", ms);
    else if (ms < 60e3)
        buffer_printf(out, "%.1f s", ms / 1e3);
    else if (ms < 3600e3)
        buffer_printf(out, "%.0f min", ms / 60e3);
    else if (ms < 48 * 3600e3)
        buffer_printf(out, "%.1f h", ms / 3600e3);
    else
        buffer_printf(out, "%.1f d", ms / 86400e3);
}

static void add_value(struct buffer *out, const char *name, const json_t *value)
{
    if (json_is_string(value)) {
        buffer_add_text(out, json_string_value(value));
    } else if (json_is_boolean(value)) {
        buffer_add_text(out, json_is_true(value) ? "yes" : "no");
    } else if (json_is_number(value)) {
        double number = json_number_value(value);
        if (ends_in(name, "_ms"))
            add_duration(out, number);
        else if (ends_in(name, "_bytes") || strcmp(name, "size") == 0)
            add_size(out, number);
        else if (json_is_integer(value))
            buffer_printf(out, "%lld", (long long)json_integer_value(value));
        else
            buffer_printf(out, "%.4g", number);
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            buffer_add_text(out, i > 0 ? ", " : "");
            add_value(out, "", json_array_get(value, i));
        }
    } else if (json_is_object(value)) {
        char *text = json_dumps(value, JSON_COMPACT);
        buffer_add_text(out, text == NULL ? "" : text);
        free(text);
    }
}

/* Lines */

struct line {
    json_t *object;
    const char *text; /* lent */
    size_t len;
};

struct lines {
    struct line *rows;
    size_t count;
    struct buffer others; /* lines that are no rows, as they came */
};

static void lines_free(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        json_decref(lines->rows[i].object);
    free(lines->rows);
    buffer_free(&lines->others);
}

static void note_missing(const json_t *row, char missing_r[200])
{
    struct buffer text = {0};
    add_value(&text, "", json_object_get(row, "missing"));
    if (missing_r != NULL)
        snprintf(missing_r, 200, "%s", buffer_text(&text));
    buffer_free(&text);
}

static int lines_parse(
    const char *text, size_t len, struct lines *lines, char missing_r[200], struct error *error)
{
    for (const char *end = text + len; text < end;) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t line = (size_t)((stop != NULL ? stop : end) - text);
        json_t *row = line == 0 ? NULL : json_loadb(text, line, 0, NULL);
        if (line > 0 && !json_is_object(row)) {
            json_decref(row);
            return error_set(error, "the answer is no list of JSON objects; is this the API of Todoku?");
        }
        const char *start = text;
        text += line + (stop != NULL ? 1 : 0);
        if (row == NULL)
            continue;
        bool incomplete = json_is_true(json_object_get(row, "incomplete"));
        if (incomplete)
            note_missing(row, missing_r);
        /* {"next": CURSOR} ends a list of events: where to go on. */
        if (incomplete || (json_object_size(row) == 1 && json_object_get(row, "next") != NULL)) {
            json_decref(row);
            buffer_add(&lines->others, start, line);
            buffer_add(&lines->others, "\n", 1);
            continue;
        }
        if ((lines->count & (lines->count - 1)) == 0)
            lines->rows =
                xrealloc(lines->rows, (lines->count == 0 ? 1 : 2 * lines->count) * sizeof *lines->rows);
        lines->rows[lines->count++] = (struct line){row, start, line};
    }
    return 0;
}

/* Columns */

static void add_head(struct table *table, const char *name, size_t len)
{
    for (size_t i = 0; i < table->columns; i++)
        if (strlen(table->heads[i]) == len && memcmp(table->heads[i], name, len) == 0)
            return;
    table->heads = xrealloc(table->heads, (table->columns + 1) * sizeof *table->heads);
    table->heads[table->columns++] = xstrndup(name, len);
}

static bool any_has(const struct lines *lines, const char *name, size_t len)
{
    char *key = xstrndup(name, len);
    bool found = lines->count == 0;
    for (size_t i = 0; i < lines->count && !found; i++)
        found = json_object_get(lines->rows[i].object, key) != NULL;
    free(key);
    return found;
}

static void choose_columns(struct table *table, const struct lines *lines, const char *columns)
{
    for (const char *at = columns == NULL ? "" : columns; *at != '\0';) {
        size_t len = strcspn(at, " ");
        if (any_has(lines, at, len))
            add_head(table, at, len);
        at += len + (at[len] == ' ');
    }
    if (table->columns > 0)
        return;
    for (size_t i = 0; i < lines->count; i++) {
        const char *name;
        json_t *value;
        json_object_foreach(lines->rows[i].object, name, value)
        {
            (void)value;
            add_head(table, name, strlen(name));
        }
    }
}

int rows_read(const char *lines, size_t len, const char *columns, struct table *table_r, char missing_r[200],
    struct error *error)
{
    struct lines parsed = {0};
    *table_r = (struct table){0};
    if (missing_r != NULL)
        missing_r[0] = '\0';
    if (lines_parse(lines, len, &parsed, missing_r, error) != 0) {
        lines_free(&parsed);
        return -1;
    }
    choose_columns(table_r, &parsed, columns);
    size_t count = parsed.count * table_r->columns;
    table_r->rows = parsed.count;
    table_r->cells = xcalloc(count + 1, sizeof *table_r->cells);
    table_r->numbers = xcalloc(count + 1, sizeof *table_r->numbers);
    for (size_t i = 0; i < count; i++) {
        const char *name = table_r->heads[i % table_r->columns];
        const json_t *value = json_object_get(parsed.rows[i / table_r->columns].object, name);
        struct buffer text = {0};
        add_value(&text, name, value);
        buffer_text(&text);
        table_r->cells[i] = buffer_steal(&text, NULL);
        table_r->numbers[i] = json_is_number(value) ? json_number_value(value) : NAN;
    }
    lines_free(&parsed);
    return 0;
}

/* Two columns: what is sorted by, and the line. */
static void make_sortable(const struct lines *lines, const char *sort, struct table *table_r)
{
    const char *name = sort == NULL ? "" : sort + (sort[0] == '-');
    *table_r = (struct table){.rows = lines->count,
        .cells = xcalloc(2 * lines->count + 1, sizeof *table_r->cells),
        .numbers = xcalloc(2 * lines->count + 1, sizeof *table_r->numbers)};
    table_r->heads = xcalloc(2, sizeof *table_r->heads);
    table_r->heads[table_r->columns++] = xstrdup(name);
    table_r->heads[table_r->columns++] = xstrdup("");
    for (size_t i = 0; i < lines->count; i++) {
        const json_t *value = json_object_get(lines->rows[i].object, name);
        struct buffer text = {0};
        add_value(&text, name, value);
        buffer_text(&text);
        table_r->cells[2 * i] = buffer_steal(&text, NULL);
        table_r->cells[2 * i + 1] = xstrndup(lines->rows[i].text, lines->rows[i].len);
        table_r->numbers[2 * i] = json_is_number(value) ? json_number_value(value) : NAN;
    }
}

int rows_choose(const char *lines, size_t len, const char *sort, size_t limit, bool *known_r,
    struct buffer *out, struct error *error)
{
    struct lines parsed = {0};
    struct table table;
    *known_r = true;
    if (lines_parse(lines, len, &parsed, NULL, error) != 0) {
        lines_free(&parsed);
        return -1;
    }
    if (sort != NULL) {
        const char *name = sort + (sort[0] == '-');
        *known_r = any_has(&parsed, name, strlen(name));
    }
    make_sortable(&parsed, sort, &table);
    if (sort != NULL)
        table_sort(&table, sort);
    for (size_t i = 0; *known_r && i < table.rows && (limit == 0 || i < limit); i++) {
        buffer_add_text(out, table.cells[2 * i + 1]);
        buffer_add(out, "\n", 1);
    }
    buffer_add(out, buffer_bytes(&parsed.others), buffer_len(&parsed.others));
    table_free(&table);
    lines_free(&parsed);
    return 0;
}

void rows_problem(const char *text, char detail_r[400])
{
    json_t *root = json_loads(text, 0, NULL);
    const char *detail = json_string_value(json_object_get(root, "detail"));
    snprintf(detail_r, 400, "%s", detail == NULL ? "" : detail);
    json_decref(root);
}

char *rows_member_text(const char *text, const char *name)
{
    json_t *root = json_loads(text, 0, NULL);
    const char *value = json_string_value(json_object_get(root, name));
    char *copy = value == NULL ? NULL : xstrdup(value);
    json_decref(root);
    return copy;
}

int rows_member_number(const char *text, const char *name, long long *number_r)
{
    json_t *root = json_loads(text, 0, NULL);
    const json_t *value = json_object_get(root, name);
    int rc = json_is_integer(value) ? 0 : -1;
    *number_r = json_integer_value(value);
    json_decref(root);
    return rc;
}

int rows_member_fraction(const char *text, const char *name, double *number_r)
{
    json_t *root = json_loads(text, 0, NULL);
    const json_t *value = json_object_get(root, name);
    int rc = json_is_number(value) ? 0 : -1;
    *number_r = json_number_value(value);
    json_decref(root);
    return rc;
}

size_t rows_member_list(const char *text, const char *name, const char *after, struct buffer *out)
{
    json_t *root = json_loads(text, 0, NULL);
    const json_t *list = json_object_get(root, name);
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++) {
        const char *item = json_string_value(json_array_get(list, i));
        buffer_add_text(out, item == NULL ? "" : item);
        buffer_add_text(out, after);
    }
    json_decref(root);
    return count;
}

int rows_receipt(const char *text, char id_r[64], size_t *recipients_r)
{
    json_t *root = json_loads(text, 0, NULL);
    const char *id = json_string_value(json_object_get(root, "id"));
    *recipients_r = json_array_size(json_object_get(root, "recipients"));
    snprintf(id_r, 64, "%s", id == NULL ? "" : id);
    json_decref(root);
    return id_r[0] == '\0' ? -1 : 0;
}
