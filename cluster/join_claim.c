/* join_claim - the name and the order of things; see join_state.h
 *
 * join_next() looks at what is known and asks for the first thing that is missing; join_answered() writes
 * down what an answer makes known. Neither remembers a "phase", so a lease that is lost half-way, or an
 * answer that never came, needs no road of its own. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/join_state.h"
#include "cluster/view_store.h"

/* ---- asking ---- */

static void ask_key(struct join *join, enum join_ask ask, const char *key, usec_t now)
{
    struct kv_request request = {.verb = KV_RANGE, .key = key};
    join_ask(join, ask, &request, now);
}

static void ask_lease(struct join *join, usec_t now)
{
    struct kv_request request = {.verb = KV_LEASE_GRANT, .ttl = JOIN_LEASE};
    join_ask(join, ASK_GRANT, &request, now);
}

/* What live/<me> is to say now. */
static void write_live(const struct join *join, struct buffer *out)
{
    struct member_live said = join->live;
    said.sources = xcalloc(join->live.source_count, sizeof *said.sources);
    said.source_count = 0;
    for (size_t i = 0; i < join->live.source_count; i++)
        if (!join_denied(join, join->live.sources[i].address))
            said.sources[said.source_count++] = join->live.sources[i];
    if (said.role == MEMBER_NODE && !join->ready)
        said.incarnation = 0;
    member_live_write(&said, out);
    free(said.sources);
}

static void put_live(struct join *join, usec_t now)
{
    struct buffer text = {0};
    write_live(join, &text);
    if (buffer_len(&text) > KV_MAX_VALUE) {
        struct error error;
        error_set(&error,
            "what %s says of itself takes %zu bytes, more than the %u that the store takes: "
            "give it fewer sources, or shorter names",
            join->live.id, buffer_len(&text), KV_MAX_VALUE);
        join->stored_version = join->wanted_version; /* the old one stays */
        if (join->joined)
            join_wait(join, now, "another configuration: %s", error.text);
        else
            join_end(join, error.text);
        buffer_free(&text);
        return;
    }
    struct kv_compare compare = {.key = join->live_key, .revision = join->live_revision};
    struct kv_change change = {join->live_key, buffer_bytes(&text), buffer_len(&text), join->lease};
    struct kv_request request = {
        .verb = KV_TXN, .compares = &compare, .compare_count = 1, .changes = &change, .change_count = 1};
    join->asked_version = join->wanted_version;
    join_ask(join, ASK_PUT_LIVE, &request, now);
    buffer_free(&text);
}

static void all_claimed(struct join *join)
{
    join->joined = true;
    join->what[0] = '\0';
    join->away = false;
    join->ports.joined(join->ports.context, join->live.incarnation);
}

/* Asks for the first thing that is missing. */
static void ask_next(struct join *join, usec_t now)
{
    if (!join->let_in)
        ask_key(join, ASK_SPEC, join->spec_key, now);
    else if (!join->view_read)
        ask_key(join, ASK_VIEW, join->view_key, now);
    else if (join->lease == 0)
        ask_lease(join, now);
    else if (!join->live_known)
        ask_key(join, ASK_LIVE, join->live_key, now);
    else if (join->stored_version == 0)
        put_live(join, now);
    else if (join_next_source(join, now) || (!join->joined && !join_holds_all(join)))
        return;
    else if (!join->registered) {
        if (!join->elsewhere)
            ask_key(join, ASK_REGISTER, join->spool_key, now);
    } else if (!join->joined)
        all_claimed(join);
    if (join->joined && join->ask_ref == 0 && join->stored_version != join->wanted_version)
        put_live(join, now);
}

uint64_t join_put_farewell(struct join *join)
{
    struct buffer text = {0};
    join->live.leaving = true;
    write_live(join, &text);
    struct kv_compare compare = {.key = join->live_key, .revision = join->live_revision};
    struct kv_change change = {join->live_key, buffer_bytes(&text), buffer_len(&text), join->lease};
    struct kv_request request = {
        .verb = KV_TXN, .compares = &compare, .compare_count = 1, .changes = &change, .change_count = 1};
    uint64_t ref = join_send(join, &request);
    buffer_free(&text);
    return ref;
}

