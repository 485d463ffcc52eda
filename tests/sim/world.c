/* world - the event heap, time, and the three acts of a run
 *
 * LOAD: clients submit, faults come, until enough steps were taken. CALM: faults stop and everything must
 * drain. LAST: a while longer, so that late copies of messages get their chance to do harm; half of the seeds
 * also restart all nodes before it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "coordinator/route.h"
#include "tests/sim/agree.h"
#include "tests/sim/control.h"
#include "tests/sim/fairness_world.h"
#include "tests/sim/layout.h"
#include "tests/sim/ledger.h"
#include "tests/sim/orders.h"
#include "tests/sim/scale.h"
#include "tests/sim/sim.h"
#include "tests/sim/store_link.h"
#include "tests/sim/turned.h"

enum { LEAST_MESSAGES = 20, LEAST_FAULTS = 3 };
#define CALM_AT_MOST (12 * USEC_HOUR)
#define LAST_FOR (3 * USEC_MIN)
#define LAST_LONG (3 * USEC_HOUR)

uint64_t sim_draw(struct sim *sim, uint64_t bound)
{
    return random_below(&sim->random, bound);
}

usec_t sim_between(struct sim *sim, usec_t least, usec_t most)
{
    return least + (usec_t)sim_draw(sim, (uint64_t)(most - least) + 1);
}

bool sim_chance(struct sim *sim, uint32_t per_mille)
{
    return per_mille > 0 && sim_draw(sim, 1000) < per_mille;
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    if (sim->failed)
        return;
    sim->failed = true;
    va_list args;
    va_start(args, format);
    vsnprintf(sim->failure, sizeof sim->failure, format, args);
    va_end(args);
    trace_line(sim, "!", "VIOLATED", "%s", sim->failure);
}

struct sim_event *sim_after(struct sim *sim, usec_t delay,
    void (*act)(struct sim *sim, struct sim_event *event), struct member *member)
{
    struct sim_event *event = sim->free_events;
    if (event != NULL) {
        sim->free_events = event->next_free;
        memset(event, 0, sizeof *event);
    } else {
        event = xcalloc(1, sizeof *event);
    }
    event->act = act;
    event->member = member;
    heap_put(&sim->heap, &event->at, sim->now + delay);
    return event;
}

struct sim_event *sim_aside(struct sim *sim, usec_t delay,
    void (*act)(struct sim *sim, struct sim_event *event), struct member *member)
{
    struct sim_event *event = sim_after(sim, delay, act, member);
    event->aside = true;
    return event;
}

static void event_clear(struct sim_event *event)
{
    bus_msg_free(&event->msg);
    blob_drop(&event->blob);
    free(event->bytes);
}

static void event_done(struct sim *sim, struct sim_event *event)
{
    event_clear(event);
    event->next_free = sim->free_events;
    sim->free_events = event;
}

/* The cluster's size and the world's manners, by the seed. */
/* What is measured is measured as it is delivered: with the table, and the node's own figures for it. */
static void plan_measurement(struct sim *sim)
{
    sim->nodes = sim->options->world->nodes;
    sim->copies = sim->min_copies = 1;
    sim->park_ahead = USEC_MIN;
    sim->checkpoint_every = 0;
    sim->checkpoint_bytes = sim->room = sim->least = 0;
    sim->beyond_for = 0;
}

/* Not from the run's own numbers: what a seed did with one copy, it does. With two, nodes refuse mail at any
 * time. */
static void draw_copies(struct sim *sim)
{
    uint64_t number = hash64(2, &sim->seed, sizeof sim->seed);
    sim->copies = sim->options->copies > 0 ? sim->options->copies : 1 + number % 2;
    sim->min_copies = sim->copies == 2 && number >> 8 & 7 ? 2 : 1;
    sim->takeover = sim->copies == 2 && !sim->options->no_takeover;
    sim->steady = sim->steady && sim->copies == 1;
}

