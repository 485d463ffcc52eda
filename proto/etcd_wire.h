/* etcd_wire - what is said to etcd and what it answers, as bytes
 *
 * The part of etcd's v3 interface (api/etcdserverpb/rpc.proto) behind the store of a cluster: ranges,
 * transactions, leases, watches, a user's token, a member's state. Encoders append one message to a buffer;
 * decoders check the size, unpack within a budget of memory, and hand out pairs one by one, lent for the
 * call.
 *
 * Errors: a message that is none of etcd's, or too large, is refused with a sentence. Pure: no clock, no
 * connection. */
#ifndef PROTO_ETCD_WIRE_H
#define PROTO_ETCD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

/* The largest message that is taken: KV_MAX_RANGE of values and what is wrapped around them. */
#define ETCD_MAX_MESSAGE ((size_t)80 << 20)
#define ETCD_MAX_COMPARES 64
#define ETCD_MAX_CHANGES 64

#define ETCD_RANGE "/etcdserverpb.KV/Range"
#define ETCD_TXN "/etcdserverpb.KV/Txn"
#define ETCD_LEASE_GRANT "/etcdserverpb.Lease/LeaseGrant"
#define ETCD_LEASE_REVOKE "/etcdserverpb.Lease/LeaseRevoke"
#define ETCD_LEASE_KEEP_ALIVE "/etcdserverpb.Lease/LeaseKeepAlive"
#define ETCD_WATCH "/etcdserverpb.Watch/Watch"
#define ETCD_AUTHENTICATE "/etcdserverpb.Auth/Authenticate"
#define ETCD_STATUS "/etcdserverpb.Maintenance/Status"

struct etcd_bytes {
    const void *bytes;
    size_t len;
};

/* A pair of a range, or what an event says about one: if `deleted`, `modified` is the deletion's revision. */
struct etcd_pair {
    struct etcd_bytes key, value;
    uint64_t created, modified, lease;
    bool deleted;
};
typedef void etcd_each(void *arg, const struct etcd_pair *pair);

struct etcd_range { /* from `key` (included) to `end` (not included); an empty `end`: `key` alone */
    struct etcd_bytes key, end;
    uint64_t limit;    /* pairs; 0 = all */
    uint64_t revision; /* 0 = the newest */
};

struct etcd_compare { /* of the last change, or if `created` of the making; 0 = is not there */
    struct etcd_bytes key;
    bool created;
    uint64_t revision;
};

struct etcd_change {
    struct etcd_bytes key, value;
    uint64_t lease;
    bool deletes;
};

struct etcd_header {
    uint64_t cluster; /* its id; the same for as long as a cluster of etcd lives */
    uint64_t member;
    uint64_t revision;
};

void etcd_encode_range(const struct etcd_range *range, struct buffer *out);
/* At most ETCD_MAX_COMPARES and ETCD_MAX_CHANGES. */
void etcd_encode_txn(const struct etcd_compare *compares, size_t compare_count,
    const struct etcd_change *changes, size_t change_count, struct buffer *out);
void etcd_encode_lease_grant(uint64_t seconds, struct buffer *out);
/* The request to keep a lease, and the one to revoke it. */
void etcd_encode_lease(uint64_t lease, struct buffer *out);
/* A watch over `range` from its revision on; `limit` doesn't count. */
void etcd_encode_watch(const struct etcd_range *range, struct buffer *out);
void etcd_encode_authenticate(const char *user, const char *password, struct buffer *out);

/* 0, or -1 with the reason; `each` may have been called for some by then. */
int etcd_decode_range(const void *bytes, size_t len, struct etcd_header *header_r, bool *more_r,
    etcd_each *each, void *arg, struct error *error);
int etcd_decode_txn(
    const void *bytes, size_t len, struct etcd_header *header_r, bool *succeeded_r, struct error *error);
/* Of a grant or a keep-alive; `seconds_r` 0: the lease is no more. */
int etcd_decode_lease(const void *bytes, size_t len, struct etcd_header *header_r, uint64_t *lease_r,
    uint64_t *seconds_r, struct error *error);

struct etcd_watch_reply {
    struct etcd_header header;
    bool created, canceled;
    uint64_t compacted; /* not 0: what was asked for is not known any more before this revision */
    char reason[256];   /* of the cancelling, printable */
    size_t events;
};
int etcd_decode_watch(const void *bytes, size_t len, struct etcd_watch_reply *reply_r, etcd_each *each,
    void *arg, struct error *error);
/* Appends the token, which is printable ASCII. */
int etcd_decode_authenticate(const void *bytes, size_t len, struct buffer *token_r, struct error *error);

struct etcd_status {
    struct etcd_header header;
    char version[32];
    uint64_t leader; /* 0: it knows of none and can answer nothing */
    bool learner;
};
int etcd_decode_status(const void *bytes, size_t len, struct etcd_status *status_r, struct error *error);

/* The end of the range of all keys that begin with `prefix`, into `out` (at least `len` + 1 bytes); returns
 * its length. */
size_t etcd_prefix_end(const char *prefix, size_t len, char *out);

#endif
