/* bus_wire - see bus_wire.h */
#include "proto/bus_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "proto/bus_wire_inside.h"
#include "proto/record_inside.h"

/* A text of more travels as the second frame. */
#define TEXT_INSIDE ((size_t)4096)
/* What an envelope may be longer than its payload. */
#define ENVELOPE_ROOM ((size_t)1024)
/* What unpacking may take in all: the copy of a payload and a little; the largest message of ours. */
#define ENVELOPE_BUDGET (BUS_MAX_FRAME + ((size_t)64 << 10))
#define PAYLOAD_BUDGET ((size_t)32 << 20)

/* Encoding */

static bool text_follows(const struct bus_msg *msg)
{
    return msg->body == NULL && msg->text_len > TEXT_INSIDE;
}

struct blob *bus_payload_body(const struct bus_msg *msg)
{
    if (msg->body != NULL)
        return blob_hold(msg->body);
    return text_follows(msg) ? blob_copy(msg->text, msg->text_len) : NULL;
}

struct pack {
    Todoku__BusMessage message;
    struct record_mail_pack mail;
    Todoku__BusItem small_items[RECORD_SMALL], *items;
    Todoku__BusItem *small_list[RECORD_SMALL], **list;
};

static void fill_items(struct pack *pack, const struct bus_msg *msg)
{
    pack->items = pack->small_items;
    pack->list = pack->small_list;
    if (msg->item_count > RECORD_SMALL) {
        pack->items = xmalloc(msg->item_count * sizeof *pack->items);
        pack->list = xmalloc(msg->item_count * sizeof(Todoku__BusItem *));
    }
    for (uint32_t i = 0; i < msg->item_count; i++) {
        Todoku__BusItem *item = pack->list[i] = &pack->items[i];
        todoku__bus_item__init(item);
        item->index = msg->items[i].index;
        item->hop = msg->items[i].hop;
        item->attempts = msg->items[i].attempts;
        item->verdict = msg->items[i].verdict;
        item->due = msg->items[i].due;
    }
    pack->message.n_items = msg->item_count;
    pack->message.items = pack->list;
}

static void fill_message(struct pack *pack, const struct bus_msg *msg)
{
    Todoku__BusMessage *to = &pack->message;
    todoku__bus_message__init(to);
    to->verdict = msg->verdict;
    to->to_incarnation = msg->to_incarnation;
    to->at = msg->at;
    to->ref = msg->ref;
    to->spool = pb_view_text(msg->spool);
    to->from_spool = pb_view_text(msg->from_spool);
    to->id = pb_view(msg->id.bytes, sizeof msg->id.bytes);
    to->complete = msg->complete;
    to->pressure = msg->pressure;
    to->code = (uint32_t)msg->code;
    to->text_check = msg->text_check;
    if (msg->type == BUS_MOVE_BRIEF)
        to->text_hash = pb_view(msg->text_hash, sizeof msg->text_hash);
    to->text_follows = text_follows(msg);
    if (!to->text_follows)
        to->text = pb_view(msg->text, msg->text_len);
    fill_items(pack, msg);
    pack->mail.heap_recipients = NULL;
    if (msg->mail != NULL) {
        record_mail_fill(&pack->mail, msg->mail);
        to->mail = &pack->mail.mail;
    }
}

static void pack_done(struct pack *pack)
{
    record_mail_done(&pack->mail);
    if (pack->items != pack->small_items)
        free(pack->items);
    if (pack->list != pack->small_list)
        free(pack->list);
}

static int check_sizes(const struct bus_msg *msg, size_t len, struct error *error)
{
    size_t second = msg->body != NULL ? msg->body->len : text_follows(msg) ? msg->text_len : 0;
    if (len > BUS_MAX_FRAME - ENVELOPE_ROOM)
        return error_set(error, "a %s of %zu bytes is too large for the bus, which takes %zu",
            bus_type_name(msg->type), len, BUS_MAX_FRAME - ENVELOPE_ROOM);
    if (second > BUS_MAX_BODY)
        return error_set(error, "a %s with a body of %zu bytes is too large for the bus, which takes %zu",
            bus_type_name(msg->type), second, BUS_MAX_BODY);
    return 0;
}

