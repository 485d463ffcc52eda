/* kv_file_json - the embedded store of one machine: one small JSON file; see kv.h and kv_file_inside_json.h
 *
 * Requests are answered within the call; the store's own thread tells the news and ends leases. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/kv_file_inside_json.h"

/* ---- the thread ---- */

/* Until something moves, or the next lease may be over. */
static void wait_for(struct kv_file *store, usec_t next)
{
    usec_t pause = next == USEC_NEVER ? USEC_HOUR : next - clock_now();
    struct timespec until;
    if (pause <= 0)
        return;
    pause = pause < USEC_HOUR ? pause : USEC_HOUR;
    clock_gettime(CLOCK_MONOTONIC, &until);
    usec_t nanoseconds = until.tv_nsec + pause % USEC_SEC * 1000;
    until.tv_sec += pause / USEC_SEC + nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_cond_timedwait(&store->moved, &store->lock, &until);
}

static void *run(void *context)
{
    struct kv_file *store = context;
    pthread_mutex_lock(&store->lock);
    while (!store->closing) {
        usec_t next = file_leases_tick(store, clock_now());
        if (!file_tell(store))
            wait_for(store, next);
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

/* ---- requests ---- */

struct found {
    struct entry **entries;
    struct kv_pair *pairs;
    size_t count;
};

static enum kv_outcome range(
    struct kv_file *store, const struct kv_request *request, struct found *found, struct error *why)
{
    const char *key = request->key == NULL ? "" : request->key;
    bool there;
    size_t at = table_find(&store->table, key, &there), count = there;
    if (strlen(key) > KV_MAX_KEY || (*key == '\0' && !request->prefix)) {
        error_set(why, "a key of %zu characters can't be in the store: 1 to %d are allowed", strlen(key),
            KV_MAX_KEY);
        return KV_REFUSED;
    }
    if (request->prefix)
        at = table_prefix(&store->table, key, &count);
    found->entries = entries_copy(&store->table.entries[at], count);
    found->pairs = xmalloc((count + 1) * sizeof *found->pairs);
    found->count = count;
    for (size_t i = 0; i < count; i++)
        found->pairs[i] = found->entries[i]->pair;
    return KV_DONE;
}

static void kv_file_request(void *context, const struct kv_request *request, kv_done *done, void *arg)
{
    struct kv_file *store = context;
    struct error why = {""};
    struct found found = {0};
    struct kv_result result = {.outcome = KV_DONE};
    pthread_mutex_lock(&store->lock);
    if (request->verb == KV_RANGE)
        result.outcome = range(store, request, &found, &why);
    else if (request->verb == KV_TXN)
        result.outcome = file_txn(store, request, &why);
    else
        result.outcome = file_lease(store, request, clock_now(), &result, &why);
    result.revision = store->table.revision;
    pthread_mutex_unlock(&store->lock);
    result.pairs = found.pairs;
    result.pair_count = found.count;
    result.why = result.outcome == KV_UNKNOWN || result.outcome == KV_REFUSED ? why.text : NULL;
    done(arg, &result);
    pthread_mutex_lock(&store->lock);
    entries_free(found.entries, found.count);
    pthread_mutex_unlock(&store->lock);
    free(found.pairs);
}

struct kv kv_file_face(struct kv_file *store)
{
    return (struct kv){
        .context = store, .request = kv_file_request, .watch = kv_file_watch, .unwatch = kv_file_unwatch};
}

/* ---- opening and closing ---- */

static void init_locks(struct kv_file *store)
{
    pthread_condattr_t monotonic;
    must(pthread_condattr_init(&monotonic) == 0);
    must(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    must(pthread_mutex_init(&store->lock, NULL) == 0);
    must(pthread_cond_init(&store->moved, &monotonic) == 0);
    pthread_condattr_destroy(&monotonic);
}

struct kv_file *kv_file_open(const char *file, struct error *error)
{
    struct table table = {0};
    if (strlen(file) + 5 >= PATH_MAX) {
        error_set(error, "a path of %zu characters is too long for the store", strlen(file));
        return NULL;
    }
    if (table_load(&table, file, error) < 0) {
        kv_table_free(&table);
        return NULL;
    }
    struct kv_file *store = xcalloc(1, sizeof *store);
    init_locks(store);
    snprintf(store->file, sizeof store->file, "%s", file);
    store->table = table;
    list_init(&store->leases);
    list_init(&store->watches);
    must(pthread_create(&store->thread, NULL, run, store) == 0);
    return store;
}

void kv_file_close(struct kv_file **store)
{
    struct kv_file *s = *store;
    *store = NULL;
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    file_watches_free(s);
    list_each_safe (link, &s->leases)
        free(list_item(link, struct lease, link));
    kv_table_free(&s->table);
    pthread_cond_destroy(&s->moved);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
