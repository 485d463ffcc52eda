/* member_drain - see member_drain.h
 *
 * One small block that goes from answer to answer: read, decide, swap. */
#include "cluster/member_drain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define MAX_TRIES 8 /* when others change the same record meanwhile */

struct job {
    struct kv kv;
    char path[MEMBER_PATH_SIZE];
    bool drain;
    struct member_spec spec;
    unsigned tries;
    member_drained *done;
    void *arg;
};

static void finish(
    struct job *job, enum kv_outcome outcome, const struct member_spec *spec, bool changed, const char *why)
{
    job->done(job->arg, outcome, spec, changed, why);
    free(job);
}

static const char *reason(const struct kv_result *result)
{
    return result->why == NULL ? "the store did not answer" : result->why;
}

static void read_record(struct job *job);

static void on_swapped(void *arg, const struct kv_result *result)
{
    struct job *job = arg;
    if (result->outcome == KV_DONE)
        finish(job, KV_DONE, &job->spec, true, NULL);
    else if (result->outcome != KV_LOST)
        finish(job, result->outcome, NULL, false, reason(result));
    else if (++job->tries < MAX_TRIES)
        read_record(job);
    else
        finish(job, KV_LOST, NULL, false, "somebody else changes this member all the time");
}

static void swap(struct job *job, uint64_t revision)
{
    struct buffer text = {0};
    job->spec.drain = job->drain;
    member_spec_write(&job->spec, &text);
    struct kv_compare compare = {.key = job->path, .revision = revision};
    struct kv_change change = {.key = job->path, .value = buffer_bytes(&text), .len = buffer_len(&text)};
    struct kv_request txn = {
        .verb = KV_TXN, .compares = &compare, .compare_count = 1, .changes = &change, .change_count = 1};
    job->kv.request(job->kv.context, &txn, on_swapped, job);
    buffer_free(&text);
}

static void on_record(void *arg, const struct kv_result *result)
{
    struct job *job = arg;
    struct error error;
    const struct kv_pair *pair = result->pairs;
    if (result->outcome != KV_DONE) /* nothing was written: nothing is in doubt */
        finish(job, KV_REFUSED, NULL, false, reason(result));
    else if (result->pair_count == 0)
        finish(job, KV_DONE, NULL, false, NULL);
    else if (member_spec_read(pair->value, pair->len, &job->spec, &error) != 0) {
        error_prefix(&error, "%s in the store can't be read", job->path);
        finish(job, KV_REFUSED, NULL, false, error.text);
    } else if (job->spec.role == MEMBER_COORDINATOR || job->spec.drain == job->drain)
        finish(job, KV_DONE, &job->spec, false, NULL);
    else
        swap(job, pair->revision);
}

static void read_record(struct job *job)
{
    struct kv_request range = {.verb = KV_RANGE, .key = job->path};
    job->kv.request(job->kv.context, &range, on_record, job);
}

void member_drain(
    const struct kv *kv, const char *cluster, const char *name, bool drain, member_drained *done, void *arg)
{
    struct job *job = xcalloc(1, sizeof *job);
    job->kv = *kv;
    job->drain = drain;
    job->done = done;
    job->arg = arg;
    member_path(job->path, cluster, "spec", name);
    read_record(job);
}
