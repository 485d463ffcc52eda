/* map - see map.h */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/panic.h"

/* Keys come from strangers (domains, ids): a keyed hash of our own, and panic where memory ends. */
#define HASH_FUNCTION(key, len, value) ((value) = (unsigned)hash64(hash_process_key(), (key), (len)))
#define uthash_fatal(text) panic("%s", text)
#include <uthash.h>

struct map_entry {
    UT_hash_handle hh;
    void *value;
    size_t len;
    char key[];
};

static struct map_entry end_marker;
#define MAP_END (&end_marker)

static struct map_entry *find(const struct map *map, const void *key, size_t len)
{
    struct map_entry *entry = NULL;
    HASH_FIND(hh, map->head, key, len, entry);
    return entry;
}

void map_free(struct map *map)
{
    struct map_entry *entry, *next;
    HASH_ITER(hh, map->head, entry, next)
    {
        HASH_DEL(map->head, entry); /* NOLINT(clang-analyzer-unix.Malloc): uthash takes it out before */
        free(entry);
    }
    map->head = NULL;
}

size_t map_count(const struct map *map)
{
    return HASH_COUNT(map->head);
}

void *map_get(const struct map *map, const void *key, size_t len)
{
    struct map_entry *entry = find(map, key, len);
    return entry == NULL ? NULL : entry->value;
}

void *map_set(struct map *map, const void *key, size_t len, void *value)
{
    must(value != NULL);
    struct map_entry *entry = find(map, key, len);
    if (entry != NULL) {
        void *before = entry->value;
        entry->value = value;
        return before;
    }
    entry = xcalloc(1, sizeof *entry + len + 1);
    entry->value = value;
    entry->len = len;
    memcpy(entry->key, key, len);
    HASH_ADD_KEYPTR(hh, map->head, entry->key, len, entry);
    return NULL;
}

void *map_remove(struct map *map, const void *key, size_t len)
{
    struct map_entry *entry = find(map, key, len);
    if (entry == NULL)
        return NULL;
    void *value = entry->value;
    HASH_DEL(map->head, entry);
    free(entry);
    return value;
}

void *map_get_text(const struct map *map, const char *key)
{
    return map_get(map, key, strlen(key));
}

void *map_set_text(struct map *map, const char *key, void *value)
{
    return map_set(map, key, strlen(key), value);
}

void *map_remove_text(struct map *map, const char *key)
{
    return map_remove(map, key, strlen(key));
}

void *map_after(const struct map *map, const void *key, size_t len)
{
    const struct map_entry *entry = key == NULL ? NULL : find(map, key, len);
    if (key == NULL)
        return map->head == NULL ? NULL : map->head->value;
    const struct map_entry *next = entry == NULL ? NULL : entry->hh.next;
    return next == NULL ? NULL : next->value;
}

/* `at` holds the entry that comes next, so that the one just returned may go. */
void *map_next(const struct map *map, struct map_entry **at)
{
    struct map_entry *entry = *at == NULL ? map->head : *at;
    if (entry == NULL || entry == MAP_END)
        return NULL;
    struct map_entry *next = entry->hh.next;
    *at = next == NULL ? MAP_END : next;
    return entry->value;
}
