/* placement_cache - place() with a memory, see placement.h
 *
 * Owners stand in a table with one place a hash: what comes later to a place takes it. Nothing is cleared
 * when the view changes, each entry says of which one it is. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/map.h"
#include "cluster/placement_inside.h"

#define SLOTS 65536
#define MAX_POOLS 4096 /* remembered; names of more are worked out each time */

/* Who may take a pool. */
struct pool {
    uint64_t key; /* of its owners in the table */
    bool weighted;
    size_t count;
    struct candidate {
        const struct view_node *node;
        size_t id_len;
    } candidates[];
};

struct slot {
    uint64_t pool; /* the pool's key, which never comes again under another view; 0 = nothing yet */
    char *domain;
    size_t room; /* for the domain's name */
    const struct view_node *owner;
};

struct placement {
    struct view *view;
    struct map pools;  /* name -> struct pool */
    uint64_t next_key; /* of a pool */
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
    pool->key = ++placement->next_key;
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *node = &view->nodes[i];
        if (!placement_candidate(node, name))
            continue;
        pool->weighted |= pool->count > 0 && node->weight != pool->candidates[0].node->weight;
        pool->candidates[pool->count++] = (struct candidate){node, strlen(node->id)};
    }
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

static size_t rank(const struct pool *pool, const char *domain, const struct view_node **ranked, size_t max)
{
    struct ranking ranking;
    if (max == 0)
        return 0;
    ranking_start(&ranking, domain, pool->weighted, max);
    for (size_t i = 0; i < pool->count; i++)
        ranking_offer(&ranking, pool->candidates[i].node, pool->candidates[i].id_len);
    return ranking_end(&ranking, ranked);
}

size_t placement_rank(struct placement *placement, const char *pool, const char *provider, const char *domain,
    const struct view_node **ranked, size_t max)
{
    if (placement->view == NULL)
        return 0;
    const struct pool *known = pool_get(placement, pool);
    return known == NULL ? place(placement->view, pool, provider, domain, ranked, max)
                         : rank(known, domain, ranked, max);
}

static void remember(
    struct slot *slot, const struct pool *pool, const char *domain, size_t len, const struct view_node *owner)
{
    if (slot->room <= len) {
        free(slot->domain);
        slot->room = (len + 16) / 16 * 16;
        slot->domain = xmalloc(slot->room);
    }
    memcpy(slot->domain, domain, len + 1);
    slot->pool = pool->key;
    slot->owner = owner;
}

const struct view_node *placement_owner(
    struct placement *placement, const char *pool, const char *provider, const char *domain)
{
    if (placement->view == NULL)
        return NULL;
    const struct pool *known = pool_get(placement, pool);
    if (known == NULL)
        return place_owner(placement->view, pool, provider, domain);
    size_t len = strlen(domain);
    struct slot *slot = &placement->slots[hash64(placement->hash_key ^ known->key, domain, len) % SLOTS];
    if (slot->pool == known->key && strcmp(slot->domain, domain) == 0)
        return slot->owner;
    const struct view_node *owner = NULL;
    if (rank(known, domain, &owner, 1) == 0)
        return NULL;
    remember(slot, known, domain, len, owner);
    return owner;
}
