/* store_help - see store_help.h */
#include "store_help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"

struct fake_pending {
    uint64_t ref;
    struct kv_request request; /* its own copies */
    struct fake_pending *next;
    bool late;
};

static char *copy_text(const char *text)
{
    return text == NULL ? NULL : xstrdup(text);
}

static void on_request(void *context, uint64_t ref, const struct kv_request *request)
{
    struct fake_client *client = context;
    struct fake_pending *pending = xcalloc(1, sizeof *pending), **at = &client->first;
    *pending = (struct fake_pending){.ref = ref, .request = *request};
    struct kv_compare *compares = xcalloc(request->compare_count, sizeof *compares);
    struct kv_change *changes = xcalloc(request->change_count, sizeof *changes);
    must(request->compare_count <= KV_MAX_CHANGES && request->change_count <= KV_MAX_CHANGES);
    for (size_t i = 0; i < request->compare_count; i++) {
        compares[i] = request->compares[i];
        compares[i].key = xstrdup(request->compares[i].key);
    }
    for (size_t i = 0; i < request->change_count; i++) {
        changes[i] = request->changes[i];
        changes[i].key = xstrdup(request->changes[i].key);
        must(changes[i].len <= KV_MAX_VALUE);
        if (changes[i].value != NULL)
            changes[i].value = xmemdup(changes[i].value, changes[i].len);
    }
    pending->request.key = copy_text(request->key);
    pending->request.compares = compares;
    pending->request.changes = changes;
    while (*at != NULL)
        at = &(*at)->next;
    *at = pending;
}

struct store_port fake_port(struct fake_client *client)
{
    return (struct store_port){client, on_request};
}

static void free_pending(struct fake_pending *pending)
{
    for (size_t i = 0; i < pending->request.compare_count; i++)
        free((char *)pending->request.compares[i].key);
    for (size_t i = 0; i < pending->request.change_count; i++) {
        free((char *)pending->request.changes[i].key);
        free((void *)pending->request.changes[i].value);
    }
    free((void *)pending->request.compares);
    free((void *)pending->request.changes);
    free((char *)pending->request.key);
    free(pending);
}

/* ---- the store ---- */

static struct fake_key *find(struct fake_store *store, const char *key)
{
    for (size_t i = 0; i < store->key_count; i++)
        if (strcmp(store->keys[i].key, key) == 0)
            return &store->keys[i];
    return NULL;
}

static void note(struct fake_store *store, const struct fake_key *key, bool deleted)
{
    must(store->log_count < FAKE_LOG);
    struct fake_change *change = &store->log[store->log_count++];
    *change = (struct fake_change){.key = xstrdup(key->key), .revision = store->revision, .deleted = deleted};
    change->value = xmemdup(key->value, deleted ? 0 : key->len);
    if (deleted)
        return;
    change->len = key->len;
    change->created = key->created;
    change->lease = key->lease;
}

static void delete_key(struct fake_store *store, struct fake_key *key)
{
    note(store, key, true);
    free(key->key);
    free(key->value);
    *key = store->keys[--store->key_count];
}

static void apply(struct fake_store *store, const struct kv_change *change)
{
    struct fake_key *key = find(store, change->key);
    if (change->value == NULL) {
        if (key != NULL)
            delete_key(store, key);
        return;
    }
    if (key == NULL) {
        must(store->key_count < FAKE_MOST);
        key = &store->keys[store->key_count++];
        *key = (struct fake_key){.key = xstrdup(change->key), .created = store->revision};
    }
    free(key->value);
    key->value = xmemdup(change->value, change->len);
    key->len = change->len;
    key->lease = change->lease;
    key->revision = store->revision;
    note(store, key, false);
}

