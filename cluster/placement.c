/* placement - see placement.h */
#include "cluster/placement.h"

#include <string.h>

#include "base/hash.h"

/* The cluster's own key for rendezvous hashing: a constant, since all must agree; flooding one node needs
 * many domains, and costs their owner money. */
#define PLACEMENT_KEY 0x746f646f6b75ULL

/* log2(x) for x in [1, 2^64), in 1/2^24, by squaring: the same on every machine. */
static uint64_t log2_fixed(uint64_t x)
{
    unsigned whole = 63 - (unsigned)__builtin_clzll(x);
    uint64_t result = (uint64_t)whole << 24;
    /* x scaled into [1, 2) with 31 bits behind the point */
    uint64_t y = whole >= 31 ? x >> (whole - 31) : x << (31 - whole);
    for (uint64_t bit = 1u << 23; bit > 0; bit >>= 1) {
        y = (y * y) >> 31;
        if (y >= (uint64_t)1 << 32) {
            result |= bit;
            y >>= 1;
        }
    }
    return result;
}

/* -ln(h) / w, but for a constant factor: the smallest is first. h is uniform in (0, 1). Kept as a fraction
 * times 2^24. */
static uint64_t cost(uint64_t hash, uint32_t weight)
{
    uint64_t minus_log = ((uint64_t)64 << 24) - log2_fixed(hash | 1);
    return (minus_log << 20) / weight;
}

struct candidate {
    const struct view_node *node;
    uint64_t cost, hash;
};

static bool better(const struct candidate *a, const struct candidate *b)
{
    if (a->cost != b->cost)
        return a->cost < b->cost;
    if (a->hash != b->hash)
        return a->hash > b->hash;
    return strcmp(a->node->id, b->node->id) < 0;
}

/* Keeps the best `max` sorted; `count` are there. */
static size_t insert(struct candidate *best, size_t count, size_t max, const struct candidate *candidate)
{
    size_t at = count;
    while (at > 0 && better(candidate, &best[at - 1]))
        at--;
    if (at == max)
        return count;
    size_t kept = count < max ? count : max - 1;
    memmove(&best[at + 1], &best[at], (kept - at) * sizeof *best);
    best[at] = *candidate;
    return kept + 1;
}

static bool is_candidate(const struct view_node *node, const char *pool)
{
    return node->weight > 0 && !node->draining && !node->down && view_node_has_pool(node, pool);
}

/* Where all weigh the same the hashes alone decide, and decide the same: no logarithm is needed. */
static bool weights_differ(const struct view *view)
{
    for (size_t i = 1; i < view->node_count; i++)
        if (view->nodes[i].weight != view->nodes[0].weight)
            return true;
    return false;
}

size_t place(const struct view *view, const char *pool, const char *provider, const char *domain,
    const struct view_node **ranked, size_t max)
{
    (void)provider; /* lasting blocks of (source, provider) will be in the view */
    struct candidate best[16];
    size_t count = 0;
    if (max > sizeof best / sizeof best[0])
        max = sizeof best / sizeof best[0];
    bool weighted = weights_differ(view);
    uint64_t key = hash64(PLACEMENT_KEY, domain, strlen(domain));
    for (size_t i = 0; i < view->node_count && max > 0; i++) {
        const struct view_node *node = &view->nodes[i];
        if (!is_candidate(node, pool))
            continue;
        struct candidate candidate = {.node = node, .hash = hash64(key, node->id, strlen(node->id))};
        candidate.cost = weighted ? cost(candidate.hash, node->weight) : 0;
        count = insert(best, count, max, &candidate);
    }
    for (size_t i = 0; i < count; i++)
        ranked[i] = best[i].node;
    return count;
}

const struct view_node *place_owner(
    const struct view *view, const char *pool, const char *provider, const char *domain)
{
    const struct view_node *owner = NULL;
    return place(view, pool, provider, domain, &owner, 1) == 1 ? owner : NULL;
}
