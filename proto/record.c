/* record - see record.h
 *
 * Encoding builds the protobuf structs on the stack, pointing into the record, and packs them straight into
 * the buffer; only a record with many items or recipients needs a heap block (one). Decoding unpacks with a
 * budget of memory, since a few bytes of protobuf can ask for many of memory. */
#include "proto/record.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "proto/record_inside.h"

#ifndef TODOKU_NEXT
#define LAST_KIND RECORD_ATTEMPT
#else
#define LAST_KIND RECORD_NEXT
#endif
/* What unpacking may take in all: the largest record of ours needs a third of it. */
#define UNPACK_BUDGET ((size_t)32 << 20)

/* Encoding */

struct pack {
    Todoku__Record record;
    struct record_mail_pack mail;
    Todoku__RecordItem small_items[RECORD_SMALL];
    Todoku__RecordItem *small_list[RECORD_SMALL];
    void *heap_items, *heap_list;
};

static void fill_items(struct pack *pack, const struct spool_record *record)
{
    Todoku__RecordItem *items = pack->small_items, **list = pack->small_list;
    uint32_t count = record->item_count;
    if (count > RECORD_SMALL) {
        items = pack->heap_items = xmalloc(count * sizeof *items);
        list = pack->heap_list = xmalloc(count * sizeof(Todoku__RecordItem *));
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct record_item *from = &record->items[i];
        todoku__record_item__init(&items[i]);
        items[i].index = from->index;
        items[i].hop = from->hop;
        items[i].state = from->state;
        items[i].result = from->result;
        items[i].attempts = from->attempts;
        items[i].due = from->due;
        items[i].code = from->code;
        items[i].peer = pb_view_text(from->peer);
        items[i].attempt = from->attempt;
        list[i] = &items[i];
    }
    pack->record.n_items = count;
    pack->record.items = list;
}

/* What a reader must know. Who passed over an open attempt, be it in a record of its own or in the restatement of a
 * message, would send at once, and uncounted, what another process may be sending. */
static uint32_t version_of(const struct spool_record *record)
{
    if (record->kind > RECORD_ATTEMPT)
        return 3;
    bool attempted = record->kind == RECORD_ATTEMPT;
    for (uint32_t i = 0; i < record->item_count && !attempted; i++)
        attempted = record->items[i].attempt != 0;
    return attempted ? 2 : 1;
}

static bool may_skip(enum record_kind kind)
{
#ifdef TODOKU_NEXT
    return kind == RECORD_NEXT;
#else
    (void)kind;
    return false;
#endif
}

void record_encode(const struct spool_record *record, struct buffer *out)
{
    struct pack pack;
    pack.heap_items = pack.heap_list = NULL;
    must((record->kind == RECORD_HOLD) == (record->mail != NULL));
    todoku__record__init(&pack.record);
    pack.record.version = version_of(record);
    pack.record.may_skip = may_skip(record->kind);
    pack.record.kind = record->kind;
    pack.record.id = pb_view(record->id.bytes, sizeof record->id.bytes);
    pack.record.at = record->at;
    pack.record.detail = pb_view_text(record->detail);
    fill_items(&pack, record);
    if (record->mail != NULL) {
        record_mail_fill(&pack.mail, record->mail);
        pack.record.mail = &pack.mail.mail;
    }
    size_t len = todoku__record__get_packed_size(&pack.record);
    must(len <= RECORD_MAX_BYTES);
    todoku__record__pack(&pack.record, (uint8_t *)buffer_room(out, len));
    buffer_added(out, len);
    free(pack.heap_items);
    free(pack.heap_list);
    if (record->mail != NULL)
        record_mail_done(&pack.mail);
}

/* Decoding */

/* Empty is null. */
static int read_optional(
    const ProtobufCBinaryData *from, const char *what, char **text_r, struct error *error)
{
    *text_r = NULL;
    return from->len == 0 ? 0 : record_read_text(from, what, text_r, error);
}

static int read_item(
    const Todoku__RecordItem *from, uint32_t recipients, struct record_item *item_r, struct error *error)
{
    if (from->index >= recipients)
        return error_set(error, "record: delivery %u of a mail to %u recipients", from->index, recipients);
    if (from->state > CUSTODY_DONE || from->result > RESULT_CANCELLED)
        return error_set(error, "record: state %u or result %u is unknown here", from->state, from->result);
    *item_r = (struct record_item){
        .index = from->index,
        .hop = from->hop,
        .state = (enum custody_state)from->state,
        .result = (enum delivery_result)from->result,
        .attempts = from->attempts,
        .due = from->due,
        .code = from->code,
        .attempt = from->attempt,
    };
    return read_optional(&from->peer, "peer", &item_r->peer, error);
}

