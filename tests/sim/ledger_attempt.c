/* ledger_attempt - see ledger.h: connections, attempts, what receivers took, what goes over the bus */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/hash.h"
#include "node/node.h"
#include "proto/copy_wire.h"
#include "tests/sim/agree.h"
#include "tests/sim/copies.h"
#include "tests/sim/fairness.h"
#include "tests/sim/ledger.h"
#include "tests/sim/orders.h"

/* P6: a lane's connections and pace, as the node's own calls show them. */
void ledger_wire_opens(struct ledger *ledger, struct wire *wire)
{
    struct member *member = wire->member;
    const struct setting_provider *limits = sim_limits(member->settings, wire->provider);
    struct lane_count *lane = &member->lanes[wire->source][wire->provider];
    if (++lane->open > limits->connections)
        sim_fail(ledger_sim(ledger), "P6: %s has %u connections from source %d to %s, the limit is %u",
            member->name, lane->open, wire->source, ledger_sim(ledger)->layout->sites[wire->host->site].name,
            limits->connections);
}

void ledger_message_starts(struct ledger *ledger, struct wire *wire)
{
    struct sim *sim = ledger_sim(ledger);
    struct member *member = wire->member;
    const struct setting_provider *limits = sim_limits(member->settings, wire->provider);
    struct lane_count *lane = &member->lanes[wire->source][wire->provider];
    const char *site = sim->layout->sites[wire->host->site].name;
    wire->messages++;
    if (limits->messages_per_connection > 0 && wire->messages > limits->messages_per_connection)
        sim_fail(sim, "P6: %s sends message %u on one connection to %s, the limit is %u", member->name,
            wire->messages, site, limits->messages_per_connection);
    usec_t apart = limits->rate.count == 0 ? 0 : limits->rate.per / limits->rate.count;
    usec_t since = member_clock(member, wire->output_since) - member_clock(member, lane->last_start);
    if (lane->last_start > 0 && since < apart)
        sim_fail(sim, "P6: %s starts messages from source %d to %s %lld us apart, the rate says %lld",
            member->name, wire->source, site, (long long)(wire->output_since - lane->last_start),
            (long long)apart);
    lane->last_start = wire->output_since;
}

/* The connection is gone for the node: what was not answered is in doubt from now on. */
void ledger_wire_gone(struct ledger *ledger, struct wire *wire)
{
    (void)ledger;
    for (struct attempt *attempt = wire->attempts; attempt != NULL; attempt = attempt->next_on_wire)
        if (!attempt->over)
            attempt->over = attempt->excused = true;
}

void ledger_node_hears(struct ledger *ledger, struct wire *wire)
{
    (void)ledger;
    for (struct attempt *attempt = wire->attempts; attempt != NULL; attempt = attempt->next_on_wire)
        if (attempt->reply_end > 0 && attempt->reply_end <= wire->to_node_done)
            attempt->over = true;
}

/* The heir knew that it might be taken, and said so. */
static bool was_in_doubt(const struct sim *sim, const struct attempt *attempt)
{
    return attempt_is_deposed(sim, attempt) && attempt->truth->doubts > 0;
}

/* P4: only the durable holder attempts it, nobody else is at it, and it has not ended. */
static void check_attempt(struct sim *sim, const struct truth *truth, const struct wire *wire)
{
    char text[300];
    unsigned number = truth->message->number;
    const struct member *member = wire->member;
    const struct standing *own = truth_on(truth, member->disk);
    if (sim->spools[member->disk->spool]->primary != member->disk)
        return; /* it may not end what it begins: ledger_end_leaves */
    bool came_back = own->state == CUSTODY_LEAVING && own->peer >= 0 &&
                     truth_in(sim, truth, own->peer)->state == CUSTODY_REFUSED &&
                     truth_in(sim, truth, own->peer)->hop >= own->intent;
    oracle_standings(sim, truth, text, sizeof text);
    size_t at = 0;
    int spool;
    for (const struct standing *standing; (standing = truth_next(sim, truth, &at, &spool)) != NULL;)
        if (standing->state == CUSTODY_DONE)
            sim_fail(
                sim, "P4: %s attempts m%u.%u, which has ended: %s", member->name, number, truth->index, text);
    if (own->state != CUSTODY_HELD && !came_back)
        sim_fail(sim, "P4: %s attempts m%u.%u, which its disk does not say it holds: %s", member->name,
            number, truth->index, text);
    oracle_both(sim, member, truth, 0, BOTH_ATTEMPT);
    for (const struct attempt *other = truth->attempts; other != NULL; other = other->next) {
        if (!other->over && !attempt_is_deposed(sim, other))
            sim_fail(sim, "P4: %s attempts m%u.%u while %s (session %u) is still at it", member->name, number,
                truth->index, other->wire->member->name, other->wire->session);
        else if (other->accepted && !other->excused && !was_in_doubt(sim, other))
            sim_fail(sim, "P3: %s attempts m%u.%u, although %s knows that a receiver took it", member->name,
                number, truth->index, other->wire->member->name);
    }
}

