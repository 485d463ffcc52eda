/* park_memory - see park_memory.h
 *
 * Entries stand in an array, sorted. Each commit keeps what would undo it until a flush covers it; a crash
 * plays the newest of these backwards. */
#include "tests/park_memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"

struct entry {
    size_t key_len, value_len;
    bool again;      /* it was put when it was there already: it may not be taken */
    uint8_t bytes[]; /* the key, then the value */
};

enum change_kind { CHANGE_PUT, CHANGE_REMOVE, CHANGE_TAKE, CHANGE_ADD };

/* Owns its entry; of a removal or taking only the key counts. */
struct change {
    struct entry *entry;
    enum change_kind kind;
};

struct changes {
    struct change *list;
    size_t count, size;
};

struct park_memory {
    struct entry **entries;
    size_t count, size;
    struct changes gathered;
    struct changes *undo; /* of the commits at risk, the oldest first; each in the order it was done */
    size_t undo_count, undo_size;
    uint64_t committed, flushed; /* commits ever; of these on the disk */
    bool failing;
    struct park_memory_figures figures;
};

static struct entry *entry_new(const void *key, size_t key_len, const void *value, size_t value_len)
{
    must(key_len >= 1 && key_len <= PARK_KEY_MAX && value_len <= PARK_VALUE_MAX);
    struct entry *entry = xmalloc(sizeof *entry + key_len + value_len);
    entry->key_len = key_len;
    entry->value_len = value_len;
    entry->again = false;
    memcpy(entry->bytes, key, key_len);
    if (value_len > 0)
        memcpy(entry->bytes + key_len, value, value_len);
    return entry;
}

static void changes_add(struct changes *changes, struct change change)
{
    if (changes->count == changes->size) {
        changes->size = changes->size == 0 ? 8 : 2 * changes->size;
        changes->list = xrealloc(changes->list, changes->size * sizeof *changes->list);
    }
    changes->list[changes->count++] = change;
}

static void changes_free(struct changes *changes)
{
    for (size_t i = 0; i < changes->count; i++)
        free(changes->list[i].entry);
    free(changes->list);
    *changes = (struct changes){0};
}

static int compare(const struct entry *entry, const void *key, size_t key_len)
{
    size_t common = entry->key_len < key_len ? entry->key_len : key_len;
    int order = memcmp(entry->bytes, key, common);
    return order != 0 ? order : (entry->key_len > key_len) - (entry->key_len < key_len);
}

