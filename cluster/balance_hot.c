/* balance_hot - which domains are split, and how finely; see balance.h */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/balance_inside.h"

#define PASSES 4 /* over the nodes, looking for those with too much */
#define MOST_BY_SIZE                                                                                         \
    (VIEW_MAX_HOT - VIEW_MAX_HOT / 4)    /* domains; the others are for what will have to be split */
#define HOMEWARD 4                       /* domains that become whole again, a step */
#define NOTHING (BALANCE_LEAST_PART / 4) /* so small that it does not matter where it is */

/* How many parts it should have: a power of two, at least two. */
static uint32_t parts_wanted(const struct balance_step *step, double rate)
{
    uint32_t parts = 2;
    while (parts < VIEW_MAX_PARTS && parts * step->mean * BALANCE_PART < rate)
        parts *= 2;
    return parts;
}

/* What is split already stays as it is until it is far from what it should be: other parts are other places. */
static void set_parts(struct balance_step *step, struct heat *heat)
{
    uint32_t wanted = parts_wanted(step, heat->rate);
    const struct view_hot *was = heat->was;
    heat->parts = wanted;
    heat->single = wanted >= step->count;
    if (was == NULL)
        return;
    if (was->parts == 0 && (step->count <= BALANCE_FEW || wanted * (size_t)4 >= step->count))
        heat->single = true;
    else if (was->parts != 0 && wanted < step->count * 2 &&
             heat->rate <= BALANCE_LARGE * step->mean * was->parts && was->parts <= wanted * 4) {
        heat->parts = was->parts;
        heat->single = false;
    }
}

static void make_hot(struct balance_step *step, struct heat *heat)
{
    heat->hot = true;
    step->hot_count++;
    set_parts(step, heat);
}

/* Whether a domain that cooled down may be whole again: the node that it would then be placed at has room for it. */
static bool may_go_home(struct balance_step *step, const struct heat *heat)
{
    const struct balance_node *like = heat->home != NULL ? heat->home : &step->nodes[0];
    const struct balance_node *to =
        balance_place(step, like, placement_key(heat->domain, strlen(heat->domain), 0));
    if (heat->rate < NOTHING * step->mean)
        return true;
    bool has_room = to->rate + heat->rate < step->bound * to->target;
    return (has_room || step->hot_count > MOST_BY_SIZE) && step->homeward++ < HOMEWARD;
}

/* Whether one that is hot stays so. */
static bool stays(struct balance_step *step, const struct heat *heat, struct map *cooling, usec_t now)
{
    usec_t *since = map_get_text(cooling, heat->domain);
    if (heat->rate >= BALANCE_LEAVE * step->mean) {
        free(map_remove_text(cooling, heat->domain));
        return true;
    }
    if (since == NULL) {
        since = xmalloc(sizeof *since);
        *since = now;
        map_set_text(cooling, heat->domain, since);
    }
    if (now - *since < BALANCE_COOL || !may_go_home(step, heat))
        return true;
    free(map_remove_text(cooling, heat->domain));
    return false;
}

static int by_rate(const void *a, const void *b)
{
    const struct heat *const *left = a, *const *right = b;
    return (*left)->rate < (*right)->rate ? 1 : (*left)->rate > (*right)->rate ? -1 : 0;
}

/* While much is in motion, only what can't wait: each split is a move, and mean loads change when a node comes. */
static bool is_large(const struct balance_step *step, const struct heat *heat)
{
    return heat->rate >= step->mean * (step->view->hot_count == 0 ? BALANCE_ENTER
                                          : step->lately          ? BALANCE_VERY_LARGE
                                                                  : BALANCE_LARGE);
}

/* What was hot first, since it stays; then the largest. */
static void by_size(struct balance_step *step, struct map *cooling, usec_t now)
{
    size_t count = 0;
    struct heat **large = xcalloc(map_count(&step->heats) + 1, sizeof(struct heat *)), *heat;
    struct map_entry *at = NULL;
    while ((heat = map_next(&step->heats, &at)) != NULL) {
        if (heat->was != NULL && stays(step, heat, cooling, now))
            make_hot(step, heat);
        else if (is_large(step, heat))
            large[count++] = heat;
    }
    qsort(large, count, sizeof(struct heat *), by_rate);
    for (size_t i = 0; i < count && step->hot_count < MOST_BY_SIZE; i++)
        make_hot(step, large[i]);
    free(large);
}

/* Whether `a` is the better one to split, for a node that has `excess` too much: a whole domain, since of one in parts
 * all would move; the smallest that is enough, else the largest. */
static bool helps_more(const struct heat_at *a, const struct heat_at *b, double excess)
{
    if (b == NULL || a->heat->hot != b->heat->hot)
        return b == NULL || b->heat->hot;
    if (a->rate >= excess && b->rate >= excess)
        return a->rate < b->rate;
    return a->rate > b->rate;
}

static const struct heat_at *best_to_split(const struct balance_node *node, double excess, double least)
{
    const struct heat_at *best = NULL;
    for (size_t i = 0; i < node->heat_count; i++) {
        const struct heat_at *at = &node->heats[i];
        if (!at->heat->single && at->rate >= least && helps_more(at, best, excess))
            best = at;
    }
    return best;
}

/* Splits what the node has too much of; whether there was something. */
static bool relieve(struct balance_step *step, struct balance_node *node)
{
    bool some = false;
    while (node->rest > step->bound * node->target) {
        const struct heat_at *at =
            best_to_split(node, node->rest - step->bound * node->target, BALANCE_LEAST_PART * node->target);
        if (at == NULL)
            break;
        struct heat *heat = at->heat;
        if (!heat->hot && step->hot_count >= VIEW_MAX_HOT)
            break;
        if (!heat->hot)
            make_hot(step, heat);
        else
            heat->single = true;
        node->rest -= at->rate;
        some = true;
        if (!heat->single)
            break; /* of its parts some may come back: the next pass knows */
    }
    return some;
}

void balance_find_hot(struct balance_step *step, struct map *cooling, usec_t now)
{
    by_size(step, cooling, now);
    for (int pass = 0; pass < PASSES; pass++) {
        bool some = false;
        balance_expect(step);
        for (size_t i = 0; i < step->count; i++)
            if (step->nodes[i].known && step->nodes[i].rest > step->act * step->nodes[i].target)
                some |= relieve(step, &step->nodes[i]);
        if (!some)
            return;
    }
    balance_expect(step);
}
