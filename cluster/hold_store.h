/* hold_store - the holds in the store, and the watch over them
 *
 * block/pause-<id> holds one each (hold.h), block/lifted who took the last ones away. Adding one takes away
 * those that have ended. Any process of the cluster may write; each change is one transaction.
 *
 *     hold_store_add(&kv, "prod", &hold, now, done, arg);
 *     watch = hold_watch_open(&kv, "prod", told, arg);   at the start, and at each change: the whole new set
 *
 * A record that can't be read is told in the log and passed over; if the hold was known before, it stays as it
 * was.
 *
 * Threads: any; `done`, `listed` and `told` come from the store's thread or within the call (kv.h). Outcomes
 * as in kv.h; `why` is a sentence, null if there is none. */
#ifndef CLUSTER_HOLD_STORE_H
#define CLUSTER_HOLD_STORE_H

#include "cluster/hold.h"
#include "cluster/kv.h"

#define HOLD_STORE_MAX (HOLD_MAX - 100) /* the rest is for those who add at the same moment */
#define HOLD_TENANT_MAX 500             /* set with the keys of one tenant */
#define HOLD_TENANTS_MAX 8000           /* set with tenants' keys: operators can always add one */

/* `count`: holds that were added or lifted. */
typedef void hold_done(void *arg, enum kv_outcome outcome, size_t count, const char *why);
/* `hold->id` is random and the caller's. KV_REFUSED: too many. KV_LOST: this id is taken. */
void hold_store_add(const struct kv *kv, const char *cluster, const struct hold *hold, usec_t now,
    hold_done *done, void *arg);

/* Which ones; null = any. With neither `id` nor `match` it is none. */
struct hold_filter {
    const char *id;
    const struct hold_match *match; /* those that name exactly this */
    const char *tenant;             /* only those that were set with a key of this tenant's */
};
/* KV_DONE with count 0: there is no such hold. KV_UNKNOWN: some may have been lifted. */
void hold_store_lift(const struct kv *kv, const char *cluster, const struct hold_filter *filter,
    const char *by, hold_done *done, void *arg);

typedef void hold_listed(void *arg, enum kv_outcome outcome, struct holds *holds, const char *why); /* lent */
void hold_store_list(const struct kv *kv, const char *cluster, hold_listed *listed, void *arg);

struct hold_watch;
typedef void hold_told(void *arg, struct holds *holds); /* lent */
struct hold_watch *hold_watch_open(const struct kv *kv, const char *cluster, hold_told *told, void *arg);
/* When it returns, nothing is told any more. */
void hold_watch_close(struct hold_watch **watch);

#endif
