/* kv_file_change_json - what changes the embedded store: transactions, leases; see kv_file_inside_json.h
 *
 * Each makes a new table beside the old one, saves it, and only then puts it in the old one's place: a failed
 * save leaves everything as it was. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/alloc.h"
#include "base/log.h"
#include "cluster/kv_file_inside_json.h"

#define RETRY_AFTER USEC_SEC /* the end of a lease that could not be saved */

/* A change on its way: the table as it will be, and what is to be told. */
struct draft {
    struct table table;
    struct entry **told;
    size_t count;
};

static struct draft draft_begin(const struct kv_file *store, size_t changes)
{
    struct draft draft = {.table = table_copy(&store->table)};
    draft.told = xmalloc((changes + 1) * sizeof(struct entry *));
    draft.table.revision++;
    return draft;
}

static void draft_put(struct draft *draft, const struct kv_change *change)
{
    bool found;
    size_t at = table_find(&draft->table, change->key, &found);
    struct entry *entry = entry_new(change->key, change->value, change->len, change->lease);
    entry->pair.revision = draft->table.revision;
    entry->pair.created = found ? draft->table.entries[at]->pair.created : draft->table.revision;
    table_set(&draft->table, change->key, entry);
    draft->told[draft->count++] = entry_ref(entry);
}

static void draft_delete(struct draft *draft, const char *key)
{
    bool found;
    table_find(&draft->table, key, &found);
    if (!found)
        return;
    struct entry *gone = entry_new(key, "", 0, 0);
    gone->pair.revision = draft->table.revision;
    gone->pair.deleted = true;
    draft->told[draft->count++] = gone;
    table_set(&draft->table, key, NULL);
}

static void draft_drop(struct draft *draft)
{
    kv_table_free(&draft->table);
    entries_free(draft->told, draft->count);
}

/* Nothing changed: nothing to save, and the revision stays. */
static int draft_save(struct kv_file *store, struct draft *draft, struct error *why)
{
    int status = draft->count == 0 ? 0 : table_save(&draft->table, store->file, why);
    if (status == 0 && draft->count > 0) {
        struct table old = store->table;
        store->table = draft->table;
        draft->table = old;
        file_publish(store, draft->told, draft->count, store->table.revision);
    }
    draft_drop(draft);
    return status;
}

/* ---- transactions ---- */

static struct lease *find_lease(struct kv_file *store, uint64_t id)
{
    list_each (link, &store->leases) {
        struct lease *lease = list_item(link, struct lease, link);
        if (lease->id == id)
            return lease;
    }
    return NULL;
}

static bool holds(const struct kv_file *store, const struct kv_compare *compare)
{
    bool found;
    size_t at = table_find(&store->table, compare->key, &found);
    if (!found)
        return compare->revision == 0;
    const struct kv_pair *pair = &store->table.entries[at]->pair;
    return compare->revision == (compare->created ? pair->created : pair->revision);
}

/* JSON's names are UTF-8. */
static int check_key(const char *key, struct error *why)
{
    size_t len = key == NULL ? 0 : strlen(key);
    if (len == 0 || len > KV_MAX_KEY)
        return error_set(
            why, "a key of %zu characters can't be in the store: 1 to %d are allowed", len, KV_MAX_KEY);
    json_t *text = json_string(key);
    json_decref(text);
    return text != NULL ? 0 : error_set(why, "a key that is no UTF-8 text can't be in the store");
}

static int check_change(
    const struct kv_file *store, const struct kv_request *request, size_t i, struct error *why)
{
    const struct kv_change *change = &request->changes[i];
    if (check_key(change->key, why) < 0)
        return -1;
    for (size_t before = 0; before < i; before++)
        if (strcmp(request->changes[before].key, change->key) == 0)
            return error_set(why, "a transaction changes %s twice", change->key);
    if (change->value == NULL)
        return 0;
    if (change->len > KV_MAX_VALUE)
        return error_set(why, "the value for %s has %zu bytes; the store takes %u", change->key, change->len,
            KV_MAX_VALUE);
    if (store->table.count >= KV_FILE_MAX_KEYS || store->table.bytes + change->len > KV_MAX_RANGE)
        return error_set(why, "the store %s is full", store->file);
    return 0;
}

