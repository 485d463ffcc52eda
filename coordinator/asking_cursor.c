/* asking_cursor - see asking_cursor.h */
#include "coordinator/asking_cursor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define DIGITS "0123456789"
#define MAX_TIME_DIGITS 15

static bool is_time(const char *text, size_t len)
{
    return len >= 2 && len <= 1 + MAX_TIME_DIGITS && text[0] == 't' && strspn(text + 1, DIGITS) >= len - 1;
}

static bool place_fits(const char *text, size_t len)
{
    size_t number = strspn(text, DIGITS);
    if (len >= CURSOR_PLACE_SIZE)
        return false;
    if (is_time(text, len))
        return true;
    return number >= 1 && number + 1 < len && text[number] == ':' &&
           strspn(text + number + 1, DIGITS) >= len - number - 1;
}

bool cursor_is_place(const char *text)
{
    return place_fits(text, strlen(text));
}

static int compare(const char *name, const char *node, size_t len)
{
    int order = strncmp(name, node, len);
    return order != 0 ? order : name[len] != '\0';
}

/* Parts stand in the order of their nodes' names: the first that is not before this one. */
static size_t place_of(const struct cursor *cursor, const char *node, size_t len)
{
    size_t first = 0, end = cursor->count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (compare(cursor->parts[middle].node, node, len) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static struct cursor_part *find(const struct cursor *cursor, const char *node, size_t len)
{
    size_t at = place_of(cursor, node, len);
    bool found = at < cursor->count && compare(cursor->parts[at].node, node, len) == 0;
    return found ? &cursor->parts[at] : NULL;
}

static void insert(
    struct cursor *cursor, size_t at, const char *node, size_t node_len, const char *place, size_t len)
{
    if (cursor->count == cursor->size) {
        cursor->size = cursor->size == 0 ? 8 : 2 * cursor->size;
        cursor->parts = xrealloc(cursor->parts, cursor->size * sizeof *cursor->parts);
    }
    struct cursor_part *part = &cursor->parts[at];
    memmove(part + 1, part, (cursor->count - at) * sizeof *part);
    cursor->count++;
    snprintf(part->node, sizeof part->node, "%.*s", (int)node_len, node);
    snprintf(part->place, sizeof part->place, "%.*s", (int)len, place);
}

/* "n1:3:81920", put behind the others; they are sorted when all are read. */
static int read_part(struct cursor *cursor, const char *text, size_t len)
{
    size_t name = strcspn(text, ":");
    if (name == 0 || name + 1 >= len || name >= MEMBER_ID_SIZE ||
        !place_fits(text + name + 1, len - name - 1))
        return -1;
    insert(cursor, cursor->count, text, name, text + name + 1, len - name - 1);
    return 0;
}

static int by_node(const void *left, const void *right)
{
    const struct cursor_part *a = left, *b = right;
    return strcmp(a->node, b->node);
}

/* -1: a node is named twice. */
static int sort(struct cursor *cursor)
{
    if (cursor->count > 1)
        qsort(cursor->parts, cursor->count, sizeof *cursor->parts, by_node);
    for (size_t i = 1; i < cursor->count; i++)
        if (by_node(&cursor->parts[i - 1], &cursor->parts[i]) == 0)
            return -1;
    return 0;
}

int cursor_read(const char *text, struct cursor *cursor_r)
{
    *cursor_r = (struct cursor){0};
    size_t len = strcspn(text, ",");
    if (strlen(text) > CURSOR_MAX || !is_time(text, len))
        return -1;
    cursor_r->base = strtoll(text + 1, NULL, 10);
    int status = 0;
    for (text += len; *text == ',' && status == 0; text += len) {
        text++;
        len = strcspn(text, ",");
        status = read_part(cursor_r, text, len);
    }
    if (status == 0)
        status = sort(cursor_r);
    if (status != 0)
        cursor_free(cursor_r);
    return status;
}

void cursor_write(const struct cursor *cursor, struct buffer *out)
{
    buffer_printf(out, "t%" PRId64, cursor->base);
    for (size_t i = 0; i < cursor->count; i++)
        buffer_printf(out, ",%s:%s", cursor->parts[i].node, cursor->parts[i].place);
}

size_t cursor_room(const struct cursor *cursor)
{
    size_t room = 24;
    for (size_t i = 0; i < cursor->count; i++)
        room += strlen(cursor->parts[i].node) + strlen(cursor->parts[i].place) + 2;
    return room;
}

const char *cursor_place(const struct cursor *cursor, const char *node, char room[CURSOR_PLACE_SIZE])
{
    const struct cursor_part *part = find(cursor, node, strlen(node));
    if (part != NULL)
        return part->place;
    snprintf(room, CURSOR_PLACE_SIZE, "t%" PRId64, cursor->base);
    return room;
}

void cursor_set(struct cursor *cursor, const char *node, const char *place, size_t len)
{
    size_t node_len = strlen(node);
    struct cursor_part *part = find(cursor, node, node_len);
    if (len == 0 || !place_fits(place, len))
        return;
    if (part == NULL)
        insert(cursor, place_of(cursor, node, node_len), node, node_len, place, len);
    else
        snprintf(part->place, sizeof part->place, "%.*s", (int)len, place);
}

void cursor_free(struct cursor *cursor)
{
    free(cursor->parts);
    *cursor = (struct cursor){0};
}
