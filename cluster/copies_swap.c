/* copies_swap - what the primary makes of the register; see copies_inside.h
 *
 * A swap has three ends: it happened, it did not, nobody knows. The last one is the one to be careful about: the
 * transaction may be on its way yet, and hold for as long as the register stands at the revision it compares. A sever
 * or a hand-over that comes late does no harm: the mirror has what was committed until then. A learner that is taken in
 * late does, unless it has that too: so its word counts until the revision has moved, and it is proposed again, or if
 * it is gone, the mirror too is given up to move the revision. */
#include <stdio.h>
#include <string.h>

#include "cluster/copies_inside.h"

static uint64_t ask(struct copies *copies, enum swap_kind kind, const struct kv_request *request, usec_t now)
{
    struct copies_swap *swap = &copies->swap;
    swap->under_way = kind;
    swap->ref = ++copies->refs;
    swap->asked_at = now;
    copies->ports.store.request(copies->ports.store.context, swap->ref, request);
    return swap->ref;
}

static void ask_read(struct copies *copies, usec_t now)
{
    struct kv_request request = {.verb = KV_RANGE, .key = copies->key};
    ask(copies, SWAP_READ, &request, now);
}

/* Guard 1: it counts only if the register still is what it was decided on. */
static void ask_swap(
    struct copies *copies, enum swap_kind kind, const struct spool_register *next, usec_t now)
{
    struct buffer text = {0};
    spool_register_write(next, &text);
    struct kv_compare compare = {.key = copies->key, .revision = copies->revision};
    struct kv_change change = {copies->key, buffer_bytes(&text), buffer_len(&text), 0};
    struct kv_request request = {.verb = KV_TXN, .changes = &change, .change_count = 1};
#ifndef TODOKU_WITHOUT_COPY_COMPARE
    request.compares = &compare;
    request.compare_count = 1;
#else
    (void)compare;
#endif
    copies->swap.asked = *next;
    if (kind == SWAP_TAKE_IN)
        copies->swap.take_in_maybe = true;
    ask(copies, kind, &request, now);
    buffer_free(&text);
}

static void sever(struct copies *copies, const char *why, usec_t now)
{
    struct spool_register next;
    struct error error;
    if (spool_register_sever(&copies->reg, copies->disk, copies->process, &next, &error) != 0)
        return;
    copies_notice(copies, "%s goes on without its copy at %s: %s", copies->spool,
        copies->reg.mirror[0] == '\0' ? "a learner" : copies->reg.mirror_node, why);
    if (copies->mirror != NULL)
        copies_note_failed(copies, copies->mirror, now);
    ask_swap(copies, SWAP_SEVER, &next, now);
}

static void take_in(struct copies *copies, usec_t now)
{
    struct spool_register next;
    struct error error;
    if (spool_register_take_in(&copies->reg, copies->disk, copies->process, copies->learner->disk,
            copies->learner->member, &next, &error) == 0)
        ask_swap(copies, SWAP_TAKE_IN, &next, now);
    else
        copies_stop_learning(copies, error.text, now);
}

static void hand_over(struct copies *copies, usec_t now)
{
    struct spool_register next;
    struct error error;
    uint64_t heir = strcmp(copies->wanted, copies->reg.mirror_node) == 0 ? copies->wanted_process : 0;
    if (spool_register_hand_over(&copies->reg, copies->disk, copies->process, heir, &next, &error) == 0)
        ask_swap(copies, SWAP_HAND_OVER, &next, now);
    else {
        copies->handing = false;
        copies_notice(copies, "%s can't be handed over: %s", copies->spool, error.text);
    }
}

/* ---- when ---- */

static bool is_late(const struct stream *stream, usec_t now)
{
    return stream_is_open(stream) && now - stream->since >= COPIES_PATIENCE;
}

static const char *lost_why(const struct stream *stream, usec_t now)
{
    if (stream->trouble[0] != '\0')
        return stream->trouble;
    if (stream->silent)
        return "its node is silent";
    return is_late(stream, now) ? "it did not keep up" : NULL;
}

const char *copies_sever_why(const struct copies *copies, usec_t now)
{
    const char *why = copies->mirror == NULL ? NULL : lost_why(copies->mirror, now);
    if (why != NULL || !copies->swap.take_in_maybe)
        return why;
    return copies->learner == NULL ? "it is gone" : lost_why(copies->learner, now);
}

/* Guard 6: it has acknowledged the last position of when its word began to count, and all that was committed. */
static bool is_complete(const struct copies *copies)
{
#ifdef TODOKU_WITHOUT_LEARNER_COMPLETE
    return copies->learner != NULL && copies->learner->state == STREAM_RUNS;
#else
    if (copies->learner == NULL || !copies->counts || !copies->learner->living_done)
        return false;
    uint64_t acked = stream_acked(copies->learner);
    return copies->learner->confirmed && acked >= copies->counted_from && acked >= copies->committed;
#endif
}

static bool may_hand_over(const struct copies *copies)
{
    return copies->handing && copies->mirror != NULL && copies->mirror->confirmed &&
           stream_is_level(copies, copies->mirror) && stream_acked(copies->mirror) >= copies->log.last;
}

static void propose(struct copies *copies, usec_t now)
{
    const char *why = copies_sever_why(copies, now);
    if (why != NULL)
        sever(copies, why, now);
    else if (may_hand_over(copies))
        hand_over(copies, now);
    else if (is_complete(copies) && copies->attempts_logged)
        take_in(copies, now);
}

