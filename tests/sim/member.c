/* member - the lives and deaths of a process: a node's ports, its start from the log, crashes, ticks */
#include "node/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "coordinator/route.h"
#include "tests/sim/agree.h"
#include "tests/sim/control.h"
#include "tests/sim/copies.h"
#include "tests/sim/fairness_world.h"
#include "tests/sim/ledger.h"
#include "tests/sim/orders.h"
#include "tests/sim/sim.h"
#include "tests/sim/turned.h"
#include "tests/sim/wire.h"

static void port_append(void *context, uint64_t seq, struct buffer *record, struct blob *body, bool base)
{
    struct member *member = context;
    struct frame frame = {.seq = seq, .base = base};
    frame.record = buffer_steal(record, &frame.len);
    if (body != NULL)
        frame.body = blob_hold(body);
    ledger_appended(member->sim->ledger, member->disk, &frame);
    disk_append(member->disk, &frame);
}

static void port_release(void *context, uint64_t seq)
{
    disk_release(((struct member *)context)->disk, seq);
}

static void port_read_body(void *context, uint64_t seq)
{
    disk_read_body(((struct member *)context)->disk, seq);
}

static void port_send(void *context, struct bus_msg *msg)
{
    bus_model_send(context, msg);
}

static void port_resolve(void *context, const char *domain)
{
    dns_ask(context, domain);
}

static void port_connect(
    void *context, uint32_t session, const char *source, const struct mx_address *address, uint16_t port)
{
    wire_connect(context, session, source, address, port);
}

static void port_output(void *context, uint32_t session)
{
    wire_output(context, session);
}

static void port_start_tls(void *context, uint32_t session, const char *host)
{
    wire_start_tls(context, session, host);
}

static void port_close(void *context, uint32_t session, bool gently)
{
    wire_close(context, session, gently);
}

/* The keeper writes events to a log of its own; what is in there survives a crash, and the frame's number
 * says up to where. */
static void port_event(void *context, uint64_t seq, const char *json, size_t len)
{
    struct member *member = context;
    ledger_event(member->sim->ledger, member->disk, seq, json, len);
    turned_event(member, json, len);
    if (seq > member->told_seq)
        member->told_seq = seq;
}

static void give_signed(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    node_signed(event->member->node, event->number, event->blob, event->blob == NULL ? "no key today" : NULL,
        member_now(event->member));
    member_settle_tick(event->member);
}

/* A header block that the receivers can check. */
static void port_sign(void *context, uint64_t ticket, const struct sign_job *job)
{
    struct member *member = context;
    struct sim *sim = member->sim;
    struct sim_event *event = sim_after(sim, sim_between(sim, 50, 5 * USEC_MS), give_signed, member);
    event->life = member->life;
    event->number = ticket;
    if (sim->phase == PHASE_LOAD && sim_chance(sim, sim->weather.unsigned_mail))
        return;
    event->blob = ledger_seal(job->keys, job->key_count, job->mail, job->body);
}

static void port_checkpoint(void *context)
{
    table_checkpoint(context);
}

static void port_keep_from(void *context, uint64_t seq)
{
    disk_keep_from(((struct member *)context)->disk, seq);
}

static void port_table_failed(void *context, const char *why)
{
    table_failed(context, why);
}

static void port_read_log(void *context, uint64_t after, size_t bytes)
{
    copies_read_log(context, after, bytes);
}

static bool port_whole(void *context, uint64_t after)
{
    return copies_whole(context, after);
}

static size_t port_living(void *context, uint64_t after, uint64_t *seqs_r, size_t max)
{
    return copies_living(context, after, seqs_r, max);
}

static void port_deposed(void *context, uint64_t epoch, const char *heir)
{
    struct member *member = context;
    trace_member(member, "DEPOSED", "by epoch %llu: %s", (unsigned long long)epoch, heir);
    member->deposed = true;
}

static void port_notice(void *context, const char *what)
{
    trace_member((struct member *)context, "notice", "%s", what);
}

static const struct node_ports ports = {
    .append = port_append,
    .release = port_release,
    .read_body = port_read_body,
    .send = port_send,
    .resolve = port_resolve,
    .connect = port_connect,
    .output = port_output,
    .start_tls = port_start_tls,
    .close = port_close,
    .event = port_event,
    .sign = port_sign,
    .checkpoint = port_checkpoint,
    .keep_from = port_keep_from,
    .table_failed = port_table_failed,
    .read_log = port_read_log,
    .whole = port_whole,
    .living = port_living,
    .deposed = port_deposed,
    .notice = port_notice,
};

