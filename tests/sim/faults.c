/* faults - what goes wrong, when, and to whom
 *
 * Each seed draws the kinds it plays with, so that some runs see one kind often and others all of them. A
 * fault ends by itself after a while; faults_stop() ends all of them. */
#include <stdio.h>
#include <string.h>

#include "coordinator/route.h"
#include "node/node.h"
#include "tests/sim/agree.h"
#include "tests/sim/control.h"
#include "tests/sim/copies.h"
#include "tests/sim/coverage.h"
#include "tests/sim/layout.h"
#include "tests/sim/ledger.h"
#include "tests/sim/orders.h"
#include "tests/sim/sim.h"
#include "tests/sim/store_link.h"

const char *fault_name(enum fault_kind kind)
{
    static const char *const names[FAULT_KINDS] = {"crash", "freeze", "stop", "coordinator crash",
        "partition", "one-way partition", "bad bus", "slow disk", "full disk", "weight", "drain", "join",
        "leave", "dns", "receiver down", "restate", "pause", "act", "silent", "remove", "store away",
        "store's leader", "store cut", "bad way to store", "lease revoked", "store compacts", "table fails",
        "disk lost", "hang", "disk fails", "note damaged", "copies full", "clock set"};
    return names[kind];
}

const char *doing_name(enum doing doing)
{
    static const char *const names[DOING_KINDS] = {
        "nothing", "unsynced", "holding", "leaving", "arriving", "connected", "in transaction", "accepted"};
    return names[doing];
}

static struct member *draw_node(struct sim *sim)
{
    struct member *member = &sim->members[sim_draw(sim, (uint64_t)sim->nodes)];
    /* Better one that has something to lose. */
    for (int i = 0; i < 8 && (!member->up || ledger_doing(sim->ledger, member) == 1u << DOING_NOTHING); i++)
        member = &sim->members[sim_draw(sim, (uint64_t)sim->nodes)];
    return member->running ? member : NULL;
}

static usec_t draw_time(struct sim *sim)
{
    return sim_chance(sim, 700) ? sim_between(sim, 50 * USEC_MS, 5 * USEC_SEC)
                                : sim_between(sim, 5 * USEC_SEC, 70 * USEC_SEC);
}

/* Of a process that stands still: one to two minutes is more than any lease, and than the quarantine. */
static usec_t draw_freeze(struct sim *sim)
{
    return sim_chance(sim, 900) ? draw_time(sim) : sim_between(sim, USEC_SEC, 2 * USEC_MIN);
}

static void cut(struct sim *sim, bool one_way)
{
    usec_t until = sim->now + draw_time(sim);
    uint64_t a = sim_draw(sim, (uint64_t)sim->members_count), b = sim_draw(sim, (uint64_t)sim->members_count);
    bool from_all = sim_chance(sim, 500);
    trace_line(sim, "fault", "cut", "%s %s %s for %lld ms", sim->members[a].name, one_way ? "->" : "<->",
        from_all ? "everybody" : sim->members[b].name, (long long)(until - sim->now) / 1000);
    for (uint64_t i = 0; i < (uint64_t)sim->members_count; i++) {
        if (i == a || (!from_all && i != b))
            continue;
        sim->cut_until[a][i] = until;
        if (!one_way)
            sim->cut_until[i][a] = until;
    }
}

static void end_full(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    member_tell_room(event->member);
}

static void fill_disk(struct sim *sim, struct member *member)
{
    member->full_until = sim->now + draw_time(sim);
    trace_member(member, "FULL", "for %lld ms", (long long)(member->full_until - sim->now) / 1000);
    member_tell_room(member);
    sim_after(sim, member->full_until - sim->now, end_full, member)->life = member->life;
}

static void change_weight(struct sim *sim, struct member *member, bool drain)
{
    (void)sim;
    member->draining = member->leaving || (drain && !member->draining);
    member->weight = 1 + (uint32_t)sim_draw(sim, 5);
    trace_member(member, "WEIGHT", "%u%s", member->weight, member->draining ? ", draining" : "");
    if (!member->removed)
        operator_writes(member);
}

static void let_in(struct sim *sim, struct sim_event *event)
{
    struct member *member = &sim->members[event->number];
    member->removed = false;
    if (!member->absent)
        operator_writes(member);
}

