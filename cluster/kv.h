/* kv - the little that all members must agree on, in a store with compare-and-swap, leases and watches
 *
 * A face: etcd (kv_etcd), the embedded, file-backed store of one machine (kv_file) and the simulator's
 * satisfy it, and all pass the same tests. Keys are paths ("/todoku/prod/spool/n1.0"), values at most
 * KV_MAX_VALUE bytes. Every change raises the store's revision; a key remembers the revisions of its making
 * and of its last change; 0 = is not there. A write is durable when it is answered.
 *
 * Outcomes: KV_DONE; KV_LOST: a compare did not hold (or the lease is no more): nothing was changed;
 * KV_UNKNOWN: no answer in time, or the connection broke: it may or may not have happened, read again;
 * KV_REFUSED: it did not happen, and asking again the same way won't help (`why` says the reason).
 *
 * Threads: `request` and `watch` may be called from any. `done` is called exactly once a request, `told` for
 * every piece of news in order, both from a thread of the store's or within the call; they must not block,
 * and may call `request`. What they are given is lent for the call. Every request ends within the store's
 * deadline (KV_PATIENCE): nothing waits for ever. */
#ifndef CLUSTER_KV_H
#define CLUSTER_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"

#define KV_MAX_VALUE (1u << 20)
#define KV_MAX_KEY 512
#define KV_MAX_CHANGES 64               /* a transaction's changes, and its compares */
#define KV_MAX_RANGE ((size_t)64 << 20) /* bytes of one answer; more is KV_REFUSED */
#define KV_PATIENCE (5 * USEC_SEC)

enum kv_outcome { KV_DONE, KV_LOST, KV_UNKNOWN, KV_REFUSED };

struct kv_pair {
    const char *key;
    const void *value;
    size_t len;
    uint64_t revision,
        created;    /* of its last change, of its making; deleted: the revision of the deletion, 0 */
    uint64_t lease; /* 0 = none */
    bool deleted;   /* in news only */
};

struct kv_compare {
    const char *key;
    bool created;      /* compare the revision of its making instead of that of its last change */
    uint64_t revision; /* 0: it is not there */
};

struct kv_change {
    const char *key;
    const void *value; /* null: delete it (also if it is not there) */
    size_t len;
    uint64_t lease;
};

enum kv_verb {
    KV_RANGE,        /* key, or with `prefix` all keys that begin with it, in order, at one revision */
    KV_TXN,          /* if all compares hold, all changes; else KV_LOST */
    KV_LEASE_GRANT,  /* ttl -> lease, ttl */
    KV_LEASE_KEEP,   /* lease -> ttl; KV_LOST: it is no more, and its keys neither */
    KV_LEASE_REVOKE, /* lease; its keys are deleted */
};

struct kv_request {
    enum kv_verb verb;
    const char *key;
    bool prefix;
    const struct kv_compare *compares;
    size_t compare_count;
    const struct kv_change *changes;
    size_t change_count;
    uint64_t lease;
    usec_t ttl;
};

struct kv_result {
    enum kv_outcome outcome;
    const struct kv_pair *pairs; /* KV_RANGE */
    size_t pair_count;
    uint64_t revision; /* the store's when it answered; of a KV_TXN that is done, its changes' own */
    uint64_t lease;
    usec_t ttl;
    const char *why;  /* KV_UNKNOWN, KV_REFUSED: a sentence */
    uint64_t store;   /* KV_RANGE, KV_TXN of etcd: its cluster's id */
    uint64_t history; /* see news */
};

typedef void kv_done(void *arg, const struct kv_result *result);

/* A watch begins with KV_LIST: all there is under the prefix. Then KV_CHANGES, each change once and in order.
 * KV_AWAY: the store has not answered for a while (`why`); nothing is known until the next KV_LIST. After a
 * gap (compaction, a lost connection) a new KV_LIST comes: what is not in it is gone.
 *
 * `history` rises when an operator has put another store, or an old backup, in the place of this one and said that it
 * goes (store_age.h): after a KV_AWAY a KV_LIST comes, and no revision that was told before may be compared with what is
 * told from then on. Stores other than etcd have one history. */
enum kv_news_type { KV_LIST, KV_CHANGES, KV_AWAY };
struct kv_news {
    enum kv_news_type type;
    const struct kv_pair *pairs;
    size_t pair_count;
    uint64_t revision;
    const char *why;
    uint64_t history;
    bool refused; /* KV_AWAY: it answers, but is older than what was seen of it, or another */
};
typedef void kv_told(void *arg, const struct kv_news *news);

struct kv_watch;
struct kv {
    void *context;
    /* Copies what it needs of `request`. */
    void (*request)(void *context, const struct kv_request *request, kv_done *done, void *arg);
    struct kv_watch *(*watch)(void *context, const char *prefix, kv_told *told, void *arg);
    /* When it returns, `told` is not called any more. Not from within `told`. */
    void (*unwatch)(void *context, struct kv_watch *watch);
};

/* ---- waiting, for starts and tools (kv_wait.c); never from a store's own thread ---- */

/* Appends the value to `value_r` and sets its revision, 0 if it is not there. KV_DONE, KV_UNKNOWN, KV_REFUSED
 * (both with the reason in `error`). */
enum kv_outcome kv_get(
    const struct kv *kv, const char *key, struct buffer *value_r, uint64_t *revision_r, struct error *error);
/* Sets one key if its revision is still `expected` (0: if it is not there). */
enum kv_outcome kv_swap(const struct kv *kv, const char *key, uint64_t expected, const void *value,
    size_t len, struct error *error);
enum kv_outcome kv_transact(const struct kv *kv, const struct kv_compare *compares, size_t compare_count,
    const struct kv_change *changes, size_t change_count, struct error *error);
/* Which store it is (etcd's cluster id, 0 for others) and where it stands now; `key`: one that may be read. */
enum kv_outcome kv_where(
    const struct kv *kv, const char *key, uint64_t *store_r, uint64_t *revision_r, struct error *error);
/* All pairs under a prefix; `each` is called for them in order. */
enum kv_outcome kv_list(const struct kv *kv, const char *prefix,
    void (*each)(void *arg, const struct kv_pair *pair), void *arg, struct error *error);

/* ---- the embedded store ---- */

/* The whole store is one small file, rewritten, synced and renamed at each change (changes are rare). Leases
 * end with the process; a thread of its own tells news and ends leases. */
struct kv_file;
struct kv_file *kv_file_open(const char *file, struct error *error);
void kv_file_close(struct kv_file **store);
struct kv kv_file_face(struct kv_file *store);

#endif
