/* store - see store.h */
#include "tests/sim/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { STORE_HISTORY = 256 };

struct entry {
    struct kv_pair pair; /* key and value are owned */
    uint64_t creator;
};

struct lease {
    uint64_t id;
    usec_t ttl, until;
};

struct store {
    store_hook *hook;
    void *arg;
    struct entry *entries; /* by key */
    size_t count, size;
    struct lease *leases;
    size_t lease_count;
    uint64_t revision, next_lease;
    struct kv_pair *history[STORE_HISTORY]; /* a ring: revisions (forgotten, revision] */
    uint64_t history_from, history_to;      /* positions ever */
    uint64_t forgotten;                     /* revision up to which history is gone */
    struct kv_pair *found;                  /* of the last answer */
    size_t found_size;
};

struct store *store_new(store_hook *hook, void *arg)
{
    struct store *store = xcalloc(1, sizeof *store);
    store->hook = hook;
    store->arg = arg;
    store->revision = 1; /* as etcd begins */
    store->next_lease = 7000;
    return store;
}

void store_free(struct store **store_at)
{
    struct store *store = *store_at;
    *store_at = NULL;
    if (store == NULL)
        return;
    for (size_t i = 0; i < store->count; i++) {
        free((char *)store->entries[i].pair.key);
        free((char *)store->entries[i].pair.value);
    }
    store_compact(store);
    free(store->entries);
    free(store->leases);
    free(store->found);
    free(store);
}