void join_next(struct join *join, usec_t now)
{
    if (!join->started || join->ended || join->leaving || join->ask_ref != 0)
        return;
    if (join->unwell) {
        join->next_at = USEC_NEVER;
        return;
    }
    join->next_at = join->pause_until;
    if (now < join->pause_until)
        return;
    join->next_at = USEC_NEVER;
    if (join->joined && join->lease != 0 && join->live_known && now >= join->audit_at)
        join->live_known = false;
    ask_next(join, now);
    if (join->ended || join->ask_ref != 0 || !join->joined)
        return;
    if (join->audit_at < join->next_at)
        join->next_at = join->audit_at;
}

/* ---- answers ---- */

static const struct kv_pair *only_pair(const struct kv_result *result, const char *key)
{
    for (size_t i = 0; i < result->pair_count; i++)
        if (strcmp(result->pairs[i].key, key) == 0)
            return &result->pairs[i];
    return NULL;
}

static void on_spec(struct join *join, const struct kv_result *result)
{
    if (result->revision < join->spec_seen)
        return; /* news overtook it */
    join->spec_seen = result->revision;
    join_judge_spec(join, only_pair(result, join->spec_key));
}

/* A cluster that a newer program leads is not this program's to join; and a member that spec/ gave no role
 * keeps the one of its first start. */
static void on_view(struct join *join, const struct kv_result *result)
{
    join->view_read = true;
    const struct kv_pair *pair = only_pair(result, join->view_key);
    if (pair == NULL)
        return;
    struct error error;
    const char *me = join->live.id;
    struct view *view = view_store_read(pair->value, pair->len, &error);
    if (view == NULL) {
        error_prefix(&error, "%s can't be a member of cluster %s", me, join->cluster);
        join_end(join, error.text);
        return;
    }
    bool is_node = view_node(view, me) != NULL, is_coordinator = false;
    for (size_t i = 0; i < view->coordinator_count; i++)
        is_coordinator = is_coordinator || strcmp(view->coordinators[i].id, me) == 0;
    view_drop(&view);
    if (join->live.role == MEMBER_NODE ? !is_coordinator : !is_node)
        return;
    const char *was = member_role_name(is_node ? MEMBER_NODE : MEMBER_COORDINATOR);
    error_set(&error,
        "%s has been a %s of cluster %s since its first start: start it with `todoku %s`, or "
        "give this one another id",
        me, was, join->cluster, was);
    join_end(join, error.text);
}

static void on_granted(struct join *join, const struct kv_result *result, usec_t now)
{
    join->lease = result->lease;
    join->lease_ends = join->ask_sent + result->ttl;
    join->keep_at = join->ask_sent + result->ttl / 3;
    join->lapsed = now >= join->lease_ends;
}

static void take_over(struct join *join, const struct kv_pair *pair, uint64_t process, usec_t now)
{
    if (pair->lease == 0) {
        join->live_known = true;
        join->live_revision = pair->revision;
        join->stored_version = 0;
        return;
    }
    join->took_from = process;
    struct kv_request request = {.verb = KV_LEASE_REVOKE, .lease = pair->lease};
    join_ask(join, ASK_TAKE_OVER, &request, now);
}

static void name_is_held(
    struct join *join, const struct member_live *holder, bool readable, const char *cannot, usec_t now)
{
    const char *me = join->live.id, *at = readable ? holder->endpoint : "an unknown place";
    char more[160] = "";
    if (!readable)
        snprintf(more, sizeof more, " (its record can't be read: %.100s)", cannot);
    else if (holder->disk[0] != '\0')
        snprintf(more, sizeof more, ", with disk %s", holder->disk);
    if (join->held_since == 0)
        join->held_since = now;
    if (now - join->held_since < JOIN_HELD_FOR) {
        join->pause_until = now + JOIN_LOOK;
        join_wait(join, now, "the name %s, which another process at %s still holds%s", me, at, more);
        return;
    }
    struct error error;
    error_set(&error,
        "another process at %s is %s of cluster %s%s: stop that one, or give this one another "
        "id",
        at, me, join->cluster, more);
    join_end(join, error.text);
}

static void live_is_mine(struct join *join, const struct kv_pair *pair)
{
    struct buffer text = {0};
    write_live(join, &text);
    bool same = pair->lease == join->lease && buffer_len(&text) == pair->len &&
                memcmp(buffer_bytes(&text), pair->value, pair->len) == 0;
    buffer_free(&text);
    join->live_known = true;
    join->live_revision = pair->revision;
    join->stored_version = same ? join->wanted_version : 0;
    join->held_since = 0;
}

