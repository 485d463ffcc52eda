/* kv_etcd_read_grpc - what a request asks for, checked and made ready to be sent; see kv_etcd_inside_grpc.h */
#include <string.h>

#include "base/alloc.h"
#include "cluster/kv_etcd_inside_grpc.h"

static int check_key(const char *key, bool prefix, struct error *why)
{
    size_t len = key == NULL ? 0 : strlen(key);
    if (len > KV_MAX_KEY || (len == 0 && !prefix))
        return error_set(
            why, "a key of %zu characters can't be in the store: 1 to %d are allowed", len, KV_MAX_KEY);
    return 0;
}

static int check_txn(const struct kv_request *asked, struct error *why)
{
    if (asked->compare_count > KV_MAX_CHANGES || asked->change_count > KV_MAX_CHANGES)
        return error_set(why, "%zu compares and %zu changes are too many for one transaction: %d of each",
            asked->compare_count, asked->change_count, KV_MAX_CHANGES);
    for (size_t i = 0; i < asked->compare_count; i++)
        if (check_key(asked->compares[i].key, false, why) < 0)
            return -1;
    for (size_t i = 0; i < asked->change_count; i++) {
        if (check_key(asked->changes[i].key, false, why) < 0)
            return -1;
        if (asked->changes[i].value != NULL && asked->changes[i].len > KV_MAX_VALUE)
            return error_set(why, "the value for %s has %zu bytes; the store takes %u", asked->changes[i].key,
                asked->changes[i].len, KV_MAX_VALUE);
    }
    return 0;
}

static int check(const struct kv_request *asked, struct error *why)
{
    if (asked->verb == KV_TXN)
        return check_txn(asked, why);
    if (asked->verb == KV_RANGE)
        return check_key(asked->key, asked->prefix, why);
    if (asked->verb == KV_LEASE_GRANT && (asked->ttl <= 0 || asked->ttl > 365 * USEC_DAY))
        return error_set(why, "a lease of %lld microseconds is none", (long long)asked->ttl);
    return 0;
}

static void encode_txn(const struct kv_request *asked, struct buffer *out)
{
    struct etcd_compare compares[KV_MAX_CHANGES];
    struct etcd_change changes[KV_MAX_CHANGES];
    for (size_t i = 0; i < asked->compare_count; i++) {
        const struct kv_compare *from = &asked->compares[i];
        compares[i] = (struct etcd_compare){
            .key = {from->key, strlen(from->key)}, .created = from->created, .revision = from->revision};
    }
    for (size_t i = 0; i < asked->change_count; i++) {
        const struct kv_change *from = &asked->changes[i];
        changes[i] = (struct etcd_change){.key = {from->key, strlen(from->key)},
            .value = {from->value, from->len},
            .lease = from->lease,
            .deletes = from->value == NULL};
    }
    etcd_encode_txn(compares, asked->compare_count, changes, asked->change_count, out);
}

static void fill_range(struct request *request, const struct kv_request *asked)
{
    size_t len = asked->key == NULL ? 0 : strlen(asked->key);
    request->key = xstrndup(asked->key == NULL ? "" : asked->key, len);
    request->end = xmalloc(len + 1);
    request->end_len = asked->prefix ? etcd_prefix_end(request->key, len, request->end) : 0;
}

static void fill(struct request *request, const struct kv_request *asked)
{
    if (asked->verb == KV_RANGE)
        fill_range(request, asked);
    else if (asked->verb == KV_TXN)
        encode_txn(asked, &request->message);
    else if (asked->verb == KV_LEASE_GRANT)
        etcd_encode_lease_grant((uint64_t)((asked->ttl + USEC_SEC - 1) / USEC_SEC), &request->message);
    else
        etcd_encode_lease(asked->lease, &request->message);
}

int request_read(struct request *request, const struct kv_request *asked)
{
    if (check(asked, &request->why) < 0)
        return -1;
    fill(request, asked);
    return 0;
}
