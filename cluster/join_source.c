/* join_source - the claims source/<address>; see join_state.h
 *
 * All that were never asked for are claimed many at once, which succeeds where nothing is in the way; if not,
 * each is looked at by itself. At the start an address that somebody else holds is waited for and then ends
 * the join; a member that is given such an address (another configuration) goes on without it, and looks
 * again from time to time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/join_state.h"

#define BATCH KV_MAX_CHANGES
#define MAX_UNWANTED ((size_t)2 * MEMBER_MAX_SOURCES)

static void forget(struct join *join, struct claim *claim)
{
    map_remove_text(&join->claims, claim->address);
    free(claim->address);
    free(claim);
}

void join_free_sources(struct join *join)
{
    struct map_entry *at = NULL;
    struct claim *claim;
    while ((claim = map_next(&join->claims, &at)) != NULL) {
        free(claim->address);
        free(claim);
    }
    map_free(&join->claims);
}

bool join_denied(const struct join *join, const char *address)
{
    const struct claim *claim = map_get_text(&join->claims, address);
    return claim != NULL && claim->denied;
}

void join_want_sources(struct join *join)
{
    struct map_entry *at = NULL;
    struct claim *claim;
    while ((claim = map_next(&join->claims, &at)) != NULL)
        claim->wanted = false;
    for (size_t i = 0; i < join->live.source_count; i++) {
        const char *address = join->live.sources[i].address;
        claim = map_get_text(&join->claims, address);
        if (claim == NULL) {
            claim = xcalloc(1, sizeof *claim);
            claim->address = xstrdup(address);
            map_set_text(&join->claims, address, claim);
        }
        claim->wanted = true;
    }
    at = NULL; /* what can't be given back one by one goes with the lease */
    while (map_count(&join->claims) > MAX_UNWANTED && (claim = map_next(&join->claims, &at)) != NULL)
        if (!claim->wanted)
            forget(join, claim);
}

void join_forget_sources(struct join *join)
{
    struct map_entry *at = NULL;
    struct claim *claim;
    while ((claim = map_next(&join->claims, &at)) != NULL) {
        claim->state = CLAIM_OPEN;
        claim->asked = false;
        claim->again = 0;
        if (!claim->wanted)
            forget(join, claim);
    }
}

bool join_holds_all(const struct join *join)
{
    struct map_entry *at = NULL;
    const struct claim *claim;
    while ((claim = map_next(&join->claims, &at)) != NULL)
        if (claim->wanted && claim->state != CLAIM_HELD)
            return false;
    return true;
}

/* ---- asking ---- */

static void path_of(const struct join *join, const struct claim *claim, char path[MEMBER_PATH_SIZE])
{
    member_path(path, join->cluster, "source", claim->address);
}

static void write_claim(const struct join *join, struct buffer *out)
{
    struct member_claim mine = {.process = join->live.process};
    snprintf(mine.node, sizeof mine.node, "%s", join->live.id);
    member_claim_write(&mine, out);
}

/* One transaction for all of `claims`: they are as their revisions say -> mine, or (release) nobody's. */
static void change(
    struct join *join, enum join_ask ask, struct claim *const *claims, size_t count, usec_t now)
{
    char paths[BATCH][MEMBER_PATH_SIZE];
    struct kv_compare compares[BATCH];
    struct kv_change changes[BATCH];
    struct buffer text = {0};
    write_claim(join, &text);
    for (size_t i = 0; i < count; i++) {
        path_of(join, claims[i], paths[i]);
        claims[i]->asked = true;
        compares[i] = (struct kv_compare){.key = paths[i], .revision = claims[i]->revision};
        changes[i] = (struct kv_change){paths[i], buffer_bytes(&text), buffer_len(&text), join->lease};
        if (ask == ASK_RELEASE)
            changes[i] = (struct kv_change){.key = paths[i]};
    }
    struct kv_request request = {.verb = KV_TXN,
        .compares = compares,
        .compare_count = count,
        .changes = changes,
        .change_count = count};
    join_ask(join, ask, &request, now);
    buffer_free(&text);
}

static void look(struct join *join, struct claim *claim, usec_t now)
{
    char path[MEMBER_PATH_SIZE];
    path_of(join, claim, path);
    struct kv_request request = {.verb = KV_RANGE, .key = path};
    claim->asked = true;
    join_ask(join, ASK_SOURCE, &request, now);
}

/* Asks for what this one needs now; false: nothing. */
static bool ask_for(struct join *join, struct claim *claim, usec_t now)
{
    if (claim->state == CLAIM_LOOK && now >= claim->again)
        look(join, claim, now);
    else if (claim->state == CLAIM_TAKE && claim->wanted)
        change(join, ASK_TAKE, &claim, 1, now);
    else if (claim->state == CLAIM_HELD && !claim->wanted)
        change(join, ASK_RELEASE, &claim, 1, now);
    else
        return false;
    return true;
}

