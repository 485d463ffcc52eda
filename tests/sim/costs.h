/* costs - what network, disk, processor and etcd cost, for runs at scale; measured, not thought up
 *
 * Written by `tests/bench/costs.py --write` from real sockets, a real disk and real etcds; `tests/bench/costs.py --check`
 * measures again and says where the simulator is cheaper than that. See tests/sim/README.md. */
#ifndef SIM_COSTS_H
#define SIM_COSTS_H

/* 2026-11-23, 2 processors, Intel Xeon, ext4 on a virtual disk; everybody on one machine */
enum {
    COST_BUS_US = 78,              /* bus: a message of 100 octets, one way */
    COST_BUS_KB_S = 255000,        /* bus: KB a second from one member */
    COST_SYNC_US = 1770,           /* spool: until a frame of 10 KiB is durable, alone */
    COST_SYNC_KB_S = 250000,       /* spool: KB a second, 64 frames at a time */
    COST_NODE_US = 48,             /* node: its thread's processor time a message, from INJECT to DONE */
    COST_STORE_US = 2050,          /* etcd, three members: a transaction, there and back, the median */
    COST_STORE_LATE_US = 7900,     /* the slowest of a hundred */
    COST_STORE_KEEP_US = 690,      /* a lease kept, there and back */
    COST_STORE_TOLD_KB_S = 850000, /* KB a second to all watchers together */
    COST_VIEW_READ_KB_S = 160000,  /* KB of a view that a member reads a second */
};

#endif
