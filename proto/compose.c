/* compose - see compose.h; header lines are made in compose_header.c, parts in compose_mime.c */
#include "proto/compose.h"

#include <string.h>
#include <strings.h>

#include "proto/compose_inside.h"

#define MAX_HEADER_TO 100
#define MAX_NAME 76

/* --- fields given by the tenant --- */

static bool is_name(const char *name)
{
    size_t len = 0;
    for (; name[len] != '\0'; len++)
        if (name[len] <= ' ' || name[len] > '~' || name[len] == ':')
            return false;
    return len > 0 && len <= MAX_NAME;
}

static bool is_ours(const char *name)
{
    static const char *const ours[] = {
        "From", "To", "Subject", "Bcc", "MIME-Version", "DKIM-Signature", "Received", "Return-Path"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcasecmp(name, ours[i]) == 0)
            return true;
    return strncasecmp(name, "Content-", 8) == 0;
}

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool holds_mailboxes(const char *name)
{
    static const char *const names[] = {"Cc", "Reply-To", "Sender"};
    return is_one_of(name, names, sizeof names / sizeof names[0]);
}

/* RFC 5322 section 3.6: at most one of each. */
static bool is_single(const char *name)
{
    static const char *const names[] = {"Date", "Message-ID", "In-Reply-To", "References"};
    return holds_mailboxes(name) || is_one_of(name, names, sizeof names / sizeof names[0]);
}

static bool has_field(const struct compose_field *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcasecmp(fields[i].name, name) == 0)
            return true;
    return false;
}

static int write_field(
    const struct compose_parts *parts, size_t index, struct buffer *out, struct error *error)
{
    const struct compose_field *f = &parts->fields[index];
    if (!is_name(f->name))
        return error_set(error, "headers: \"%.40s\" is no name for a header field", f->name);
    if (is_ours(f->name))
        return error_set(error, "headers: %s is made by the server and cannot be given", f->name);
    if (is_single(f->name) && has_field(parts->fields, index, f->name))
        return error_set(error, "headers: %s is there more than once", f->name);
    if (holds_mailboxes(f->name))
        return compose_mailbox_list(out, f->name, f->value, error);
    return compose_text_field(out, f->name, f->value, error);
}

static int write_fields(const struct compose_parts *parts, struct buffer *out, struct error *error)
{
    for (size_t i = 0; i < parts->field_count; i++)
        if (write_field(parts, i, out, error) < 0)
            return -1;
    return 0;
}

/* --- the whole --- */

static void write_origin(const struct compose_parts *parts, usec_t now, struct buffer *out)
{
    char date[40], id[ID_TEXT_SIZE];
    if (!has_field(parts->fields, parts->field_count, "Date"))
        buffer_printf(out, "Date: %s\r\n", clock_rfc5322(now, date));
    if (!has_field(parts->fields, parts->field_count, "Message-ID"))
        buffer_printf(out, "Message-ID: <%s@%s>\r\n", id_format(&parts->id, id), parts->host);
}

int compose_message(const struct compose_parts *parts, usec_t now, struct buffer *out, struct error *error)
{
    if (parts->text == NULL && parts->html == NULL)
        return error_set(error, "text or html: a message needs at least one of them");
    if (parts->from == NULL || parts->from[0] == '\0')
        return error_set(error, "from: a message needs a sender");
    size_t to_count = parts->to_count > MAX_HEADER_TO ? MAX_HEADER_TO : parts->to_count;
    write_origin(parts, now, out);
    if (compose_mailbox_field(out, "From", &parts->from, 1, error) < 0)
        return -1;
    if (to_count > 0 && compose_mailbox_field(out, "To", parts->to, to_count, error) < 0)
        return -1;
    if (parts->subject != NULL && compose_text_field(out, "Subject", parts->subject, error) < 0)
        return -1;
    if (write_fields(parts, out, error) < 0)
        return -1;
    return compose_body(out, parts->text, parts->html, &parts->id, error);
}

int compose_crlf(const char *text, size_t len, struct buffer *out, struct error *error)
{
    const char *at = text, *end = text + len;
    size_t line = 1;
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *stop = lf == NULL ? end : lf > at && lf[-1] == '\r' ? lf - 1 : lf;
        if (memchr(at, '\r', (size_t)(stop - at)) != NULL)
            return error_set(error, "line %zu has a CR without LF", line);
        buffer_add(out, at, (size_t)(stop - at));
        if (lf == NULL)
            break;
        buffer_add(out, "\r\n", 2);
        at = lf + 1;
        line++;
    }
    return 0;
}
