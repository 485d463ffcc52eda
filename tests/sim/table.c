/* table - the modelled table of what is at rest on one node (node/park_table.h)
 *
 * It outlives its processes. A crash, or an end in order, keeps all that a flush has covered, and of the
 * commits after it a random number of the oldest. Sometimes it is gone or damaged when a process starts: then
 * the node reads all of its log. It may also fail while a process runs: then an operator starts that one
 * again before long. A table that is sound must be accepted. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/node.h"
#include "tests/park_memory.h"
#include "tests/sim/ledger.h"
#include "tests/sim/sim.h"

#define LOST_PER_MILLE 60
#define LOOK_EVERY 16                 /* steps */
#define LONGEST_RETRY (20 * USEC_MIN) /* then nothing may have to wake it before it expires */
#define ROOM_OVER 160 /* a portion of messages to eight each, and what comes back from sessions */

static uint64_t log_end(const struct member *member)
{
    return disk_last(member->disk);
}

static int open_once(struct member *member, struct park_start *start, struct error *error)
{
    struct node_table table = {.table = park_memory_table(member->table),
        .disk = member->disk->id,
        .log_end = log_end(member),
        .ahead = member->sim->park_ahead,
        .checkpoint_every = member->sim->checkpoint_every,
        .checkpoint_bytes = member->sim->checkpoint_bytes,
        .room = member->sim->room,
        .least = member->sim->least,
        .beyond_for = member->sim->beyond_for,
        .replay_most = 16};
    return node_open_table(member->node, &table, start, error);
}

/* As the spool does: before `from` only what the table names is alive. What it names and is gone was that of a
 * message whose row should be gone too, when that was not on the disk yet. */
static void mark_living(struct member *member, const struct park_start *start)
{
    struct disk *disk = member->disk;
    size_t at = 0;
    disk->ghosts = xrealloc(disk->ghosts, (start->living_count + 1) * sizeof *disk->ghosts);
    disk->ghost_count = 0;
    for (size_t i = 0; i < disk->count; i++) {
        uint64_t seq = disk->frames[i].seq;
        while (at < start->living_count && start->living[at] < seq)
            disk->ghosts[disk->ghost_count++] = start->living[at++];
        bool living = at < start->living_count && start->living[at] == seq;
        at += living;
        disk->frames[i].released = seq < start->from && !living;
    }
}

uint64_t table_open(struct member *member)
{
    struct sim *sim = member->sim;
    struct park_start start = {0};
    struct error error = {""};
    member->disk->keep_from = UINT64_MAX;
    member->brought = member->looks = 0;
    if (sim->park_ahead == 0)
        return 0;
    if (member->table == NULL)
        member->table = park_memory_new();
    if (member->table_bad || sim_chance(sim, LOST_PER_MILLE)) {
        trace_member(member, "table", "is lost");
        park_memory_fail(member->table, false);
        park_memory_wipe(member->table);
        sim->counts->tables_lost++;
    }
    member->table_bad = false;
    if (open_once(member, &start, &error) != 0) {
        sim_fail(sim, "table: %s does not accept its own: %s", member->name, error.text);
        return 0;
    }
    trace_member(member, "table", "%zu rows, the log from frame %llu", start.living_count,
        (unsigned long long)start.from);
    sim->counts->rows_found += start.living_count;
    member->disk->keep_from = start.from;
    mark_living(member, &start);
    free(start.living);
    return start.from;
}

static void flushed(struct sim *sim, struct sim_event *event)
{
    struct member *member = event->member;
    bool ok = !member->table_bad;
    (void)sim;
    if (ok)
        park_memory_flush_end(member->table, event->number);
    sim->counts->parked += custody_parked(node_custody(member->node));
    sim->counts->checkpoints++;
    sim->counts->brought += node_figures(member->node).brought - member->brought;
    member->brought = node_figures(member->node).brought;
    node_checkpointed(member->node, ok, "the disk failed", member_now(member));
}

void table_checkpoint(struct member *member)
{
    struct sim *sim = member->sim;
    usec_t longest = sim_chance(sim, 700)   ? 300 * USEC_MS
                     : sim_chance(sim, 700) ? 10 * USEC_SEC
                                            : 15 * USEC_MIN;
    usec_t takes = sim_between(sim, USEC_MS, longest);
    if (member->disk->synced < member->disk->count)
        faults_good_moment(member);
    struct sim_event *event = sim_after(sim, takes, flushed, member);
    event->life = member->life;
    event->number = park_memory_flush_begin(member->table);
}

static void start_again(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    trace_member(event->member, "operator", "starts it again: its table has failed");
    member_crash(event->member, true);
}

void table_failed(struct member *member, const char *why)
{
    struct sim *sim = member->sim;
    trace_member(member, "table", "does not work any more: %s", why);
    sim_after(sim, sim_between(sim, USEC_SEC, USEC_MIN), start_again, member)->life = member->life;
}

