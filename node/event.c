/* event - one thing that happened, as the JSON object that logs, webhooks and the API show */
#include "node/event.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "node/node_state.h"

void event_delivery(struct buffer *out, const struct delivery *delivery)
{
    const struct mail *mail = delivery->held->mail;
    char id[DELIVERY_ID_TEXT_SIZE];
    json_text(out, "id", delivery_id_format(&mail->id, delivery->index, id));
    json_text(out, "message", id_format(&mail->id, id));
    json_text(out, "tenant", mail->tenant);
    if (mail->tag_count > 0) {
        json_begin_named(out, "tags", '{');
        for (uint32_t i = 0; i < mail->tag_count; i++) {
            /* Names of tags come from tenants: the JSON reader at the intake took only plain ones. */
            json_text(out, mail->tags[i].name, mail->tags[i].value);
        }
        json_end(out, '}');
    }
    json_text(out, "campaign", mail->campaign);
    json_text(out, "from", mail->from);
    json_text(out, "to", mail->recipients[delivery->index]);
    json_text(out, "domain", mail_domain(mail->recipients[delivery->index]));
}

static void add_session(struct buffer *out, struct node *node, const struct session *session)
{
    if (session == NULL)
        return;
    const struct mx_host *host = session_host(session);
    json_text(out, "provider", session->site->provider->name);
    json_text(out, "source", node->sources[session->source].setting->address);
    json_text(out, "mx", host == NULL ? "" : host->name);
    json_text(out, "tls", session->client == NULL ? "" : smtp_client_tls(session->client));
}

static void add_reply(struct buffer *out, const struct event *event)
{
    const struct reply *reply = event->reply;
    if (reply == NULL)
        return;
    json_text(out, "stage", smtp_stage_name(event->stage));
    json_number(out, "code", reply->code);
    json_text(out, "enhanced", reply->enhanced);
    json_text(out, "reply", reply->text);
    json_text(out, "category", event->category);
    json_text(out, "action", event->action);
}

const char *event_text(struct node *node, const struct event *event)
{
    struct buffer *out = &node->scratch;
    const struct mail *mail = event->delivery->held->mail;
    char time[32];
    buffer_clear(out);
    json_begin(out, '{');
    json_text(out, "time", clock_rfc3339(event->now, time));
    json_text(out, "event", event->name);
    event_delivery(out, event->delivery);
    json_text(out, "node", node->id);
    add_session(out, node, event->session);
    json_number(out, "attempt", event->delivery->attempts);
    add_reply(out, event);
    json_number(out, "queued_ms", (event->now - mail->created) / USEC_MS);
    json_number(out, "size", (int64_t)mail->body_len);
    json_end(out, '}');
    return buffer_text(out);
}

const char *event_config(struct node *node, uint64_t former, usec_t now)
{
    struct buffer *out = &node->scratch;
    char time[32];
    buffer_clear(out);
    json_begin(out, '{');
    json_text(out, "time", clock_rfc3339(now, time));
    json_text(out, "event", "config");
    json_text(out, "node", node->id);
    json_number(out, "config", (int64_t)node->settings->config_version);
    json_number(out, "former", (int64_t)former);
    json_end(out, '}');
    return buffer_text(out);
}
