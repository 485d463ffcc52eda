/* node - see node.h: life and the doors of the core */
#include "node/node.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/act.h"
#include "node/backlog.h"
#include "node/gate.h"
#include "node/view_audit.h"
#include "proto/wire.h"

/* Their number never changes. */
static void set_sources(struct node *node)
{
    const struct settings *settings = node->settings;
    for (size_t i = 0; i < node->source_count; i++) {
        node->sources[i].setting = &settings->node.sources[i];
        node->sources[i].family = strchr(settings->node.sources[i].address, ':') == NULL ? AF_INET : AF_INET6;
    }
}

struct node *node_new(const char *id, const char *spool, uint64_t incarnation,
    const struct settings *settings, const struct node_ports *ports, uint64_t seed)
{
    struct node *node = xcalloc(1, sizeof *node);
    snprintf(node->id, sizeof node->id, "%s", id);
    snprintf(node->spool, sizeof node->spool, "%s", spool);
    node->incarnation = incarnation;
    node->settings = settings;
    node->ports = *ports;
    node->random.state = seed;
    list_init(&node->settling);
    list_init(&node->attempting);
    list_init(&node->crowd);
    list_init(&node->dirty);
    list_init(&node->moving);
    list_init(&node->stuck);
    list_init(&node->bodies);
    list_init(&node->census);
    list_init(&node->acts);
    node->holds = holds_new();
    rest_init(&node->rest);
    backlogs_init(node);
    node->placement = placement_new();
    node->load = load_new();
    node->source_count = settings->node.source_count;
    node->sources = xcalloc(node->source_count, sizeof *node->sources);
    set_sources(node);
    gates_make(node, &ports->zones);
    struct custody_ports custody_ports;
    node_custody_ports(node, &custody_ports);
    node->custody = custody_new(id, spool, incarnation, &custody_ports);
    custody_set_pace(node->custody, settings->cluster.move_rate);
    return node;
}

static void free_queue(struct queue *queue)
{
    queue_deactivate(queue);
    free(queue->key);
    free(queue->tenant);
    free(queue->campaign);
    free(queue->pool);
    free(queue);
}

static void free_rooms(struct node *node)
{
    struct map_entry *at = NULL;
    for (struct queue *queue; (queue = map_next(&node->queues, &at)) != NULL;)
        free_queue(queue);
    at = NULL;
    for (struct domain *domain; (domain = map_next(&node->domains, &at)) != NULL;) {
        mx_answer_drop(&domain->answer);
        free(domain->name);
        free(domain);
    }
    at = NULL;
    for (struct site *site; (site = map_next(&node->sites, &at)) != NULL;)
        site_free(node, site);
    at = NULL;
    for (struct provider *provider; (provider = map_next(&node->providers, &at)) != NULL;)
        provider_free(node, provider);
    at = NULL;
    for (struct shy *shy; (shy = map_next(&node->shy, &at)) != NULL;)
        free(shy);
    map_free(&node->shy);
    map_free(&node->signings);
    map_free(&node->reading);
    map_free(&node->queues);
    map_free(&node->domains);
    map_free(&node->sites);
    map_free(&node->stands);
    backlogs_free(node);
    turns_book_clear(&node->turns_book);
    map_free(&node->providers);
}

void node_free(struct node **node)
{
    struct node *n = *node;
    *node = NULL;
    if (n == NULL)
        return;
    for (size_t i = 0; i < n->session_room; i++)
        if (n->sessions[i] != NULL)
            session_free(n, n->sessions[i]);
    batches_settled(n, UINT64_MAX);
    signing_free_all(n);
    custody_free(&n->custody);
    node_copies_free(n);
    rest_free(&n->rest);
    mx_answer_drop(&n->hint);
    acts_free(n);
    gates_free(n);
    free_rooms(n);
    free(n->sessions);
    heap_free(&n->due);
    heap_free(&n->expiries);
    heap_free(&n->session_timers);
    heap_free(&n->site_timers);
    heap_free(&n->lane_timers);
    placement_free(&n->placement);
    load_free(&n->load);
    holds_drop(&n->holds);
    view_drop(&n->view);
    buffer_free(&n->scratch);
    free(n->sources);
    free(n);
}