/* The first entry that is not before the key. */
static size_t place(const struct park_memory *memory, const void *key, size_t key_len)
{
    size_t low = 0, high = memory->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare(memory->entries[middle], key, key_len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_there(const struct park_memory *memory, size_t at, const void *key, size_t key_len)
{
    return at < memory->count && compare(memory->entries[at], key, key_len) == 0;
}

static void count_in(struct park_memory *memory, const struct entry *entry)
{
    memory->figures.keys++;
    memory->figures.bytes += entry->key_len + entry->value_len;
}

static void count_out(struct park_memory *memory, const struct entry *entry)
{
    memory->figures.keys--;
    memory->figures.bytes -= entry->key_len + entry->value_len;
}

static void insert(struct park_memory *memory, size_t at, struct entry *entry)
{
    if (memory->count == memory->size) {
        memory->size = memory->size == 0 ? 64 : 2 * memory->size;
        memory->entries = xrealloc(memory->entries, memory->size * sizeof *memory->entries);
    }
    memmove(memory->entries + at + 1, memory->entries + at, (memory->count - at) * sizeof *memory->entries);
    memory->entries[at] = entry;
    memory->count++;
}

/* What an addition comes to: 0 is not kept. */
static struct change sum_of(const struct park_memory *memory, struct change change)
{
    struct entry *entry = change.entry;
    size_t at = place(memory, entry->bytes, entry->key_len);
    int64_t number = park_table_number(entry->bytes + entry->key_len, 8);
    if (is_there(memory, at, entry->bytes, entry->key_len)) {
        const struct entry *before = memory->entries[at];
        must(before->value_len == 8);
        number += park_table_number(before->bytes + before->key_len, 8);
    }
    park_table_set_number(entry->bytes + entry->key_len, number);
    return (struct change){entry, number == 0 ? CHANGE_REMOVE : CHANGE_PUT};
}

/* Does the change, whose entry it takes over; returns what undoes it. */
static struct change apply(struct park_memory *memory, struct change change)
{
    if (change.kind == CHANGE_ADD)
        change = sum_of(memory, change);
    struct entry *entry = change.entry, *before;
    size_t at = place(memory, entry->bytes, entry->key_len);
    bool there = is_there(memory, at, entry->bytes, entry->key_len);
    if (change.kind == CHANGE_TAKE) {
        must(there && !memory->entries[at]->again);
        change.kind = CHANGE_REMOVE;
    }
    if (!there && change.kind == CHANGE_REMOVE)
        return change;
    if (!there) {
        insert(memory, at, entry);
        count_in(memory, entry);
        return (struct change){entry_new(entry->bytes, entry->key_len, NULL, 0), CHANGE_REMOVE};
    }
    before = memory->entries[at];
    count_out(memory, before);
    if (change.kind == CHANGE_REMOVE) {
        memory->count--;
        memmove(
            memory->entries + at, memory->entries + at + 1, (memory->count - at) * sizeof *memory->entries);
        free(entry);
    } else {
        memory->entries[at] = entry;
        count_in(memory, entry);
    }
    return (struct change){before, CHANGE_PUT};
}

static struct change change_once(struct park_memory *memory, struct change change)
{
    struct entry *entry = change.entry;
    size_t at = place(memory, entry->bytes, entry->key_len);
    entry->again = is_there(memory, at, entry->bytes, entry->key_len);
    return apply(memory, change);
}

/* The face */

static void memory_put(void *context, const void *key, size_t key_len, const void *value, size_t value_len)
{
    struct park_memory *memory = context;
    memory->figures.puts++;
    changes_add(&memory->gathered, (struct change){entry_new(key, key_len, value, value_len), CHANGE_PUT});
}

static void memory_remove(void *context, const void *key, size_t key_len)
{
    struct park_memory *memory = context;
    memory->figures.removes++;
    changes_add(&memory->gathered, (struct change){entry_new(key, key_len, NULL, 0), CHANGE_REMOVE});
}

static void memory_take(void *context, const void *key, size_t key_len)
{
    struct park_memory *memory = context;
    memory->figures.removes++;
    changes_add(&memory->gathered, (struct change){entry_new(key, key_len, NULL, 0), CHANGE_TAKE});
}

static void memory_add(void *context, const void *key, size_t key_len, int64_t by)
{
    struct park_memory *memory = context;
    uint8_t number[8];
    memory->figures.adds++;
    park_table_set_number(number, by);
    changes_add(
        &memory->gathered, (struct change){entry_new(key, key_len, number, sizeof number), CHANGE_ADD});
}

static int refuse(struct error *error)
{
    return error_set(error, "park table: the disk fails, as it was told to");
}

static int memory_commit(void *context, struct error *error)
{
    struct park_memory *memory = context;
    memory->figures.commits++;
    if (memory->failing) {
        changes_free(&memory->gathered);
        return refuse(error);
    }
    for (size_t i = 0; i < memory->gathered.count; i++)
        memory->gathered.list[i] = change_once(memory, memory->gathered.list[i]);
    if (memory->undo_count == memory->undo_size) {
        memory->undo_size = memory->undo_size == 0 ? 64 : 2 * memory->undo_size;
        memory->undo = xrealloc(memory->undo, memory->undo_size * sizeof *memory->undo);
    }
    memory->undo[memory->undo_count++] = memory->gathered;
    memory->gathered = (struct changes){0};
    memory->committed++;
    return 0;
}

static int memory_get(
    void *context, const void *key, size_t key_len, struct buffer *value, struct error *error)
{
    struct park_memory *memory = context;
    memory->figures.gets++;
    if (memory->failing)
        return refuse(error);
    size_t at = place(memory, key, key_len);
    if (!is_there(memory, at, key, key_len))
        return 0;
    const struct entry *entry = memory->entries[at];
    buffer_add(value, entry->bytes + entry->key_len, entry->value_len);
    return 1;
}

static int memory_scan(void *context, const void *from, size_t from_len, size_t prefix_len, park_each *each,
    void *with, struct error *error)
{
    struct park_memory *memory = context;
    must(prefix_len <= from_len);
    memory->figures.scans++;
    if (memory->failing)
        return refuse(error);
    for (size_t at = place(memory, from, from_len); at < memory->count; at++) {
        const struct entry *entry = memory->entries[at];
        if (entry->key_len < prefix_len || memcmp(entry->bytes, from, prefix_len) != 0)
            break;
        if (!each(with, entry->bytes, entry->key_len, entry->bytes + entry->key_len, entry->value_len))
            break;
    }
    return 0;
}

static int memory_flush(void *context, struct error *error)
{
    struct park_memory *memory = context;
    if (memory->failing)
        return refuse(error);
    park_memory_flush_end(memory, park_memory_flush_begin(memory));
    return 0;
}

struct park_table park_memory_table(struct park_memory *memory)
{
    return (struct park_table){.context = memory,
        .put = memory_put,
        .remove = memory_remove,
        .take = memory_take,
        .add = memory_add,
        .commit = memory_commit,
        .get = memory_get,
        .scan = memory_scan,
        .flush = memory_flush};
}

/* The disk under it */

struct park_memory *park_memory_new(void)
{
    return xcalloc(1, sizeof(struct park_memory));
}

uint64_t park_memory_flush_begin(struct park_memory *memory)
{
    return memory->committed;
}

void park_memory_flush_end(struct park_memory *memory, uint64_t begun)
{
    must(begun <= memory->committed);
    if (begun <= memory->flushed)
        return;
    size_t covered = begun - memory->flushed;
    for (size_t i = 0; i < covered; i++)
        changes_free(&memory->undo[i]);
    memory->undo_count -= covered;
    memmove(memory->undo, memory->undo + covered, memory->undo_count * sizeof *memory->undo);
    memory->flushed = begun;
}

uint64_t park_memory_at_risk(const struct park_memory *memory)
{
    return memory->undo_count;
}

void park_memory_crash(struct park_memory *memory, uint64_t kept)
{
    must(kept <= memory->undo_count);
    changes_free(&memory->gathered);
    while (memory->undo_count > kept) {
        struct changes *undo = &memory->undo[--memory->undo_count];
        for (size_t i = undo->count; i > 0; i--)
            undo->list[i - 1] = apply(memory, undo->list[i - 1]);
        changes_free(undo);
        memory->committed--;
    }
    park_memory_flush_end(memory, memory->committed);
}

void park_memory_wipe(struct park_memory *memory)
{
    changes_free(&memory->gathered);
    park_memory_flush_end(memory, memory->committed);
    for (size_t i = 0; i < memory->count; i++)
        free(memory->entries[i]);
    memory->count = 0;
    memory->figures.keys = memory->figures.bytes = 0;
}

void park_memory_free(struct park_memory **memory)
{
    struct park_memory *m = *memory;
    *memory = NULL;
    if (m == NULL)
        return;
    park_memory_wipe(m);
    free(m->undo);
    free(m->entries);
    free(m);
}

void park_memory_fail(struct park_memory *memory, bool failing)
{
    memory->failing = failing;
}

struct park_memory_figures park_memory_figures(const struct park_memory *memory)
{
    return memory->figures;
}
