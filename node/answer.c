/* answer - what the node tells an operator who asks: its state as JSON, one object a line
 *
 * Every listing takes the selectors tenant, campaign, pool, source, provider, domain where they make sense,
 * and limit. Figures are those of this moment; nothing here changes anything ("audit" writes an event). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/query.h"
#include "cluster/placement.h"
#include "node/answer.h"

#define MAX_ANSWER ((size_t)8 << 20) /* bytes; rows end there, whatever the limit */

bool answer_selected(const struct asked *asked, const char *name, const char *value)
{
    char wanted[330];
    if (!query_has(asked->selectors, name))
        return true;
    /* One that can't be read selects nothing: it may be the tenant's, and must not open what is not his. */
    return query_get(asked->selectors, name, wanted, sizeof wanted) && strcmp(wanted, value) == 0;
}

void answer_end_row(struct asked *asked)
{
    json_end(asked->out, '}');
    buffer_add(asked->out, "\n", 1);
    asked->rows++;
    if (buffer_len(asked->out) >= MAX_ANSWER)
        asked->limit = asked->rows;
}

const char *answer_priority(enum mail_priority priority)
{
    static const char *const names[] = {
        [MAIL_TRANSACTIONAL] = "transactional", [MAIL_NORMAL] = "normal", [MAIL_BULK] = "bulk"};
    return names[priority];
}

void answer_gate(struct asked *asked, const struct gate_why *why)
{
    char time[32] = "", text[HOLD_MAX_REASON + 128];
    if (why->opens <= asked->now)
        return;
    if (why->opens != USEC_NEVER)
        json_text(asked->out, "opens", clock_rfc3339(why->opens, time));
    if (why->hold != NULL) {
        json_text(asked->out, "hold", why->hold->id);
        snprintf(text, sizeof text, "paused%s%s%s%.*s", time[0] == '\0' ? "" : " until ", time,
            why->hold->reason[0] == '\0' ? "" : ": ", HOLD_MAX_REASON, why->hold->reason);
    } else if (why->schedule != NULL) {
        json_text(asked->out, "schedule", why->schedule->name);
        snprintf(text, sizeof text, "schedule %.64s%s%s", why->schedule->name,
            time[0] == '\0' ? "" : " opens ", time);
    } else
        snprintf(text, sizeof text, "an operator's retry, bounce or delete works on it");
    json_text(asked->out, "trouble", text);
}

const char *answer_gate_state(const struct gate_why *why, usec_t now)
{
    if (why->opens <= now)
        return NULL;
    return why->schedule != NULL ? "scheduled" : "paused";
}

static void lane_row(struct asked *asked, const struct provider *provider, size_t source)
{
    const struct lane *lane = &provider->lanes[source];
    const struct rate *rate = &lane->limits.rate;
    json_begin(asked->out, '{');
    json_text(asked->out, "source", asked->node->sources[source].setting->address);
    json_text(asked->out, "provider", provider->name);
    json_text(asked->out, "node", asked->node->id);
    json_text(asked->out, "state", "ok");
    json_number(asked->out, "connections", lane->open);
    json_number(asked->out, "max_connections", lane->limits.connections);
    json_number(asked->out, "messages_per_connection", lane->limits.messages_per_connection);
    json_fraction(
        asked->out, "rate_per_second", rate->count == 0 ? 0 : rate->count * 1e6 / (double)rate->per);
    json_number(asked->out, "messages", (int64_t)lane->messages);
    json_number(asked->out, "delivered", (int64_t)lane->delivered);
    json_number(asked->out, "deferred", (int64_t)lane->deferred);
    json_number(asked->out, "bounced", (int64_t)lane->bounced);
    answer_end_row(asked);
}

static int answer_lanes(struct asked *asked)
{
    struct node *node = asked->node;
    struct map_entry *at = NULL;
    for (const struct provider *provider; (provider = map_next(&node->providers, &at)) != NULL;)
        for (size_t i = 0; i < node->source_count && asked->rows < asked->limit; i++)
            if (provider->lanes[i].messages + provider->lanes[i].open + provider->site_count > 0 &&
                answer_selected(asked, "provider", provider->name) &&
                answer_selected(asked, "source", node->sources[i].setting->address))
                lane_row(asked, provider, i);
    return 200;
}

