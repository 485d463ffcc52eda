/* view - the cluster as its leader published it
 *
 * Nodes with their weight, sources, home spool and last turn, and who serves the spools that were taken over, under
 * an epoch that only grows. Everybody who places mail
 * holds the same value, so everybody gets the same answer. Constant once published; held by count, shared by
 * threads.
 *
 * Life: view_new -> fill it -> view_seal, which makes its names quick to find -> shared. One that was never
 * sealed works too, each look-up of a name then walks all of it.
 *
 * Memory: about 200 bytes a source. */
#ifndef CLUSTER_VIEW_H
#define CLUSTER_VIEW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "cluster/view_turn.h"

#define MEMBER_ID_SIZE 64 /* members and spools, with the zero */
#define VIEW_MAX_NODES 10000
#define VIEW_MAX_HOT 512     /* domains that are split */
#define VIEW_MAX_PARTS 65536 /* of a domain */
#define VIEW_SHARE 1024      /* of messages placed one by one: as its weight says */
#define VIEW_MAX_SHARE (64 * VIEW_SHARE)

struct view_source {
    char *address, *public_address, *helo; /* public: null = address */
    char **pools;
    size_t pool_count;
};

/* Frees the texts. */
void view_source_clear(struct view_source *source);

struct view_node {
    char id[MEMBER_ID_SIZE];
    char spool[MEMBER_ID_SIZE]; /* its home spool: where mail for it goes */
    uint64_t incarnation; /* of the process that serves it; mail addressed to another one is not taken */
    uint32_t weight;      /* 0 = gets no new mail */
    uint32_t share; /* of the mail that is placed message by message, in 1/VIEW_SHARE of its weight's part; 0:
                             it was never said, and means VIEW_SHARE */
    bool draining;
    bool down;                   /* declared dead: gets no new mail; what it holds waits for it */
    bool returns;                /* down, but expected back soon: nobody takes its spool over */
    uint64_t process;            /* this start of it, as the bus knows it */
    struct view_turn turn;       /* to up, draining or down */
    char *endpoint;              /* of its bus, or null (one process) */
    char *rack;                  /* or null */
    struct view_source *sources; /* heads publish one for each list of pools; all of them stand in live/ */
    size_t source_count;
};

struct view_coordinator {
    char id[MEMBER_ID_SIZE];
    uint64_t process;
    char *endpoint;
    bool down;
    struct view_turn turn;
};

/* A domain with too much mail for one node. */
struct view_hot {
    char *domain; /* a lower-case A-label */
    uint32_t
        parts; /* by the message's id, each of them placed like a domain of its own; 0: every message is placed by
                       itself */
};

/* A spool that another node took over from the one whose home it was: until it is empty that node, its heir, is asked
 * for what is in there. It takes nothing new. */
struct view_taken {
    char spool[MEMBER_ID_SIZE];
    char node[MEMBER_ID_SIZE];
    uint64_t incarnation;
};

struct view_index;
struct view {
    atomic_uint holders;
    uint64_t epoch;
    uint32_t wire;               /* the version of the wire that the cluster speaks; proto/wire.h */
    char leader[MEMBER_ID_SIZE]; /* who published it; "" = nobody (one process) */
    char teller[MEMBER_ID_SIZE]; /* the node that tells turns as events; "" = nobody just now */
    uint64_t tells_from;         /* those of this epoch, and later */
    struct view_node *nodes;
    size_t node_count;
    struct view_coordinator *coordinators;
    size_t coordinator_count;
    struct view_hot *hot; /* by name, rising */
    size_t hot_count;
    struct view_taken *taken;
    size_t taken_count;
    struct view_index *index; /* null until it is sealed */
};

/* An empty view of our own newest wire version, held once; fill it before anybody else sees it. */
struct view *view_new(uint64_t epoch);
struct view *view_hold(struct view *view);
void view_drop(struct view **view);
/* Copies the ids; the node returned is valid until the next view_add_node. */
struct view_node *view_add_node(
    struct view *view, const char *id, const char *spool, uint64_t incarnation, uint32_t weight);
void view_add_source(struct view_node *node, const char *address, const char *helo, const char *const *pools,
    size_t pool_count);
/* Copies the texts; valid until the next one is added. */
struct view_coordinator *view_add_coordinator(
    struct view *view, const char *id, uint64_t process, const char *endpoint);
/* Copies the name. Names must rise from call to call (else a bug), and be at most VIEW_MAX_HOT; parts at most
 * VIEW_MAX_PARTS. */
void view_add_hot(struct view *view, const char *domain, uint32_t parts);
/* Whether, and how, the domain is split; null: it is not. */
const struct view_hot *view_hot(const struct view *view, const char *domain);
/* Copies the texts. */
void view_add_taken(struct view *view, const char *spool, const char *node, uint64_t incarnation);
/* Copies; null = none. */
void view_set_endpoint(struct view_node *node, const char *endpoint);
/* Ends the filling, before anybody else sees it: nothing may be added or changed from now on. -1: a member, a
 * home spool or a spool that was taken over is named twice, with the sentence; the view is then as it was. */
int view_seal(struct view *view, struct error *error);
const struct view_node *view_node(const struct view *view, const char *id);
const struct view_coordinator *view_coordinator(const struct view *view, const char *id);
/* Who serves that spool: its heir if it was taken over, else the node whose home it is; null: nobody that the view
 * knows. `incarnation_r`, if not null: as which incarnation; mail that is addressed to another one is not taken. */
const struct view_node *view_spool(const struct view *view, const char *spool, uint64_t *incarnation_r);
/* Null: it was not taken over. */
const struct view_taken *view_taken(const struct view *view, const char *spool);
/* Whether new mail may go there. */
bool view_node_gets_mail(const struct view_node *node);
bool view_node_has_pool(const struct view_node *node, const char *pool);

#endif
