/* scale_rate - how many messages a second one node takes and sends, and how many three do; see scale.h
 *
 * Three clusters, one after the other: a node; three nodes; three nodes with two copies. Clients keep IN_FLIGHT submissions
 * a node open all the time. What a message costs a node's processor, a disk, the bus was measured (costs.h); receivers
 * answer within 20 ms and have no limits, and coordinators cost nothing: another one can be put beside them at any
 * time. The rate is that of the ends, from when a tenth have ended until nine tenths have. */
#include <stdio.h>

#include "tests/sim/ledger.h"
#include "tests/sim/scale.h"

enum { CLUSTERS = 3, IN_FLIGHT = 1024 };
#define LEAST_RATIO 2.7

static const struct {
    int nodes;
    unsigned copies;
} clusters[CLUSTERS] = {{1, 1}, {3, 1}, {3, 2}};
static double rates[CLUSTERS];

bool rate_plan(struct sim_options *options, int turn)
{
    if (turn == CLUSTERS)
        return false;
    options->nodes = clusters[turn].nodes;
    options->copies = clusters[turn].copies;
    return true;
}

void rate_begin(struct sim *sim)
{
    struct scale *scale = sim->scale;
    scale->messages *= (unsigned)sim->nodes;
    for (int i = 0; i < IN_FLIGHT * sim->nodes && scale->handed_in < scale->messages; i++)
        scale_hand_in(sim);
}

void rate_answered(struct sim *sim)
{
    if (sim->options->throughput && sim->scale->handed_in < sim->scale->messages)
        scale_hand_in(sim);
}

void rate_ended(struct sim *sim)
{
    struct scale *scale = sim->scale;
    unsigned ended = ++scale->ended;
    if (ended == scale->messages / 10)
        scale->first = sim->now;
    if (ended == scale->messages / 10 * 9)
        scale->last = sim->now;
}

bool rate_over(const struct sim *sim)
{
    return sim->scale->handed_in == sim->scale->messages && !clients_waiting(sim) &&
           ledger_open(sim->ledger) == 0;
}

void rate_judge(struct sim *sim)
{
    const struct scale *scale = sim->scale;
    int turn = 0;
    while (clusters[turn].nodes != sim->nodes || clusters[turn].copies != sim->copies)
        turn++;
    rates[turn] = 0.8 * scale->messages / (double)(scale->last - scale->first) * USEC_SEC;
    printf("seed %llu: %d node%s, copies %u: %.0f messages a second, %.2f times one node; the largest load "
           "is %.2f of the "
           "mean\n",
        (unsigned long long)sim->seed, sim->nodes, sim->nodes > 1 ? "s" : "", sim->copies, rates[turn],
        rates[turn] / rates[0], scale->even[0]);
    if (turn == 1 && rates[1] < LEAST_RATIO * rates[0])
        sim_fail(sim, "throughput: three nodes do %.2f times what one does", rates[1] / rates[0]);
}
