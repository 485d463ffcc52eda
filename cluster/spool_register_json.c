/* spool_register_json - the register as JSON text; see spool_register.h */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_out.h"
#include "cluster/spool_register.h"

void spool_register_write(const struct spool_register *reg, struct buffer *out)
{
    char process[24];
    snprintf(process, sizeof process, "%" PRIu64, reg->process);
    json_begin(out, '{');
    json_number(out, "epoch", (int64_t)reg->epoch);
    json_text(out, "node", reg->node);
    json_number(out, "incarnation", (int64_t)reg->incarnation);
    json_text(out, "disk", reg->disk);
    json_text(out, "mirror", reg->mirror);
    if (reg->mirror_node[0] != '\0')
        json_text(out, "mirror_node", reg->mirror_node);
    json_text(out, "old", reg->old);
    if (reg->old_node[0] != '\0')
        json_text(out, "old_node", reg->old_node);
    if (reg->process != 0)
        json_text(out, "process", process); /* random: more than a number of JSON can be trusted with */
    if (reg->retired)
        json_bool(out, "retired", true);
    if (reg->revived != 0) {
        json_number(out, "revived", (int64_t)reg->revived);
        json_text(out, "revived_by", reg->revived_by);
    }
    json_end(out, '}');
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
    json_int_t epoch, incarnation, revived = 0;
    int retired = 0;
    const char *node, *disk, *mirror, *old, *process = "0", *mirror_node = "", *old_node = "", *by = "";
    int bad = json_unpack_ex(json, &why, 0, "{s:I, s:s, s:I, s:s, s:s, s:s, s?s, s?s, s?b, s?s, s?I, s?s}",
        "epoch", &epoch, "node", &node, "incarnation", &incarnation, "disk", &disk, "mirror", &mirror, "old",
        &old, "process", &process, "mirror_node", &mirror_node, "retired", &retired, "old_node", &old_node,
        "revived", &revived, "revived_by", &by);
    *reg_r = (struct spool_register){0};
    if (bad == 0) {
        reg_r->epoch = (uint64_t)epoch;
        reg_r->incarnation = (uint64_t)incarnation;
        bad = copy(reg_r->node, sizeof reg_r->node, node) | copy(reg_r->disk, sizeof reg_r->disk, disk) |
              copy(reg_r->mirror, sizeof reg_r->mirror, mirror) | copy(reg_r->old, sizeof reg_r->old, old) |
              copy(reg_r->mirror_node, sizeof reg_r->mirror_node, mirror_node) |
              copy(reg_r->old_node, sizeof reg_r->old_node, old_node) |
              copy(reg_r->revived_by, sizeof reg_r->revived_by, by);
        reg_r->revived = (uint64_t)revived;
        reg_r->process = strtoull(process, NULL, 10);
        reg_r->retired = retired != 0;
        snprintf(why.text, sizeof why.text, "a name in it is too long");
    }
    if (bad == 0 && (epoch < 1 || incarnation < 1 || epoch > INT64_MAX / 2 || incarnation > INT64_MAX / 2 ||
                        revived < 0 || revived > epoch)) {
        snprintf(
            why.text, sizeof why.text, "its epoch or incarnation is no number that one can count on from");
        bad = -1;
    }
    json_decref(json);
    return bad == 0 ? 0 : error_set(error, "the register can't be read: %s", why.text);
}
