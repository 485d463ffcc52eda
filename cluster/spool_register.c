/* spool_register - see spool_register.h */
#include "cluster/spool_register.h"

#include <stdio.h>
#include <string.h>

static int is_in_use(const struct spool_register *reg, struct error *error)
{
    if (reg->retired)
        return error_set(error,
            "the spool is retired: node %s moved all of it on, and it is nobody's any more", reg->node);
    return 0;
}

enum spool_register_step spool_register_next(const struct spool_register *reg, const char *node,
    const char *disk, uint64_t process, struct spool_register *next_r, struct error *error)
{
    if (reg != NULL && is_in_use(reg, error) != 0)
        return SPOOL_REGISTER_REFUSED;
    if (reg != NULL && strcmp(reg->disk, disk) != 0) {
        error_set(error,
            "the spool is on disk %s of node %s, not on this one (%s); bring that disk back, or give this "
            "node a new id",
            reg->disk, reg->node, disk);
        return SPOOL_REGISTER_REFUSED;
    }
    *next_r = reg == NULL ? (struct spool_register){0} : *reg;
    if (reg != NULL && process != 0 && reg->process == process)
        return SPOOL_REGISTER_MINE;
    next_r->epoch++;
    next_r->incarnation++;
    next_r->process = process;
    snprintf(next_r->node, sizeof next_r->node, "%s", node);
    snprintf(next_r->disk, sizeof next_r->disk, "%s", disk);
    return SPOOL_REGISTER_SWAP;
}

/* ---- what a primary and a mirror make of it ---- */

static int is_primary(
    const struct spool_register *reg, const char *disk, uint64_t process, struct error *error)
{
    if (is_in_use(reg, error) != 0)
        return -1;
    if (strcmp(reg->disk, disk) != 0)
        return error_set(error, "the spool is on disk %s of node %s by now, not on this one (%s)", reg->disk,
            reg->node, disk);
    if (reg->process != process)
        return error_set(error, "another process of node %s serves the spool by now, with this disk (%s)",
            reg->node, disk);
    return 0;
}

static void set_primary(struct spool_register *next, const char *disk, const char *node, uint64_t process)
{
    memcpy(next->old, next->disk, sizeof next->old);
    memcpy(next->old_node, next->node, sizeof next->old_node);
    snprintf(next->disk, sizeof next->disk, "%s", disk);
    snprintf(next->node, sizeof next->node, "%s", node);
    next->process = process;
    next->incarnation++;
    next->mirror[0] = next->mirror_node[0] = '\0';
}

int spool_register_take_over(const struct spool_register *reg, const char *disk, const char *node,
    uint64_t process, struct spool_register *next_r, struct error *error)
{
    if (is_in_use(reg, error) != 0)
        return -1;
    if (disk[0] == '\0' || strcmp(reg->mirror, disk) != 0)
        return error_set(error, "this copy (disk %s) is not the spool's mirror: the register says \"%s\"",
            disk, reg->mirror);
    *next_r = *reg;
    next_r->epoch++;
    set_primary(next_r, disk, node, process);
    return 0;
}

int spool_register_sever(const struct spool_register *reg, const char *disk, uint64_t process,
    struct spool_register *next_r, struct error *error)
{
    if (is_primary(reg, disk, process, error) != 0)
        return -1;
    *next_r = *reg;
    next_r->epoch++;
    if (reg->mirror[0] != '\0') {
        memcpy(next_r->old, reg->mirror, sizeof next_r->old);
        memcpy(next_r->old_node, reg->mirror_node, sizeof next_r->old_node);
    }
    next_r->mirror[0] = next_r->mirror_node[0] = '\0';
    return 0;
}

int spool_register_take_in(const struct spool_register *reg, const char *disk, uint64_t process,
    const char *learner_disk, const char *learner_node, struct spool_register *next_r, struct error *error)
{
    if (is_primary(reg, disk, process, error) != 0)
        return -1;
    if (learner_disk[0] == '\0' || strcmp(learner_disk, disk) == 0 || strcmp(learner_disk, reg->mirror) == 0)
        return error_set(
            error, "disk \"%s\" can't become the mirror: it is none, or has the spool already", learner_disk);
    *next_r = *reg;
    next_r->epoch++;
    snprintf(next_r->mirror, sizeof next_r->mirror, "%s", learner_disk);
    snprintf(next_r->mirror_node, sizeof next_r->mirror_node, "%s", learner_node);
    next_r->old[0] = next_r->old_node[0] = '\0';
    return 0;
}

int spool_register_hand_over(const struct spool_register *reg, const char *disk, uint64_t process,
    uint64_t heir_process, struct spool_register *next_r, struct error *error)
{
    if (is_primary(reg, disk, process, error) != 0)
        return -1;
    if (reg->mirror[0] == '\0' || reg->mirror_node[0] == '\0')
        return error_set(error, "the spool has no mirror that it could be handed to");
    *next_r = *reg;
    next_r->epoch++;
    set_primary(next_r, reg->mirror, reg->mirror_node, heir_process);
    return 0;
}

