/* spool_register - see spool_register.h */
#include "cluster/spool_register.h"

#include <stdio.h>
#include <string.h>

static int first(struct spool_register *reg, const char *node, const char *disk)
{
    *reg = (struct spool_register){.epoch = 1, .incarnation = 1};
    snprintf(reg->node, sizeof reg->node, "%s", node);
    snprintf(reg->disk, sizeof reg->disk, "%s", disk);
    return 0;
}

static int resumed(struct spool_register *reg, const char *node, const char *disk, struct error *error)
{
    if (strcmp(reg->disk, disk) != 0)
        return error_set(error,
            "the spool is on disk %s of node %s, not on this one (%s); bring that disk back, or give this "
            "node a new id",
            reg->disk, reg->node, disk);
    snprintf(reg->node, sizeof reg->node, "%s", node);
    reg->epoch++;
    reg->incarnation++;
    return 0;
}

int spool_register_resume(const struct kv *kv, const char *key, const char *node, const char *disk,
    struct spool_register *reg_r, struct error *error)
{
    enum kv_outcome outcome = KV_LOST;
    struct buffer value = {0};
    int status = 0;
    for (int tries = 0; tries < 10 && status == 0 && outcome != KV_DONE; tries++) {
        buffer_clear(&value);
        uint64_t revision;
        outcome = kv_get(kv, key, &value, &revision, error);
        if (outcome == KV_UNKNOWN)
            continue;
        if (outcome == KV_REFUSED)
            break;
        if (revision == 0)
            status = first(reg_r, node, disk);
        else {
            status = spool_register_read(buffer_bytes(&value), buffer_len(&value), reg_r, error);
            if (status == 0)
                status = resumed(reg_r, node, disk, error);
        }
        if (status != 0)
            break;
        buffer_clear(&value);
        spool_register_write(reg_r, &value);
        outcome = kv_swap(kv, key, revision, buffer_bytes(&value), buffer_len(&value), error);
    }
    buffer_free(&value);
    if (status != 0 || outcome == KV_DONE)
        return status;
    return error_prefix(error, "the register %s could not be taken over", key);
}
