/* control - see control.h */
#include "tests/sim/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/join.h"
#include "cluster/leader.h"
#include "cluster/pulse.h"
#include "cluster/view_store.h"
#include "node/node.h"
#include "tests/sim/agree.h"
#include "tests/sim/copies.h"
#include "tests/sim/scale.h"
#include "tests/sim/store_link.h"
#include "tests/sim/turned.h"

enum { CORES = CORE_LEADER + 1 };
_Static_assert(TOPIC_LEADER + LEADER_TOPICS <= TOPIC_NODE, "topics have numbers of their own");
#define AWAKE_FOR (12 * USEC_SEC)
/* When everybody who should be there has been there for so long, without faults, the view must say so. */
#define SETTLE_WITHIN (60 * USEC_SEC)
#define TOLD_WITHIN (5 * USEC_SEC) /* by then all turns have been told */

struct core_port {
    struct control *control;
    int core;
};

struct control {
    struct member *member;
    struct core_port ports[CORES];
    struct join *join;
    struct leader *leader;
    struct view *view;
    uint64_t lease;
    bool joined, leaving;
    struct sim_event *tick;
};

usec_t store_now(const struct sim *sim)
{
    return (sim->asleep ? sim->asleep_since : sim->now) - sim->slept;
}

usec_t control_time(const struct member *member)
{
    return member_clock(member, store_now(member->sim));
}

static void settle(struct control *control);

/* ---- ports ---- */

static void port_request(void *context, uint64_t ref, const struct kv_request *request)
{
    const struct core_port *port = context;
    link_request(port->control->member, port->core, ref, request);
}

static void joined_now(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    member_joined(event->member, event->number);
}

static void port_joined(void *context, uint64_t incarnation)
{
    struct control *control = context;
    struct member *member = control->member;
    struct sim *sim = member->sim;
    trace_member(member, "joined", "as #%llu", (unsigned long long)incarnation);
    if (member->wrong_disk)
        sim_fail(sim, "register: %s gets its spool as #%llu with another disk", member->name,
            (unsigned long long)incarnation);
    control->joined = true;
    /* The log is opened. */
    usec_t takes = sim_between(sim, USEC_MS, sim_chance(sim, 100) ? 3 * USEC_SEC : 50 * USEC_MS);
    struct sim_event *event = sim_aside(sim, takes, joined_now, member);
    event->life = member->life;
    event->number = incarnation;
}

static void ended_now(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    member_ended(event->member);
}

static void port_ended(void *context, const char *why)
{
    struct member *member = ((struct control *)context)->member;
    trace_member(member, "ENDED", "%s", why);
    agree_ended(member, why);
    sim_aside(member->sim, 0, ended_now, member)->life = member->life;
}

static void set_home(struct sim *sim, struct sim_event *event)
{
    struct member *member = event->member;
    (void)sim;
    copies_set_aside(member);
    join_set_home(member->control->join, member->spool->name, member->disk->id, 0, 0, control_time(member));
    settle(member->control);
}

static void port_elsewhere(void *context, const struct spool_register *reg, const char *why)
{
    struct member *member = ((struct control *)context)->member;
    trace_member(member, "elsewhere", "at %s: %s", reg->node, why);
    if (!member->sim->takeover)
        sim_fail(member->sim, "register: %s is told that its spool is elsewhere: %s", member->name, why);
    sim_aside(member->sim, sim_between(member->sim, 0, 50 * USEC_MS), set_home, member)->life = member->life;
}

static void port_waiting(void *context, const char *what)
{
    trace_member(((struct control *)context)->member, "waits", "%s", what);
}

static void port_elected(void *context, bool head)
{
    trace_member(((struct control *)context)->member, "head", "%s", head ? "it is" : "no more");
}

static void port_notice(void *context, const char *what)
{
    trace_member(((struct control *)context)->member, "notice", "%s", what);
}

/* ---- what it says of itself ---- */

static void copy_sources(struct member_live *live, const struct member *member)
{
    size_t count = member->settings->node.source_count;
    live->source_count = count;
    live->sources = xcalloc(count + 1, sizeof *live->sources);
    for (size_t i = 0; i < count; i++) {
        const struct setting_source *source = &member->settings->node.sources[i];
        live->sources[i] = (struct view_source){.address = source->address,
            .helo = source->helo,
            .pools = source->pools,
            .pool_count = source->pool_count};
    }
}