static void on_live(struct join *join, const struct kv_result *result, usec_t now)
{
    const struct kv_pair *pair = only_pair(result, join->live_key);
    join->audit_at = now + JOIN_AUDIT;
    if (pair == NULL) {
        join->live_known = true;
        join->live_revision = 0;
        join->stored_version = 0;
        return;
    }
    struct member_live there;
    struct error error = {""};
    bool readable = member_live_read(pair->value, pair->len, &there, &error) == 0;
    if (readable && !wire_meets(&there.wire, &wire_ours)) {
        char its[WIRE_TEXT_SIZE], ours[WIRE_TEXT_SIZE];
        readable = false;
        error_set(&error, "it is of wire version %s, this program speaks %s", wire_text(&there.wire, its),
            wire_text(&wire_ours, ours));
    }
    /* The same disk: its folder's lock is ours, so the process that wrote this is gone. Once a member, it
     * can only be a newer one, on a copy of the disk. */
    bool mine_before = readable && !join->joined && join->live.disk[0] != '\0' &&
                       strcmp(there.disk, join->live.disk) == 0 &&
                       (join->took_from == 0 || join->took_from == there.process);
    if (readable && there.process == join->live.process)
        live_is_mine(join, pair);
    else if (mine_before || pair->lease == 0) /* under no lease: put there by hand, and nobody's */
        take_over(join, pair, there.process, now);
    else
        name_is_held(join, &there, readable, error.text, now);
    member_live_free(&there);
}

static void on_put_live(struct join *join, const struct kv_result *result, usec_t now)
{
    if (result->outcome == KV_DONE) {
        join->live_revision = result->revision;
        join->stored_version = join->asked_version;
        join->held_since = 0;
        join->audit_at = now + JOIN_AUDIT;
        return;
    }
    join->live_known = false;
    if (result->outcome == KV_LOST) {
        join->keep_at = now; /* is it the lease? */
        join->pause_until = now + JOIN_AGAIN;
    }
}

/* No answer, or a refusal: whatever it was about is unknown, and asked again after a while. */
static void on_trouble(struct join *join, const struct kv_result *result, usec_t now)
{
    if (result->outcome == KV_REFUSED && !join->joined) {
        struct error error;
        error_set(&error, "the store refuses what %s needs to be a member of cluster %s: %s", join->live.id,
            join->cluster, result->why == NULL ? "no reason was given" : result->why);
        join_end(join, error.text);
        return;
    }
    /* Members differ, so that they don't all come back in the same moment. */
    usec_t spread = (usec_t)(join->live.process % (uint64_t)JOIN_RETRY);
    join->pause_until = now + (result->outcome == KV_REFUSED ? JOIN_REFUSED : JOIN_RETRY) + spread;
    join->held_since = 0; /* leases stand still while the store is away */
    join_store_away(join, result->why, now);
}

void join_answered(struct join *join, enum join_ask ask, const struct kv_result *result, usec_t now)
{
    bool trouble = result->outcome == KV_UNKNOWN || result->outcome == KV_REFUSED;
    if (trouble)
        on_trouble(join, result, now);
    else
        join_store_back(join, now);
    if (join->ended)
        return;
    switch (ask) {
    case ASK_NOTHING:
        break;
    case ASK_PUT_LIVE:
        on_put_live(join, result, now);
        break;
    case ASK_SWAP:
        join_on_swap(join, result, now);
        break;
    case ASK_CLAIM:
    case ASK_SOURCE:
    case ASK_TAKE:
    case ASK_RELEASE:
        join_source_answered(join, ask, result, now);
        break;
    case ASK_TAKE_OVER:
        break; /* read again, whatever the answer was */
    case ASK_SPEC:
        if (!trouble)
            on_spec(join, result);
        break;
    case ASK_VIEW:
        if (!trouble)
            on_view(join, result);
        break;
    case ASK_GRANT:
        if (!trouble)
            on_granted(join, result, now);
        break;
    case ASK_LIVE:
        if (!trouble)
            on_live(join, result, now);
        break;
    case ASK_REGISTER:
        if (!trouble)
            join_on_register(join, result, now);
        break;
    }
}