int bus_payload_encode(const struct bus_msg *msg, struct buffer *out, struct error *error)
{
    struct pack pack;
    fill_message(&pack, msg);
    size_t len = todoku__bus_message__get_packed_size(&pack.message);
    int result = check_sizes(msg, len, error);
    if (result == 0) {
        todoku__bus_message__pack(&pack.message, (uint8_t *)buffer_room(out, len));
        buffer_added(out, len);
    }
    pack_done(&pack);
    return result;
}

void bus_envelope_encode(
    const struct bus_envelope *envelope, const void *payload, size_t len, struct buffer *out)
{
    Todoku__BusEnvelope to;
    must(len <= BUS_MAX_FRAME - ENVELOPE_ROOM && (payload != NULL) == (envelope->type != 0));
    must(wire_has(&wire_ours, envelope->wire));
    todoku__bus_envelope__init(&to);
    to.wire = envelope->wire;
    to.cluster = pb_view_text(envelope->cluster);
    to.from = pb_view_text(envelope->from);
    to.to = pb_view_text(envelope->to);
    to.process = envelope->process;
    to.stream = envelope->stream;
    to.sequence = envelope->sequence;
    to.offset = envelope->offset;
    to.type = envelope->type;
    to.payload = pb_view(payload, len);
    to.well = envelope->well;
    to.asks = envelope->asks;
    to.leaves = envelope->leaves;
    to.credit_stream = envelope->credit_stream;
    to.credit_seen = envelope->credit_seen;
    to.credit_limit = envelope->credit_limit;
    to.credit_window = envelope->credit_window;
    size_t size = todoku__bus_envelope__get_packed_size(&to);
    todoku__bus_envelope__pack(&to, (uint8_t *)buffer_room(out, size));
    buffer_added(out, size);
}

/* Decoding */

static int read_name(
    const ProtobufCBinaryData *from, const char *what, char name_r[BUS_NAME_SIZE], struct error *error)
{
    if (bus_check_name(from, what, error) < 0)
        return -1;
    if (from->len > 0)
        memcpy(name_r, from->data, from->len);
    name_r[from->len] = '\0';
    return 0;
}

static enum bus_wire_result read_envelope(
    const Todoku__BusEnvelope *from, struct bus_envelope *to, struct error *error)
{
    if (read_name(&from->cluster, "cluster's name", to->cluster, error) < 0 ||
        read_name(&from->from, "sender's name", to->from, error) < 0 ||
        read_name(&from->to, "member's name", to->to, error) < 0)
        return BUS_WIRE_BAD;
    to->process = from->process;
    if (!wire_has(&wire_ours, from->wire)) {
        char ours[WIRE_TEXT_SIZE];
        error_set(error, "%s speaks bus version %u, this program speaks %s: upgrade the older one", to->from,
            from->wire, wire_text(&wire_ours, ours));
        return BUS_WIRE_OTHER;
    }
    if (from->type == 0 && from->payload.len > 0) {
        error_set(error, "a message without a type");
        return BUS_WIRE_BAD;
    }
    to->wire = from->wire;
    to->stream = from->stream;
    to->sequence = from->sequence;
    to->offset = from->offset;
    to->type = (enum bus_type)from->type;
    to->well = from->well;
    to->asks = from->asks;
    to->leaves = from->leaves;
    to->credit_stream = from->credit_stream;
    to->credit_seen = from->credit_seen;
    to->credit_limit = from->credit_limit;
    to->credit_window = from->credit_window;
    to->payload = from->payload.data;
    to->payload_len = from->payload.len;
    return BUS_WIRE_GOOD;
}

enum bus_wire_result bus_envelope_decode(
    const void *bytes, size_t len, struct bus_envelope *envelope_r, struct error *error)
{
    size_t budget = ENVELOPE_BUDGET;
    ProtobufCAllocator allocator = pb_allocator(&budget);
    *envelope_r = (struct bus_envelope){0};
    if (len > BUS_MAX_FRAME) {
        error_set(error, "an envelope of %zu bytes, allowed are %zu", len, BUS_MAX_FRAME);
        return BUS_WIRE_BAD;
    }
    Todoku__BusEnvelope *from = todoku__bus_envelope__unpack(&allocator, len, bytes);
    if (from == NULL) {
        error_set(error, "%zu bytes that are no envelope of Todoku's", len);
        return BUS_WIRE_BAD;
    }
    enum bus_wire_result result = read_envelope(from, envelope_r, error);
    if (result == BUS_WIRE_GOOD)
        envelope_r->memory = from;
    else
        todoku__bus_envelope__free_unpacked(from, &allocator);
    return result;
}

