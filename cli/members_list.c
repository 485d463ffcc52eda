/* members_list - who may join and who is there: see members.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "cli/members.h"

struct row {
    char name[MEMBER_ID_SIZE];
    bool has_spec, has_live, unreadable;
    struct member_spec spec;
    enum member_role role; /* of live/ from here on */
    struct wire_range wire;
    uint32_t weight;
    bool ready;
    char key[MEMBER_KEY_SIZE], endpoint[MEMBER_ENDPOINT_SIZE];
};

struct rows {
    struct row *items;
    size_t count, room;
};

/* Keys come in order, but those of spec/ and of live/ have holes at different places. */
static struct row *row_of(struct rows *rows, const char *key)
{
    const char *name = strrchr(key, '/') + 1;
    size_t low = 0, high = rows->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(rows->items[middle].name, name);
        if (order == 0)
            return &rows->items[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (rows->count == rows->room) {
        rows->room = rows->room == 0 ? 16 : 2 * rows->room;
        rows->items = xrealloc(rows->items, rows->room * sizeof *rows->items);
    }
    struct row *row = &rows->items[low];
    memmove(row + 1, row, (rows->count - low) * sizeof *row);
    rows->count++;
    *row = (struct row){0};
    snprintf(row->name, sizeof row->name, "%s", name);
    return row;
}

static void take_spec(void *arg, const struct kv_pair *pair)
{
    struct row *row = row_of(arg, pair->key);
    row->has_spec = true;
    if (member_spec_read(pair->value, pair->len, &row->spec, NULL) != 0)
        row->unreadable = true;
}

static void take_live(void *arg, const struct kv_pair *pair)
{
    struct row *row = row_of(arg, pair->key);
    struct member_live live;
    row->has_live = true;
    if (member_live_read(pair->value, pair->len, &live, NULL) != 0) {
        row->unreadable = true;
        return;
    }
    row->role = live.role;
    row->wire = live.wire;
    row->weight = live.weight;
    row->ready = live.incarnation != 0;
    memcpy(row->key, live.public_key, sizeof row->key);
    memcpy(row->endpoint, live.endpoint, sizeof row->endpoint);
    member_live_free(&live);
}

static void add_state(const struct row *row, struct buffer *out)
{
    const char *state = row->unreadable  ? "unreadable"
                        : !row->has_live ? "not seen"
                        : !row->has_spec ? "removed"
                        : strcmp(row->key, row->spec.public_key) != 0 && wire_meets(&row->wire, &wire_ours)
                            ? "other key"
                        : row->ready ? "up"
                                     : "starting";
    char other[WIRE_TEXT_SIZE + 8], wire[WIRE_TEXT_SIZE];
    bool knows = row->has_live && !row->unreadable;
    if (knows && !wire_meets(&row->wire, &wire_ours)) {
        snprintf(other, sizeof other, "wire %s", wire_text(&row->wire, wire));
        state = other;
    }
    json_text(out, "state", state);
    if (knows)
        json_text(out, "wire", wire_text(&row->wire, wire));
}

static void add_row(const struct row *row, struct buffer *out)
{
    enum member_role role = row->spec.role != MEMBER_ANY ? row->spec.role : row->role;
    uint32_t weight = row->spec.weight != 0 ? row->spec.weight : row->weight;
    json_begin(out, '{');
    json_text(out, "name", row->name);
    json_text(out, "role", member_role_name(role));
    add_state(row, out);
    if (weight != 0 && role != MEMBER_COORDINATOR)
        json_number(out, "weight", weight);
    json_bool(out, "drain", row->spec.drain);
    if (row->endpoint[0] != '\0')
        json_text(out, "endpoint", row->endpoint);
    json_text(out, "key", row->has_spec ? row->spec.public_key : row->key);
    json_end(out, '}');
    buffer_add_text(out, "\n");
}

int members_list(const struct members *members, struct buffer *lines, struct error *error)
{
    struct rows rows = {0};
    char prefix[MEMBER_PATH_SIZE];
    member_path(prefix, members->cluster, "spec", "");
    int rc = kv_list(&members->kv, prefix, take_spec, &rows, error) == KV_DONE ? 0 : -1;
    member_path(prefix, members->cluster, "live", "");
    if (rc == 0)
        rc = kv_list(&members->kv, prefix, take_live, &rows, error) == KV_DONE ? 0 : -1;
    for (size_t i = 0; rc == 0 && i < rows.count; i++)
        add_row(&rows.items[i], lines);
    free(rows.items);
    return rc;
}
