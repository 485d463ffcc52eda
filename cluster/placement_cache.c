/* placement_cache - place() with a memory, see placement.h
 *
 * Owners stand in a table with a few slots for each hash; when all of them are taken, one after the other
 * makes room for what comes later. Nothing is cleared when the view changes: each slot says of which one it
 * is. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/map.h"
#include "cluster/placement_inside.h"

#define SLOTS 65536
#define WAYS 4         /* slots a hash */
#define MAX_POOLS 4096 /* remembered; names of more are worked out each time */

/* Who may take a pool. */
struct pool {
    uint64_t key;                   /* names it in the table */
    bool weighted, shared_weighted; /* the weights differ; those of messages do */
    size_t count;
    struct candidate candidates[];
};

struct slot {
    uint64_t pool; /* the pool's key, which never comes again under another view; 0 = nothing yet */
    uint64_t hash; /* of the domain */
    char *domain;
    size_t room;   /* for the domain's name */
    uint32_t part; /* as struct placed has it */
    const struct view_hot
        *hot; /* of a whole domain: how it is split; its owner is then asked for no message */
    const struct view_node *owner;
};

struct placement {
    struct view *view;
    struct map pools;           /* name -> struct pool */
    uint64_t last_key, old_key; /* of pools; up to old_key: of former views */
    unsigned turn;              /* whose slot is taken next */
    uint64_t hash_key;
    struct slot *slots;
};

struct placement *placement_new(void)
{
    struct placement *placement = xcalloc(1, sizeof *placement);
    placement->hash_key = hash_process_key();
    placement->slots = xcalloc(SLOTS, sizeof *placement->slots);
    return placement;
}

static void forget_pools(struct placement *placement)
{
    struct map_entry *at = NULL;
    for (struct pool *pool; (pool = map_next(&placement->pools, &at)) != NULL;)
        free(pool);
    map_free(&placement->pools);
}

void placement_free(struct placement **placement)
{
    struct placement *p = *placement;
    *placement = NULL;
    if (p == NULL)
        return;
    forget_pools(p);
    for (size_t i = 0; i < SLOTS; i++)
        free(p->slots[i].domain);
    free(p->slots);
    view_drop(&p->view);
    free(p);
}

void placement_set_view(struct placement *placement, struct view *view)
{
    forget_pools(placement);
    placement->old_key = placement->last_key;
    view_hold(view);
    view_drop(&placement->view);
    placement->view = view;
}

const struct view *placement_view(const struct placement *placement)
{
    return placement->view;
}

static struct pool *pool_new(struct placement *placement, const char *name)
{
    const struct view *view = placement->view;
    struct pool *pool = xcalloc(1, sizeof *pool + view->node_count * sizeof pool->candidates[0]);
    pool->key = ++placement->last_key;
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *node = &view->nodes[i];
        if (!placement_candidate(node, name))
            continue;
        pool->candidates[pool->count++] = placement_candidate_of(node);
        const struct view_node *first = pool->candidates[0].node;
        pool->weighted |= node->weight != first->weight;
        pool->shared_weighted |= placement_shared_weight(node) != placement_shared_weight(first);
    }
    /* Many names, few candidates each: only what is used is kept. */
    pool = xrealloc(pool, sizeof *pool + pool->count * sizeof pool->candidates[0]);
    map_set_text(&placement->pools, name, pool);
    return pool;
}

/* Null: there are too many to remember. */
static struct pool *pool_get(struct placement *placement, const char *name)
{
    struct pool *pool = map_get_text(&placement->pools, name);
    if (pool == NULL && map_count(&placement->pools) < MAX_POOLS)
        pool = pool_new(placement, name);
    return pool;
}

static size_t rank(const struct pool *pool, struct placed what, const struct view_node **ranked, size_t max)
{
    struct ranking ranking;
    if (max == 0)
        return 0;
    ranking_start(&ranking, what, what.by_message ? pool->shared_weighted : pool->weighted, max);
    for (size_t i = 0; i < pool->count; i++)
        ranking_offer(&ranking, &pool->candidates[i]);
    return ranking_end(&ranking, ranked);
}

