/* map - things found by the bytes of their name
 *
 * Keys are copied; values are the caller's pointers and never freed here. Iteration order is the order of
 * insertion, so runs with the same seed stay the same. Backed by uthash.
 * Memory: about 100 bytes an entry besides the key. Threads: one at a time. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

struct map_entry;
struct map {
    struct map_entry *head;
};

/* `struct map m = {0};` is empty. map_free forgets all entries (not what the values point to). */
void map_free(struct map *map);
size_t map_count(const struct map *map);
void *map_get(const struct map *map, const void *key, size_t len);
/* Sets and returns what was there before, or null. A null value may not be stored. */
void *map_set(struct map *map, const void *key, size_t len, void *value);
/* Takes the entry out and returns its value, or null. */
void *map_remove(struct map *map, const void *key, size_t len);
void *map_get_text(const struct map *map, const char *key);
void *map_set_text(struct map *map, const char *key, void *value);
void *map_remove_text(struct map *map, const char *key);

/* Walks all values: `struct map_entry *at = NULL; while ((v = map_next(&m, &at)) != NULL)`. The entry last
 * returned may be removed while walking. */
void *map_next(const struct map *map, struct map_entry **at);

/* The value that was put in after the one of this key (null: the first), or null. For a walk that lasts, while
 * others change the map: whoever takes out the entry that it stands on moves it on before. */
void *map_after(const struct map *map, const void *key, size_t len);

#endif
