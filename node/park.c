/* park - see park.h */
#include "node/park.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define PARK_VERSION 1
#define KEY_MAX 25
#define BASE_VALUE 32

struct park {
    struct park_table table;
    bool gathered, broken;
    uint8_t mark[KEY_MAX]; /* the agenda is read from here on */
    size_t mark_len;
    usec_t next; /* nothing of the agenda is due before */
    char trouble[256];
};

static void put_number(uint8_t *out, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(number >> (8 * (bytes - 1 - i)));
}

static uint64_t get_number(const uint8_t *in, size_t bytes)
{
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; i++)
        number = number << 8 | in[i];
    return number;
}

static size_t row_key(uint8_t key[KEY_MAX], const struct mail_id *id)
{
    key[0] = 'm';
    memcpy(key + 1, id->bytes, sizeof id->bytes);
    return 1 + sizeof id->bytes;
}

static size_t base_key(uint8_t key[KEY_MAX], uint64_t seq)
{
    key[0] = 'b';
    put_number(key + 1, seq, 8);
    return 9;
}

static size_t due_key(uint8_t key[KEY_MAX], usec_t due, const struct mail_id *id)
{
    key[0] = 't';
    put_number(key + 1, (uint64_t)due, 8);
    if (id == NULL)
        return 9;
    memcpy(key + 9, id->bytes, sizeof id->bytes);
    return 9 + sizeof id->bytes;
}

struct park *park_new(const struct park_table *table)
{
    struct park *park = xcalloc(1, sizeof *park);
    park->table = *table;
    park->mark_len = due_key(park->mark, 0, NULL);
    return park;
}

void park_free(struct park **park)
{
    free(*park);
    *park = NULL;
}

static void fail(struct park *park, const char *why)
{
    if (park->broken)
        return;
    park->broken = true;
    park->gathered = false;
    snprintf(park->trouble, sizeof park->trouble, "%s", why);
}

bool park_works(const struct park *park)
{
    return !park->broken;
}

const char *park_trouble(const struct park *park)
{
    return park->trouble;
}

bool park_commit(struct park *park)
{
    struct error error = {""};
    if (park->broken)
        return false;
    if (!park->gathered)
        return true;
    park->gathered = false;
    if (park->table.commit(park->table.context, &error) != 0)
        fail(park, error.text);
    return !park->broken;
}

static void put(struct park *park, const void *key, size_t key_len, const void *value, size_t len)
{
    park->gathered = true;
    park->table.put(park->table.context, key, key_len, value, len);
}

static void take(struct park *park, const void *key, size_t key_len)
{
    park->gathered = true;
    park->table.remove(park->table.context, key, key_len);
}

void park_row_put(void *context, const struct custody_row *row, const struct custody_row *old)
{
    struct park *park = context;
    uint8_t key[KEY_MAX], value[BASE_VALUE];
    if (park->broken)
        return;
    if (old != NULL && old->base_seq != row->base_seq)
        take(park, key, base_key(key, old->base_seq));
    if (old != NULL && old->due != row->due)
        take(park, key, due_key(key, old->due, &old->id));
    put(park, key, row_key(key, &row->id), row->bytes, row->len);
    memcpy(value, row->id.bytes, sizeof row->id.bytes);
    put_number(value + 16, row->last_seq, 8);
    put_number(value + 24, row->held, 4);
    put_number(value + 28, row->final, 4);
    put(park, key, base_key(key, row->base_seq), value, sizeof value);
    put(park, key, due_key(key, row->due, &row->id), "", 0);
}

void park_row_remove(void *context, const struct custody_row *row)
{
    struct park *park = context;
    uint8_t key[KEY_MAX];
    if (park->broken)
        return;
    take(park, key, row_key(key, &row->id));
    take(park, key, base_key(key, row->base_seq));
    take(park, key, due_key(key, row->due, &row->id));
}

int park_row_get(void *context, const struct mail_id *id, struct buffer *bytes)
{
    struct park *park = context;
    struct error error = {""};
    uint8_t key[KEY_MAX];
    park_commit(park);
    int found = park->table.get(park->table.context, key, row_key(key, id), bytes, &error);
    if (found < 0)
        fail(park, error.text);
    return found;
}

void park_row_bad(void *context, const char *why)
{
    fail(context, why);
}

struct walk {
    struct mail_id *ids;
    size_t count, max;
    uint64_t next;
};

static bool on_base(void *with, const void *key, size_t key_len, const void *value, size_t len)
{
    struct walk *walk = with;
    if (key_len != 9 || len != BASE_VALUE)
        return true;
    uint64_t seq = get_number((const uint8_t *)key + 1, 8);
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
    struct error error = {""};
    uint8_t key[KEY_MAX];
    size_t len = base_key(key, *seq);
    park_commit(park);
    if (park->table.scan(park->table.context, key, len, 1, on_base, &walk, &error) != 0)
        fail(park, error.text);
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
    (void)value;
    (void)len;
    if (key_len != KEY_MAX)
        return true;
    usec_t due = (usec_t)get_number(key + 1, 8);
    memcpy(park->mark, key, key_len);
    park->mark_len = key_len;
    park->next = due;
    if (due > agenda->upto || agenda->count == agenda->max) {
        agenda->ended = true;
        return false;
    }
    memcpy(agenda->ids[agenda->count++].bytes, key + 9, sizeof agenda->ids->bytes);
    return true;
}

/* The mark is left at the first that was not taken: that one is in the table, so a seek to it is cheap. What is
 * parked later with a date before it moves it back. */
