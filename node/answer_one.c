/* answer_one - one message as it is now, an address explained, and the figures for Prometheus */
#include <stdio.h>
#include <string.h>

#include "base/query.h"
#include "cluster/placement.h"
#include "node/answer.h"
#include "proto/address.h"

#define MAX_RANK 4  /* places told; who comes later hardly matters */
#define MAX_KEYS 24 /* of a tenant, told */

static const char *where(const struct delivery *delivery)
{
    static const char *const mood[] = {"held", "ready", "waiting", "sending", "moving", "stuck", "ready"};
    if (delivery->state == CUSTODY_DONE)
        return result_name((enum delivery_result)delivery->result);
    return delivery->state == CUSTODY_HELD ? mood[delivery->mood]
                                           : custody_state_name((enum custody_state)delivery->state);
}

static void delivery_row(struct asked *asked, const struct delivery *delivery)
{
    const struct mail *mail = delivery->held->mail;
    char text[DELIVERY_ID_TEXT_SIZE];
    struct gate_why why = {0};
    if (delivery->state == CUSTODY_HELD && delivery->place != NULL && delivery->mood != MOOD_SENDING)
        gate_why(asked->node, delivery->place, asked->now, &why);
    const char *shut = answer_gate_state(&why, asked->now);
    json_begin(asked->out, '{');
    json_text(asked->out, "id", delivery_id_format(&mail->id, delivery->index, text));
    json_text(asked->out, "tenant", mail->tenant);
    json_text(asked->out, "campaign", mail->campaign);
    json_text(asked->out, "pool", mail->pool);
    json_text(asked->out, "priority", answer_priority(mail->priority));
    json_text(asked->out, "from", mail->from);
    json_text(asked->out, "to", mail->recipients[delivery->index]);
    json_text(asked->out, "state", shut != NULL ? shut : where(delivery));
    json_text(asked->out, "node", asked->node->id);
    json_number(asked->out, "attempts", delivery->attempts);
    answer_gate(asked, &why);
    if (delivery->state == CUSTODY_HELD && delivery->due > asked->now)
        json_text(asked->out, "due", clock_rfc3339(delivery->due, text));
    json_text(asked->out, "accepted", clock_rfc3339(mail->created, text));
    json_text(asked->out, "expires", clock_rfc3339(mail->expires, text));
    answer_end_row(asked);
}

int answer_message(struct asked *asked)
{
    char text[64];
    struct mail_id id;
    int64_t index = -1;
    if (!query_get(asked->selectors, "id", text, sizeof text) || id_parse(text, &id, &index) != 0) {
        buffer_printf(asked->out, "give the message's id: 32 hexadecimal digits, as in the 250 or the 202");
        return 400;
    }
    struct held *held;
    if (!custody_fetch(asked->node->custody, &id, &held)) {
        buffer_printf(asked->out, "the table of messages at rest cannot be read; a restart makes it anew");
        return 503;
    }
    if (held == NULL || !answer_selected(asked, "tenant", held->mail->tenant))
        return 404;
    for (uint32_t i = 0; i < held->count; i++)
        if (index < 0 || held->deliveries[i]->index == (uint32_t)index)
            delivery_row(asked, held->deliveries[i]);
    return asked->rows > 0 ? 200 : 404;
}

static void explain_dns(struct asked *asked, const struct mx_answer *answer)
{
    if (answer == NULL) {
        json_text(asked->out, "mx", "DNS has not been asked");
        return;
    }
    if (answer->status != MX_OK) {
        json_text(asked->out, "mx", answer->why);
        return;
    }
    json_begin_named(asked->out, "mx", '[');
    for (size_t i = 0; i < answer->host_count; i++)
        json_text(asked->out, NULL, answer->hosts[i].name);
    json_end(asked->out, ']');
    if (answer->expires != USEC_NEVER)
        json_number(asked->out, "mx_ttl_s", (answer->expires - asked->now) / USEC_SEC);
}

static void explain_sources(struct asked *asked, const char *pool)
{
    json_begin_named(asked->out, "sources", '[');
    for (size_t i = 0; i < asked->node->source_count; i++) {
        const struct setting_source *setting = asked->node->sources[i].setting;
        for (size_t j = 0; j < setting->pool_count; j++)
            if (strcmp(setting->pools[j], pool) == 0)
                json_text(asked->out, NULL, setting->address);
    }
    json_end(asked->out, ']');
}