static int check_txn(const struct kv_file *store, const struct kv_request *request, struct error *why)
{
    if (request->compare_count > KV_MAX_CHANGES || request->change_count > KV_MAX_CHANGES)
        return error_set(why, "%zu compares and %zu changes are too many for one transaction: %d of each",
            request->compare_count, request->change_count, KV_MAX_CHANGES);
    for (size_t i = 0; i < request->compare_count; i++)
        if (check_key(request->compares[i].key, why) < 0)
            return -1;
    for (size_t i = 0; i < request->change_count; i++)
        if (check_change(store, request, i, why) < 0)
            return -1;
    return 0;
}

enum kv_outcome file_txn(struct kv_file *store, const struct kv_request *request, struct error *why)
{
    if (check_txn(store, request, why) < 0)
        return KV_REFUSED;
    for (size_t i = 0; i < request->compare_count; i++)
        if (!holds(store, &request->compares[i]))
            return KV_LOST;
    for (size_t i = 0; i < request->change_count; i++)
        if (request->changes[i].value != NULL && request->changes[i].lease != 0 &&
            find_lease(store, request->changes[i].lease) == NULL)
            return KV_LOST;
    struct draft draft = draft_begin(store, request->change_count);
    for (size_t i = 0; i < request->change_count; i++) {
        if (request->changes[i].value != NULL)
            draft_put(&draft, &request->changes[i]);
        else
            draft_delete(&draft, request->changes[i].key);
    }
    return draft_save(store, &draft, why) == 0 ? KV_DONE : KV_UNKNOWN;
}

/* ---- leases ---- */

static enum kv_outcome grant(struct kv_file *store, usec_t ttl, usec_t now, struct error *why)
{
    size_t count = 0;
    list_each (link, &store->leases)
        count++;
    if (ttl <= 0 || ttl > 365 * USEC_DAY || count >= KV_FILE_MAX_LEASES) {
        error_set(why, "a lease of %lld microseconds can't be given (there are %zu)", (long long)ttl, count);
        return KV_REFUSED;
    }
    struct lease *lease = xcalloc(1, sizeof *lease);
    lease->id = ++store->last_lease;
    lease->ttl = ttl;
    lease->until = now + ttl;
    list_push_back(&store->leases, &lease->link);
    pthread_cond_broadcast(&store->moved);
    return KV_DONE;
}

static int end_lease(struct kv_file *store, struct lease *lease, struct error *why)
{
    struct draft draft = draft_begin(store, store->table.count);
    for (size_t i = 0; i < store->table.count; i++)
        if (store->table.entries[i]->pair.lease == lease->id)
            draft_delete(&draft, store->table.entries[i]->pair.key);
    if (draft_save(store, &draft, why) < 0)
        return -1;
    list_remove(&lease->link);
    free(lease);
    return 0;
}

enum kv_outcome file_lease(struct kv_file *store, const struct kv_request *request, usec_t now,
    struct kv_result *result, struct error *why)
{
    if (request->verb == KV_LEASE_GRANT) {
        result->lease = store->last_lease + 1;
        result->ttl = request->ttl;
        return grant(store, request->ttl, now, why);
    }
    struct lease *lease = find_lease(store, request->lease);
    if (lease == NULL || now >= lease->until)
        return KV_LOST;
    result->lease = lease->id;
    result->ttl = lease->ttl;
    if (request->verb == KV_LEASE_REVOKE)
        return end_lease(store, lease, why) == 0 ? KV_DONE : KV_UNKNOWN;
    lease->until = now + lease->ttl;
    return KV_DONE;
}

usec_t file_leases_tick(struct kv_file *store, usec_t now)
{
    usec_t next = USEC_NEVER;
    struct error why;
    list_each_safe (link, &store->leases) {
        struct lease *lease = list_item(link, struct lease, link);
        usec_t until = lease->until;
        if (now >= until) {
            if (end_lease(store, lease, &why) == 0)
                continue;
            log_error("store", "a lease is over, but %s", why.text);
            until = now + RETRY_AFTER;
        }
        next = until < next ? until : next;
    }
    return next;
}
