/* balance_world - a cluster under a known load, to see what the balance makes of it
 *
 * Domains by Zipf, a provider before them (number 0), and nodes of the same weight and pool. Everything is worked out:
 * which node has how much, and what belongs to another node than in a copy of the world made before. So every node of a
 * thousand can leave once, each time a copy of the same world, in seconds.
 *
 * What is placed message by message is taken as spread exactly by the shares; test_balance compares that with
 * placement_owner(). What moves among them is told a little too high, never too low. */
#ifndef TESTS_BALANCE_WORLD_H
#define TESTS_BALANCE_WORLD_H

#include "cluster/balance.h"

#define WORLD_TRAFFIC 46.0 /* deliveries a second, of each of the first nodes */

struct world_piece { /* a whole domain, or a part of one */
    uint64_t key;
    uint64_t hash[2];
    uint32_t node[2]; /* its owner, and the next in rank */
};

struct world_domain {
    char name[28];
    double rate;
    uint32_t parts; /* of pieces; 0: by message */
    struct world_piece *pieces;
};

struct world {
    unsigned domain_count, room; /* room: for nodes, by number */
    struct world_domain *domains;
    struct view *view;
    bool *here;     /* nodes */
    double *shares; /* of what is placed by message, all together 1 */
    double *loads;
    struct balance *balance;
    usec_t now;
    double total, noise; /* noise: reports are wrong by so much, at most */
    uint64_t random;
};

/* `top`: the provider's part of all. Nothing is split yet. */
void world_open(struct world *world, unsigned nodes, unsigned domains, double top, unsigned seed);
/* With a balance of its own, which remembers nothing. */
void world_copy(struct world *to, const struct world *from);
void world_close(struct world *world);
unsigned world_nodes(const struct world *world);
/* At once, as a leader publishes it: hot domains and shares as they were. */
void world_leave(struct world *world, unsigned node);
void world_join(struct world *world, unsigned node);
/* Of that domain nearly nothing comes any more. */
void world_end(struct world *world, unsigned domain);
/* One count and what the balance makes of it; whether it changed something. */
bool world_step(struct world *world);
/* Until nothing changes, but at most so many; how many changed something. */
unsigned world_settle(struct world *world, unsigned most);
/* Largest load / mean. */
double world_worst(const struct world *world);
/* Load of a node / mean. */
double world_load(const struct world *world, unsigned node);
/* How much of all load belongs to another node than before. */
double world_moved(const struct world *before, const struct world *after);

#endif