/* Sometimes it is started before it is let in: then it must not be let in. */
static bool join(struct sim *sim)
{
    for (int i = 0; i < sim->nodes; i++) {
        struct member *member = &sim->members[i];
        if (!member->absent || member->running)
            continue;
        trace_member(member, "JOINS", "weight %u", member->weight);
        member->absent = member->draining = member->leaving = false;
        if (sim_chance(sim, 800))
            operator_writes(member);
        else
            sim_after(sim, sim_between(sim, 0, 5 * USEC_SEC), let_in, NULL)->number = (uint64_t)i;
        member_start(member);
        member->late = true;
        sim->counts->joined_late++;
        return true;
    }
    return false;
}

static bool all_know(const struct sim *sim, uint64_t epoch)
{
    for (int i = 0; i < sim->members_count; i++)
        if (!sim->members[i].absent && (!sim->members[i].up || sim->members[i].view_epoch < epoch))
            return false;
    return true;
}

/* An INTENT that is logged but not yet durable: the ledger can't know of it. */
static bool somebody_moves_to(const struct sim *sim, const char *spool)
{
    for (int i = 0; i < sim->members_count; i++) {
        const struct member *member = &sim->members[i];
        struct map_entry *at = NULL;
        if (!member->up || member->node == NULL)
            continue;
        for (struct held *held; (held = custody_next(node_custody(member->node), &at)) != NULL;)
            for (uint32_t j = 0; j < held->count; j++)
                if (held->deliveries[j]->state == CUSTODY_LEAVING &&
                    strcmp(held->deliveries[j]->peer, spool) == 0)
                    return true;
    }
    return false;
}

/* A node that is to leave goes once everybody knows that it drains and nothing is left of it or on its way.
 */
static void leave_when_empty(struct sim *sim, struct sim_event *event)
{
    struct member *member = &sim->members[event->number];
    if (!member->leaving || sim->phase != PHASE_LOAD)
        return;
    const struct view_node *seen = sim->view == NULL ? NULL : view_node(sim->view, member->name);
    if (event->other == 0 && seen != NULL && seen->draining)
        event->other = sim->view->epoch;
    if (event->other == 0 || !member->up || !all_know(sim, event->other) ||
        !ledger_spool_empty(sim->ledger, member) || somebody_moves_to(sim, member->spool->name) ||
        node_figures(member->node).sessions > 0 || copies_serve(member)) {
        struct sim_event *again = sim_after(sim, 500 * USEC_MS, leave_when_empty, NULL);
        again->number = event->number;
        again->other = event->other;
        return;
    }
    trace_member(member, "LEAVES", "its spool is empty");
    member->absent = true;
    member->leaving = false;
    if (sim_chance(sim, 500))
        member_crash(member, false);
    operator_removes(member); /* a process that still runs hears of it and ends */
}

static bool leave(struct sim *sim, struct member *member)
{
    if (member->index < 4 || member->leaving || member->stopping || member->removed)
        return false;
    member->leaving = true;
    member->draining = true;
    operator_writes(member);
    sim_after(sim, 500 * USEC_MS, leave_when_empty, NULL)->number = (uint64_t)member->index;
    return true;
}

/* Taken out of spec/ with all it holds: it ends, and is let in again some time later. */
static bool remove_member(struct sim *sim, struct member *member)
{
    if (member->leaving || member->removed || member->stopping)
        return false;
    trace_member(member, "REMOVED", "from spec/");
    member->removed = true;
    operator_removes(member);
    sim_after(sim, sim_between(sim, 100 * USEC_MS, 30 * USEC_SEC), let_in, NULL)->number =
        (uint64_t)member->index;
    return true;
}

static bool strike_store(struct sim *sim, enum fault_kind kind)
{
    control_wake(sim);
    switch (kind) {
    case FAULT_STORE_AWAY:
        link_away(sim, sim_chance(sim, 300) ? sim_between(sim, USEC_MIN, 3 * USEC_MIN) : draw_time(sim),
            sim_chance(sim, 500));
        break;
    case FAULT_STORE_LEADER:
        link_new_leader(sim);
        break;
    case FAULT_STORE_CUT:
        link_cut(&sim->members[sim_draw(sim, (uint64_t)sim->members_count)], draw_time(sim));
        break;
    case FAULT_STORE_BAD:
        link_bad(sim, draw_time(sim));
        break;
    case FAULT_STORE_REVOKE:
        link_revoke(sim);
        break;
    default:
        link_compact(sim);
        break;
    }
    return true;
}

