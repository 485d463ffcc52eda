/* join - the calls of join.h, the lease and the end; see join_state.h for how it works inside */
#include "cluster/join.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/join_state.h"

struct join *join_new(const char *cluster, const struct member_live *live, const struct join_ports *ports)
{
    must(member_name_good(cluster) && member_name_good(live->id) && live->process != 0);
    must(live->role != MEMBER_ANY && live->source_count <= MEMBER_MAX_SOURCES);
    must(wire_meets(&live->wire, &wire_ours));
    struct join *join = xcalloc(1, sizeof *join);
    join->next_at = USEC_NEVER;
    snprintf(join->cluster, sizeof join->cluster, "%s", cluster);
    member_path(join->spec_key, cluster, "spec", live->id);
    member_path(join->view_key, cluster, "view/current", NULL);
    member_path(join->live_key, cluster, "live", live->id);
    if (live->role == MEMBER_NODE) {
        must(live->disk[0] != '\0' && member_name_good(live->spool));
        member_path(join->spool_key, cluster, "spool", live->spool);
    }
    join->ports = *ports;
    member_live_copy(live, &join->live);
    join->live.incarnation = live->role == MEMBER_COORDINATOR ? live->process : 0;
    join->registered = live->role == MEMBER_COORDINATOR;
    join->wanted_version = 1;
    join_want_sources(join);
    return join;
}

void join_free(struct join **join)
{
    struct join *j = *join;
    *join = NULL;
    if (j == NULL)
        return;
    join_free_sources(j);
    member_live_free(&j->live);
    free(j);
}

uint64_t join_send(struct join *join, const struct kv_request *request)
{
    uint64_t ref = ++join->refs;
    join->ports.store.request(join->ports.store.context, ref, request);
    return ref;
}

void join_ask(struct join *join, enum join_ask ask, const struct kv_request *request, usec_t now)
{
    must(join->ask_ref == 0);
    join->ask = ask;
    join->ask_sent = now;
    join->ask_ref = join_send(join, request);
}

/* ---- what is told ---- */

void join_wait(struct join *join, usec_t now, const char *format, ...)
{
    char what[sizeof join->what];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (strcmp(what, join->what) == 0)
        return;
    memcpy(join->what, what, sizeof what);
    join->tell_at = now + JOIN_TELL;
    join->ports.waiting(join->ports.context, join->what);
}

void join_store_away(struct join *join, const char *why, usec_t now)
{
    join->away = true;
    join_wait(join, now, "the store to answer: %s", why == NULL ? "no reason was given" : why);
}

void join_store_back(struct join *join, usec_t now)
{
    if (join->away && join->joined)
        join_wait(join, now, "nothing any more: the store answers");
    if (join->away)
        join->what[0] = '\0';
    join->away = false;
}

static void tell_again(struct join *join, usec_t now)
{
    if (join->joined || join->what[0] == '\0' || now < join->tell_at)
        return;
    join->tell_at = now + JOIN_TELL;
    join->ports.waiting(join->ports.context, join->what);
}

void join_end(struct join *join, const char *why)
{
    if (join->ended)
        return;
    join->ended = true;
    if (join->lease != 0) {
        struct kv_request revoke = {.verb = KV_LEASE_REVOKE, .lease = join->lease};
        join_send(join, &revoke);
        join->lease = 0;
    }
    if (!join->leaving)
        join->ports.ended(join->ports.context, why);
}

/* ---- spec/<me> ---- */

/* 0, or -1 with why this member may not be here. */
static int check_spec(const struct join *join, const struct member_spec *spec, struct error *error)
{
    const struct member_live *me = &join->live;
    const char *role = member_role_name(me->role);
    if (strcmp(spec->public_key, me->public_key) != 0)
        return error_set(error,
            "cluster %s knows %s by the public key %s, this one has %s: bring back the key file that belongs "
            "to the first, or run `todoku members remove %s` and `todoku members add %s '%s'` where etcd "
            "can be reached",
            join->cluster, me->id, spec->public_key, me->public_key, me->id, me->id, me->public_key);
    if (spec->role != MEMBER_ANY && spec->role != me->role)
        return error_set(error,
            "%s is a %s of cluster %s, not a %s: start it with `todoku %s`, or run `todoku members remove "
            "%s` and `todoku members add %s '%s' --role %s` where etcd can be reached",
            me->id, member_role_name(spec->role), join->cluster, role, member_role_name(spec->role), me->id,
            me->id, me->public_key, role);
    return 0;
}