static int read_items(const Todoku__Record *from, struct spool_record *record, struct error *error)
{
    uint32_t recipients = record->mail == NULL ? MAIL_MAX_RECIPIENTS : record->mail->recipient_count;
    if (from->n_items > MAIL_MAX_RECIPIENTS)
        return error_set(error, "record: %zu deliveries, allowed are %d", from->n_items, MAIL_MAX_RECIPIENTS);
    record->items = xcalloc(from->n_items + 1, sizeof *record->items);
    for (size_t i = 0; i < from->n_items; i++) {
        if (read_item(from->items[i], recipients, &record->items[i], error) < 0)
            return -1;
        record->item_count++;
    }
    return 0;
}

static int check_record(const Todoku__Record *from, struct error *error)
{
    if (from->version == 0 || from->kind < RECORD_HOLD)
        return error_set(error, "record: version %u, kind %u", from->version, from->kind);
    if (from->id.len != sizeof((struct mail_id *)0)->bytes)
        return error_set(error, "record: an id of %zu octets, not 16", from->id.len);
    if ((from->kind == RECORD_HOLD) != (from->mail != NULL))
        return error_set(error, "record: kind %u %s a mail", from->kind, from->mail ? "with" : "without");
    return 0;
}

static bool is_newer(const Todoku__Record *from)
{
    return from->version > RECORD_VERSION || from->kind > LAST_KIND;
}

static enum record_result newer(const Todoku__Record *from, struct error *error)
{
    error_set(error,
        "record: version %u, kind %u, and this program knows versions up to %d: a newer Todoku wrote it; "
        "start "
        "that one",
        from->version, from->kind, RECORD_VERSION);
    return from->may_skip ? RECORD_SKIPPED : RECORD_NEWER;
}

static enum record_result read_record(
    const Todoku__Record *from, struct spool_record *record, struct error *error)
{
    if (is_newer(from))
        return newer(from, error);
    if (check_record(from, error) < 0)
        return RECORD_BAD;
    record->kind = (enum record_kind)from->kind;
    memcpy(record->id.bytes, from->id.data, sizeof record->id.bytes);
    record->at = from->at;
    if (from->mail != NULL && record_mail_read(from->mail, &record->id, &record->mail, error) < 0)
        return RECORD_BAD;
    if (read_items(from, record, error) < 0 ||
        read_optional(&from->detail, "detail", &record->detail, error) < 0)
        return RECORD_BAD;
    return RECORD_GOOD;
}

enum record_result record_decode(
    const void *bytes, size_t len, struct spool_record *record_r, struct error *error)
{
    if (len > RECORD_MAX_BYTES) {
        error_set(error, "record: %zu bytes, allowed are %u", len, RECORD_MAX_BYTES);
        return RECORD_BAD;
    }
    size_t budget = UNPACK_BUDGET;
    ProtobufCAllocator allocator = pb_allocator(&budget);
    Todoku__Record *from = todoku__record__unpack(&allocator, len, bytes);
    if (from == NULL) {
        error_set(error, "record: its %zu bytes are no record of Todoku's", len);
        return RECORD_BAD;
    }
    struct spool_record record = {0};
    enum record_result result = read_record(from, &record, error);
    todoku__record__free_unpacked(from, &allocator);
    if (result == RECORD_GOOD)
        *record_r = record;
    else
        record_clear(&record);
    return result;
}

void record_clear(struct spool_record *record)
{
    mail_drop(&record->mail);
    for (uint32_t i = 0; i < record->item_count; i++)
        free(record->items[i].peer);
    free(record->items);
    free(record->detail);
    *record = (struct spool_record){0};
}

const char *result_name(enum delivery_result result)
{
    static const char *const names[] = {
        [RESULT_NONE] = "none",
        [RESULT_DELIVERED] = "delivered",
        [RESULT_BOUNCED] = "bounced",
        [RESULT_EXPIRED] = "expired",
        [RESULT_SUPPRESSED] = "suppressed",
        [RESULT_CANCELLED] = "cancelled",
    };
    return names[result];
}

const char *custody_state_name(enum custody_state state)
{
    static const char *const names[] = {
        [CUSTODY_NONE] = "none",
        [CUSTODY_HELD] = "held",
        [CUSTODY_LEAVING] = "leaving",
        [CUSTODY_MOVED] = "moved",
        [CUSTODY_REFUSED] = "refused",
        [CUSTODY_DONE] = "done",
    };
    return names[state];
}
