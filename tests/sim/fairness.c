/* fairness - see fairness.h */
#include "tests/sim/fairness.h"

#include "cluster/custody.h"
#include "node/node.h"
#include "tests/sim/fairness_world.h"

#define SOON (2 * USEC_SEC)

static void look(struct sim *sim, struct sim_event *event);

static void look_later(struct sim *sim, const struct message *message, usec_t delay, uint64_t seen)
{
    struct sim_event *event = sim_aside(sim, delay, look, NULL);
    event->number = message->number;
    event->other = seen;
}

/* A mirror that is silent holds it back, and while the store is away nobody can be severed. */
static bool is_held_back(const struct member *member, const struct truth *truth)
{
    const struct held *held = custody_find(node_custody(member->node), &truth->message->id);
    for (uint32_t i = 0; held != NULL && i < held->count; i++)
        if (held->deliveries[i]->index == truth->index)
            return !held->deliveries[i]->committed;
    return node_waits(member->node);
}

/* Some node has had it all that time, and could have acted: which; null = none. */
static const struct member *idle_holder(const struct sim *sim, const struct truth *truth)
{
    for (int i = 0; i < sim->nodes; i++) {
        const struct member *member = &sim->members[i];
        usec_t since = sim->now - SOON;
        if (truth_on(truth, member->disk)->state == CUSTODY_HELD && member->up && !member->table_bad &&
            member->frozen_until <= since && member->disk->slow_until <= since &&
            member->disk->busy_until <= since && member->stalled_at <= since &&
            sim->spools[member->disk->spool]->primary == member->disk &&
            member_clock(member, since) >= truth->message->mail->expires && !member->disk->failed &&
            !is_held_back(member, truth))
            return member;
    }
    return NULL;
}

/* Some message has started on it, whose end its node has not heard. */
static bool is_busy(const struct wire *wire)
{
    const struct attempt *at = wire->attempts; /* the newest first */
    if (!wire->node_open || wire->messages == 0)
        return false;
    if (wire->stuck || wire->mails < wire->messages || at == NULL || at->mail < wire->mails)
        return true;
    while (at != NULL && at->over && at->mail == wire->mails)
        at = at->next_on_wire;
    return at != NULL && !at->over;
}

/* A receiver may keep silent before it was told the recipient: then it is for the node to say. */
static bool in_transaction(const struct member *member, const struct truth *truth)
{
    const struct held *held = custody_find(node_custody(member->node), &truth->message->id);
    bool gave = false;
    for (uint32_t i = 0; held != NULL && i < held->count; i++)
        gave = gave || (held->deliveries[i]->index == truth->index && node_gave(held->deliveries[i]));
    if (!gave)
        return false;
    for (const struct wire *wire = member->sim->wires; wire != NULL; wire = wire->next)
        if (wire->member == member && is_busy(wire))
            return true;
    return false;
}

/* What identifies who holds it since when: another process, or another hop, is given its time as well. */
static uint64_t holding(const struct member *member, const struct truth *truth)
{
    return member->life << 32 | (uint64_t)truth_on(truth, member->disk)->hop << 8 | (uint64_t)member->index;
}

/* Seen twice, SOON apart, at the same node, with nothing in its way. */
static void look(struct sim *sim, struct sim_event *event)
{
    const struct message *message = ledger_number(sim->ledger, (unsigned)event->number);
    uint64_t seen = 0;
    bool open = false;
    for (uint32_t i = 0; i < message->mail->recipient_count; i++) {
        const struct truth *truth = &message->truths[i];
        open = open || truth->open;
        const struct member *member = idle_holder(sim, truth);
        if (!truth->open || member == NULL || in_transaction(member, truth))
            continue;
        seen = holding(member, truth);
        if (seen == event->other)
            sim_fail(sim, "age: %s still has %c%u.%u, %lld us after its time", member->name,
                message->own ? 'r' : 'm', message->number, truth->index,
                (long long)(member_now(member) - message->mail->expires));
    }
    if (open && !sim->failed)
        look_later(sim, message, SOON, seen);
}

void fairness_taken(struct sim *sim, struct message *message)
{
    usec_t left = message->mail->expires - sim->now;
    if (!message->watched)
        look_later(sim, message, left > 0 ? left + SOON : SOON, 0);
    message->watched = true;
}

void fairness_attempt(struct sim *sim, const struct wire *wire, struct truth *truth)
{
    const struct mail *mail = truth->message->mail;
    const struct member *member = wire->member;
    usec_t start = member_clock(member, wire->mail_since);
    char kind = truth->message->own ? 'r' : 'm';
    if (!wire->node_open)
        return;
    fairness_note_start(sim, wire, truth);
    if (start < mail->send_at)
        sim_fail(sim, "send-at: %s starts %c%u.%u %lld us before its time", member->name, kind,
            truth->message->number, truth->index, (long long)(mail->send_at - start));
    if (start >= mail->expires)
        sim_fail(sim, "age: %s starts %c%u.%u %lld us after its time", member->name, kind,
            truth->message->number, truth->index, (long long)(start - mail->expires));
}
