/* dsn - see dsn.h
 *
 * Everything that came from elsewhere (replies, host names, addresses) is made printable ASCII before it is
 * written, so that no reply of a stranger can put a line into our header. */
#include "proto/dsn.h"

#include <stdbool.h>
#include <string.h>

#include "proto/id.h"

#define MAX_ORIGINAL ((size_t)64 << 10)
#define MAX_TEXT 800 /* of a diagnostic; a line of the report stays below 998 */

/* `text` as printable ASCII. */
static void add_clean(struct buffer *out, const char *text)
{
    size_t len = strnlen(text, MAX_TEXT);
    char *at = buffer_room(out, len);
    for (size_t i = 0; i < len; i++)
        at[i] = (char)(text[i] >= ' ' && text[i] <= '~' ? text[i] : text[i] == '\t' ? ' ' : '?');
    buffer_added(out, len);
}

static void add_field(struct buffer *out, const char *name, const char *text)
{
    buffer_add_text(out, name);
    add_clean(out, text);
    buffer_add(out, "\r\n", 2);
}

static bool is_reply(const char *text)
{
    return strspn(text, "0123456789") == 3 && text[0] >= '2' && text[0] <= '5';
}

static void add_head(struct buffer *out, const struct mail *mail, const char *host, const char *boundary,
    const char *message_id, usec_t now)
{
    char date[40];
    buffer_printf(out, "Date: %s\r\n", clock_rfc5322(now, date));
    buffer_printf(out, "Message-ID: <%s@%s>\r\n", message_id, host);
    buffer_printf(out, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n", host);
    add_field(out, "To: ", mail->from);
    buffer_add_text(out, "Subject: Undelivered mail returned to sender\r\n");
    /* RFC 3834 section 3.1.7: so that no robot answers this. */
    buffer_add_text(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
    buffer_printf(out,
        "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n\r\n",
        boundary);
}

static void add_explanation(struct buffer *out, const struct mail *mail,
    const struct dsn_recipient *recipients, size_t count, const char *host)
{
    char id[ID_TEXT_SIZE], date[40];
    buffer_add_text(out, "Content-Type: text/plain; charset=us-ascii\r\n\r\n");
    buffer_printf(out, "This is the mail system at %s.\r\n\r\n", host);
    buffer_printf(out,
        "Your message %s of\r\n%s\r\ncould not be delivered to the addresses below. It will not be tried "
        "again.\r\n",
        id_format(&mail->id, id), clock_rfc5322(mail->created, date));
    for (size_t i = 0; i < count; i++) {
        buffer_add_text(out, "\r\n<");
        add_clean(out, recipients[i].address);
        buffer_add_text(out, ">:\r\n    ");
        if (recipients[i].remote[0] != '\0') {
            add_clean(out, recipients[i].remote);
            buffer_add_text(out, " said:\r\n    ");
        }
        add_clean(out, recipients[i].diagnostic);
        buffer_add(out, "\r\n", 2);
    }
}

/* RFC 3464 section 2. */
static void add_status(struct buffer *out, const struct mail *mail, const struct dsn_recipient *recipients,
    size_t count, const char *host)
{
    char date[40];
    buffer_add_text(out, "Content-Type: message/delivery-status\r\n\r\n");
    add_field(out, "Reporting-MTA: dns; ", host);
    add_field(out, "Arrival-Date: ", clock_rfc5322(mail->created, date));
    for (size_t i = 0; i < count; i++) {
        const struct dsn_recipient *r = &recipients[i];
        buffer_add(out, "\r\n", 2);
        add_field(out, "Final-Recipient: rfc822; ", r->address);
        buffer_add_text(out, "Action: failed\r\n");
        add_field(out, "Status: ", r->status[0] == '\0' ? "5.0.0" : r->status);
        if (r->remote[0] != '\0')
            add_field(out, "Remote-MTA: dns; ", r->remote);
        add_field(out, is_reply(r->diagnostic) ? "Diagnostic-Code: smtp; " : "Diagnostic-Code: x-todoku; ",
            r->diagnostic);
    }
}

/* The header's whole lines, CRLF-only, within the bound; nothing that a receiver would call binary. */
static void add_original(struct buffer *out, const char *original, size_t len)
{
    const char *at = original, *end = original + (len > MAX_ORIGINAL ? MAX_ORIGINAL : len);
    buffer_add_text(out, "Content-Type: text/rfc822-headers\r\n\r\n");
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        if (lf == NULL || lf == at || lf[-1] != '\r' || lf - at == 1)
            break;
        size_t line = (size_t)(lf - 1 - at);
        char *to = buffer_room(out, line);
        for (size_t i = 0; i < line; i++)
            to[i] = (char)((at[i] >= ' ' && at[i] <= '~') || at[i] == '\t' ? at[i] : '?');
        buffer_added(out, line);
        buffer_add(out, "\r\n", 2);
        at = lf + 1;
    }
}

void dsn_make(const struct mail *mail, const struct dsn_recipient *recipients, size_t count,
    const char *original, size_t original_len, const char *host, const struct mail_id *id, usec_t now,
    struct buffer *out)
{
    char text[ID_TEXT_SIZE], boundary[ID_TEXT_SIZE + 2] = "=_";
    if (mail->from[0] == '\0')
        return;
    id_format(id, text);
    memcpy(boundary + 2, text, sizeof text);
    add_head(out, mail, host, boundary, text, now);
    buffer_printf(out, "--%s\r\n", boundary);
    add_explanation(out, mail, recipients, count, host);
    buffer_printf(out, "\r\n--%s\r\n", boundary);
    add_status(out, mail, recipients, count, host);
    buffer_printf(out, "\r\n--%s\r\n", boundary);
    add_original(out, original, original_len);
    buffer_printf(out, "\r\n--%s--\r\n", boundary);
}
