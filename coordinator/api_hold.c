/* api_hold - see api_hold.h; what a request names is in api_hold_name.c and api_hold_json.c */
#include "coordinator/api_hold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "base/log.h"
#include "base/query.h"
#include "base/units.h"
#include "cluster/hold_store.h"
#include "coordinator/api_hold_inside.h"
#include "coordinator/api_time.h"
#include "proto/id.h"

#define JSON "application/json"
#define SAY_WHAT "Say what it is about: at least one of tenant, campaign, pool, source, provider, domain."

struct job {
    const struct api_holds *store;
    enum api_shape shape;
    usec_t now;
    struct api_wish wish;
    bool tenant_only; /* and its name: */
    char tenant[API_TENANT_SIZE], by[HOLD_MAX_BY + 1];
    struct holds *added; /* with the one */
    bool one;            /* lifted by its id */
    int64_t limit;       /* of rows */
    api_held *done;
    void *arg;
};

/* ---- planning ---- */

void api_hold_plan(const struct api_request *request, const char *id, struct api_plan *plan)
{
    plan->hold.verb = API_HOLD_LIST;
    if (strcasecmp(request->method, "DELETE") == 0)
        plan->hold.verb = API_HOLD_LIFT;
    else if (strcasecmp(request->method, "POST") == 0)
        plan->hold.verb = API_HOLD_ADD;
    if (id == NULL)
        return;
    if (hold_id_good(id)) {
        snprintf(plan->hold.id, sizeof plan->hold.id, "%s", id);
        return;
    }
    plan->kind = API_ANSWER;
    api_problem(&plan->answer, 404, "No pause has the id \"%.60s\"; `todoku pauses` lists them.", id);
}

/* ---- answering ---- */

static void finish(struct job *job, struct api_answer *answer)
{
    if (answer->status == 503)
        answer->retry_after = 5;
    job->done(job->arg, answer);
    api_answer_free(answer);
    holds_drop(&job->added);
    free(job);
}

static const char *reason(const char *why)
{
    return why == NULL || why[0] == '\0' ? "no reason was given" : why;
}

static void hold_row(const struct hold *hold, struct buffer *out)
{
    char text[32];
    json_begin(out, '{');
    json_text(out, "id", hold->id);
    for (size_t i = 0; i < HOLD_NAMES; i++)
        if (hold_match_get(&hold->match, i) != NULL)
            json_text(out, hold_name(i), hold_match_get(&hold->match, i));
    json_text(out, "since", clock_rfc3339(hold->since, text));
    if (hold->until != 0)
        json_text(out, "until", clock_rfc3339(hold->until, text));
    json_text(out, "by", hold->by);
    if (hold->reason[0] != '\0')
        json_text(out, "reason", hold->reason);
    json_end(out, '}');
    buffer_add(out, "\n", 1);
}

static void say_not_changed(struct api_answer *answer, enum kv_outcome outcome, const char *why)
{
    if (outcome == KV_UNKNOWN)
        api_problem(answer, 503,
            "The store did not answer in time, so nobody knows whether it happened: look at `todoku pauses` "
            "before you try again. (%s)",
            reason(why));
    else
        api_problem(answer, outcome == KV_LOST ? 409 : 503, "Nothing was changed: %s.", reason(why));
}

/* ---- adding ---- */

static void on_added(void *arg, enum kv_outcome outcome, size_t count, const char *why)
{
    struct job *job = arg;
    struct api_answer answer = {0};
    const struct hold *hold = holds_at(job->added, 0);
    (void)count;
    if (outcome == KV_DONE) {
        log_info("pause", "%s is on, by %s%s%s", hold->id, hold->by, hold->reason[0] == '\0' ? "" : ": ",
            hold->reason);
        answer.status = 201;
        answer.type = JSON;
        hold_row(hold, &answer.text);
    } else {
        say_not_changed(&answer, outcome, why);
    }
    finish(job, &answer);
}

/* When it ends: 0 = when it is lifted. */
static int read_end(const struct job *job, usec_t *until_r, struct api_answer *answer)
{
    const struct api_wish *wish = &job->wish;
    struct error why;
    usec_t duration;
    *until_r = 0;
    if (wish->duration[0] != '\0' && wish->until[0] != '\0') {
        api_problem(answer, 400, "Say either `for` or `until`.");
        return -1;
    }
    if (wish->duration[0] != '\0' && units_duration(wish->duration, &duration, &why) != 0) {
        api_problem(answer, 400, "`for`: %s", why.text);
        return -1;
    }
    if (wish->until[0] != '\0' && api_time(wish->until, until_r) != 0) {
        api_problem(answer, 400, "`until` must be a time like \"2027-01-31T08:00:00Z\".");
        return -1;
    }
    if (wish->duration[0] != '\0')
        *until_r = job->now + duration;
    if ((wish->duration[0] != '\0' || wish->until[0] != '\0') && *until_r <= job->now) {
        api_problem(answer, 400, "It would have ended by now: say a later time.");
        return -1;
    }
    return 0;
}

