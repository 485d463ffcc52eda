/* member_record - what stands in the store about a member: spec/<member>, live/<member>, source/<address>,
 * leader
 *
 * JSON, small enough to be read by a person with etcdctl. Foreign bytes: every reader checks all bounds and
 * says what is wrong and where. Unknown fields are passed over (a newer version may have written them).
 *
 * Keys, all under "/todoku/<cluster>/": spec/<member>, live/<member>, source/<address>, leader, view/current,
 * spool/<spool>, adopted (store_age.h), config/current, config/version/<number>, block/pause-<id>, block/lifted (hold_store.h). */
#ifndef CLUSTER_MEMBER_RECORD_H
#define CLUSTER_MEMBER_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "cluster/spool_register.h"
#include "cluster/view.h"
#include "proto/wire.h"

#define MEMBER_KEY_SIZE 41 /* a CURVE public key in Z85, with the zero */
#define MEMBER_ENDPOINT_SIZE 256
#define MEMBER_MAX_SOURCES 4096

enum member_role {
    MEMBER_ANY,
    MEMBER_COORDINATOR,
    MEMBER_NODE
}; /* ANY: in spec only, the first start decides */

/* Written only by an operator: who may join. */
struct member_spec {
    char id[MEMBER_ID_SIZE];
    char public_key[MEMBER_KEY_SIZE];
    enum member_role role;
    uint32_t weight; /* 0 = as the node's own file says */
    bool drain;      /* gets no new mail */
    uint64_t dead; /* this process of it: an operator says that it will not come back (leader.h); 0 = none */
};

/* Written by the member itself, under its lease: it runs. */
struct member_live {
    char id[MEMBER_ID_SIZE];
    enum member_role role;
    struct wire_range wire;              /* what it speaks; written as `wire_min` and `wire` */
    uint64_t process;                    /* a random number, never 0: this start of it */
    uint64_t incarnation;                /* of its home spool; 0 = not ready yet. Coordinators: = process */
    char endpoint[MEMBER_ENDPOINT_SIZE]; /* of its bus: "tcp://10.0.0.2:7101" */
    char public_key[MEMBER_KEY_SIZE];
    char rack[MEMBER_ID_SIZE];
    /* nodes: */
    uint32_t weight; /* of its file */
    char disk[DISK_ID_SIZE], spool[MEMBER_ID_SIZE];
    struct view_source *sources; /* owned; member_live_free() */
    size_t source_count;
    bool
        leaving; /* it is being stopped in order: this record is about to go, and a new start is to be expected */
    uint64_t config; /* version of config/ it works by; 0 = its own file's */
    uint64_t
        epoch; /* the highest of a view that it remembered at its start, or when an operator put another store in
                        place: new ones have to be above it. 0: none */
};

struct member_claim { /* source/<address>: who sends from there */
    char node[MEMBER_ID_SIZE];
    uint64_t process;
};

void member_spec_write(const struct member_spec *spec, struct buffer *out);
int member_spec_read(const char *text, size_t len, struct member_spec *spec_r, struct error *error);
void member_live_write(const struct member_live *live, struct buffer *out);
/* 0, or -1; the record of a program that speaks no version of ours is read as far as id, wire and role. */
int member_live_read(const char *text, size_t len, struct member_live *live_r, struct error *error);
void member_live_free(struct member_live *live); /* what it owns */
void member_live_copy(const struct member_live *from, struct member_live *to_r);
void member_claim_write(const struct member_claim *claim, struct buffer *out);
int member_claim_read(const char *text, size_t len, struct member_claim *claim_r, struct error *error);

/* "/todoku/<cluster>/<what>/<name>"; `name` may be null ("/todoku/<cluster>/<what>"). */
#define MEMBER_PATH_SIZE 512
void member_path(char path_r[MEMBER_PATH_SIZE], const char *cluster, const char *what, const char *name);

/* What a node's home spool is called. Node names have at most 60 characters (settings). */
void member_home_spool(const char *node, char spool_r[MEMBER_ID_SIZE]);
/* Names of members and clusters: 1 .. 62 of [A-Za-z0-9._-], beginning with a letter or digit. */
bool member_name_good(const char *name);
const char *member_role_name(enum member_role role);

#endif
