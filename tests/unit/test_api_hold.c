/* Pauses and commands over HTTP, without HTTP: who may do what, which names are known, what is answered when the
 * store is away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster/hold_store.h"
#include "coordinator/api_hold.h"

#define NOW (1795323852LL * USEC_SEC) /* 2026-11-22T05:04:12Z */

static const char config[] =
    "coordinator: { id: c1, default_tenant: acme }\n"
    "node: { sources: [{ address: 127.0.0.1, helo: mx.acme.example, pools: [a, b] }] }\n"
    "pools: { a: {}, b: {} }\n"
    "tenants:\n"
    "  - { id: acme, pools: [a, b], domains: [acme.example] }\n"
    "  - { id: other, pools: [b], domains: ['*'] }\n";

static char dir[40], file[80];
static struct settings *settings;
static struct kv_file *store;
static struct kv kv, broken;
static struct view *view;
static struct holds *known;
static struct api_holds holds;
static struct api api;
static uint8_t next_id;

static struct {
    int status;
    char text[4000];
    unsigned retry_after;
} said;

static bool verify(void *keys, const char *key, struct api_identity *who_r)
{
    (void)keys;
    who_r->admin = strcmp(key, "adminkey") == 0;
    snprintf(who_r->tenant, sizeof who_r->tenant, "%s", who_r->admin ? "" : "acme");
    snprintf(who_r->key, sizeof who_r->key, "%.60s-1", key);
    return who_r->admin || strcmp(key, "acmekey") == 0;
}

static struct mail_id make_id(void *ids, const char *tenant, const char *key)
{
    (void)ids, (void)tenant;
    assert_null(key);
    return (struct mail_id){{0xab, ++next_id}};
}

static struct holds *get_known(void *context)
{
    (void)context;
    return known == NULL ? NULL : holds_hold(known);
}

static struct view *get_view(void *context)
{
    (void)context;
    return view == NULL ? NULL : view_hold(view);
}

static void no_answer(void *context, const struct kv_request *request, kv_done *done, void *arg)
{
    struct kv_result result = {.outcome = KV_UNKNOWN, .why = "no endpoint of etcd answers"};
    (void)context, (void)request;
    done(arg, &result);
}

static void make_view(void)
{
    static const char *const pools[] = {"a"};
    view = view_new(1);
    struct view_node *node = view_add_node(view, "n1", "n1.0", 1, 1);
    view_add_source(node, "192.0.2.1", "mx.acme.example", pools, 1);
}

static int set_up(void **state)
{
    struct fault *faults = NULL;
    struct error error;
    size_t count = 0;
    (void)state;
    settings = settings_parse(config, sizeof config - 1, "test.yaml", &faults, &count);
    free(faults);
    strcpy(dir, "/tmp/todoku-api-XXXXXX");
    if (settings == NULL || mkdtemp(dir) == NULL)
        return -1;
    snprintf(file, sizeof file, "%s/members.json", dir);
    store = kv_file_open(file, &error);
    if (store == NULL)
        return -1;
    kv = kv_file_face(store);
    broken = kv;
    broken.request = no_answer;
    make_view();
    holds = (struct api_holds){.kv = &kv, .cluster = "lab", .known = get_known, .view = get_view};
    api = (struct api){.settings = settings, .make_id = make_id, .verify = verify, .holds = &holds};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kv_file_close(&store);
    view_drop(&view);
    holds_drop(&known);
    settings_free(&settings);
    unlink(file);
    return rmdir(dir);
}

static void on_done(void *arg, struct api_answer *answer)
{
    (void)arg;
    said.status = answer->status;
    said.retry_after = answer->retry_after;
    snprintf(said.text, sizeof said.text, "%s", buffer_text(&answer->text));
    api_answer_free(answer);
    *answer = (struct api_answer){0};
}

/* The status; what else was said is in `said`. */
static int ask(const char *key, const char *method, const char *target, const char *body)
{
    char authorization[40];
    struct api_plan plan;
    snprintf(authorization, sizeof authorization, "Bearer %s", key);
    struct api_request request = {.method = method,
        .target = target,
        .authorization = authorization,
        .accept = "application/x-ndjson",
        .content_type = body == NULL ? NULL : "application/json"};
    memset(&said, 0, sizeof said);
    api_plan(&api, &request, &plan);
    if (plan.kind == API_HOLD) {
        assert_int_equal(api_max_body(&api, &plan) > 0, strcmp(method, "POST") == 0);
        api_hold(&api, &plan, body == NULL ? "" : body, body == NULL ? 0 : strlen(body), NOW, on_done, NULL);
    } else if (plan.kind == API_COMMAND && body != NULL) {
        struct api_answer answer = {0};
        assert_true(api_max_body(&api, &plan) > 0);
        if (api_command(&api, &plan, body, strlen(body), &answer) == 0)
            snprintf(said.text, sizeof said.text, "%s?%.3000s", plan.what, plan.selectors);
        else
            on_done(NULL, &answer);
    } else {
        on_done(NULL, &plan.answer);
    }
    api_plan_free(&plan);
    return said.status;
}