struct attempt *ledger_attempt(struct ledger *ledger, struct wire *wire, unsigned number, unsigned index)
{
    struct sim *sim = ledger_sim(ledger);
    struct message *message = ledger_number(ledger, number);
    if (message == NULL || index >= message->mail->recipient_count) {
        sim_fail(
            sim, "bytes: %s names a recipient m%u-%u that nobody has", wire->member->name, number, index);
        return NULL;
    }
    struct truth *truth = &message->truths[index];
    trace_line(sim, wire->host->name, "RCPT", "m%u.%u from %s session %u", number, index, wire->member->name,
        wire->session);
    if (wire->node_open)
        check_attempt(sim, truth, wire);
    orders_attempt(sim, wire, truth);
    fairness_attempt(sim, wire, truth);
    struct attempt *attempt = xcalloc(1, sizeof *attempt);
    attempt->truth = truth;
    attempt->wire = wire;
    attempt->mail = wire->mails;
    attempt->disk = wire->member->disk;
    attempt->over = attempt->excused = !wire->node_open;
    attempt->next = truth->attempts;
    truth->attempts = attempt;
    attempt->next_on_wire = wire->attempts;
    wire->attempts = attempt;
    return attempt;
}

void ledger_attempt_answered(struct ledger *ledger, struct attempt *attempt, int code)
{
    trace_line(ledger_sim(ledger), attempt->wire->host->name, "answers", "m%u.%u: %d",
        attempt->truth->message->number, attempt->truth->index, code);
    attempt->code = code;
    if (code != 0)
        attempt->reply_end = attempt->wire->to_node_sent;
    else if (!attempt->accepted)
        attempt->over = true; /* taken back by the node: RSET, EHLO */
}

struct blob *ledger_seal(
    const struct setting_dkim *const *keys, size_t count, const struct mail *mail, const struct blob *body)
{
    struct buffer out = {0};
    size_t len;
    char id[ID_TEXT_SIZE];
    for (size_t i = 0; i < count; i++)
        buffer_printf(&out, "DKIM-Signature: d=%s; s=%s; m=%s; b=%llx\r\n", keys[i]->domain,
            keys[i]->selector, id_format(&mail->id, id),
            (unsigned long long)hash64(0, body->bytes, body->len));
    char *bytes = buffer_steal(&out, &len);
    return blob_take(bytes, len);
}

/* Before the client's message there are the signatures that its tenant's keys make, and nothing else. */
static void check_seal(struct sim *sim, const struct attempt *attempt, const char *head, size_t len)
{
    const struct message *message = attempt->truth->message;
    const struct setting_dkim *keys[SETTINGS_DKIM_MOST];
    size_t count =
        settings_dkim_for(attempt->wire->member->settings, message->mail->tenant, "sender.test", keys);
    struct blob *seal = ledger_seal(keys, count, message->mail, message->body);
    if (len != seal->len || memcmp(head, seal->bytes, len) != 0)
        sim_fail(sim, "signing: %s gives m%u to %s with `%.*s` before it, not `%s`",
            attempt->wire->member->name, message->number, attempt->wire->host->name,
            len > 100 ? 100 : (int)len, head, seal->bytes);
    sim->counts->sealed += count > 0;
    blob_drop(&seal);
}