static void without_controls(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
}

static void make_hold(const struct api *api, struct job *job, usec_t until)
{
    struct mail_id id = api->make_id(api->ids, job->by, NULL);
    struct hold hold = {.match = api_wish_match(&job->wish),
        .since = job->now,
        .until = until,
        .reason = job->wish.reason,
        .by = job->by,
        .by_tenant = job->tenant_only};
    char text[ID_TEXT_SIZE];
    snprintf(hold.id, sizeof hold.id, "%s", id_format(&id, text));
    job->added = holds_new();
    holds_add(job->added, &hold, NULL);
}

static int prepare_add(const struct api *api, const struct api_plan *plan, struct job *job, const char *body,
    size_t len, struct api_answer *answer)
{
    usec_t until;
    if (api_wish_read(body, len, false, &job->wish, answer) != 0 ||
        api_wish_own(plan, &job->wish, answer) != 0)
        return -1;
    struct hold_match match = api_wish_match(&job->wish);
    if (!hold_match_names(&match)) {
        api_problem(answer, 400, SAY_WHAT);
        return -1;
    }
    if (api_wish_known(api, &job->wish, answer) != 0 || read_end(job, &until, answer) != 0)
        return -1;
    without_controls(job->wish.reason);
    make_hold(api, job, until);
    return 0;
}

/* ---- lifting ---- */

static void say_none(const struct job *job, struct api_answer *answer)
{
    const char *what = job->one ? "There is no such pause" : "No pause names exactly this";
    if (job->tenant_only)
        api_problem(answer, 404,
            "%s that tenant %s's keys may lift: what an administrator has paused only an administrator "
            "resumes; `todoku pauses` says by whom.",
            what, job->tenant);
    else
        api_problem(answer, 404, "%s; `todoku pauses` lists them.", what);
}

static void on_lifted(void *arg, enum kv_outcome outcome, size_t count, const char *why)
{
    struct job *job = arg;
    struct api_answer answer = {0};
    if (count > 0)
        log_info("pause", "%zu lifted by %s", count, job->by);
    if (outcome != KV_DONE) {
        say_not_changed(&answer, outcome, why);
    } else if (count == 0) {
        say_none(job, &answer);
    } else if (job->one) {
        answer.status = 204;
        answer.type = JSON;
    } else {
        answer.status = 200;
        answer.type = JSON;
        buffer_printf(&answer.text, "{\"lifted\":%zu}\n", count);
    }
    finish(job, &answer);
}

static void lift(struct job *job, const struct api_plan *plan)
{
    struct hold_match match = api_wish_match(&job->wish);
    struct hold_filter filter = {.id = plan->hold.id[0] == '\0' ? NULL : plan->hold.id,
        .match = &match,
        .tenant = job->tenant_only ? job->tenant : NULL};
    const struct kv *kv = job->store->kv;
    job->one = filter.id != NULL;
    hold_store_lift(kv, job->store->cluster, &filter, job->by, on_lifted, job);
}

static int prepare_lift(const struct api_plan *plan, struct job *job, struct api_answer *answer)
{
    if (plan->hold.id[0] != '\0')
        return 0;
    if (api_wish_query(plan->selectors, false, &job->wish, answer) != 0 ||
        api_wish_own(plan, &job->wish, answer) != 0)
        return -1;
    struct hold_match match = api_wish_match(&job->wish);
    if (hold_match_names(&match))
        return 0;
    api_problem(answer, 400, SAY_WHAT);
    return -1;
}

/* ---- listing ---- */

static bool is_listed(const struct job *job, const struct hold *hold)
{
    if (hold->until != 0 && hold->until <= job->now)
        return false;
    for (size_t i = 0; i < HOLD_NAMES; i++) {
        const char *named = hold_match_get(&hold->match, i);
        if (job->wish.names[i][0] != '\0' && (named == NULL || strcmp(named, job->wish.names[i]) != 0))
            return false;
    }
    return true;
}

