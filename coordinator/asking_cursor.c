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

static struct cursor_part *find(const struct cursor *cursor, const char *node, size_t len)
{
    for (size_t i = 0; i < cursor->count; i++)
        if (strncmp(cursor->parts[i].node, node, len) == 0 && cursor->parts[i].node[len] == '\0')
            return &cursor->parts[i];
    return NULL;
}

static void add(struct cursor *cursor, const char *node, size_t node_len, const char *place, size_t len)
{
    if (cursor->count == cursor->size) {
        cursor->size = cursor->size == 0 ? 8 : 2 * cursor->size;
        cursor->parts = xrealloc(cursor->parts, cursor->size * sizeof *cursor->parts);
    }
    struct cursor_part *part = &cursor->parts[cursor->count++];
    snprintf(part->node, sizeof part->node, "%.*s", (int)node_len, node);
    snprintf(part->place, sizeof part->place, "%.*s", (int)len, place);
}

/* "n1:3:81920" */
static int read_part(struct cursor *cursor, const char *text, size_t len)
{
    size_t name = strcspn(text, ":");
    if (name == 0 || name + 1 >= len || name >= MEMBER_ID_SIZE || find(cursor, text, name) != NULL ||
        !place_fits(text + name + 1, len - name - 1))
        return -1;
    add(cursor, text, name, text + name + 1, len - name - 1);
    return 0;
}

int cursor_read(const char *text, struct cursor *cursor_r)
{
    *cursor_r = (struct cursor){0};
    size_t len = strcspn(text, ",");
    if (strlen(text) > CURSOR_MAX || !is_time(text, len))
        return -1;
    cursor_r->base = strtoll(text + 1, NULL, 10);
    for (text += len; *text == ','; text += len) {
        text++;
        len = strcspn(text, ",");
        if (read_part(cursor_r, text, len) != 0) {
            cursor_free(cursor_r);
            return -1;
        }
    }
    return 0;
}

void cursor_write(const struct cursor *cursor, struct buffer *out)
{
    buffer_printf(out, "t%" PRId64, cursor->base);
    for (size_t i = 0; i < cursor->count; i++)
        buffer_printf(out, ",%s:%s", cursor->parts[i].node, cursor->parts[i].place);
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
    struct cursor_part *part = find(cursor, node, strlen(node));
    if (len == 0 || !place_fits(place, len))
        return;
    if (part == NULL)
        add(cursor, node, strlen(node), place, len);
    else
        snprintf(part->place, sizeof part->place, "%.*s", (int)len, place);
}

void cursor_free(struct cursor *cursor)
{
    free(cursor->parts);
    *cursor = (struct cursor){0};
}
