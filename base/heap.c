/* heap - see heap.h */
#include "base/heap.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/panic.h"

static bool before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void place(struct heap *heap, size_t index, struct heap_node *node)
{
    heap->nodes[index] = node;
    node->place = index + 1;
}

static void rise(struct heap *heap, size_t index)
{
    struct heap_node *node = heap->nodes[index];
    while (index > 0 && before(node, heap->nodes[(index - 1) / 2])) {
        place(heap, index, heap->nodes[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    place(heap, index, node);
}

static void sink(struct heap *heap, size_t index)
{
    struct heap_node *node = heap->nodes[index];
    for (;;) {
        size_t child = 2 * index + 1;
        if (child + 1 < heap->count && before(heap->nodes[child + 1], heap->nodes[child]))
            child++;
        if (child >= heap->count || !before(heap->nodes[child], node))
            break;
        place(heap, index, heap->nodes[child]);
        index = child;
    }
    place(heap, index, node);
}

void heap_free(struct heap *heap)
{
    free(heap->nodes);
    *heap = (struct heap){0};
}

void heap_put(struct heap *heap, struct heap_node *node, int64_t key)
{
    if (heap_has(node))
        heap_remove(heap, node);
    if (heap->count == heap->size) {
        heap->size = heap->size == 0 ? 16 : 2 * heap->size;
        heap->nodes = xrealloc(heap->nodes, heap->size * sizeof *heap->nodes);
    }
    node->key = key;
    node->order = heap->puts++;
    heap->count++;
    place(heap, heap->count - 1, node);
    rise(heap, heap->count - 1);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (!heap_has(node))
        return;
    size_t index = node->place - 1;
    must(index < heap->count && heap->nodes[index] == node);
    node->place = 0;
    struct heap_node *last = heap->nodes[--heap->count];
    if (last == node)
        return;
    place(heap, index, last);
    rise(heap, index);
    sink(heap, last->place - 1);
}

struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->nodes[0];
}

struct heap_node *heap_pop(struct heap *heap, int64_t upto)
{
    struct heap_node *first = heap_first(heap);
    if (first == NULL || first->key > upto)
        return NULL;
    heap_remove(heap, first);
    return first;
}
