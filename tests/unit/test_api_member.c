/* A node is drained and taken back by the API: what stands in the store, what is answered, who may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/member_record.h"
#include "coordinator/api_member.h"
#include "tests/unit/kv_help.h"

#define NOW (1795323852LL * USEC_SEC)
#define KEY "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define SPEC(id, role, drain)                                                                                \
    "{\"id\":\"" id "\",\"public_key\":\"" KEY "\",\"role\":\"" role "\",\"weight\":7,\"drain\":" drain "}"

static const char file[] = "coordinator: { id: c1, default_tenant: acme }\n"
                           "node: { sources: [{ address: 127.0.0.1, helo: mx.acme.example, pools: [a] }] }\n"
                           "pools: { a: {}, b: {} }\n"
                           "tenants: [{ id: acme, pools: [a], domains: [acme.example] }]\n";

static struct settings *settings;
static struct kv_help help;
static struct kv kv;
static struct view *view;
static struct api_admin admin;
static struct api api;
static struct {
    int calls, status;
    unsigned retry_after;
    char text[2000], audit[400];
} said;

static struct view *view_of_now(void *context)
{
    (void)context;
    return view_hold(view);
}

/* "adminkey" is an administrator's, all others are tenants'. */
static bool verify(void *keys, const char *key, struct api_identity *who_r)
{
    (void)keys;
    *who_r = (struct api_identity){.admin = strcmp(key, "adminkey") == 0, .tenant = "acme", .key = "ops-1"};
    return true;
}

static int set_up(void **state)
{
    (void)state;
    static const char *const both[] = {"a", "b"};
    struct fault *faults;
    size_t count;
    settings = settings_parse(file, sizeof file - 1, "/etc/todoku/todoku.yaml", &faults, &count);
    assert_non_null(settings);
    help = (struct kv_help){.revision = 10};
    kv = kv_help_face(&help);
    view = view_new(3);
    view_add_source(view_add_node(view, "n1", "n1.0", 1, 1), "192.0.2.1", "mx1.acme.example", both, 1);
    view_add_source(view_add_node(view, "n2", "n2.0", 1, 1), "192.0.2.2", "mx2.acme.example", both, 2);
    view_add_coordinator(view, "c1", 1, "tcp://10.0.0.1:7100");
    admin = (struct api_admin){.kv = &kv, .cluster = "prod", .view = view_of_now};
    api = (struct api){.settings = settings, .admin = &admin, .verify = verify};
    kv_help_set(&help, "/todoku/prod/spec/n1", SPEC("n1", "node", "false"));
    kv_help_set(&help, "/todoku/prod/spec/n2", SPEC("n2", "any", "false"));
    kv_help_set(&help, "/todoku/prod/spec/c1", SPEC("c1", "any", "false"));
    kv_help_set(&help, "/todoku/prod/spec/c2", SPEC("c2", "coordinator", "false"));
    said.calls = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kv_help_end(&help);
    view_drop(&view);
    settings_free(&settings);
    return 0;
}

static void on_answer(void *arg, struct api_answer *answer)
{
    (void)arg;
    said.calls++;
    said.status = answer->status;
    said.retry_after = answer->retry_after;
    snprintf(said.text, sizeof said.text, "%s", buffer_text(&answer->text));
    snprintf(said.audit, sizeof said.audit, "%s", buffer_text(&answer->audit));
    api_answer_free(answer);
}

static struct api_plan plan_of(const char *method, const char *target, const char *key, const char *type)
{
    char bearer[60];
    snprintf(bearer, sizeof bearer, "Bearer %s", key);
    struct api_request request = {
        .method = method, .target = target, .authorization = bearer, .content_type = type};
    struct api_plan plan;
    api_plan(&api, &request, &plan);
    return plan;
}

/* As the door would carry it through; the status. */
static int ask(const char *method, const char *target)
{
    struct api_plan plan = plan_of(method, target, "adminkey", "application/json");
    if (plan.kind != API_MEMBER)
        fail_msg("%s", buffer_text(&plan.answer.text));
    api_member(&api, &plan, "", 0, NOW, on_answer, NULL);
    api_plan_free(&plan);
    assert_int_equal(said.calls, 1);
    said.calls = 0;
    return said.status;
}

static bool has(const char *text)
{
    return strstr(said.text, text) != NULL;
}

static bool is_drained(const char *name)
{
    char key[100];
    struct member_spec spec;
    snprintf(key, sizeof key, "/todoku/prod/spec/%s", name);
    const char *text = kv_help_get(&help, key);
    assert_non_null(text);
    assert_int_equal(member_spec_read(text, strlen(text), &spec, NULL), 0);
    assert_int_equal(spec.weight, 7); /* nothing else is lost */
    assert_string_equal(spec.public_key, KEY);
    return spec.drain;
}

static void drained_and_taken_back(void **state)
{
    (void)state;
    assert_int_equal(ask("POST", "/v1/nodes/n1/drain"), 200);
    assert_true(is_drained("n1") && !is_drained("n2"));
    assert_string_equal(said.text, "{\"node\":\"n1\",\"draining\":true,\"changed\":true,\"by\":\"key ops-1\","
                                   "\"seen\":true,\"alone\":[]}\n");
    assert_string_equal(said.audit, "node=n2&action=drain&member=n1&by=key%20ops-1");
    int before = help.requests;
    assert_int_equal(ask("POST", "/v1/nodes/n1/drain"), 200);
    assert_true(has("\"changed\":false") && said.audit[0] == '\0' && help.requests == before + 1);
    assert_int_equal(ask("DELETE", "/v1/nodes/n1/drain"), 200);
    assert_true(!is_drained("n1") && has("\"draining\":false,\"changed\":true"));
    assert_string_equal(said.audit, "node=n2&action=undrain&member=n1&by=key%20ops-1");
}