static bool may(struct fake_store *store, const struct kv_request *request)
{
    for (size_t i = 0; i < request->compare_count; i++) {
        const struct kv_compare *compare = &request->compares[i];
        const struct fake_key *key = find(store, compare->key);
        uint64_t is = key == NULL ? 0 : compare->created ? key->created : key->revision;
        if (is != compare->revision)
            return false;
    }
    for (size_t i = 0; i < request->change_count; i++) {
        uint64_t lease = request->changes[i].lease;
        if (lease != 0 && !store->lease_alive[lease])
            return false;
    }
    return true;
}

void fake_end_lease(struct fake_store *store, uint64_t lease)
{
    if (lease == 0 || !store->lease_alive[lease])
        return;
    store->lease_alive[lease] = false;
    store->revision++;
    for (size_t i = 0; i < store->key_count;)
        if (store->keys[i].lease == lease)
            delete_key(store, &store->keys[i]);
        else
            i++;
}

static void happen(struct fake_store *store, const struct kv_request *request, struct kv_result *result,
    struct kv_pair *pair)
{
    result->outcome = KV_DONE;
    switch (request->verb) {
    case KV_RANGE: {
        must(!request->prefix);
        const struct fake_key *key = find(store, request->key);
        if (key != NULL) {
            *pair = (struct kv_pair){
                key->key, key->value, key->len, key->revision, key->created, key->lease, false};
            result->pairs = pair;
            result->pair_count = 1;
        }
        break;
    }
    case KV_TXN:
        if (!may(store, request)) {
            result->outcome = KV_LOST;
            break;
        }
        store->revision++;
        store->writes++;
        for (size_t i = 0; i < request->change_count; i++)
            apply(store, &request->changes[i]);
        break;
    case KV_LEASE_GRANT:
        result->lease = ++store->leases;
        must(result->lease < FAKE_LOG);
        store->lease_alive[result->lease] = true;
        result->ttl = request->ttl;
        break;
    case KV_LEASE_KEEP:
        result->lease = request->lease;
        result->ttl = 5 * USEC_SEC;
        if (!store->lease_alive[request->lease])
            result->outcome = KV_LOST;
        break;
    case KV_LEASE_REVOKE:
        if (!store->lease_alive[request->lease])
            result->outcome = KV_LOST;
        fake_end_lease(store, request->lease);
        break;
    }
    result->revision = store->revision;
}

/* ---- a client ---- */

static bool serve(struct fake_client *client, struct fake_pending **at, enum fate fate)
{
    struct fake_pending *pending = *at;
    if (pending == NULL)
        return false;
    struct kv_result result = {.outcome = KV_UNKNOWN, .why = "etcd is away"}, dropped = {0};
    struct kv_pair pair;
    if (fate == FATE_DONE)
        happen(client->store, &pending->request, &result, &pair);
    else if (fate == FATE_UNANSWERED)
        happen(client->store, &pending->request, &dropped, &pair);
    else if (fate == FATE_REFUSED)
        result = (struct kv_result){.outcome = KV_REFUSED, .why = "permission denied"};
    uint64_t ref = pending->ref;
    result.history = client->store->history;
    if (fate == FATE_LATE_LATER)
        pending->late = true;
    else
        *at = pending->next;
    client->result(client->arg, ref, &result);
    if (fate != FATE_LATE_LATER)
        free_pending(pending);
    return true;
}

static struct fake_pending **oldest(struct fake_client *client)
{
    struct fake_pending **at = &client->first;
    while (*at != NULL && (*at)->late)
        at = &(*at)->next;
    return at;
}

bool fake_serve(struct fake_client *client, enum fate fate)
{
    return serve(client, oldest(client), fate);
}

bool fake_serve_newest(struct fake_client *client, enum fate fate)
{
    struct fake_pending **at = oldest(client);
    while (*at != NULL && (*at)->next != NULL)
        at = &(*at)->next;
    return serve(client, at, fate);
}

void fake_serve_all(struct fake_client *client)
{
    for (int i = 0; i < 1000 && fake_serve(client, FATE_DONE); i++)
        ;
    must(fake_waiting(client) == 0);
}

