/* store - a model of etcd: what kv.h promises, kept in memory, on whatever time it is given
 *
 * Only the data and its rules: keys with the revisions of their making and of their last change, transactions
 * that compare them, leases, the history of changes that watches resume from. Delays, losses and everything
 * else that goes wrong on the way to it is store_link.c; what must hold of what is written is agree.c.
 *
 * How to use: store_apply() answers at once; store_expire() before it and whenever store_deadline() has come.
 * Every change is told to the hook as it is made. tests/unit/test_kv_sim.c asks it what the real one is
 * asked.
 *
 * Memory: a result's pairs point into the store, until its next call. A `struct kv_pair` array is made to
 * last by pairs_copy(): one block, to be given to free(). */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include "cluster/kv.h"

struct store;
/* One key has changed: before and after (revision 0: was not there; `deleted`). `client` made it, 0 = the end
 * of its lease. */
typedef void store_hook(
    void *arg, uint64_t client, const struct kv_pair *before, const struct kv_pair *after);

struct store *store_new(store_hook *hook, void *arg);
void store_free(struct store **store);
void store_apply(struct store *store, uint64_t client, const struct kv_request *request, usec_t now,
    struct kv_result *result_r);

/* Ends the leases whose time has come. */
void store_expire(struct store *store, usec_t now);
usec_t store_deadline(const struct store *store);
/* A new leader among the store's own servers: every lease has its full time again. */
void store_renew_leases(struct store *store, usec_t now);
/* The lease number `nth` of those there are; 0 if there are none. */
uint64_t store_nth_lease(const struct store *store, uint64_t nth);
size_t store_lease_count(const struct store *store);

uint64_t store_revision(const struct store *store);
/* Null if it is not there; lent until the next change. */
const struct kv_pair *store_get(const struct store *store, const char *key);
uint64_t store_creator(const struct store *store, const char *key); /* the client; 0 = not there */
/* All under a prefix, in order. */
size_t store_list(struct store *store, const char *prefix, const struct kv_pair **pairs_r);
/* What changed under the prefix after `revision`, in order; false if that has been forgotten. */
bool store_since(struct store *store, const char *prefix, uint64_t revision, const struct kv_pair **pairs_r,
    size_t *count_r);
void store_compact(struct store *store); /* forgets all history */

/* With `room` bytes before the pairs for the caller. */
void *pairs_copy(size_t room, const struct kv_pair *pairs, size_t count, struct kv_pair **pairs_r);

#endif