static void pools_that_nobody_else_takes_are_named(void **state)
{
    (void)state;
    assert_int_equal(ask("POST", "/v1/nodes/n2/drain"), 200);
    assert_true(has("\"alone\":[\"b\"]"));
    view->nodes[0].draining = true;
    assert_int_equal(ask("POST", "/v1/nodes/n2/drain"), 200);
    assert_true(has("\"alone\":[\"a\",\"b\"]"));
    assert_int_equal(ask("DELETE", "/v1/nodes/n2/drain"), 200);
    assert_true(has("\"alone\":[]"));
}

static void one_that_never_ran_may_be_marked(void **state)
{
    (void)state;
    kv_help_set(&help, "/todoku/prod/spec/n9", SPEC("n9", "node", "false"));
    assert_int_equal(ask("POST", "/v1/nodes/n9/drain"), 200);
    assert_true(is_drained("n9") && has("\"seen\":false"));
}

static void others_are_refused(void **state)
{
    (void)state;
    assert_int_equal(ask("POST", "/v1/nodes/n11/drain"), 404);
    assert_true(has("did you mean `n1`"));
    assert_int_equal(ask("POST", "/v1/nodes/somebody/drain"), 404);
    assert_true(has("todoku members list"));
    assert_int_equal(ask("POST", "/v1/nodes/c1/drain"), 409);
    assert_int_equal(ask("DELETE", "/v1/nodes/c2/drain"), 409);
    assert_true(has("is a coordinator") && !is_drained("c1") && !is_drained("c2"));
    kv_help_set(&help, "/todoku/prod/spec/n1", "{\"id\":\"n1\"");
    assert_int_equal(ask("POST", "/v1/nodes/n1/drain"), 503);
    assert_true(has("Nothing was changed") && has("spec/n1"));
}

static void the_store_is_away(void **state)
{
    (void)state;
    help.troubles = 1;
    help.trouble = KV_UNKNOWN;
    assert_int_equal(ask("POST", "/v1/nodes/n1/drain"), 503);
    assert_true(has("Nothing was changed") && said.retry_after > 0); /* it was only reading */
    help.calm = 1;
    help.troubles = 1;
    assert_int_equal(ask("POST", "/v1/nodes/n1/drain"), 503);
    assert_true(has("nobody knows whether") && said.audit[0] == '\0');
}

static void faster(struct kv_help *store)
{
    kv_help_set(store, "/todoku/prod/spec/n1", SPEC("n1", "node", "false"));
}

static void somebody_else_is_faster(void **state)
{
    (void)state;
    help.before_txn = faster;
    assert_int_equal(ask("POST", "/v1/nodes/n1/drain"), 200);
    assert_true(is_drained("n1"));
    help.before_txn = NULL;
    help.calm = 0;
    help.troubles = 0;
}

static void refused(const char *method, const char *target, const char *key, const char *type, int status)
{
    struct api_plan plan = plan_of(method, target, key, type);
    assert_int_equal(plan.kind, API_ANSWER);
    if (plan.answer.status != status)
        fail_msg("%s %s: %d, %s", method, target, plan.answer.status, buffer_text(&plan.answer.text));
    api_plan_free(&plan);
}

static void who_may_and_how(void **state)
{
    (void)state;
    static const char json[] = "application/json";
    refused("POST", "/v1/nodes/n1/drain", "tenantkey", json, 403);
    refused("DELETE", "/v1/nodes/n1/drain", "tenantkey", json, 403);
    refused("GET", "/v1/nodes/n1/drain", "tenantkey", json, 403);
    refused("POST", "/v1/nodes/n1/drain", "adminkey", "text/plain", 415);
    refused("POST", "/v1/nodes/n1/drain", "adminkey", NULL, 415);
    refused("PUT", "/v1/nodes/n1/drain", "adminkey", json, 405);
    refused("POST", "/v1/nodes/n1", "adminkey", json, 404);
    refused("POST", "/v1/nodes//drain", "adminkey", json, 404);
    refused("POST", "/v1/nodes/n1/drain/", "adminkey", json, 404);
    refused("POST", "/v1/nodes/n1/drain/x", "adminkey", json, 404);
    refused("POST", "/v1/nodes/n1%2f..%2fc1/drain", "adminkey", json, 404);
    refused("POST", "/v1/nodes/.hidden/drain", "adminkey", json, 404);
    refused("POST", "/v1/nodes/n234567890123456789012345678901234567890123456789012345678901234567890/drain",
        "adminkey", json, 404);
    struct api_plan plan = plan_of("GET", "/v1/nodes/n1/drain?node=n2", "adminkey", NULL);
    assert_int_equal(plan.kind, API_ASK);
    assert_string_equal(plan.what, "drain");
    assert_string_equal(plan.selectors, "node=n1");
    api_plan_free(&plan);
    api.admin = NULL;
    refused("POST", "/v1/nodes/n1/drain", "adminkey", json, 409);
    refused("GET", "/v1/nodes/n1/drain", "adminkey", json, 409);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(drained_and_taken_back),
        TEST(pools_that_nobody_else_takes_are_named),
        TEST(one_that_never_ran_may_be_marked),
        TEST(others_are_refused),
        TEST(the_store_is_away),
        TEST(somebody_else_is_faster),
        TEST(who_may_and_how),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
