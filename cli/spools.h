/* spools - who serves which spool, as the registers in the store say, and a last resort
 *
 *     struct members members = {kv, settings->cluster.name};
 *     if (spools_list(&members, &lines, &error) == 0) ...
 *     if (spools_find(&members, "n1.0", "n2", NULL, &plan, &error) == 0) { ask; spools_revive(&members, &plan, ...); }
 * What `todoku spools` does once it has a store (cli/members.h). Registers: cluster/spool_register.h.
 *
 * A revival (PROTOCOL guard 16) gives a spool to a copy that is not up to date, where neither the primary nor a mirror
 * is there. One transaction, which compares the register and that those two are not there still.
 *
 * Errors: -1 and a sentence: refused with what to do, or the store did not answer. */
#ifndef CLI_SPOOLS_H
#define CLI_SPOOLS_H

#include "cli/members.h"
#include "cluster/spool_register.h"

/* One JSON object a line, by name: spool, state, epoch, node, node_is, mirror, mirror_is, old, old_is (nodes, and what they
 * are: up, starting, gone, or "other" if it runs with another disk), disk, mirror_disk, old_disk, revived, revived_by. State:
 * paired; alone (no second copy); emptied (its node took it over, and moves it on); waits (its node is expected, or its
 * mirror to take it over); lost (nobody who is there has it); retired. */
int spools_list(const struct members *members, struct buffer *lines, struct error *error);

struct spools_plan {
    char spool[MEMBER_ID_SIZE], node[MEMBER_ID_SIZE], disk[DISK_ID_SIZE];
    struct spool_register reg; /* as it stands */
    uint64_t revision;         /* of it */
};
/* Whether the spool may be revived on `node`, from the copy on `disk` (null: the one that the register calls `old`). */
int spools_find(const struct members *members, const char *spool, const char *node, const char *disk,
    struct spools_plan *plan_r, struct error *error);
/* What it means, in sentences. */
void spools_warn(const struct spools_plan *plan, struct buffer *said);
/* Does it; `by`: who says so. */
int spools_revive(
    const struct members *members, const struct spools_plan *plan, const char *by, struct error *error);
/* Whether the copy's node has it by now: 1, 0, -1. */
int spools_serves(const struct members *members, const struct spools_plan *plan, struct error *error);

#endif
