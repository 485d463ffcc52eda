/* etcd_wire - see etcd_wire.h
 *
 * Encoding builds the structs on the stack, pointing into what was given. Decoding unpacks with a budget of
 * memory, since a few bytes of protobuf can ask for many of memory. */
#include "proto/etcd_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "proto/etcd.pb-c.h"
#include "proto/pb.h"

/* Encoding */

static ProtobufCBinaryData view(struct etcd_bytes bytes)
{
    return pb_view(bytes.bytes, bytes.len);
}

static void pack(const ProtobufCMessage *message, struct buffer *out)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    protobuf_c_message_pack(message, (uint8_t *)buffer_room(out, len));
    buffer_added(out, len);
}

void etcd_encode_range(const struct etcd_range *range, struct buffer *out)
{
    Etcd__RangeRequest message = ETCD__RANGE_REQUEST__INIT;
    message.key = view(range->key);
    message.range_end = view(range->end);
    message.limit = (int64_t)range->limit;
    message.revision = (int64_t)range->revision;
    pack(&message.base, out);
}

static void fill_compare(Etcd__Compare *to, const struct etcd_compare *from)
{
    etcd__compare__init(to);
    to->result = ETCD__COMPARE__RESULT__EQUAL;
    to->target = from->created ? ETCD__COMPARE__TARGET__CREATE : ETCD__COMPARE__TARGET__MOD;
    to->key = view(from->key);
    to->target_union_case = from->created ? ETCD__COMPARE__TARGET_UNION_CREATE_REVISION
                                          : ETCD__COMPARE__TARGET_UNION_MOD_REVISION;
    if (from->created)
        to->create_revision = (int64_t)from->revision;
    else
        to->mod_revision = (int64_t)from->revision;
}

union change {
    Etcd__PutRequest put;
    Etcd__DeleteRangeRequest gone;
};

static void fill_change(Etcd__RequestOp *to, union change *part, const struct etcd_change *from)
{
    etcd__request_op__init(to);
    if (from->deletes) {
        etcd__delete_range_request__init(&part->gone);
        part->gone.key = view(from->key);
        to->request_case = ETCD__REQUEST_OP__REQUEST_DELETE_RANGE;
        to->delete_range = &part->gone;
        return;
    }
    etcd__put_request__init(&part->put);
    part->put.key = view(from->key);
    part->put.value = view(from->value);
    part->put.lease = (int64_t)from->lease;
    to->request_case = ETCD__REQUEST_OP__REQUEST_PUT;
    to->put = &part->put;
}

void etcd_encode_txn(const struct etcd_compare *compares, size_t compare_count,
    const struct etcd_change *changes, size_t change_count, struct buffer *out)
{
    Etcd__TxnRequest message = ETCD__TXN_REQUEST__INIT;
    Etcd__Compare compare[ETCD_MAX_COMPARES], *compare_list[ETCD_MAX_COMPARES];
    Etcd__RequestOp op[ETCD_MAX_CHANGES], *op_list[ETCD_MAX_CHANGES];
    union change part[ETCD_MAX_CHANGES];
    must(compare_count <= ETCD_MAX_COMPARES && change_count <= ETCD_MAX_CHANGES);
    for (size_t i = 0; i < compare_count; i++) {
        fill_compare(&compare[i], &compares[i]);
        compare_list[i] = &compare[i];
    }
    for (size_t i = 0; i < change_count; i++) {
        fill_change(&op[i], &part[i], &changes[i]);
        op_list[i] = &op[i];
    }
    message.n_compare = compare_count;
    message.compare = compare_list;
    message.n_success = change_count;
    message.success = op_list;
    pack(&message.base, out);
}

void etcd_encode_lease_grant(uint64_t seconds, struct buffer *out)
{
    Etcd__LeaseGrantRequest message = ETCD__LEASE_GRANT_REQUEST__INIT;
    message.ttl = (int64_t)seconds;
    pack(&message.base, out);
}