static void replay(struct member *member, uint64_t from)
{
    for (size_t i = 0; i < member->disk->count; i++) {
        const struct frame *frame = &member->disk->frames[i];
        if (frame->seq < from) {
            node_log_has(member->node, frame->seq);
            continue;
        }
        struct error error = {""};
        if (node_replay(member->node, frame->seq, frame->record, frame->len, frame->base, &error) != 0)
            sim_fail(member->sim, "replay: %s does not understand frame %llu of its own log: %s",
                member->name, (unsigned long long)frame->seq, error.text);
        node_replay_rest(member->node, member->sim->now);
    }
}

/* A slow disk presses as well: answers to clients come later then. */
void member_tell_room(struct member *member)
{
    const struct sim *sim = member->sim;
    struct pressure_gauges gauges = {
        .disk_low = sim->now < member->full_until,
        .disk_failed = member->disk->failed,
        .memory = sim->now < member->disk->slow_until ? 95 : 50,
        .memory_max = 100,
    };
    node_set_gauges(member->node, &gauges);
    copies_room(member);
}

/* Joined, and its log is open: the node lives. */
static void node_serves(struct member *member)
{
    struct sim *sim = member->sim;
    struct node_ports with_context = ports;
    with_context.context = member;
    with_context.store = copies_home_store(member);
    if (sim->fairness != NULL)
        with_context.zones = fairness_zones();
    member->node = node_new(member->name, member->spool->name, member->served, member->settings,
        &with_context, random_next(&sim->random));
    node_set_told(member->node, member->told_seq);
    replay(member, table_open(member));
    if (member->disk->count > 0)
        node_log_ends(member->node, disk_last(member->disk));
    if (sim_has_copies(sim))
        copies_open_home(member);
    member->disk->reading = true;
    node_recovered(member->node, member_now(member));
    member->disk->reading = node_waits(member->node);
    member_tell_room(member);
    orders_node_serves(member);
}

void member_start(struct member *member)
{
    member->life++;
    member->running = true;
    member->up = member->stopping = member->deposed = false;
    member->served = 0;
    member->frozen_until = 0;
    member->hung = false;
    clock_start(member);
    member->view_epoch = 0;
    trace_member(member, "starts", "process %llu with %zu frames in its log",
        (unsigned long long)member->life, member->disk == NULL ? 0 : member->disk->count);
    control_start(member);
}

void member_joined(struct member *member, uint64_t incarnation)
{
    member->up = true;
    trace_member(member, "serves", "as #%llu", (unsigned long long)incarnation);
    if (member_is_node(member)) {
        agree_serves(member, incarnation);
        node_serves(member);
        copies_open(member);
        control_ready(member);
    } else {
        member->served = incarnation;
        coordinator_serves(member);
    }
    if (control_view(member) != NULL)
        member_learns(member, control_view(member));
    member_settle_tick(member);
}

void member_learns(struct member *member, struct view *view)
{
    if (!member->up || member->hung || view->epoch <= member->view_epoch)
        return;
    member->view_epoch = view->epoch;
    trace_member(member, "view", "learns of epoch %llu", (unsigned long long)view->epoch);
    if (member->node != NULL) {
        orders_node_learns(member, view);
        node_set_view(member->node, view, member_now(member));
        copies_view(member);
    } else
        route_set_view(member->route, view);
}

static void restart(struct sim *sim, struct sim_event *event)
{
    struct member *member = &sim->members[event->number];
    if (member->running || member->absent)
        return;
    sim->counts->restarts++;
    member_start(member);
}

static void restart_later(struct member *member)
{
    struct sim *sim = member->sim;
    usec_t delay = sim_chance(sim, 700) ? sim_between(sim, 10 * USEC_MS, 2 * USEC_SEC)
                                        : sim_between(sim, 2 * USEC_SEC, 60 * USEC_SEC);
    struct sim_event *event = sim_after(sim, delay, restart, NULL);
    event->number = (uint64_t)member->index;
}

static void process_ends(struct member *member)
{
    bool served = member->up;
    member->running = member->up = member->stopping = false;
    member->served = 0;
    control_end(member);
    if (member_is_node(member) && served) {
        wires_crash(member);
        node_free(&member->node);
        disk_crash(member->disk);
        copies_end(member);
        table_crash(member);
    } else if (served) {
        coordinator_gone(member);
    }
    if (member->tick != NULL)
        member->tick->number = 0; /* a tick of the dead: does nothing */
    member->tick = NULL;
}