static struct join *new_join(struct control *control)
{
    struct member *member = control->member;
    struct join_ports ports = {.context = control,
        .store = {.context = &control->ports[CORE_JOIN], .request = port_request},
        .joined = port_joined,
        .ended = port_ended,
        .elsewhere = sim_has_copies(member->sim) ? port_elsewhere : NULL,
        .waiting = port_waiting};
    struct member_live live = {.role = member_is_node(member) ? MEMBER_NODE : MEMBER_COORDINATOR,
        .wire = wire_ours,
        .process = member->process};
    snprintf(live.id, sizeof live.id, "%s", member->name);
    snprintf(live.endpoint, sizeof live.endpoint, "tcp://10.0.%d.%d:7101", member->index / 250,
        member->index % 250 + 1);
    operator_key(member, live.public_key);
    if (member_is_node(member)) {
        live.weight = 1;
        snprintf(live.disk, sizeof live.disk, "%s", member->wrong_disk ? "empty" : member->disk->id);
        snprintf(live.spool, sizeof live.spool, "%s", member->spool->name);
        copy_sources(&live, member);
    }
    struct join *join = join_new(SIM_CLUSTER, &live, &ports);
    free(live.sources);
    return join;
}

static struct leader *new_leader(struct control *control)
{
    struct leader_ports ports = {.context = control,
        .store = {.context = &control->ports[CORE_LEADER], .request = port_request},
        .elected = port_elected,
        .notice = port_notice};
    return leader_new(SIM_CLUSTER, control->member->name, &ports);
}

/* ---- a process ---- */

static void watch_all(struct control *control)
{
    char path[MEMBER_PATH_SIZE];
    member_path(path, SIM_CLUSTER, "spec", control->member->name);
    link_watch(control->member, TOPIC_SPEC, path);
    member_path(path, SIM_CLUSTER, "view/current", NULL);
    link_watch(control->member, TOPIC_VIEW, path);
    for (int i = 0; control->leader != NULL && i < LEADER_TOPICS; i++) {
        leader_watch(SIM_CLUSTER, (enum leader_topic)i, path);
        link_watch(control->member, TOPIC_LEADER + i, path);
    }
}

void control_start(struct member *member)
{
    struct control *control = xcalloc(1, sizeof *control);
    control_wake(member->sim);
    scale_hinders(member);
    member->control = control;
    member->process = random_next(&member->sim->random) | 1;
    member->wrong_disk = member_is_node(member) && !sim_has_copies(member->sim) &&
                         member->sim->phase == PHASE_LOAD && agree_has_register(member->sim, member) &&
                         sim_chance(member->sim, 30);
    if (member->wrong_disk)
        trace_member(member, "EMPTY DISK", "instead of its own");
    member->sim->counts->wrong_disks += member->wrong_disk;
    member->spec_missed = !agree_spec_there(member->sim, member);
    control->member = member;
    for (int i = 0; i < CORES; i++)
        control->ports[i] = (struct core_port){.control = control, .core = i};
    control->join = new_join(control);
    if (!member_is_node(member))
        control->leader = new_leader(control);
    watch_all(control);
    join_start(control->join, control_time(member));
    settle(control);
}

void control_end(struct member *member)
{
    struct control *control = member->control;
    control_wake(member->sim);
    member->control = NULL;
    link_process_ends(member);
    if (control == NULL)
        return;
    join_free(&control->join);
    leader_free(&control->leader);
    view_drop(&control->view);
    if (control->tick != NULL)
        control->tick->number = 0;
    free(control);
}

void control_leave(struct member *member)
{
    struct control *control = member->control;
    control_wake(member->sim);
    control->leaving = true;
    if (control->leader != NULL)
        leader_resign(control->leader, control_time(member));
    join_leave(control->join, control_time(member));
    settle(control);
}

bool control_left(const struct member *member)
{
    return join_gone(member->control->join);
}

bool control_joined(const struct member *member)
{
    return member->control != NULL && member->control->joined;
}

void control_ready(struct member *member)
{
    join_ready(member->control->join, control_time(member));
    settle(member->control);
}

struct view *control_view(const struct member *member)
{
    return member->control == NULL ? NULL : member->control->view;
}

bool control_is_head(const struct member *member)
{
    return member->control != NULL && member->control->leader != NULL &&
           leader_is_head(member->control->leader);
}

void control_set_balance(struct member *member, struct balance_plan *plan)
{
    leader_set_balance(member->control->leader, plan, control_time(member));
    settle(member->control);
}

