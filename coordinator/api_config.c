/* api_config - see api_config.h; whether a text may be applied is in api_config_check.c */
#include "coordinator/api_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "base/log.h"
#include "cluster/config_store.h"
#include "coordinator/api_config_inside.h"

struct job {
    struct api api;
    enum api_shape shape;
    uint64_t version, expected; /* wanted; of a rollback: the one to go back to */
    bool yaml;
    usec_t now;
    char by[160], comment[API_COMMENT_SIZE + 40];
    api_configured *done;
    void *arg;
};

static void finish(struct job *job, struct api_answer *answer)
{
    if (answer->status == 503)
        answer->retry_after = 5;
    job->done(job->arg, answer);
    api_answer_free(answer);
    free(job);
}

static const char *reason(const char *why)
{
    return why == NULL || why[0] == '\0' ? "no reason was given" : why;
}

/* Nothing was to be changed, so nothing is in doubt. */
static void say_unread(struct api_answer *answer, enum kv_outcome outcome, const char *why)
{
    if (outcome == KV_LOST)
        api_problem(
            answer, 404, "The configuration: %s; `todoku config history` lists the versions.", reason(why));
    else if (outcome == KV_UNKNOWN)
        api_problem(answer, 503,
            "etcd does not answer: %s. Everything stays as it is; try again when it is back.", reason(why));
    else
        api_problem(answer, 503, "The configuration can't be read from etcd: %s.", reason(why));
}

static void add_version(struct buffer *out, uint64_t number, usec_t at, const char *by, const char *comment)
{
    char text[32];
    json_number(out, "version", (int64_t)number);
    json_text(out, "at", clock_rfc3339(at, text));
    json_text(out, "by", by);
    json_text(out, "comment", comment);
}

/* Changing */

static void on_applied(void *arg, enum kv_outcome outcome, uint64_t number, const char *why)
{
    struct job *job = arg;
    struct api_answer answer = {0};
    if (outcome == KV_DONE) {
        log_info("config", "version %llu is in force, by %s%s%s", (unsigned long long)number, job->by,
            job->comment[0] == '\0' ? "" : ": ", job->comment);
        answer.status = 200;
        answer.type = "application/json";
        json_begin(&answer.text, '{');
        add_version(&answer.text, number, job->now, job->by, job->comment);
        json_end(&answer.text, '}');
        buffer_add(&answer.text, "\n", 1);
    } else if (outcome == KV_LOST && job->expected != 0) {
        api_problem(&answer, 409,
            "Version %llu is in force by now, not %llu: see what it says (`todoku config show`), put your "
            "change "
            "into it and apply that.",
            (unsigned long long)number, (unsigned long long)job->expected);
    } else if (outcome == KV_LOST) {
        api_problem(&answer, 409, "It was not applied: %s. Try again.", reason(why));
    } else if (outcome == KV_UNKNOWN) {
        api_problem(&answer, 503,
            "etcd did not answer in time, so nobody knows whether it was applied: look at `todoku config "
            "history` before you try again. (%s)",
            reason(why));
    } else {
        api_problem(&answer, 503, "It was not applied: %s.", reason(why));
    }
    if (outcome != KV_DONE)
        log_warn("config", "a change by %s was not applied: %s", job->by, reason(why));
    finish(job, &answer);
}

/* Takes the job over. */
static void apply(struct job *job, const char *text, size_t len, const char *origin)
{
    struct api_answer answer = {0};
    const struct api_admin *admin = job->api.admin;
    if (api_config_check(&job->api, text, len, origin, &answer) != 0) {
        finish(job, &answer);
        return;
    }
    config_store_apply(admin->kv, admin->cluster, text, len, job->expected, job->now / USEC_SEC, job->by,
        job->comment, on_applied, job);
}

static void on_old_text(
    void *arg, enum kv_outcome outcome, uint64_t number, const char *text, size_t len, const char *why)
{
    struct job *job = arg;
    struct api_answer answer = {0};
    char origin[40];
    if (outcome != KV_DONE) {
        say_unread(&answer, outcome, why);
        finish(job, &answer);
        return;
    }
    snprintf(origin, sizeof origin, "config %llu", (unsigned long long)number);
    apply(job, text, len, origin);
}

