/* hold_store - see hold_store.h; the watch is in hold_watch.c
 *
 * Each call is a small block of its own that goes from answer to answer: all holds are read first, then
 * changed under compares of what was read. Many are lifted in several transactions, each with its own reading,
 * until none is left. */
#include "cluster/hold_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "cluster/hold_store_inside.h"

#define MAX_TRIES 8 /* when others change them meanwhile */
#define PREFIX "pause-"
#define LINGER USEC_MIN /* clocks differ: what has ended here may still be on elsewhere */

struct job {
    struct kv kv;
    char cluster[MEMBER_ID_SIZE];
    usec_t now;
    struct holds *own; /* adding: the one; lifting: those that name the same (null = any) */
    bool by_id;        /* lifting: the one of this id */
    char tenant[HOLD_MAX_NAME + 1];
    bool of_tenant;
    struct hold_lift lift; /* the transaction under way */
    size_t count;          /* lifted so far */
    unsigned tries;
    hold_done *done;
    hold_listed *listed;
    void *arg;
};

/* ---- keys ---- */

const char *hold_key_id(const char *key)
{
    const char *name = strrchr(key, '/');
    if (name == NULL || strncmp(name + 1, PREFIX, strlen(PREFIX)) != 0)
        return NULL;
    return hold_id_good(name + 1 + strlen(PREFIX)) ? name + 1 + strlen(PREFIX) : NULL;
}

bool hold_key_is_lift(const char *key)
{
    const char *name = strrchr(key, '/');
    return name != NULL && strcmp(name + 1, "lifted") == 0;
}

void hold_key(char path_r[MEMBER_PATH_SIZE], const char *cluster, const char *id)
{
    char name[sizeof PREFIX + HOLD_ID_SIZE];
    snprintf(name, sizeof name, PREFIX "%s", id);
    member_path(path_r, cluster, "block", name);
}

void hold_prefix(char path_r[MEMBER_PATH_SIZE], const char *cluster)
{
    member_path(path_r, cluster, "block", "");
}

/* ---- jobs ---- */

static struct job *job_new(const struct kv *kv, const char *cluster, void *arg)
{
    struct job *job = xcalloc(1, sizeof *job);
    job->kv = *kv;
    job->arg = arg;
    snprintf(job->cluster, sizeof job->cluster, "%s", cluster);
    return job;
}

static void job_free(struct job *job)
{
    holds_drop(&job->own);
    free(job);
}

static void finish(struct job *job, enum kv_outcome outcome, const char *why)
{
    job->done(job->arg, outcome, job->count, why);
    job_free(job);
}

static void read_all(struct job *job, kv_done *done)
{
    char path[MEMBER_PATH_SIZE];
    hold_prefix(path, job->cluster);
    struct kv_request range = {.verb = KV_RANGE, .key = path, .prefix = true};
    job->kv.request(job->kv.context, &range, done, job);
}

static const char *reason(const struct kv_result *result)
{
    return result->why == NULL ? "the store did not answer" : result->why;
}

static struct holds *read_pairs(const struct kv_result *result)
{
    struct holds *holds = holds_new();
    struct error why;
    for (size_t i = 0; i < result->pair_count; i++) {
        const struct kv_pair *pair = &result->pairs[i];
        const char *id = hold_key_id(pair->key);
        if (id != NULL && holds_read(holds, id, pair->value, pair->len, &why) != 0)
            log_error(pair->key, "is passed over: %s", why.text);
    }
    return holds;
}

/* ---- adding ---- */

static void on_added(void *arg, const struct kv_result *result)
{
    struct job *job = arg;
    job->count = result->outcome == KV_DONE;
    finish(job, result->outcome,
        result->outcome == KV_LOST ? "a hold of this id is there already" : result->why);
}

static bool has_ended(const struct job *job, const struct hold *hold)
{
    return hold->until != 0 && hold->until + LINGER <= job->now;
}

