/* bench_moved - how much load moves when a node leaves or joins, for every node
 *
 *   bench_moved NODES [WORLDS [TOP [CHANGES]]]     1 world, a provider with 38 (%), 0 changes if not said
 *
 * In each world, each of the nodes leaves once, and as many others join, each time a world that has settled; after it the
 * balance goes on until it has nothing to do. Prints, in parts of 1/n, the mean and the worst of what then belongs to
 * another node, and of the largest load against the mean. CHANGES: so many joins and leaves have gone before. Exit: 0, 1 when
 * more than 1.1/n moved or a load is above 1.10, 2 wrong usage. */
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "tests/unit/balance_world.h"

#define MOST_STEPS 10

struct tally {
    unsigned count, bad, steps;
    double moved, most_moved, own, most_load, at_once;
    unsigned worst_node;
};

static void add(
    struct tally *tally, const struct world *before, struct world *after, unsigned node, double own)
{
    double n = world_nodes(before);
    double load = world_worst(after);
    unsigned steps = world_settle(after, MOST_STEPS);
    double moved = world_moved(before, after) * n, end = world_worst(after);
    tally->count++;
    tally->moved += moved;
    tally->bad += moved > 1.1 || end > 1.10;
    tally->steps = steps > tally->steps ? steps : tally->steps;
    tally->at_once = load > tally->at_once ? load : tally->at_once;
    tally->most_load = end > tally->most_load ? end : tally->most_load;
    if (moved > tally->most_moved) {
        tally->most_moved = moved;
        tally->worst_node = node;
        tally->own = own;
    }
}

static void print(const char *what, const struct tally *tally)
{
    printf("  %-6s %5u: moved mean %.3f/n, worst %.3f/n (n%u, which had %.3f); max/mean at once %.3f, then "
           "%.3f; changes <= %u; "
           "%u above a bound\n",
        what, tally->count, tally->moved / tally->count, tally->most_moved, tally->worst_node, tally->own,
        tally->at_once, tally->most_load, tally->steps, tally->bad);
    fflush(stdout);
}

static void change(struct world *world, unsigned count, unsigned seed)
{
    struct random random = {seed};
    unsigned nodes = world_nodes(world);
    for (unsigned i = 0; i < count; i++) {
        unsigned node = (unsigned)random_below(&random, world->room);
        if (world->here[node] && world_nodes(world) > nodes - nodes / 4)
            world_leave(world, node);
        else if (!world->here[node] && world_nodes(world) < nodes + nodes / 4 + 1)
            world_join(world, node);
        world_settle(world, MOST_STEPS);
        world->now += BALANCE_LATELY;
    }
    world_settle(world, MOST_STEPS);
}

static unsigned run(unsigned nodes, unsigned seed, double top, unsigned changes)
{
    struct world world, next;
    struct tally leaves = {0}, joins = {0};
    world_open(&world, nodes, nodes > 200 ? 60000 : 20000, top, seed);
    unsigned steps = world_settle(&world, MOST_STEPS);
    change(&world, changes, seed);
    size_t single = 0;
    for (size_t i = 0; i < world.view->hot_count; i++)
        single += world.view->hot[i].parts == 0;
    printf("%u nodes, world %u: max/mean %.3f after %u changes, %zu domains split, %zu by message\n",
        world_nodes(&world), seed, world_worst(&world), steps, world.view->hot_count, single);
    for (unsigned i = 0; i < world.room; i++) {
        world_copy(&next, &world);
        world_step(&next);
        if (world.here[i]) {
            world_leave(&next, i);
            add(&leaves, &world, &next, i, world_load(&world, i));
        } else {
            world_join(&next, i);
            add(&joins, &world, &next, i, world_load(&next, i));
        }
        world_close(&next);
    }
    print("leave", &leaves);
    print("join", &joins);
    world_close(&world);
    return leaves.bad + joins.bad;
}

int main(int argc, char **argv)
{
    unsigned nodes = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    unsigned worlds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    double top = argc > 3 ? strtod(argv[3], NULL) / 100 : 0.38;
    unsigned changes = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 0, bad = 0;
    if (nodes < 2 || worlds < 1 || argc > 5 || top < 0 || top > 1) {
        fprintf(stderr, "usage: %s NODES [WORLDS [TOP [CHANGES]]]\n", argv[0]);
        return 2;
    }
    for (unsigned seed = 1; seed <= worlds; seed++)
        bad += run(nodes, seed, top, changes);
    printf("%u above a bound\n", bad);
    return bad == 0 ? 0 : 1;
}