/* The body must end as the client's did; what stands before it, our node has put there. */
static void check_body(struct sim *sim, const struct attempt *attempt, const char *body, size_t len)
{
    const struct message *message = attempt->truth->message;
    const struct blob *sent = message->body;
    if (len < sent->len || memcmp(body + len - sent->len, sent->bytes, sent->len) != 0)
        sim_fail(sim,
            "bytes: %s gives m%u to %s, but the body is not what the client handed in (%zu bytes, not %zu)",
            attempt->wire->member->name, message->number, attempt->wire->host->name, len, sent->len);
    else
        check_seal(sim, attempt, body, len - sent->len);
}

static struct lane_count *lane_of(const struct attempt *attempt)
{
    return &attempt->wire->member->lanes[attempt->wire->source][attempt->wire->provider];
}

/* How many messages of a lane would be sent a second time if its node crashed now. */
static uint32_t doubtful_messages(const struct lane_count *lane)
{
    uint32_t count = 0;
    for (const struct attempt *at = lane->doubtful; at != NULL; at = at->next_doubtful) {
        const struct attempt *other = lane->doubtful;
        while (other != at && (other->wire != at->wire || other->mail != at->mail))
            other = other->next_doubtful;
        count += other == at;
    }
    return count;
}

/* Crash: what a lane would double is bounded by its connections. */
static void note_doubtful(struct sim *sim, struct attempt *attempt)
{
    struct member *member = attempt->wire->member;
    struct lane_count *lane = lane_of(attempt);
    if (attempt->settled || !member->up || attempt->wire->life != member->life)
        return;
    attempt->next_doubtful = lane->doubtful;
    lane->doubtful = attempt;
    uint32_t count = doubtful_messages(lane);
    uint32_t limit = sim_limits(member->settings, attempt->wire->provider)->connections;
    if (count > limit)
        sim_fail(sim,
            "crash: if %s crashed now, %u messages from source %d to %s would be doubled, its limit is %u",
            member->name, count, attempt->wire->source, sim->layout->sites[attempt->wire->host->site].name,
            limit);
}

void ledger_outcome_durable(struct ledger *ledger, struct member *member, struct truth *truth)
{
    (void)ledger;
    for (struct attempt *attempt = truth->attempts; attempt != NULL; attempt = attempt->next) {
        if (attempt->settled || attempt->wire->member != member)
            continue;
        attempt->settled = true;
        attempt->settled_seq = member->disk->synced_seq;
        struct attempt **at = &lane_of(attempt)->doubtful;
        while (*at != NULL && *at != attempt)
            at = &(*at)->next_doubtful;
        if (*at != NULL)
            *at = attempt->next_doubtful;
    }
}

/* PROTOCOL guard 9: no end leaves that does not stand in the log, made in the epoch of today, of this process; and in
 * the second copy's, if the register names one. */
void ledger_end_leaves(struct ledger *ledger, struct attempt *attempt)
{
    struct sim *sim = ledger_sim(ledger);
    const struct truth *truth = attempt->truth;
    const struct member *member = attempt->wire->member;
    const struct standing *own = truth_on(truth, member->disk);
    uint64_t process = node_attempts(member->node), epoch = custody_epoch(node_custody(member->node));
    if (process == 0)
        return;
    if (own->attempt != process || copy_epoch_of(own->attempt_seq) != epoch)
        sim_fail(sim, "INTENT: %s ends m%u.%u in epoch %llu, but its disk says %s %s, epoch %llu",
            member->name, truth->message->number, truth->index, (unsigned long long)epoch,
            custody_state_name((enum custody_state)own->state),
            own->attempt == 0         ? "and no attempt"
            : own->attempt == process ? "and its attempt"
                                      : "and another process's attempt",
            (unsigned long long)copy_epoch_of(own->attempt_seq));
    oracle_both(sim, member, truth, 0, BOTH_END);
    const struct standing *there = truth_in(sim, truth, member->disk->spool);
    if (attempt_is_deposed(sim, attempt) && there->attempt == 0 && there->state == CUSTODY_HELD &&
        truth->doubts == 0)
        sim_fail(sim, "P4: %s, no longer primary, ends m%u.%u, and its heir does not know that it may",
            member->name, truth->message->number, truth->index);
    attempt->logged = true;
    sim->counts->ends_logged++;
}

