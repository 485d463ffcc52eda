/* kv_file_inside_json - what the files of the embedded store share (kv_file*_json.c only)
 *
 * kv_file_table_json.c    the keys as a value: a sorted row of entries, read from and written to the file
 * kv_file_change_json.c   transactions and leases: a new table is made, saved, and only then is the store's
 * kv_file_watch_json.c    news: a row of batches for each watch, told by the store's thread
 * kv_file_json.c          opening, closing, ranges, the thread
 *
 * One lock guards everything; it is not held while `done` and `told` are called. An entry never changes:
 * tables, answers and news hold references to it. */
#ifndef CLUSTER_KV_FILE_INSIDE_JSON_H
#define CLUSTER_KV_FILE_INSIDE_JSON_H

#include <limits.h>
#include <pthread.h>

#include "base/list.h"
#include "cluster/kv.h"

#define KV_FILE_MAX_KEYS 10000
#define KV_FILE_MAX_LEASES 10000
#define KV_FILE_MAX_BATCHES 1000 /* that wait for a slow watcher; then it gets a list instead */

struct entry {
    unsigned refs;
    struct kv_pair pair; /* key and value are the entry's own */
};

struct table {
    uint64_t revision;
    struct entry **entries; /* by key */
    size_t count, bytes;
};

struct lease {
    struct list link;
    uint64_t id;
    usec_t ttl, until;
};

struct batch {
    struct list link;
    enum kv_news_type type;
    struct entry **entries;
    size_t count;
    uint64_t revision;
};

struct kv_watch {
    struct list link;
    char *prefix;
    kv_told *told;
    void *arg;
    struct list batches;
    size_t batch_count;
};

struct kv_file {
    pthread_mutex_t lock;
    pthread_cond_t moved; /* something is due for the thread, or `telling` has changed */
    pthread_t thread;
    bool closing;
    char file[PATH_MAX];
    struct table table;
    struct list leases, watches;
    uint64_t last_lease;
    struct kv_watch *telling;
};

/* ---- the table ---- */

struct entry *entry_new(const char *key, const void *value, size_t len, uint64_t lease);
struct entry *entry_ref(struct entry *entry);
void entry_unref(struct entry *entry);
struct table table_copy(const struct table *table);
void kv_table_free(struct table *table);
/* Where the key is, or would be. */
size_t table_find(const struct table *table, const char *key, bool *found_r);
/* Takes over the reference. A null entry takes the key out, if it is there. */
void table_set(struct table *table, const char *key, struct entry *entry);
/* The entries whose keys begin with `prefix`: from the returned place, so many. */
size_t table_prefix(const struct table *table, const char *prefix, size_t *count_r);
int table_load(struct table *table, const char *file, struct error *error);
int table_save(const struct table *table, const char *file, struct error *error);
/* New rows that refer to these entries; free each reference and the row. */
struct entry **entries_copy(struct entry *const *entries, size_t count);
void entries_free(struct entry **entries, size_t count);

/* ---- changes (the lock is held) ---- */

enum kv_outcome file_txn(struct kv_file *store, const struct kv_request *request, struct error *why);
/* Sets `lease` and `ttl` of the result. */
enum kv_outcome file_lease(struct kv_file *store, const struct kv_request *request, usec_t now,
    struct kv_result *result, struct error *why);
/* Ends what is over; when the next one may be. */
usec_t file_leases_tick(struct kv_file *store, usec_t now);

/* ---- news (the lock is held) ---- */

/* What happened with these entries (deleted ones marked so) at one revision, for all watches. */
void file_publish(struct kv_file *store, struct entry *const *entries, size_t count, uint64_t revision);
/* Tells one batch, the lock let go meanwhile; false when there is none. */
bool file_tell(struct kv_file *store);
void file_watches_free(struct kv_file *store);
struct kv_watch *kv_file_watch(void *context, const char *prefix, kv_told *told, void *arg);
void kv_file_unwatch(void *context, struct kv_watch *watch);

#endif
