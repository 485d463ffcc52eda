/* spool_register - who serves a spool, as all agree: the register spool/<id>
 *
 * {epoch, primary (node, incarnation, disk), mirror disk or none, old disk or none}. Every change is one
 * compare-and-swap that raises the epoch by one (PROTOCOL guard 1), so there is one history and one primary
 * an epoch. A disk is what holds a copy, not a node's name (guard 2): an empty disk is another disk, and can
 * neither resume nor take over. `old` is the disk whose copy is a last resort while there is no mirror
 * (guard 15). The changes, each made by the node whose disk it concerns, and, but for the last one, by
 * nobody else:
 *
 *   resume      the primary's disk, started again: a new incarnation
 *   take over   the mirror's disk, of a primary that was declared dead: it is primary, without a mirror
 *   sever       the primary: from now on without a mirror; that becomes `old`
 *   take in     the primary: a learner that has everything becomes the mirror
 *   hand over   the primary: its mirror, that has everything, is primary from now on
 *   retire      the primary: the spool is empty and needed no more. The key stays and says so, for ever: a disk that
 *               was away all the while must not take the spool for its own, and send again what others have sent
 *   revive      an operator, for the copy's node: primary and mirror are lost, so a copy that is not up to date is
 *               primary from now on, without a mirror (guard 16). That node then resumes it
 *
 * The functions are pure: from the value that was read they make the one to be swapped in, in a transaction that
 * compares the revision at which it was read; -1 with a sentence: from here that is no legal change. After an answer
 * that says neither (KV_UNKNOWN) the transaction may still happen, and late, for as long as its compare holds: it is
 * over only when the key's revision has moved. Where nothing else is to be changed, severing once more moves it.
 */
#ifndef CLUSTER_SPOOL_REGISTER_H
#define CLUSTER_SPOOL_REGISTER_H

#include "cluster/kv.h"
#include "cluster/view.h"

#define DISK_ID_SIZE 33
#define REVIVED_BY_SIZE 128

struct spool_register {
    uint64_t epoch;
    char node[MEMBER_ID_SIZE];
    uint64_t incarnation;
    char disk[DISK_ID_SIZE];
    char mirror[DISK_ID_SIZE]; /* "" = none */
    char mirror_node
        [MEMBER_ID_SIZE];   /* where the mirror's disk is: a hint, compared with nothing; "" = not said */
    char old[DISK_ID_SIZE]; /* "" = none */
    char old_node[MEMBER_ID_SIZE]; /* where that is: a hint, as mirror_node */
    uint64_t process;              /* which start of the node swapped it in; 0 = not said */
    bool retired;                  /* nobody serves it, nor ever will; no copy of it is needed */
    uint64_t revived; /* the epoch that an operator's word began, from an old copy: what frames of
                                      earlier epochs hold may have been sent, or moved on, since. 0: never */
    char revived_by[REVIVED_BY_SIZE];
};

void spool_register_write(const struct spool_register *reg, struct buffer *out);
int spool_register_read(const char *text, size_t len, struct spool_register *reg_r, struct error *error);
/* What a start of a node makes of the register. `reg` is what stands in the store, null if there is none; the
 * new value in `next_r`. SPOOL_REGISTER_SWAP: to be swapped in, in a transaction that compares the revision
 * at which `reg` was read. SPOOL_REGISTER_MINE: `process` swapped it in before (an answer was lost): nothing
 * is to be done. SPOOL_REGISTER_REFUSED: it names another disk, or is retired; the sentence says so. */
enum spool_register_step { SPOOL_REGISTER_SWAP, SPOOL_REGISTER_MINE, SPOOL_REGISTER_REFUSED };
enum spool_register_step spool_register_next(const struct spool_register *reg, const char *node,
    const char *disk, uint64_t process, struct spool_register *next_r, struct error *error);
/* By the mirror: `disk` is the copy's own id. */
int spool_register_take_over(const struct spool_register *reg, const char *disk, const char *node,
    uint64_t process, struct spool_register *next_r, struct error *error);
/* By the primary: `disk` and `process` are its own; another process with the same disk has resumed meanwhile, or will.
 * Sever: with no mirror there it only raises the epoch, and by that ends whatever was proposed before. */
int spool_register_sever(const struct spool_register *reg, const char *disk, uint64_t process,
    struct spool_register *next_r, struct error *error);
int spool_register_take_in(const struct spool_register *reg, const char *disk, uint64_t process,
    const char *learner_disk, const char *learner_node, struct spool_register *next_r, struct error *error);
/* `heir_process`: of the mirror's node, 0 if that is not known. The register must say where the mirror is. */
int spool_register_hand_over(const struct spool_register *reg, const char *disk, uint64_t process,
    uint64_t heir_process, struct spool_register *next_r, struct error *error);
int spool_register_retire(const struct spool_register *reg, const char *disk, uint64_t process,
    struct spool_register *next_r, struct error *error);
/* By an operator, who has made sure that neither the primary nor the mirror will come back: `disk` is a copy's own id, on
 * `node`; `by`: who says so. */
int spool_register_revive(const struct spool_register *reg, const char *disk, const char *node,
    const char *by, struct spool_register *next_r, struct error *error);
/* Whether it says the same to everybody: all but the hints. */
bool spool_register_same(const struct spool_register *a, const struct spool_register *b);

/* A start with one copy: if `reg`, which it has swapped in at `revision`, names a mirror, that is severed, for it would
 * take over a log that it has not got. Waits for the store. */
int spool_register_go_alone(
    const struct kv *kv, const char *key, uint64_t revision, struct spool_register *reg, struct error *error);

/* Makes (node, disk) the primary with a fresh incarnation: creates the register if there is none, else swaps
 * it, epoch + 1. Fails with a sentence if the register names another disk. Waits for the store: one machine's
 * start; in a cluster join does the same (join.h). */
int spool_register_resume(const struct kv *kv, const char *key, const char *node, const char *disk,
    struct spool_register *reg_r, struct error *error);

#endif