void ledger_accepted(struct ledger *ledger, struct attempt *attempt, const char *body, size_t len)
{
    struct sim *sim = ledger_sim(ledger);
    struct truth *truth = attempt->truth;
    trace_line(sim, attempt->wire->host->name, "TAKES", "m%u.%u from %s session %u", truth->message->number,
        truth->index, attempt->wire->member->name, attempt->wire->session);
    check_body(sim, attempt, body, len);
    for (const struct attempt *other = truth->attempts; other != NULL; other = other->next)
        if (other != attempt && other->accepted && !other->excused && !was_in_doubt(sim, other) &&
            !was_in_doubt(sim, attempt))
            sim_fail(sim, "P3: m%u.%u was taken twice, and the first time was not in doubt (%s, then %s)",
                truth->message->number, truth->index, other->wire->member->name, attempt->wire->member->name);
    for (const struct attempt *other = truth->attempts; other != NULL; other = other->next)
        if (other != attempt && other->accepted && other->crashed && truth->doubts == 0)
            sim_fail(sim,
                "P3: m%u.%u was taken twice, and nobody was told that the first time was in doubt (%s, %s)",
                truth->message->number, truth->index, other->wire->member->name, attempt->wire->member->name);
    attempt->accepted = true;
    truth->accepts++;
    note_doubtful(sim, attempt);
}

/* Guards 9 and 10: who reads the log must find whatever may have been delivered. */
static void note_crashed(struct sim *sim, const struct member *member, struct attempt *attempt)
{
    const struct truth *truth = attempt->truth;
    const struct standing *own = truth_on(truth, member->disk);
    if (!attempt->logged || attempt->settled || attempt->crashed || attempt->wire->life != member->life)
        return;
    attempt->crashed = true;
    if (own->state == CUSTODY_HELD && own->attempt == 0 && !attempt_is_deposed(sim, attempt))
        sim_fail(sim, "INTENT: %s died when m%u.%u had been ended and its log says that nobody is at it",
            member->name, truth->message->number, truth->index);
}

/* A process has died: what receivers took from it and its disk does not know is in doubt. */
void ledger_crashed(struct ledger *ledger, struct member *member)
{
    size_t at = 0;
    uint32_t index = 0;
    for (int i = 0; i < SIM_SOURCES; i++)
        for (int j = 0; j < SIM_PROVIDERS; j++)
            member->lanes[i][j].doubtful = NULL;
    for (struct truth *truth; (truth = ledger_next(ledger, &at, &index)) != NULL;) {
        if (truth_on(truth, member->disk)->state == CUSTODY_DONE)
            continue;
        for (struct attempt *attempt = truth->attempts; attempt != NULL; attempt = attempt->next)
            if (attempt->wire->member == member) {
                note_crashed(ledger_sim(ledger), member, attempt);
                attempt->over = attempt->excused = true;
            }
    }
}

static void check_move(struct sim *sim, const struct member *member, const struct bus_msg *msg)
{
    const struct message *message = ledger_find(sim->ledger, &msg->id);
    for (uint32_t i = 0; message != NULL && i < msg->item_count; i++) {
        const struct bus_item *item = &msg->items[i];
        const struct standing *at =
            truth_on(&message->truths[item->index], copies_disk(member, msg->from_spool));
        if (at->state != CUSTODY_LEAVING || at->intent != item->hop)
            sim_fail(sim, "INTENT: %s asks a MOVE of m%u.%u at hop %u, but its disk says %s@%u", member->name,
                message->number, item->index, item->hop, custody_state_name((enum custody_state)at->state),
                at->hop);
        if (copies_disk(member, msg->from_spool) == member->disk)
            oracle_both(sim, member, &message->truths[item->index], at->hop, BOTH_MOVE);
    }
}

/* A spool answers a MOVE: durable, taken or refused. */
static void check_move_answer(struct sim *sim, const struct member *member, const struct bus_msg *msg)
{
    const struct message *message = ledger_find(sim->ledger, &msg->id);
    for (uint32_t i = 0; message != NULL && i < msg->item_count; i++) {
        const struct bus_item *item = &msg->items[i];
        const struct standing *at = truth_on(&message->truths[item->index], copies_disk(member, msg->spool));
        bool refused = item->verdict != BUS_TAKEN;
        if (at->state == CUSTODY_NONE || at->hop < item->hop ||
            (refused && at->hop == item->hop && at->state != CUSTODY_REFUSED))
            sim_fail(sim, "P1: %s %s m%u.%u at hop %u, but its disk says %s@%u", member->name,
                refused ? "refuses" : "answers that it has", message->number, item->index, item->hop,
                custody_state_name((enum custody_state)at->state), at->hop);
        bool own_heir = strcmp(msg->to, member->name) == 0; /* from one copy in this machine to one */
        if (!refused && !own_heir && copies_disk(member, msg->spool) == member->disk)
            oracle_both(sim, member, &message->truths[item->index], item->hop, BOTH_ANSWER);
    }
}

