/* The configuration of the cluster by the API: shown, applied, listed, rolled back, and refused with reasons.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/api_config.h"
#include "tests/unit/kv_help.h"

#define NOW (1795323852LL * USEC_SEC) /* 2026-11-22T05:04:12Z */

static const char file[] = "coordinator: { id: c1, default_tenant: acme }\n"
                           "node: { sources: [{ address: 127.0.0.1, helo: mx.acme.example, pools: [a] }] }\n"
                           "pools: { a: {} }\n"
                           "tenants: [{ id: acme, pools: [a], domains: [acme.example] }]\n";
static const char good[] = "pools: { a: {}, b: {} }\n"
                           "tenants: [{ id: acme, pools: [a], domains: [acme.example] }]\n";

static struct settings *settings;
static struct kv_help help;
static struct kv kv;
static struct view *view;
static struct api_admin admin;
static struct api api;
static struct {
    int calls, status;
    char text[4000], type[60];
} said;

static struct view *view_of_now(void *context)
{
    (void)context;
    return view_hold(view);
}

static int set_up(void **state)
{
    (void)state;
    static const char *const pools[] = {"a"};
    struct fault *faults;
    size_t count;
    settings = settings_parse(file, sizeof file - 1, "/etc/todoku/todoku.yaml", &faults, &count);
    assert_non_null(settings);
    help = (struct kv_help){.revision = 10};
    kv = kv_help_face(&help);
    view = view_new(3);
    view_add_source(view_add_node(view, "n1", "n1.0", 1, 1), "192.0.2.1", "mx.acme.example", pools, 1);
    admin = (struct api_admin){.kv = &kv, .cluster = "prod", .view = view_of_now};
    api = (struct api){.settings = settings, .admin = &admin};
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
    snprintf(said.text, sizeof said.text, "%s", buffer_text(&answer->text));
    snprintf(said.type, sizeof said.type, "%s", answer->type);
    api_answer_free(answer);
}

/* A request as the door would carry it through. */
static void ask(const char *method, const char *target, const char *body)
{
    struct api_request request = {.method = method, .target = target, .host = "127.0.0.1"};
    struct api_plan plan;
    request.content_type = strstr(target, "rollback") != NULL ? "application/json" : "application/yaml";
    said.calls = 0;
    api_plan(&api, &request, &plan);
    if (plan.kind != API_CONFIG)
        fail_msg("%s", buffer_text(&plan.answer.text));
    api_config(&api, &plan, body, strlen(body), NOW, on_answer, NULL);
    api_plan_free(&plan);
    assert_int_equal(said.calls, 1);
}

#define expect(status_, ...)                                                                                 \
    do {                                                                                                     \
        const char *const parts_[] = {__VA_ARGS__};                                                          \
        for (size_t i_ = 0; i_ < sizeof parts_ / sizeof parts_[0]; i_++)                                     \
            if (said.status != (status_) || strstr(said.text, parts_[i_]) == NULL)                           \
                fail_msg("%d, no %s in %s", said.status, parts_[i_], said.text);                             \
    } while (0)

static void versions_come_and_go(void **state)
{
    (void)state;
    ask("GET", "/v1/config", "");
    expect(404, "no version has been applied yet");
    ask("POST", "/v1/config?comment=more%20pools", good);
    expect(200, "{\"version\":1,\"at\":\"2026-11-22T05:04:12.000Z\",\"by\":\"this machine (c1)\","
                "\"comment\":\"more pools\"}");
    ask("POST", "/v1/config?expected=1",
        "pools: { a: {}, c: {} }\n"
        "tenants: [{ id: acme, pools: [c], domains: [acme.example] }]\n");
    expect(200, "\"version\":2");
    ask("GET", "/v1/config", "");
    expect(200, "{\"version\":2,\"text\":\"pools: { a: {}, c: {} }\\n");
    ask("POST", "/v1/config/rollback", "{\"version\": 1}");
    expect(200, "{\"version\":3,", "\"comment\":\"rollback to version 1\"");
    ask("GET", "/v1/config/3", "");
    expect(200, "{\"version\":3,\"text\":\"pools: { a: {}, b: {} }\\n");
    ask("GET", "/v1/config/history", "");
    expect(200, "[{\"version\":3,", "\"current\":true},\n{\"version\":2,",
        "\"comment\":\"more pools\",\"current\":false}]");
    ask("GET", "/v1/config/9", "");
    expect(404, "there is no such version");
}

