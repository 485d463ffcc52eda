/* balance - the steps, and what came out of them; see balance.h */
#include "cluster/balance.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "cluster/balance_inside.h"

#define LEAST_KNOWN 0.9   /* of the nodes */
#define LEAST_COUNTED 200 /* deliveries a node, on average: less says nothing */

struct balance {
    struct map cooling; /* domain -> usec_t *, since when it has been cool */
    struct balance_plan *plan;
    usec_t next;         /* not before */
    struct view *view;   /* the newest */
    struct view *before; /* before somebody came or left; null: nobody did */
    usec_t changed;      /* when the last one came or left */
    struct map loads;    /* as struct balance_step has them */
    double spent;        /* since `before` */
    double worst_before, worst_after;
};

struct balance *balance_new(void)
{
    return xcalloc(1, sizeof(struct balance));
}

void balance_forget(struct map *map)
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
    balance_forget(&b->cooling);
    balance_forget(&b->loads);
    view_drop(&b->view);
    view_drop(&b->before);
    balance_plan_free(&b->plan);
    free(b);
}

double balance_worst(const struct balance *balance, double *before_r)
{
    if (before_r != NULL)
        *before_r = balance->worst_before;
    return balance->worst_after;
}

struct balance_plan *balance_take_plan(struct balance *balance)
{
    struct balance_plan *plan = balance->plan;
    balance->plan = NULL;
    return plan;
}

/* ---- a step ---- */

/* Whether the same nodes get mail. */
static bool same_nodes(const struct view *a, const struct view *b)
{
    size_t count_a = 0, count_b = 0, both = 0;
    for (size_t i = 0; i < a->node_count; i++) {
        count_a += view_node_gets_mail(&a->nodes[i]);
        both += view_node_gets_mail(&a->nodes[i]) && balance_has(b, a->nodes[i].id);
    }
    for (size_t i = 0; i < b->node_count; i++)
        count_b += view_node_gets_mail(&b->nodes[i]);
    return count_a == both && count_b == both;
}

void balance_see(struct balance *balance, struct view *view, usec_t now)
{
    if (balance->view != NULL && !same_nodes(balance->view, view)) {
        if (balance->before == NULL || now - balance->changed >= BALANCE_LATELY) {
            view_drop(&balance->before);
            balance->before = view_hold(balance->view);
            balance->spent = 0;
        }
        balance->changed = now;
    }
    view_drop(&balance->view);
    balance->view = view_hold(view);
}

static void step_free(struct balance_step *step)
{
    for (size_t i = 0; i < step->count; i++)
        free(step->nodes[i].heats);
    free(step->nodes);
    free(step->gone);
    struct map_entry *at = NULL;
    for (const struct heat *heat; (heat = map_next(&step->heats, &at)) != NULL;)
        free(heat->places);
    balance_forget(&step->heats);
}

/* Whether the figures say enough. */
static bool tells(const struct balance_step *step)
{
    return step->count >= 2 && (double)step->known >= LEAST_KNOWN * (double)step->count &&
           step->counted >= LEAST_COUNTED;
}

/* To know what they had when they are gone. */
static void remember(struct balance *balance, const struct balance_step *step)
{
    balance_forget(&balance->loads);
    for (size_t i = 0; i < step->count; i++) {
        if (!step->nodes[i].known || step->nodes[i].target <= 0)
            continue;
        double *load = xmalloc(sizeof *load);
        *load = step->nodes[i].load / step->nodes[i].target;
        map_set_text(&balance->loads, step->nodes[i].node->id, load);
    }
}

/* With what is known. */
static void decide(struct balance *balance, struct balance_step *step, usec_t now)
{
    balance_find_hot(step, &balance->cooling, now);
    balance_spill(step);
    balance_set_shares(step);
    balance->spent = step->spent;
    balance->worst_before = step->worst_before;
    balance->worst_after = step->worst_after;
    balance->plan = balance_plan_of_step(step);
    if (!step->lately)
        remember(balance, step);
}

bool balance_step(struct balance *balance, struct view *view, const struct balance_report *reports,
    size_t count, usec_t now)
{
    balance_see(balance, view, now);
    if (now < balance->next)
        return false;
    balance_plan_free(&balance->plan);
    struct balance_step step = {.view = view,
        .lately = balance->before != NULL && now - balance->changed < BALANCE_LATELY,
        .loads = &balance->loads,
        .spent = balance->spent};
    balance_gather(&step, step.lately ? balance->before : NULL, reports, count);
    if (tells(&step))
        decide(balance, &step, now);
    step_free(&step);
    bool changes = balance->plan != NULL && balance_plan_differs(balance->plan, view);
    if (changes)
        balance->next = now + BALANCE_PACE;
    else
        balance_plan_free(&balance->plan);
    return changes;
}
