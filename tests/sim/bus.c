/* bus - the modelled bus: loses, delays, doubles and reorders, and is cut between members
 *
 * What is sent is delivered to whichever process of the member runs then. A message to a name nobody has is
 * dropped, as the face says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "coordinator/route.h"
#include "node/node.h"
#include "proto/copy_wire.h"
#include "tests/sim/copies.h"
#include "tests/sim/ledger.h"
#include "tests/sim/scale.h"
#include "tests/sim/sim.h"

struct member *sim_member(struct sim *sim, const char *name)
{
    char *end;
    unsigned long number = strtoul(name[0] == '\0' ? name : name + 1, &end, 10);
    size_t index = (name[0] == 'n' ? 0 : (size_t)sim->nodes) + number - 1;
    bool known = number > 0 && *end == '\0' && index < (size_t)sim->members_count;
    return known && strcmp(sim->members[index].name, name) == 0 ? &sim->members[index] : NULL;
}

int sim_spool_number(const struct sim *sim, const char *name)
{
    const struct spool *spool = sim_spool(sim, name);
    return spool == NULL ? -1 : spool->number;
}

struct spool *sim_spool(const struct sim *sim, const char *name)
{
    return map_get_text(&sim->spool_names, name);
}

struct spool *sim_spool_new(struct member *home, const char *name)
{
    struct sim *sim = home->sim;
    struct spool *spool = xcalloc(1, sizeof *spool);
    snprintf(spool->name, sizeof spool->name, "%s", name);
    spool->home = home;
    spool->number = (int)sim->spool_count;
    map_set_text(&sim->spool_names, spool->name, spool);
    sim->spools = xrealloc(sim->spools, (sim->spool_count + 1) * sizeof(struct spool *));
    sim->spools[sim->spool_count++] = spool;
    return spool;
}

/* "COPY n3.0 epoch 2 entries 4 to 9", "COPIED n3.0 follows, 9 taken, durable 20000000007" */
static void describe_copy(const struct bus_msg *msg, char *out, size_t size)
{
    static const char *const verbs[] = {"?", "ASK", "OPEN", "STREAM", "ANEW"};
    struct copy_header header;
    struct copy_answer answer;
    struct error error;
    size_t at;
    if (msg->type == BUS_COPY && copy_header_read(msg->body, &header, &at, &error) == 0)
        snprintf(out, size, "COPY %s %s epoch %llu stream %llu, %u from %llu", msg->spool, verbs[header.verb],
            (unsigned long long)header.epoch, (unsigned long long)header.stream, header.count,
            (unsigned long long)header.first);
    else if (msg->type == BUS_COPIED && copy_answer_read(msg->body, &answer, &error) == 0)
        snprintf(out, size, "COPIED %s %s epoch %llu stream %llu, %llu taken, durable %llx", msg->spool,
            copy_state_name(answer.state), (unsigned long long)answer.epoch,
            (unsigned long long)answer.stream, (unsigned long long)answer.taken,
            (unsigned long long)answer.durable);
    else
        snprintf(out, size, "%s %s ?", bus_type_name(msg->type), msg->spool);
}

/* "INJECT m17 to n3", "MOVE m17.0 m17.2 hop 1 to n3 (n3.0)" */
static void describe(struct sim *sim, const struct bus_msg *msg, char *out, size_t size)
{
    static const char *const verdict[] = {"", "TAKEN", "REPEATED", "CONFLICT", "FULL", "REFUSED"};
    char name[32];
    out[0] = '\0';
    if (sim->trace.silent)
        return;
    if (msg->type == BUS_COPY || msg->type == BUS_COPIED) {
        describe_copy(msg, out, size);
        return;
    }
    int used =
        snprintf(out, size, "%s %s", bus_type_name(msg->type), ledger_name(sim->ledger, &msg->id, name));
    if (msg->type == BUS_INJECT)
        used += snprintf(out + used, size - (size_t)used, " #%llu", (unsigned long long)msg->to_incarnation);
    if (msg->type == BUS_INJECT_ANSWER)
        used += snprintf(out + used, size - (size_t)used, " %s", verdict[msg->verdict]);
    for (uint32_t i = 0; i < msg->item_count && used < (int)size - 40; i++)
        used += snprintf(out + used, size - (size_t)used, " .%u@%u%s%s", msg->items[i].index,
            msg->items[i].hop, msg->items[i].verdict != 0 ? " " : "", verdict[msg->items[i].verdict]);
}

static void arrive(struct sim *sim, struct sim_event *event)
{
    struct member *member = event->member;
    if (!member->up)
        return;
    char text[160];
    describe(sim, event->msg, text, sizeof text);
    trace_member(member, "bus <-", "%s from %s", text, event->msg->from);
    if (copies_bus(member, event->msg))
        return;
    if (member->node != NULL)
        node_bus(member->node, event->msg, member_now(member));
    else
        route_message(member->route, event->msg, member_now(member));
}

static usec_t draw_delay(struct member *from, struct member *to, const struct bus_msg *msg)
{
    struct sim *sim = from->sim;
    bool bad = sim->now < sim->lossy_until;
    usec_t usual = sim->phase == PHASE_LOAD ? sim->weather.bus_delay : sim->calm.bus_delay;
    usec_t delay = sim->scale != NULL ? scale_bus_takes(from, to, msg) : sim_between(sim, 50, usual);
    if (sim->phase == PHASE_LOAD && sim_chance(sim, bad ? 300 : sim->weather.bus_late))
        delay += sim_between(sim, USEC_MS, bad ? 20 * USEC_SEC : 2 * USEC_SEC);
    return delay;
}

static void put(struct member *to, struct bus_msg *msg, usec_t delay)
{
    struct sim_event *event = sim_after(to->sim, delay, arrive, to);
    event->aside = msg->type == BUS_COPY || msg->type == BUS_COPIED;
    event->msg = msg;
}

void bus_model_send(struct member *from, struct bus_msg *msg)
{
    struct sim *sim = from->sim;
    struct member *to = sim_member(sim, msg->to);
    char text[160];
    describe(sim, msg, text, sizeof text);
    trace_member(from, "bus ->", "%s to %s", text, msg->to);
    ledger_bus_leaves(sim->ledger, from, msg);
    bool bad = sim->now < sim->lossy_until, load = sim->phase == PHASE_LOAD;
    if (to == NULL || sim->now < sim->cut_until[from->index][to->index] ||
        (load && sim_chance(sim, bad ? 300 : sim->weather.bus_loss))) {
        trace_member(from, "bus x", "%s to %s is lost", bus_type_name(msg->type), msg->to);
        bus_msg_free(&msg);
        return;
    }
    if (load && sim_chance(sim, bad ? 200 : sim->weather.bus_twice))
        put(to, bus_msg_copy(msg), draw_delay(from, to, msg));
    if (load && sim_chance(sim, sim->weather.bus_ghost))
        put(to, bus_msg_copy(msg), sim_between(sim, USEC_MIN, 2 * USEC_HOUR));
    put(to, msg, draw_delay(from, to, msg));
}