static void tick(struct sim *sim, struct sim_event *event)
{
    struct control *control = event->member->control;
    if (event->number == 0 || control == NULL || control->tick != event)
        return;
    control->tick = NULL;
    if (sim->asleep)
        return;
    join_tick(control->join, control_time(event->member));
    if (control->leader != NULL)
        leader_tick(control->leader, control_time(event->member));
    settle(control);
}

/* After every call into one of the cores. */
static void settle(struct control *control)
{
    struct member *member = control->member;
    struct sim *sim = member->sim;
    uint64_t lease = control->leaving || !join_is_member(control->join) ? 0 : join_lease(control->join);
    if (control->leader != NULL && lease != control->lease)
        leader_set_lease(control->leader, lease, control_time(member));
    control->lease = lease;
    usec_t due = join_deadline(control->join);
    if (control->leader != NULL && leader_deadline(control->leader) < due)
        due = leader_deadline(control->leader);
    if (sim->asleep || due == USEC_NEVER) {
        if (control->tick != NULL)
            control->tick->number = 0;
        control->tick = NULL;
        return;
    }
    usec_t wait = due - control_time(member);
    wait = wait < 0 ? 0 : wait;
    if (control->tick == NULL) {
        control->tick = sim_aside(sim, wait, tick, member);
        control->tick->life = member->life;
        control->tick->number = 1;
    } else if (control->tick->at.key != sim->now + wait) {
        heap_put(&sim->heap, &control->tick->at, sim->now + wait);
    }
}

void control_answer(struct member *member, int core, uint64_t ref, const struct kv_result *result)
{
    struct control *control = member->control;
    if (control == NULL)
        return;
    if (core >= CORE_NODE) {
        if (member->up)
            copies_answer(member, core, ref, result);
        return;
    }
    if (core == CORE_JOIN)
        join_result(control->join, ref, result, control_time(member));
    else
        leader_result(control->leader, ref, result, control_time(member));
    settle(control);
}

/* What one process has read, the next one need not: the same bytes (one revision) are the same view. */
static struct view *read_view(
    struct sim *sim, const struct kv_pair *pair, uint64_t *hash_r, struct error *error)
{
    struct read_view *last = &sim->last_read;
    if (last->view == NULL || last->revision != pair->revision) {
        struct view *view = pair->deleted ? NULL : view_store_read(pair->value, pair->len, error);
        if (view == NULL)
            return NULL;
        view_drop(&last->view);
        *last = (struct read_view){view, pair->revision, agree_view_hash(pair->value, pair->len)};
    }
    *hash_r = last->hash;
    return view_hold(last->view);
}

static void learn_view(struct control *control, const struct kv_news *news)
{
    struct member *member = control->member;
    for (size_t i = 0; news->type != KV_AWAY && i < news->pair_count; i++) {
        struct error error = {""};
        uint64_t hash;
        struct view *view = read_view(member->sim, &news->pairs[i], &hash, &error);
        if (view == NULL) {
            sim_fail(member->sim, "view: %s can't read it: %s", member->name, error.text);
            return;
        }
        agree_view_known(member, view, hash);
        if (control->view == NULL || view->epoch > control->view->epoch) {
            view_drop(&control->view);
            control->view = view_hold(view);
            if (member->sim->scale != NULL)
                scale_knows(member, view->epoch);
            member_learns(member, view);
        }
        view_drop(&view);
    }
}

/* The watch's prefix is a whole key, but other keys may begin with it (n1, n10). */
static void spec_news(struct control *control, const struct kv_news *news)
{
    char path[MEMBER_PATH_SIZE];
    struct kv_news own = *news;
    struct kv_pair *pairs = xcalloc(news->pair_count + 1, sizeof *pairs);
    own.pairs = pairs;
    own.pair_count = 0;
    member_path(path, SIM_CLUSTER, "spec", control->member->name);
    for (size_t i = 0; i < news->pair_count; i++)
        if (strcmp(news->pairs[i].key, path) == 0)
            pairs[own.pair_count++] = news->pairs[i];
    if (own.type != KV_CHANGES || own.pair_count > 0)
        join_spec_news(control->join, &own, control_time(control->member));
    free(pairs);
}