/* Fills in the deletion of what has ended; these need no word of who did it. */
static size_t take_ended(const struct job *job, const struct holds *there, char (*paths)[MEMBER_PATH_SIZE],
    struct kv_change *changes)
{
    size_t count = 0;
    for (size_t i = 0; i < holds_count(there) && count < HOLD_LIFTS; i++) {
        const struct hold *hold = holds_at(there, i);
        if (!has_ended(job, hold))
            continue;
        hold_key(paths[count], job->cluster, hold->id);
        changes[count] = (struct kv_change){.key = paths[count]};
        count++;
    }
    return count;
}

static void write_hold(struct job *job, const struct holds *there)
{
    const struct hold *hold = holds_at(job->own, 0);
    char path[MEMBER_PATH_SIZE], ended[HOLD_LIFTS][MEMBER_PATH_SIZE];
    struct kv_change changes[HOLD_LIFTS + 1];
    struct buffer text = {0};
    size_t count = take_ended(job, there, ended, changes);
    hold_key(path, job->cluster, hold->id);
    hold_write(hold, &text);
    changes[count++] =
        (struct kv_change){.key = path, .value = buffer_bytes(&text), .len = buffer_len(&text)};
    struct kv_compare compare = {.key = path};
    struct kv_request txn = {
        .verb = KV_TXN, .compares = &compare, .compare_count = 1, .changes = changes, .change_count = count};
    job->kv.request(job->kv.context, &txn, on_added, job);
    buffer_free(&text);
}

/* Null, or why there is no room. What has ended takes none: it goes, 60 at a time. */
static const char *lacks_room(const struct job *job, const struct holds *there)
{
    const struct hold *own = holds_at(job->own, 0);
    size_t count = 0, tenants = 0, same = 0;
    for (size_t i = 0; i < holds_count(there); i++) {
        const struct hold *hold = holds_at(there, i);
        if (has_ended(job, hold))
            continue;
        count++;
        tenants += hold->by_tenant;
        same += hold->by_tenant && own->by_tenant && strcmp(hold->match.tenant, own->match.tenant) == 0;
    }
    if (same >= HOLD_TENANT_MAX)
        return "this tenant's keys have set as many as they may; lift some (`todoku pauses` lists them)";
    return count >= HOLD_STORE_MAX || (own->by_tenant && tenants >= HOLD_TENANTS_MAX)
               ? "there are too many already; lift some (`todoku pauses` lists them)"
               : NULL;
}

static void on_room(void *arg, const struct kv_result *result)
{
    struct job *job = arg;
    if (result->outcome != KV_DONE) {
        finish(job, KV_REFUSED, reason(result)); /* nothing was written: nothing is in doubt */
        return;
    }
    struct holds *there = read_pairs(result);
    const char *why = lacks_room(job, there);
    if (why != NULL)
        finish(job, KV_REFUSED, why);
    else
        write_hold(job, there);
    holds_drop(&there);
}

void hold_store_add(
    const struct kv *kv, const char *cluster, const struct hold *hold, usec_t now, hold_done *done, void *arg)
{
    struct job *job = job_new(kv, cluster, arg);
    job->now = now;
    job->done = done;
    job->own = holds_new();
    holds_add(job->own, hold, NULL);
    read_all(job, on_room);
}

/* ---- lifting ---- */

static void on_there(void *arg, const struct kv_result *result);

static void on_lifted(void *arg, const struct kv_result *result)
{
    struct job *job = arg;
    if (result->outcome == KV_DONE)
        job->count += job->lift.count;
    if (result->outcome == KV_LOST && ++job->tries >= MAX_TRIES)
        finish(job, KV_LOST, "others change the holds all the time");
    else if (result->outcome == KV_DONE || result->outcome == KV_LOST)
        read_all(job, on_there); /* there may be more, or others were faster */
    else
        finish(job, result->outcome, result->why);
}