/* ---- will everything come back? ---- */

struct look {
    struct member *member;
    bool has_place;
    uint8_t id[16];
};

static uint64_t number_at(const uint8_t *bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | bytes[i];
    return number;
}

/* q backlog(8) order(8) id(16) */
static bool on_place(void *with, const void *key_bytes, size_t key_len, const void *value, size_t len)
{
    struct look *look = with;
    struct member *member = look->member;
    const uint8_t *key = key_bytes;
    struct mail_id id;
    (void)value, (void)len;
    if (key_len != 33)
        return true;
    memcpy(id.bytes, key + 17, sizeof id.bytes);
    if (custody_find(node_custody(member->node), &id) == NULL &&
        !node_backlog_reads(member->node, number_at(key + 1), number_at(key + 9)))
        sim_fail(
            member->sim, "P10: %s has something in its table that its backlog will never read", member->name);
    return true;
}

static bool on_own_place(void *with, const void *key, size_t key_len, const void *value, size_t len)
{
    struct look *look = with;
    (void)value, (void)len;
    if (key_len == 33 && memcmp((const uint8_t *)key + 17, look->id, sizeof look->id) == 0)
        look->has_place = true;
    return !look->has_place;
}

static bool holds_some(const struct member *member, const struct message *message)
{
    for (uint32_t i = 0; i < message->mail->recipient_count; i++)
        if (truth_on(&message->truths[i], member->disk)->state == CUSTODY_HELD)
            return true;
    return false;
}

/* t due(8) id(16) */
static bool on_date(void *with, const void *key_bytes, size_t key_len, const void *value, size_t len)
{
    struct look *look = with;
    struct member *member = look->member;
    const uint8_t *key = key_bytes;
    struct mail_id id;
    struct error error;
    struct park_table table = park_memory_table(member->table);
    (void)value, (void)len;
    if (key_len != 25)
        return true;
    memcpy(id.bytes, key + 9, sizeof id.bytes);
    const struct message *message = ledger_find(member->sim->ledger, &id);
    if (message == NULL || custody_find(node_custody(member->node), &id) != NULL ||
        (usec_t)number_at(key + 1) < message->mail->expires ||
        message->mail->expires < member_now(member) + LONGEST_RETRY || !holds_some(member, message))
        return true;
    memcpy(look->id, id.bytes, sizeof look->id);
    look->has_place = false;
    if (table.scan(table.context, "q", 1, 1, on_own_place, look, &error) == 0 && !look->has_place)
        sim_fail(member->sim, "P10: %s has m%u at rest, which nothing wakes before it expires", member->name,
            message->number);
    return true;
}

static void look_through(struct member *member)
{
    struct look look = {.member = member};
    struct error error;
    struct park_table table = park_memory_table(member->table);
    if (member->table_bad)
        return;
    (void)table.scan(table.context, "q", 1, 1, on_place, &look, &error);
    (void)table.scan(table.context, "t", 1, 1, on_date, &look, &error);
    if (!node_backlogs_sound(member->node))
        sim_fail(member->sim, "P10: %s has a backlog that waits for nothing", member->name);
}

/* What is ready beyond the room for it, and what a portion of messages may go over that. */
void table_look(struct member *member)
{
    const struct sim *sim = member->sim;
    if (sim->park_ahead == 0 || member->table == NULL || node_waits(member->node) || member->deposed)
        return;
    /* A measurement has tens of thousands at rest, and this looks at each with all others. */
    if (sim->options->world == NULL && member->looks++ % LOOK_EVERY == 0)
        look_through(member);
    if (sim->room == 0)
        return;
    uint64_t ready = node_figures(member->node).ready,
             most = sim->room + 3 * (sim->room / 16 + 1) + ROOM_OVER;
    if (ready > most)
        sim_fail(member->sim, "P12: %s has %llu deliveries ready in memory, and room for %llu", member->name,
            (unsigned long long)ready, (unsigned long long)sim->room);
}

bool table_breaks(struct member *member)
{
    if (member->table == NULL || member->table_bad)
        return false;
    trace_member(member, "TABLE", "fails");
    member->table_bad = true;
    park_memory_fail(member->table, true);
    return true;
}

void table_crash(struct member *member)
{
    if (member->table == NULL)
        return;
    uint64_t at_risk = park_memory_at_risk(member->table), kept = sim_draw(member->sim, at_risk + 1);
    park_memory_crash(member->table, kept);
    if (at_risk > 0)
        trace_member(member, "table", "%llu commits were not flushed, %llu of them survive",
            (unsigned long long)at_risk, (unsigned long long)kept);
}

bool table_at_risk(const struct member *member)
{
    return member->table != NULL && park_memory_at_risk(member->table) > 0;
}

void table_wipe(struct member *member)
{
    if (member->table != NULL)
        park_memory_wipe(member->table);
}

void table_free(struct member *member)
{
    if (member->table != NULL)
        park_memory_free(&member->table);
}
