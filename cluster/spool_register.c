/* spool_register - see spool_register.h */
#include "cluster/spool_register.h"

#include <stdio.h>
#include <string.h>

enum spool_register_step spool_register_next(const struct spool_register *reg, const char *node,
    const char *disk, uint64_t process, struct spool_register *next_r, struct error *error)
{
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