void join_judge_spec(struct join *join, const struct kv_pair *pair)
{
    const struct member_live *me = &join->live;
    struct member_spec spec;
    struct error error;
    int status;
    if (pair == NULL)
        status = error_set(&error,
            "%s is not a member of cluster %s: run `todoku members add %s '%s'` where etcd can be reached",
            me->id, join->cluster, me->id, me->public_key);
    else if (member_spec_read(pair->value, pair->len, &spec, &error) != 0) {
        if (join->joined) /* whoever wrote that did not say that this member has to go */
            return;
        struct error why = error;
        status = error_set(&error,
            "%s can't be read: %s; run `todoku members remove %s` and `todoku members add %s '%s'` where "
            "etcd can be reached",
            join->spec_key, why.text, me->id, me->id, me->public_key);
    } else
        status = check_spec(join, &spec, &error);
    if (status == 0)
        join->let_in = true;
    else
        join_end(join, error.text);
}

void join_spec_news(struct join *join, const struct kv_news *news, usec_t now)
{
    if (!join->started || join->ended || join->leaving || news->type == KV_AWAY ||
        news->revision < join->spec_seen)
        return; /* a list that is older than what was read says nothing new */
    join->spec_seen = news->revision;
    const struct kv_pair *found = NULL;
    for (size_t i = 0; i < news->pair_count; i++)
        if (strcmp(news->pairs[i].key, join->spec_key) == 0) /* the prefix has n10 for n1 too */
            found = &news->pairs[i];
    if (found != NULL)
        join_judge_spec(join, found->deleted ? NULL : found);
    else if (news->type == KV_LIST)
        join_judge_spec(join, NULL);
    join_next(join, now);
}

/* ---- the lease ---- */

void join_lease_gone(struct join *join, usec_t now)
{
    join->lease = 0;
    join->lapsed = false;
    join->keep_ref = 0;
    join->live_known = false;
    join->stored_version = 0;
    join_forget_sources(join);
    if (join->ask != ASK_REGISTER && join->ask != ASK_SWAP) { /* those don't hang on the lease */
        join->ask = ASK_NOTHING;
        join->ask_ref = 0;
    }
    join->pause_until = now;
}

static void on_kept(struct join *join, const struct kv_result *result, usec_t now)
{
    join->keep_ref = 0;
    if (result->outcome == KV_LOST || (result->outcome == KV_DONE && result->ttl <= 0)) {
        join_lease_gone(join, now);
        return;
    }
    if (result->outcome != KV_DONE) {
        join->keep_at = now + JOIN_RETRY;
        join_store_away(join, result->why, now);
        return;
    }
    /* It counts from when it was asked: the answer may have been long on its way. */
    join->lease_ends = join->keep_sent + result->ttl;
    join->keep_at = join->keep_sent + result->ttl / 3;
    if (join->lease_ends > now)
        join->lapsed = false;
    join_store_back(join, now);
}

static void keep(struct join *join, usec_t now)
{
    if (join->lease == 0)
        return;
    if (now >= join->lease_ends)
        join->lapsed = true;
    if (join->unwell || join->keep_ref != 0 || now < join->keep_at)
        return;
    struct kv_request request = {.verb = KV_LEASE_KEEP, .lease = join->lease};
    join->keep_sent = now;
    join->keep_ref = join_send(join, &request);
}

/* ---- calls ---- */

void join_set_floor(struct join *join, uint64_t change, uint64_t incarnation)
{
    join->floor_change = change;
    join->floor_incarnation = incarnation;
}

void join_set_home(
    struct join *join, const char *spool, const char *disk, uint64_t change, uint64_t incarnation, usec_t now)
{
    if (!join->started || join->ended || join->leaving)
        return;
    must(join->live.role == MEMBER_NODE && disk[0] != '\0' && member_name_good(spool));
    if (strcmp(spool, join->live.spool) != 0 || strcmp(disk, join->live.disk) != 0) {
        join->live.incarnation = join->least_incarnation = 0;
        join_set_floor(join, change, incarnation);
    } else if (join->live.incarnation != 0)
        join->least_incarnation = join->live.incarnation + 1;
    snprintf(join->live.spool, sizeof join->live.spool, "%s", spool);
    snprintf(join->live.disk, sizeof join->live.disk, "%s", disk);
    member_path(join->spool_key, join->cluster, "spool", spool);
    if (join->ask == ASK_REGISTER || join->ask == ASK_SWAP) { /* of the former one */
        join->ask = ASK_NOTHING;
        join->ask_ref = 0;
    }
    join->registered = join->elsewhere = join->joined = join->ready = false;
    join->stored_version = 0;
    join->wanted_version++;
    join_next(join, now);
}

void join_new_history(struct join *join, usec_t now)
{
    if (!join->started || join->ended || join->leaving)
        return;
    join_lease_gone(join, now);
    join->ask = ASK_NOTHING;
    join->ask_ref = 0;
    join->spec_seen = 0;
    join->let_in = join->view_read = false;
    join->registered = join->live.role == MEMBER_COORDINATOR;
    join->held_since = 0;
    join->took_from = 0;
    join_next(join, now);
}

void join_start(struct join *join, usec_t now)
{
    join->started = true;
    join_next(join, now);
}