static void explain_provider(struct asked *asked, const struct mx_answer *answer)
{
    const struct settings *settings = asked->node->settings;
    if (answer == NULL || answer->status != MX_OK)
        return;
    const char *name = site_provider_name(asked->node, answer, answer->hosts[0].name);
    const struct setting_provider *provider = settings_provider(settings, name);
    if (provider == NULL)
        provider = &settings->providers[0];
    const struct rate *rate = &provider->rate;
    json_text(asked->out, "provider", name);
    json_text(asked->out, "limits_of", provider->name);
    json_number(asked->out, "max_connections", provider->connections);
    json_number(asked->out, "messages_per_connection", provider->messages_per_connection);
    json_fraction(
        asked->out, "rate_per_second", rate->count == 0 ? 0 : rate->count * 1e6 / (double)rate->per);
}

static void explain_site(struct asked *asked, const struct domain *domain)
{
    const struct site *site = domain == NULL ? NULL : domain->site;
    if (site == NULL)
        return;
    json_text(asked->out, "site", site->down_until > asked->now ? "down" : "up");
    if (site->down_until > asked->now)
        json_text(asked->out, "trouble", site->trouble.text);
}

/* What the queue for the domain goes by, or what DNS said just now. */
static const struct mx_answer *answer_for(
    const struct node *node, const struct domain *domain, const char *name)
{
    if (domain != NULL && domain->site != NULL)
        return domain->site->answer;
    if (domain != NULL && domain->answer != NULL)
        return domain->answer;
    return node->hint != NULL && strcmp(node->hint_domain, name) == 0 ? node->hint : NULL;
}

/* Who answers, whose it is, and who would come next. */
static void explain_owner(struct asked *asked, const char *pool, const char *domain)
{
    const struct view *view = asked->node->view;
    const struct view_node *ranked[MAX_RANK];
    size_t count = view == NULL ? 0 : place(view, pool, NULL, domain, NULL, ranked, MAX_RANK);
    const struct view_hot *hot = view == NULL ? NULL : view_hot(view, domain);
    json_text(asked->out, "owner", count == 0 ? "nobody: no node has a source of this pool" : ranked[0]->id);
    json_begin_named(asked->out, "rank", '[');
    for (size_t i = 0; i < count; i++)
        json_text(asked->out, NULL, ranked[i]->id);
    json_end(asked->out, ']');
    if (hot != NULL && hot->parts == 0)
        json_text(asked->out, "split", "by message: there is too much mail for one node");
    else if (hot != NULL)
        json_number(asked->out, "split", hot->parts);
    json_text(asked->out, "node", asked->node->id);
    json_number(asked->out, "view_epoch", view == NULL ? 0 : (int64_t)view->epoch);
}

static void explain_key(struct asked *asked, const struct setting_dkim *key)
{
    const struct node_ports *ports = &asked->node->ports;
    char text[600];
    snprintf(text, sizeof text, "d=%s s=%s%s%s", key->domain, key->selector,
        ports->key_kind == NULL ? "" : " a=",
        ports->key_kind == NULL ? "" : ports->key_kind(ports->context, key));
    json_text(asked->out, NULL, text);
}

/* Which keys there are for this tenant's mail: those of the From's closest domain sign, and the operator's. */
static void explain_signatures(struct asked *asked, const struct setting_tenant *tenant)
{
    const struct settings *settings = asked->node->settings;
    json_begin_named(asked->out, "signatures", '[');
    for (size_t i = 0; tenant != NULL && i < tenant->dkim_count && i < MAX_KEYS; i++)
        explain_key(asked, &tenant->dkim[i]);
    for (size_t i = 0; i < settings->operator_dkim_count; i++)
        explain_key(asked, &settings->operator_dkim[i]);
    json_end(asked->out, ']');
}

static bool uses_pool(const struct setting_tenant *tenant, const char *pool)
{
    for (size_t i = 0; i < tenant->pool_count; i++)
        if (strcmp(tenant->pools[i], pool) == 0)
            return true;
    return false;
}

static int refuse(struct asked *asked, const char *before, const char *what, const char *behind)
{
    buffer_printf(asked->out, "%s%s%s", before, what, behind);
    return 400;
}

/* Whose mail it would be, and from which pool. A tenant who is named sees no other pool than his own: what
 * sends there is not for him to know. */