void control_news(struct member *member, int topic, const struct kv_news *news)
{
    struct control *control = member->control;
    if (control == NULL)
        return;
    if (topic >= TOPIC_NODE) {
        if (member->up)
            copies_news(member, topic, news);
        return;
    }
    if (news->type == KV_AWAY)
        trace_member(member, "store", "is away, topic %d", topic);
    if (topic == TOPIC_SPEC)
        spec_news(control, news);
    else if (topic == TOPIC_VIEW)
        learn_view(control, news);
    else
        leader_news(control->leader, (enum leader_topic)(topic - TOPIC_LEADER), news, control_time(member));
    settle(control);
}

/* ---- its node hangs ---- */

static void no_pulse(struct sim *sim, struct sim_event *event)
{
    struct member *member = event->member;
    if (!member->hung || sim->now >= member->frozen_until)
        return;
    trace_member(member, "no pulse", "the lease is not kept");
    join_set_well(member->control->join, false, control_time(member));
    settle(member->control);
}

/* Who has not worked for that long is no member for the others. */
static void hang_ends(struct sim *sim, struct sim_event *event)
{
    struct member *member = event->member;
    struct control *control = member->control;
    usec_t hung = sim->now - (usec_t)event->number;
    if (hung > PULSE_PATIENCE + JOIN_LEASE + USEC_SEC && join_lease(control->join) != 0)
        sim_fail(sim, "verdict: %s hung for %lld s, and has its lease", member->name,
            (long long)(hung / USEC_SEC));
    trace_member(member, "goes on", "after %lld ms", (long long)(hung / USEC_MS));
    member->hung = false;
    join_set_well(control->join, true, control_time(member));
    if (control->view != NULL)
        member_learns(member, control->view);
    settle(control);
}

void control_hangs(struct member *member)
{
    struct sim *sim = member->sim;
    control_wake(sim);
    member->hung = true;
    sim_aside(sim, PULSE_PATIENCE + sim_between(sim, 0, USEC_SEC), no_pulse, member)->life = member->life;
    struct sim_event *event = sim_aside(sim, member->frozen_until - sim->now, hang_ends, member);
    event->life = member->life;
    event->number = (uint64_t)sim->now;
}

/* ---- sleep, and the oracle of settling ---- */

static void pulse(struct sim *sim, struct sim_event *event);

void control_wake(struct sim *sim)
{
    sim->awake_until = sim->now + AWAKE_FOR;
    if (!sim->asleep)
        return;
    sim->slept += sim->now - sim->asleep_since;
    sim->asleep = false;
    sim->unsettled_since = sim->now;
    link_wakes(sim);
    sim_aside(sim, USEC_SEC, pulse, NULL);
    for (int i = 0; i < sim->members_count; i++)
        if (sim->members[i].control != NULL)
            settle(sim->members[i].control);
}

static bool any_frozen(const struct sim *sim)
{
    for (int i = 0; i < sim->members_count; i++)
        if (sim->now < sim->members[i].frozen_until)
            return true;
    return false;
}

/* Everybody who belongs to the cluster runs, and is not about to stop. */
static bool all_there(const struct sim *sim)
{
    for (int i = 0; i < sim->members_count; i++)
        if (!sim->members[i].absent && (!sim->members[i].running || sim->members[i].stopping))
            return false;
    return true;
}

static void pulse(struct sim *sim, struct sim_event *event)
{
    (void)event;
    const char *wrong = agree_wrong_view(sim);
    if (sim->phase == PHASE_LOAD || wrong == NULL || !all_there(sim) || any_frozen(sim))
        sim->unsettled_since = sim->now;
    if (sim->now - sim->unsettled_since > SETTLE_WITHIN)
        sim_fail(sim, "settle: for %lld s nobody has hindered the members, but the view is wrong: %s",
            (long long)(SETTLE_WITHIN / USEC_SEC), wrong);
    if (wrong != NULL || sim->phase == PHASE_LOAD || !all_there(sim) || any_frozen(sim))
        sim->settled_since = sim->now;
    if (sim->now - sim->settled_since >= TOLD_WITHIN)
        turned_settled(sim);
    if (wrong == NULL && sim->now > sim->awake_until && link_quiet(sim) && !any_frozen(sim)) {
        trace_line(sim, "world", "sleeps", "between members and store");
        sim->asleep = true;
        sim->asleep_since = sim->now;
    } else {
        sim_aside(sim, USEC_SEC, pulse, NULL);
    }
}

void control_watch_over(struct sim *sim)
{
    sim->unsettled_since = sim->now;
    sim_aside(sim, USEC_SEC, pulse, NULL);
}
