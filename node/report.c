/* report - a delivery status notification to the sender, if its tenant wants them (delivery.dsn, tenants:
 * dsn)
 *
 * Its id is made from the failed delivery's, so that a failure that is seen again after a crash makes no
 * second report. If the table cannot tell whether there is one already, there may be two rather than none. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "cluster/body_hash.h"
#include "node/node_state.h"
#include "proto/dsn.h"
#include "proto/message.h"

#define REPORT_KEY 0x64736eULL

static struct mail_id report_id(const struct delivery *delivery)
{
    struct mail_id id;
    char text[DELIVERY_ID_TEXT_SIZE];
    delivery_id_format(&delivery->held->mail->id, delivery->index, text);
    uint64_t high = hash64(REPORT_KEY, text, strlen(text)), low = hash64(REPORT_KEY + 1, text, strlen(text));
    memcpy(id.bytes, &high, 8);
    memcpy(id.bytes + 8, &low, 8);
    return id;
}

static struct mail *report_mail(
    const struct mail *about, const struct mail_id *id, size_t body_len, usec_t now)
{
    struct mail *mail = mail_new();
    mail->id = *id;
    mail->priority = MAIL_NORMAL;
    mail->dsn = MAIL_DSN_NONE;
    mail->created = now;
    mail->expires = now + (about->expires - about->created);
    mail->body_len = body_len;
    mail_set(&mail->tenant, about->tenant);
    mail_set(&mail->pool, about->pool);
    mail_add_recipient(mail, about->from);
    return mail;
}

/* As the intake does it for mail from outside. */
static void hash_body(const struct settings *settings, struct mail *mail, const struct blob *body)
{
    struct message_head head;
    if (message_walk(body->bytes, body->len, 0, &head, NULL) == 0)
        body_hash_take(settings, mail, head.from, body->bytes + head.header_len, body->len - head.header_len);
}

void report_failure(struct node *node, const struct delivery *delivery, const struct session *session,
    const struct reply *reply, usec_t now)
{
    const struct held *held = delivery->held;
    struct mail_id id = report_id(delivery);
    if (held->mail->dsn != MAIL_DSN_FAILURE || held->mail->from[0] == '\0' ||
        custody_knows(node->custody, &id))
        return;
    const struct mx_host *host = session == NULL ? NULL : session_host(session);
    char diagnostic[sizeof reply->text + 32];
    snprintf(diagnostic, sizeof diagnostic, "%.0d%s%s%s%s", reply->code, reply->code > 0 ? " " : "",
        reply->enhanced, reply->enhanced[0] != '\0' ? " " : "", reply->text);
    struct dsn_recipient failed = {
        .address = held->mail->recipients[delivery->index],
        .status = reply->enhanced[0] != '\0' ? reply->enhanced : "5.0.0",
        .diagnostic = diagnostic,
        .remote = host == NULL ? "" : host->name,
    };
    const char *helo = node->source_count > 0 ? node->sources[0].setting->helo : "localhost";
    struct buffer out = {0};
    dsn_make(held->mail, &failed, 1, held->body == NULL ? "" : held->body->bytes,
        held->body == NULL ? 0 : held->body->len, helo, &id, now, &out);
    size_t len;
    char *bytes = buffer_steal(&out, &len);
    struct blob *body = blob_take(bytes, len);
    struct mail *mail = report_mail(held->mail, &id, len, now);
    hash_body(node->settings, mail, body);
    custody_own(node->custody, mail, body, now);
    mail_drop(&mail);
    blob_drop(&body);
}