bool join_next_source(struct join *join, usec_t now)
{
    struct claim *open[BATCH], *claim;
    size_t count = 0;
    struct map_entry *at = NULL;
    while (count < BATCH && (claim = map_next(&join->claims, &at)) != NULL) {
        if (!claim->wanted && (claim->state == CLAIM_OPEN || claim->state == CLAIM_TAKE))
            forget(join, claim); /* not mine, nor wanted */
        else if (claim->state == CLAIM_OPEN) {
            claim->revision = 0;
            open[count++] = claim;
        } else if (claim->state == CLAIM_LOOK && now < claim->again && claim->again < join->next_at)
            join->next_at = claim->again;
    }
    if (count > 0) {
        change(join, ASK_CLAIM, open, count, now);
        return true;
    }
    at = NULL;
    while ((claim = map_next(&join->claims, &at)) != NULL)
        if (ask_for(join, claim, now))
            return true;
    return false;
}

/* ---- answers ---- */

static void set_denied(struct join *join, struct claim *claim, bool denied)
{
    if (claim->denied != denied)
        join->wanted_version++;
    claim->denied = denied;
}

static void is_held(struct join *join, struct claim *claim, const char *holder, usec_t now)
{
    if (!claim->wanted) {
        forget(join, claim);
        return;
    }
    if (claim->since == 0)
        claim->since = now;
    claim->again = now + (join->joined ? JOIN_TELL : JOIN_LOOK);
    join_wait(join, now, "the address %s, which node %s still holds", claim->address, holder);
    if (join->joined) {
        if (now - claim->since >= JOIN_HELD_FOR)
            set_denied(join, claim, true);
        return;
    }
    if (now - claim->since < JOIN_HELD_FOR)
        return;
    struct error error;
    error_set(&error,
        "node %s of cluster %s sends from %s already: take that address out of the sources of "
        "one of the two",
        holder, join->cluster, claim->address);
    join_end(join, error.text);
}

static void on_looked(struct join *join, struct claim *claim, const struct kv_result *result, usec_t now)
{
    char path[MEMBER_PATH_SIZE];
    path_of(join, claim, path);
    const struct kv_pair *pair = NULL;
    for (size_t i = 0; i < result->pair_count; i++)
        if (strcmp(result->pairs[i].key, path) == 0)
            pair = &result->pairs[i];
    struct member_claim there = {"", 0};
    struct error error;
    bool readable = pair != NULL && member_claim_read(pair->value, pair->len, &there, &error) == 0;
    claim->revision = pair == NULL ? 0 : pair->revision;
    if (pair == NULL)
        claim->state = CLAIM_TAKE;
    else if (readable && there.process == join->live.process && pair->lease == join->lease)
        claim->state = CLAIM_HELD;
    else if (readable && strcmp(there.node, join->live.id) == 0)
        claim->state = CLAIM_TAKE; /* live/<me> is mine: no other process has this name */
    else if (pair->lease == 0)
        claim->state = CLAIM_TAKE; /* put there by hand: it would stand for ever */
    else
        is_held(join, claim, readable ? there.node : "with a record that can't be read", now);
}

static void got(struct join *join, struct claim *claim, uint64_t revision)
{
    claim->state = CLAIM_HELD;
    claim->revision = revision;
    claim->since = 0;
    set_denied(join, claim, false);
}

static void answered_one(
    struct join *join, struct claim *claim, enum join_ask ask, const struct kv_result *result, usec_t now)
{
    claim->asked = false;
    if (result->outcome == KV_DONE && ask == ASK_SOURCE)
        on_looked(join, claim, result, now);
    else if (result->outcome == KV_DONE && ask != ASK_RELEASE)
        got(join, claim, result->revision);
    else if (ask == ASK_RELEASE && (result->outcome == KV_DONE || result->outcome == KV_LOST)) {
        if (claim->wanted) /* again, since it was asked */
            claim->state = CLAIM_LOOK;
        else
            forget(join, claim);
    } else {
        claim->state = CLAIM_LOOK;
        claim->again = now;
        if (result->outcome != KV_LOST)
            claim->since = 0; /* leases stand still while the store is away */
    }
}

void join_source_answered(struct join *join, enum join_ask ask, const struct kv_result *result, usec_t now)
{
    struct map_entry *at = NULL;
    struct claim *claim;
    while (!join->ended && (claim = map_next(&join->claims, &at)) != NULL)
        if (claim->asked)
            answered_one(join, claim, ask, result, now);
    if (result->outcome == KV_LOST && ask == ASK_TAKE) {
        join->keep_at = now; /* is it the lease? */
        join->pause_until = now + JOIN_AGAIN;
    }
}
