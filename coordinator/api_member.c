/* api_member - see api_member.h */
#include "coordinator/api_member.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/json_out.h"
#include "base/log.h"
#include "base/query.h"
#include "cluster/member_drain.h"

#define MAX_ALONE 20 /* pools told */

struct job {
    struct view *view; /* held; null: there was none yet */
    char name[MEMBER_ID_SIZE], by[160];
    bool drain;
    api_drained *done;
    void *arg;
};

/* ---- planning ---- */

void api_member_plan(
    const struct api *api, const struct api_request *request, const char *path, struct api_plan *plan)
{
    size_t len = strcspn(path, "/");
    snprintf(plan->member.name, sizeof plan->member.name, "%.*s",
        len < MEMBER_ID_SIZE ? (int)len : MEMBER_ID_SIZE, path);
    plan->member.drain = strcasecmp(request->method, "POST") == 0;
    bool asks = plan->kind == API_ASK;
    if (len >= MEMBER_ID_SIZE || !member_name_good(plan->member.name)) {
        plan->kind = API_ANSWER;
        api_problem(&plan->answer, 404,
            "\"%.62s\" is no member's name: letters, digits, '.', '_' and '-', at most 62.", path);
    } else if (api->admin == NULL) {
        plan->kind = API_ANSWER;
        api_problem(&plan->answer, 409,
            "This is one machine alone: there is no other node that could take its mail.");
    } else if (asks)
        snprintf(plan->selectors, sizeof plan->selectors, "node=%s", plan->member.name);
}

/* ---- answering ---- */

static void finish(struct job *job, struct api_answer *answer)
{
    if (answer->status == 503)
        answer->retry_after = 5;
    job->done(job->arg, answer);
    api_answer_free(answer);
    view_drop(&job->view);
    free(job);
}

static void say_nobody(const struct job *job, struct api_answer *answer)
{
    const char *nearest = NULL, *name;
    for (size_t i = 0; job->view != NULL && i < job->view->node_count && nearest == NULL; i++) {
        name = job->view->nodes[i].id;
        nearest = config_nearest(job->name, &name, 1);
    }
    if (nearest != NULL)
        api_problem(answer, 404, "There is no member `%s`; did you mean `%s`?", job->name, nearest);
    else
        api_problem(
            answer, 404, "There is no member `%s`; `todoku members list` shows who there is.", job->name);
}

static void say_coordinator(const struct job *job, struct api_answer *answer)
{
    api_problem(answer, 409, "%s is a coordinator: it holds no mail, so it can just be stopped.", job->name);
}

static bool takes_mail(const struct view *view, const char *pool, const char *except)
{
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *node = &view->nodes[i];
        if (strcmp(node->id, except) != 0 && view_node_gets_mail(node) && view_node_has_pool(node, pool))
            return true;
    }
    return false;
}

static bool is_listed(const char *const *pools, size_t count, const char *pool)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(pools[i], pool) == 0)
            return true;
    return false;
}

/* Its pools that nobody else takes mail of. */
static size_t find_alone(const struct view *view, const struct view_node *node, const char *alone[MAX_ALONE])
{
    size_t count = 0;
    for (size_t i = 0; i < node->source_count; i++)
        for (size_t j = 0; j < node->sources[i].pool_count && count < MAX_ALONE; j++) {
            const char *pool = node->sources[i].pools[j];
            if (!is_listed(alone, count, pool) && !takes_mail(view, pool, node->id))
                alone[count++] = pool;
        }
    return count;
}

static void say_done(const struct job *job, bool changed, struct api_answer *answer)
{
    const struct view_node *node = job->view == NULL ? NULL : view_node(job->view, job->name);
    const char *alone[MAX_ALONE];
    size_t count = node == NULL ? 0 : find_alone(job->view, node, alone);
    answer->status = 200;
    answer->type = "application/json";
    json_begin(&answer->text, '{');
    json_text(&answer->text, "node", job->name);
    json_bool(&answer->text, "draining", job->drain);
    json_bool(&answer->text, "changed", changed);
    json_text(&answer->text, "by", job->by);
    json_bool(&answer->text, "seen", node != NULL);
    json_begin_named(&answer->text, "alone", '[');
    for (size_t i = 0; job->drain && i < count; i++)
        json_text(&answer->text, NULL, alone[i]);
    json_end(&answer->text, ']');
    json_end(&answer->text, '}');
    buffer_add(&answer->text, "\n", 1);
}

/* The first node that may be asked; the drained one last, since its log may go with it. */
static const char *who_notes(const struct job *job)
{
    for (size_t i = 0; job->view != NULL && i < job->view->node_count; i++)
        if (!job->view->nodes[i].down && strcmp(job->view->nodes[i].id, job->name) != 0)
            return job->view->nodes[i].id;
    return job->name;
}

static void say_changed(const struct job *job, const char *verb, struct api_answer *answer)
{
    log_info(verb, "%s %s, by %s", job->name,
        job->drain ? "gets no new mail and hands on what it holds" : "gets new mail again", job->by);
    query_add(&answer->audit, "node", who_notes(job));
    query_add(&answer->audit, "action", verb);
    query_add(&answer->audit, "member", job->name);
    query_add(&answer->audit, "by", job->by);
}

static void on_drained(
    void *arg, enum kv_outcome outcome, const struct member_spec *spec, bool changed, const char *why)
{
    struct job *job = arg;
    struct api_answer answer = {0};
    const char *verb = job->drain ? "drain" : "undrain";
    if (outcome == KV_DONE && spec == NULL) {
        say_nobody(job, &answer);
    } else if (outcome == KV_DONE && spec->role == MEMBER_COORDINATOR) {
        say_coordinator(job, &answer);
    } else if (outcome == KV_DONE) {
        if (changed)
            say_changed(job, verb, &answer);
        say_done(job, changed, &answer);
    } else if (outcome == KV_UNKNOWN) {
        api_problem(&answer, 503,
            "etcd did not answer in time, so nobody knows whether it was done; the same again is safe. (%s)",
            why);
    } else {
        api_problem(&answer, outcome == KV_LOST ? 409 : 503, "Nothing was changed: %s.", why);
    }
    if (outcome != KV_DONE)
        log_warn(verb, "%s was asked for by %s and is not done: %s", job->name, job->by, why);
    finish(job, &answer);
}

/* ---- asking the store ---- */

static bool is_coordinator(const struct view *view, const char *name)
{
    for (size_t i = 0; view != NULL && i < view->coordinator_count; i++)
        if (strcmp(view->coordinators[i].id, name) == 0)
            return true;
    return false;
}

void api_member(const struct api *api, const struct api_plan *plan, const char *body, size_t len, usec_t now,
    api_drained *done, void *arg)
{
    (void)body, (void)len, (void)now;
    struct job *job = xcalloc(1, sizeof *job);
    const struct api_admin *admin = api->admin;
    job->drain = plan->member.drain;
    job->done = done;
    job->arg = arg;
    job->view = admin->view == NULL ? NULL : admin->view(admin->context);
    memcpy(job->name, plan->member.name, sizeof job->name);
    api_by(api, &plan->who, job->by, sizeof job->by);
    if (is_coordinator(job->view, job->name)) {
        struct api_answer answer = {0};
        say_coordinator(job, &answer);
        finish(job, &answer);
        return;
    }
    member_drain(admin->kv, admin->cluster, job->name, job->drain, on_drained, job);
}