/* Only the process in the spool's register takes anything for it, and no mail meant for another one. */
static void check_taker(struct member *member, const struct bus_msg *msg)
{
    bool heir = copies_disk(member, msg->spool) != member->disk;
    bool inject = msg->type == BUS_INJECT_ANSWER && msg->verdict == BUS_TAKEN;
    bool move = false;
    for (uint32_t i = 0; msg->type == BUS_MOVE_ANSWER && i < msg->item_count; i++)
        move = move || msg->items[i].verdict == BUS_TAKEN;
    if (heir && inject)
        sim_fail(member->sim, "P2: the heir %s takes an INJECT for %s", member->name, msg->spool);
    if (!heir && (inject || move))
        agree_takes(member, inject ? "an INJECT" : "a MOVE");
    member->sim->counts->late_mail += inject && member->late;
    if (!heir && inject && msg->to_incarnation != member->served)
        sim_fail(member->sim, "register: #%llu of %s takes an INJECT for #%llu",
            (unsigned long long)member->served, member->name, (unsigned long long)msg->to_incarnation);
}

void ledger_bus_leaves(struct ledger *ledger, struct member *member, const struct bus_msg *msg)
{
    struct sim *sim = ledger_sim(ledger);
    const struct message *message = ledger_find(ledger, &msg->id);
    check_taker(member, msg);
    if (bus_is_move(msg))
        check_move(sim, member, msg);
    else if (msg->type == BUS_MOVE_ANSWER)
        check_move_answer(sim, member, msg);
    else if (msg->type == BUS_INJECT_ANSWER && message != NULL &&
             copies_disk(member, msg->spool) != member->disk)
        oracle_heir_answer(sim, member, message, msg);
    else if (msg->type == BUS_INJECT_ANSWER && message != NULL &&
             (msg->verdict == BUS_TAKEN || msg->verdict == BUS_REPEATED))
        oracle_durable_answer(sim, member, message, msg->verdict == BUS_REPEATED);
}

static uint32_t doing_truth(const struct truth *truth, const struct member *member)
{
    uint32_t doing = 0;
    const struct standing *own = truth_on(truth, member->disk);
    if (own->state == CUSTODY_HELD)
        doing |= 1u << DOING_HOLDING;
    if (own->state == CUSTODY_LEAVING)
        doing |= 1u << DOING_LEAVING;
    size_t at = 0;
    int spool;
    for (const struct standing *standing; (standing = truth_next(member->sim, truth, &at, &spool)) != NULL;)
        if (standing->state == CUSTODY_LEAVING && standing->peer == member->disk->spool)
            doing |= 1u << DOING_ARRIVING;
    for (const struct attempt *attempt = truth->attempts; attempt != NULL; attempt = attempt->next) {
        if (attempt->wire->member != member)
            continue;
        if (!attempt->over)
            doing |= 1u << DOING_TRANSACTION;
        if (attempt->accepted && !attempt->excused && own->state != CUSTODY_DONE)
            doing |= 1u << DOING_ACCEPTED;
    }
    return doing;
}

uint32_t ledger_doing(const struct ledger *ledger, const struct member *member)
{
    uint32_t doing = member->disk->synced < member->disk->count ? 1u << DOING_UNSYNCED : 0;
    size_t at = 0;
    uint32_t index = 0;
    for (const struct truth *truth; (truth = ledger_next(ledger, &at, &index)) != NULL;)
        doing |= doing_truth(truth, member);
    for (size_t i = 0; i < member->session_count; i++)
        if (member->sessions[i] != NULL)
            doing |= 1u << DOING_CONNECT;
    return doing == 0 ? 1u << DOING_NOTHING : doing;
}