static void expect(const char *text)
{
    if (strstr(said.text, text) == NULL)
        fail_msg("%d %s does not say %s", said.status, said.text, text);
}

static size_t rows(const char *key, const char *query)
{
    char target[200];
    size_t count = 0;
    snprintf(target, sizeof target, "/v1/pauses%s", query);
    assert_int_equal(ask(key, "GET", target, NULL), 200);
    for (const char *at = said.text; (at = strchr(at, '\n')) != NULL; at++)
        count++;
    return count;
}

static void a_pause_is_kept_and_told(void **state)
{
    (void)state;
    assert_int_equal(ask("adminkey", "POST", "/v1/pauses",
                         "{\"tenant\":\"acme\",\"domain\":\"B\xc3\xbc"
                         "cher.Example.\",\"for\":\"2h\",\"reason\":\"wrong\\nlink\"}"),
        201);
    expect("{\"id\":\"ab010000000000000000000000000000\",\"tenant\":\"acme\",\"domain\":\"xn--bcher-kva."
           "example\","
           "\"since\":\"2026-11-22T05:04:12.000Z\",\"until\":\"2026-11-22T07:04:12.000Z\",\"by\":\"key "
           "adminkey-1\","
           "\"reason\":\"wrong link\"}");
    assert_int_equal(ask("adminkey", "POST", "/v1/pauses",
                         "{\"source\":\"192.0.2.1\",\"until\":\"2026-11-22T06:00:00Z\"}"),
        201);
    assert_int_equal(rows("adminkey", ""), 2);
    assert_int_equal(rows("adminkey", "?limit=1"), 1);
    assert_int_equal(rows("adminkey", "?domain=xn--bcher-kva.example"), 1);
    assert_int_equal(rows("adminkey", "?tenant=other"), 0);
    assert_int_equal(ask("adminkey", "DELETE", "/v1/pauses/ab010000000000000000000000000000", NULL), 204);
    assert_string_equal(said.text, "");
    assert_int_equal(ask("adminkey", "DELETE", "/v1/pauses/ab010000000000000000000000000000", NULL), 404);
    assert_int_equal(rows("adminkey", ""), 1);
}

static void those_that_name_exactly_this_are_lifted(void **state)
{
    (void)state;
    ask("adminkey", "POST", "/v1/pauses", "{\"tenant\":\"acme\"}");
    ask("adminkey", "POST", "/v1/pauses", "{\"tenant\":\"acme\",\"campaign\":\"spring\"}");
    ask("adminkey", "POST", "/v1/pauses", "{\"tenant\":\"acme\",\"campaign\":\"spring\"}");
    assert_int_equal(ask("adminkey", "DELETE", "/v1/pauses?campaign=spring", NULL), 404);
    assert_int_equal(ask("adminkey", "DELETE", "/v1/pauses?campaign=spring&tenant=acme", NULL), 200);
    expect("{\"lifted\":2}");
    assert_int_equal(rows("adminkey", ""), 1);
}

static void a_tenant_touches_its_own_only(void **state)
{
    (void)state;
    assert_int_equal(ask("adminkey", "POST", "/v1/pauses", "{\"pool\":\"a\"}"), 201);
    assert_int_equal(ask("adminkey", "POST", "/v1/pauses", "{\"tenant\":\"other\"}"), 201);
    assert_int_equal(ask("acmekey", "POST", "/v1/pauses", "{\"tenant\":\"other\"}"), 403);
    assert_int_equal(ask("acmekey", "POST", "/v1/pauses", "{\"domain\":\"example.net\"}"), 201);
    expect("\"tenant\":\"acme\",\"domain\":\"example.net\"");
    assert_int_equal(ask("acmekey", "POST", "/v1/pauses", "{}"), 201);
    expect("\"tenant\":\"acme\",\"since\"");
    assert_int_equal(rows("acmekey", ""), 2);
    assert_int_equal(ask("acmekey", "GET", "/v1/pauses?tenant=other", NULL), 403);
    char first[80];
    snprintf(first, sizeof first, "/v1/pauses/ab%02x0000000000000000000000000000", next_id - 3); /* pool a */
    assert_int_equal(ask("acmekey", "DELETE", first, NULL), 404);
    assert_int_equal(ask("acmekey", "DELETE", "/v1/pauses?tenant=other", NULL), 403);
    assert_int_equal(ask("acmekey", "DELETE", "/v1/pauses?pool=a", NULL), 404);
    assert_int_equal(rows("adminkey", ""), 4);
    assert_int_equal(ask("acmekey", "DELETE", "/v1/pauses?domain=example.net", NULL), 200);
    assert_int_equal(rows("adminkey", ""), 3);
    assert_int_equal(ask("nokey", "GET", "/v1/pauses", NULL), 401);
}