static void break_receiver(struct sim *sim)
{
    struct site *site = &sim->layout->sites[sim_draw(sim, SIM_PROVIDERS)];
    struct host *host = &site->hosts[sim_draw(sim, (uint64_t)site->host_count)];
    bool hangs = sim_chance(sim, 500);
    *(hangs ? &host->hang_until : &host->refuse_until) = sim->now + draw_time(sim);
    trace_line(sim, "fault", "receiver", "%s %s", host->name, hangs ? "hangs" : "refuses connections");
}

static void break_dns(struct sim *sim)
{
    uint64_t domain = sim_draw(sim, LAYOUT_DOMAINS);
    sim->layout->domains[domain].broken_until = sim->now + draw_time(sim);
    trace_line(sim, "fault", "dns", "%s cannot be resolved", sim->layout->domains[domain].name);
}

static void restate(struct member *member)
{
    uint64_t seq = disk_untidy(member->disk);
    if (seq == 0)
        return;
    trace_member(member, "restate", "frame %llu, please", (unsigned long long)seq);
    node_restate(member->node, seq, member_now(member));
    member_settle_tick(member);
}

/* Logs are tidied all the time, as the spool's writer would ask; and just then nodes like to crash. */
static void tidy_all(struct sim *sim, struct sim_event *event)
{
    (void)event;
    if (sim->phase != PHASE_LOAD)
        return;
    for (int i = 0; i < sim->nodes; i++) {
        struct member *member = &sim->members[i];
        if (!member->up || sim->now < member->frozen_until)
            continue;
        restate(member);
        if (sim_chance(sim, 10) && (sim->faults_on & UINT64_C(1) << FAULT_CRASH) != 0)
            member_crash(member, true);
    }
    sim_after(sim, sim_between(sim, USEC_SEC, 20 * USEC_SEC), tidy_all, NULL);
}

static void crash_now(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    member_crash(event->member, true);
}

/* Was anything in the segment that only frames that are not synced yet say again? */
void faults_good_moment(struct member *member)
{
    struct sim *sim = member->sim;
    if (sim->phase == PHASE_LOAD && (sim->faults_on & UINT64_C(1) << FAULT_CRASH) != 0 &&
        sim_chance(sim, 100))
        sim_after(sim, 0, crash_now, member)->life = member->life;
}

static void strike_now(struct sim *sim, struct sim_event *event)
{
    enum fault_kind kind = (enum fault_kind)sim_draw(sim, FAULT_KINDS);
    for (int i = 0; i < 8 && (sim->faults_on >> kind & 1) == 0; i++)
        kind = (enum fault_kind)sim_draw(sim, FAULT_KINDS);
    if (sim->phase == PHASE_LOAD && (sim->faults_on >> kind & 1) != 0)
        faults_strike(sim, kind, event->member);
}

void faults_short_moment(struct member *member)
{
    struct sim *sim = member->sim;
    if (sim->phase == PHASE_LOAD && sim->faults_on != 0 && sim_chance(sim, 150))
        sim_after(sim, sim_chance(sim, 500) ? 0 : sim_between(sim, 0, 5 * USEC_MS), strike_now, member)
            ->life = member->life;
}

/* A machine is lost with its disks, and comes back with empty ones: where each spool has a copy elsewhere. */
static bool lose_disks(struct sim *sim, struct member *member)
{
    if (!sim->takeover || member->leaving || member->stopping || !copies_may_lose(member))
        return false;
    sim->counts->lost_disks++;
    member_crash(member, true);
    copies_lose(member);
    return true;
}

