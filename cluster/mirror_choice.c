/* mirror_choice - see mirror_choice.h */
#include "cluster/mirror_choice.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

#define RING_KEY 0x6d6972726f72 /* the same for all */

/* A node's place on the ring. Fractions of a rack (1/2n, 3/2n, ...) let racks of any sizes take turns. */
struct place {
    uint64_t rack, id; /* hashes; 0 = no rack */
    uint64_t share;    /* of its rack, of 2^32, at which it stands */
    const struct view_node *node;
};

static bool is_able(const struct view_node *node)
{
    return node->incarnation != 0 && !node->down && !node->draining;
}

static uint64_t text_hash(const char *text)
{
    return text == NULL ? 0 : hash64(RING_KEY, text, strlen(text));
}

static int by_number(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int by_rack(const void *a, const void *b)
{
    const struct place *p = a, *q = b;
    int order = by_number(p->rack, q->rack);
    if (order == 0)
        order = by_number(p->id, q->id);
    return order != 0 ? order : strcmp(p->node->id, q->node->id);
}

static int by_share(const void *a, const void *b)
{
    int order = by_number(((const struct place *)a)->share, ((const struct place *)b)->share);
    return order != 0 ? order : by_rack(a, b);
}

/* Everybody who may be one, and `self`, in order. */
static size_t make_ring(const struct view *view, const struct view_node *self, struct place *ring)
{
    size_t count = 0;
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *node = &view->nodes[i];
        if (node == self || is_able(node))
            ring[count++] = (struct place){text_hash(node->rack), text_hash(node->id), 0, node};
    }
    qsort(ring, count, sizeof *ring, by_rack);
    for (size_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && ring[to].rack == ring[from].rack; to++)
            ;
        for (size_t i = from; i < to; i++)
            ring[i].share = ((2 * (i - from) + 1) << 32) / (2 * (to - from));
    }
    qsort(ring, count, sizeof *ring, by_share);
    return count;
}

/* How little it is wanted: 0 is best. */
static int badness(const struct place *self, const struct place *other, const char *avoid)
{
    return (strcmp(other->node->id, avoid) == 0 ? 2 : 0) + (other->rack == self->rack ? 1 : 0);
}

static const struct view_node *next_on(
    const struct place *ring, size_t count, const struct view_node *self, const char *avoid)
{
    size_t at = 0;
    while (ring[at].node != self)
        at++;
    const struct place *best = NULL;
    for (size_t step = 1; step < count; step++) {
        const struct place *other = &ring[(at + step) % count];
        if (best == NULL || badness(&ring[at], other, avoid) < badness(&ring[at], best, avoid))
            best = other;
    }
    return best == NULL ? NULL : best->node;
}

const struct view_node *mirror_choice(
    const struct view *view, const char *self, const char *current, const char *avoid)
{
    const struct view_node *me = view_node(view, self), *now = view_node(view, current);
    if (me == NULL)
        return NULL;
    if (now != NULL && now != me && is_able(now) && strcmp(current, avoid) != 0)
        return now;
    struct place *ring = xcalloc(view->node_count, sizeof *ring);
    const struct view_node *next = next_on(ring, make_ring(view, me, ring), me, avoid);
    free(ring);
    return next;
}