static int read_whose(
    struct asked *asked, const struct setting_tenant **tenant_r, char *pool_r, size_t pool_size)
{
    const struct settings *settings = asked->node->settings;
    const char *initial = settings->coordinator.default_tenant;
    char tenant[128] = "";
    bool named = query_has(asked->selectors, "tenant");
    if (named && !query_get(asked->selectors, "tenant", tenant, sizeof tenant))
        return refuse(asked, "the name of the tenant can't be read", "", "");
    *tenant_r = settings_tenant(settings, named || initial == NULL ? tenant : initial);
    if (named && *tenant_r == NULL)
        return refuse(asked, "there is no tenant `", tenant, "` in the configuration");
    snprintf(pool_r, pool_size, "%s", *tenant_r == NULL ? "" : (*tenant_r)->pools[0]);
    if (query_has(asked->selectors, "pool") && !query_get(asked->selectors, "pool", pool_r, pool_size))
        return refuse(asked, "the name of the pool can't be read", "", "");
    if (pool_r[0] == '\0')
        return refuse(asked, "say whose mail it would be: tenant=T or pool=P (--tenant, --pool)", "", "");
    if (named && !uses_pool(*tenant_r, pool_r))
        return refuse(asked, "the tenant does not send from a pool `", pool_r, "` (tenants: pools)");
    return 200;
}

static void explain_pauses(struct asked *asked, const struct mx_answer *answer,
    const struct setting_tenant *tenant, const char *pool, const char *name)
{
    char campaign[HOLD_MAX_NAME + 1];
    struct hold_match what = {.tenant = tenant == NULL ? NULL : tenant->id, .pool = pool, .domain = name};
    if (answer != NULL && answer->status == MX_OK)
        what.provider = site_provider_name(asked->node, answer, answer->hosts[0].name);
    if (query_get(asked->selectors, "campaign", campaign, sizeof campaign))
        what.campaign = campaign;
    explain_holds(asked, &what);
}

/* Of the tenant's mail of any campaign, or of the one that is asked for. */
static void explain_schedules(struct asked *asked, const struct domain *domain,
    const struct setting_tenant *tenant, const char *pool, const char *name)
{
    char campaign[HOLD_MAX_NAME + 1], time[32];
    struct hold_match what = {.tenant = tenant == NULL ? NULL : tenant->id,
        .pool = pool,
        .provider = domain == NULL || domain->site == NULL ? NULL : domain->site->provider->name,
        .domain = name};
    const struct setting_schedule *which;
    if (query_get(asked->selectors, "campaign", campaign, sizeof campaign))
        what.campaign = campaign;
    usec_t opens = gate_schedule_opens(asked->node, &what, asked->now, &which);
    if (opens <= asked->now)
        return;
    json_text(asked->out, "schedule", which->name);
    if (opens != USEC_NEVER)
        json_text(asked->out, "opens", clock_rfc3339(opens, time));
}

int answer_explain(struct asked *asked)
{
    struct node *node = asked->node;
    char given[ADDRESS_SIZE], address[ADDRESS_SIZE], pool[128], mirror[ANSWER_MIRROR];
    const struct setting_tenant *setting;
    struct error why;
    if (!query_has(asked->selectors, "address"))
        return refuse(asked, "give an address to explain", "", "");
    if (!query_get(asked->selectors, "address", given, sizeof given))
        return refuse(asked, "the address is longer than an address can be", "", "");
    if (address_clean(given, strlen(given), address, NULL, &why) != 0)
        return refuse(asked, why.text, "", "");
    int code = read_whose(asked, &setting, pool, sizeof pool);
    if (code != 200)
        return code;
    const struct domain *domain = map_get_text(&node->domains, mail_domain(address));
    json_begin(asked->out, '{');
    json_text(asked->out, "address", address);
    json_text(asked->out, "domain", mail_domain(address));
    json_text(asked->out, "tenant", setting == NULL ? "" : setting->id);
    json_text(asked->out, "pool", pool);
    if (setting != NULL)
        json_text(asked->out, "priority", answer_priority(setting->priority));
    explain_owner(asked, pool, mail_domain(address));
    answer_mirror(node, asked->now, mirror);
    json_text(asked->out, "mirror", mirror);
    const struct mx_answer *answer = answer_for(node, domain, mail_domain(address));
    explain_dns(asked, answer);
    explain_provider(asked, answer);
    explain_sources(asked, pool);
    explain_site(asked, domain);
    explain_pauses(asked, answer, setting, pool, mail_domain(address));
    explain_schedules(asked, domain, setting, pool, mail_domain(address));
    explain_signatures(asked, setting);
    answer_end_row(asked);
    return 200;
}

static void metric(struct asked *asked, const char *name, const char *type, const char *help, uint64_t value)
{
    buffer_printf(asked->out, "# HELP todoku_%s %s\n# TYPE todoku_%s %s\ntodoku_%s{node=\"%s\"} %llu\n", name,
        help, name, type, name, asked->node->id, (unsigned long long)value);
}

/* Named as the coordinators' own. */
static void bus_metrics(struct asked *asked)
{
    const struct node_bus *bus = &asked->node->bus;
    if (!asked->node->has_bus)
        return;
    metric(asked, "bus_sent_total", "counter", "messages sent to other members", bus->sent);
    metric(asked, "bus_received_total", "counter", "messages that came from other members", bus->received);
    metric(asked, "bus_sent_bytes_total", "counter", "bytes of them", bus->bytes_sent);
    metric(asked, "bus_received_bytes_total", "counter", "bytes of them", bus->bytes_received);
}