static void faults_are_all_named(void **state)
{
    (void)state;
    ask("POST", "/v1/config?file=new.yaml",
        "pools: { b: {} }\nlimit: 3\n"
        "tenants:\n  - { id: other, pools: [bb], domains: [x.example] }\n");
    expect(422,
        "2 faults; everything stays as it was:\\nnew.yaml:2:1: unknown key `limit`; did you mean `limits`?",
        "\\nnew.yaml:4:26: there is no pool `bb`");
    /* Sound by itself, but not for those who work by it. */
    ask("POST", "/v1/config",
        "pools: { b: {} }\ntenants: [{ id: other, pools: [b], domains: [x.example] }]\n");
    expect(422, "2 faults", "the pool `a` is missing, and the source 192.0.2.1 of the node n1 is in it",
        "the tenant `acme` is missing, and the coordinator c1 takes mail as it");
    ask("POST", "/v1/config", "{{{{");
    expect(422, "config:2:1: this is no YAML");
    ask("POST", "/v1/config", "");
    expect(422, "the file is empty");
    assert_null(kv_help_get(&help, "/todoku/prod/config/current"));
    /* An old version may not fit any more. */
    kv_help_set(&help, "/todoku/prod/config/version/4", "pools: { b: {} }");
    ask("POST", "/v1/config/rollback", "{\"version\":4}");
    expect(422, "config 4: the pool `a` is missing");
}

static void another_is_in_force(void **state)
{
    (void)state;
    ask("POST", "/v1/config", good);
    ask("POST", "/v1/config?expected=7", good);
    expect(409, "Version 1 is in force by now, not 7");
}

static void the_store_is_away(void **state)
{
    (void)state;
    help.trouble = KV_UNKNOWN;
    help.troubles = 1;
    ask("POST", "/v1/config", good);
    expect(503, "It was not applied: no endpoint of etcd answers.");
    help.calm = help.troubles = 1;
    ask("POST", "/v1/config", good);
    expect(503, "etcd did not answer in time, so nobody knows whether it was applied: look at `todoku config "
                "history` "
                "before you try again. (no endpoint of etcd answers)");
    help.troubles = 1;
    ask("GET", "/v1/config", "");
    expect(503, "etcd does not answer: no endpoint of etcd answers. Everything stays as it is");
    help.troubles = 1;
    ask("GET", "/v1/config/history", "");
    expect(503, "etcd does not answer");
    help.troubles = 1;
    ask("POST", "/v1/config/rollback", "{\"version\":1}");
    expect(503, "Everything stays as it is");
    help.trouble = KV_REFUSED;
    help.troubles = 1;
    ask("POST", "/v1/config", good);
    expect(503, "It was not applied: no endpoint of etcd answers.");
}

static void a_rollback_names_a_version(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "3", "{}", "{\"version\":0}", "{\"version\":-1}",
        "{\"version\":\"3\"}", "{\"version\":1.5}", "{\"version\":1,\"x\":2}", "{\"version\":99999999999}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ask("POST", "/v1/config/rollback", bad[i]);
        expect(400, "Say which version");
    }
}

static void on_one_machine_the_file_wins(void **state)
{
    (void)state;
    static const char *const targets[] = {"/v1/config", "/v1/config/history", "/v1/config/1"};
    api.admin = NULL;
    for (size_t i = 0; i < 3; i++) {
        ask("GET", targets[i], "");
        expect(409, "On one machine the file wins: edit /etc/todoku/todoku.yaml and send SIGHUP");
    }
    ask("POST", "/v1/config", good);
    expect(409, "the file wins");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(versions_come_and_go),
        TEST(faults_are_all_named),
        TEST(another_is_in_force),
        TEST(the_store_is_away),
        TEST(a_rollback_names_a_version),
        TEST(on_one_machine_the_file_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
