/* costs - what network, disk, processor and etcd cost, for runs at scale; measured, not thought up
 *
 * Written by `tests/bench/costs.py --write` from real sockets, a real disk and real etcds; `tests/bench/costs.py --check`
 * measures again and says where the simulator is cheaper than that. See tests/sim/README.md. */
#ifndef SIM_COSTS_H
#define SIM_COSTS_H

/* 2026-11-23: 2 processors, AMD EPYC; all on one machine, load 7 */
enum {
    COST_BUS_US = 123,             /* bus: a message of 100 octets, one way */
    COST_BUS_KB_S = 241459,        /* bus: KB a second out of one member */
    COST_SYNC_US = 1946,           /* spool: until a frame of 10 KiB is on the disk, when nobody else waits */
    COST_SYNC_KB_S = 155138,       /* spool: KB a second, 64 frames at a time */
    COST_NODE_US = 49,             /* node: processor time of its thread for a message, from INJECT to DONE */
    COST_STORE_US = 1345,          /* etcd, three members: a transaction, there and back, the median */
    COST_STORE_LATE_US = 7440,     /* the slowest of a hundred */
    COST_STORE_KEEP_US = 206,      /* a lease kept, there and back */
    COST_STORE_TOLD_KB_S = 488440, /* KB a second to all watchers of all three together */
    COST_VIEW_READ_KB_S = 155088,  /* KB of a view that a member reads a second */
};

#endif
