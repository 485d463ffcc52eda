/* gate - see gate.h: what holds a queue, and who waits for that to end */
#include "node/gate.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/panic.h"
#include "node/backlog.h"
#include "node/gate_inside.h"

/* ---- rows of queues that wait ---- */

void gate_row_put(struct gate_row *row, struct queue *queue)
{
    list_remove(&queue->gate.waits);
    queue->gate.round = row->round;
    list_push_back(&row->queues, &queue->gate.waits);
}

static struct queue *first_of(const struct gate_row *row)
{
    return list_empty(&row->queues) ? NULL : list_item(row->queues.next, struct queue, gate.waits);
}

bool gate_row_has_unseen(const struct gate_row *row)
{
    const struct queue *queue = first_of(row);
    return queue != NULL && queue->gate.round != row->round;
}

struct queue *gate_row_next(struct gate_row *row)
{
    struct queue *queue = first_of(row);
    if (queue == NULL || queue->gate.round == row->round)
        return NULL;
    list_remove(&queue->gate.waits);
    return queue;
}

/* ---- what a queue is ---- */

static const struct provider *provider_of(const struct queue *queue)
{
    const struct site *site = queue->domain->site;
    return site == NULL ? NULL : site->provider;
}

static struct hold_match what_it_is(const struct queue *queue)
{
    const struct provider *provider = provider_of(queue);
    return (struct hold_match){
        .tenant = queue->tenant,
        .campaign = queue->campaign,
        .pool = queue->pool,
        .provider = provider == NULL ? NULL : provider->name,
        .domain = queue->domain->name,
    };
}

/* ---- what holds it ---- */

/* Holds and people name a provider as they like: by its name or by any other name that the settings give it. */
static usec_t held_until(
    const struct node *node, struct hold_match *what, usec_t now, const struct hold **why_r)
{
    usec_t last = holds_until(node->holds, what, now, why_r);
    const struct setting_provider *setting = what->provider == NULL || !node->gates->by_provider
                                                 ? NULL
                                                 : settings_provider(node->settings, what->provider);
    const char *name = what->provider;
    for (size_t i = 0; setting != NULL && i < setting->alias_count; i++) {
        const struct hold *why = NULL;
        what->provider = setting->aliases[i];
        usec_t until = holds_until(node->holds, what, now, &why);
        if (until > last) {
            last = until;
            *why_r = why;
        }
    }
    what->provider = name;
    return last;
}

static usec_t source_held_until(
    const struct node *node, size_t source, struct hold_match *what, usec_t now, const struct hold **why_r)
{
    const struct setting_source *setting = node->sources[source].setting;
    what->source = setting->address;
    usec_t until = held_until(node, what, now, why_r);
    if (until == 0 && strcmp(setting->address, setting->public_address) != 0) {
        what->source = setting->public_address;
        until = held_until(node, what, now, why_r);
    }
    what->source = NULL;
    return until;
}

/* When the first of its pool's sources is free; 0 = one is, or there is none at all. */
static usec_t sources_held_until(
    const struct node *node, struct hold_match *what, usec_t now, const struct hold **why_r)
{
    usec_t first = 0;
    for (size_t i = 0; i < node->source_count; i++) {
        if (!source_has_pool(node, i, what->pool))
            continue;
        const struct hold *why = NULL;
        usec_t until = source_held_until(node, i, what, now, &why);
        if (until == 0)
            return 0;
        if (first == 0 || until < first) {
            first = until;
            *why_r = why;
        }
    }
    return first;
}

static bool ordered(const struct gates *gates, const struct hold_match *what)
{
    for (size_t i = 0; i < gates->order_count; i++) {
        bool covers = true;
        for (size_t j = 0; j < HOLD_NAMES && covers; j++) {
            const char *wanted = hold_match_get(gates->orders[i], j), *is = hold_match_get(what, j);
            covers = wanted == NULL || (is != NULL && strcmp(wanted, is) == 0);
        }
        if (covers)
            return true;
    }
    return false;
}

static usec_t judge_holds(
    const struct node *node, struct hold_match *what, usec_t now, const struct hold **why_r)
{
    if (ordered(node->gates, what))
        return USEC_NEVER;
    usec_t until = held_until(node, what, now, why_r);
    if (until == 0 && node->gates->by_source)
        until = sources_held_until(node, what, now, why_r);
    return until;
}