static void on_listed(void *arg, enum kv_outcome outcome, struct holds *holds, const char *why)
{
    struct job *job = arg;
    struct api_answer answer = {0};
    struct buffer rows = {0};
    struct holds *known = outcome == KV_DONE ? holds_hold(holds) : job->store->known(job->store->context);
    for (size_t i = 0; known != NULL && i < holds_count(known); i++)
        if (is_listed(job, holds_at(known, i)) && job->limit-- > 0)
            hold_row(holds_at(known, i), &rows);
    if (outcome != KV_DONE)
        buffer_add_text(&rows, "{\"incomplete\":true,\"missing\":[\"store\"]}\n");
    if (known != NULL)
        api_asked(job->shape, 200, buffer_text(&rows), buffer_len(&rows), &answer);
    else
        api_problem(&answer, 503, "The pauses can't be read from the store: %s.", reason(why));
    holds_drop(&known);
    buffer_free(&rows);
    finish(job, &answer);
}

/* ---- all of them ---- */

static struct job *job_new(
    const struct api *api, const struct api_plan *plan, usec_t now, api_held *done, void *arg)
{
    struct job *job = xcalloc(1, sizeof *job);
    const char *tenant = api_plan_tenant(plan);
    job->store = api->holds;
    job->shape = plan->shape;
    job->now = now;
    job->done = done;
    job->arg = arg;
    job->tenant_only = tenant != NULL;
    snprintf(job->tenant, sizeof job->tenant, "%s", tenant == NULL ? "" : tenant);
    api_by(api, &plan->who, job->by, sizeof job->by);
    return job;
}

static int prepare(const struct api *api, const struct api_plan *plan, struct job *job, const char *body,
    size_t len, struct api_answer *answer)
{
    if (api->holds == NULL || api->holds->kv == NULL) {
        api_problem(answer, 503, "The store is not open yet; try again in a moment.");
        return -1;
    }
    if (plan->hold.verb == API_HOLD_ADD)
        return prepare_add(api, plan, job, body, len, answer);
    if (plan->hold.verb == API_HOLD_LIFT)
        return prepare_lift(plan, job, answer);
    job->limit = query_number(plan->selectors, "limit", 1, HOLD_MAX, HOLD_MAX);
    return api_wish_query(plan->selectors, true, &job->wish, answer) != 0
               ? -1
               : api_wish_own(plan, &job->wish, answer);
}

void api_hold(const struct api *api, const struct api_plan *plan, const char *body, size_t len, usec_t now,
    api_held *done, void *arg)
{
    struct job *job = job_new(api, plan, now, done, arg);
    struct api_answer answer = {0};
    if (prepare(api, plan, job, body, len, &answer) != 0) {
        finish(job, &answer);
        return;
    }
    const struct kv *kv = job->store->kv;
    if (plan->hold.verb == API_HOLD_ADD)
        hold_store_add(kv, job->store->cluster, holds_at(job->added, 0), now, on_added, job);
    else if (plan->hold.verb == API_HOLD_LIFT)
        lift(job, plan);
    else
        hold_store_list(kv, job->store->cluster, on_listed, job);
}

/* ---- commands ---- */

int api_command(
    const struct api *api, struct api_plan *plan, const char *body, size_t len, struct api_answer *answer_r)
{
    struct api_wish wish;
    struct buffer selectors = {0};
    if (api_wish_read(body, len, true, &wish, answer_r) != 0)
        return -1;
    struct hold_match match = api_wish_match(&wish);
    bool named = hold_match_names(&match) || wish.recipient[0] != '\0' || wish.id[0] != '\0';
    if (!named) { /* a tenant's key must say its own, too: it would be all he has */
        api_problem(answer_r, 400,
            "Say what it is about: at least one of tenant, campaign, pool, provider, domain, recipient, id.");
        return -1;
    }
    if (api_wish_own(plan, &wish, answer_r) != 0)
        return -1;
    for (size_t i = 0; i < HOLD_NAMES; i++)
        if (wish.names[i][0] != '\0')
            query_add(&selectors, hold_name(i), wish.names[i]);
    if (wish.recipient[0] != '\0')
        query_add(&selectors, "recipient", wish.recipient);
    if (wish.id[0] != '\0')
        query_add(&selectors, "id", wish.id);
    without_controls(wish.reason);
    if (wish.reason[0] != '\0')
        query_add(&selectors, "reason", wish.reason);
    char by[HOLD_MAX_BY + 1];
    api_by(api, &plan->who, by, sizeof by);
    query_add(&selectors, "by", by);
    log_info(plan->what, "asked for by %s: %s", by, buffer_text(&selectors));
    snprintf(plan->selectors, sizeof plan->selectors, "%s", buffer_text(&selectors));
    buffer_free(&selectors);
    return 0;
}