static int answer_sources(struct asked *asked)
{
    const struct node *node = asked->node;
    for (size_t i = 0; i < node->source_count; i++) {
        const struct setting_source *setting = node->sources[i].setting;
        uint64_t open = 0, messages = 0;
        struct map_entry *at = NULL;
        for (const struct provider *provider; (provider = map_next(&node->providers, &at)) != NULL;) {
            open += provider->lanes[i].open;
            messages += provider->lanes[i].messages;
        }
        if (!answer_selected(asked, "source", setting->address))
            continue;
        json_begin(asked->out, '{');
        json_text(asked->out, "address", setting->address);
        json_text(asked->out, "public", setting->public_address);
        json_text(asked->out, "helo", setting->helo);
        json_begin_named(asked->out, "pools", '[');
        for (size_t j = 0; j < setting->pool_count; j++)
            json_text(asked->out, NULL, setting->pools[j]);
        json_end(asked->out, ']');
        json_text(asked->out, "node", node->id);
        json_number(asked->out, "connections", (int64_t)open);
        json_number(asked->out, "messages", (int64_t)messages);
        answer_end_row(asked);
    }
    return 200;
}

static int answer_providers(struct asked *asked)
{
    struct map_entry *at = NULL;
    for (const struct provider *provider; (provider = map_next(&asked->node->providers, &at)) != NULL;) {
        uint64_t open = 0, delivered = 0, deferred = 0, bounced = 0;
        for (size_t i = 0; i < asked->node->source_count; i++) {
            open += provider->lanes[i].open;
            delivered += provider->lanes[i].delivered;
            deferred += provider->lanes[i].deferred;
            bounced += provider->lanes[i].bounced;
        }
        if (asked->rows >= asked->limit || !answer_selected(asked, "provider", provider->name))
            continue;
        json_begin(asked->out, '{');
        json_text(asked->out, "provider", provider->name);
        json_text(asked->out, "node", asked->node->id);
        json_number(asked->out, "sites", provider->site_count);
        json_number(asked->out, "connections", (int64_t)open);
        json_number(asked->out, "delivered", (int64_t)delivered);
        json_number(asked->out, "deferred", (int64_t)deferred);
        json_number(asked->out, "bounced", (int64_t)bounced);
        answer_end_row(asked);
    }
    return 200;
}

static const char *node_standing(const struct node *node)
{
    return node->quiescing                         ? "stopping"
           : node_copies_shut(node) != NULL        ? "alone"
           : node->pressure.level == PRESSURE_FULL ? "full"
           : node->pressure.level > 0              ? "slow"
                                                   : "running";
}

static int answer_status(struct asked *asked)
{
    struct node *node = asked->node;
    struct node_figures figures = node_figures(node);
    json_begin(asked->out, '{');
    json_text(asked->out, "node", node->id);
    json_text(asked->out, "state", node_standing(node));
    json_text(asked->out, "spool", node->spool);
    json_number(asked->out, "view_epoch", node->view == NULL ? 0 : (int64_t)node->view->epoch);
    json_number(asked->out, "config", (int64_t)node->settings->config_version);
    json_number(asked->out, "queued", (int64_t)node_holds(node));
    json_number(asked->out, "ready", (int64_t)figures.ready);
    json_number(asked->out, "sending", (int64_t)figures.in_flight);
    json_number(asked->out, "connections", (int64_t)figures.sessions);
    json_number(asked->out, "accepted", (int64_t)figures.accepted);
    json_number(asked->out, "delivered", (int64_t)figures.delivered);
    json_number(asked->out, "deferred", (int64_t)figures.deferred);
    json_number(asked->out, "bounced", (int64_t)figures.bounced);
    json_number(asked->out, "expired", (int64_t)figures.expired);
    json_number(asked->out, "cancelled", (int64_t)figures.cancelled);
    json_number(asked->out, "body_bytes", (int64_t)figures.body_bytes);
    answer_copies(asked);
    answer_ebb(asked);
    answer_end_row(asked);
    return 200;
}

/* "load": one row, for whoever balances: deliveries a second in all, and by domain, the largest and all that are split;
 * `domains`: "NAME RATE NAME RATE ...". */
