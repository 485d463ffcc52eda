/* record_mail - a mail in protobuf, for the spool's records and for the bus; see record_inside.h */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/record_inside.h"

/* Packing */

static void fill_recipients(struct record_mail_pack *pack, const struct mail *mail)
{
    ProtobufCBinaryData *recipients = pack->small_recipients;
    if (mail->recipient_count > RECORD_SMALL)
        recipients = pack->heap_recipients = xmalloc(mail->recipient_count * sizeof *recipients);
    for (uint32_t i = 0; i < mail->recipient_count; i++)
        recipients[i] = pb_view_text(mail->recipients[i]);
    pack->mail.n_recipients = mail->recipient_count;
    pack->mail.recipients = recipients;
}

static void fill_tags(struct record_mail_pack *pack, const struct mail *mail)
{
    for (uint32_t i = 0; i < mail->tag_count; i++) {
        todoku__record_tag__init(&pack->tags[i]);
        pack->tags[i].name = pb_view_text(mail->tags[i].name);
        pack->tags[i].value = pb_view_text(mail->tags[i].value);
        pack->tag_list[i] = &pack->tags[i];
    }
    pack->mail.n_tags = mail->tag_count;
    pack->mail.tags = pack->tag_list;
}

void record_mail_fill(struct record_mail_pack *pack, const struct mail *mail)
{
    Todoku__RecordMail *to = &pack->mail;
    pack->heap_recipients = NULL;
    todoku__record_mail__init(to);
    to->keyed = mail->keyed;
    to->eight_bit = mail->eight_bit;
    to->priority = mail->priority;
    to->dsn = mail->dsn;
    to->created = mail->created;
    to->send_at = mail->send_at;
    to->expires = mail->expires;
    to->tenant = pb_view_text(mail->tenant);
    to->campaign = pb_view_text(mail->campaign);
    to->pool = pb_view_text(mail->pool);
    to->from = pb_view_text(mail->from);
    to->body_len = mail->body_len;
    to->digest = pb_view(mail->digest, sizeof mail->digest);
    if (mail->has_body_hash) {
        to->body_hash = pb_view(mail->body_hash, sizeof mail->body_hash);
        to->body_hash_simple = mail->body_hash_simple;
    }
    fill_recipients(pack, mail);
    fill_tags(pack, mail);
}

void record_mail_done(struct record_mail_pack *pack)
{
    free(pack->heap_recipients);
    pack->heap_recipients = NULL;
}

/* Unpacking */

int record_read_text(const ProtobufCBinaryData *from, const char *what, char **text_r, struct error *error)
{
    if (from->len > 0 && memchr(from->data, '\0', from->len) != NULL)
        return error_set(error, "record: its %s holds a zero octet; it was not written by Todoku", what);
    *text_r = xstrndup(from->data == NULL ? "" : (const char *)from->data, from->len);
    return 0;
}

static int replace_text(const ProtobufCBinaryData *from, const char *what, char **field, struct error *error)
{
    char *text = NULL;
    if (record_read_text(from, what, &text, error) < 0)
        return -1;
    free(*field);
    *field = text;
    return 0;
}

static int read_tags(const Todoku__RecordMail *from, struct mail *mail, struct error *error)
{
    for (size_t i = 0; i < from->n_tags; i++) {
        struct mail_tag *tag = &mail->tags[i];
        if (record_read_text(&from->tags[i]->name, "tag's name", &tag->name, error) < 0)
            return -1;
        mail->tag_count++;
        if (record_read_text(&from->tags[i]->value, "tag's value", &tag->value, error) < 0)
            return -1;
    }
    return 0;
}

static int read_recipients(const Todoku__RecordMail *from, struct mail *mail, struct error *error)
{
    mail->recipients = xcalloc(from->n_recipients + 1, sizeof *mail->recipients);
    for (size_t i = 0; i < from->n_recipients; i++) {
        if (record_read_text(&from->recipients[i], "recipient", &mail->recipients[i], error) < 0)
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
    if (from->body_hash.len != 0 && from->body_hash.len != sizeof((struct mail *)0)->body_hash)
        return error_set(error, "record: a body's hash of %zu octets, not 32", from->body_hash.len);
    return 0;
}

int record_mail_read(
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
    mail->has_body_hash = from->body_hash.len != 0;
    if (mail->has_body_hash) {
        mail->body_hash_simple = from->body_hash_simple;
        memcpy(mail->body_hash, from->body_hash.data, sizeof mail->body_hash);
    }
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
