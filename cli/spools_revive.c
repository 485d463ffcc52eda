/* spools_revive - a spool from a copy that is not up to date, by an operator's word: see spools.h */
#include <stdio.h>
#include <string.h>

#include "cli/spools.h"

/* Who stands in live/ under that name; `revision_r` 0: nobody. A record that can't be read is somebody. */
static int find_live(const struct members *members, const char *node, struct member_live *live_r,
    uint64_t *revision_r, struct error *error)
{
    char key[MEMBER_PATH_SIZE];
    struct buffer text = {0};
    struct error why;
    *live_r = (struct member_live){0};
    *revision_r = 0;
    if (node[0] == '\0')
        return 0;
    member_path(key, members->cluster, "live", node);
    enum kv_outcome outcome = kv_get(&members->kv, key, &text, revision_r, error);
    if (outcome == KV_DONE && *revision_r != 0 &&
        member_live_read(buffer_bytes(&text), buffer_len(&text), live_r, &why) == 0)
        member_live_free(live_r); /* its lists; the names stay */
    buffer_free(&text);
    return outcome == KV_DONE ? 0 : -1;
}

static int find_register(const struct members *members, struct spools_plan *plan, struct error *error)
{
    char key[MEMBER_PATH_SIZE];
    struct buffer text = {0};
    member_path(key, members->cluster, "spool", plan->spool);
    int rc = kv_get(&members->kv, key, &text, &plan->revision, error) == KV_DONE ? 0 : -1;
    if (rc == 0 && plan->revision == 0)
        rc =
            error_set(error, "there is no spool %s in this cluster; `todoku spools` lists them", plan->spool);
    if (rc == 0 && spool_register_read(buffer_bytes(&text), buffer_len(&text), &plan->reg, error) != 0)
        rc = error_prefix(error, "%s in etcd can't be read", key);
    buffer_free(&text);
    return rc;
}

/* A node that came back without the disk serves another spool of its own, and will never have this one again. One that
 * took it over, and has been started again, takes it up by itself. */
static bool lost_its_home(
    const struct spools_plan *plan, const struct member_live *live, const struct spool_register *reg)
{
    size_t len = strlen(reg->node);
    return live->incarnation != 0 && strcmp(live->spool, plan->spool) != 0 && live->process != reg->process &&
           strncmp(plan->spool, reg->node, len) == 0 && plan->spool[len] == '.';
}

static int check_primary(const struct members *members, const struct spools_plan *plan, struct error *error)
{
    const struct spool_register *reg = &plan->reg;
    struct member_live live;
    uint64_t revision;
    if (find_live(members, reg->node, &live, &revision, error) != 0)
        return -1;
    if (revision == 0 || lost_its_home(plan, &live, reg))
        return 0;
    if (reg->process == 0 && reg->revived == reg->epoch)
        return live.process != 0 ? error_set(error,
                                       "spool %s was given to node %s already, which is about to serve it; "
                                       "its log says what keeps it",
                                       plan->spool, reg->node)
                                 : 0;
    return error_set(error,
        "node %s, which has spool %s (disk %s), is there: it serves it, or will in a moment. If that disk is "
        "lost, stop its process and wait some seconds for its lease, or let it begin another spool",
        reg->node, plan->spool, reg->disk);
}

static int check_mirror(const struct members *members, const struct spools_plan *plan, struct error *error)
{
    const struct spool_register *reg = &plan->reg;
    struct member_live live;
    uint64_t revision;
    if (reg->mirror[0] == '\0')
        return 0;
    if (reg->mirror_node[0] == '\0')
        return error_set(error,
            "spool %s has a mirror (disk %s), and the register does not say where: start all nodes; the one "
            "that has it takes the spool over",
            plan->spool, reg->mirror);
    if (find_live(members, reg->mirror_node, &live, &revision, error) != 0)
        return -1;
    return revision == 0
               ? 0
               : error_set(error,
                     "node %s has all of spool %s (disk %s), and takes it over by itself when node %s is "
                     "declared dead; if that one will not come back: todoku members set %s --dead",
                     reg->mirror_node, plan->spool, reg->mirror, reg->node, reg->node);
}

static int choose_disk(struct spools_plan *plan, const char *disk, struct error *error)
{
    const struct spool_register *reg = &plan->reg;
    bool is_old = reg->old[0] != '\0' && (reg->old_node[0] == '\0' || strcmp(reg->old_node, plan->node) == 0);
    if (disk == NULL && !is_old)
        return error_set(error,
            "the register of spool %s names no copy at node %s (a former one: %s%s%s). If it has one all the "
            "same, in "
            "copies/%s of its data_dir, say which: --disk and the id in the file `disk` there",
            plan->spool, plan->node, reg->old[0] == '\0' ? "none" : reg->old,
            reg->old_node[0] == '\0' ? "" : " at ", reg->old_node, plan->spool);
    if (disk != NULL && strlen(disk) >= sizeof plan->disk)
        return error_set(error, "`%s` is no disk's id", disk);
    snprintf(plan->disk, sizeof plan->disk, "%s", disk != NULL ? disk : reg->old);
    return 0;
}

