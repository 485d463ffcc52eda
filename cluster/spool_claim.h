/* spool_claim - what a node asks for when it starts, and what it is given: its home spool
 *
 * A node opens the directory of its home spool, learns the disk's id, and claims the spool with it: the register
 * spool/<spool> names this disk and this start of the node from then on (join.h does it in a cluster). A spool that is
 * on another disk by then is not given: the node sets its directory aside and asks for another spool (node/home.h). */
#ifndef CLUSTER_SPOOL_CLAIM_H
#define CLUSTER_SPOOL_CLAIM_H

#include "cluster/spool_register.h"

/* A claim's answer beside 0 and -1: the register names another disk; `reg` is that register, the error's text says it. */
#define SPOOL_ELSEWHERE 1

struct spool_wish {
    const char *spool, *disk;
    uint64_t epoch; /* the register's is to be above this one: frames were numbered by it */
};

struct spool_home {
    struct spool_register reg;
    uint64_t revision; /* of the store, at which the register was swapped in; 0: there is no such store */
    uint64_t process;  /* this start of the node, as the register says it */
};

#endif
