/* join - how a process becomes a member, and stays one
 *
 * The core behind every member's start:
 *     look in spec/ (am I let in, with this key, in this role?)  ->  take a lease  ->  claim live/<me>  ->
 * claim source/<address> for each of mine  ->  nodes: swap my incarnation into spool/<home> (guard 1: each
 * change compares the epoch it was decided on; guard 2: only the disk that holds the spool)  ->  say in
 * live/<me> that I am ready  ->  keep the lease. A name or an address that another process holds: waited for
 * as long as a lease may outlive a dead process (a restart after a crash gets its own back at once: same
 * disk), then refused with the holder's name; what stands there under no lease was put by hand, and is
 * nobody's. Unknown outcomes are read again. Once a member, nothing that
 * etcd does ends it: a lost lease (etcd away, a lease revoked early) is taken again with the same claims;
 * only another process that holds the name by then, or an operator who takes the member out of spec/, ends it
 * (`ended`). A member that is not well (join_set_well) lets its lease run out.
 *
 * A node whose home spool is on another disk by what the register says (it was taken over, or this disk is a new one)
 * is told so (`elsewhere`), keeps its name and its addresses, and waits to be given another home: join_set_home(). The
 * same call moves a member that runs: it is `joined` once more, with the other spool.
 *
 * Time: `now` in every call. Randomness: none (`process` comes in). Ports must not call back in. */
#ifndef CLUSTER_JOIN_H
#define CLUSTER_JOIN_H

#include "cluster/member_record.h"
#include "cluster/store_port.h"

#define JOIN_LEASE (5 * USEC_SEC)

struct join_ports {
    void *context;
    struct store_port store;
    /* Once for each home spool: all is claimed; `incarnation` is the home spool's (a coordinator's: its process). */
    void (*joined)(void *context, uint64_t incarnation);
    /* Once, and nothing follows: not let in, or no longer. The sentence says what to do. */
    void (*ended)(void *context, const char *why);
    /* What is being waited for; told when it changes and every 5 s while not joined. */
    void (*waiting)(void *context, const char *what);
    /* May be null. The register says so, since `revision`, in the store's history `history`; before `joined`. */
    void (*registered)(void *context, const struct spool_register *reg, uint64_t revision, uint64_t history);
    /* The home spool is not this disk's: `reg` says whose, `why` is the sentence. Null: that ends the join. */
    void (*elsewhere)(void *context, const struct spool_register *reg, const char *why);
};

struct join;
/* `live` is copied; incarnation 0. `cluster` names the path. */
struct join *join_new(const char *cluster, const struct member_live *live, const struct join_ports *ports);
void join_free(struct join **join);
/* The highest numbers that the register ever had, by what the member remembers: it goes on above them. Before
 * join_start. */
void join_set_floor(struct join *join, uint64_t change, uint64_t incarnation);
void join_start(struct join *join, usec_t now);
/* A node is to serve another spool, with another disk, whose register never had higher numbers than these; at any time
 * but before join_start. It is not ready then, and `joined` follows. The same two: it is closed and opened again, and
 * comes back with another incarnation, for what it refused is forgotten; unless another process has taken them. */
void join_set_home(struct join *join, const char *spool, const char *disk, uint64_t change,
    uint64_t incarnation, usec_t now);
/* A node: its incarnation is announced only when it is told here that its log has been read (after `joined`).
 */
void join_ready(struct join *join, usec_t now);
/* Another set of sources, weight, or config version: claimed and announced. */
void join_set_live(struct join *join, const struct member_live *live, usec_t now);
/* What live/<me> says of views that this member has heard of. */
void join_set_epoch(struct join *join, uint64_t epoch, usec_t now);
/* Takes the lease back: the name and the addresses are free at once. `ended` does not follow. A node says before that it
 * is stopped in order. */
void join_leave(struct join *join, usec_t now);
bool join_gone(const struct join *join); /* the leaving has been answered */

/* Whether what it stands for works; it does until this says otherwise. Where it does not, the lease is not
 * kept and nothing is claimed: when the lease is over the head takes it for gone. Then all is taken again. */
void join_set_well(struct join *join, bool well, usec_t now);

void join_result(struct join *join, uint64_t ref, const struct kv_result *result, usec_t now);
/* News of the watch on spec/<me> (its owner opens it, prefix = the exact key). */
void join_spec_news(struct join *join, const struct kv_news *news, usec_t now);
/* An operator put another store, or an older state of it, in its place (kv.h, `history`): all is read and claimed
 * anew; a node that serves goes on with its incarnation, and says so in the register. */
void join_new_history(struct join *join, usec_t now);
void join_tick(struct join *join, usec_t now);
usec_t join_deadline(const struct join *join);
bool join_is_member(const struct join *join);
uint64_t join_lease(const struct join *join); /* 0 = none just now */

#endif