void node_set_hint(struct node *node, const char *domain, struct mx_answer *answer)
{
    mx_answer_drop(&node->hint);
    node->hint = mx_answer_hold(answer);
    snprintf(node->hint_domain, sizeof node->hint_domain, "%s", domain);
}

void node_set_told(struct node *node, uint64_t seq)
{
    node->told_seq = seq;
}

void node_set_silent(struct node *node, const char *member, bool silent)
{
    const struct view_node *other = node->view == NULL ? NULL : view_node(node->view, member);
    if (other != NULL)
        spool_silent(node, other->spool, silent);
    node_copies_silent(node, member, silent, node->now);
}

void node_set_incarnation(struct node *node, uint64_t incarnation)
{
    node->incarnation = incarnation;
    custody_set_incarnation(node->custody, incarnation);
}

int node_replay(
    struct node *node, uint64_t seq, const void *record, size_t len, bool base, struct error *error)
{
    struct spool_record decoded;
    node_copies_past(node, seq);
    enum record_result result = record_decode(record, len, &decoded, error);
    if (result == RECORD_SKIPPED && !base) {
        node->figures.skipped++;
        custody_log_ends(node->custody, seq);
        return 0;
    }
    if (result != RECORD_GOOD)
        return result == RECORD_BAD ? -1 : NODE_NEWER;
    /* What is at rest comes back where its events may have to be told again. */
    struct held *held;
    if (decoded.kind == RECORD_HOLD && seq > node->told_seq)
        (void)custody_fetch(node->custody, &decoded.id, &held);
    int status = custody_replay(node->custody, seq, &decoded, base, error);
    if (status == 0 && decoded.detail != NULL && seq > node->told_seq)
        node_copies_event(node, seq, decoded.detail);
    record_clear(&decoded);
    return status;
}

void node_log_ends(struct node *node, uint64_t seq)
{
    node_copies_past(node, seq);
    custody_log_ends(node->custody, seq);
}

void node_recovered(struct node *node, usec_t now)
{
    node->started = node->now = now;
    if (!node_copies_wait(node, now))
        node_begin(node, now);
}

void node_begin(struct node *node, usec_t now)
{
    node_copies_begin(node);
    custody_recovered(node->custody, now);
    attempts_recovered(node, now);
    rest_begin(&node->rest);
    backlogs_begin(node);
    node_settle(node, now);
}

static uint64_t queued(const struct node *node)
{
    struct custody_figures custody = custody_figures(node->custody);
    return custody.held + custody.leaving;
}

uint64_t node_holds(const struct node *node)
{
    return queued(node) + node->kept.taken_queued;
}

#ifdef TODOKU_NEXT
/* What the wire version after this one brings: only where the cluster speaks it. */
static void greet(struct node *node)
{
    for (size_t i = 0; i < node->view->node_count && node->view->wire >= WIRE_NEXT; i++)
        if (strcmp(node->view->nodes[i].id, node->id) != 0)
            node->ports.send(node->ports.context, bus_msg_new(BUS_NEXT, node->id, node->view->nodes[i].id));
}
#endif
static void tell_one_turn(void *context, const char *json, size_t len)
{
    struct node *node = context;
    node->ports.event(node->ports.context, 0, json, len);
}

static void tell_turns(struct node *node, const struct view *former, usec_t now)
{
    struct view_audit audit = {.node = node->id, .tell = tell_one_turn, .context = node};
    if (node->view_is_past || strcmp(node->view->teller, node->id) != 0)
        return;
    view_audit_tell(&audit, former, node->view, node->turns_told, now);
    node->turns_told = node->view->epoch;
}

