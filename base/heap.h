/* heap - what comes first, by a time
 *
 * A binary heap of nodes embedded in the things that wait. Nodes with the same key leave in the order of
 * their `order`, so runs are repeatable. Put, take and move are O(log n); the first is at hand. Memory: one
 * pointer a waiting node, kept in one array. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t key;
    uint64_t order; /* set by heap_put */
    size_t place;   /* 1 + index while in the heap, 0 otherwise */
};

struct heap {
    struct heap_node **nodes;
    size_t count, size;
    uint64_t puts;
};

#define heap_item(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

void heap_free(struct heap *heap);
/* Puts the node in with `key`, or moves it if it is in already. */
void heap_put(struct heap *heap, struct heap_node *node, int64_t key);
/* Takes the node out; one that is not in is left alone. */
void heap_remove(struct heap *heap, struct heap_node *node);
/* The node with the smallest key, or null. */
struct heap_node *heap_first(const struct heap *heap);
/* Takes out and returns the first node if its key is <= `upto`; else null. */
struct heap_node *heap_pop(struct heap *heap, int64_t upto);

static inline bool heap_has(const struct heap_node *node)
{
    return node->place != 0;
}

#endif