size_t fake_waiting(const struct fake_client *client)
{
    size_t count = 0;
    for (const struct fake_pending *at = client->first; at != NULL; at = at->next)
        count += !at->late;
    return count;
}

static const struct fake_pending *first_waiting(const struct fake_client *client)
{
    const struct fake_pending *at = client->first;
    while (at != NULL && at->late)
        at = at->next;
    must(at != NULL);
    return at;
}

enum kv_verb fake_verb(const struct fake_client *client)
{
    return first_waiting(client)->request.verb;
}

const char *fake_about(const struct fake_client *client)
{
    const struct kv_request *request = &first_waiting(client)->request;
    if (request->key != NULL)
        return request->key;
    return request->change_count > 0 ? request->changes[0].key : "";
}

size_t fake_happen_late(struct fake_client *client)
{
    size_t count = 0;
    struct fake_pending **at = &client->first;
    while (*at != NULL) {
        struct fake_pending *pending = *at;
        if (!pending->late) {
            at = &pending->next;
            continue;
        }
        struct kv_result dropped = {0};
        struct kv_pair pair;
        happen(client->store, &pending->request, &dropped, &pair);
        *at = pending->next;
        free_pending(pending);
        count++;
    }
    return count;
}

void fake_forget(struct fake_client *client)
{
    while (client->first != NULL) {
        struct fake_pending *pending = client->first;
        client->first = pending->next;
        free_pending(pending);
    }
}

/* ---- behind everybody's back ---- */

uint64_t fake_put_bytes(
    struct fake_store *store, const char *key, const void *value, size_t len, uint64_t lease)
{
    struct kv_change change = {key, value, len, lease};
    store->revision++;
    apply(store, &change);
    return store->revision;
}

uint64_t fake_put(struct fake_store *store, const char *key, const char *value, uint64_t lease)
{
    return fake_put_bytes(store, key, value, value == NULL ? 0 : strlen(value), lease);
}

const struct fake_key *fake_get(const struct fake_store *store, const char *key)
{
    for (size_t i = 0; i < store->key_count; i++)
        if (strcmp(store->keys[i].key, key) == 0)
            return &store->keys[i];
    return NULL;
}

void fake_free(struct fake_store *store)
{
    for (size_t i = 0; i < store->key_count; i++) {
        free(store->keys[i].key);
        free(store->keys[i].value);
    }
    for (size_t i = 0; i < store->log_count; i++) {
        free(store->log[i].key);
        free(store->log[i].value);
    }
    *store = (struct fake_store){0};
}

/* ---- watches ---- */

static bool list(struct fake_watch *watch, struct kv_news *news_r)
{
    static struct kv_pair pairs[FAKE_MOST];
    struct fake_store *store = watch->store;
    size_t count = 0;
    for (size_t i = 0; i < store->key_count; i++) {
        const struct fake_key *key = &store->keys[i];
        if (strncmp(key->key, watch->prefix, strlen(watch->prefix)) == 0)
            pairs[count++] = (struct kv_pair){
                key->key, key->value, key->len, key->revision, key->created, key->lease, false};
    }
    watch->listed = true;
    watch->at = store->log_count;
    *news_r =
        (struct kv_news){.type = KV_LIST, .pairs = pairs, .pair_count = count, .revision = store->revision};
    return true;
}

bool fake_news(struct fake_watch *watch, struct kv_news *news_r)
{
    static struct kv_pair pair;
    if (!watch->listed)
        return list(watch, news_r);
    while (watch->at < watch->store->log_count) {
        const struct fake_change *change = &watch->store->log[watch->at++];
        if (strncmp(change->key, watch->prefix, strlen(watch->prefix)) != 0)
            continue;
        pair = (struct kv_pair){change->key, change->value, change->len, change->revision, change->created,
            change->lease, change->deleted};
        *news_r = (struct kv_news){
            .type = KV_CHANGES, .pairs = &pair, .pair_count = 1, .revision = change->revision};
        return true;
    }
    return false;
}
