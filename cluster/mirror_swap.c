/* mirror_swap - the register, and what follows from it; see mirror_inside.h
 *
 * mirror_next() looks at the note, the register and the verdict, and does the first thing that is to be done;
 * answers only write down what they make known. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/mirror_inside.h"

/* ---- asking ---- */

static void ask(struct mirror *mirror, enum mirror_asked what, const struct kv_request *request)
{
    mirror->asked = what;
    mirror->ask_ref = ++mirror->refs;
    mirror->ports.store.request(mirror->ports.store.context, mirror->ask_ref, request);
}

static void read_register(struct mirror *mirror, usec_t now)
{
    mirror->reads_since = now;
    struct kv_request request = {.verb = KV_RANGE, .key = mirror->key};
    ask(mirror, MIRROR_READ, &request);
}

/* Guard 1: it counts only if the register is still the one it was decided on. */
static void swap_register(struct mirror *mirror)
{
    struct buffer text = {0};
    spool_register_write(&mirror->asked_reg, &text);
    struct kv_compare compare = {.key = mirror->key, .revision = mirror->revision};
    struct kv_change change = {mirror->key, buffer_bytes(&text), buffer_len(&text), 0};
    struct kv_request request = {
        .verb = KV_TXN, .compares = &compare, .compare_count = 1, .changes = &change, .change_count = 1};
    ask(mirror, MIRROR_SWAP, &request);
    buffer_free(&text);
}

static void seal(struct mirror *mirror, uint64_t epoch)
{
    struct mirror_note *note = mirror_note_begin(mirror);
    note->sealed = epoch;
    if (note->newest < epoch)
        note->newest = epoch;
    mirror_note_write(mirror);
}

/* ---- what follows ---- */

static void serve(struct mirror *mirror)
{
    mirror->serves = true;
    mirror->stream.number = mirror->stream.process = 0;
    mirror_notice(mirror, "this copy of spool %s (disk %s) is the primary in epoch %" PRIu64,
        mirror->note.spool, mirror->disk, mirror->reg.epoch);
    mirror->ports.serve(mirror->ports.context, &mirror->reg, &mirror->note, mirror->told);
}

/* The register names this disk as primary. A swap of our own was made on a sealed epoch, so the one it began has
 * had no other primary; before any other (a hand-over) the epoch is sealed first. */
static void as_primary(struct mirror *mirror)
{
    struct error error;
    bool mine = mirror->reg.process == mirror->process;
    if (mirror->note.sealed + (mine ? 1 : 0) < mirror->reg.epoch)
        seal(mirror, mirror->reg.epoch);
    else if (spool_register_next(&mirror->reg, mirror->member, mirror->disk, mirror->process,
                 &mirror->asked_reg, &error) == SPOOL_REGISTER_MINE)
        serve(mirror);
    else
        swap_register(mirror);
}

/* Guard 7: first sealed, then swapped; what is sealed is swapped whatever the verdict says by now. */
static void as_mirror(struct mirror *mirror)
{
    struct error error;
    if (mirror->note.sealed >= mirror->reg.epoch) {
        if (spool_register_take_over(
                &mirror->reg, mirror->disk, mirror->member, mirror->process, &mirror->asked_reg, &error) == 0)
            swap_register(mirror);
    } else if (mirror->down[0] != '\0' && strcmp(mirror->down, mirror->reg.node) == 0) {
        mirror_notice(mirror,
            "node %s is down: this copy (disk %s) takes spool %s over, after epoch %" PRIu64,
            mirror->reg.node, mirror->disk, mirror->note.spool, mirror->reg.epoch);
        seal(mirror, mirror->reg.epoch);
    }
}

/* Guard 15: needed as long as the register has no mirror, or this disk is in it, or it learns. */
static bool is_needed(const struct mirror *mirror, usec_t now)
{
#ifdef TODOKU_WITHOUT_OLD_KEPT
    return now < mirror->heard_at + MIRROR_PATIENCE;
#else
    return mirror->reg.mirror[0] == '\0' || strcmp(mirror->reg.old, mirror->disk) == 0 ||
           now < mirror->heard_at + MIRROR_PATIENCE;
#endif
}

