/* park_rows - see park.h: rows put, removed and found
 *
 * The bytes stand where they are read in order: at the row's home, which is its first place, or its date if it
 * has none. The other keys point there, or only say that there is something.
 *
 * All these keys are put once and then taken, never overwritten: what changes is taken and put anew. */
#include <string.h>

#include "node/park_state.h"

static size_t place_key(uint8_t key[PARK_KEY], const struct custody_row *row, uint32_t i)
{
    struct park_mark mark = {row->places[i].order, row->id};
    return park_place_key(key, row->places[i].backlog, &mark);
}

static size_t home_key(uint8_t key[PARK_KEY], const struct custody_row *row)
{
    return row->place_count > 0 ? place_key(key, row, 0) : park_due_key(key, row->due, &row->id);
}

static bool same_home(const struct custody_row *row, const struct custody_row *old)
{
    uint8_t key[PARK_KEY], old_key[PARK_KEY];
    size_t len = home_key(key, row);
    return len == home_key(old_key, old) && memcmp(key, old_key, len) == 0;
}

/* Where they become due, of those that are at home elsewhere. */
static bool same_date(const struct custody_row *row, const struct custody_row *old)
{
    return row->place_count > 0 && old->place_count > 0 && row->due == old->due;
}

static bool same_places(const struct custody_row *row, const struct custody_row *old)
{
    return row->place_count == old->place_count &&
           (row->place_count <= 1 ||
               memcmp(row->places + 1, old->places + 1, (row->place_count - 1) * sizeof *row->places) == 0);
}

static void take_base(struct park *park, const struct custody_row *row)
{
    uint8_t key[PARK_KEY];
    park_gather_take(park, key, park_base_key(key, row->base_seq));
}

static void put_base(struct park *park, const struct custody_row *row)
{
    uint8_t key[PARK_KEY], value[PARK_BASE_VALUE];
    memcpy(value, row->id.bytes, sizeof row->id.bytes);
    park_put_number(value + 16, row->last_seq, 8);
    park_put_number(value + 24, row->open_count, 4);
    park_put_number(value + 28, row->final_count, 4);
    park_gather_put(park, key, park_base_key(key, row->base_seq), value, sizeof value);
}

static void take_home(struct park *park, const struct custody_row *row)
{
    uint8_t key[PARK_KEY];
    park_gather_take(park, key, home_key(key, row));
}

static void put_home(struct park *park, const struct custody_row *row)
{
    uint8_t key[PARK_KEY];
    park_gather_put(park, key, home_key(key, row), row->bytes, row->len);
}

static void take_pointer(struct park *park, const struct custody_row *row)
{
    uint8_t key[PARK_KEY];
    park_gather_take(park, key, park_row_key(key, &row->id));
}

/* All of its home but the id, which ends it. */
static void put_pointer(struct park *park, const struct custody_row *row)
{
    uint8_t key[PARK_KEY], home[PARK_KEY];
    size_t len = home_key(home, row);
    park_gather_put(park, key, park_row_key(key, &row->id), home, len - sizeof row->id.bytes);
}

static void take_date(struct park *park, const struct custody_row *row)
{
    uint8_t key[PARK_KEY];
    if (row->place_count > 0)
        park_gather_take(park, key, park_due_key(key, row->due, &row->id));
}

static void put_date(struct park *park, const struct custody_row *row)
{
    uint8_t key[PARK_KEY];
    if (row->place_count > 0)
        park_gather_put(park, key, park_due_key(key, row->due, &row->id), "", 0);
}

static void take_places(struct park *park, const struct custody_row *row)
{
    uint8_t key[PARK_KEY];
    for (uint32_t i = 1; i < row->place_count; i++)
        park_gather_take(park, key, place_key(key, row, i));
}

static void put_places(struct park *park, const struct custody_row *row)
{
    uint8_t key[PARK_KEY];
    for (uint32_t i = 1; i < row->place_count; i++)
        park_gather_put(park, key, place_key(key, row, i), "", 0);
}

