/* Anything as a record of the store, by its first byte: spec, live, claim, or register. What is read can be
 * written, and is then read as the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "cluster/member_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_spec(const char *text, size_t len)
{
    struct member_spec spec, again;
    struct error error;
    struct buffer out = {0};
    if (member_spec_read(text, len, &spec, &error) != 0)
        return;
    member_spec_write(&spec, &out);
    must(member_spec_read(buffer_bytes(&out), buffer_len(&out), &again, &error) == 0);
    must(strcmp(spec.id, again.id) == 0 && strcmp(spec.public_key, again.public_key) == 0 &&
         spec.role == again.role && spec.weight == again.weight && spec.drain == again.drain);
    buffer_free(&out);
}

static void try_live(const char *text, size_t len)
{
    struct member_live live, again;
    struct error error;
    struct buffer first = {0}, second = {0};
    if (member_live_read(text, len, &live, &error) != 0)
        return;
    must(live.source_count <= MEMBER_MAX_SOURCES);
    if (wire_meets(&live.wire, &wire_ours)) {
        member_live_write(&live, &first);
        if (buffer_len(&first) <= KV_MAX_VALUE) { /* escapes may take more than what was read */
            must(member_live_read(buffer_bytes(&first), buffer_len(&first), &again, &error) == 0);
            member_live_write(&again, &second);
            must(strcmp(buffer_text(&first), buffer_text(&second)) == 0);
            member_live_free(&again);
        }
    }
    member_live_free(&live);
    buffer_free(&first);
    buffer_free(&second);
}

static void try_claim(const char *text, size_t len)
{
    struct member_claim claim, again;
    struct error error;
    struct buffer out = {0};
    if (member_claim_read(text, len, &claim, &error) != 0)
        return;
    member_claim_write(&claim, &out);
    must(member_claim_read(buffer_bytes(&out), buffer_len(&out), &again, &error) == 0);
    must(strcmp(claim.node, again.node) == 0 && claim.process == again.process);
    buffer_free(&out);
}

static void try_register(const char *text, size_t len)
{
    struct spool_register reg, next, again;
    struct error error;
    struct buffer out = {0};
    if (spool_register_read(text, len, &reg, &error) != 0)
        return;
    must(reg.epoch > 0 && reg.incarnation > 0);
    if (spool_register_next(&reg, "n1", reg.disk, 7, &next, &error) == SPOOL_REGISTER_SWAP)
        must(next.epoch == reg.epoch + 1 && next.incarnation == reg.incarnation + 1);
    spool_register_write(&reg, &out);
    must(spool_register_read(buffer_bytes(&out), buffer_len(&out), &again, &error) == 0);
    must(spool_register_same(&again, &reg) && strcmp(again.mirror_node, reg.mirror_node) == 0);
    if (spool_register_take_over(&reg, reg.mirror, "n2", 8, &next, &error) == 0)
        must(
            next.epoch == reg.epoch + 1 && next.incarnation == reg.incarnation + 1 && next.mirror[0] == '\0');
    buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    switch (data[0]) {
    case 's':
        try_spec(text, size - 1);
        break;
    case 'l':
        try_live(text, size - 1);
        break;
    case 'c':
        try_claim(text, size - 1);
        break;
    default:
        try_register(text, size - 1);
        break;
    }
    return 0;
}
