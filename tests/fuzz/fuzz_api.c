/* Anything as a request line with headers, and as the JSON behind it: method, target, then header lines up to
 * an empty line, then the body. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/panic.h"
#include "coordinator/api.h"
#include "coordinator/api_config.h"
#include "coordinator/api_hold.h"
#include "coordinator/api_json.h"

static const char config[] = "coordinator: { default_tenant: t }\n"
                             "node: { sources: [{ address: 127.0.0.1, helo: a.example, pools: [a] }] }\n"
                             "pools: { a: {} }\n"
                             "tenants: [{ id: t, pools: [a], domains: ['*'] }]\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool verify(void *keys, const char *key, struct api_identity *who_r)
{
    (void)keys;
    who_r->admin = key[0] == 'a';
    strcpy(who_r->tenant, "t");
    strcpy(who_r->key, "k");
    return key[0] != '\0';
}

static struct mail_id make_id(void *ids, const char *tenant, const char *key)
{
    (void)ids;
    must(tenant[0] != '\0' && (key == NULL || key[0] != '\0'));
    return (struct mail_id){{1}};
}

/* The next line, its end replaced by a zero; empty at the end of the text. */
static char *line(char **at)
{
    char *start = *at, *end = start + strcspn(start, "\n");
    *at = *end == '\0' ? end : end + 1;
    *end = '\0';
    return start;
}

static void submit(const struct api *api, const struct api_plan *plan, const char *body, size_t len)
{
    struct mail *mail = NULL;
    struct blob *blob = NULL;
    struct api_answer answer = {0};
    if (api_json_mail(api, plan, body, len, 1795323852LL * USEC_SEC, &mail, &blob, &answer) == 0) {
        must(mail->recipient_count > 0 && mail->body_len == blob->len && answer.status == 0);
        struct front_outcome outcome = {FRONT_TAKEN, mail->id, NULL};
        api_submitted(mail, &outcome, &answer);
    }
    must(answer.status >= 202);
    api_answer_free(&answer);
    mail_drop(&mail);
    blob_drop(&blob);
}

/* A store that has nothing and takes everything. */
static void take_all(void *context, const struct kv_request *request, kv_done *done, void *arg)
{
    struct kv_result result = {.outcome = KV_DONE};
    struct holds *holds = holds_new();
    struct error error;
    (void)context;
    for (size_t i = 0; i < request->change_count; i++) /* what is written can be read */
        must(holds_read(holds, "a1", request->changes[i].value, request->changes[i].len, &error) == 0);
    holds_drop(&holds);
    done(arg, &result);
}

static struct view *no_view(void *context)
{
    (void)context;
    return NULL;
}

static void on_held(void *arg, struct api_answer *answer)
{
    must(answer->status >= 200);
    *(int *)arg = answer->status;
    api_answer_free(answer);
    *answer = (struct api_answer){0};
}

static void hold(const struct api *api, struct api_plan *plan, const char *body, size_t len)
{
    int status = 0;
    struct api_answer answer = {0};
    if (plan->kind == API_HOLD) {
        api_hold(api, plan, body, len, 1795323852LL * USEC_SEC, on_held, &status);
        must(status >= 200);
    } else if (api_command(api, plan, body, len, &answer) == 0) {
        must(plan->selectors[0] != '\0' && answer.status == 0);
    } else {
        must(answer.status >= 400);
    }
    api_answer_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct settings *settings;
    if (settings == NULL) {
        struct fault *faults;
        size_t count;
        settings = settings_parse(config, sizeof config - 1, "fuzz.yaml", &faults, &count);
        must(settings != NULL);
        log_set_level(LOG_LEVEL_ERROR); /* what is done is told in the log */
    }
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    char *at = text;
    struct api_request request = {.method = line(&at), .target = line(&at)};
    const char **headers[] = {&request.authorization, &request.accept, &request.content_type, &request.host,
        &request.idempotency_key, &request.last_event_id};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        char *value = line(&at);
        *headers[i] = value[0] == '-' && value[1] == '\0' ? NULL : value;
    }
    struct kv kv = {.request = take_all};
    struct api_holds holds = {.kv = &kv, .cluster = "fuzz", .view = no_view};
    struct api api = {.settings = settings, .make_id = make_id, .holds = &holds};
    if (request.host == NULL)
        api.verify = verify;
    struct api_plan plan;
    api_plan(&api, &request, &plan);
    must(plan.kind != API_ANSWER || plan.answer.status >= 200);
    /* The body is an exact copy, so that a read past its end is seen. */
    size_t len = size - (size_t)(at - text);
    char *body = malloc(len > 0 ? len : 1);
    memcpy(body, at, len);
    if (plan.kind == API_SUBMIT)
        submit(&api, &plan, body, len);
    else if (plan.kind == API_HOLD || plan.kind == API_COMMAND)
        hold(&api, &plan, body, len);
    struct api_answer answer = {0};
    api_asked(API_ARRAY, 200, body, len, &answer);
    api_answer_free(&answer);
    bool event;
    free(api_json_cursor(body, len, &event));
    api_config_wanted(body, len);
    free(body);
    api_plan_free(&plan);
    free(text);
    return 0;
}