/* Both requests have their lease as field 1. */
void etcd_encode_lease(uint64_t lease, struct buffer *out)
{
    Etcd__LeaseKeepAliveRequest message = ETCD__LEASE_KEEP_ALIVE_REQUEST__INIT;
    message.id = (int64_t)lease;
    pack(&message.base, out);
}

void etcd_encode_watch(const struct etcd_range *range, struct buffer *out)
{
    Etcd__WatchRequest message = ETCD__WATCH_REQUEST__INIT;
    Etcd__WatchCreateRequest create = ETCD__WATCH_CREATE_REQUEST__INIT;
    create.key = view(range->key);
    create.range_end = view(range->end);
    create.start_revision = (int64_t)range->revision;
    create.progress_notify = 1;
    message.request_case = ETCD__WATCH_REQUEST__REQUEST_CREATE;
    message.create = &create;
    pack(&message.base, out);
}

void etcd_encode_authenticate(const char *user, const char *password, struct buffer *out)
{
    Etcd__AuthenticateRequest message = ETCD__AUTHENTICATE_REQUEST__INIT;
    message.name = pb_view_text(user);
    message.password = pb_view_text(password);
    pack(&message.base, out);
}

size_t etcd_prefix_end(const char *prefix, size_t len, char *out)
{
    memcpy(out, prefix, len);
    while (len > 0 && (unsigned char)out[len - 1] == 0xff)
        len--;
    if (len == 0) { /* rpc.proto: a range_end of one zero octet means all keys from `key` on */
        out[0] = '\0';
        return 1;
    }
    out[len - 1] = (char)((unsigned char)out[len - 1] + 1);
    return len;
}

/* Decoding */

/* A pair of etcd's takes at least some twenty octets on the wire and some two hundred unpacked. */
static void *unpack(
    const ProtobufCMessageDescriptor *kind, const void *bytes, size_t len, struct error *error)
{
    if (len > ETCD_MAX_MESSAGE) {
        error_set(error, "etcd answered %zu bytes, more than the %zu that are taken", len, ETCD_MAX_MESSAGE);
        return NULL;
    }
    size_t budget = 16 * len + ((size_t)64 << 10);
    ProtobufCAllocator allocator = pb_allocator(&budget);
    ProtobufCMessage *message = protobuf_c_message_unpack(kind, &allocator, len, bytes);
    if (message == NULL)
        error_set(error, "etcd's answer of %zu bytes is no %s; is it etcd, version 3.4 or newer?", len,
            kind->short_name);
    return message;
}

static void release(void *message)
{
    size_t nothing = 0;
    ProtobufCAllocator allocator = pb_allocator(&nothing);
    protobuf_c_message_free_unpacked(message, &allocator);
}

static struct etcd_header read_header(const Etcd__Header *header)
{
    if (header == NULL)
        return (struct etcd_header){0};
    return (struct etcd_header){
        .cluster = header->cluster_id, .member = header->member_id, .revision = (uint64_t)header->revision};
}

static struct etcd_bytes lend(const ProtobufCBinaryData *bytes)
{
    return (struct etcd_bytes){bytes->data == NULL ? (const void *)"" : bytes->data, bytes->len};
}

static struct etcd_pair read_pair(const Etcd__KeyValue *from, bool deleted)
{
    return (struct etcd_pair){.key = lend(&from->key),
        .value = lend(&from->value),
        .created = (uint64_t)from->create_revision,
        .modified = (uint64_t)from->mod_revision,
        .lease = (uint64_t)from->lease,
        .deleted = deleted};
}

/* What goes into sentences: cut, and printable. */
static void read_text(const ProtobufCBinaryData *from, char *to, size_t size)
{
    size_t len = from->len < size - 1 ? from->len : size - 1;
    for (size_t i = 0; i < len; i++)
        to[i] = from->data[i] >= ' ' && from->data[i] < 0x7f ? (char)from->data[i] : '?';
    to[len] = '\0';
}

