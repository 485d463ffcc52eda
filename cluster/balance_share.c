/* balance_share - who gets how much of what is placed message by message; see balance.h
 *
 * Nodes with the same pools are a group. Each has a rest (whole domains and parts), which is where it is, and a part of
 * the group's hot mail as its weight times its share says. Whoever has too much is capped; what the capped don't take
 * falls to the others in proportion, which needs no other number for any of them.
 *
 * Nobody else is touched, but for two cases. When most of the hot mail is so only now, it moves anyway, and is poured in
 * evenly. And when a node left with little, or came and got little, what is left of its part is spent on those with most:
 * so few are near the bound when the next one leaves, and it moves no more than its own. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/balance_inside.h"

#define LEAST_HOT 0.01   /* of what a group has to do: below, shares steer nothing */
#define LEAST_SHARE 0.02 /* of what its weight says: so that it can be seen what would come */
#define FRESH 0.25       /* of the hot mail: is poured in evenly if so much was not hot before */
#define WORTH 0.02       /* a node's load: less is not spent */
#define STEADY 0.005     /* of a target: who is in between may get so much more */
#define ROUNDS 60        /* of halving: more than a double's digits need */
#define LEVEL_ROUNDS 12

struct group {
    struct balance_step *step;
    uint64_t pools;
    double weight, rate, hot, shares; /* sums; shares: of weight times share */
    double level;                     /* times its target: what is left to spend brings all down to it */
    bool fill;                        /* as if nothing had been placed yet */
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

/* ---- what is expected ---- */

/* What is split only now will be with other nodes than it was counted at. */
static void place_parts(struct balance_step *step, struct heat *heat)
{
    size_t len = strlen(heat->domain);
    if (heat->places == NULL) {
        heat->places = xcalloc(heat->parts, sizeof(struct balance_node *));
        for (uint32_t i = 0; i < heat->parts; i++)
            heat->places[i] = balance_place(step, heat->home, placement_key(heat->domain, len, i + 1));
    }
    for (uint32_t i = 0; i < heat->parts; i++)
        heat->places[i]->rest += heat->rate / heat->parts;
}

static void set_rests(struct balance_step *step)
{
    for (size_t i = 0; i < step->count; i++) {
        struct balance_node *node = &step->nodes[i];
        node->hot = 0;
        node->rest = node->rate;
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
    struct map_entry *at = NULL;
    for (struct heat *heat; (heat = map_next(&step->heats, &at)) != NULL;)
        if (heat->hot && !heat->single && heat->was == NULL)
            place_parts(step, heat);
}

static double expected(const struct group *group, const struct balance_node *node)
{
    return node->rest + group->hot * node->weight * node->share / group->shares;
}

void balance_expect(struct balance_step *step)
{
    set_rests(step);
    for (size_t i = 0; i < step->count; i++) {
        if (!is_first_of_group(step, i))
            continue;
        struct group group = {.step = step, .pools = step->nodes[i].pools};
        sum_up(&group);
        for (size_t j = i; j < step->count; j++)
            if (is_in(&group, &step->nodes[j]))
                step->nodes[j].load = expected(&group, &step->nodes[j]);
    }
}

/* ---- shares ---- */

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

/* Whoever has more must give some away. Who came lately is to have less: what comes to it comes from all. */
static double limit(const struct group *group, const struct balance_node *node)
{
    return (node->is_new ? BALANCE_NEW : group->step->act) * node->target;
}

static bool has_too_much(const struct group *group)
{
    for (size_t i = 0; i < group->step->count; i++) {
        const struct balance_node *node = &group->step->nodes[i];
        if (is_in(group, node) && expected(group, node) > limit(group, node))
            return true;
    }
    return false;
}

/* What may still be moved to even out, in loads of a node: who leaves or comes with little leaves something. */
static double to_spend(const struct group *group)
{
    const struct balance_step *step = group->step;
    double sum = -step->spent;
    for (size_t i = 0; i < step->gone_count; i++) {
        const double *had = map_get_text(step->loads, step->gone[i].node->id);
        if (step->gone[i].pools == group->pools && had != NULL)
            sum += BALANCE_SPEND - *had;
    }
    for (size_t i = 0; i < step->count; i++)
        if (is_in(group, &step->nodes[i]) && step->nodes[i].is_new)
            sum +=
                BALANCE_SPEND - fmin(BALANCE_NEW, expected(group, &step->nodes[i]) / step->nodes[i].target);
    return sum;
}

/* The most it may have of the hot mail. */
static double cap(const struct group *group, const struct balance_node *node)
{
    double least = LEAST_SHARE * group->hot * node->weight / group->weight;
    double now = expected(group, node);
    double most = BALANCE_FILL * node->target;
    if (node->is_new)
        most = BALANCE_NEW * node->target;
    else if (!group->fill && now > limit(group, node))
        most = fmin(group->level, group->step->bound) * node->target;
    else if (!group->fill && now > group->level * node->target)
        most = group->level * node->target;
    else if (!group->fill)
        most = fmax(most, now + STEADY * node->target);
    return fmax(most - node->rest, least);
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

/* What goes elsewhere, in loads of a node: also from one of those who are lowered to another. */
static double goes(const struct group *group, double factor)
{
    double sum = 0;
    for (size_t i = 0; i < group->step->count; i++) {
        const struct balance_node *node = &group->step->nodes[i];
        if (is_in(group, node) && !node->is_new)
            sum += fmax(0, expected(group, node) - node->rest - cap(group, node) / factor);
    }
    return sum / group->rate * (double)group->count;
}

/* Whether no more than that goes when all are brought down to that level. */
static bool is_enough(struct group *group, double may, double level)
{
    group->level = level;
    return goes(group, find_factor(group)) <= may;
}

/* The lowest level that what is left to spend is enough for. */
static void find_level(struct group *group, double may)
{
    double low = BALANCE_FILL, high = group->step->act;
    if (!is_enough(group, may, high) || is_enough(group, may, low))
        return; /* the last one that was tried is set */
    for (int i = 0; i < LEVEL_ROUNDS; i++) {
        double middle = (low + high) / 2;
        *(is_enough(group, may, middle) ? &high : &low) = middle;
    }
    group->level = high;
}

/* Whether it is worth a view. */
static bool spends(struct group *group)
{
    double may = to_spend(group);
    group->level = group->step->act;
    if (group->fill || may < WORTH)
        return false;
    find_level(group, may);
    if (goes(group, find_factor(group)) >= WORTH)
        return true;
    group->level = group->step->act;
    return false;
}

static void set_caps(struct group *group)
{
    double factor = find_factor(group), shares = 0;
    group->step->spent += goes(group, factor);
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

/* How much is placed by message from now on that was not so before. */
static double fresh(const struct balance_step *step)
{
    double sum = 0;
    struct map_entry *at = NULL;
    for (const struct heat *heat; (heat = map_next(&step->heats, &at)) != NULL;)
        sum += heat->single && (heat->was == NULL || heat->was->parts != 0) ? heat->rate : 0;
    return sum;
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
        group.fill = fresh(step) > FRESH * group.hot;
        bool must_act = has_too_much(&group);
        if ((spends(&group) || must_act) && group.hot > LEAST_HOT * group.rate) {
            set_caps(&group);
            raise_all(&group);
        }
        step->worst_after = fmax(step->worst_after, worst(&group));
    }
}
