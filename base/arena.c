/* arena - see arena.h */
#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define CHUNK_SIZE ((size_t)8192)
#define ALIGNMENT alignof(max_align_t)

struct arena_chunk {
    struct arena_chunk *next;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

static struct arena_chunk *chunk_new(size_t size)
{
    struct arena_chunk *chunk = xcalloc(1, sizeof *chunk + size);
    chunk->size = size;
    return chunk;
}

/* A thing of its own size goes behind the first chunk, which may still have room for small ones. */
static struct arena_chunk *chunk_for(struct arena *arena, size_t size)
{
    struct arena_chunk *first = arena->chunks;
    if (first != NULL && first->size - first->used >= size)
        return first;
    struct arena_chunk *chunk = chunk_new(size > CHUNK_SIZE ? size : CHUNK_SIZE);
    if (first != NULL && size > CHUNK_SIZE / 4) {
        chunk->next = first->next;
        first->next = chunk;
    } else {
        chunk->next = first;
        arena->chunks = chunk;
    }
    return chunk;
}

void *arena_take(struct arena *arena, size_t size)
{
    size_t whole = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (whole == 0)
        whole = ALIGNMENT;
    struct arena_chunk *chunk = chunk_for(arena, whole);
    void *memory = chunk->bytes + chunk->used;
    chunk->used += whole;
    return memory;
}

char *arena_text(struct arena *arena, const char *text, size_t len)
{
    char *copy = arena_take(arena, len + 1);
    if (len > 0)
        memcpy(copy, text, len);
    return copy;
}

void arena_free(struct arena *arena)
{
    while (arena->chunks != NULL) {
        struct arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        free(chunk);
    }
}
