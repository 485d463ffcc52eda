/* placement - see placement.h */
#include "cluster/placement.h"

#include <string.h>

#include "base/hash.h"
#include "cluster/placement_inside.h"

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
 * times 2^24, and shifted: as far as the weights leave room. */
static uint64_t cost(uint64_t hash, uint64_t weight, unsigned shift)
{
    uint64_t minus_log = ((uint64_t)64 << 24) - log2_fixed(hash | 1);
    return (minus_log << shift) / weight;
}

/* cost() is not below this, which takes no logarithm: -ln(1 - d) >= d, and log2_fixed rounds down. */
static uint64_t least_cost(uint64_t hash, uint64_t weight, unsigned shift)
{
    uint64_t gap = (0 - (hash | 1)) >> 40;            /* d, in 1/2^24 */
    uint64_t minus_log = (gap * 1477 >> 10) << shift; /* 1477 / 1024 < 1 / ln 2 */
    return minus_log / weight;
}

static bool better(const struct ranked *a, const struct ranked *b)
{
    if (a->cost != b->cost)
        return a->cost < b->cost;
    if (a->hash != b->hash)
        return a->hash > b->hash;
    return strcmp(a->node->id, b->node->id) < 0;
}

static void insert(struct ranking *ranking, const struct ranked *candidate)
{
    struct ranked *best = ranking->best;
    size_t at = ranking->count;
    while (at > 0 && better(candidate, &best[at - 1]))
        at--;
    if (at == ranking->max)
        return;
    size_t kept = ranking->count < ranking->max ? ranking->count : ranking->max - 1;
    memmove(&best[at + 1], &best[at], (kept - at) * sizeof *best);
    best[at] = *candidate;
    ranking->count = kept + 1;
}

/* Both are good hashes; no two pairs of them may go together (the last steps of MurmurHash3, by Appleby). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdULL;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53ULL;
    return x ^ x >> 33;
}

uint64_t placement_key(const char *domain, size_t len, uint32_t part)
{
    return hash64(PLACEMENT_KEY + part, domain, len);
}

struct placed placement_what(
    const struct view_hot *hot, const char *domain, size_t len, const struct mail_id *message)
{
    struct placed what = {.key = placement_key(domain, len, 0)};
    if (hot == NULL || message == NULL)
        return what;
    uint64_t hash = hash64(what.key, message->bytes, sizeof message->bytes);
    what.by_message = hot->parts == 0;
    what.key = hash;
    if (!what.by_message) {
        what.part = 1 + (uint32_t)(hash % hot->parts);
        what.key = placement_key(domain, len, what.part);
    }
    return what;
}

struct candidate placement_candidate_of(const struct view_node *node)
{
    size_t len = strlen(node->id);
    return (struct candidate){node, len, hash64(PLACEMENT_KEY, node->id, len)};
}

uint64_t placement_shared_weight(const struct view_node *node)
{
    return (uint64_t)node->weight * (node->share == 0 ? VIEW_SHARE : node->share);
}

void ranking_start(struct ranking *ranking, struct placed what, bool weighted, size_t max)
{
    ranking->what = what;
    ranking->weighted = weighted;
    ranking->count = 0;
    ranking->max = max < PLACEMENT_MAX_RANKS ? max : PLACEMENT_MAX_RANKS;
}

void ranking_offer(struct ranking *ranking, const struct candidate *of)
{
    const struct view_node *node = of->node;
    bool by_message = ranking->what.by_message;
    uint64_t key = ranking->what.key;
    struct ranked candidate = {
        .node = node, .hash = by_message ? mix(key ^ of->hash) : hash64(key, node->id, of->id_len)};
    bool full = ranking->count == ranking->max;
    const struct ranked *last = &ranking->best[ranking->max - 1];
    if (ranking->weighted) {
        uint64_t weight = by_message ? placement_shared_weight(node) : node->weight;
        unsigned shift = by_message ? 33 : 20;
        if (full && least_cost(candidate.hash, weight, shift) > last->cost)
            return;
        candidate.cost = cost(candidate.hash, weight, shift);
    } else if (full && candidate.hash < last->hash) {
        return;
    }
    insert(ranking, &candidate);
}

size_t ranking_end(const struct ranking *ranking, const struct view_node **ranked)
{
    for (size_t i = 0; i < ranking->count; i++)
        ranked[i] = ranking->best[i].node;
    return ranking->count;
}

bool placement_candidate(const struct view_node *node, const char *pool)
{
    return view_node_gets_mail(node) && view_node_has_pool(node, pool);
}

static bool weights_differ(const struct view *view, bool shared)
{
    for (size_t i = 1; i < view->node_count; i++) {
        const struct view_node *first = &view->nodes[0], *node = &view->nodes[i];
        if (shared ? placement_shared_weight(node) != placement_shared_weight(first)
                   : node->weight != first->weight)
            return true;
    }
    return false;
}

size_t place(const struct view *view, const char *pool, const char *provider, const char *domain,
    const struct mail_id *message, const struct view_node **ranked, size_t max)
{
    (void)provider; /* lasting blocks of (source, provider) will be in the view */
    if (max == 0)
        return 0;
    struct placed what = placement_what(view_hot(view, domain), domain, strlen(domain), message);
    struct ranking ranking;
    ranking_start(&ranking, what, weights_differ(view, what.by_message), max);
    for (size_t i = 0; i < view->node_count; i++) {
        if (!placement_candidate(&view->nodes[i], pool))
            continue;
        struct candidate candidate = {.node = &view->nodes[i], .id_len = strlen(view->nodes[i].id)};
        if (what.by_message)
            candidate = placement_candidate_of(&view->nodes[i]);
        ranking_offer(&ranking, &candidate);
    }
    return ranking_end(&ranking, ranked);
}

const struct view_node *place_owner(const struct view *view, const char *pool, const char *provider,
    const char *domain, const struct mail_id *message)
{
    const struct view_node *owner = NULL;
    return place(view, pool, provider, domain, message, &owner, 1) == 1 ? owner : NULL;
}
