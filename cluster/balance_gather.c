/* balance_gather - what the nodes say, side by side with the view; see balance.h */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "cluster/balance_inside.h"

bool balance_has(const struct view *view, const char *id)
{
    const struct view_node *node = view_node(view, id);
    return node != NULL && view_node_gets_mail(node);
}

/* The same for the same set of names, in whatever order and however often they come. */
static uint64_t pools_of(const struct view_node *node)
{
    uint64_t all = 0;
    struct map seen = {0};
    for (size_t i = 0; i < node->source_count; i++)
        for (size_t j = 0; j < node->sources[i].pool_count; j++) {
            const char *name = node->sources[i].pools[j];
            if (map_set_text(&seen, name, (void *)name) == NULL)
                all += hash64(1, name, strlen(name));
        }
    map_free(&seen);
    return all;
}

static struct heat *heat_of(struct balance_step *step, const char *domain)
{
    struct heat *heat = map_get_text(&step->heats, domain);
    if (heat != NULL)
        return heat;
    heat = xcalloc(1, sizeof *heat);
    heat->domain = domain;
    heat->was = view_hot(step->view, domain);
    map_set_text(&step->heats, domain, heat);
    return heat;
}

static void take_report(
    struct balance_step *step, struct balance_node *node, const struct balance_report *report)
{
    node->rate = report->rate;
    node->span = report->span;
    node->known = report->span >= BALANCE_SPAN;
    if (!node->known)
        return;
    node->heats = xcalloc(report->domain_count, sizeof *node->heats);
    node->heat_count = report->domain_count;
    for (size_t i = 0; i < report->domain_count; i++) {
        struct heat *heat = heat_of(step, report->domains[i].domain);
        node->heats[i] = (struct heat_at){heat, report->domains[i].rate};
        heat->rate += report->domains[i].rate;
        if (heat->home == NULL || report->domains[i].rate > heat->most)
            heat->home = node;
        heat->most = fmax(heat->most, report->domains[i].rate);
    }
}

/* Who left since then. */
static void find_gone(struct balance_step *step, const struct view *before)
{
    step->gone = xcalloc(before->node_count + 1, sizeof *step->gone);
    for (size_t i = 0; i < before->node_count; i++) {
        const struct view_node *node = &before->nodes[i];
        if (!view_node_gets_mail(node) || balance_has(step->view, node->id))
            continue;
        step->gone[step->gone_count++] = (struct balance_node){
            .node = node, .candidate = placement_candidate_of(node), .pools = pools_of(node)};
        step->weighted |= node->weight != step->nodes[0].node->weight;
    }
}

static void add_node(struct balance_step *step, const struct view *before, const struct view_node *from,
    const struct balance_report *report)
{
    struct balance_node *node = &step->nodes[step->count++];
    node->node = from;
    node->candidate = placement_candidate_of(from);
    node->pools = pools_of(from);
    node->is_new = before != NULL && !balance_has(before, from->id);
    node->weight = from->weight;
    node->share = (double)balance_share_of(from) / VIEW_SHARE;
    step->weighted |= from->weight != step->nodes[0].node->weight;
    if (report != NULL)
        take_report(step, node, report);
    step->known += node->known;
}

static void set_targets(struct balance_step *step)
{
    double rate = 0, counted = 0;
    for (size_t i = 0; i < step->count; i++) {
        struct balance_node *node = &step->nodes[i];
        if (!node->known)
            continue;
        rate += node->rate;
        counted += node->rate * node->span;
        double group = 0, weights = 0;
        for (size_t j = 0; j < step->count; j++)
            if (step->nodes[j].known && step->nodes[j].pools == node->pools) {
                group += step->nodes[j].rate;
                weights += step->nodes[j].weight;
            }
        node->target = group * node->weight / weights;
    }
    step->mean = rate / (double)step->known;
    step->counted = counted / (double)step->known;
    /* A few deliveries say little: twice the deviation of chance is borne. */
    step->act = BALANCE_ACT + (step->counted > 0 ? 2 / sqrt(step->counted) : 0);
    step->bound = step->act - BALANCE_GAP;
}

void balance_gather(
    struct balance_step *step, const struct view *before, const struct balance_report *reports, size_t count)
{
    struct map by_node = {0};
    for (size_t i = 0; i < count; i++)
        map_set_text(&by_node, reports[i].node, (void *)&reports[i]);
    for (size_t i = 0; i < step->view->hot_count; i++) /* also what nobody has anything of */
        heat_of(step, step->view->hot[i].domain);
    step->nodes = xcalloc(step->view->node_count + 1, sizeof *step->nodes);
    for (size_t i = 0; i < step->view->node_count; i++) {
        const struct view_node *from = &step->view->nodes[i];
        if (view_node_gets_mail(from))
            add_node(step, before, from, map_get_text(&by_node, from->id));
    }
    map_free(&by_node);
    if (before != NULL)
        find_gone(step, before);
    if (step->known > 0)
        set_targets(step);
}
