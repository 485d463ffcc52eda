/* balance_share - who gets how much of what is placed message by message; see balance.h
 *
 * Nodes with the same pools are a group. Each has a rest (whole domains and parts), which is where it is, and a part of
 * the group's hot mail as its weight times its share says. Whoever would be above its bound is capped; what the capped
 * don't take falls to the others in proportion, which needs no other number for any of them. */
#include <math.h>

#include "cluster/balance_inside.h"

#define LEAST_HOT 0.01   /* of what a group has to do: below, shares steer nothing */
#define LEAST_SHARE 0.02 /* of what its weight says: so that it can be seen what would come */
#define ROUNDS 60        /* of halving: more than a double's digits need */

struct group {
    struct balance_step *step;
    uint64_t pools;
    double weight, rate, hot, shares; /* sums; shares: of weight times share */
    double counted;
    size_t count;
};

static bool is_in(const struct group *group, const struct balance_node *node)
{
    return node->known && node->pools == group->pools;
}

static void sum_up(struct group *group)
{
    for (size_t i = 0; i < group->step->count; i++) {
        const struct balance_node *node = &group->step->nodes[i];
        if (!is_in(group, node))
            continue;
        group->count++;
        group->weight += node->weight;
        group->shares += node->weight * node->share;
        group->rate += node->rate;
        group->hot += node->hot;
        group->counted += node->rate * node->span;
    }
}

/* `before`: groups up to this node were looked at. */
static bool is_first_of_group(const struct balance_step *step, size_t at)
{
    if (!step->nodes[at].known)
        return false;
    for (size_t i = 0; i < at; i++)
        if (step->nodes[i].known && step->nodes[i].pools == step->nodes[at].pools)
            return false;
    return true;
}

/* ---- rests ---- */

/* What a domain that is split only now will leave at each: its parts, as many as its weight says. */
static double spread_sum(const struct balance_step *step)
{
    double sum = 0;
    struct map_entry *at = NULL;
    for (const struct heat *heat; (heat = map_next(&step->heats, &at)) != NULL;)
        if (heat->hot && !heat->single && heat->was == NULL)
            sum += heat->rate;
    return sum;
}

void balance_set_rests(struct balance_step *step)
{
    double weights = 0, spread = spread_sum(step);
    for (size_t i = 0; i < step->count; i++)
        if (step->nodes[i].known)
            weights += step->nodes[i].weight;
    for (size_t i = 0; i < step->count; i++) {
        struct balance_node *node = &step->nodes[i];
        node->hot = 0;
        node->rest = node->rate + (node->known ? spread * node->weight / weights : 0);
        for (size_t j = 0; j < node->heat_count; j++) {
            const struct heat *heat = node->heats[j].heat;
            if (heat->single)
                node->hot += node->heats[j].rate;
            if (heat->single || (heat->hot && heat->was == NULL))
                node->rest -= node->heats[j].rate;
        }
        if (node->rest < 0) /* it has been rounded */
            node->rest = 0;
    }
}

/* ---- shares ---- */

static double expected(const struct group *group, const struct balance_node *node)
{
    return node->rest + group->hot * node->weight * node->share / group->shares;
}

static double worst(const struct group *group)
{
    double most = 0;
    for (size_t i = 0; i < group->step->count; i++) {
        const struct balance_node *node = &group->step->nodes[i];
        if (is_in(group, node) && node->target > 0 && expected(group, node) > most * node->target)
            most = expected(group, node) / node->target;
    }
    return most;
}

/* A few deliveries say little: twice the deviation of chance is borne. */
static double act_from(const struct group *group)
{
    return BALANCE_ACT + (group->counted > 0 ? 2 / sqrt(group->counted / (double)group->count) : 0);
}

/* The most it may have of the hot mail. When something must be done, everybody is brought down to the bound: those left
 * just below what is borne would be lowered many at a time when the next node comes or goes. */
static double cap(const struct group *group, const struct balance_node *node)
{
    return fmax(
        BALANCE_BOUND * node->target - node->rest, LEAST_SHARE * group->hot * node->weight / group->weight);
}

/* What all take together when everybody's part is `factor` times what it is now, but for the caps. */
static double taken(const struct group *group, double factor)
{
    double sum = 0;
    for (size_t i = 0; i < group->step->count; i++) {
        const struct balance_node *node = &group->step->nodes[i];
        if (is_in(group, node))
            sum += fmin(factor * group->hot * node->weight * node->share / group->shares, cap(group, node));
    }
    return sum;
}

static double find_factor(const struct group *group)
{
    double low = 1, high = 2;
    while (taken(group, high) < group->hot && high < 1e9)
        high *= 2;
    for (int i = 0; i < ROUNDS; i++) {
        double middle = (low + high) / 2;
        *(taken(group, middle) < group->hot ? &low : &high) = middle;
    }
    return high;
}

static void set_caps(struct group *group)
{
    double factor = find_factor(group), shares = 0;
    for (size_t i = 0; i < group->step->count; i++) {
        struct balance_node *node = &group->step->nodes[i];
        if (!is_in(group, node))
            continue;
        double most = cap(group, node);
        if (factor * group->hot * node->weight * node->share / group->shares > most) {
            node->share = most * group->shares / (factor * group->hot * node->weight);
            node->changed = true;
        }
        shares += node->weight * node->share;
    }
    group->shares = shares;
}

/* Caps only lower: before the numbers have become small, all are raised alike, which moves nothing. */
static void raise_all(struct group *group)
{
    double factor = group->weight / group->shares;
    if (factor < 2)
        return;
    for (size_t i = 0; i < group->step->count; i++) {
        struct balance_node *node = &group->step->nodes[i];
        if (!is_in(group, node))
            continue;
        node->share *= factor;
        node->changed = true;
    }
    group->shares = group->weight;
}

void balance_set_shares(struct balance_step *step)
{
    for (size_t i = 0; i < step->count; i++) {
        if (!is_first_of_group(step, i))
            continue;
        struct group group = {.step = step, .pools = step->nodes[i].pools};
        sum_up(&group);
        if (group.count < 2 || group.rate <= 0 || group.shares <= 0)
            continue;
        step->worst_before = fmax(step->worst_before, worst(&group));
        if (worst(&group) > act_from(&group) && group.hot > LEAST_HOT * group.rate) {
            set_caps(&group);
            raise_all(&group);
        }
        step->worst_after = fmax(step->worst_after, worst(&group));
    }
}
