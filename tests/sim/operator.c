/* operator - what an operator does to spec/ by `todoku members`; see control.h */
#include <stdio.h>

#include "tests/sim/control.h"
#include "tests/sim/store_link.h"

void operator_key(const struct member *member, char key[MEMBER_KEY_SIZE])
{
    snprintf(key, MEMBER_KEY_SIZE, "%040d", member->index);
}

void operator_writes(struct member *member)
{
    struct member_spec spec = {.role = member_is_node(member) ? MEMBER_NODE : MEMBER_COORDINATOR,
        .weight = member_is_node(member) ? member->weight : 0,
        .drain = member->draining};
    struct buffer text = {0};
    char path[MEMBER_PATH_SIZE];
    snprintf(spec.id, sizeof spec.id, "%s", member->name);
    operator_key(member, spec.public_key);
    member_spec_write(&spec, &text);
    member_path(path, SIM_CLUSTER, "spec", member->name);
    control_wake(member->sim);
    link_operator_put(member->sim, path, buffer_bytes(&text), buffer_len(&text));
    buffer_free(&text);
}

void operator_removes(struct member *member)
{
    char path[MEMBER_PATH_SIZE];
    member_path(path, SIM_CLUSTER, "spec", member->name);
    control_wake(member->sim);
    member->spec_missed = true;
    link_operator_put(member->sim, path, NULL, 0);
}
