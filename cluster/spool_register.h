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
};

void spool_register_write(const struct spool_register *reg, struct buffer *out);
int spool_register_read(const char *text, size_t len, struct spool_register *reg_r, struct error *error);
/* Makes (node, disk) the primary with a fresh incarnation: creates the register if there is none, else swaps
 * it, epoch + 1. Fails with a sentence if the register names another disk. */
int spool_register_resume(const struct kv *kv, const char *key, const char *node, const char *disk,
    struct spool_register *reg_r, struct error *error);

#endif
