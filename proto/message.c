/* message - see message.h; single fields are read in message_field.c */
#include "proto/message.h"

#include <stdint.h>
#include <string.h>

#include "proto/message_field.h"

#define MAX_RECEIVED 100

/* RFC 5322 section 3.6: at most one of each. */
enum single { FROM, SENDER, REPLY_TO, TO, CC, SUBJECT, DATE, MESSAGE_ID, SINGLE_COUNT };
static const char *const single_names[SINGLE_COUNT] = {
    "From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID"};

struct walk {
    struct message_head *head;
    struct error *error;
    bool seen[SINGLE_COUNT], own_seen[MESSAGE_OWN_COUNT];
    unsigned fields, received;
};

static bool is_blank(const struct message_field *field)
{
    for (size_t i = 0; i < field->value_len; i++)
        if (field->value[i] < 0 || field->value[i] > ' ')
            return false;
    return true;
}

static int check_bytes(const struct walk *walk, const struct message_field *field)
{
    for (size_t i = 0; i < field->value_len; i++) {
        unsigned char c = (unsigned char)field->value[i];
        if (c >= 0x80)
            return error_set(walk->error,
                "the field %.*s holds bytes that are not ASCII; they are written as encoded words (RFC 2047)",
                field->name_len > 60 ? 60 : (int)field->name_len, field->name);
        if (c == '\0' || (c == '\r' && field->value[i + 1] != '\n'))
            return error_set(walk->error, "the field %.*s holds a zero or a CR without LF",
                field->name_len > 60 ? 60 : (int)field->name_len, field->name);
    }
    return 0;
}

static int read_from(const struct walk *walk, const struct message_field *field)
{
    size_t count;
    if (address_of_header(field->value, field->value_len, walk->head->from, &count, walk->error) < 0)
        return error_prefix(walk->error, "From");
    if (count != 1)
        return error_set(walk->error, "From has %zu addresses; it must have exactly one", count);
    return 0;
}

static int take_single(struct walk *walk, const struct message_field *field)
{
    for (int i = 0; i < SINGLE_COUNT; i++) {
        if (!message_field_is(field, single_names[i]))
            continue;
        if (walk->seen[i])
            return error_set(walk->error, "%s is there more than once", single_names[i]);
        walk->seen[i] = true;
        if ((i == DATE || i == MESSAGE_ID) && is_blank(field))
            return error_set(walk->error, "%s is empty", single_names[i]);
        return i == FROM ? read_from(walk, field) : 0;
    }
    return 0;
}

static int take_field(struct walk *walk, const struct message_field *field)
{
    if (++walk->fields > MESSAGE_MAX_FIELDS)
        return error_set(walk->error, "the header has more than %d fields", MESSAGE_MAX_FIELDS);
    if (check_bytes(walk, field) < 0)
        return -1;
    if (message_field_is(field, "Received") && ++walk->received > MAX_RECEIVED)
        return error_set(walk->error, "the message has more than %d Received lines: it goes round in circles",
            MAX_RECEIVED);
    if (message_field_is(field, "MIME-Version"))
        walk->head->has_mime = true;
    if (message_field_is(field, "List-Unsubscribe"))
        walk->head->has_list_unsubscribe = true;
    int own = message_own(field);
    if (own < 0)
        return take_single(walk, field);
    walk->head->strip_count++;
    return message_own_read(field, own, walk->own_seen, walk->head, walk->error);
}

int message_walk(const char *bytes, size_t len, size_t skip, struct message_head *head_r, struct error *error)
{
    struct walk walk = {.head = head_r, .error = error};
    struct message_field field;
    *head_r = (struct message_head){0};
    size_t at = skip < len ? skip : len;
    for (;;) {
        int rc = message_field_read(bytes + at, len - at, &field, error);
        if (rc < 0)
            return -1;
        if (rc == 0)
            break;
        at += field.len;
        if (at - skip > MESSAGE_MAX_HEADER)
            return error_set(error, "the header is longer than %u KiB", MESSAGE_MAX_HEADER >> 10);
        if (take_field(&walk, &field) < 0)
            return -1;
    }
    if (!walk.seen[FROM])
        return error_set(error, "there is no From field in the header");
    head_r->header_len = len - at >= 2 ? at + 2 : len;
    head_r->has_date = walk.seen[DATE];
    head_r->has_message_id = walk.seen[MESSAGE_ID];
    head_r->has_to = walk.seen[TO];
    return 0;
}

int message_from(const char *bytes, size_t len, char from_r[ADDRESS_SIZE])
{
    struct message_field field;
    size_t count;
    for (size_t at = 0; message_field_read(bytes + at, len - at, &field, NULL) > 0; at += field.len)
        if (message_field_is(&field, "From"))
            return address_of_header(field.value, field.value_len, from_r, &count, NULL);
    return -1;
}

size_t message_strip(char *bytes, size_t len)
{
    size_t from = 0, to = 0;
    struct message_field field;
    while (message_field_read(bytes + from, len - from, &field, NULL) > 0) {
        bool keep = message_own(&field) < 0;
        if (keep && to != from)
            memmove(bytes + to, bytes + from, field.len);
        from += field.len;
        if (keep)
            to += field.len;
    }
    if (to == from)
        return len;
    memmove(bytes + to, bytes + from, len - from);
    len -= from - to;
    bytes[len] = '\0';
    return len;
}

void message_complete(const struct message_head *head, const struct mail_id *id, const char *host, usec_t now,
    struct buffer *out)
{
    char date[40], text[ID_TEXT_SIZE];
    if (!head->has_date)
        buffer_printf(out, "Date: %s\r\n", clock_rfc5322(now, date));
    if (!head->has_message_id)
        buffer_printf(out, "Message-ID: <%s@%s>\r\n", id_format(id, text), host);
}