/* Else whoever is stopped, for abuse say, would go on. */
static void a_tenant_does_not_lift_what_an_administrator_set(void **state)
{
    (void)state;
    char one[80];
    assert_int_equal(ask("adminkey", "POST", "/v1/pauses", "{\"tenant\":\"acme\",\"reason\":\"spam\"}"), 201);
    snprintf(one, sizeof one, "/v1/pauses/ab%02x0000000000000000000000000000", next_id);
    assert_int_equal(rows("acmekey", ""), 1); /* but it is told why */
    assert_int_equal(ask("acmekey", "DELETE", one, NULL), 404);
    expect("only an administrator resumes");
    assert_int_equal(ask("acmekey", "DELETE", "/v1/pauses?tenant=acme", NULL), 404);
    assert_int_equal(ask("acmekey", "POST", "/v1/pauses", "{\"tenant\":\"acme\"}"), 201);
    assert_int_equal(ask("acmekey", "DELETE", "/v1/pauses?tenant=acme", NULL), 200);
    expect("{\"lifted\":1}");
    assert_int_equal(rows("adminkey", ""), 1);
    assert_int_equal(ask("acmekey", "POST", "/v1/pauses", "{\"tenant\":\"acme\"}"), 201);
    assert_int_equal(ask("adminkey", "DELETE", "/v1/pauses?tenant=acme", NULL), 200);
    expect("{\"lifted\":2}");
}

static void bad_requests_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *method, *target, *body;
        int status;
        const char *why;
    } refused[] = {
        {"POST", "/v1/pauses", "{}", 400, "at least one of tenant"},
        {"POST", "/v1/pauses", "{\"reason\":\"x\"}", 400, "at least one of tenant"},
        {"POST", "/v1/pauses", "[1]", 400, "no JSON object"},
        {"POST", "/v1/pauses", "", 400, "no JSON object"},
        {"POST", "/v1/pauses", "{\"tenat\":\"acme\"}", 400, "`tenat` is not known"},
        {"POST", "/v1/pauses", "{\"tenant\":7}", 400, "`tenant` must be a text"},
        {"POST", "/v1/pauses", "{\"tenant\":\"\"}", 400, "`tenant` is empty"},
        {"POST", "/v1/pauses", "{\"tenant\":\"acmee\"}", 400, "did you mean `acme`"},
        {"POST", "/v1/pauses", "{\"tenant\":\"zzzzzz\"}", 400, "no tenant `zzzzzz`; `todoku tenants`"},
        {"POST", "/v1/pauses", "{\"pool\":\"c\"}", 400, "no pool `c`"},
        {"POST", "/v1/pauses", "{\"source\":\"192.0.2.7\"}", 400, "did you mean `192.0.2.1`"},
        {"POST", "/v1/pauses", "{\"provider\":\"gogle\"}", 400, "no provider `gogle`"},
        {"POST", "/v1/pauses", "{\"domain\":\"a b\"}", 400, "`domain`"},
        {"POST", "/v1/pauses", "{\"tenant\":\"acme\",\"for\":\"2\"}", 400, "`for`"},
        {"POST", "/v1/pauses", "{\"tenant\":\"acme\",\"for\":\"0s\"}", 400, "ended by now"},
        {"POST", "/v1/pauses", "{\"tenant\":\"acme\",\"until\":\"soon\"}", 400, "`until`"},
        {"POST", "/v1/pauses", "{\"tenant\":\"acme\",\"until\":\"2026-11-22T05:04:12Z\"}", 400,
            "ended by now"},
        {"POST", "/v1/pauses", "{\"tenant\":\"acme\",\"for\":\"1s\",\"until\":\"2027-01-01T00:00:00Z\"}", 400,
            "either"},
        {"POST", "/v1/pauses", NULL, 415, "Content-Type: application/json"},
        {"DELETE", "/v1/pauses", NULL, 400, "at least one of tenant"},
        {"DELETE", "/v1/pauses?tenat=acme", NULL, 400, "`tenat` is no selector"},
        {"DELETE", "/v1/pauses?tenant", NULL, 400, "`tenant` is empty"},
        {"DELETE", "/v1/pauses?limit=1", NULL, 400, "`limit` is no selector"},
        {"DELETE", "/v1/pauses/xyz", NULL, 404, "No pause has the id"},
        {"PUT", "/v1/pauses", NULL, 405, "GET, HEAD, POST, DELETE"},
        {"GET", "/v1/pauses/ab", NULL, 405, "it takes DELETE"},
        {"GET", "/v1/retry", NULL, 405, "it takes POST"},
        {"GET", "/v1/pauses?node=n1", NULL, 400, "`node` is no selector"},
        {"POST", "/v1/delete", "{}", 400, "at least one of tenant"},
        {"POST", "/v1/delete", "{\"reason\":\"x\"}", 400, "at least one of tenant"},
        {"POST", "/v1/pauses", "{\"recipient\":\"a@b.example\"}", 400, "`recipient` is not known"},
        {"POST", "/v1/delete", "{\"for\":\"2h\",\"tenant\":\"acme\"}", 400, "`for` is not known"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        int status = ask("adminkey", refused[i].method, refused[i].target, refused[i].body);
        if (status != refused[i].status || strstr(said.text, refused[i].why) == NULL)
            fail_msg("%s %s %s: %d %s", refused[i].method, refused[i].target,
                refused[i].body == NULL ? "" : refused[i].body, status, said.text);
    }
    assert_int_equal(rows("adminkey", ""), 0);
}

