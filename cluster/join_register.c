/* join_register - the register spool/<home>: who serves the spool, as all agree; see join_state.h
 *
 * A start swaps a fresh incarnation in. An operator may have put an older store in the place of the one that was
 * (store_age.h): then numbers go on above the highest that this disk ever had (`floor`), so none is used twice, and a
 * process that serves already says so anew, with the incarnation that it has. */
#include <inttypes.h>
#include <string.h>

#include "cluster/join_state.h"

/* PROTOCOL guard 1: the swap counts only if the register still is what it was decided on. */
static void swap_register(struct join *join, uint64_t revision, usec_t now)
{
    struct buffer text = {0};
    spool_register_write(&join->asked_register, &text);
    struct kv_compare compare = {.key = join->spool_key, .revision = revision};
    struct kv_change change = {join->spool_key, buffer_bytes(&text), buffer_len(&text), 0};
    struct kv_request request = {.verb = KV_TXN, .changes = &change, .change_count = 1};
#ifndef TODOKU_WITHOUT_EPOCH
    request.compares = &compare;
    request.compare_count = 1;
#else
    (void)compare;
#endif
    join_ask(join, ASK_SWAP, &request, now);
    buffer_free(&text);
}

static void is_registered(struct join *join, uint64_t revision, uint64_t history)
{
    const struct spool_register *reg = &join->asked_register;
    join->registered = true;
    join->live.incarnation = reg->incarnation;
    if (reg->epoch > join->floor_change)
        join->floor_change = reg->epoch;
    if (reg->incarnation > join->floor_incarnation)
        join->floor_incarnation = reg->incarnation;
    if (join->ports.registered != NULL)
        join->ports.registered(join->ports.context, reg, revision, history);
}

/* Above all that this disk was ever served by; a process that serves keeps its number. A register of long ago may name a
 * mirror that was severed since: it gets another one, when that has everything. */
static void lift(struct join *join)
{
    struct spool_register *next = &join->asked_register;
    if (next->epoch <= join->floor_change) {
        next->epoch = join->floor_change + 1;
        next->mirror[0] = next->mirror_node[0] = '\0';
    }
    if (join->live.incarnation != 0 && join->live.incarnation >= next->incarnation)
        next->incarnation = join->live.incarnation;
    else if (next->incarnation <= join->floor_incarnation)
        next->incarnation = join->floor_incarnation + 1;
    if (next->incarnation < join->least_incarnation)
        next->incarnation = join->least_incarnation;
}

/* What this process may not overwrite although the disk is the same; false: nothing. */
static bool is_taken(struct join *join, const struct spool_register *reg)
{
    if (join->live.incarnation == 0 || reg->incarnation < join->live.incarnation)
        return false;
    struct error error;
    error_set(&error,
        "the spool %s was taken over by incarnation %" PRIu64
        " of this disk (%s), and this process is %" PRIu64
        ": does another one run on a copy of the disk? Stop that one, then start this one again",
        join->live.spool, reg->incarnation, join->live.disk, join->live.incarnation);
    join_end(join, error.text);
    return true;
}

/* The owner gives it another home, if it can. */
static void is_elsewhere(struct join *join, const struct spool_register *reg, const char *why)
{
    if (join->ports.elsewhere == NULL) {
        join_end(join, why);
        return;
    }
    join->elsewhere = true;
    join->what[0] = '\0';
    join->ports.elsewhere(join->ports.context, reg, why);
}

static void judge_register(struct join *join, const struct spool_register *reg, uint64_t revision,
    const struct kv_result *result, usec_t now)
{
    struct error error;
    switch (spool_register_next(
        reg, join->live.id, join->live.disk, join->live.process, &join->asked_register, &error)) {
    case SPOOL_REGISTER_SWAP:
        if (reg != NULL && is_taken(join, reg))
            return;
        lift(join);
        swap_register(join, revision, now);
        break;
    case SPOOL_REGISTER_MINE:
        if (join->asked_register.incarnation >= join->least_incarnation) {
            is_registered(join, revision, result->history);
            break;
        }
        join->asked_register.epoch++;
        lift(join);
        swap_register(join, revision, now);
        break;
    case SPOOL_REGISTER_REFUSED:
        is_elsewhere(join, reg, error.text);
        break;
    }
}

static const struct kv_pair *own_pair(const struct join *join, const struct kv_result *result)
{
    for (size_t i = 0; i < result->pair_count; i++)
        if (strcmp(result->pairs[i].key, join->spool_key) == 0)
            return &result->pairs[i];
    return NULL;
}

void join_on_register(struct join *join, const struct kv_result *result, usec_t now)
{
    const struct kv_pair *pair = own_pair(join, result);
    struct spool_register reg;
    struct error error;
    if (pair == NULL)
        judge_register(join, NULL, 0, result, now);
    else if (spool_register_read(pair->value, pair->len, &reg, &error) == 0)
        judge_register(join, &reg, pair->revision, result, now);
    else {
        struct error whole;
        error_set(&whole,
            "%s: %s. Somebody wrote there by hand; if this disk (%s) is the one that has the spool, take "
            "the key out of the store",
            join->spool_key, error.text, join->live.disk);
        join_end(join, whole.text);
    }
}

void join_on_swap(struct join *join, const struct kv_result *result, usec_t now)
{
    if (result->outcome == KV_DONE)
        is_registered(join, result->revision, result->history);
    else if (result->outcome == KV_LOST)
        join->pause_until = now + JOIN_AGAIN;
}
