/* arena - many small things that end together
 *
 * What is taken out of an arena is never given back alone: arena_free() ends all of it in one breath. So a
 * structure full of texts and lists needs no destructor of its own.
 *
 * `struct arena a = {0};` is a valid empty one.
 * Memory: chunks of 8 KiB; larger things get a chunk of their own. Errors: none. Threads: one at a time. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks;
};

/* `size` zeroed bytes, aligned for any type; never null, also for size 0. */
void *arena_take(struct arena *arena, size_t size);
/* A terminated copy of `len` bytes of `text`. */
char *arena_text(struct arena *arena, const char *text, size_t len);
/* Ends everything that was taken; the arena is empty and usable again. */
void arena_free(struct arena *arena);

#endif