/* Guard 2: an empty disk in the same node is another one. */
static bool is_disk(const struct mirror *mirror, const char *disk)
{
    return strcmp(disk, mirror->disk) == 0;
}

/* A register from before what this copy has seen is news that come late, or a store put back from a backup. */
static bool is_stale(struct mirror *mirror, usec_t now)
{
    if (mirror->reg.epoch >= mirror->note.newest) {
        mirror->stale_said = false;
        return false;
    }
    if (!mirror->stale_said)
        mirror_notice(mirror,
            "the register of spool %s is of epoch %" PRIu64 ", this copy (disk %s) of %" PRIu64
            ": it waits for a newer one",
            mirror->note.spool, mirror->reg.epoch, mirror->disk, mirror->note.newest);
    mirror->stale_said = true;
    mirror->is_unsure = true;
    mirror->pause_until = now + MIRROR_AGAIN;
    return true;
}

static bool wants_to_act(const struct mirror *mirror)
{
    if (is_disk(mirror, mirror->reg.disk))
        return true;
    return is_disk(mirror, mirror->reg.mirror) &&
           (mirror->note.sealed >= mirror->reg.epoch || strcmp(mirror->down, mirror->reg.node) == 0);
}

static void give_up(struct mirror *mirror, const char *why)
{
    mirror->useless = true;
    mirror_notice(mirror,
        "this copy of spool %s (disk %s) is needed no more: %s (the register: node %s, mirror %s)",
        mirror->note.spool, mirror->disk, why, mirror->reg.node,
        mirror->reg.mirror[0] == '\0' ? "none" : mirror->reg.mirror);
    mirror->ports.useless(mirror->ports.context);
}

/* A watch may stand still just when this disk is taken in: what is deleted for ever is decided by what the store says
 * now. */
static void leave_to_others(struct mirror *mirror, usec_t now)
{
#ifdef TODOKU_WITHOUT_READ_ANEW
    mirror->read_at = now;
#endif
    if (mirror->read_at >= mirror->heard_at + MIRROR_PATIENCE)
        give_up(mirror, "others have it");
    else
        read_register(mirror, now);
}

static void act(struct mirror *mirror, usec_t now)
{
    if (mirror->reg.retired) {
        give_up(mirror, "the spool is retired");
    } else if (wants_to_act(mirror)) {
        if (is_stale(mirror, now))
            return;
        if (is_disk(mirror, mirror->reg.disk))
            as_primary(mirror);
        else
            as_mirror(mirror);
    } else if (!is_disk(mirror, mirror->reg.mirror) && !is_needed(mirror, now)) {
        leave_to_others(mirror, now);
    }
}

void mirror_next(struct mirror *mirror, usec_t now)
{
    if (mirror->serves || mirror->useless || mirror->is_noting || mirror->asked != MIRROR_NOTHING ||
        now < mirror->pause_until)
        return;
    if (mirror->is_unsure)
        read_register(mirror, now);
    else if (mirror->known)
        act(mirror, now);
}

/* ---- what is known ---- */

static void register_gone(struct mirror *mirror)
{
    mirror->known = false;
    if (!mirror->gone_said)
        mirror_notice(mirror,
            "there is no register of spool %s: this copy (disk %s) is kept, and takes nothing over; if the "
            "spool "
            "was retired, take the copy's directory away",
            mirror->note.spool, mirror->disk);
    mirror->gone_said = true;
}

/* Null: it is not there. */
static void adopt(struct mirror *mirror, const struct kv_pair *pair)
{
    struct spool_register reg;
    struct error error;
    if (pair == NULL) {
        register_gone(mirror);
        return;
    }
    if (pair->revision <= mirror->revision)
        return;
    mirror->revision = pair->revision;
    mirror->known = spool_register_read(pair->value, pair->len, &reg, &error) == 0;
    if (!mirror->known) {
        mirror_notice(mirror, "%s: %s. Somebody wrote there by hand", mirror->key, error.text);
        return;
    }
    mirror->gone_said = mirror->is_unsure = false;
    mirror->pause_until = 0;
    mirror->reg = reg;
}