void node_set_view(struct node *node, struct view *view, usec_t now)
{
    if (node->view != NULL && view->epoch <= node->view->epoch)
        return;
    struct view *former = node->view;
    node->view = view_hold(view);
    custody_set_brief(node->custody, view->wire >= WIRE_BRIEF, "");
    const struct view_node *me = view_node(view, node->id);
    node->view_is_past = me == NULL || me->down || me->incarnation != node->incarnation;
    node->now = now;
    if (me != NULL && me->draining && !node->draining)
        ebb_begin(&node->ebb, now, node_holds(node));
    node->draining = me != NULL && me->draining;
    tell_turns(node, former, now);
    view_drop(&former);
    placement_set_view(node->placement, view);
    load_set_view(node->load, view, now);
    gates_set_view(node, now);
    census_begin(node);
    census_step(node, now);
    node_copies_view(node, now);
    node_settle(node, now);
#ifdef TODOKU_NEXT
    greet(node);
#endif
}

void node_set_settings(struct node *node, const struct settings *settings, usec_t now)
{
    must(settings->node.source_count == node->source_count);
    uint64_t former = node->settings->config_version;
    node->settings = settings;
    node->key_round++;
    if (settings->config_version != former) {
        const char *text = event_config(node, former, now);
        node->ports.event(node->ports.context, 0, text, strlen(text));
    }
    set_sources(node);
    struct map_entry *at = NULL;
    for (struct provider *provider; (provider = map_next(&node->providers, &at)) != NULL;) {
        provider_settings(node, provider, now);
    }
    node->now = now;
    backlogs_settings(node);
    gates_set_settings(node, now);
    batches_withdraw(node, NULL, now);
    census_begin(node);
    census_step(node, now);
    node_copies_settings(node, now);
    custody_set_pace(node->custody, settings->cluster.move_rate);
    node_settle(node, now);
}

void node_set_kept(struct node *node, const struct node_kept *kept)
{
    if (node->kept.taken_queued == 0)
        ebb_begin(&node->taken_ebb, node->now, ebb_gone(kept->taken_moved));
    ebb_note(&node->taken_ebb, node->now, ebb_gone(kept->taken_moved));
    node->kept = *kept;
    node->keeps = true;
}

void node_set_bus(struct node *node, const struct node_bus *bus)
{
    node->bus = *bus;
    node->has_bus = true;
}

void node_set_gauges(struct node *node, const struct pressure_gauges *gauges)
{
    node->gauges = *gauges;
    node->gauges.table_failed = node->rest.park != NULL && !node_table_works(node);
    node->gauges.queued = queued(node);
    node->gauges.queued_max = node->settings->node.max_queued;
    node->pressure = pressure_of(&node->gauges, &node->pressure);
}

/* Why no new mail is taken, or null. */
static const char *why_shut(const struct node *node)
{
    if (node->quiescing)
        return "the node is stopping";
    if (node_copies_shut(node) != NULL)
        return node_copies_shut(node);
    return node->pressure.level == PRESSURE_FULL ? node->pressure.reason : NULL;
}

/* What comes from a spool that was taken over by this node lies on one disk here before it is moved, and after: it is
 * taken also by a home that has no second copy just now (but nobody is told so: cluster/custody.h). */
static const char *why_shut_to(const struct node *node, const struct bus_msg *msg)
{
    bool ours = bus_is_move(msg) && strcmp(msg->from, node->id) == 0;
    if (!ours || node->quiescing)
        return why_shut(node);
    return node->pressure.level == PRESSURE_FULL ? node->pressure.reason : NULL;
}

void node_quiesce(struct node *node, usec_t now)
{
    node->quiescing = true;
    for (size_t i = 0; i < node->session_room; i++)
        if (node->sessions[i] != NULL)
            session_end_idle(node, node->sessions[i], now);
    node_settle(node, now);
}

bool node_idle(const struct node *node)
{
    return node->session_count == 0;
}