static void put_new(struct park *park, const struct custody_row *row)
{
    put_pointer(park, row);
    put_base(park, row);
    put_home(park, row);
    put_date(park, row);
    put_places(park, row);
}

static void take_all(struct park *park, const struct custody_row *row)
{
    take_pointer(park, row);
    take_base(park, row);
    take_home(park, row);
    take_date(park, row);
    take_places(park, row);
}

static void put_anew(struct park *park, const struct custody_row *row, const struct custody_row *old)
{
    take_base(park, old);
    put_base(park, row);
    if (!same_home(row, old)) {
        take_pointer(park, old);
        put_pointer(park, row);
    }
    if (!same_date(row, old))
        take_date(park, old);
    bool moved = !same_places(row, old);
    if (moved)
        take_places(park, old);
    take_home(park, old);
    put_home(park, row);
    if (!same_date(row, old))
        put_date(park, row);
    if (moved)
        put_places(park, row);
}

void park_row_put(void *context, const struct custody_row *row, const struct custody_row *old)
{
    struct park *park = context;
    if (park->broken)
        return;
    map_remove(&park->removed, row->id.bytes, sizeof row->id.bytes);
    if (old == NULL)
        put_new(park, row);
    else
        put_anew(park, row, old);
}

/* Also when it does not work any more: the row stays in the table, but must not be found. */
void park_row_remove(void *context, const struct custody_row *row)
{
    struct park *park = context;
    map_set(&park->removed, row->id.bytes, sizeof row->id.bytes, park);
    if (!park->broken)
        take_all(park, row);
}

/* ---- finding them ---- */

void park_forget_ahead(struct park *park)
{
    park->ahead.count = park->ahead.next = 0;
    buffer_clear(&park->ahead.bytes);
}

void park_row_ahead(struct park *park, const struct mail_id *id, const void *row, size_t len)
{
    struct park_ahead *ahead = &park->ahead;
    size_t start = buffer_len(&ahead->bytes);
    if (len == 0 || ahead->count == PARK_AHEAD_ROWS || start + len > PARK_AHEAD_BYTES)
        return;
    buffer_add(&ahead->bytes, row, len);
    ahead->ids[ahead->count] = *id;
    ahead->starts[ahead->count] = start;
    ahead->lens[ahead->count++] = len;
}

/* They are mostly asked for in their order. */
static bool get_ahead(struct park *park, const struct mail_id *id, struct buffer *bytes)
{
    struct park_ahead *ahead = &park->ahead;
    for (size_t i = 0; i < ahead->count; i++) {
        size_t at = (ahead->next + i) % ahead->count;
        if (memcmp(ahead->ids[at].bytes, id->bytes, sizeof id->bytes) != 0)
            continue;
        buffer_add(bytes, buffer_bytes(&ahead->bytes) + ahead->starts[at], ahead->lens[at]);
        ahead->next = at + 1;
        return true;
    }
    return false;
}

static int get_home(struct park *park, const struct mail_id *id, struct buffer *home, struct buffer *bytes,
    struct error *error)
{
    if (buffer_len(home) + sizeof id->bytes > PARK_KEY)
        return error_set(error, "it names a home of %zu bytes", buffer_len(home));
    buffer_add(home, id->bytes, sizeof id->bytes);
    int found = park->table.get(park->table.context, buffer_bytes(home), buffer_len(home), bytes, error);
    return found == 0 ? error_set(error, "a row is not where it should be") : found;
}

int park_row_get(void *context, const struct mail_id *id, struct buffer *bytes)
{
    struct park *park = context;
    struct error error = {""};
    struct buffer home = {0};
    uint8_t key[PARK_KEY];
    if (map_get(&park->removed, id->bytes, sizeof id->bytes) != NULL)
        return 0;
    if (get_ahead(park, id, bytes))
        return 1;
    int found = park->table.get(park->table.context, key, park_row_key(key, id), &home, &error);
    if (found > 0)
        found = get_home(park, id, &home, bytes, &error);
    buffer_free(&home);
    if (found < 0)
        park_fail(park, error.text);
    return found;
}

void park_row_bad(void *context, const char *why)
{
    park_fail(context, why);
}