void member_crash(struct member *member, bool again)
{
    bool served = member->up;
    trace_member(member, "CRASHES", "as #%llu", (unsigned long long)member->served);
    process_ends(member);
    if (member_is_node(member) && served)
        ledger_crashed(member->sim->ledger, member);
    if (again)
        restart_later(member);
}

/* Not let in, or taken out: whoever runs it starts it again, in the hope that it is let in by then. */
void member_ended(struct member *member)
{
    member_crash(member, !member->absent);
}

/* It has quiesced: once nothing is in flight and all is on the disk, the process ends. The ledger is not
 * told: nothing is excused by a stop in order. */
static void stop_when_idle(struct sim *sim, struct sim_event *event)
{
    struct member *member = event->member;
    bool idle = node_idle(member->node) && member->disk->synced == member->disk->count &&
                node_copies_done(member->node);
    bool told = event->number > 0;
    if (idle && !told)
        control_leave(member);
    if (!idle || (!control_left(member) && event->number < 40)) {
        struct sim_event *again = sim_after(sim, 200 * USEC_MS, stop_when_idle, member);
        again->life = member->life;
        again->number = event->number + (idle || told);
        return;
    }
    trace_member(member, "STOPS", "in order");
    process_ends(member);
    restart_later(member);
}

/* What is under way ends as it does; then the process begins anew, with another home. */
static void end_deposed(struct sim *sim, struct sim_event *event)
{
    struct member *member = event->member;
    bool idle = node_idle(member->node) && member->disk->synced == member->disk->count;
    if (!idle && event->number < 600) {
        struct sim_event *again = sim_after(sim, 200 * USEC_MS, end_deposed, member);
        again->life = member->life;
        again->number = event->number + 1;
        return;
    }
    member_crash(member, true);
}

void member_set_aside_soon(struct member *member)
{
    member->stopping = true;
    sim_after(member->sim, 0, end_deposed, member)->life = member->life;
}

void member_stop(struct member *member)
{
    if (member->stopping || member->leaving)
        return;
    trace_member(member, "quiesces", "as #%llu, to be stopped", (unsigned long long)member->served);
    member->stopping = true;
    node_quiesce(member->node, member_now(member));
    member_settle_tick(member);
    sim_after(member->sim, 0, stop_when_idle, member)->life = member->life;
}

static usec_t sooner(usec_t a, usec_t b)
{
    return a < b ? a : b;
}

/* In the world's time. */
static usec_t deadline(const struct member *member)
{
    usec_t due = member->node != NULL    ? sooner(node_deadline(member->node), copies_due(member))
                 : member->route != NULL ? route_deadline(member->route)
                                         : USEC_NEVER;
    return due == USEC_NEVER ? USEC_NEVER : member_clock_shows(member, due);
}

static void tick(struct sim *sim, struct sim_event *event)
{
    struct member *member = event->member;
    if (event->number == 0 || member->tick != event)
        return;
    member->tick = NULL;
    member->ticks_in_place = member->tick_at == sim->now ? member->ticks_in_place + 1 : 0;
    member->tick_at = sim->now;
    if (member->ticks_in_place > 1000)
        sim_fail(sim, "ticks: %s asks for a tick at once, a thousand times on end", member->name);
    if (member->node != NULL) {
        node_tick(member->node, member_now(member));
        copies_time(member);
    } else if (member->route != NULL)
        route_tick(member->route, member_now(member));
}

/* After every call into a core: when does it want to be called again? An old tick is moved, not added to. */
void member_settle_tick(struct member *member)
{
    struct sim *sim = member->sim;
    if (member->up && member->node != NULL)
        copies_settle(member);
    usec_t due = deadline(member);
    if (member->up && member->node != NULL && !sim->options->throughput) /* queues are long there */
        table_look(member);
    if (due == USEC_NEVER) {
        if (member->tick != NULL)
            heap_put(&sim->heap, &member->tick->at, INT64_MAX);
        return;
    }
    due = due < sim->now ? sim->now : due;
    if (member->tick == NULL) {
        member->tick = sim_after(sim, due - sim->now, tick, member);
        member->tick->number = 1;
    } else if (member->tick->at.key != due) {
        heap_put(&sim->heap, &member->tick->at, due);
    }
}

void member_free(struct member *member)
{
    if (member->running)
        trace_member(member, "stops", "the run is over");
    member->running = member->up = false;
    control_end(member);
    if (member->node != NULL)
        node_free(&member->node);
    if (member->route != NULL)
        route_free(&member->route);
    copies_free_all(member);
    table_free(member);
    free(member->sessions);
    member->sessions = NULL;
}
