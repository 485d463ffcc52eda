/* oracle - the promises about custody, as questions asked after every step
 *
 * How to add one: find the call in ledger.h at which it could break, write it here as a function that looks
 * at the book and says sim_fail() with a sentence that names the promise, and call it from there. */
#include <stdio.h>

#include "tests/sim/copies.h"
#include "tests/sim/ledger.h"

const char *oracle_standings(const struct sim *sim, const struct truth *truth, char *out, size_t size)
{
    int used = 0;
    out[0] = '\0';
    size_t place = 0;
    int spool;
    for (const struct standing *at;
         used < (int)size - 40 && (at = truth_next(sim, truth, &place, &spool)) != NULL;) {
        used += snprintf(out + used, size - (size_t)used, "%s%s: %s@%u", used > 0 ? ", " : "",
            sim->spools[spool]->home->name, custody_state_name((enum custody_state)at->state), at->hop);
        if (at->state == CUSTODY_LEAVING && at->peer >= 0)
            used += snprintf(out + used, size - (size_t)used, "->%s", sim->spools[at->peer]->home->name);
    }
    return out;
}

static const char *name_of(struct sim *sim, const struct truth *truth, char out[48])
{
    char name[32];
    snprintf(out, 48, "%s.%u", ledger_name(sim->ledger, &truth->message->id, name), truth->index);
    return out;
}

/* A message is injected into one spool only: another one may take it after a definite refusal alone, and the
 * one that refused never does (same_incarnation, custody). */
static void one_spool(struct sim *sim, const struct truth *truth, const struct disk *disk, const char *name)
{
    size_t at = 0;
    int spool;
    for (const struct standing *other; (other = truth_next(sim, truth, &at, &spool)) != NULL;) {
        if (spool != disk->spool && other->state != CUSTODY_REFUSED)
            sim_fail(sim, "one spool: %s is injected at %s, but %s had it by then (%s@%u)", name,
                disk->member->name, sim->spools[spool]->home->name,
                custody_state_name((enum custody_state)other->state), other->hop);
    }
}

/* One spool's log says something new about a recipient: legal after what it said before? */
void oracle_step(struct sim *sim, const struct truth *truth, const struct disk *disk,
    const struct standing *before, const struct standing *after)
{
    const struct member *member = disk->member;
    char name[48];
    name_of(sim, truth, name);
    if (after->hop < before->hop)
        sim_fail(
            sim, "hop: %s had %s at hop %u and now says %u", member->name, name, before->hop, after->hop);
    if (before->state == CUSTODY_DONE && after->state != CUSTODY_DONE)
        sim_fail(sim, "P1: %s had ended %s, which is now %s again", member->name, name,
            custody_state_name((enum custody_state)after->state));
    if (before->state == CUSTODY_NONE && after->state == CUSTODY_HELD && after->hop == 0)
        one_spool(sim, truth, disk, name);
    bool was_passed = before->state == CUSTODY_MOVED || before->state == CUSTODY_REFUSED;
    bool holds =
        after->state == CUSTODY_HELD || after->state == CUSTODY_LEAVING || after->state == CUSTODY_DONE;
    if (was_passed && holds && after->hop <= before->hop)
        sim_fail(sim, "hop: %s holds %s again without a higher hop than %u", member->name, name, before->hop);
    if (truth->message->refused)
        sim_fail(
            sim, "P1: %s holds %s, whose client was told that it is refused for good", member->name, name);
    if (after->state != CUSTODY_DONE || before->state == CUSTODY_DONE)
        return;
    bool known = false;
    for (const struct attempt *attempt = truth->attempts; attempt != NULL; attempt = attempt->next)
        known = known || (attempt->accepted && attempt->over && !attempt->excused &&
                             !attempt_is_deposed(sim, attempt));
    if (known && after->result != RESULT_DELIVERED)
        sim_fail(sim, "P1: a receiver took %s and %s was told so, but calls it %s", name, member->name,
            result_name((enum delivery_result)after->result));
    if (!truth->message->own && after->result == RESULT_DELIVERED && truth->accepts == 0)
        sim_fail(sim, "P1: %s calls %s delivered, but no receiver took it", member->name, name);
}

/* Held or done in at most one spool; and, once answered, in no fewer. */
void oracle_custody(struct sim *sim, const struct truth *truth)
{
    unsigned acting = 0, leaving = 0;
    size_t at = 0;
    int spool;
    for (const struct standing *standing; (standing = truth_next(sim, truth, &at, &spool)) != NULL;) {
        uint8_t state = standing->state;
        acting += state == CUSTODY_HELD || state == CUSTODY_DONE;
        leaving += state == CUSTODY_LEAVING;
    }
    char name[48], text[300];
    if (acting > 1)
        sim_fail(sim, "P1: %s is in more than one spool's custody: %s", name_of(sim, truth, name),
            oracle_standings(sim, truth, text, sizeof text));
    if (truth->message->answered && acting + leaving == 0 &&
        !(sim->takeover && truth_is_somewhere(sim, truth)))
        sim_fail(sim, "P1: %s is lost: %s", name_of(sim, truth, name),
            oracle_standings(sim, truth, text, sizeof text));
}

/* A spool answers TAKEN: its own disk has every recipient. REPEATED: some disk has (a spool to which only a
 * part was moved may say so, since whoever moved it must have had it all). */
void oracle_durable_answer(
    struct sim *sim, const struct member *member, const struct message *message, bool repeated)
{
    for (uint32_t i = 0; i < message->mail->recipient_count; i++) {
        const struct truth *truth = &message->truths[i];
        size_t at = 0;
        int spool;
        bool durable = truth_on(truth, member->disk)->state != CUSTODY_NONE ||
                       (repeated && truth_next(sim, truth, &at, &spool) != NULL);
        if (!durable) {
            sim_fail(sim, "P1: %s answers that it has m%u, but %s disk does not have recipient %u",
                member->name, message->number, repeated ? "any" : "its", i);
            return;
        }
        oracle_both(sim, member, truth, 0, BOTH_ANSWER);
    }
}

