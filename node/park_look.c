/* park_look - see park.h: rows in the order of their base frames, of their dates, of their backlogs; counts */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/park_state.h"

/* What is read ahead of earlier looks may go: it is only a help. */
int park_scan(struct park *park, const void *from, size_t len, size_t prefix, park_each *each, void *with)
{
    struct error error = {""};
    park_commit(park);
    park_forget_ahead(park);
    if (park->table.scan(park->table.context, from, len, prefix, each, with, &error) == 0)
        return 0;
    park_fail(park, error.text);
    return -1;
}

/* ---- by base frame ---- */

struct walk {
    struct mail_id *ids;
    size_t count, max;
    uint64_t next;
};

static bool on_base(void *with, const void *key, size_t key_len, const void *value, size_t len)
{
    struct walk *walk = with;
    if (key_len != 9 || len != PARK_BASE_VALUE)
        return true;
    uint64_t seq = park_get_number((const uint8_t *)key + 1, 8);
    if (walk->count == walk->max) {
        walk->next = seq;
        return false;
    }
    memcpy(walk->ids[walk->count++].bytes, value, sizeof walk->ids->bytes);
    return true;
}

size_t park_walk(struct park *park, uint64_t *seq, struct mail_id *ids, size_t max)
{
    struct walk walk = {.ids = ids, .max = max};
    uint8_t key[PARK_KEY];
    size_t len = park_base_key(key, *seq);
    (void)park_scan(park, key, len, 1, on_base, &walk);
    *seq = walk.next;
    return walk.count;
}

size_t park_rows_from(void *context, uint64_t base_seq, struct mail_id *ids, size_t max)
{
    return park_walk(context, &base_seq, ids, max);
}

/* ---- the agenda ---- */

struct agenda {
    struct park *park;
    usec_t upto;
    struct mail_id *ids;
    size_t count, max;
    bool ended; /* by something that is not due yet, or by `max` */
};

static bool on_due(void *with, const void *key_bytes, size_t key_len, const void *value, size_t len)
{
    struct agenda *agenda = with;
    struct park *park = agenda->park;
    const uint8_t *key = key_bytes;
    if (key_len != 25)
        return true;
    usec_t due = (usec_t)park_get_number(key + 1, 8);
    memcpy(park->mark, key, key_len);
    park->mark_len = key_len;
    park->next = due;
    if (due > agenda->upto || agenda->count == agenda->max) {
        agenda->ended = true;
        return false;
    }
    struct mail_id *id = &agenda->ids[agenda->count++];
    memcpy(id->bytes, key + 9, sizeof id->bytes);
    park_row_ahead(park, id, value, len);
    return true;
}

/* The mark is left at the first that was not taken: that one is in the table, so a seek to it is cheap. What is
 * parked later with a date before it moves it back. */
size_t park_agenda(struct park *park, usec_t upto, struct mail_id *ids, size_t max)
{
    struct agenda agenda = {.park = park, .upto = upto, .ids = ids, .max = max};
    uint8_t from[PARK_KEY];
    size_t len = park_due_key(from, park->next, NULL);
    if (park->next > upto)
        return 0;
    if (park->mark_len > len && park_get_number(park->mark + 1, 8) == (uint64_t)park->next) {
        memcpy(from, park->mark, park->mark_len);
        len = park->mark_len;
    }
    if (park_scan(park, from, len, 1, on_due, &agenda) != 0) {
        park->next = USEC_NEVER;
    } else if (!agenda.ended) {
        park->next = USEC_NEVER;
        park->mark_len = 0;
    }
    return agenda.count;
}

/* Many have the same date (a window that opens, one reply to all of a message): then the id decides. */
void park_expect(struct park *park, usec_t due, const struct mail_id *id)
{
    uint8_t key[PARK_KEY];
    size_t len = park_due_key(key, due, id);
    bool marked = park->mark_len == len && park_get_number(park->mark + 1, 8) == (uint64_t)park->next;
    if (due > park->next || (due == park->next && (!marked || memcmp(key, park->mark, len) >= 0)))
        return;
    memcpy(park->mark, key, len);
    park->mark_len = len;
    park->next = due;
}

usec_t park_next(const struct park *park)
{
    return park->next;
}

/* ---- backlogs ---- */

struct looking {
    struct park *park;
    struct park_mark mark;
    struct mail_id *ids;
    size_t count, max;
    bool more;
};

