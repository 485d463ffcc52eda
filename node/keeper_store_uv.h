/* keeper_store_uv - the store (etcd), for cores that live on a node's loop
 *
 * A core asks through a store_port and hears about one key; the store answers and tells from threads of its own. This
 * carries both to the loop: one watch on a prefix for all cores, kept as a table of what stands there now, so that
 * one that joins later hears at once what is known, and a loop that is slow gets the newest state of its key and not
 * the history of it. All that a user is told comes from the loop, never from within keeper_store_join or `request`.
 *
 * News of a user: KV_LIST with its pair or none; KV_CHANGES with its pair, also one that says `deleted` (its revision
 * is then the store's of the newest news, which may be more than the deletion's); KV_AWAY. News of other keys are not
 * told.
 *
 * Life: keeper_store_open (on the loop's thread, before it runs or while it does) -> keeper_store_part (any thread,
 * once, before the store goes: from then on each request is refused and no news come) -> keeper_store_close.
 * Threads: all but keeper_store_part on the loop's. Memory: the pairs under the prefix; answers that wait for the
 * loop, one a request that was made. */
#ifndef NODE_KEEPER_STORE_UV_H
#define NODE_KEEPER_STORE_UV_H

#include <uv.h>

#include "base/clock.h"
#include "cluster/store_port.h"

struct store_user { /* one core; the caller's, until it leaves */
    void *context;
    const char *key; /* news of this key only; lent */
    void (*result)(void *context, uint64_t ref, const struct kv_result *result, usec_t now);
    void (*news)(void *context, const struct kv_news *news, usec_t now);
};

struct keeper_store;
/* Begins to watch all keys that begin with `prefix`. */
struct keeper_store *keeper_store_open(uv_loop_t *loop, const struct kv *kv, const char *prefix);
/* The port is good until the user leaves; its requests may be of any key. Both may be called from within `result` and
 * `news`. */
struct store_port keeper_store_join(struct keeper_store *store, struct store_user *user);
/* It is told nothing any more; what it asked still happens, answers are dropped. */
void keeper_store_leave(struct keeper_store *store, struct store_user *user);
/* The store is about to go: the watch ends, and what is asked from now on is answered KV_REFUSED. When this has
 * returned, the store is not used any more; requests under way may still be answered. */
void keeper_store_part(struct keeper_store *store);
/* Parts, if that was not done. All users have left. Waits for no answer. The loop must run once more. */
void keeper_store_close(struct keeper_store **store);

#endif