/* Its rules, kept until those are others or its provider is. */
static void judge(struct node *node, struct queue *queue, usec_t now)
{
    struct queue_gate *gate = &queue->gate;
    struct hold_match what = what_it_is(queue);
    const struct hold *why = NULL;
    gate->rules = node->gates->rules;
    gate->provider = provider_of(queue);
    gate->held = judge_holds(node, &what, now, &why);
    gate->holder = why == NULL ? 0 : hash64('h', why->id, strlen(why->id));
    gate->set = schedules_of(node, &what);
}

/* When it opens, without a word to anybody; *last_r: the schedule that opens last, or null. */
static usec_t opens(struct node *node, struct queue *queue, usec_t now, struct gate_schedule **last_r)
{
    struct queue_gate *gate = &queue->gate;
    *last_r = NULL;
    if (node->gates->idle)
        return now;
    if (gate->rules != node->gates->rules || gate->provider != provider_of(queue))
        judge(node, queue, now);
    if (gate->held > now)
        return gate->held;
    return gate->set == NULL ? now : set_opens(node, gate->set, now, last_r);
}

/* What shuts it: a number that is the same after a restart. An act does not count, it is over soon. */
static uint64_t shut_by(const struct queue *queue, const struct gate_schedule *last)
{
    return last == NULL ? queue->gate.holder : hash64('s', last->setting->name, strlen(last->setting->name));
}

usec_t gate_opens(struct node *node, struct queue *queue, usec_t now)
{
    struct gate_schedule *last;
    usec_t when = opens(node, queue, now, &last);
    uint64_t shut = when <= now ? 0 : shut_by(queue, last);
    if (shut != queue->gate.shut)
        backlog_misplaced(node, queue);
    queue->gate.shut = shut;
    if (when <= now)
        list_remove(&queue->gate.waits);
    else if (last != NULL)
        schedule_wait(node, last, queue, when);
    else
        gate_row_put(&node->gates->held, queue);
    return when;
}

bool gate_source_open(struct node *node, size_t source, const struct queue *queue, usec_t now)
{
    if (!node->gates->by_source)
        return true;
    struct hold_match what = what_it_is(queue);
    const struct hold *why = NULL;
    return source_held_until(node, source, &what, now, &why) == 0;
}

uint32_t gate_room(struct node *node, struct queue *queue, usec_t now)
{
    struct gate_schedule *last;
    if (node->gates->idle)
        return GATE_ANY;
    if (opens(node, queue, now, &last) > now)
        return 0;
    return queue->gate.set == NULL ? GATE_ANY : set_room(node, queue->gate.set, now);
}

bool gate_starts(struct node *node, struct queue *queue, size_t source, uint32_t count, usec_t now)
{
    if (node->gates->idle)
        return true;
    if (gate_room(node, queue, now) < count || !gate_source_open(node, source, queue, now))
        return false;
    if (queue->gate.set != NULL)
        set_starts(node, queue->gate.set, count, now);
    return true;
}

void gate_forget(struct queue *queue)
{
    list_remove(&queue->gate.waits);
    queue->gate.rules = 0;
    queue->gate.shut = 0;
}

/* ---- telling why ---- */

void gate_why(struct node *node, struct queue *queue, usec_t now, struct gate_why *why_r)
{
    *why_r = (struct gate_why){.opens = now};
    if (node->gates->idle)
        return;
    struct hold_match what = what_it_is(queue);
    struct gate_schedule *last;
    why_r->opens = opens(node, queue, now, &last);
    why_r->schedule = last == NULL ? NULL : last->setting;
    if (queue->gate.held > now)
        judge_holds(node, &what, now, &why_r->hold);
}

void gate_why_of(struct node *node, struct hold_match *what, usec_t now, struct gate_why *why_r)
{
    *why_r = (struct gate_why){.opens = now};
    if (node->gates->idle)
        return;
    usec_t held = judge_holds(node, what, now, &why_r->hold);
    why_r->opens = held > now ? held : gate_schedule_opens(node, what, now, &why_r->schedule);
}