int etcd_decode_range(const void *bytes, size_t len, struct etcd_header *header_r, bool *more_r,
    etcd_each *each, void *arg, struct error *error)
{
    Etcd__RangeResponse *message = unpack(&etcd__range_response__descriptor, bytes, len, error);
    if (message == NULL)
        return -1;
    *header_r = read_header(message->header);
    *more_r = message->more;
    for (size_t i = 0; i < message->n_kvs; i++) {
        struct etcd_pair pair = read_pair(message->kvs[i], false);
        each(arg, &pair);
    }
    release(message);
    return 0;
}

int etcd_decode_txn(
    const void *bytes, size_t len, struct etcd_header *header_r, bool *succeeded_r, struct error *error)
{
    Etcd__TxnResponse *message = unpack(&etcd__txn_response__descriptor, bytes, len, error);
    if (message == NULL)
        return -1;
    *header_r = read_header(message->header);
    *succeeded_r = message->succeeded;
    release(message);
    return 0;
}

int etcd_decode_lease(const void *bytes, size_t len, struct etcd_header *header_r, uint64_t *lease_r,
    uint64_t *seconds_r, struct error *error)
{
    Etcd__LeaseResponse *message = unpack(&etcd__lease_response__descriptor, bytes, len, error);
    if (message == NULL)
        return -1;
    *header_r = read_header(message->header);
    *lease_r = (uint64_t)message->id;
    *seconds_r = message->ttl < 0 ? 0 : (uint64_t)message->ttl;
    release(message);
    return 0;
}

int etcd_decode_watch(const void *bytes, size_t len, struct etcd_watch_reply *reply_r, etcd_each *each,
    void *arg, struct error *error)
{
    Etcd__WatchResponse *message = unpack(&etcd__watch_response__descriptor, bytes, len, error);
    if (message == NULL)
        return -1;
    *reply_r = (struct etcd_watch_reply){.header = read_header(message->header),
        .created = message->created,
        .canceled = message->canceled,
        .compacted = (uint64_t)message->compact_revision,
        .events = message->n_events};
    read_text(&message->cancel_reason, reply_r->reason, sizeof reply_r->reason);
    for (size_t i = 0; i < message->n_events; i++) {
        if (message->events[i]->kv == NULL)
            continue;
        struct etcd_pair pair =
            read_pair(message->events[i]->kv, message->events[i]->type == ETCD__EVENT__TYPE__DELETE);
        each(arg, &pair);
    }
    release(message);
    return 0;
}

int etcd_decode_authenticate(const void *bytes, size_t len, struct buffer *token_r, struct error *error)
{
    Etcd__AuthenticateResponse *message = unpack(&etcd__authenticate_response__descriptor, bytes, len, error);
    if (message == NULL)
        return -1;
    int status = message->token.len == 0 || message->token.len > 8192 ? -1 : 0;
    for (size_t i = 0; status == 0 && i < message->token.len; i++)
        if (message->token.data[i] <= ' ' || message->token.data[i] >= 0x7f)
            status = -1;
    if (status == 0)
        buffer_add(token_r, message->token.data, message->token.len);
    else
        error_set(error, "etcd's token of %zu bytes can't be sent back: it is empty or no printable text",
            message->token.len);
    release(message);
    return status;
}

int etcd_decode_status(const void *bytes, size_t len, struct etcd_status *status_r, struct error *error)
{
    Etcd__StatusResponse *message = unpack(&etcd__status_response__descriptor, bytes, len, error);
    if (message == NULL)
        return -1;
    *status_r = (struct etcd_status){
        .header = read_header(message->header), .leader = message->leader, .learner = message->is_learner};
    read_text(&message->version, status_r->version, sizeof status_r->version);
    release(message);
    return 0;
}
