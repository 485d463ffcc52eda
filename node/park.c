/* park - see park.h: keys, and what is gathered and committed */
#include "node/park.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/park_state.h"

/* ---- keys ---- */

void park_put_number(uint8_t *out, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(number >> (8 * (bytes - 1 - i)));
}

uint64_t park_get_number(const uint8_t *in, size_t bytes)
{
    uint64_t number = 0;
    for (size_t i = 0; i < bytes; i++)
        number = number << 8 | in[i];
    return number;
}

size_t park_row_key(uint8_t key[PARK_KEY], const struct mail_id *id)
{
    key[0] = 'm';
    memcpy(key + 1, id->bytes, sizeof id->bytes);
    return 1 + sizeof id->bytes;
}

static size_t numbered_key(uint8_t key[PARK_KEY], char kind, uint64_t number)
{
    key[0] = (uint8_t)kind;
    park_put_number(key + 1, number, 8);
    return 9;
}

size_t park_base_key(uint8_t key[PARK_KEY], uint64_t seq)
{
    return numbered_key(key, 'b', seq);
}

size_t park_due_key(uint8_t key[PARK_KEY], usec_t due, const struct mail_id *id)
{
    size_t len = numbered_key(key, 't', (uint64_t)due);
    if (id == NULL)
        return len;
    memcpy(key + len, id->bytes, sizeof id->bytes);
    return len + sizeof id->bytes;
}

size_t park_place_key(uint8_t key[PARK_KEY], uint64_t backlog, const struct park_mark *mark)
{
    size_t len = numbered_key(key, 'q', backlog);
    park_put_number(key + len, mark->order, 8);
    memcpy(key + len + 8, mark->id.bytes, sizeof mark->id.bytes);
    return len + 8 + sizeof mark->id.bytes;
}

size_t park_name_key(uint8_t key[PARK_KEY], uint64_t backlog)
{
    return numbered_key(key, 'g', backlog);
}

/* ---- life and commits ---- */

struct park *park_new(const struct park_table *table)
{
    struct park *park = xcalloc(1, sizeof *park);
    park->table = *table;
    park->mark_len = park_due_key(park->mark, 0, NULL);
    return park;
}

static void free_counts(struct park *park)
{
    struct map_entry *at = NULL;
    for (struct park_sum *sum; (sum = map_next(&park->counts, &at)) != NULL;)
        free(sum);
    map_free(&park->counts);
}

void park_free(struct park **park)
{
    struct park *p = *park;
    *park = NULL;
    if (p == NULL)
        return;
    free_counts(p);
    map_free(&p->removed);
    buffer_free(&p->ahead.bytes);
    free(p);
}

void park_fail(struct park *park, const char *why)
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

static void add_counts(struct park *park)
{
    struct map_entry *at = NULL;
    for (const struct park_sum *sum; (sum = map_next(&park->counts, &at)) != NULL;)
        if (sum->by != 0)
            park->table.add(park->table.context, sum->key, sum->len, sum->by);
    free_counts(park);
}

bool park_commit(struct park *park)
{
    struct error error = {""};
    if (park->broken)
        return false;
    if (!park->gathered)
        return true;
    park->gathered = false;
    park_forget_ahead(park);
    add_counts(park);
    if (park->table.commit(park->table.context, &error) != 0)
        park_fail(park, error.text);
    else
        map_free(&park->removed);
    return !park->broken;
}

void park_gather_put(struct park *park, const void *key, size_t key_len, const void *value, size_t len)
{
    park->gathered = true;
    park->table.put(park->table.context, key, key_len, value, len);
}

void park_gather_remove(struct park *park, const void *key, size_t key_len)
{
    park->gathered = true;
    park->table.remove(park->table.context, key, key_len);
}

void park_gather_take(struct park *park, const void *key, size_t key_len)
{
    park->gathered = true;
    park->table.take(park->table.context, key, key_len);
}

void park_count(struct park *park, const void *queue_key, size_t len, int by)
{
    if (park->broken || len > PARK_COUNTED_MAX)
        return;
    struct park_sum *sum = map_get(&park->counts, queue_key, len);
    if (sum == NULL) {
        sum = xcalloc(1, sizeof *sum + 1 + len);
        sum->len = 1 + len;
        sum->key[0] = PARK_SUM_KIND;
        memcpy(sum->key + 1, queue_key, len);
        map_set(&park->counts, queue_key, len, sum);
    }
    sum->by += by;
    park->gathered = true;
}

void park_from(struct park *park, uint64_t from)
{
    uint8_t value[8];
    park_put_number(value, from, 8);
    if (!park->broken)
        park_gather_put(park, "R", 1, value, sizeof value);
}