/* Settings and weather as most have them; tables as they are delivered. */
static void plan_scale(struct sim *sim)
{
    sim->scale = xcalloc(1, sizeof *sim->scale);
    sim->profile = 0;
    sim->steady = sim->slow = false;
    sim->park_ahead = sim->options->throughput ? 0 : 5 * USEC_SEC;
    sim->checkpoint_every = 10 * USEC_SEC;
    sim->checkpoint_bytes = sim->room = sim->least = 0;
    sim->beyond_for = 0;
    sim->trace.silent = !sim->trace.aloud && !sim->options->story;
}

/* Single losses on the way to the store are TCP's affair: one in a thousand would be one a second here, and each costs
 * a lease. */
static void calm_weather(struct sim *sim)
{
    sim->weather.store_loss = 0;
    if (sim->options->throughput)
        sim->weather = sim->calm;
}

static void draw_plan(struct sim *sim)
{
    static const int sizes[] = {4, 8, 20, 20};
    sim->nodes = sim->options->nodes > 0 ? sim->options->nodes : sizes[sim_draw(sim, 4)];
    sim->profile = (int)sim_draw(sim, SIM_PROFILES);
    sim->steady = sim_chance(sim, 330);
    sim->slow = sim_chance(sim, 250);
    draw_copies(sim);
    bool rough = sim_chance(sim, 500);
    static const usec_t aheads[] = {0, 200 * USEC_MS, USEC_SEC, 5 * USEC_SEC, 5 * USEC_SEC, 20 * USEC_SEC};
    sim->park_ahead = aheads[sim_draw(sim, 6)];
    static const usec_t everies[] = {
        USEC_SEC, USEC_SEC, 20 * USEC_SEC, 20 * USEC_SEC, 30 * USEC_MIN, USEC_HOUR};
    sim->checkpoint_every = sim_between(sim, 100 * USEC_MS, everies[sim_draw(sim, 6)]);
    sim->checkpoint_bytes = (uint64_t)1 << sim_between(sim, 16, 24);
    static const uint64_t rooms[] = {0, 40, 12, 12, 6, 6}, leasts[] = {0, 8, 4, 2, 1, 1};
    static const usec_t beyonds[] = {0, USEC_MS, 20 * USEC_MS, 500 * USEC_MS};
    sim->room = rooms[sim_draw(sim, 6)];
    sim->least = leasts[sim_draw(sim, 6)];
    sim->beyond_for = beyonds[sim_draw(sim, 4)];
    struct weather *w = &sim->weather;
    *w = (struct weather){
        .bus_loss = rough ? 30 : 5,
        .bus_twice = rough ? 50 : 10,
        .bus_late = rough ? 80 : 20,
        .bus_ghost = rough ? 20 : 5,
        .bus_delay = rough ? 5 * USEC_MS : USEC_MS,
        .answer_lost = 60,
        .dns_temporary = 20,
        .refuse = rough ? 60 : 15,
        .greeting_bad = rough ? 30 : 10,
        .close = rough ? 12 : 3,
        .hang = rough ? 8 : 2,
        .mail_4xx = 20,
        .rcpt_4xx = rough ? 150 : 40,
        .rcpt_5xx = 50,
        .data_4xx = 15,
        .dot_4xx = 40,
        .dot_5xx = 15,
        .dot_lost = rough ? 60 : 20,
        .body_unreadable = rough ? 20 : 0,
        .unsigned_mail = rough ? 20 : 0,
        .store_loss = rough ? 10 : 1,
    };
    sim->calm = (struct weather){.bus_delay = USEC_MS};
    if (sim->options->world != NULL)
        plan_measurement(sim);
    if (sim->options->scale) {
        plan_scale(sim);
        calm_weather(sim);
    }
}