int spools_find(const struct members *members, const char *spool, const char *node, const char *disk,
    struct spools_plan *plan_r, struct error *error)
{
    struct spool_register next;
    struct member_live live;
    uint64_t revision;
    *plan_r = (struct spools_plan){0};
    snprintf(plan_r->spool, sizeof plan_r->spool, "%s", spool);
    snprintf(plan_r->node, sizeof plan_r->node, "%s", node);
    if (find_register(members, plan_r, error) != 0)
        return -1;
    if (plan_r->reg.retired)
        return error_set(error, "spool %s is retired: all that it held was moved on", spool);
    if (check_primary(members, plan_r, error) != 0 || check_mirror(members, plan_r, error) != 0 ||
        choose_disk(plan_r, disk, error) != 0 ||
        spool_register_revive(&plan_r->reg, plan_r->disk, node, "", &next, error) != 0 ||
        find_live(members, node, &live, &revision, error) != 0)
        return -1;
    return revision != 0 ? 0 : error_set(error, "node %s is not there: start it first", node);
}

void spools_warn(const struct spools_plan *plan, struct buffer *said)
{
    const struct spool_register *reg = &plan->reg;
    buffer_printf(
        said, "Spool %s is on disk %s of node %s, which is not there", plan->spool, reg->disk, reg->node);
    if (reg->mirror[0] != '\0')
        buffer_printf(
            said, ", and on disk %s of node %s, which is not there either", reg->mirror, reg->mirror_node);
    buffer_printf(said,
        ".\nNode %s has a copy (disk %s) that has not got the newest mail. If that is served:\n"
        "- mail that is not in the copy is lost;\n"
        "- mail that is in it and was sent since may be sent again: all of it counts as in doubt, and each "
        "message "
        "is told as an event `doubt`;\n"
        "- the disk of %s is not served any more, should it come back. If it may, bring it back instead.\n"
        "Make sure that the process of %s has ended: one that only does not reach etcd goes on sending.\n",
        plan->node, plan->disk, reg->node, reg->node);
}

/* The register as it was read, and nobody there who has more of the spool. */
static size_t compares_of(const struct members *members, const struct spools_plan *plan,
    char keys[3][MEMBER_PATH_SIZE], struct kv_compare *compares, uint64_t primary)
{
    const struct spool_register *reg = &plan->reg;
    size_t count = 0;
    member_path(keys[count], members->cluster, "spool", plan->spool);
    compares[count] = (struct kv_compare){.key = keys[count], .revision = plan->revision};
    count++;
    if (reg->node[0] != '\0') {
        member_path(keys[count], members->cluster, "live", reg->node);
        compares[count] = (struct kv_compare){.key = keys[count], .revision = primary};
        count++;
    }
    if (reg->mirror_node[0] != '\0') {
        member_path(keys[count], members->cluster, "live", reg->mirror_node);
        compares[count] = (struct kv_compare){.key = keys[count]};
        count++;
    }
    return count;
}

int spools_revive(
    const struct members *members, const struct spools_plan *plan, const char *by, struct error *error)
{
    struct spool_register next;
    struct kv_compare compares[3];
    char keys[3][MEMBER_PATH_SIZE];
    struct member_live live;
    uint64_t primary;
    struct buffer text = {0};
    if (spool_register_revive(&plan->reg, plan->disk, plan->node, by, &next, error) != 0 ||
        check_primary(members, plan, error) != 0 ||
        find_live(members, plan->reg.node, &live, &primary, error) != 0)
        return -1;
    size_t count = compares_of(members, plan, keys, compares, primary);
    spool_register_write(&next, &text);
    struct kv_change change = {keys[0], buffer_bytes(&text), buffer_len(&text), 0};
    enum kv_outcome outcome = kv_transact(&members->kv, compares, count, &change, 1, error);
    buffer_free(&text);
    if (outcome == KV_LOST)
        return error_set(error,
            "who has spool %s, or who is there, has changed just now: nothing was done. Look again: todoku "
            "spools",
            plan->spool);
    if (outcome == KV_UNKNOWN)
        error_prefix(error, "it may have been done, or not; look with `todoku spools`");
    return outcome == KV_DONE ? 0 : -1;
}

int spools_serves(const struct members *members, const struct spools_plan *plan, struct error *error)
{
    struct spools_plan now = *plan;
    if (find_register(members, &now, error) != 0)
        return -1;
    if (strcmp(now.reg.disk, plan->disk) != 0)
        return error_set(
            error, "spool %s is on disk %s of node %s by now", plan->spool, now.reg.disk, now.reg.node);
    return now.reg.process != 0;
}