/* The disk that has the second copy: the register's mirror, or, right after a sever, the former one. */
static const struct disk *second_disk(const struct sim *sim, const struct spool *spool)
{
    const struct spool_register *reg = &spool->reg;
    return disk_find(sim, reg->mirror[0] != '\0' ? reg->mirror : reg->old);
}

void oracle_both(struct sim *sim, const struct member *member, const struct truth *truth, uint32_t hop,
    enum oracle_both_kind kind)
{
    static const char *const does[] = {"answers for", "attempts", "asks a MOVE of", "ends"};
    const struct spool *spool = member->spool;
    const struct standing *own = truth_on(truth, member->disk);
    bool holds = own->state == CUSTODY_HELD || own->state == CUSTODY_LEAVING;
    bool alone = spool->reg.mirror[0] == '\0' && (kind != BOTH_ANSWER || sim->min_copies == 1);
    if (!sim_has_copies(sim) || spool->primary != member->disk || !holds || alone)
        return;
    const struct disk *second = second_disk(sim, spool);
    const struct standing *there = second == NULL ? NULL : truth_on(truth, second);
    if (second != NULL && second->lost && (kind != BOTH_ANSWER || truth_was_on(truth, second)))
        return; /* it was there before */
    char name[48];
    if (there == NULL || there->state == CUSTODY_NONE || there->hop < hop ||
        (kind == BOTH_MOVE && there->hop == hop && there->state == CUSTODY_HELD) ||
        (kind == BOTH_END && there->attempt != own->attempt))
        sim_fail(sim, "P1': %s %s %s, but the second copy at %s says %s@%u", member->name, does[kind],
            name_of(sim, truth, name), second == NULL ? "nobody" : second->member->name,
            custody_state_name(there == NULL ? CUSTODY_NONE : (enum custody_state)there->state),
            there == NULL ? 0 : there->hop);
}

void oracle_taken_over(struct sim *sim, const struct truth *truth, int spool)
{
    const struct standing *now = truth_in(sim, truth, spool);
    const struct disk *heir = sim->spools[spool]->primary;
    char name[48];
    for (struct attempt *attempt = truth->attempts; attempt != NULL; attempt = attempt->next) {
        if (attempt->disk == NULL || attempt->disk->spool != spool || !attempt->logged ||
            now->state == CUSTODY_DONE || (attempt->over && !attempt->accepted) ||
            (attempt->settled && attempt->settled_seq <= heir->synced_seq))
            continue;
        if (now->state == CUSTODY_HELD && now->attempt == 0 && !attempt->crashed)
            sim_fail(sim,
                "INTENT: %s takes %s over, which may have been sent, and its log says that nobody is at it",
                sim->spools[spool]->primary->member->name, name_of(sim, truth, name));
        attempt->excused = attempt->crashed = true;
    }
}

void oracle_both_ended(struct sim *sim, const struct disk *disk, const struct truth *truth)
{
    const struct spool *spool = sim->spools[disk->spool];
    const struct disk *mirror = disk_find(sim, spool->reg.mirror);
    char name[48];
    if (!sim_has_copies(sim) || spool->primary != disk || mirror == NULL || mirror->lost)
        return;
    const struct standing *there = truth_on(truth, mirror);
    if (there->state == CUSTODY_HELD || there->state == CUSTODY_LEAVING)
        sim_fail(sim, "P1': %s tells how %s ended, but the second copy at %s says %s@%u", disk->member->name,
            name_of(sim, truth, name), mirror->member->name,
            custody_state_name((enum custody_state)there->state), there->hop);
}

/* A heir's copy is the only one: what it still holds it must not answer for. */
void oracle_heir_answer(
    struct sim *sim, const struct member *member, const struct message *message, const struct bus_msg *msg)
{
    if (msg->verdict != BUS_TAKEN && msg->verdict != BUS_REPEATED)
        return;
    for (uint32_t i = 0; i < message->mail->recipient_count; i++) {
        uint8_t state = truth_on(&message->truths[i], copies_disk(member, msg->spool))->state;
        if (sim->min_copies == 2 && (state == CUSTODY_HELD || state == CUSTODY_LEAVING))
            sim_fail(sim, "P1': the heir %s answers that %s has m%u, and holds recipient %u itself",
                member->name, msg->spool, message->number, i);
        if (!truth_is_somewhere(sim, &message->truths[i]))
            sim_fail(sim, "P1: the heir %s answers that %s has m%u, but nobody has recipient %u",
                member->name, msg->spool, message->number, i);
    }
}

void oracle_end(struct sim *sim, const struct truth *truth)
{
    unsigned done = 0, other = 0;
    size_t at = 0;
    int spool;
    for (const struct standing *standing; (standing = truth_next(sim, truth, &at, &spool)) != NULL;) {
        uint8_t state = standing->state;
        done += state == CUSTODY_DONE;
        other += state == CUSTODY_HELD || state == CUSTODY_LEAVING;
    }
    char name[48], text[300]; /* What nobody was told of may be lost with the disk of its only copy. */
    bool must_end = truth->message->answered || (truth->message->seen && !sim->takeover) || done + other > 0;
    if (must_end && (done != 1 || other != 0 || truth->finals < 1 || (truth->finals > 1 && !truth->retold)))
        sim_fail(sim, "P1: in the end %s is done in %u spools, held in %u, told %u times: %s",
            name_of(sim, truth, name), done, other, truth->finals,
            oracle_standings(sim, truth, text, sizeof text));
}