int spool_register_retire(const struct spool_register *reg, const char *disk, uint64_t process,
    struct spool_register *next_r, struct error *error)
{
    if (is_primary(reg, disk, process, error) != 0)
        return -1;
    *next_r = *reg;
    next_r->epoch++;
    next_r->mirror[0] = next_r->mirror_node[0] = next_r->old[0] = next_r->old_node[0] = '\0';
    next_r->retired = true;
    return 0;
}

int spool_register_revive(const struct spool_register *reg, const char *disk, const char *node,
    const char *by, struct spool_register *next_r, struct error *error)
{
    if (is_in_use(reg, error) != 0)
        return -1;
    if (disk[0] == '\0' || strcmp(reg->disk, disk) == 0)
        return error_set(error, "disk \"%s\" is the one that has the spool, on node %s", disk, reg->node);
    if (strcmp(reg->mirror, disk) == 0)
        return error_set(error,
            "disk %s is the spool's mirror and has all of it: its node takes the spool over by itself when "
            "node %s is declared dead",
            disk, reg->node);
    *next_r = *reg;
    next_r->epoch++;
    set_primary(next_r, disk, node, 0);
    next_r->revived = next_r->epoch;
    snprintf(next_r->revived_by, sizeof next_r->revived_by, "%s", by);
    return 0;
}

bool spool_register_same(const struct spool_register *a, const struct spool_register *b)
{
    return a->epoch == b->epoch && a->incarnation == b->incarnation && a->process == b->process &&
           a->retired == b->retired && a->revived == b->revived && strcmp(a->node, b->node) == 0 &&
           strcmp(a->disk, b->disk) == 0 && strcmp(a->mirror, b->mirror) == 0 && strcmp(a->old, b->old) == 0;
}

/* ---- one machine's start ---- */

/* One read and one swap; the outcome is the swap's. */
static enum kv_outcome attempt(const struct kv *kv, const char *key, const char *node, const char *disk,
    struct spool_register *reg_r, bool *refused_r, struct error *error)
{
    struct buffer value = {0};
    struct spool_register now;
    uint64_t revision;
    enum kv_outcome outcome = kv_get(kv, key, &value, &revision, error);
    if (outcome == KV_DONE) {
        *refused_r =
            revision != 0 && spool_register_read(buffer_bytes(&value), buffer_len(&value), &now, error) != 0;
        if (!*refused_r)
            *refused_r = spool_register_next(revision == 0 ? NULL : &now, node, disk, 0, reg_r, error) ==
                         SPOOL_REGISTER_REFUSED;
        if (!*refused_r) {
            buffer_clear(&value);
            spool_register_write(reg_r, &value);
            outcome = kv_swap(kv, key, revision, buffer_bytes(&value), buffer_len(&value), error);
        }
    }
    buffer_free(&value);
    return outcome;
}

static enum kv_outcome read_back(
    const struct kv *kv, const char *key, uint64_t *revision, struct spool_register *reg, struct error *error)
{
    struct buffer value = {0};
    enum kv_outcome outcome = kv_get(kv, key, &value, revision, error);
    if (outcome == KV_DONE &&
        (*revision == 0 || spool_register_read(buffer_bytes(&value), buffer_len(&value), reg, error) != 0))
        outcome = KV_REFUSED;
    buffer_free(&value);
    return outcome;
}

int spool_register_go_alone(
    const struct kv *kv, const char *key, uint64_t revision, struct spool_register *reg, struct error *error)
{
    enum kv_outcome outcome = KV_LOST;
    const struct spool_register mine = *reg;
    error_set(error, "it changes all the time");
    for (int tries = 0; tries < 10 && reg->mirror[0] != '\0' && outcome != KV_REFUSED; tries++) {
        struct spool_register next;
        struct buffer value = {0};
        if (spool_register_sever(reg, mine.disk, mine.process, &next, error) != 0)
            break;
        spool_register_write(&next, &value);
        outcome = kv_swap(kv, key, revision, buffer_bytes(&value), buffer_len(&value), error);
        buffer_free(&value);
        if (outcome == KV_DONE)
            *reg = next;
        else if (outcome != KV_REFUSED)
            outcome = read_back(kv, key, &revision, reg, error) == KV_REFUSED ? KV_REFUSED : KV_LOST;
    }
    return reg->mirror[0] == '\0' ? 0 : error_prefix(error, "the mirror in %s can't be given up", key);
}

int spool_register_resume(const struct kv *kv, const char *key, const char *node, const char *disk,
    struct spool_register *reg_r, struct error *error)
{
    enum kv_outcome outcome = KV_LOST;
    bool refused = false;
    for (int tries = 0; tries < 10 && !refused && (outcome == KV_LOST || outcome == KV_UNKNOWN); tries++)
        outcome = attempt(kv, key, node, disk, reg_r, &refused, error);
    if (refused)
        return -1;
    return outcome == KV_DONE ? 0 : error_prefix(error, "the register %s could not be taken over", key);
}
