/* coverage - see coverage.h */
#include "tests/sim/coverage.h"

#include <inttypes.h>
#include <stdio.h>

#include "node/node.h"
#include "tests/sim/copies.h"

/* Of some 390 that can happen. Each is met once in a thousand seeds or oftener, but the rarest only a few times, so that another
 * thousand seeds misses one or the other: DEPOSED and in doubt. */
enum { MOST_EMPTY = 20 };

static const char *const state_names[PAIR_STATES] = {"starting", "ALONE", "learner", "PAIRED", "DEPOSED",
    "FOLLOWS", "SEALING", "SWAPPING", "READS", "EMPTIES", "in doubt", "WAITS", "RETIRES"};

static uint32_t home_states(const struct member *member)
{
    struct copies_figures figures = {0};
    if (member->node == NULL)
        return 0;
    if (member->deposed)
        return 1u << PAIR_DEPOSED;
    if (!node_copies_figures(member->node, member_now(member), &figures))
        return 0;
    uint32_t states = 1u << (figures.paired ? PAIR_PAIRED : PAIR_ALONE);
    states |= figures.learning ? 1u << PAIR_LEARNER : 0;
    return states | (node_waits(member->node) ? 1u << PAIR_STARTING : 0);
}

static uint32_t heir_states(const struct heir *heir)
{
    struct heir_figures figures = heir_figures(heir);
    switch (figures.state) {
    case HEIR_READS:
        return 1u << PAIR_READS;
    case HEIR_EMPTIES:
        return 1u << PAIR_EMPTIES | (figures.in_doubt > 0 ? 1u << PAIR_IN_DOUBT : 0);
    case HEIR_WAITS:
        return 1u << PAIR_WAITS;
    case HEIR_RETIRES:
        return 1u << PAIR_RETIRES;
    default:
        return 0;
    }
}

static uint32_t copy_states(const struct copy *copy)
{
    if (copy->heir != NULL)
        return heir_states(copy->heir);
    if (copy->serves)
        return 1u << PAIR_READS;
    switch (mirror_state(copy->mirror)) {
    case MIRROR_FOLLOWS:
        return 1u << PAIR_FOLLOWS;
    case MIRROR_SEALING:
        return 1u << PAIR_SEALING;
    case MIRROR_SWAPPING:
        return 1u << PAIR_SWAPPING;
    default:
        return 0;
    }
}

uint32_t coverage_states(const struct member *member)
{
    uint32_t states = 0;
    if (!member->up || member->node == NULL || !sim_has_copies(member->sim))
        return 0;
    for (size_t i = 0; i < member->copy_count; i++)
        if (member->copies[i]->mirror != NULL)
            states |= copy_states(member->copies[i]);
    return states | home_states(member);
}

bool coverage_is_short(uint32_t states)
{
    return (states &
               (1u << PAIR_SEALING | 1u << PAIR_SWAPPING | 1u << PAIR_READS | 1u << PAIR_RETIRES |
                   1u << PAIR_DEPOSED | 1u << PAIR_LEARNER | 1u << PAIR_IN_DOUBT | 1u << PAIR_EMPTIES)) != 0;
}

uint32_t coverage_of_all(const struct sim *sim)
{
    uint32_t states = 0;
    for (int i = 0; i < sim->nodes; i++)
        states |= coverage_states(&sim->members[i]);
    return states;
}

void coverage_count(struct sim_counts *counts, enum fault_kind kind, uint32_t doing, uint32_t states)
{
    counts->faults[kind]++;
    for (int i = 0; i < DOING_KINDS; i++)
        counts->coverage[kind][i] += doing >> i & 1;
    for (int i = 0; i < PAIR_STATES; i++)
        counts->pairs[kind][i] += states >> i & 1;
}

static void print_doing(const struct sim_counts *counts)
{
    printf("%-18s %8s |", "fault", "times");
    for (int i = 0; i < DOING_KINDS; i++)
        printf(" %14s", doing_name((enum doing)i));
    printf("   (what the node was doing)\n");
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        printf("%-18s %8" PRIu64 " |", fault_name((enum fault_kind)kind), counts->faults[kind]);
        for (int i = 0; i < DOING_KINDS; i++)
            printf(" %14" PRIu64, counts->coverage[kind][i]);
        printf("\n");
    }
}

void coverage_print(const struct sim_counts *counts)
{
    print_doing(counts);
    printf("\n%-18s |", "fault");
    for (int i = 0; i < PAIR_STATES; i++)
        printf(" %9s", state_names[i]);
    printf("   (its home spool: five states; copies that it keeps: eight)\n");
    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        printf("%-18s |", fault_name((enum fault_kind)kind));
        for (int i = 0; i < PAIR_STATES; i++)
            printf(" %9" PRIu64, counts->pairs[kind][i]);
        printf("\n");
    }
    printf("\n");
}

/* Disks are lost only where another has what is on them. A spool retires ten minutes after it was taken over: by then faults have
 * mostly stopped. */
static bool can_happen(enum fault_kind kind, int state)
{
    return state != PAIR_RETIRES &&
           (kind != FAULT_DISK_LOST || state == PAIR_PAIRED || state == PAIR_FOLLOWS);
}

bool coverage_complete(const struct sim_counts *counts)
{
    unsigned empty = 0;
    for (int kind = 0; kind < FAULT_KINDS; kind++)
        for (int i = 0; i < PAIR_STATES; i++)
            if (counts->pairs[kind][i] == 0 && can_happen((enum fault_kind)kind, i)) {
                printf("never struck: %s at %s\n", fault_name((enum fault_kind)kind), state_names[i]);
                empty++;
            }
    return empty <= MOST_EMPTY;
}
