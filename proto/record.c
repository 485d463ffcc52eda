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
#include "proto/record.pb-c.h"

/* What a record with few deliveries encodes without touching the heap. */
#define SMALL 16
/* What unpacking may take in all: the largest record of ours needs a third of it. */
#define UNPACK_BUDGET ((size_t)32 << 20)

/* Encoding */

struct pack {
    Todoku__Record record;
    Todoku__RecordMail mail;
    Todoku__RecordTag tags[MAIL_MAX_TAGS];
    Todoku__RecordTag *tag_list[MAIL_MAX_TAGS];
    Todoku__RecordItem small_items[SMALL];
    Todoku__RecordItem *small_list[SMALL];
    ProtobufCBinaryData small_recipients[SMALL];
    void *heap_items, *heap_list, *heap_recipients;
};

/* protobuf-c only reads what is packed. */
static ProtobufCBinaryData view(const void *bytes, size_t len)
{
    return (ProtobufCBinaryData){.len = len, .data = (uint8_t *)bytes};
}

static ProtobufCBinaryData view_text(const char *text)
{
    return view(text, text == NULL ? 0 : strlen(text));
}

static void fill_items(struct pack *pack, const struct spool_record *record)
{
    Todoku__RecordItem *items = pack->small_items, **list = pack->small_list;
    uint32_t count = record->item_count;
    if (count > SMALL) {
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
        items[i].peer = view_text(from->peer);
        list[i] = &items[i];
    }
    pack->record.n_items = count;
    pack->record.items = list;
}

static void fill_recipients(struct pack *pack, const struct mail *mail)
{
    ProtobufCBinaryData *recipients = pack->small_recipients;
    if (mail->recipient_count > SMALL)
        recipients = pack->heap_recipients = xmalloc(mail->recipient_count * sizeof *recipients);
    for (uint32_t i = 0; i < mail->recipient_count; i++)
        recipients[i] = view_text(mail->recipients[i]);
    pack->mail.n_recipients = mail->recipient_count;
    pack->mail.recipients = recipients;
}

static void fill_tags(struct pack *pack, const struct mail *mail)
{
    for (uint32_t i = 0; i < mail->tag_count; i++) {
        todoku__record_tag__init(&pack->tags[i]);
        pack->tags[i].name = view_text(mail->tags[i].name);
        pack->tags[i].value = view_text(mail->tags[i].value);
        pack->tag_list[i] = &pack->tags[i];
    }
    pack->mail.n_tags = mail->tag_count;
    pack->mail.tags = pack->tag_list;
}

static void fill_mail(struct pack *pack, const struct mail *mail)
{
    Todoku__RecordMail *to = &pack->mail;
    todoku__record_mail__init(to);
    to->keyed = mail->keyed;
    to->eight_bit = mail->eight_bit;
    to->priority = mail->priority;
    to->dsn = mail->dsn;
    to->created = mail->created;
    to->send_at = mail->send_at;
    to->expires = mail->expires;
    to->tenant = view_text(mail->tenant);
    to->campaign = view_text(mail->campaign);
    to->pool = view_text(mail->pool);
    to->from = view_text(mail->from);
    to->body_len = mail->body_len;
    to->digest = view(mail->digest, sizeof mail->digest);
    fill_recipients(pack, mail);
    fill_tags(pack, mail);
    pack->record.mail = to;
}

void record_encode(const struct spool_record *record, struct buffer *out)
{
    struct pack pack;
    pack.heap_items = pack.heap_list = pack.heap_recipients = NULL;
    must((record->kind == RECORD_HOLD) == (record->mail != NULL));
    todoku__record__init(&pack.record);
    pack.record.version = RECORD_VERSION;
    pack.record.kind = record->kind;
    pack.record.id = view(record->id.bytes, sizeof record->id.bytes);
    pack.record.at = record->at;
    pack.record.detail = view_text(record->detail);
    fill_items(&pack, record);
    if (record->mail != NULL)
        fill_mail(&pack, record->mail);
    size_t len = todoku__record__get_packed_size(&pack.record);
    must(len <= RECORD_MAX_BYTES);
    todoku__record__pack(&pack.record, (uint8_t *)buffer_room(out, len));
    buffer_added(out, len);
    free(pack.heap_items);
    free(pack.heap_list);
    free(pack.heap_recipients);
}

/* Decoding */

/* A budget may be passed to malloc only in part: protobuf-c takes a null as "refuse". */
static void *budget_alloc(void *budget, size_t size)
{
    size_t *left = budget;
    size_t cost = size + 16;
    if (cost < size || cost > *left)
        return NULL;
    *left -= cost;
    return malloc(size > 0 ? size : 1);
}

static void budget_free(void *budget, void *memory)
{
    (void)budget;
    free(memory);
}

static int read_text(const ProtobufCBinaryData *from, const char *what, char **text_r, struct error *error)
{
    if (from->len > 0 && memchr(from->data, '\0', from->len) != NULL)
        return error_set(error, "record: its %s holds a zero octet; it was not written by Todoku", what);
    *text_r = xstrndup(from->data == NULL ? "" : (const char *)from->data, from->len);
    return 0;
}

/* Empty is null. */
static int read_optional(
    const ProtobufCBinaryData *from, const char *what, char **text_r, struct error *error)
{
    *text_r = NULL;
    return from->len == 0 ? 0 : read_text(from, what, text_r, error);
}