void join_ready(struct join *join, usec_t now)
{
    must(join->joined);
    if (!join->ready)
        join->wanted_version++;
    join->ready = true;
    join_next(join, now);
}

void join_set_live(struct join *join, const struct member_live *live, usec_t now)
{
    struct member_live old = join->live;
    must(strcmp(live->id, old.id) == 0 && live->process == old.process && live->role == old.role);
    must(live->source_count <= MEMBER_MAX_SOURCES);
    member_live_copy(live, &join->live);
    join->live.incarnation = old.incarnation;
    join->live.epoch = old.epoch;
    memcpy(join->live.disk, old.disk, sizeof old.disk);
    memcpy(join->live.spool, old.spool, sizeof old.spool);
    member_live_free(&old);
    join_want_sources(join);
    join->wanted_version++;
    join_next(join, now);
}

void join_set_epoch(struct join *join, uint64_t epoch, usec_t now)
{
    if (epoch == join->live.epoch)
        return;
    join->live.epoch = epoch;
    join->wanted_version++;
    join_next(join, now);
}

void join_set_well(struct join *join, bool well, usec_t now)
{
#ifdef TODOKU_WITHOUT_PULSE
    well = true;
#endif
    if (join->unwell != well)
        return;
    join->unwell = !well;
    if (!well)
        return;
    join->keep_at = join->pause_until = now; /* is the lease still there? */
    join_tick(join, now);
}

static void revoke(struct join *join)
{
    struct kv_request revoke = {.verb = KV_LEASE_REVOKE, .lease = join->lease};
    join->leave_ref = join_send(join, &revoke);
    join->lease = 0;
}

void join_leave(struct join *join, usec_t now)
{
    (void)now;
    if (join->leaving || join->ended) {
        join->gone = join->gone || join->ended;
        return;
    }
    join->leaving = true;
    if (join->lease == 0) {
        join->gone = true;
        return;
    }
    if (join->live.role == MEMBER_NODE && join->joined && join->live_known)
        join->farewell_ref = join_put_farewell(join);
    else
        revoke(join);
}

bool join_gone(const struct join *join)
{
    return join->gone;
}

void join_result(struct join *join, uint64_t ref, const struct kv_result *result, usec_t now)
{
    if (ref == join->farewell_ref && ref != 0) {
        join->farewell_ref = 0;
        revoke(join); /* whatever the answer: it is only a word */
    } else if (ref == join->leave_ref && ref != 0)
        join->gone = true; /* whatever the answer: if it did not happen, the lease ends by itself */
    if (join->ended || join->leaving || ref == 0)
        return;
    if (ref == join->keep_ref)
        on_kept(join, result, now);
    else if (ref == join->ask_ref) {
        enum join_ask ask = join->ask;
        join->ask = ASK_NOTHING;
        join->ask_ref = 0;
        join_answered(join, ask, result, now);
    }
    join_tick(join, now);
}

/* The store promises an answer to every request; one that it forgot is taken for "no answer". */
static void give_up(struct join *join, usec_t now)
{
    struct kv_result none = {.outcome = KV_UNKNOWN, .why = "no answer at all"};
    if (join->keep_ref != 0 && now >= join->keep_sent + 2 * KV_PATIENCE)
        on_kept(join, &none, now);
    if (join->ask_ref != 0 && now >= join->ask_sent + 2 * KV_PATIENCE) {
        enum join_ask ask = join->ask;
        join->ask = ASK_NOTHING;
        join->ask_ref = 0;
        join_answered(join, ask, &none, now);
    }
}

void join_tick(struct join *join, usec_t now)
{
    if (!join->started || join->ended || join->leaving)
        return;
    give_up(join, now);
    keep(join, now);
    join_next(join, now);
    if (!join->ended)
        tell_again(join, now);
}

static void sooner(usec_t *at, usec_t than)
{
    if (than < *at)
        *at = than;
}

usec_t join_deadline(const struct join *join)
{
    usec_t at = USEC_NEVER;
    if (!join->started || join->ended || join->leaving)
        return at;
    if (join->lease != 0) {
        if (join->keep_ref != 0)
            sooner(&at, join->keep_sent + 2 * KV_PATIENCE);
        else if (!join->unwell)
            sooner(&at, join->keep_at);
        if (!join->lapsed)
            sooner(&at, join->lease_ends);
    }
    if (join->ask_ref != 0)
        sooner(&at, join->ask_sent + 2 * KV_PATIENCE);
    else
        sooner(&at, join->next_at);
    if (!join->joined && join->what[0] != '\0')
        sooner(&at, join->tell_at);
    return at;
}

bool join_is_member(const struct join *join)
{
    return join->joined && !join->ended && !join->leaving;
}

uint64_t join_lease(const struct join *join)
{
    return join->lapsed ? 0 : join->lease;
}