static bool on_place(void *with, const void *key_bytes, size_t key_len, const void *value, size_t len)
{
    struct looking *looking = with;
    const uint8_t *key = key_bytes;
    if (key_len != PARK_KEY)
        return true;
    looking->mark.order = park_get_number(key + 9, 8);
    memcpy(looking->mark.id.bytes, key + 17, sizeof looking->mark.id.bytes);
    looking->more = looking->count == looking->max;
    if (looking->more)
        return false;
    looking->ids[looking->count++] = looking->mark.id;
    park_row_ahead(looking->park, &looking->mark.id, value, len);
    return true;
}

/* What follows next, whether there is something or not. */
static void step_behind(struct park_mark *mark)
{
    for (size_t i = sizeof mark->id.bytes; i > 0; i--)
        if (++mark->id.bytes[i - 1] != 0)
            return;
    mark->order++;
}

/* As with the agenda, the mark is left at the first that was not taken, if there is one. */
size_t park_backlog_next(struct park *park, uint64_t backlog, struct park_mark *mark, struct mail_id *ids,
    size_t max, bool *more_r)
{
    struct looking looking = {.park = park, .mark = *mark, .ids = ids, .max = max};
    uint8_t key[PARK_KEY];
    size_t len = park_place_key(key, backlog, mark);
    *more_r = false;
    if (park_scan(park, key, len, 9, on_place, &looking) != 0)
        return 0;
    *mark = looking.mark;
    *more_r = looking.more;
    if (!looking.more && looking.count > 0)
        step_behind(mark);
    return looking.count;
}

void park_backlog_named(struct park *park, uint64_t backlog, const void *name, size_t len)
{
    uint8_t key[PARK_KEY];
    if (!park->broken && len <= PARK_NAME_MAX)
        park_gather_put(park, key, park_name_key(key, backlog), name, len);
}

void park_backlog_gone(struct park *park, uint64_t backlog)
{
    uint8_t key[PARK_KEY];
    if (!park->broken)
        park_gather_remove(park, key, park_name_key(key, backlog));
}

/* Names are read some at a time, since what stands under them cannot be looked up meanwhile. */
#define NAMES_AT_ONCE 64

struct names {
    uint64_t next;
    size_t count;
    bool more;
    uint64_t backlogs[NAMES_AT_ONCE];
    struct buffer keys[NAMES_AT_ONCE];
};

static bool on_name(void *with, const void *key, size_t key_len, const void *value, size_t len)
{
    struct names *names = with;
    if (key_len != 9)
        return true;
    names->next = park_get_number((const uint8_t *)key + 1, 8);
    names->more = names->count == NAMES_AT_ONCE;
    if (names->more)
        return false;
    struct buffer *copy = &names->keys[names->count];
    names->backlogs[names->count++] = names->next;
    buffer_clear(copy);
    buffer_add(copy, value, len);
    return true;
}

static int tell_backlog(
    struct park *park, const struct names *names, size_t i, park_each_backlog *each, void *with)
{
    struct looking looking = {.park = park};
    struct park_mark none = {0};
    uint8_t key[PARK_KEY];
    (void)park_place_key(key, names->backlogs[i], &none);
    if (park_scan(park, key, 9, 9, on_place, &looking) != 0)
        return -1;
    if (looking.more)
        each(with, names->backlogs[i], buffer_bytes(&names->keys[i]), buffer_len(&names->keys[i]),
            &looking.mark);
    else
        park_backlog_gone(park, names->backlogs[i]);
    return 0;
}

int park_backlogs(struct park *park, park_each_backlog *each, void *with)
{
    struct names names = {.more = true};
    uint8_t key[PARK_KEY];
    int done = 0;
    while (names.more && done == 0) {
        names.count = 0;
        names.more = false;
        done = park_scan(park, key, park_name_key(key, names.next), 1, on_name, &names);
        for (size_t i = 0; i < names.count && done == 0; i++)
            done = tell_backlog(park, &names, i, each, with);
    }
    for (size_t i = 0; i < NAMES_AT_ONCE; i++)
        buffer_free(&names.keys[i]);
    return done;
}

/* ---- counts ---- */

struct counting {
    park_each_count *each;
    void *with;
};

static bool on_count(void *with, const void *key, size_t key_len, const void *value, size_t len)
{
    const struct counting *counting = with;
    int64_t count = park_table_number(value, len);
    if (count > 0)
        counting->each(counting->with, (const uint8_t *)key + 1, key_len - 1, (uint64_t)count);
    return true;
}

int park_counts(const struct park *park, park_each_count *each, void *with, struct error *error)
{
    struct counting counting = {each, with};
    return park->table.scan(park->table.context, "n", 1, 1, on_count, &counting, error);
}