/* The place of a key, or where it would stand. */
static size_t place_of(const struct store *store, const char *key)
{
    size_t low = 0, high = store->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(store->entries[middle].pair.key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry *find(const struct store *store, const char *key)
{
    size_t at = place_of(store, key);
    return at < store->count && strcmp(store->entries[at].pair.key, key) == 0 ? &store->entries[at] : NULL;
}

static struct lease *lease_find(const struct store *store, uint64_t id)
{
    for (size_t i = 0; i < store->lease_count; i++)
        if (store->leases[i].id == id)
            return &store->leases[i];
    return NULL;
}

void *pairs_copy(size_t room, const struct kv_pair *pairs, size_t count, struct kv_pair **pairs_r)
{
    size_t need = room + (count + 1) * sizeof *pairs;
    for (size_t i = 0; i < count; i++)
        need += strlen(pairs[i].key) + 1 + pairs[i].len + 1;
    char *block = xcalloc(1, need);
    struct kv_pair *copies = (struct kv_pair *)(void *)(block + room);
    char *text = (char *)(copies + count + 1);
    for (size_t i = 0; i < count; i++) {
        copies[i] = pairs[i];
        copies[i].key = text;
        text = stpcpy(text, pairs[i].key) + 1;
        if (pairs[i].len > 0)
            memcpy(text, pairs[i].value, pairs[i].len);
        copies[i].value = text;
        text += pairs[i].len + 1;
    }
    *pairs_r = copies;
    return block;
}

/* ---- changes ---- */

static void forget_oldest(struct store *store)
{
    struct kv_pair **oldest = &store->history[store->history_from++ % STORE_HISTORY];
    store->forgotten = (*oldest)->revision;
    free(*oldest);
    *oldest = NULL;
}

static void remember(struct store *store, const struct kv_pair *pair)
{
    if (store->history_to - store->history_from == STORE_HISTORY)
        forget_oldest(store);
    struct kv_pair *copy;
    pairs_copy(0, pair, 1, &copy);
    store->history[store->history_to++ % STORE_HISTORY] = copy;
}

void store_compact(struct store *store)
{
    while (store->history_from < store->history_to)
        forget_oldest(store);
    store->forgotten = store->revision;
}

static void tell(
    struct store *store, uint64_t client, const struct kv_pair *before, const struct kv_pair *after)
{
    remember(store, after);
    if (store->hook != NULL)
        store->hook(store->arg, client, before, after);
}

static struct entry *insert(struct store *store, const char *key)
{
    if (store->count == store->size) {
        store->size = store->size == 0 ? 64 : 2 * store->size;
        store->entries = xrealloc(store->entries, store->size * sizeof *store->entries);
    }
    size_t at = place_of(store, key);
    memmove(store->entries + at + 1, store->entries + at, (store->count - at) * sizeof *store->entries);
    store->count++;
    store->entries[at] = (struct entry){.pair = {.key = xstrdup(key)}};
    return &store->entries[at];
}

static void put(struct store *store, uint64_t client, const struct kv_change *change)
{
    struct entry *entry = find(store, change->key);
    if (entry == NULL)
        entry = insert(store, change->key);
    struct kv_pair before = entry->pair;
    if (before.revision == 0) {
        entry->pair.created = store->revision;
        entry->creator = client;
    }
    entry->pair.value = change->len == 0 ? xcalloc(1, 1) : xmemdup(change->value, change->len);
    entry->pair.len = change->len;
    entry->pair.lease = change->lease;
    entry->pair.revision = store->revision;
    struct kv_pair after = entry->pair;
    tell(store, client, &before, &after);
    free((char *)before.value);
}

static void delete (struct store *store, uint64_t client, const char *key)
{
    struct entry *entry = find(store, key);
    if (entry == NULL)
        return;
    struct kv_pair before = entry->pair;
    struct kv_pair after = {.key = before.key, .value = "", .revision = store->revision, .deleted = true};
    size_t at = (size_t)(entry - store->entries);
    store->count--;
    memmove(store->entries + at, store->entries + at + 1, (store->count - at) * sizeof *store->entries);
    tell(store, client, &before, &after);
    free((char *)before.value);
    free((char *)before.key);
}

/* ---- leases ---- */

static void grant(struct store *store, usec_t ttl, usec_t now, struct kv_result *result)
{
    if (ttl <= 0) {
        result->outcome = KV_REFUSED;
        result->why = "a lease needs a time to live";
        return;
    }
    ttl = (ttl + USEC_SEC - 1) / USEC_SEC * USEC_SEC; /* etcd counts in seconds */
    store->leases = xrealloc(store->leases, (store->lease_count + 1) * sizeof *store->leases);
    store->leases[store->lease_count++] =
        (struct lease){.id = ++store->next_lease, .ttl = ttl, .until = now + ttl};
    result->lease = store->next_lease;
    result->ttl = ttl;
}

/* One revision for all of its keys. */
static void end_lease(struct store *store, uint64_t client, uint64_t id)
{
    struct lease *lease = lease_find(store, id);
    *lease = store->leases[--store->lease_count];
    bool raised = false;
    for (size_t i = 0; i < store->count;) {
        if (store->entries[i].pair.lease != id) {
            i++;
            continue;
        }
        if (!raised)
            store->revision++;
        raised = true;
        delete (store, client, store->entries[i].pair.key);
    }
}

void store_expire(struct store *store, usec_t now)
{
    for (size_t i = 0; i < store->lease_count;) {
        if (store->leases[i].until <= now)
            end_lease(store, 0, store->leases[i].id);
        else
            i++;
    }
}

usec_t store_deadline(const struct store *store)
{
    usec_t first = USEC_NEVER;
    for (size_t i = 0; i < store->lease_count; i++)
        first = store->leases[i].until < first ? store->leases[i].until : first;
    return first;
}

void store_renew_leases(struct store *store, usec_t now)
{
    for (size_t i = 0; i < store->lease_count; i++)
        store->leases[i].until = now + store->leases[i].ttl;
}

uint64_t store_nth_lease(const struct store *store, uint64_t nth)
{
    return store->lease_count == 0 ? 0 : store->leases[nth % store->lease_count].id;
}

size_t store_lease_count(const struct store *store)
{
    return store->lease_count;
}

/* ---- requests ---- */

uint64_t store_revision(const struct store *store)
{
    return store->revision;
}

const struct kv_pair *store_get(const struct store *store, const char *key)
{
    const struct entry *entry = find(store, key);
    return entry == NULL ? NULL : &entry->pair;
}

uint64_t store_creator(const struct store *store, const char *key)
{
    const struct entry *entry = find(store, key);
    return entry == NULL ? 0 : entry->creator;
}

static void found_room(struct store *store, size_t count)
{
    if (count <= store->found_size)
        return;
    store->found_size = 2 * count + 64;
    store->found = xrealloc(store->found, store->found_size * sizeof *store->found);
}

size_t store_list(struct store *store, const char *prefix, const struct kv_pair **pairs_r)
{
    size_t len = strlen(prefix), at = place_of(store, prefix), count = 0;
    found_room(store, store->count);
    while (at < store->count && strncmp(store->entries[at].pair.key, prefix, len) == 0)
        store->found[count++] = store->entries[at++].pair;
    *pairs_r = store->found;
    return count;
}

bool store_since(struct store *store, const char *prefix, uint64_t revision, const struct kv_pair **pairs_r,
    size_t *count_r)
{
    if (revision < store->forgotten)
        return false;
    size_t len = strlen(prefix);
    found_room(store, STORE_HISTORY);
    *count_r = 0;
    *pairs_r = store->found;
    uint64_t from = store->history_to;
    while (from > store->history_from && store->history[(from - 1) % STORE_HISTORY]->revision > revision)
        from--;
    for (uint64_t i = from; i < store->history_to; i++)
        if (strncmp(store->history[i % STORE_HISTORY]->key, prefix, len) == 0)
            store->found[(*count_r)++] = *store->history[i % STORE_HISTORY];
    return true;
}

static const char *fault_of(const struct kv_request *request)
{
    if (request->compare_count > KV_MAX_CHANGES || request->change_count > KV_MAX_CHANGES)
        return "a transaction has too many parts";
    for (size_t i = 0; i < request->compare_count; i++)
        if (strlen(request->compares[i].key) > KV_MAX_KEY || request->compares[i].key[0] == '\0')
            return "a compare's key is empty or too long";
    for (size_t i = 0; i < request->change_count; i++) {
        const struct kv_change *change = &request->changes[i];
        if (strlen(change->key) > KV_MAX_KEY || change->key[0] == '\0')
            return "a key is empty or too long";
        if (change->len > KV_MAX_VALUE)
            return "a value is larger than 1 MiB";
        for (size_t j = 0; j < i; j++)
            if (strcmp(change->key, request->changes[j].key) == 0)
                return "a transaction changes the same key twice";
    }
    return NULL;
}

static bool holds(const struct store *store, const struct kv_request *request)
{
    for (size_t i = 0; i < request->compare_count; i++) {
        const struct kv_compare *compare = &request->compares[i];
        const struct kv_pair *pair = store_get(store, compare->key);
        uint64_t is = pair == NULL ? 0 : compare->created ? pair->created : pair->revision;
        if (is != compare->revision)
            return false;
    }
    for (size_t i = 0; i < request->change_count; i++)
        if (request->changes[i].value != NULL && request->changes[i].lease != 0 &&
            lease_find(store, request->changes[i].lease) == NULL)
            return false;
    return true;
}

static void transact(
    struct store *store, uint64_t client, const struct kv_request *request, struct kv_result *result)
{
    result->why = fault_of(request);
    if (result->why != NULL || !holds(store, request)) {
        result->outcome = result->why != NULL ? KV_REFUSED : KV_LOST;
        return;
    }
    bool changes = false;
    for (size_t i = 0; i < request->change_count; i++)
        changes =
            changes || request->changes[i].value != NULL || find(store, request->changes[i].key) != NULL;
    store->revision += changes;
    for (size_t i = 0; i < request->change_count; i++)
        if (request->changes[i].value != NULL)
            put(store, client, &request->changes[i]);
        else
            delete (store, client, request->changes[i].key);
}

static void range(struct store *store, const struct kv_request *request, struct kv_result *result)
{
    if (strlen(request->key) > KV_MAX_KEY) {
        result->outcome = KV_REFUSED;
        result->why = "the key is too long";
        return;
    }
    result->pair_count = store_list(store, request->key, &result->pairs);
    if (!request->prefix && (result->pair_count == 0 || strcmp(result->pairs[0].key, request->key) != 0))
        result->pair_count = 0;
    else if (!request->prefix)
        result->pair_count = 1;
}

static void lease_request(struct store *store, uint64_t client, const struct kv_request *request, usec_t now,
    struct kv_result *result)
{
    struct lease *lease = lease_find(store, request->lease);
    result->lease = request->lease;
    if (lease == NULL) {
        result->outcome = KV_LOST;
    } else if (request->verb == KV_LEASE_KEEP) {
        lease->until = now + lease->ttl;
        result->ttl = lease->ttl;
    } else {
        end_lease(store, client, request->lease);
    }
}

void store_apply(struct store *store, uint64_t client, const struct kv_request *request, usec_t now,
    struct kv_result *result_r)
{
    *result_r = (struct kv_result){.outcome = KV_DONE};
    switch (request->verb) {
    case KV_RANGE:
        range(store, request, result_r);
        break;
    case KV_TXN:
        transact(store, client, request, result_r);
        break;
    case KV_LEASE_GRANT:
        grant(store, request->ttl, now, result_r);
        break;
    case KV_LEASE_KEEP:
    case KV_LEASE_REVOKE:
        lease_request(store, client, request, now, result_r);
        break;
    }
    result_r->revision = store->revision;
}