size_t park_agenda(struct park *park, usec_t upto, struct mail_id *ids, size_t max)
{
    struct agenda agenda = {.park = park, .upto = upto, .ids = ids, .max = max};
    struct error error = {""};
    uint8_t from[KEY_MAX];
    size_t len = due_key(from, park->next, NULL);
    if (park->next > upto)
        return 0;
    park_commit(park);
    if (park->mark_len == KEY_MAX && get_number(park->mark + 1, 8) == (uint64_t)park->next) {
        memcpy(from, park->mark, KEY_MAX);
        len = KEY_MAX;
    }
    if (park->table.scan(park->table.context, from, len, 1, on_due, &agenda, &error) != 0) {
        fail(park, error.text);
        park->next = USEC_NEVER;
    } else if (!agenda.ended) {
        park->next = USEC_NEVER;
        park->mark_len = 0;
    }
    return agenda.count;
}

void park_expect(struct park *park, usec_t due)
{
    if (due < park->next)
        park->next = due;
}

usec_t park_next(const struct park *park)
{
    return park->next;
}

/* ---- a start ---- */

static void identity(struct buffer *out, const char *disk, const char *spool)
{
    buffer_printf(out, "%d %s %s", PARK_VERSION, disk, spool);
}

static int check_identity(
    struct park *park, const char *disk, const char *spool, bool *empty_r, struct error *error)
{
    struct buffer there = {0}, ours = {0};
    identity(&ours, disk, spool);
    int found = park->table.get(park->table.context, "I", 1, &there, error);
    bool same = found > 0 && strcmp(buffer_text(&there), buffer_text(&ours)) == 0;
    if (found > 0 && !same)
        error_set(error, "it was made for \"%s\", this is \"%s\"", buffer_text(&there), buffer_text(&ours));
    if (found == 0)
        put(park, "I", 1, buffer_bytes(&ours), buffer_len(&ours));
    *empty_r = found == 0;
    buffer_free(&there);
    buffer_free(&ours);
    return found < 0 || (found > 0 && !same) ? -1 : 0;
}

struct opening {
    struct custody_row *rows;
    size_t count, size;
    uint64_t newest;
    bool strange;
};

static bool on_row(void *with, const void *key, size_t key_len, const void *value, size_t len)
{
    struct opening *opening = with;
    const uint8_t *bytes = value;
    if (key_len != 9 || len != BASE_VALUE) {
        opening->strange = true;
        return false;
    }
    if (opening->count == opening->size) {
        opening->size = opening->size == 0 ? 256 : 2 * opening->size;
        opening->rows = xrealloc(opening->rows, opening->size * sizeof *opening->rows);
    }
    struct custody_row *row = &opening->rows[opening->count++];
    *row = (struct custody_row){.base_seq = get_number((const uint8_t *)key + 1, 8)};
    memcpy(row->id.bytes, bytes, sizeof row->id.bytes);
    row->last_seq = get_number(bytes + 16, 8);
    row->held = (uint32_t)get_number(bytes + 24, 4);
    row->final = (uint32_t)get_number(bytes + 28, 4);
    if (row->last_seq > opening->newest)
        opening->newest = row->last_seq;
    return true;
}

static int read_from(struct park *park, uint64_t log_end, uint64_t *from_r, struct error *error)
{
    struct buffer value = {0};
    int found = park->table.get(park->table.context, "R", 1, &value, error);
    bool strange = found > 0 && buffer_len(&value) != 8;
    *from_r = found > 0 && !strange ? get_number((const uint8_t *)buffer_bytes(&value), 8) : 0;
    buffer_free(&value);
    if (strange)
        return error_set(error, "it does not say from where the log is to be read");
    if (*from_r > log_end + 1)
        return error_set(error, "it goes on from frame %llu, and the log ends with frame %llu",
            (unsigned long long)*from_r, (unsigned long long)log_end);
    return found < 0 ? -1 : 0;
}

static int read_rows(struct park *park, struct opening *opening, uint64_t log_end, struct error *error)
{
    if (park->table.scan(park->table.context, "b", 1, 1, on_row, opening, error) != 0)
        return -1;
    if (opening->strange)
        return error_set(error, "it has an entry that this version does not know");
    if (opening->newest > log_end)
        return error_set(error, "it knows frame %llu, and the log ends with frame %llu",
            (unsigned long long)opening->newest, (unsigned long long)log_end);
    return 0;
}

int park_open(struct park *park, const char *disk, const char *spool, uint64_t log_end,
    struct custody *custody, struct park_start *start_r, struct error *error)
{
    struct opening opening = {0};
    bool empty;
    *start_r = (struct park_start){0};
    if (check_identity(park, disk, spool, &empty, error) != 0 ||
        read_from(park, log_end, &start_r->from, error) != 0 ||
        read_rows(park, &opening, log_end, error) != 0) {
        free(opening.rows);
        return -1;
    }
    if (empty && (opening.count > 0 || start_r->from > 0)) {
        free(opening.rows);
        return error_set(error, "it does not say what it belongs to");
    }
    start_r->living = xcalloc(opening.count + 1, sizeof *start_r->living);
    start_r->living_count = opening.count;
    for (size_t i = 0; i < opening.count; i++) {
        start_r->living[i] = opening.rows[i].base_seq;
        custody_row_known(custody, &opening.rows[i]);
    }
    free(opening.rows);
    return park_commit(park) ? 0 : error_set(error, "%s", park->trouble);
}

void park_from(struct park *park, uint64_t from)
{
    uint8_t value[8];
    put_number(value, from, 8);
    if (!park->broken)
        put(park, "R", 1, value, sizeof value);
}