static int replace_text(const ProtobufCBinaryData *from, const char *what, char **field, struct error *error)
{
    char *text = NULL;
    if (read_text(from, what, &text, error) < 0)
        return -1;
    free(*field);
    *field = text;
    return 0;
}

static int read_tags(const Todoku__RecordMail *from, struct mail *mail, struct error *error)
{
    for (size_t i = 0; i < from->n_tags; i++) {
        struct mail_tag *tag = &mail->tags[i];
        if (read_text(&from->tags[i]->name, "tag's name", &tag->name, error) < 0)
            return -1;
        mail->tag_count++;
        if (read_text(&from->tags[i]->value, "tag's value", &tag->value, error) < 0)
            return -1;
    }
    return 0;
}

static int read_recipients(const Todoku__RecordMail *from, struct mail *mail, struct error *error)
{
    mail->recipients = xcalloc(from->n_recipients + 1, sizeof *mail->recipients);
    for (size_t i = 0; i < from->n_recipients; i++) {
        if (read_text(&from->recipients[i], "recipient", &mail->recipients[i], error) < 0)
            return -1;
        mail->recipient_count++;
    }
    return 0;
}

static int check_mail(const Todoku__RecordMail *from, struct error *error)
{
    if (from->n_recipients > MAIL_MAX_RECIPIENTS)
        return error_set(
            error, "record: %zu recipients, allowed are %d", from->n_recipients, MAIL_MAX_RECIPIENTS);
    if (from->n_tags > MAIL_MAX_TAGS)
        return error_set(error, "record: %zu tags, allowed are %d", from->n_tags, MAIL_MAX_TAGS);
    if (from->priority > MAIL_BULK || from->dsn > MAIL_DSN_FAILURE)
        return error_set(error, "record: priority %u or dsn %u is unknown here", from->priority, from->dsn);
    if (from->digest.len != sizeof((struct mail *)0)->digest)
        return error_set(error, "record: a digest of %zu octets, not 32", from->digest.len);
    return 0;
}

static int read_mail(
    const Todoku__RecordMail *from, const struct mail_id *id, struct mail **mail_r, struct error *error)
{
    if (check_mail(from, error) < 0)
        return -1;
    struct mail *mail = mail_new();
    mail->id = *id;
    mail->keyed = from->keyed;
    mail->eight_bit = from->eight_bit;
    mail->priority = (enum mail_priority)from->priority;
    mail->dsn = (enum mail_dsn)from->dsn;
    mail->created = from->created;
    mail->send_at = from->send_at;
    mail->expires = from->expires;
    mail->body_len = from->body_len;
    memcpy(mail->digest, from->digest.data, sizeof mail->digest);
    if (replace_text(&from->tenant, "tenant", &mail->tenant, error) < 0 ||
        replace_text(&from->campaign, "campaign", &mail->campaign, error) < 0 ||
        replace_text(&from->pool, "pool", &mail->pool, error) < 0 ||
        replace_text(&from->from, "sender", &mail->from, error) < 0 ||
        read_recipients(from, mail, error) < 0 || read_tags(from, mail, error) < 0) {
        mail_drop(&mail);
        return -1;
    }
    *mail_r = mail;
    return 0;
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
    if (from->version != RECORD_VERSION)
        return error_set(error,
            "record: version %u, this program knows version %d; start the Todoku that wrote it",
            from->version, RECORD_VERSION);
    if (from->kind < RECORD_HOLD || from->kind > RECORD_DONE)
        return error_set(error, "record: kind %u is unknown; start the Todoku that wrote it", from->kind);
    if (from->id.len != sizeof((struct mail_id *)0)->bytes)
        return error_set(error, "record: an id of %zu octets, not 16", from->id.len);
    if ((from->kind == RECORD_HOLD) != (from->mail != NULL))
        return error_set(error, "record: kind %u %s a mail", from->kind, from->mail ? "with" : "without");
    return 0;
}

static int read_record(const Todoku__Record *from, struct spool_record *record, struct error *error)
{
    if (check_record(from, error) < 0)
        return -1;
    record->kind = (enum record_kind)from->kind;
    memcpy(record->id.bytes, from->id.data, sizeof record->id.bytes);
    record->at = from->at;
    if (from->mail != NULL && read_mail(from->mail, &record->id, &record->mail, error) < 0)
        return -1;
    if (read_items(from, record, error) < 0 ||
        read_optional(&from->detail, "detail", &record->detail, error) < 0)
        return -1;
    return 0;
}

int record_decode(const void *bytes, size_t len, struct spool_record *record_r, struct error *error)
{
    if (len > RECORD_MAX_BYTES)
        return error_set(error, "record: %zu bytes, allowed are %u", len, RECORD_MAX_BYTES);
    size_t budget = UNPACK_BUDGET;
    ProtobufCAllocator allocator = {.alloc = budget_alloc, .free = budget_free, .allocator_data = &budget};
    Todoku__Record *from = todoku__record__unpack(&allocator, len, bytes);
    if (from == NULL)
        return error_set(error, "record: its %zu bytes are no record of Todoku's", len);
    struct spool_record record = {0};
    int result = read_record(from, &record, error);
    todoku__record__free_unpacked(from, &allocator);
    if (result < 0)
        record_clear(&record);
    else
        *record_r = record;
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