void node_settle(struct node *node, usec_t now)
{
    if (node->second.waits)
        return;
    attempts_settle(node, now);
    rest_wake(node, now);
    due_tick(node, now);
    backlogs_step(node, now);
    pump(node, now);
    if (!list_empty(&node->crowd))
        crowd_thin_out(node, now);
    moves_hand_over(node, now);
    rest_step(node, now);
    if (node->draining)
        ebb_note(&node->ebb, now, node_holds(node));
    handover_step(node, now);
}

static void answer_asked(struct node *node, const struct bus_msg *msg, usec_t now)
{
    struct buffer out = {0};
    char what[64];
    const char *text = msg->text == NULL ? "" : msg->text;
    size_t len = strcspn(text, "?");
    snprintf(what, sizeof what, "%.*s", (int)(len < 63 ? len : 63), text);
    struct bus_msg *answer = bus_msg_answer(msg, BUS_ANSWER);
    answer->code = node_answer(node, what, text[len] == '?' ? text + len + 1 : "", now, &out);
    answer->complete = true;
    bus_msg_set_text(answer, buffer_text(&out), buffer_len(&out));
    buffer_free(&out);
    node->ports.send(node->ports.context, answer);
}

void node_bus(struct node *node, const struct bus_msg *msg, usec_t now)
{
    node->now = now;
    if (node_copies_take(node, msg, now))
        return;
    if (msg->type == BUS_ASK) {
        if (!act_asked(node, msg, now))
            answer_asked(node, msg, now);
    } else
        custody_message(node->custody, msg, why_shut_to(node, msg), now);
    node_settle(node, now);
}

void node_committed(struct node *node, uint64_t seq, usec_t now)
{
    if (node->second.core == NULL)
        node_durable(node, seq, now);
    else
        node_copies_synced(node, seq, now);
}

void node_durable(struct node *node, uint64_t seq, usec_t now)
{
    custody_committed(node->custody, seq, now);
    batches_settled(node, seq);
    node_settle(node, now);
}

void node_restate(struct node *node, uint64_t seq, usec_t now)
{
    if (!node->second.waits && rest_may_restate(node, now))
        custody_restate(node->custody, seq, !node->gauges.disk_low, now);
    node_settle(node, now);
}

void node_tick(struct node *node, usec_t now)
{
    node->now = now;
    node_copies_tick(node, now);
    if (node->second.waits)
        return;
    custody_tick(node->custody, now);
    expiry_tick(node, now);
    session_tick(node, now);
    site_tick(node, now);
    provider_tick(node, now);
    census_step(node, now);
    gate_tick(node, now);
    act_tick(node, now);
    node_settle(node, now);
}

usec_t node_deadline(const struct node *node)
{
    usec_t copies = node_copies_deadline(node);
    if (node->second.waits)
        return copies;
    if (census_deadline(node) <= node->now)
        return node->now;
    const struct heap *heaps[] = {
        &node->due, &node->expiries, &node->session_timers, &node->site_timers, &node->lane_timers};
    usec_t first = custody_deadline(node->custody), gate = gate_deadline(node), act = act_deadline(node),
           rest = rest_deadline(node), backlogs = backlogs_deadline(node), census = census_deadline(node);
    first = census < first ? census : first;
    first = gate < first ? gate : first;
    first = act < first ? act : first;
    first = rest < first ? rest : first;
    first = backlogs < first ? backlogs : first;
    first = copies < first ? copies : first;
    for (size_t i = 0; i < sizeof heaps / sizeof heaps[0]; i++) {
        const struct heap_node *timer = heap_first(heaps[i]);
        if (timer != NULL && timer->key < first)
            first = timer->key;
    }
    return first;
}

struct custody *node_custody(struct node *node)
{
    return node->custody;
}

bool node_gave(const struct delivery *delivery)
{
    return delivery->mood == MOOD_SENDING;
}

struct node_figures node_figures(const struct node *node)
{
    struct node_figures figures = node->figures;
    figures.sessions = node->session_count;
    figures.beyond = node->backlogs.beyond;
    figures.waiting = node->due.count + node->backlogs.beyond + custody_parked_held(node->custody);
    return figures;
}
