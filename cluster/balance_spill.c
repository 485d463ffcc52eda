/* balance_spill - what came from a node that is gone, and is too much where it came to, goes on; see balance.h */
#include <string.h>

#include "base/alloc.h"
#include "cluster/balance_inside.h"

#define MOST_PARTS 16
#define MOST_SPILLS 256 /* a step */

struct balance_node *balance_place(
    const struct balance_step *step, const struct balance_node *like, uint64_t key)
{
    const struct balance_node *best = NULL;
    struct ranking ranking;
    ranking_start(&ranking, (struct placed){.key = key}, step->weighted, 1);
    for (size_t i = 0; i < step->count; i++) {
        const struct balance_node *node = &step->nodes[i];
        if (node->pools != like->pools)
            continue;
        ranking_offer(&ranking, &node->candidate);
        if (ranking.best[0].node == node->node)
            best = node;
    }
    return (struct balance_node *)best;
}

/* Whether it was with one of those who are gone. */
static bool came_lately(
    const struct balance_step *step, const struct balance_node *node, const struct heat *heat)
{
    struct ranking ranking;
    uint64_t key = placement_key(heat->domain, strlen(heat->domain), 0);
    ranking_start(&ranking, (struct placed){.key = key}, step->weighted, 1);
    ranking_offer(&ranking, &node->candidate);
    for (size_t i = 0; i < step->gone_count; i++)
        if (step->gone[i].pools == node->pools)
            ranking_offer(&ranking, &step->gone[i].candidate);
    return ranking.best[0].node != node->node;
}

static const struct heat_at *best_to_spill(
    const struct balance_step *step, const struct balance_node *node, double excess)
{
    const struct heat_at *best = NULL;
    for (size_t i = 0; i < node->heat_count; i++) {
        const struct heat_at *at = &node->heats[i];
        if (at->heat->hot || at->heat->home != node || at->rate < BALANCE_LEAST_PART * node->target ||
            !came_lately(step, node, at->heat))
            continue;
        bool enough = at->rate >= excess;
        if (best == NULL || (enough && best->rate >= excess ? at->rate < best->rate : at->rate > best->rate))
            best = at;
    }
    return best;
}

/* Tries so many parts: how much too much somebody then has, in all. */
static double overflow(
    const struct balance_step *step, const struct heat *heat, struct balance_node **places, uint32_t parts)
{
    double sum = 0, each = heat->rate / parts;
    heat->home->load -= heat->rate;
    for (uint32_t i = 0; i < parts; i++) {
        places[i] = balance_place(step, heat->home, placement_key(heat->domain, strlen(heat->domain), i + 1));
        places[i]->load += each;
    }
    for (uint32_t i = 0; i < parts; i++)
        if (places[i]->load > step->bound * places[i]->target)
            sum += places[i]->load - step->bound * places[i]->target;
    for (uint32_t i = 0; i < parts; i++)
        places[i]->load -= each;
    heat->home->load += heat->rate;
    return sum;
}

static void spill_one(struct balance_step *step, struct heat *heat)
{
    struct balance_node *places[MOST_PARTS];
    double least = 0;
    heat->hot = true;
    step->hot_count++;
    if (step->count <= BALANCE_FEW) {
        heat->single = true;
        balance_expect(step);
        return;
    }
    for (uint32_t parts = 1; parts <= MOST_PARTS; parts++) {
        double sum = overflow(step, heat, places, parts);
        if (parts == 1 || sum < least) {
            least = sum;
            heat->parts = parts;
        }
        if (sum <= 0)
            break;
    }
    balance_expect(step);
}

void balance_spill(struct balance_step *step)
{
    unsigned spilt = 0;
    for (size_t i = 0; i < step->count; i++) {
        struct balance_node *node = &step->nodes[i];
        if (!node->known || node->is_new)
            continue;
        while (
            node->load > step->act * node->target && step->hot_count < VIEW_MAX_HOT && spilt < MOST_SPILLS) {
            const struct heat_at *at = best_to_spill(step, node, node->load - step->bound * node->target);
            if (at == NULL)
                break;
            spill_one(step, at->heat);
            spilt++;
        }
    }
}