void copies_decide(struct copies *copies, usec_t now)
{
    struct copies_swap *swap = &copies->swap;
    swap->paused = now < swap->pause_until;
    if (copies->deposed || swap->under_way != SWAP_NOTHING || swap->paused)
        return;
    if (swap->unsure)
        ask_read(copies, now);
    else
        propose(copies, now);
}

void copies_look(struct copies *copies, usec_t now)
{
    if (now < copies->swap.looked_at + COPIES_PAUSE)
        return;
    copies->swap.looked_at = now;
    copies->swap.unsure = true;
}

/* ---- answers ---- */

/* A store put back from a backup, or news that come late: nothing follows from a register that is older than ours. */
static bool is_stale(struct copies *copies, const struct spool_register *reg, usec_t now)
{
    if (reg->epoch >= copies->reg.epoch) {
        copies->stale_said = false;
        return false;
    }
    if (!copies->stale_said)
        copies_notice(copies,
            "%s: the register is of epoch %llu, this primary of %llu: it waits for a newer one",
            copies->spool, (unsigned long long)reg->epoch, (unsigned long long)copies->reg.epoch);
    copies->stale_said = true;
    copies->swap.unsure = true;
    copies->swap.pause_until = now + COPIES_PATIENCE;
    return true;
}

/* What the register is, by a read or by news. */
static void on_pair(struct copies *copies, const struct kv_pair *pair, usec_t now)
{
    struct spool_register reg;
    struct error error;
    if (pair == NULL || pair->deleted) {
        copies_notice(copies, "%s: %s is not in the store any more", copies->spool, copies->key);
        copies_depose(copies, NULL);
    } else if (pair->revision > copies->revision) {
        if (spool_register_read(pair->value, pair->len, &reg, &error) != 0)
            copies_notice(copies, "%s: %s: %s", copies->spool, copies->key, error.text);
        else if (!is_stale(copies, &reg, now))
            copies_adopt(copies, &reg, pair->revision, now);
    }
}

/* An operator has put another store in the place of the one that was: its revisions have begun anew. */
static void follow_history(struct copies *copies, uint64_t history)
{
    if (copies->has_history && history != copies->history) {
        copies->revision = 0;
        copies->swap.unsure = true;
    }
    copies->has_history = true;
    copies->history = history;
}

static void on_read(struct copies *copies, const struct kv_result *result, usec_t now)
{
    struct copies_swap *swap = &copies->swap;
    if (result->outcome != KV_DONE) {
        swap->pause_until = now + COPIES_PAUSE;
        return;
    }
    swap->unsure = false;
    on_pair(copies, result->pair_count == 0 ? NULL : &result->pairs[0], now);
}

static void on_swapped(struct copies *copies, enum swap_kind kind, const struct kv_result *result, usec_t now)
{
    struct copies_swap *swap = &copies->swap;
    switch (result->outcome) {
    case KV_DONE:
        if (result->revision > copies->revision)
            copies_adopt(copies, &swap->asked, result->revision, now);
        break;
    case KV_LOST: /* somebody else's came first, or one of ours */
        swap->unsure = true;
        break;
    case KV_UNKNOWN:
        swap->unknown += kind == SWAP_TAKE_IN;
        swap->unsure = true;
        break;
    case KV_REFUSED:
        swap->take_in_maybe = swap->unknown > 0;
        swap->pause_until = now + COPIES_PATIENCE;
        copies_notice(copies, "%s: the store refuses a change of %s: %s", copies->spool, copies->key,
            result->why == NULL ? "it does not say why" : result->why);
        break;
    }
}

void copies_result(struct copies *copies, uint64_t ref, const struct kv_result *result, usec_t now)
{
    struct copies_swap *swap = &copies->swap;
    if (copies->deposed || swap->under_way == SWAP_NOTHING || ref != swap->ref)
        return;
    enum swap_kind kind = swap->under_way;
    const struct kv_result unknown = {.outcome = KV_UNKNOWN};
    if (copies->has_history && result->history != copies->history) /* of another store: what is there now? */
        result = &unknown;
    swap->under_way = SWAP_NOTHING;
    if (result->outcome == KV_UNKNOWN)
        swap->pause_until = now + COPIES_PAUSE;
    if (kind == SWAP_READ)
        on_read(copies, result, now);
    else
        on_swapped(copies, kind, result, now);
    copies_turn(copies, now);
}

static bool is_ours(const struct copies *copies, const struct kv_pair *pair)
{
    return strcmp(pair->key, copies->key) == 0;
}

void copies_register_news(struct copies *copies, const struct kv_news *news, usec_t now)
{
    if (copies->deposed || news->type == KV_AWAY)
        return;
    follow_history(copies, news->history);
    const struct kv_pair *pair = NULL;
    for (size_t i = 0; i < news->pair_count; i++)
        if (is_ours(copies, &news->pairs[i]))
            pair = &news->pairs[i];
    if (pair != NULL && !pair->deleted)
        on_pair(copies, pair, now);
    else if (pair != NULL || news->type == KV_LIST)
        copies->swap.unsure = true; /* it is gone, it says: who asks gets the last word */
    copies_turn(copies, now);
}

usec_t copies_swap_deadline(const struct copies *copies)
{
    const struct copies_swap *swap = &copies->swap;
    if (swap->under_way != SWAP_NOTHING)
        return swap->asked_at + 2 * KV_PATIENCE;
    return swap->paused ? swap->pause_until : USEC_NEVER;
}