static const struct kv_pair *find_pair(const struct mirror *mirror, const struct kv_pair *pairs, size_t count)
{
    const struct kv_pair *found = NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(pairs[i].key, mirror->key) == 0)
            found = &pairs[i]; /* the last one is the newest */
    return found;
}

/* An operator has put another store in the place of the one that was: its revisions have begun anew. What this copy
 * remembers of epochs has not: a register from before them is waited out (is_stale). */
static void follow_history(struct mirror *mirror, uint64_t history)
{
    if (mirror->has_history && history != mirror->history) {
        mirror->revision = mirror->seen = 0;
        mirror->known = mirror->is_unsure = false;
    }
    mirror->has_history = true;
    mirror->history = history;
}

void mirror_register_news(struct mirror *mirror, const struct kv_news *news, usec_t now)
{
    if (news->type == KV_AWAY)
        return;
    follow_history(mirror, news->history);
    if (news->revision < mirror->seen)
        return;
    const struct kv_pair *pair = find_pair(mirror, news->pairs, news->pair_count);
    mirror->seen = news->revision;
    if (pair != NULL && pair->deleted)
        pair = NULL;
    else if (pair == NULL && news->type == KV_CHANGES)
        return;
    adopt(mirror, pair);
    mirror_next(mirror, now);
}

static void on_read(struct mirror *mirror, const struct kv_result *result)
{
    mirror->is_unsure = false;
    mirror->read_at = mirror->reads_since;
    if (result->revision < mirror->seen)
        return; /* news overtook it */
    mirror->seen = result->revision;
    adopt(mirror, find_pair(mirror, result->pairs, result->pair_count));
}

static void on_swapped(struct mirror *mirror, const struct kv_result *result)
{
    if (result->outcome == KV_LOST) {
        mirror_notice(
            mirror, "spool %s was not taken over: its register has changed meanwhile", mirror->note.spool);
        mirror->is_unsure = true;
    } else if (result->revision > mirror->revision) {
        mirror->reg = mirror->asked_reg;
        mirror->revision = result->revision;
        mirror->seen = result->revision > mirror->seen ? result->revision : mirror->seen;
    }
}

void mirror_result(struct mirror *mirror, uint64_t ref, const struct kv_result *result, usec_t now)
{
    if (mirror->asked == MIRROR_NOTHING || ref != mirror->ask_ref)
        return;
    enum mirror_asked asked = mirror->asked;
    mirror->asked = MIRROR_NOTHING;
    bool is_of_another = mirror->has_history && result->history != mirror->history;
    if (result->outcome == KV_UNKNOWN || result->outcome == KV_REFUSED || is_of_another) {
        mirror->is_unsure = true; /* it may have happened, or happen yet */
        mirror->pause_until = now + MIRROR_AGAIN;
    } else if (asked == MIRROR_READ)
        on_read(mirror, result);
    else
        on_swapped(mirror, result);
    mirror_next(mirror, now);
}

void mirror_verdict(struct mirror *mirror, const char *node, bool down, usec_t now)
{
    if (down)
        snprintf(mirror->down, sizeof mirror->down, "%s", node);
    else if (strcmp(mirror->down, node) == 0)
        mirror->down[0] = '\0';
    mirror_next(mirror, now);
}

/* ---- time ---- */

void mirror_tick(struct mirror *mirror, usec_t now)
{
    mirror_next(mirror, now);
}

usec_t mirror_deadline(const struct mirror *mirror)
{
    if (mirror->serves || mirror->useless || mirror->is_noting || mirror->asked != MIRROR_NOTHING)
        return USEC_NEVER;
    if (mirror->is_unsure)
        return mirror->pause_until;
    bool unnamed = mirror->known && mirror->reg.mirror[0] != '\0' && !is_disk(mirror, mirror->reg.mirror) &&
                   !is_disk(mirror, mirror->reg.old) && !is_disk(mirror, mirror->reg.disk);
    return unnamed ? mirror->heard_at + MIRROR_PATIENCE : USEC_NEVER;
}