/* Its first spool, on its first disk. */
static void give_home(struct member *member)
{
    char name[sizeof member->spool->name];
    snprintf(name, sizeof name, "%s.0", member->name);
    member->spool = sim_spool_new(member, name);
    member->disk = disk_new(member, sim_spool_number(member->sim, name));
}

static void place_members(struct sim *sim)
{
    sim->members_count = sim->nodes + SIM_COORDINATORS;
    bool skewed = sim_chance(sim, 250);
    for (int i = 0; i < sim->members_count; i++) {
        struct member *member = &sim->members[i];
        bool node = i < sim->nodes;
        member->sim = sim;
        member->index = i;
        snprintf(
            member->name, sizeof member->name, "%c%d", node ? 'n' : 'c', node ? i + 1 : i - sim->nodes + 1);
        if (node)
            give_home(member);
        member->weight = 1 + (uint32_t)sim_draw(sim, 3);
        member->tick_at = USEC_NEVER;
        if (skewed)
            clock_draw(member);
        if (!node)
            continue;
        member->settings = sim_settings(sim, i);
        member->disk->segment = 4 + sim_draw(sim, 60);
        /* A few come later: but not the first four, so that every pool has a node from the start. */
        member->absent = i >= 4 && sim_chance(sim, 150);
    }
}

struct sim *sim_new(uint64_t seed, const struct sim_options *options, struct sim_counts *counts)
{
    struct sim *sim = xcalloc(1, sizeof *sim);
    sim->seed = seed;
    sim->options = options;
    sim->counts = counts;
    sim->random.state = seed * 0x9e3779b97f4a7c15ULL + 1;
    sim->now = SIM_START;
    trace_start(&sim->trace, options->trace);
    draw_plan(sim);
    sim->layout = layout_new(sim);
    sim->ledger = ledger_new(sim);
    place_members(sim);
    if (options->world != NULL)
        fairness_plan(sim);
    if (sim->scale != NULL)
        scale_plan(sim);
    return sim;
}

static void start_all(struct sim *sim)
{
    trace_line(sim, "world", "starts", "seed %llu: %d nodes, settings %d", (unsigned long long)sim->seed,
        sim->nodes, sim->profile);
    link_start(sim, control_answer, control_news);
    agree_start(sim);
    for (int i = 0; i < sim->members_count; i++)
        if (!sim->members[i].absent)
            operator_writes(&sim->members[i]);
    for (int i = 0; i < sim->members_count; i++)
        if (!sim->members[i].absent)
            member_start(&sim->members[i]);
    control_watch_over(sim);
    clients_start(sim);
    faults_start(sim);
}

static bool drained(const struct sim *sim)
{
    return ledger_open(sim->ledger) == 0 && !clients_waiting(sim);
}

static void begin_last(struct sim *sim)
{
    sim->phase = PHASE_LAST;
    sim->phase_until = sim->now + (sim_chance(sim, 300) ? LAST_LONG : LAST_FOR);
    trace_line(sim, "world", "drained", "everything has ended; a while longer for what is late");
    if (sim->scale == NULL && sim_chance(sim, 500))
        for (int i = 0; i < sim->nodes; i++)
            if (sim->members[i].running)
                member_crash(&sim->members[i], true);
}

static bool loaded(const struct sim *sim)
{
    if (sim->scale != NULL)
        return !scale_loading(sim);
    return sim->steps >= sim->options->steps && sim->faults_done >= LEAST_FAULTS &&
           clients_submitted(sim) >= LEAST_MESSAGES;
}

