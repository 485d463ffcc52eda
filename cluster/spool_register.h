/* spool_register - who serves a spool, as all agree: the register spool/<id>
 *
 * {epoch, primary (node, incarnation, disk), mirror disk or none, old disk or none}. Every change is one
 * compare-and-swap that raises the epoch by one (PROTOCOL guard 1), so there is one history and one primary
 * an epoch. Here, with one copy, the only change is a restart: the node that has the spool's disk swaps its
 * new incarnation in. A disk is what holds the copy, not a node's name (guard 2): another disk can't resume.
 */
#ifndef CLUSTER_SPOOL_REGISTER_H
#define CLUSTER_SPOOL_REGISTER_H

#include "cluster/kv.h"
#include "cluster/view.h"

#define DISK_ID_SIZE 33

struct spool_register {
    uint64_t epoch;
    char node[MEMBER_ID_SIZE];
    uint64_t incarnation;
    char disk[DISK_ID_SIZE];
    char mirror[DISK_ID_SIZE]; /* "" = none */
    char old[DISK_ID_SIZE];    /* "" = none */
    uint64_t process;          /* which start of the node swapped it in; 0 = not said */
};

void spool_register_write(const struct spool_register *reg, struct buffer *out);
int spool_register_read(const char *text, size_t len, struct spool_register *reg_r, struct error *error);
/* What a start of a node makes of the register. `reg` is what stands in the store, null if there is none; the
 * new value in `next_r`. SPOOL_REGISTER_SWAP: to be swapped in, in a transaction that compares the revision
 * at which `reg` was read. SPOOL_REGISTER_MINE: `process` swapped it in before (an answer was lost): nothing
 * is to be done. SPOOL_REGISTER_REFUSED: it names another disk; the sentence says so. */
enum spool_register_step { SPOOL_REGISTER_SWAP, SPOOL_REGISTER_MINE, SPOOL_REGISTER_REFUSED };
enum spool_register_step spool_register_next(const struct spool_register *reg, const char *node,
    const char *disk, uint64_t process, struct spool_register *next_r, struct error *error);
/* Makes (node, disk) the primary with a fresh incarnation: creates the register if there is none, else swaps
 * it, epoch + 1. Fails with a sentence if the register names another disk. Waits for the store: one machine's
 * start; in a cluster join does the same (join.h). */
int spool_register_resume(const struct kv *kv, const char *key, const char *node, const char *disk,
    struct spool_register *reg_r, struct error *error);

#endif
