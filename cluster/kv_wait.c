/* kv_wait - requests to the store whose answer is waited for: starts and tools; see kv.h
 *
 * The store ends every request within its deadline, so the waits end too. */
#include <pthread.h>
#include <string.h>

#include "base/panic.h"
#include "cluster/kv.h"

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool done;
    enum kv_outcome outcome;
    uint64_t store, revision;
    void (*each)(void *arg, const struct kv_pair *pair);
    void *arg;
    struct error why;
};

static void on_done(void *arg, const struct kv_result *result)
{
    struct waiter *waiter = arg;
    for (size_t i = 0; waiter->each != NULL && i < result->pair_count; i++)
        waiter->each(waiter->arg, &result->pairs[i]);
    if (result->outcome != KV_DONE)
        error_set(&waiter->why, "%s", result->why != NULL ? result->why : "somebody else changed it");
    pthread_mutex_lock(&waiter->lock);
    waiter->store = result->store;
    waiter->revision = result->revision;
    waiter->outcome = result->outcome;
    waiter->done = true;
    pthread_cond_signal(&waiter->over);
    pthread_mutex_unlock(&waiter->lock);
}

static enum kv_outcome wait_with(
    struct waiter *waiter, const struct kv *kv, const struct kv_request *request, struct error *error)
{
    must(pthread_mutex_init(&waiter->lock, NULL) == 0 && pthread_cond_init(&waiter->over, NULL) == 0);
    kv->request(kv->context, request, on_done, waiter);
    pthread_mutex_lock(&waiter->lock);
    while (!waiter->done)
        pthread_cond_wait(&waiter->over, &waiter->lock);
    pthread_mutex_unlock(&waiter->lock);
    pthread_cond_destroy(&waiter->over);
    pthread_mutex_destroy(&waiter->lock);
    if (waiter->outcome != KV_DONE)
        *error = waiter->why;
    return waiter->outcome;
}

static enum kv_outcome wait_for(const struct kv *kv, const struct kv_request *request,
    void (*each)(void *arg, const struct kv_pair *pair), void *arg, struct error *error)
{
    struct waiter waiter = {.each = each, .arg = arg};
    return wait_with(&waiter, kv, request, error);
}

enum kv_outcome kv_where(
    const struct kv *kv, const char *key, uint64_t *store_r, uint64_t *revision_r, struct error *error)
{
    struct waiter waiter = {0};
    struct kv_request request = {.verb = KV_RANGE, .key = key};
    enum kv_outcome outcome = wait_with(&waiter, kv, &request, error);
    *store_r = waiter.store;
    *revision_r = waiter.revision;
    return outcome;
}

struct found {
    struct buffer *value;
    uint64_t revision;
};

static void take_value(void *arg, const struct kv_pair *pair)
{
    struct found *found = arg;
    found->revision = pair->revision;
    buffer_add(found->value, pair->value, pair->len);
}

enum kv_outcome kv_get(
    const struct kv *kv, const char *key, struct buffer *value_r, uint64_t *revision_r, struct error *error)
{
    struct found found = {.value = value_r};
    struct kv_request request = {.verb = KV_RANGE, .key = key};
    enum kv_outcome outcome = wait_for(kv, &request, take_value, &found, error);
    *revision_r = found.revision;
    return outcome;
}

enum kv_outcome kv_transact(const struct kv *kv, const struct kv_compare *compares, size_t compare_count,
    const struct kv_change *changes, size_t change_count, struct error *error)
{
    struct kv_request request = {.verb = KV_TXN,
        .compares = compares,
        .compare_count = compare_count,
        .changes = changes,
        .change_count = change_count};
    return wait_for(kv, &request, NULL, NULL, error);
}

enum kv_outcome kv_swap(const struct kv *kv, const char *key, uint64_t expected, const void *value,
    size_t len, struct error *error)
{
    struct kv_compare compare = {.key = key, .revision = expected};
    struct kv_change change = {.key = key, .value = value, .len = len};
    return kv_transact(kv, &compare, 1, &change, 1, error);
}

enum kv_outcome kv_list(const struct kv *kv, const char *prefix,
    void (*each)(void *arg, const struct kv_pair *pair), void *arg, struct error *error)
{
    struct kv_request request = {.verb = KV_RANGE, .key = prefix, .prefix = true};
    return wait_for(kv, &request, each, arg, error);
}
