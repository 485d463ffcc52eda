/* spool_register_json - the register as JSON text; see spool_register.h */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/spool_register.h"

void spool_register_write(const struct spool_register *reg, struct buffer *out)
{
    json_t *json = json_pack("{s:I, s:s, s:I, s:s, s:s, s:s}", "epoch", (json_int_t)reg->epoch, "node",
        reg->node, "incarnation", (json_int_t)reg->incarnation, "disk", reg->disk, "mirror", reg->mirror,
        "old", reg->old);
    char *text = json_dumps(json, JSON_COMPACT);
    buffer_add_text(out, text);
    free(text);
    json_decref(json);
}

static int copy(char *to, size_t size, const char *from)
{
    if (strlen(from) >= size)
        return -1;
    snprintf(to, size, "%s", from);
    return 0;
}

int spool_register_read(const char *text, size_t len, struct spool_register *reg_r, struct error *error)
{
    json_error_t why;
    json_t *json = len > KV_MAX_VALUE ? NULL : json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (json == NULL)
        return error_set(
            error, "the register is no JSON text: %s", len > KV_MAX_VALUE ? "too long" : why.text);
    json_int_t epoch, incarnation;
    const char *node, *disk, *mirror, *old;
    int bad = json_unpack_ex(json, &why, 0, "{s:I, s:s, s:I, s:s, s:s, s:s}", "epoch", &epoch, "node", &node,
        "incarnation", &incarnation, "disk", &disk, "mirror", &mirror, "old", &old);
    *reg_r = (struct spool_register){0};
    if (bad == 0) {
        reg_r->epoch = (uint64_t)epoch;
        reg_r->incarnation = (uint64_t)incarnation;
        bad = copy(reg_r->node, sizeof reg_r->node, node) | copy(reg_r->disk, sizeof reg_r->disk, disk) |
              copy(reg_r->mirror, sizeof reg_r->mirror, mirror) | copy(reg_r->old, sizeof reg_r->old, old);
        snprintf(why.text, sizeof why.text, "a name in it is too long");
    }
    json_decref(json);
    return bad == 0 ? 0 : error_set(error, "the register can't be read: %s", why.text);
}