static int answer_load(struct asked *asked)
{
    struct balance_domain domains[LOAD_TOP + VIEW_MAX_HOT];
    struct balance_report report;
    struct buffer text = {0};
    load_report(asked->node->load, domains, &report, asked->now);
    for (size_t i = 0; i < report.domain_count; i++)
        buffer_printf(&text, "%s%s %.4g", i == 0 ? "" : " ", domains[i].domain, domains[i].rate);
    json_begin(asked->out, '{');
    json_text(asked->out, "node", asked->node->id);
    json_fraction(asked->out, "rate", report.rate);
    json_fraction(asked->out, "span", report.span);
    json_text_len(asked->out, "domains", buffer_bytes(&text), buffer_len(&text));
    answer_end_row(asked);
    buffer_free(&text);
    return 200;
}

static int answer_ready(struct asked *asked)
{
    const struct node *node = asked->node;
    char mirror[ANSWER_MIRROR];
    bool paired = answer_mirror(node, asked->now, mirror);
    const char *why = node->quiescing                         ? "the node is stopping"
                      : node_copies_shut(node) != NULL        ? node_copies_shut(node)
                      : node->pressure.level == PRESSURE_FULL ? node->pressure.reason
                                                              : "";
    json_begin(asked->out, '{');
    json_bool(asked->out, "ready", why[0] == '\0');
    json_text(asked->out, "node", node->id);
    json_number(asked->out, "pressure", node->pressure.level);
    json_number(asked->out, "copies", paired ? 2 : 1);
    json_number(asked->out, "min_copies", node->settings->cluster.min_copies);
    json_text(asked->out, "mirror", mirror);
    if (node->pressure.level > 0 || why[0] != '\0')
        json_text(asked->out, "reason", why[0] != '\0' ? why : node->pressure.reason);
    answer_end_row(asked);
    return why[0] == '\0' ? 200 : 503;
}

static void alert_pressure(struct asked *asked)
{
    const struct node *node = asked->node;
    const struct pressure *pressure = &node->pressure;
    bool full = pressure->level == PRESSURE_FULL;
    struct buffer detail = {0};
    buffer_printf(
        &detail, "%s: %s", full ? "no new mail is taken" : "new mail is taken slowly", pressure->reason);
    json_begin(asked->out, '{');
    json_text(asked->out, "alert", "pressure");
    json_text(asked->out, "severity", full ? "critical" : "warning");
    json_text(asked->out, "node", node->id);
    json_text(asked->out, "detail", buffer_text(&detail));
    json_text(asked->out, "do", pressure->remedy);
    answer_end_row(asked);
    buffer_free(&detail);
}

static int answer_alerts(struct asked *asked)
{
    const struct node *node = asked->node;
    /* No alert: what the coordinator compares with what it knows. */
    json_begin(asked->out, '{');
    json_text(asked->out, "node", node->id);
    json_number(asked->out, "config", (int64_t)node->settings->config_version);
    answer_end_row(asked);
    if (node->pressure.level >= PRESSURE_WORTH_A_PERSON)
        alert_pressure(asked);
    answer_alert_copies(asked);
    if (!list_empty(&node->stuck)) {
        json_begin(asked->out, '{');
        json_text(asked->out, "alert", "stuck");
        json_text(asked->out, "severity", "warning");
        json_text(asked->out, "node", node->id);
        json_text(asked->out, "detail", "mail is held whose pool has no source on any node");
        json_text(asked->out, "do", "give a source to the pool (node.sources: pools)");
        answer_end_row(asked);
    }
    return 200;
}

int node_answer(struct node *node, const char *what, const char *selectors, usec_t now, struct buffer *out)
{
    static const struct {
        const char *what;
        int (*answer)(struct asked *asked);
    } table[] = {
        {"alerts", answer_alerts},
        {"audit", answer_audit},
        {"drain", answer_leaving},
        {"explain", answer_explain},
        {"lanes", answer_lanes},
        {"load", answer_load},
        {"message", answer_message},
        {"metrics", answer_metrics},
        {"providers", answer_providers},
        {"queues", answer_queues},
        {"ready", answer_ready},
        {"sources", answer_sources},
        {"status", answer_status},
        {"tenants", answer_tenants},
    };
    struct asked asked = {.node = node, .selectors = selectors, .now = now, .out = out};
    asked.limit = (size_t)query_number(selectors, "limit", 1, 1000000, ANSWER_LIMIT);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].what, what) == 0)
            return table[i].answer(&asked);
    buffer_printf(out, "a node can't answer \"%s\"", what);
    return 400;
}
