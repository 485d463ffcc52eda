/* bus_wire_check - the rules a message from the wire must keep
 *
 * Custody, route and asking add to times, count in hops and index by what a message says: here is where that
 * is made safe. The limits are far outside of what Todoku itself sends. */
#include <stdint.h>
#include <string.h>

#include "proto/address.h"
#include "proto/bus_wire_inside.h"

/* Times are microseconds; this is the year 20000, and adding any interval to it overflows nothing. */
#define TIME_MAX ((int64_t)570000000000 * 1000000)
#define HOP_MAX (1u << 30)
#define ATTEMPTS_MAX UINT16_MAX
#define LABEL_MAX 1024 /* a tenant's, campaign's, pool's or tag's text */
/* A mail's recipients and its deliveries in one record of a spool must fit into RECORD_MAX_BYTES. */
#define RECIPIENTS_MAX ((size_t)3000000)

/* No control character: it would end up in a log, a file name or an SMTP command. */
static bool is_clean(const ProtobufCBinaryData *text)
{
    for (size_t i = 0; i < text->len; i++)
        if (text->data[i] < 0x20 || text->data[i] == 0x7f)
            return false;
    return true;
}

static int check_label(const ProtobufCBinaryData *text, const char *what, size_t max, struct error *error)
{
    if (text->len > max)
        return error_set(error, "a %s of %zu octets, allowed are %zu", what, text->len, max);
    if (!is_clean(text))
        return error_set(error, "a %s with control characters", what);
    return 0;
}

int bus_check_name(const ProtobufCBinaryData *from, const char *what, struct error *error)
{
    return check_label(from, what, BUS_NAME_SIZE - 1, error);
}

static int check_time(int64_t when, const char *what, struct error *error)
{
    if (when < 0 || when > TIME_MAX)
        return error_set(error, "its %s is no time: %lld", what, (long long)when);
    return 0;
}

static int check_recipients(const Todoku__RecordMail *mail, struct error *error)
{
    size_t all = 0;
    if (mail->n_recipients == 0 || mail->n_recipients > MAIL_MAX_RECIPIENTS)
        return error_set(error, "a mail with %zu recipients, allowed are 1 to %d", mail->n_recipients,
            MAIL_MAX_RECIPIENTS);
    for (size_t i = 0; i < mail->n_recipients; i++) {
        if (check_label(&mail->recipients[i], "recipient", ADDRESS_SIZE, error) < 0)
            return -1;
        all += mail->recipients[i].len;
    }
    if (all > RECIPIENTS_MAX)
        return error_set(error, "recipients of %zu octets together, allowed are %zu", all, RECIPIENTS_MAX);
    return 0;
}

/* `brief`: only the head of the body has come. */
static int check_mail(const Todoku__RecordMail *mail, bool brief, size_t body_len, struct error *error)
{
    if (brief ? mail->body_len <= body_len || mail->body_len > BUS_MAX_BODY : mail->body_len != body_len)
        return error_set(error, "a mail with a body of %llu octets came with one of %zu",
            (unsigned long long)mail->body_len, body_len);
    if (check_time(mail->created, "created", error) < 0 || check_time(mail->send_at, "send_at", error) < 0 ||
        check_time(mail->expires, "expires", error) < 0 ||
        check_label(&mail->tenant, "tenant", LABEL_MAX, error) < 0 ||
        check_label(&mail->campaign, "campaign", LABEL_MAX, error) < 0 ||
        check_label(&mail->pool, "pool", LABEL_MAX, error) < 0 ||
        check_label(&mail->from, "sender", ADDRESS_SIZE, error) < 0)
        return -1;
    if (mail->n_tags > MAIL_MAX_TAGS)
        return error_set(error, "%zu tags, allowed are %d", mail->n_tags, MAIL_MAX_TAGS);
    for (size_t i = 0; i < mail->n_tags; i++)
        if (check_label(&mail->tags[i]->name, "tag's name", LABEL_MAX, error) < 0 ||
            check_label(&mail->tags[i]->value, "tag's value", LABEL_MAX, error) < 0)
            return -1;
    return check_recipients(mail, error);
}

static int check_items(const Todoku__BusMessage *from, struct error *error)
{
    uint8_t seen[MAIL_MAX_RECIPIENTS / 8 + 1] = {0};
    size_t recipients = from->mail == NULL ? MAIL_MAX_RECIPIENTS : from->mail->n_recipients;
    if (from->n_items > recipients)
        return error_set(error, "%zu deliveries of a mail to %zu", from->n_items, recipients);
    for (size_t i = 0; i < from->n_items; i++) {
        const Todoku__BusItem *item = from->items[i];
        if (item->index >= recipients)
            return error_set(error, "delivery %u of a mail to %zu recipients", item->index, recipients);
        if ((seen[item->index / 8] & (1u << item->index % 8)) != 0)
            return error_set(error, "delivery %u twice", item->index);
        seen[item->index / 8] |= (uint8_t)(1u << item->index % 8);
        if (item->hop > HOP_MAX || item->attempts > ATTEMPTS_MAX || item->verdict > BUS_GONE)
            return error_set(error, "delivery %u: hop %u, attempts %u or verdict %u is out of range",
                item->index, item->hop, item->attempts, item->verdict);
        if (check_time(item->due, "due", error) < 0)
            return -1;
    }
    return 0;
}

static int check_parts(const Todoku__BusMessage *from, enum bus_type type, bool has_body, struct error *error)
{
    bool carries = type == BUS_INJECT || type == BUS_MOVE || type == BUS_MOVE_BRIEF;
    bool copies = type == BUS_COPY || type == BUS_COPIED;
    bool body = has_body && !from->text_follows;
    if ((from->mail != NULL) != carries || body != (carries || copies))
        return error_set(error, "a %s %s mail and %s body", bus_type_name(type),
            from->mail == NULL ? "without" : "with", body ? "with" : "without");
    if (from->text_follows && (!has_body || from->text.len > 0))
        return error_set(error, "a %s whose text should follow, and %s", bus_type_name(type),
            has_body ? "is there as well" : "does not");
    if (from->text.len > BUS_MAX_TEXT)
        return error_set(error, "a text of %zu octets, allowed are %zu", from->text.len, BUS_MAX_TEXT);
    if (from->text.len > 0 && memchr(from->text.data, '\0', from->text.len) != NULL)
        return error_set(error, "a text with a zero octet");
    return 0;
}

int bus_check_payload(
    const Todoku__BusMessage *from, enum bus_type type, bool has_body, size_t body_len, struct error *error)
{
    if (from->verdict > BUS_REFUSED || from->code > 999)
        return error_set(error, "verdict %u or code %u is unknown here", from->verdict, from->code);
    if (from->pressure > 100)
        return error_set(error, "a pressure of %u, more than 100", from->pressure);
    if (from->text_hash.len != (type == BUS_MOVE_BRIEF ? sizeof((struct bus_msg *)0)->text_hash : 0))
        return error_set(error, "a hash of %zu octets in a %s", from->text_hash.len, bus_type_name(type));
    if (from->id.len != 0 && from->id.len != sizeof((struct mail_id *)0)->bytes)
        return error_set(error, "an id of %zu octets, not 16", from->id.len);
    if (bus_check_name(&from->spool, "spool", error) < 0 ||
        bus_check_name(&from->from_spool, "spool", error) < 0 || check_time(from->at, "at", error) < 0 ||
        check_parts(from, type, has_body, error) < 0)
        return -1;
    if (from->mail != NULL && check_mail(from->mail, type == BUS_MOVE_BRIEF, body_len, error) < 0)
        return -1;
    return check_items(from, error);
}
