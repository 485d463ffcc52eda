/* members - who may join the cluster, as it stands in the store under spec/
 *
 *     struct members members = {kv, settings->cluster.name};
 *     if (members_add(&members, &spec, &said, &error) == 0)
 *         fputs(buffer_text(&said), stdout);
 * What `todoku members` does once it has a store. Each change compares what it was decided on, so two
 * operators at once can't undo each other; a change that is doubted may be made again: nothing is done twice.
 *
 * Errors: -1 and a sentence: refused with what to do, or the store did not answer. */
#ifndef CLI_MEMBERS_H
#define CLI_MEMBERS_H

#include "base/buffer.h"
#include "cluster/kv.h"
#include "cluster/member_record.h"

struct members {
    struct kv kv;
    const char *cluster;
};

struct members_change {
    bool set_weight, set_drain, set_dead;
    uint32_t weight; /* 0 = as the node's own file says */
    bool drain;
    uint64_t dead; /* the process that is given up: members_find_dead() */
};

/* Each appends to `said` what is to be told. Adding a member that is there with this key is no error. */
int members_add(
    const struct members *members, const struct member_spec *spec, struct buffer *said, struct error *error);
int members_remove(const struct members *members, const char *name, struct buffer *said, struct error *error);
int members_set(const struct members *members, const char *name, const struct members_change *change,
    struct buffer *said, struct error *error);
/* The process of a node that may be declared dead: its last one, which does not run any more. */
int members_find_dead(
    const struct members *members, const char *name, uint64_t *process_r, struct error *error);
/* One JSON object a line, by name: name, role, state, weight, drain, endpoint, key. State: up; starting (not
 * ready yet); not seen; removed (it runs and is in spec/ no more); other key; wire N (another version
 * of the bus). */
int members_list(const struct members *members, struct buffer *lines, struct error *error);

/* What the store has: etcd's cluster, its revision, members, view, configuration. An error if no member stands there. */
int members_survey(const struct members *members, struct buffer *said, struct error *error);
/* The store as it is goes, though members have seen a newer one, or another (cluster/store_age.h). */
int members_adopt(const struct members *members, struct buffer *said, struct error *error);

/* A public key in Z85 (ZeroMQ RFC 32): 40 characters, 32 bytes. */
bool members_key_good(const char *key);

#endif