usec_t gate_schedule_opens(
    struct node *node, const struct hold_match *what, usec_t now, const struct setting_schedule **which_r)
{
    struct gate_schedule *last = NULL;
    const struct gate_set *set = schedules_of(node, what);
    usec_t when = set == NULL ? now : set_opens(node, set, now, &last);
    *which_r = last == NULL ? NULL : last->setting;
    return when;
}

/* ---- changes ---- */

static void look_through(struct node *node, usec_t now)
{
    struct gates *gates = node->gates;
    gates->by_source = gates->by_provider = false;
    for (size_t i = 0; i < holds_count(node->holds); i++) {
        const struct hold_match *match = &holds_at(node->holds, i)->match;
        gates->by_source = gates->by_source || match->source != NULL;
        gates->by_provider = gates->by_provider || match->provider != NULL;
    }
    gates->holds_end = holds_next_end(node->holds, now);
    gates->idle = holds_count(node->holds) == 0 && gates->schedule_count == 0 && gates->order_count == 0;
    gates->rules++;
#ifndef TODOKU_WITHOUT_RESUME
    gates->held.round++;
#endif
}

/* Sites may wait for a connection from a source that was on hold. */
static void free_sources(struct node *node)
{
    struct map_entry *at = NULL;
    for (struct provider *provider; (provider = map_next(&node->providers, &at)) != NULL;)
        provider_freed(node, provider);
}

static void gates_changed(struct node *node, usec_t now)
{
    bool by_source = node->gates->by_source;
    look_through(node, now);
    if (by_source)
        free_sources(node);
    if (!node->gates->idle)
        batches_withdraw(node, NULL, now);
}

void gates_set_settings(struct node *node, usec_t now)
{
    schedules_make(node, now);
    gates_changed(node, now);
}

void gates_set_view(struct node *node, usec_t now)
{
    schedules_share(node, now);
}

void node_set_holds(struct node *node, struct holds *holds, usec_t now)
{
    struct holds *former = node->holds;
    node->now = now;
    node->holds = holds_hold(holds);
    gates_changed(node, now);
    holds_drop(&former);
    node_settle(node, now);
}

void gate_order(struct node *node, const struct hold_match *match, usec_t now)
{
    must(node->gates->order_count < GATE_ORDERS);
    node->gates->orders[node->gates->order_count++] = match;
    gates_changed(node, now);
}

void gate_order_over(struct node *node, const struct hold_match *match, usec_t now)
{
    struct gates *gates = node->gates;
    for (size_t i = 0; i < gates->order_count; i++)
        if (gates->orders[i] == match)
            gates->orders[i--] = gates->orders[--gates->order_count];
    gates_changed(node, now);
}

void gate_tick(struct node *node, usec_t now)
{
    struct gates *gates = node->gates;
    if (now >= gates->holds_end)
        gates_changed(node, now);
    struct queue *queue;
    for (size_t i = 0; i < GATE_STEP && (queue = gate_row_next(&gates->held)) != NULL; i++)
        queue_gated(node, queue, now);
    schedules_tick(node, now);
}

usec_t gate_deadline(const struct node *node)
{
    const struct gates *gates = node->gates;
    if (gate_row_has_unseen(&gates->held))
        return node->now;
    const struct heap_node *timer = heap_first(&gates->timers);
    return timer == NULL || timer->key > gates->holds_end ? gates->holds_end : timer->key;
}

/* ---- life ---- */

static usec_t always_utc(void *context, const char *zone, usec_t when, usec_t *until_r)
{
    (void)context, (void)zone, (void)when;
    *until_r = USEC_NEVER;
    return 0;
}

void gates_make(struct node *node, const struct zone_face *zones)
{
    node->gates = xcalloc(1, sizeof *node->gates);
    node->gates->zones = zones->ahead == NULL ? (struct zone_face){.ahead = always_utc} : *zones;
    list_init(&node->gates->held.queues);
    schedules_make(node, 0);
    look_through(node, 0);
}

void gates_free(struct node *node)
{
    schedules_free(node->gates);
    while (list_pop(&node->gates->held.queues) != NULL)
        ;
    free(node->gates);
    node->gates = NULL;
}