/* Goes on to the next act when its time has come; false at the end of the last. */
static bool turn_page(struct sim *sim)
{
    if (sim->fairness != NULL)
        return !sim->failed && !fairness_over(sim);
    if (sim->options->throughput)
        return !sim->failed && scale_loading(sim);
    if (sim->phase == PHASE_LOAD && loaded(sim)) {
        sim->phase = PHASE_CALM;
        sim->phase_until = sim->now + CALM_AT_MOST;
        sim->calm_since = sim->now;
        faults_stop(sim);
    } else if (sim->phase == PHASE_CALM && drained(sim)) {
        begin_last(sim);
    } else if (sim->phase == PHASE_CALM &&
               (sim->now > sim->phase_until ||
                   (sim->scale == NULL && sim->steps > 50 * sim->options->steps))) {
        ledger_complain_open(sim->ledger);
    } else if (sim->phase == PHASE_LAST && sim->now > sim->phase_until) {
        return false;
    }
    return !sim->failed;
}

/* Acts out one event, unless its member is dead (dropped) or frozen (later). */
static void act(struct sim *sim, struct sim_event *event)
{
    struct member *member = event->member;
    if (member != NULL && (!member->running || (event->life != 0 && event->life != member->life))) {
        event_done(sim, event);
        return;
    }
    if (member != NULL && sim->now < member->frozen_until && !(member->hung && event->aside)) {
        scale_hinders(member);
        heap_put(&sim->heap, &event->at, member->frozen_until);
        return;
    }
    *(event->aside ? &sim->aside : &sim->steps) += 1;
    event->act(sim, event);
    if (sim->scale != NULL && !sim->options->throughput &&
        sim->steps >= sim->scale->scanned + SCALE_FULL_SCAN) {
        sim->scale->scanned = sim->steps;
        ledger_check_all(sim->ledger);
    }
    if (member != NULL && member->up)
        member_settle_tick(member);
    event_done(sim, event);
}

void sim_pass(struct sim *sim, usec_t time)
{
    usec_t until = sim->now + time;
    for (struct heap_node *node; (node = heap_pop(&sim->heap, until)) != NULL;) {
        sim->now = node->key > sim->now ? node->key : sim->now;
        act(sim, heap_item(node, struct sim_event, at));
    }
    sim->now = until;
}

bool sim_run(struct sim *sim)
{
    start_all(sim);
    while (turn_page(sim)) {
        struct heap_node *node = heap_pop(&sim->heap, INT64_MAX);
        if (node == NULL || (sim->phase == PHASE_LAST && node->key > sim->phase_until)) {
            if (node != NULL)
                event_done(sim, heap_item(node, struct sim_event, at));
            if (sim->phase != PHASE_LAST)
                ledger_complain_open(sim->ledger);
            break;
        }
        if (node->key > sim->now)
            sim->now = node->key;
        act(sim, heap_item(node, struct sim_event, at));
    }
    if (!sim->failed)
        ledger_check_end(sim->ledger);
    if (!sim->failed && sim->fairness != NULL)
        fairness_judge(sim);
    if (!sim->failed && sim->scale != NULL)
        scale_judge(sim);
    sim->counts->steps += sim->steps;
    sim->counts->aside += sim->aside;
    sim->counts->seeds++;
    ledger_count(sim->ledger, sim->counts);
    return !sim->failed;
}

void sim_free(struct sim **sim_at)
{
    struct sim *sim = *sim_at;
    *sim_at = NULL;
    for (int i = 0; i < sim->members_count; i++)
        member_free(&sim->members[i]);
    for (struct heap_node *node; (node = heap_pop(&sim->heap, INT64_MAX)) != NULL;)
        event_done(sim, heap_item(node, struct sim_event, at));
    heap_free(&sim->heap);
    for (struct sim_event *event; (event = sim->free_events) != NULL;) {
        sim->free_events = event->next_free;
        free(event);
    }
    clients_free(sim);
    orders_free(sim);
    fairness_free(sim);
    scale_free(sim);
    link_free(sim);
    agree_free(sim);
    turned_free(sim);
    wires_free(sim);
    disks_free(sim);
    if (sim->view != NULL)
        view_drop(&sim->view);
    view_drop(&sim->last_read.view);
    ledger_free(&sim->ledger);
    layout_free(&sim->layout);
    free(sim);
}