static bool chosen(const struct job *job, const struct hold *hold)
{
    const struct hold *own = holds_at(job->own, 0);
    if (job->of_tenant && (!hold->by_tenant || strcmp(hold->match.tenant, job->tenant) != 0))
        return false;
    return job->by_id ? strcmp(hold->id, own->id) == 0 : hold_match_same(&hold->match, &own->match);
}

/* The revision each had when it was read: a compare for each. `there` is in the order of the pairs. */
static void choose(
    struct job *job, const struct kv_result *result, const struct holds *there, struct kv_compare *compares)
{
    size_t next = 0;
    job->lift.count = 0;
    for (size_t i = 0; i < result->pair_count && job->lift.count < HOLD_LIFTS; i++) {
        const char *id = hold_key_id(result->pairs[i].key);
        if (id == NULL || next == holds_count(there) || strcmp(holds_at(there, next)->id, id) != 0)
            continue; /* it could not be read */
        if (!chosen(job, holds_at(there, next++)))
            continue;
        compares[job->lift.count] =
            (struct kv_compare){.key = result->pairs[i].key, .revision = result->pairs[i].revision};
        snprintf(job->lift.ids[job->lift.count++], HOLD_ID_SIZE, "%s", id);
    }
}

static void delete_chosen(struct job *job, const struct kv_compare *compares)
{
    char path[MEMBER_PATH_SIZE];
    struct kv_change changes[HOLD_LIFTS + 1];
    struct buffer text = {0};
    size_t count = job->lift.count;
    for (size_t i = 0; i < count; i++)
        changes[i] = (struct kv_change){.key = compares[i].key};
    hold_lift_write(&job->lift, &text);
    member_path(path, job->cluster, "block", "lifted");
    changes[count] = (struct kv_change){.key = path, .value = buffer_bytes(&text), .len = buffer_len(&text)};
    struct kv_request txn = {.verb = KV_TXN,
        .compares = compares,
        .compare_count = count,
        .changes = changes,
        .change_count = count + 1};
    job->kv.request(job->kv.context, &txn, on_lifted, job);
    buffer_free(&text);
}

static void on_there(void *arg, const struct kv_result *result)
{
    struct job *job = arg;
    struct kv_compare compares[HOLD_LIFTS];
    if (result->outcome != KV_DONE) {
        finish(job, job->count > 0 ? KV_UNKNOWN : KV_REFUSED, reason(result));
        return;
    }
    struct holds *there = read_pairs(result);
    choose(job, result, there, compares);
    holds_drop(&there);
    if (job->lift.count == 0)
        finish(job, KV_DONE, NULL);
    else
        delete_chosen(job, compares);
}

void hold_store_lift(const struct kv *kv, const char *cluster, const struct hold_filter *filter,
    const char *by, hold_done *done, void *arg)
{
    struct job *job = job_new(kv, cluster, arg);
    struct hold own = {.reason = "", .by = ""};
    job->done = done;
    job->by_id = filter->id != NULL;
    job->of_tenant = filter->tenant != NULL;
    snprintf(own.id, sizeof own.id, "%s", filter->id == NULL ? "" : filter->id);
    if (filter->match != NULL)
        own.match = *filter->match;
    job->own = holds_new();
    holds_add(job->own, &own, NULL);
    snprintf(job->tenant, sizeof job->tenant, "%s", filter->tenant == NULL ? "" : filter->tenant);
    snprintf(job->lift.by, sizeof job->lift.by, "%s", by);
    read_all(job, on_there);
}

/* ---- listing ---- */

static void on_listed(void *arg, const struct kv_result *result)
{
    struct job *job = arg;
    struct holds *holds = result->outcome == KV_DONE ? read_pairs(result) : holds_new();
    job->listed(job->arg, result->outcome, holds, result->outcome == KV_DONE ? NULL : reason(result));
    holds_drop(&holds);
    job_free(job);
}

void hold_store_list(const struct kv *kv, const char *cluster, hold_listed *listed, void *arg)
{
    struct job *job = job_new(kv, cluster, arg);
    job->listed = listed;
    read_all(job, on_listed);
}
