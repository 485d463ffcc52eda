/* intake - see intake.h */
#include "coordinator/intake.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/blob.h"
#include "base/buffer.h"
#include "cluster/body_hash.h"

static bool is_own_domain(const struct setting_tenant *tenant, const char *domain)
{
    for (size_t i = 0; i < tenant->domain_count; i++)
        if (domain_matches(domain, tenant->domains[i]))
            return true;
    return false;
}

int intake_allowed(
    const struct setting_tenant *tenant, const char *from, const char *header_from, struct error *error)
{
    if (!is_own_domain(tenant, mail_domain(header_from)))
        return error_set(error, "5.7.1 %s may not send as %s: its domains are set in tenants: domains",
            tenant->id, header_from);
    const char *domain = mail_domain(from);
    bool bounce = tenant->bounce_domain != NULL && strcmp(domain, tenant->bounce_domain) == 0;
    if (from[0] != '\0' && !bounce && !is_own_domain(tenant, domain))
        return error_set(error,
            "5.7.1 the sender %s belongs neither to the domains of %s nor to its bounce_domain", from,
            tenant->id);
    return 0;
}

static int check_pool(const struct setting_tenant *tenant, struct mail *mail, struct error *error)
{
    if (mail->pool[0] == '\0')
        mail_set(&mail->pool, tenant->pools[0]);
    for (size_t i = 0; i < tenant->pool_count; i++)
        if (strcmp(tenant->pools[i], mail->pool) == 0)
            return 0;
    return error_set(
        error, "5.7.1 %s has no pool \"%s\"; its pools are set in tenants: pools", tenant->id, mail->pool);
}

int intake_complete(const struct settings *settings, struct mail *mail, const struct message_head *head,
    usec_t now, struct error *error)
{
    const struct setting_tenant *tenant = settings_tenant(settings, mail->tenant);
    if (tenant == NULL)
        return error_set(error, "5.7.1 there is no tenant \"%s\"", mail->tenant);
    if (head != NULL) {
        if (head->campaign[0] != '\0')
            mail_set(&mail->campaign, head->campaign);
        if (head->pool[0] != '\0')
            mail_set(&mail->pool, head->pool);
        mail->priority = head->has_priority ? head->priority : tenant->priority;
        if (head->send_at > now + INTAKE_MAX_SEND_AT)
            return error_set(error, "5.6.0 X-Todoku-Send-At is more than 30 days ahead");
        mail->send_at = head->send_at > now ? head->send_at : 0;
    }
    mail->dsn = tenant->dsn;
    mail->created = now;
    usec_t oldest = (mail->send_at > now ? mail->send_at : now) + tenant->max_age;
    if (mail->expires == 0 || mail->expires > oldest)
        mail->expires = oldest;
    return check_pool(tenant, mail, error);
}

/* Takes our fields out and puts missing ones in, behind our Received: line. */
static char *rework(char *bytes, size_t *len, size_t received_len, const struct message_head *head,
    const struct mail *mail, const char *host, usec_t now)
{
    struct buffer missing = {0};
    if (head->strip_count > 0)
        *len = received_len + message_strip(bytes + received_len, *len - received_len);
    message_complete(head, &mail->id, host, now, &missing);
    size_t more = buffer_len(&missing);
    if (more > 0) {
        bytes = xrealloc(bytes, *len + more + 1);
        memmove(bytes + received_len + more, bytes + received_len, *len - received_len);
        memcpy(bytes + received_len, buffer_bytes(&missing), more);
        *len += more;
    }
    bytes[*len] = '\0';
    buffer_free(&missing);
    return bytes;
}

static int check_message(const struct settings *settings, struct mail *mail, const char *bytes, size_t len,
    size_t skip, struct message_head *head, bool complete, usec_t now, struct error *error)
{
    if (message_walk(bytes, len, skip, head, error) != 0)
        return error_prefix(error, "5.6.0 the message");
    if (complete && intake_complete(settings, mail, head, now, error) != 0)
        return -1;
    const struct setting_tenant *tenant = settings_tenant(settings, mail->tenant);
    if (tenant == NULL)
        return error_set(error, "5.7.1 there is no tenant \"%s\"", mail->tenant);
    return check_pool(tenant, mail, error) != 0 ? -1 : intake_allowed(tenant, mail->from, head->from, error);
}

int intake_message(const struct settings *settings, struct mail *mail, char *bytes, size_t len,
    size_t received_len, const char *host, usec_t now, struct blob **body_r, struct error *error)
{
    struct message_head head;
    if (check_message(settings, mail, bytes, len, received_len, &head, true, now, error) != 0) {
        free(bytes);
        return -1;
    }
    size_t body_len = len - head.header_len;
    bytes = rework(bytes, &len, received_len, &head, mail, host, now);
    mail->body_len = len;
    body_hash_take(settings, mail, head.from, bytes + len - body_len, body_len);
    *body_r = blob_take(bytes, len);
    return 0;
}

int intake_handed_in(const struct settings *settings, struct mail *mail, struct blob **body, const char *host,
    usec_t now, struct error *error)
{
    struct message_head head;
    if (check_message(settings, mail, (*body)->bytes, (*body)->len, 0, &head, false, now, error) != 0)
        return -1;
    if (mail->expires == 0)
        mail->expires =
            (mail->send_at > now ? mail->send_at : now) + settings_tenant(settings, mail->tenant)->max_age;
    body_hash_take(
        settings, mail, head.from, (*body)->bytes + head.header_len, (*body)->len - head.header_len);
    if (head.strip_count == 0 && head.has_date && head.has_message_id)
        return 0;
    size_t len = (*body)->len;
    char *bytes = rework(xmemdup((*body)->bytes, len + 1), &len, 0, &head, mail, host, now);
    blob_drop(body);
    *body = blob_take(bytes, len);
    mail->body_len = len;
    return 0;
}
