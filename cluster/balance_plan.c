/* balance_plan - what the next view is to say of hot domains and shares; see balance.h */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/balance_inside.h"

#define NEWCOMER 10 /* one that comes gets less by one in so many: what whole domains come to it is chance */

struct plan_node {
    char id[MEMBER_ID_SIZE];
    uint32_t share;
};

struct balance_plan {
    struct view_hot hot[VIEW_MAX_HOT];
    size_t hot_count;
    struct map shares; /* id -> struct plan_node */
    uint32_t mean;
};

void balance_plan_free(struct balance_plan **plan)
{
    struct balance_plan *p = *plan;
    *plan = NULL;
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->hot_count; i++)
        free(p->hot[i].domain);
    balance_forget(&p->shares);
    free(p);
}

static void plan_hot(struct balance_plan *plan, const char *domain, uint32_t parts)
{
    must(plan->hot_count < VIEW_MAX_HOT);
    plan->hot[plan->hot_count++] = (struct view_hot){xstrdup(domain), parts};
}

static void plan_share(struct balance_plan *plan, const char *node, uint32_t share)
{
    struct plan_node *entry = xcalloc(1, sizeof *entry);
    snprintf(entry->id, sizeof entry->id, "%s", node);
    entry->share = share;
    must(map_set_text(&plan->shares, entry->id, entry) == NULL);
}

static void set_mean(struct balance_plan *plan, const struct view *view)
{
    double weights = 0, sum = 0;
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *node = &view->nodes[i];
        const struct plan_node *entry = map_get_text(&plan->shares, node->id);
        weights += node->weight;
        sum += (double)node->weight * (entry == NULL ? VIEW_SHARE : entry->share);
    }
    plan->mean = weights > 0 && sum >= weights ? (uint32_t)(sum / weights) : VIEW_SHARE;
}

struct balance_plan *balance_plan_of(const struct view *view)
{
    struct balance_plan *plan = xcalloc(1, sizeof *plan);
    for (size_t i = 0; i < view->hot_count; i++)
        plan_hot(plan, view->hot[i].domain, view->hot[i].parts);
    for (size_t i = 0; i < view->node_count; i++)
        plan_share(plan, view->nodes[i].id, balance_share_of(&view->nodes[i]));
    set_mean(plan, view);
    return plan;
}

void balance_plan_apply(const struct balance_plan *plan, struct view *view)
{
    for (size_t i = 0; i < view->node_count; i++) {
        const struct plan_node *entry = map_get_text(&plan->shares, view->nodes[i].id);
        uint32_t share = entry != NULL         ? entry->share
                         : plan->hot_count > 0 ? plan->mean - plan->mean / NEWCOMER
                                               : plan->mean;
        view->nodes[i].share =
            share == VIEW_SHARE ? 0 : share; /* what need not be said makes no other view */
    }
    for (size_t i = 0; i < plan->hot_count; i++)
        view_add_hot(view, plan->hot[i].domain, plan->hot[i].parts);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct view_hot *)a)->domain, ((const struct view_hot *)b)->domain);
}

struct balance_plan *balance_plan_of_step(const struct balance_step *step)
{
    struct balance_plan *plan = xcalloc(1, sizeof *plan);
    struct map_entry *at = NULL;
    for (const struct heat *heat; (heat = map_next(&step->heats, &at)) != NULL;)
        if (heat->hot)
            plan_hot(plan, heat->domain, heat->single ? 0 : heat->parts);
    qsort(plan->hot, plan->hot_count, sizeof plan->hot[0], by_name);
    struct map decided = {0};
    for (size_t i = 0; i < step->count; i++)
        if (step->nodes[i].changed)
            map_set_text(&decided, step->nodes[i].node->id, (void *)&step->nodes[i]);
    for (size_t i = 0; i < step->view->node_count; i++) {
        const struct view_node *node = &step->view->nodes[i];
        const struct balance_node *now = map_get_text(&decided, node->id);
        double share = now == NULL ? balance_share_of(node) : now->share * VIEW_SHARE;
        plan_share(plan, node->id,
            share < 1                ? 1
            : share > VIEW_MAX_SHARE ? VIEW_MAX_SHARE
                                     : (uint32_t)lround(share));
    }
    map_free(&decided);
    set_mean(plan, step->view);
    return plan;
}

bool balance_plan_differs(const struct balance_plan *plan, const struct view *view)
{
    if (plan->hot_count != view->hot_count)
        return true;
    for (size_t i = 0; i < plan->hot_count; i++)
        if (strcmp(plan->hot[i].domain, view->hot[i].domain) != 0 || plan->hot[i].parts != view->hot[i].parts)
            return true;
    for (size_t i = 0; i < view->node_count; i++) {
        const struct plan_node *entry = map_get_text(&plan->shares, view->nodes[i].id);
        if (entry->share != balance_share_of(&view->nodes[i]))
            return true;
    }
    return false;
}
