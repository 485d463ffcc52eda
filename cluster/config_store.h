/* config_store - the cluster-wide part of the configuration, as versions in the store
 *
 * config/version/<number> holds the YAML text of one version (pools, tenants, providers, limits, routes,
 * delivery, operator_dkim, rules_file; what belongs to one process - cluster, coordinator, node, user,
 * resolver, events - is not taken from it), config/current which one is in force, since when, by whom and
 * why. A change is one transaction that compares what it was decided on. A rollback is a new version with an
 * old text. The last CONFIG_KEPT versions are kept.
 *
 * Threads: any; `done` and `told` come from the store's thread (kv.h). */
#ifndef CLUSTER_CONFIG_STORE_H
#define CLUSTER_CONFIG_STORE_H

#include "cluster/kv.h"

#define CONFIG_KEPT 100
#define CONFIG_MAX_VERSION ((size_t)768 << 10)

struct config_version {
    uint64_t number;
    int64_t at; /* unix seconds */
    const char *by, *comment;
    bool current;
};

typedef void config_done(void *arg, enum kv_outcome outcome, uint64_t number, const char *why);
/* `text` has been checked by the caller. `expected`: the version it was made from, or 0 = whatever is there.
 * KV_LOST: another version is in force by now. KV_REFUSED: nothing was changed, and `why` says the reason (the
 * store may just have been away before anything was written). */
void config_store_apply(const struct kv *kv, const char *cluster, const char *text, size_t len,
    uint64_t expected, int64_t at, const char *by, const char *comment, config_done *done, void *arg);
typedef void config_listed(
    void *arg, enum kv_outcome outcome, const struct config_version *versions, size_t count, const char *why);
void config_store_history(
    const struct kv *kv, const char *cluster, config_listed *done, void *arg); /* newest first */
typedef void config_text(
    void *arg, enum kv_outcome outcome, uint64_t number, const char *text, size_t len, const char *why);
/* number 0 = the one in force; KV_LOST: there is no such version. */
void config_store_read(
    const struct kv *kv, const char *cluster, uint64_t number, config_text *done, void *arg);

/* Tells the version in force at the start and whenever it changes; number 0 = none has been applied yet. */
struct config_watch;
typedef void config_told(void *arg, uint64_t number, const char *text, size_t len);
struct config_watch *config_watch_open(
    const struct kv *kv, const char *cluster, config_told *told, void *arg);
void config_watch_close(struct config_watch **watch);

#endif
