/* config_store - see config_store.h; the watch is in config_watch.c
 *
 * Each call is a small block of its own that goes from answer to answer: config/current is read first, then
 * written under a compare of its revision, or a version's text is read. */
#include "cluster/config_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/config_record.h"
#include "cluster/member_record.h"

#define MAX_TRIES 8 /* when others change it meanwhile, and any version may be replaced */

static void make_path(char path_r[MEMBER_PATH_SIZE], const char *cluster, uint64_t number)
{
    char name[40];
    if (number == 0)
        snprintf(name, sizeof name, "current");
    else
        snprintf(name, sizeof name, "version/%" PRIu64, number);
    member_path(path_r, cluster, "config", name);
}

struct job {
    struct kv kv;
    char cluster[MEMBER_ID_SIZE];
    struct config_record record;
    uint64_t revision; /* of config/current */
    uint64_t number;   /* wanted, or made */
    uint64_t expected;
    int64_t at;
    char by[CONFIG_BY_SIZE], comment[CONFIG_COMMENT_SIZE];
    char *text;
    size_t len;
    unsigned tries;
    config_done *done;
    config_listed *listed;
    config_text *read;
    void *arg;
};

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
    free(job->text);
    free(job);
}

static void request(struct job *job, uint64_t number, kv_done *done)
{
    char path[MEMBER_PATH_SIZE];
    make_path(path, job->cluster, number);
    struct kv_request range = {.verb = KV_RANGE, .key = path};
    job->kv.request(job->kv.context, &range, done, job);
}

/* The record in an answer; a key that is not there is an empty one. */
static enum kv_outcome take_record(struct job *job, const struct kv_result *result, struct error *error)
{
    memset(&job->record, 0, sizeof job->record);
    job->revision = 0;
    if (result->outcome != KV_DONE) {
        error_set(error, "%s", result->why == NULL ? "the store did not answer" : result->why);
        return result->outcome;
    }
    if (result->pair_count == 0)
        return KV_DONE;
    job->revision = result->pairs[0].revision;
    return config_record_read(result->pairs[0].value, result->pairs[0].len, &job->record, error) == 0
               ? KV_DONE
               : KV_REFUSED;
}

/* Applying */

static void applied(struct job *job, enum kv_outcome outcome, uint64_t number, const char *why)
{
    job->done(job->arg, outcome, number, why);
    job_free(job);
}

static void on_found(void *arg, const struct kv_result *result);

static void on_written(void *arg, const struct kv_result *result)
{
    struct job *job = arg;
    if (result->outcome == KV_LOST && job->tries < MAX_TRIES) {
        request(job, 0, on_found); /* somebody was faster: what is there decides */
        return;
    }
    applied(job, result->outcome, job->record.number,
        result->outcome == KV_LOST ? "others change the configuration all the time" : result->why);
}

static void write_version(struct job *job)
{
    char current[MEMBER_PATH_SIZE], version[MEMBER_PATH_SIZE], oldest[MEMBER_PATH_SIZE];
    struct buffer text = {0};
    uint64_t gone = config_record_add(&job->record, job->at, job->by, job->comment);
    config_record_write(&job->record, &text);
    make_path(current, job->cluster, 0);
    make_path(version, job->cluster, job->record.number);
    make_path(oldest, job->cluster, gone);
    struct kv_compare compare = {.key = current, .revision = job->revision};
    struct kv_change changes[] = {
        {.key = version, .value = job->text, .len = job->len},
        {.key = current, .value = buffer_bytes(&text), .len = buffer_len(&text)},
        {.key = oldest},
    };
    struct kv_request txn = {.verb = KV_TXN,
        .compares = &compare,
        .compare_count = 1,
        .changes = changes,
        .change_count = gone > 0 ? 3 : 2};
    job->tries++;
    job->kv.request(job->kv.context, &txn, on_written, job);
    buffer_free(&text);
}

static void on_found(void *arg, const struct kv_result *result)
{
    struct job *job = arg;
    struct error error = {""};
    enum kv_outcome outcome = take_record(job, result, &error);
    if (outcome != KV_DONE)
        applied(job, KV_REFUSED, 0, error.text); /* nothing was written: nothing is in doubt */
    else if (job->expected != 0 && job->expected != job->record.number)
        applied(job, KV_LOST, job->record.number, "another version is in force by now");
    else
        write_version(job);
}

void config_store_apply(const struct kv *kv, const char *cluster, const char *text, size_t len,
    uint64_t expected, int64_t at, const char *by, const char *comment, config_done *done, void *arg)
{
    struct job *job = job_new(kv, cluster, arg);
    job->text = xstrndup(text, len);
    job->len = len;
    job->expected = expected;
    job->at = at;
    job->done = done;
    snprintf(job->by, sizeof job->by, "%s", by == NULL ? "" : by);
    snprintf(job->comment, sizeof job->comment, "%s", comment == NULL ? "" : comment);
    if (len > CONFIG_MAX_VERSION)
        applied(job, KV_REFUSED, 0, "the text is larger than 768 KiB");
    else
        request(job, 0, on_found);
}

/* Listing */

static void on_listed(void *arg, const struct kv_result *result)
{
    struct job *job = arg;
    struct error error = {""};
    struct config_version versions[CONFIG_KEPT];
    enum kv_outcome outcome = take_record(job, result, &error);
    for (size_t i = 0; i < job->record.count; i++) {
        const struct config_entry *entry = &job->record.entries[i];
        versions[i] = (struct config_version){.number = entry->number,
            .at = entry->at,
            .by = entry->by,
            .comment = entry->comment,
            .current = entry->number == job->record.number};
    }
    job->listed(job->arg, outcome, versions, outcome == KV_DONE ? job->record.count : 0, error.text);
    job_free(job);
}

void config_store_history(const struct kv *kv, const char *cluster, config_listed *done, void *arg)
{
    struct job *job = job_new(kv, cluster, arg);
    job->listed = done;
    request(job, 0, on_listed);
}

/* Reading */

static void on_text(void *arg, const struct kv_result *result)
{
    struct job *job = arg;
    bool there = result->outcome == KV_DONE && result->pair_count > 0;
    enum kv_outcome outcome = there ? KV_DONE : result->outcome == KV_DONE ? KV_LOST : result->outcome;
    job->read(job->arg, outcome, job->number, there ? result->pairs[0].value : "",
        there ? result->pairs[0].len : 0, outcome == KV_LOST ? "there is no such version" : result->why);
    job_free(job);
}

static void on_current(void *arg, const struct kv_result *result)
{
    struct job *job = arg;
    struct error error = {""};
    enum kv_outcome outcome = take_record(job, result, &error);
    if (outcome == KV_DONE && job->record.number == 0) {
        outcome = KV_LOST;
        error_set(&error, "no version has been applied yet");
    }
    job->number = job->record.number;
    if (outcome == KV_DONE) {
        request(job, job->number, on_text);
        return;
    }
    job->read(job->arg, outcome, 0, "", 0, error.text);
    job_free(job);
}

void config_store_read(
    const struct kv *kv, const char *cluster, uint64_t number, config_text *done, void *arg)
{
    struct job *job = job_new(kv, cluster, arg);
    job->read = done;
    job->number = number;
    if (number == 0)
        request(job, 0, on_current);
    else
        request(job, number, on_text);
}