/* Reading */

static void on_text(
    void *arg, enum kv_outcome outcome, uint64_t number, const char *text, size_t len, const char *why)
{
    struct job *job = arg;
    struct api_answer answer = {.status = 200, .type = "application/yaml"};
    if (outcome != KV_DONE) {
        say_unread(&answer, outcome, why);
    } else if (job->yaml) {
        buffer_add(&answer.text, text, len);
    } else {
        answer.type = "application/json";
        json_begin(&answer.text, '{');
        json_number(&answer.text, "version", (int64_t)number);
        json_text_len(&answer.text, "text", text, len);
        json_end(&answer.text, '}');
        buffer_add(&answer.text, "\n", 1);
    }
    finish(job, &answer);
}

static void on_history(
    void *arg, enum kv_outcome outcome, const struct config_version *versions, size_t count, const char *why)
{
    struct job *job = arg;
    struct api_answer answer = {0};
    struct buffer rows = {0};
    for (size_t i = 0; i < count; i++) {
        json_begin(&rows, '{');
        add_version(
            &rows, versions[i].number, versions[i].at * USEC_SEC, versions[i].by, versions[i].comment);
        json_bool(&rows, "current", versions[i].current);
        json_end(&rows, '}');
        buffer_add(&rows, "\n", 1);
    }
    if (outcome == KV_DONE)
        api_asked(job->shape, 200, buffer_text(&rows), buffer_len(&rows), &answer);
    else
        say_unread(&answer, outcome, why);
    buffer_free(&rows);
    finish(job, &answer);
}

static struct job *job_new(
    const struct api *api, const struct api_plan *plan, usec_t now, api_configured *done, void *arg)
{
    struct job *job = xcalloc(1, sizeof *job);
    job->api = (struct api){.settings = api->settings, .admin = api->admin}; /* settings may be changing */
    job->shape = plan->shape;
    job->version = plan->config.version;
    job->expected = plan->config.expected;
    job->yaml = plan->config.yaml;
    job->now = now;
    job->done = done;
    job->arg = arg;
    snprintf(job->comment, sizeof job->comment, "%s", plan->config.comment);
    api_by(api, &plan->who, job->by, sizeof job->by);
    return job;
}

static void refuse(struct job *job, int status, const char *text)
{
    struct api_answer answer = {0};
    api_problem(&answer, status, "%s", text);
    finish(job, &answer);
}

static void roll_back(struct job *job, const char *body, size_t len)
{
    const struct api_admin *admin = job->api.admin;
    job->version = api_config_wanted(body, len);
    if (job->version == 0) {
        refuse(job, 400, "Say which version: {\"version\": 3}; `todoku config history` lists them.");
        return;
    }
    snprintf(job->comment, sizeof job->comment, "rollback to version %llu", (unsigned long long)job->version);
    config_store_read(admin->kv, admin->cluster, job->version, on_old_text, job);
}

void api_config(const struct api *api, const struct api_plan *plan, const char *body, size_t len, usec_t now,
    api_configured *done, void *arg)
{
    struct job *job = job_new(api, plan, now, done, arg);
    const struct api_admin *admin = api->admin;
    if (admin == NULL) {
        char text[400];
        snprintf(text, sizeof text,
            "On one machine the file wins: edit %.200s and send SIGHUP (`kill -HUP`, `systemctl reload`).",
            api->settings->file);
        refuse(job, 409, text);
        return;
    }
    switch (plan->config.verb) {
    case API_CONFIG_SHOW:
        config_store_read(admin->kv, admin->cluster, job->version, on_text, job);
        return;
    case API_CONFIG_HISTORY:
        config_store_history(admin->kv, admin->cluster, on_history, job);
        return;
    case API_CONFIG_APPLY:
        apply(job, body, len, plan->config.origin);
        return;
    case API_CONFIG_ROLLBACK:
        roll_back(job, body, len);
        return;
    }
}
