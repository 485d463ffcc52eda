/* view - see view.h */
#include "cluster/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/view_index.h"
#include "proto/wire.h"

struct view *view_new(uint64_t epoch)
{
    struct view *view = xcalloc(1, sizeof *view);
    atomic_init(&view->holders, 1);
    view->epoch = epoch;
    view->wire = wire_ours.most;
    return view;
}

struct view *view_hold(struct view *view)
{
    atomic_fetch_add_explicit(&view->holders, 1, memory_order_relaxed);
    return view;
}

void view_source_clear(struct view_source *source)
{
    for (size_t i = 0; i < source->pool_count; i++)
        free(source->pools[i]);
    free(source->pools);
    free(source->address);
    free(source->public_address);
    free(source->helo);
}

static void view_free(struct view *view)
{
    for (size_t i = 0; i < view->node_count; i++) {
        for (size_t j = 0; j < view->nodes[i].source_count; j++)
            view_source_clear(&view->nodes[i].sources[j]);
        free(view->nodes[i].sources);
        free(view->nodes[i].endpoint);
        free(view->nodes[i].rack);
    }
    for (size_t i = 0; i < view->coordinator_count; i++)
        free(view->coordinators[i].endpoint);
    for (size_t i = 0; i < view->hot_count; i++)
        free(view->hot[i].domain);
    free(view->hot);
    free(view->coordinators);
    free(view->taken);
    free(view->nodes);
    view_index_free(&view->index);
    free(view);
}

void view_drop(struct view **view)
{
    struct view *v = *view;
    *view = NULL;
    if (v == NULL)
        return;
    unsigned before = atomic_fetch_sub_explicit(&v->holders, 1, memory_order_acq_rel);
    must(before > 0);
    if (before == 1)
        view_free(v);
}

struct view_node *view_add_node(
    struct view *view, const char *id, const char *spool, uint64_t incarnation, uint32_t weight)
{
    must(view->node_count < VIEW_MAX_NODES && view->index == NULL);
    view->nodes = xrealloc(view->nodes, (view->node_count + 1) * sizeof *view->nodes);
    struct view_node *node = &view->nodes[view->node_count++];
    *node = (struct view_node){.incarnation = incarnation, .weight = weight};
    snprintf(node->id, sizeof node->id, "%s", id);
    snprintf(node->spool, sizeof node->spool, "%s", spool);
    return node;
}

void view_add_source(struct view_node *node, const char *address, const char *helo, const char *const *pools,
    size_t pool_count)
{
    node->sources = xrealloc(node->sources, (node->source_count + 1) * sizeof *node->sources);
    struct view_source *source = &node->sources[node->source_count++];
    *source = (struct view_source){.address = xstrdup(address), .helo = xstrdup(helo)};
    source->pools = xcalloc(pool_count, sizeof *source->pools);
    source->pool_count = pool_count;
    for (size_t i = 0; i < pool_count; i++)
        source->pools[i] = xstrdup(pools[i]);
}

int view_seal(struct view *view, struct error *error)
{
    must(view->index == NULL);
    view->index = view_index_new(view, error);
    return view->index == NULL ? -1 : 0;
}

const struct view_node *view_node(const struct view *view, const char *id)
{
    if (view->index != NULL)
        return view_index_node(view, id);
    for (size_t i = 0; i < view->node_count; i++)
        if (strcmp(view->nodes[i].id, id) == 0)
            return &view->nodes[i];
    return NULL;
}

const struct view_coordinator *view_coordinator(const struct view *view, const char *id)
{
    for (size_t i = 0; i < view->coordinator_count; i++)
        if (strcmp(view->coordinators[i].id, id) == 0)
            return &view->coordinators[i];
    return NULL;
}

static const struct view_node *home_of(const struct view *view, const char *spool)
{
    if (view->index != NULL)
        return view_index_spool(view, spool);
    for (size_t i = 0; i < view->node_count; i++)
        if (strcmp(view->nodes[i].spool, spool) == 0)
            return &view->nodes[i];
    return NULL;
}

const struct view_taken *view_taken(const struct view *view, const char *spool)
{
    if (view->index != NULL)
        return view_index_taken(view, spool);
    for (size_t i = 0; i < view->taken_count; i++)
        if (strcmp(view->taken[i].spool, spool) == 0)
            return &view->taken[i];
    return NULL;
}

const struct view_node *view_spool(const struct view *view, const char *spool, uint64_t *incarnation_r)
{
    const struct view_taken *taken = view_taken(view, spool);
    const struct view_node *node = taken == NULL ? home_of(view, spool) : view_node(view, taken->node);
    if (incarnation_r != NULL)
        *incarnation_r = node == NULL ? 0 : taken == NULL ? node->incarnation : taken->incarnation;
    return node;
}

bool view_node_gets_mail(const struct view_node *node)
{
    return node->weight > 0 && !node->draining && !node->down && node->source_count > 0;
}

bool view_node_has_pool(const struct view_node *node, const char *pool)
{
    for (size_t i = 0; i < node->source_count; i++)
        for (size_t j = 0; j < node->sources[i].pool_count; j++)
            if (strcmp(node->sources[i].pools[j], pool) == 0)
                return true;
    return false;
}

struct view_coordinator *view_add_coordinator(
    struct view *view, const char *id, uint64_t process, const char *endpoint)
{
    must(view->coordinator_count < VIEW_MAX_NODES && view->index == NULL);
    size_t count = view->coordinator_count++;
    view->coordinators = xrealloc(view->coordinators, (count + 1) * sizeof *view->coordinators);
    struct view_coordinator *added = &view->coordinators[count];
    *added = (struct view_coordinator){.process = process};
    snprintf(added->id, sizeof added->id, "%s", id);
    added->endpoint = endpoint == NULL ? NULL : xstrdup(endpoint);
    return added;
}

void view_set_endpoint(struct view_node *node, const char *endpoint)
{
    free(node->endpoint);
    node->endpoint = endpoint == NULL ? NULL : xstrdup(endpoint);
}

void view_add_hot(struct view *view, const char *domain, uint32_t parts)
{
    must(view->hot_count < VIEW_MAX_HOT && view->index == NULL && parts <= VIEW_MAX_PARTS);
    must(view->hot_count == 0 || strcmp(view->hot[view->hot_count - 1].domain, domain) < 0);
    view->hot = xrealloc(view->hot, (view->hot_count + 1) * sizeof *view->hot);
    view->hot[view->hot_count++] = (struct view_hot){xstrdup(domain), parts};
}

static int by_domain(const void *domain, const void *hot)
{
    return strcmp(domain, ((const struct view_hot *)hot)->domain);
}

const struct view_hot *view_hot(const struct view *view, const char *domain)
{
    return view->hot_count == 0 ? NULL
                                : bsearch(domain, view->hot, view->hot_count, sizeof *view->hot, by_domain);
}

void view_add_taken(struct view *view, const char *spool, const char *node, uint64_t incarnation)
{
    must(view->taken_count < VIEW_MAX_NODES && view->index == NULL);
    view->taken = xrealloc(view->taken, (view->taken_count + 1) * sizeof *view->taken);
    struct view_taken *taken = &view->taken[view->taken_count++];
    *taken = (struct view_taken){.incarnation = incarnation};
    snprintf(taken->spool, sizeof taken->spool, "%s", spool);
    snprintf(taken->node, sizeof taken->node, "%s", node);
}
