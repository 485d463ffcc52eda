/* balance - the steps, and what came out of them; see balance.h */
#include "cluster/balance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/panic.h"
#include "cluster/balance_inside.h"

#define LEAST_KNOWN 0.9   /* of the nodes */
#define LEAST_COUNTED 200 /* deliveries a node, on average: less says nothing */

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

struct balance {
    struct map cooling; /* domain -> usec_t *, since when it has been cool */
    struct balance_plan *plan;
    usec_t next; /* not before */
    double worst_before, worst_after;
};

struct balance *balance_new(void)
{
    return xcalloc(1, sizeof(struct balance));
}

static void free_all(struct map *map)
{
    struct map_entry *at = NULL;
    for (void *value; (value = map_next(map, &at)) != NULL;)
        free(value);
    map_free(map);
}

void balance_free(struct balance **balance)
{
    struct balance *b = *balance;
    *balance = NULL;
    if (b == NULL)
        return;
    free_all(&b->cooling);
    balance_plan_free(&b->plan);
    free(b);
}

double balance_worst(const struct balance *balance, double *before_r)
{
    if (before_r != NULL)
        *before_r = balance->worst_before;
    return balance->worst_after;
}

/* ---- plans ---- */

void balance_plan_free(struct balance_plan **plan)
{
    struct balance_plan *p = *plan;
    *plan = NULL;
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->hot_count; i++)
        free(p->hot[i].domain);
    free_all(&p->shares);
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

static uint32_t share_of(const struct view_node *node)
{
    return node->share == 0 ? VIEW_SHARE : node->share;
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
        plan_share(plan, view->nodes[i].id, share_of(&view->nodes[i]));
    set_mean(plan, view);
    return plan;
}

void balance_plan_apply(const struct balance_plan *plan, struct view *view)
{
    for (size_t i = 0; i < view->node_count; i++) {
        const struct plan_node *entry = map_get_text(&plan->shares, view->nodes[i].id);
        uint32_t share = entry != NULL         ? entry->share
                         : plan->hot_count > 0 ? plan->mean - plan->mean / 4
                                               : plan->mean;
        view->nodes[i].share =
            share == VIEW_SHARE ? 0 : share; /* what need not be said makes no other view */
    }
    for (size_t i = 0; i < plan->hot_count; i++)
        view_add_hot(view, plan->hot[i].domain, plan->hot[i].parts);
}

struct balance_plan *balance_take_plan(struct balance *balance)
{
    struct balance_plan *plan = balance->plan;
    balance->plan = NULL;
    return plan;
}

/* ---- a step ---- */

static bool may_get_mail(const struct view_node *node)
{
    return node->weight > 0 && !node->draining && !node->down && node->source_count > 0;
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
    }
}

static void gather(struct balance_step *step, const struct balance_report *reports, size_t count)
{
    struct map by_node = {0};
    for (size_t i = 0; i < count; i++)
        map_set_text(&by_node, reports[i].node, (void *)&reports[i]);
    for (size_t i = 0; i < step->view->hot_count; i++) /* also what nobody has anything of */
        heat_of(step, step->view->hot[i].domain);
    step->nodes = xcalloc(step->view->node_count + 1, sizeof *step->nodes);
    for (size_t i = 0; i < step->view->node_count; i++) {
        const struct view_node *from = &step->view->nodes[i];
        if (!may_get_mail(from))
            continue;
        struct balance_node *node = &step->nodes[step->count++];
        node->node = from;
        node->pools = pools_of(from);
        node->weight = from->weight;
        node->share = (double)share_of(from) / VIEW_SHARE;
        const struct balance_report *report = map_get_text(&by_node, from->id);
        if (report != NULL)
            take_report(step, node, report);
        step->known += node->known;
    }
    map_free(&by_node);
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
}

static void step_free(struct balance_step *step)
{
    for (size_t i = 0; i < step->count; i++)
        free(step->nodes[i].heats);
    free(step->nodes);
    free_all(&step->heats);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct view_hot *)a)->domain, ((const struct view_hot *)b)->domain);
}

static struct balance_plan *plan_of_step(const struct balance_step *step)
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
        double share = now == NULL ? share_of(node) : now->share * VIEW_SHARE;
        plan_share(plan, node->id, share < 1 ? 1 : share > VIEW_MAX_SHARE ? VIEW_MAX_SHARE : (uint32_t)share);
    }
    map_free(&decided);
    set_mean(plan, step->view);
    return plan;
}

static bool differs(const struct balance_plan *plan, const struct view *view)
{
    if (plan->hot_count != view->hot_count)
        return true;
    for (size_t i = 0; i < plan->hot_count; i++)
        if (strcmp(plan->hot[i].domain, view->hot[i].domain) != 0 || plan->hot[i].parts != view->hot[i].parts)
            return true;
    for (size_t i = 0; i < view->node_count; i++) {
        const struct plan_node *entry = map_get_text(&plan->shares, view->nodes[i].id);
        if (entry->share != share_of(&view->nodes[i]))
            return true;
    }
    return false;
}

/* Whether the figures say enough. */
static bool tells(const struct balance_step *step)
{
    return step->count >= 2 && (double)step->known >= LEAST_KNOWN * (double)step->count &&
           step->counted >= LEAST_COUNTED;
}

bool balance_step(struct balance *balance, const struct view *view, const struct balance_report *reports,
    size_t count, usec_t now)
{
    struct balance_step step = {.view = view};
    if (now < balance->next)
        return false;
    balance_plan_free(&balance->plan);
    gather(&step, reports, count);
    if (step.known > 0)
        set_targets(&step);
    bool changes = tells(&step);
    if (changes) {
        balance_find_hot(&step, &balance->cooling, now);
        balance_set_shares(&step);
        balance->worst_before = step.worst_before;
        balance->worst_after = step.worst_after;
        balance->plan = plan_of_step(&step);
        changes = differs(balance->plan, view);
    }
    if (changes)
        balance->next = now + BALANCE_PACE;
    else
        balance_plan_free(&balance->plan);
    step_free(&step);
    return changes;
}