size_t placement_rank(struct placement *placement, const char *pool, const char *provider, const char *domain,
    const struct mail_id *message, const struct view_node **ranked, size_t max)
{
    const struct view *view = placement->view;
    if (view == NULL)
        return 0;
    const struct pool *known = pool_get(placement, pool);
    if (known == NULL)
        return place(view, pool, provider, domain, message, ranked, max);
    return rank(known, placement_what(view_hot(view, domain), domain, strlen(domain), message), ranked, max);
}

/* Where the owner of the domain, or of its part, stands; else the slot that it gets, whose pool is then 0. */
static struct slot *find(
    struct placement *placement, const struct pool *pool, const char *domain, size_t len, uint32_t part)
{
    uint64_t hash = hash64((placement->hash_key ^ pool->key) + ((uint64_t)part << 32), domain, len);
    struct slot *slots = &placement->slots[hash % (SLOTS / WAYS) * WAYS], *unused = NULL;
    for (size_t i = 0; i < WAYS; i++) {
        struct slot *slot = &slots[i];
        if (slot->hash == hash && slot->pool == pool->key && slot->part == part &&
            strcmp(slot->domain, domain) == 0)
            return slot;
        if (slot->pool <= placement->old_key)
            unused = slot;
    }
    if (unused == NULL)
        unused = &slots[placement->turn++ % WAYS];
    unused->hash = hash;
    unused->pool = 0;
    return unused;
}

static void remember(
    struct slot *slot, const struct pool *pool, const char *domain, size_t len, uint32_t part)
{
    if (slot->room <= len) {
        free(slot->domain);
        slot->room = (len + 16) / 16 * 16;
        slot->domain = xmalloc(slot->room);
    }
    memcpy(slot->domain, domain, len + 1);
    slot->pool = pool->key;
    slot->part = part;
    slot->hot = NULL;
}

static const struct slot *domain_slot(
    struct placement *placement, const struct pool *pool, const char *domain, size_t len)
{
    struct slot *slot = find(placement, pool, domain, len, 0);
    if (slot->pool == 0) {
        remember(slot, pool, domain, len, 0);
        rank(pool, placement_what(NULL, domain, len, NULL), &slot->owner, 1);
        slot->hot = view_hot(placement->view, domain);
    }
    return slot;
}

static const struct view_node *owner_of_one(struct placement *placement, const struct pool *pool,
    const struct view_hot *hot, const struct mail_id *message)
{
    const struct view_node *owner = NULL;
    size_t len = strlen(hot->domain);
    struct placed what = placement_what(hot, hot->domain, len, message);
    if (what.by_message) {
        rank(pool, what, &owner, 1);
        return owner;
    }
    struct slot *slot = find(placement, pool, hot->domain, len, what.part);
    if (slot->pool == 0) {
        remember(slot, pool, hot->domain, len, what.part);
        rank(pool, what, &slot->owner, 1);
    }
    return slot->owner;
}

const struct view_node *placement_owner(struct placement *placement, const char *pool, const char *provider,
    const char *domain, const struct mail_id *message)
{
    if (placement->view == NULL)
        return NULL;
    const struct pool *known = pool_get(placement, pool);
    if (known == NULL)
        return place_owner(placement->view, pool, provider, domain, message);
    if (known->count == 0)
        return NULL;
    const struct slot *slot = domain_slot(placement, known, domain, strlen(domain));
    return slot->hot == NULL || message == NULL ? slot->owner
                                                : owner_of_one(placement, known, slot->hot, message);
}

bool placement_may_stay(
    const struct placement *placement, const char *pool, const char *domain, const char *node)
{
    const struct view *view = placement->view;
    if (view == NULL || view_hot(view, domain) == NULL)
        return false;
    const struct view_node *holder = view_node(view, node);
    return holder != NULL && placement_candidate(holder, pool);
}