void bus_envelope_clear(struct bus_envelope *envelope)
{
    size_t budget = 0;
    ProtobufCAllocator allocator = pb_allocator(&budget);
    if (envelope->memory != NULL)
        todoku__bus_envelope__free_unpacked(envelope->memory, &allocator);
    *envelope = (struct bus_envelope){0};
}

static void read_items(const Todoku__BusMessage *from, struct bus_msg *msg)
{
    if (from->n_items == 0)
        return;
    msg->items = xcalloc(from->n_items, sizeof *msg->items);
    msg->item_count = (uint32_t)from->n_items;
    for (size_t i = 0; i < from->n_items; i++)
        msg->items[i] = (struct bus_item){
            .index = from->items[i]->index,
            .hop = from->items[i]->hop,
            .attempts = from->items[i]->attempts,
            .verdict = (enum bus_verdict)from->items[i]->verdict,
            .due = from->items[i]->due,
        };
}

static int read_second(const Todoku__BusMessage *from, const void *body, size_t body_len, struct bus_msg *msg,
    struct error *error)
{
    if (body == NULL)
        return 0;
    if (!from->text_follows) {
        msg->body = blob_copy(body, body_len);
        return 0;
    }
    if (memchr(body, '\0', body_len) != NULL)
        return error_set(error, "a text with a zero octet");
    bus_msg_set_text(msg, body, body_len);
    return 0;
}

static int read_message(const Todoku__BusMessage *from, const void *body, size_t body_len,
    struct bus_msg *msg, struct error *error)
{
    if (bus_check_payload(from, msg->type, body != NULL, body_len, error) < 0 ||
        read_name(&from->spool, "spool", msg->spool, error) < 0 ||
        read_name(&from->from_spool, "spool", msg->from_spool, error) < 0)
        return -1;
    msg->verdict = (enum bus_verdict)from->verdict;
    msg->to_incarnation = from->to_incarnation;
    msg->at = from->at;
    msg->ref = from->ref;
    msg->complete = from->complete;
    msg->pressure = (uint8_t)from->pressure;
    msg->code = (int)from->code;
    msg->text_check = from->text_check;
    if (from->text_hash.len > 0)
        memcpy(msg->text_hash, from->text_hash.data, sizeof msg->text_hash);
    if (from->id.len > 0)
        memcpy(msg->id.bytes, from->id.data, sizeof msg->id.bytes);
    if (from->text.len > 0)
        bus_msg_set_text(msg, (const char *)from->text.data, from->text.len);
    read_items(from, msg);
    if (from->mail != NULL && record_mail_read(from->mail, &msg->id, &msg->mail, error) < 0)
        return -1;
    return read_second(from, body, body_len, msg, error);
}

int bus_payload_decode(const struct bus_envelope *envelope, const void *body, size_t body_len,
    struct bus_msg **msg_r, struct error *error)
{
    size_t budget = PAYLOAD_BUDGET;
    ProtobufCAllocator allocator = pb_allocator(&budget);
    must(envelope->type != 0);
    if (!bus_type_known(envelope->type))
        return error_set(
            error, "a message of type %u, which this program does not know", (unsigned)envelope->type);
    if (body != NULL && body_len > BUS_MAX_BODY)
        return error_set(error, "a body of %zu bytes, allowed are %zu", body_len, BUS_MAX_BODY);
    Todoku__BusMessage *from =
        todoku__bus_message__unpack(&allocator, envelope->payload_len, envelope->payload);
    if (from == NULL)
        return error_set(error, "a %s of %zu bytes that are no message of Todoku's",
            bus_type_name(envelope->type), envelope->payload_len);
    struct bus_msg *msg = bus_msg_new(envelope->type, envelope->from, envelope->to);
    int result = read_message(from, body, body_len, msg, error);
    todoku__bus_message__free_unpacked(from, &allocator);
    if (result < 0)
        bus_msg_free(&msg);
    else
        *msg_r = msg;
    return result;
}
