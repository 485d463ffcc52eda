/* keeper_uv - the node's keeper: its loop, disk, connections, DNS and event log wired to the core
 *
 * One libuv loop in one thread runs the node's core, and the connections too unless node.loops is above 1: then they
 * are on work loops (link_far_uv.c). The spool's writer has its own thread, reads of bodies
 * and of the event log use libuv's pool. Other threads reach it by the bus and one wake-up.
 *
 * Life: keeper_open (reads the log, with progress) -> keeper_run in its thread -> keeper_stop from any ->
 * keeper_close. Stopping: no new attempt; what is in flight is finished up to a limit; the log is written
 * out. */
#ifndef NODE_KEEPER_UV_H
#define NODE_KEEPER_UV_H

#include "base/error.h"
#include "cluster/bus.h"
#include "cluster/hold.h"
#include "cluster/settings.h"
#include "cluster/spool_claim.h"
#include "cluster/view.h"
#include "node/keyring.h"

/* How the node comes by its spool: makes (member, disk) the primary of `spool` with a fresh incarnation, as
 * all agree. May wait. -1 with the reason: it is not ours. SPOOL_ELSEWHERE: it was taken over, or was never this
 * disk's, as `home_r->reg` says; the keeper then asks for another one (node/home.h). */
struct node_bus; /* node/node.h */
struct keeper_claim {
    void *context;
    int (*claim)(
        void *context, const struct spool_wish *wish, struct spool_home *home_r, struct error *error);
    /* Once, from the node's thread: the home spool was taken over while the node served it. No attempt begins any more;
     * the owner closes the keeper when what is in flight has ended (keeper_quiesce), and opens another. May be null. */
    void (*deposed)(void *context);
    /* Of a cluster: its store, which is asked until keeper_part(), and its name. Null: one machine, one copy. Lent for
     * keeper_open. */
    const struct kv *kv;
    const char *cluster;
    /* What the way to other machines has carried; from the node's thread. May be null: there are none. */
    void (*bus)(void *context, struct node_bus *bus_r);
};

struct keeper;
/* Opens data_dir (made if missing), reads the log and claims the spool. The error names the file and what to
 * do. `keyring`: the settings' keys; held.
 */
struct keeper *keeper_open(const struct settings *settings, struct keyring *keyring, struct bus_local *bus,
    const struct keeper_claim *claim, struct error *error);
void keeper_close(struct keeper **keeper);
/* The name of the home spool and the incarnation that serves it: what the view says of this node. */
const char *keeper_spool(const struct keeper *keeper);
uint64_t keeper_incarnation(const struct keeper *keeper);
void keeper_run(struct keeper *keeper);
/* No new attempt from now on, and no new mail: who asks is refused, and may ask another. Returns when what is in
 * flight is finished, or after 30 s, and what was logged is on the other disk too, or after 5 s more; the loop goes on. From any thread but its own. */
void keeper_quiesce(struct keeper *keeper);
/* The store is about to go: when this has returned, it is not asked any more. From any thread; after keeper_quiesce. */
void keeper_part(struct keeper *keeper);
/* From any thread. */
void keeper_stop(struct keeper *keeper);
void keeper_set_view(struct keeper *keeper, struct view *view); /* one that is not newer changes nothing */
/* Nothing is heard of another member, or again something. */
void keeper_set_silent(struct keeper *keeper, const char *member, bool silent);
/* The holds there are, at the start and whenever they change (lent). What was known at the last stop goes until then.
 */
void keeper_set_holds(struct keeper *keeper, struct holds *holds);
void keeper_set_settings(struct keeper *keeper, const struct settings *settings, struct keyring *keyring);

#endif