static bool strike_node(struct sim *sim, enum fault_kind kind, struct member *member)
{
    if (!member->up && kind != FAULT_CRASH && kind != FAULT_FREEZE)
        return false;
    switch (kind) {
    case FAULT_CRASH:
        member_crash(member, true);
        return true;
    case FAULT_FREEZE:
        control_wake(sim);
        member->frozen_until = sim->now + draw_freeze(sim);
        trace_member(member, "FREEZES", "for %lld ms", (long long)(member->frozen_until - sim->now) / 1000);
        return true;
    case FAULT_HANG:
        member->frozen_until = sim->now + draw_freeze(sim);
        trace_member(member, "HANGS", "for %lld ms", (long long)(member->frozen_until - sim->now) / 1000);
        control_hangs(member);
        return true;
    case FAULT_STOP:
        member_stop(member);
        return true;
    case FAULT_SLOW_DISK:
        member->disk->slow_until = sim->now + draw_time(sim);
        for (size_t i = 0; i < member->copy_count; i++)
            member->copies[i]->disk->slow_until = member->disk->slow_until;
        if (member->node != NULL)
            member_tell_room(member);
        trace_member(
            member, "SLOW DISK", "for %lld ms", (long long)(member->disk->slow_until - sim->now) / 1000);
        return true;
    case FAULT_DISK_FULL:
        fill_disk(sim, member);
        return true;
    case FAULT_WEIGHT:
    case FAULT_DRAIN:
        change_weight(sim, member, kind == FAULT_DRAIN);
        return true;
    case FAULT_LEAVE:
        return leave(sim, member);
    case FAULT_TABLE:
        return table_breaks(member);
    case FAULT_DISK_LOST:
        return lose_disks(sim, member);
    case FAULT_SYNC:
    case FAULT_NOTE:
    case FAULT_COPY_FULL:
    case FAULT_CLOCK:
        return trouble_strikes(sim, kind, member);
    default:
        restate(member);
        return true;
    }
}

static void heard_again(struct sim *sim, struct sim_event *event)
{
    if (event->member->up)
        route_set_silent(event->member->route, sim->members[event->number].name, false);
}

static bool silence(struct sim *sim, struct member *front, const struct member *node)
{
    if (!front->up || node == NULL)
        return false;
    usec_t time = draw_time(sim);
    trace_member(front, "SILENT", "it hears nothing of %s for %lld ms", node->name, (long long)time / 1000);
    route_set_silent(front->route, node->name, true);
    struct sim_event *event = sim_after(sim, time, heard_again, front);
    event->life = front->life;
    event->number = (uint64_t)node->index;
    return true;
}

/* Better the head than another. */
static struct member *draw_front(struct sim *sim)
{
    struct member *head = agree_head(sim);
    struct member *any = &sim->members[sim->nodes + (int)sim_draw(sim, SIM_COORDINATORS)];
    return head != NULL && sim_chance(sim, 500) ? head : any;
}

static bool strike(struct sim *sim, enum fault_kind kind, struct member *member)
{
    struct member *front = draw_front(sim);
    switch (kind) {
    case FAULT_FREEZE:
        if (sim_chance(sim, 800) || !front->running)
            return member != NULL && strike_node(sim, kind, member);
        control_wake(sim);
        front->frozen_until = sim->now + draw_freeze(sim);
        trace_member(front, "FREEZES", "for %lld ms", (long long)(front->frozen_until - sim->now) / 1000);
        return true;
    case FAULT_FRONT_CRASH:
        if (front->running)
            member_crash(front, true);
        return true;
    case FAULT_CUT:
    case FAULT_CUT_ONE_WAY:
        cut(sim, kind == FAULT_CUT_ONE_WAY);
        return true;
    case FAULT_LOSSY:
        sim->lossy_until = sim->now + draw_time(sim);
        trace_line(sim, "fault", "bad bus", "for %lld ms", (long long)(sim->lossy_until - sim->now) / 1000);
        return true;
    case FAULT_JOIN:
        return join(sim);
    case FAULT_PAUSE:
        orders_pause(sim);
        return true;
    case FAULT_ACT:
        orders_act(sim);
        return true;
    case FAULT_SILENT:
        return silence(sim, front, member);
    case FAULT_REMOVE:
        return remove_member(sim, sim_chance(sim, 800) && member != NULL ? member : front);
    case FAULT_STORE_AWAY:
    case FAULT_STORE_LEADER:
    case FAULT_STORE_CUT:
    case FAULT_STORE_BAD:
    case FAULT_STORE_REVOKE:
    case FAULT_STORE_COMPACT:
        return strike_store(sim, kind);
    case FAULT_DNS:
        break_dns(sim);
        return true;
    case FAULT_RECEIVER:
        break_receiver(sim);
        return true;
    default:
        return member != NULL && strike_node(sim, kind, member);
    }
}