static void names_that_may_be_are_taken(void **state)
{
    (void)state;
    assert_int_equal(ask("adminkey", "POST", "/v1/pauses", "{\"provider\":\"mx1.unlisted.example\"}"), 201);
    assert_int_equal(ask("adminkey", "POST", "/v1/pauses", "{\"provider\":\"default\"}"), 201);
    assert_int_equal(ask("adminkey", "POST", "/v1/pauses", "{\"campaign\":\"anything\"}"), 201);
    view_drop(&view); /* before the first view nobody knows the sources */
    assert_int_equal(ask("adminkey", "POST", "/v1/pauses", "{\"source\":\"192.0.2.7\"}"), 201);
}

static void commands_become_selectors(void **state)
{
    (void)state;
    assert_int_equal(
        ask("adminkey", "POST", "/v1/retry", "{\"domain\":\"Example.NET\",\"reason\":\"a&b\"}"), 0);
    assert_string_equal(said.text, "retry?domain=example.net&reason=a%26b&by=key%20adminkey-1");
    assert_int_equal(ask("acmekey", "POST", "/v1/delete", "{\"campaign\":\"spring & more\"}"), 0);
    assert_string_equal(said.text, "delete?tenant=acme&campaign=spring%20%26%20more&by=key%20acmekey-1");
    assert_int_equal(
        ask("adminkey", "POST", "/v1/bounce", "{\"recipient\":\"a@b.example\",\"id\":\"ab\"}"), 0);
    assert_string_equal(said.text, "bounce?recipient=a@b.example&id=ab&by=key%20adminkey-1");
    assert_int_equal(ask("acmekey", "POST", "/v1/bounce", "{\"tenant\":\"other\"}"), 403);
    assert_int_equal(ask("acmekey", "POST", "/v1/bounce", "{}"), 400);
    assert_int_equal(ask("acmekey", "POST", "/v1/bounce", "{\"tenant\":\"acme\"}"), 0);
}

static void the_store_may_be_away(void **state)
{
    (void)state;
    assert_int_equal(ask("adminkey", "POST", "/v1/pauses", "{\"tenant\":\"acme\"}"), 201);
    holds.kv = &broken;
    assert_int_equal(ask("adminkey", "POST", "/v1/pauses", "{\"tenant\":\"acme\"}"), 503);
    expect("Nothing was changed: no endpoint of etcd answers");
    assert_true(said.retry_after > 0);
    assert_int_equal(ask("adminkey", "DELETE", "/v1/pauses?tenant=acme", NULL), 503);
    assert_int_equal(ask("adminkey", "GET", "/v1/pauses", NULL), 503);
    struct hold hold = {.id = "a1", .match = {.tenant = "acme"}, .since = NOW};
    known = holds_new();
    holds_add(known, &hold, NULL);
    assert_int_equal(rows("adminkey", ""), 2);
    expect("{\"id\":\"a1\"");
    expect("{\"incomplete\":true,\"missing\":[\"store\"]}");
    holds.kv = NULL;
    assert_int_equal(ask("adminkey", "GET", "/v1/pauses", NULL), 503);
    expect("not open yet");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_pause_is_kept_and_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(those_that_name_exactly_this_are_lifted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tenant_touches_its_own_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tenant_does_not_lift_what_an_administrator_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_requests_are_refused_with_a_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_that_may_be_are_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(commands_become_selectors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_store_may_be_away, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
