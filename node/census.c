/* census - everybody is placed anew when the view or the settings change
 *
 * A queue that now belongs elsewhere is handed on, one that was stuck may go. A node may hold millions of
 * deliveries, so each step of the clock looks at some, as many as take little time, until the last was seen.
 * Mail goes on meanwhile: who holds it may send it, whoever it belongs to.
 *
 * Where the pace of moving is limited (cluster.move_rate) the walk waits for it: what it has not come to stays where it is,
 * and may be sent from there. What becomes due and finds no room joins the walk again.
 *
 * The list is in the order of looking: what was placed under the newest view stands behind what was not. A
 * view that comes before the walk has ended lets it begin again, with those that were not seen for longest.
 */
#include "node/node_state.h"

/* What moves already is passed over. */
static void place_anew(struct node *node, struct delivery *delivery, usec_t now)
{
    bool moved = delivery->mood == MOOD_MOVING;
    delivery_place_anew(node, delivery, now);
    if (!moved && delivery->mood == MOOD_MOVING)
        handover_found(node, now);
}

static struct held *oldest(const struct node *node)
{
    return list_empty(&node->census) ? NULL : list_item(node->census.next, struct held, census);
}

/* What has left, or is about to. */
static uint64_t gone(const struct node *node)
{
    struct custody_figures figures = custody_figures(node->custody);
    return figures.moved + figures.refused + figures.leaving;
}

uint64_t census_to_move(const struct node *node)
{
    uint64_t leaving = custody_figures(node->custody).leaving, all = gone(node);
    uint64_t unseen = node->census_behind + rest_census_left(node);
    if (node->looked == 0)
        return leaving + unseen;
    double share = all > node->looked_gone ? (double)(all - node->looked_gone) / (double)node->looked : 0;
    return leaving + (uint64_t)(share * (double)unseen);
}

void census_begin(struct node *node)
{
    node->round++;
    node->census_behind = node->census_count;
    node->looked = 0;
    node->looked_gone = gone(node);
    rest_census(node);
}

bool census_runs(const struct node *node)
{
    const struct held *held = oldest(node);
    return held != NULL && held->census_round != node->round;
}

void census_join(struct node *node, struct held *held)
{
    if (list_linked(&held->census))
        return;
    held->census_round = node->round;
    list_push_back(&node->census, &held->census);
    node->census_count++;
}

void census_leave(struct node *node, struct held *held)
{
    if (!list_linked(&held->census))
        return;
    list_remove(&held->census);
    node->census_count--;
    node->census_behind -= held->census_round != node->round;
}

void census_join_anew(struct node *node, struct held *held)
{
    census_leave(node, held);
    held->census_round = node->round - 1;
    list_push_front(&node->census, &held->census);
    node->census_count++;
    node->census_behind++;
}

usec_t census_deadline(const struct node *node)
{
    return census_runs(node) ? custody_pace(node->custody, node->moving_bytes, node->now) : USEC_NEVER;
}

void census_step(struct node *node, usec_t now)
{
    for (uint32_t seen = 0; seen < CENSUS_STEP && census_deadline(node) <= now;) {
        struct held *held = oldest(node);
        census_leave(node, held);
        seen += held->count;
        node->looked++;
        if (held->open == 0) /* comes back when something of it does */
            continue;
        census_join(node, held);
        for (uint32_t i = 0; i < held->count; i++)
            place_anew(node, held->deliveries[i], now);
    }
}