static void next_fault(struct sim *sim, struct sim_event *event)
{
    (void)event;
    if (sim->phase != PHASE_LOAD)
        return;
    sim_after(sim, sim_between(sim, 10 * USEC_MS, sim->slow ? USEC_MIN : 3 * USEC_SEC), next_fault, NULL);
    enum fault_kind kind = (enum fault_kind)sim_draw(sim, FAULT_KINDS);
    for (int i = 0; sim->options->faults != 0 && i < 1000 && (sim->faults_on >> kind & 1) == 0; i++)
        kind = (enum fault_kind)sim_draw(sim, FAULT_KINDS);
    if ((sim->faults_on >> kind & 1) != 0)
        faults_strike(sim, kind, draw_node(sim));
}

/* Who is in its way is not one node alone. */
static bool strikes_all(enum fault_kind kind)
{
    static const uint64_t all =
        UINT64_C(1) << FAULT_FRONT_CRASH | UINT64_C(1) << FAULT_CUT | UINT64_C(1) << FAULT_CUT_ONE_WAY |
        UINT64_C(1) << FAULT_LOSSY | UINT64_C(1) << FAULT_JOIN | UINT64_C(1) << FAULT_DNS |
        UINT64_C(1) << FAULT_RECEIVER | UINT64_C(1) << FAULT_PAUSE | UINT64_C(1) << FAULT_ACT |
        UINT64_C(1) << FAULT_STORE_AWAY | UINT64_C(1) << FAULT_STORE_LEADER | UINT64_C(1) << FAULT_STORE_CUT |
        UINT64_C(1) << FAULT_STORE_BAD | UINT64_C(1) << FAULT_STORE_REVOKE |
        UINT64_C(1) << FAULT_STORE_COMPACT;
    return all >> kind & 1;
}

bool faults_strike(struct sim *sim, enum fault_kind kind, struct member *member)
{
    if (member != NULL && sim->now < member->frozen_until && kind != FAULT_CRASH)
        return false;
    uint32_t doing = member == NULL ? 1u << DOING_NOTHING : ledger_doing(sim->ledger, member);
    uint32_t states = strikes_all(kind) ? coverage_of_all(sim) : member == NULL ? 0 : coverage_states(member);
    if (!strike(sim, kind, member))
        return false;
    sim->faults_done++;
    coverage_count(sim->counts, kind, doing, states);
    return true;
}

void faults_start(struct sim *sim)
{
    if (sim->fairness != NULL || sim->scale != NULL)
        return;
    for (int i = 0; i < FAULT_KINDS; i++)
        if (sim_chance(sim, 600))
            sim->faults_on |= UINT64_C(1) << i;
    if (sim->steady)
        sim->faults_on &=
            ~(1u << FAULT_STOP | 1u << FAULT_DISK_FULL | 1u << FAULT_WEIGHT | 1u << FAULT_DRAIN |
                1u << FAULT_JOIN | 1u << FAULT_LEAVE | 1u << FAULT_SILENT | UINT64_C(1) << FAULT_SYNC);
    if (sim->faults_on == 0)
        sim->faults_on = UINT64_C(1) << FAULT_CRASH;
    if (!sim->steady)
        sim->faults_on |= 1u << sim_draw(sim, FAULT_JOIN); /* one that can always strike */
    if (sim->options->faults != 0)
        sim->faults_on = sim->options->faults;
    sim_after(sim, sim_between(sim, 100 * USEC_MS, 2 * USEC_SEC), next_fault, NULL);
    if (sim->slow)
        sim_after(sim, USEC_SEC, tidy_all, NULL);
}

void faults_stop(struct sim *sim)
{
    trace_line(sim, "world", "calm", "faults stop after %llu; now everything must end",
        (unsigned long long)sim->faults_done);
    for (int i = 0; i < sim->members_count; i++)
        memset(sim->cut_until[i], 0, (size_t)sim->members_count * sizeof sim->cut_until[i][0]);
    link_calm(sim);
    orders_end(sim);
    sim->lossy_until = 0;
    for (int i = 0; i < sim->members_count; i++) {
        struct member *member = &sim->members[i];
        member->draining = member->leaving = member->removed = false;
        if (!member->absent)
            operator_writes(member);
        member->full_until = member->copies_full_until = 0;
        for (size_t j = 0; j < member->copy_count; j++)
            member->copies[j]->disk->slow_until = 0;
        if (member->disk != NULL)
            member->disk->slow_until = 0;
        if (member->node != NULL && member->up) {
            member_tell_room(member);
            member_settle_tick(member);
        }
    }
    control_wake(sim);
}