static void copies_metrics(struct asked *asked)
{
    const struct node *node = asked->node;
    struct copies_figures copies;
    if (node_copies_figures(node, node->now, &copies)) {
        metric(asked, "mirror", "gauge", "1: the spool has a second copy", copies.paired);
        metric(asked, "mirror_lag_milliseconds", "gauge",
            "Since when the mirror has not moved, though it should", (uint64_t)(copies.lag / USEC_MS));
        metric(
            asked, "unacked_bytes", "gauge", "Bytes on their way to the mirror's disk", copies.unacked_bytes);
    }
    if (!node->keeps)
        return;
    metric(asked, "copies_kept", "gauge", "Copies of other nodes' spools on this disk", node->kept.copies);
    metric(asked, "copies_bytes", "gauge", "Bytes of their logs", node->kept.bytes);
    metric(
        asked, "copies_ill", "gauge", "Copies that take nothing: not opened, full or failed", node->kept.ill);
    metric(asked, "taken_over", "gauge", "Dead nodes' spools that are being emptied here", node->kept.taken);
    metric(asked, "taken_over_queued", "gauge", "Deliveries that are left in them", node->kept.taken_queued);
    metric(
        asked, "taken_over_moved_total", "counter", "Deliveries moved on from them", node->kept.taken_moved);
    metric(asked, "in_doubt", "gauge",
        "Of those left: may have been sent, and wait for their quarantine's end", node->kept.in_doubt);
}

static void lane_metrics(struct asked *asked)
{
    const struct node *node = asked->node;
    buffer_add_text(asked->out,
        "# HELP todoku_lane_messages_total Outcomes by lane\n# TYPE todoku_lane_messages_total counter\n");
    struct map_entry *at = NULL;
    for (const struct provider *provider; (provider = map_next(&node->providers, &at)) != NULL;)
        for (size_t i = 0; i < node->source_count; i++) {
            const struct lane *lane = &provider->lanes[i];
            const char *result[] = {"delivered", "deferred", "bounced"};
            uint64_t count[] = {lane->delivered, lane->deferred, lane->bounced};
            for (size_t j = 0; j < 3; j++)
                buffer_printf(asked->out,
                    "todoku_lane_messages_total{node=\"%s\",source=\"%s\",provider=\"%s\",result=\"%s\"} "
                    "%llu\n",
                    node->id, node->sources[i].setting->address, provider->name, result[j],
                    (unsigned long long)count[j]);
        }
}

int answer_metrics(struct asked *asked)
{
    struct node_figures figures = node_figures(asked->node);
    struct custody_figures custody = custody_figures(asked->node->custody);
    metric(asked, "accepted_total", "counter", "Deliveries taken into custody", figures.accepted);
    metric(asked, "delivered_total", "counter", "Deliveries accepted by their receiver", figures.delivered);
    metric(asked, "deferred_total", "counter", "Attempts that will be repeated", figures.deferred);
    metric(asked, "bounced_total", "counter", "Deliveries refused for good", figures.bounced);
    metric(asked, "expired_total", "counter", "Deliveries that reached their maximum age", figures.expired);
    metric(asked, "cancelled_total", "counter", "Deliveries that an operator deleted", figures.cancelled);
    metric(asked, "doubts_total", "counter", "Attempts whose process has gone: made again, so perhaps twice",
        figures.doubts + asked->node->kept.doubts);
    metric(asked, "queued", "gauge", "Deliveries in custody", node_holds(asked->node));
    metric(asked, "ready", "gauge", "Deliveries that may be sent now", figures.ready);
    metric(asked, "sending", "gauge", "Deliveries in a transaction", figures.in_flight);
    metric(asked, "connections", "gauge", "Connections to receivers", figures.sessions);
    metric(asked, "moves_too_late_total", "counter",
        "MOVEs not answered: minutes under way, or a clock is wrong", custody.late_moves);
    metric(asked, "body_bytes", "gauge", "Bodies kept in memory", figures.body_bytes);
    metric(asked, "view_epoch", "gauge", "Epoch of the view in use",
        asked->node->view == NULL ? 0 : asked->node->view->epoch);
    metric(asked, "moved_total", "counter", "Deliveries that other nodes have taken", custody.moved);
    metric(asked, "moved_brief_total", "counter", "MOVEs whose text had gone there before", custody.brief);
    bus_metrics(asked);
    copies_metrics(asked);
    lane_metrics(asked);
    return 200;
}
