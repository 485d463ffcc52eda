/* Versions of the configuration in the store: applied, listed, read, watched, and what happens when others
 * are faster or the store does not answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "cluster/config_record.h"
#include "tests/unit/kv_help.h"

static struct kv_help help;
static struct kv kv;

static struct {
    int calls;
    enum kv_outcome outcome;
    uint64_t number;
    char text[200], why[200];
    size_t count;
    struct config_entry first, last;
    bool first_current;
} said;

static int set_up(void **state)
{
    (void)state;
    help = (struct kv_help){.revision = 10};
    kv = kv_help_face(&help);
    memset(&said, 0, sizeof said);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kv_help_end(&help);
    return 0;
}

static void on_applied(void *arg, enum kv_outcome outcome, uint64_t number, const char *why)
{
    (void)arg;
    said.calls++;
    said.outcome = outcome;
    said.number = number;
    snprintf(said.why, sizeof said.why, "%s", why == NULL ? "" : why);
}

static void on_text(
    void *arg, enum kv_outcome outcome, uint64_t number, const char *text, size_t len, const char *why)
{
    on_applied(arg, outcome, number, why);
    snprintf(said.text, sizeof said.text, "%.*s", (int)len, text);
}

static void on_listed(
    void *arg, enum kv_outcome outcome, const struct config_version *versions, size_t count, const char *why)
{
    on_applied(arg, outcome, 0, why);
    said.count = count;
    if (count == 0)
        return;
    said.first_current = versions[0].current;
    said.first.number = versions[0].number;
    said.last.number = versions[count - 1].number;
    snprintf(said.first.by, sizeof said.first.by, "%s", versions[0].by);
    snprintf(said.first.comment, sizeof said.first.comment, "%s", versions[0].comment);
}

static void apply(const char *text, uint64_t expected)
{
    said.calls = 0;
    config_store_apply(
        &kv, "prod", text, strlen(text), expected, 1795323852, "admin", "why", on_applied, NULL);
    assert_int_equal(said.calls, 1);
}

static void read_version(uint64_t number)
{
    said.calls = 0;
    config_store_read(&kv, "prod", number, on_text, NULL);
    assert_int_equal(said.calls, 1);
}

static void versions_are_kept_and_read(void **state)
{
    (void)state;
    read_version(0);
    assert_int_equal(said.outcome, KV_LOST);
    apply("pools: { a: {} }", 0);
    assert_int_equal(said.outcome, KV_DONE);
    assert_int_equal(said.number, 1);
    assert_string_equal(kv_help_get(&help, "/todoku/prod/config/version/1"), "pools: { a: {} }");
    apply("pools: { b: {} }", 1);
    assert_int_equal(said.number, 2);
    read_version(0);
    assert_int_equal(said.number, 2);
    assert_string_equal(said.text, "pools: { b: {} }");
    read_version(1);
    assert_string_equal(said.text, "pools: { a: {} }");
    read_version(3);
    assert_int_equal(said.outcome, KV_LOST);
    config_store_history(&kv, "prod", on_listed, NULL);
    assert_int_equal(said.count, 2);
    assert_true(said.first_current);
    assert_int_equal(said.first.number, 2);
    assert_string_equal(said.first.by, "admin");
    assert_string_equal(said.first.comment, "why");
}

static void another_version_is_in_force(void **state)
{
    (void)state;
    apply("a: 1", 0);
    apply("a: 2", 0);
    apply("a: 3", 1);
    assert_int_equal(said.outcome, KV_LOST);
    assert_int_equal(said.number, 2);
    assert_null(kv_help_get(&help, "/todoku/prod/config/version/3"));
}

static void somebody_applies(struct kv_help *of)
{
    kv_help_set(of, "/todoku/prod/config/current",
        "{\"number\":1,\"versions\":[{\"number\":1,\"at\":5,\"by\":\"him\",\"comment\":\"\"}],\"later\":"
        "true}");
}

/* Whoever is slower makes the next version, or is told if he wanted to replace another one. */
static void others_are_faster(void **state)
{
    (void)state;
    help.before_txn = somebody_applies;
    apply("a: 1", 0);
    assert_int_equal(said.outcome, KV_DONE);
    assert_int_equal(said.number, 2);
    help.before_txn = somebody_applies;
    apply("a: 2", 2);
    assert_int_equal(said.outcome, KV_LOST);
    assert_int_equal(said.number, 1);
}

static void the_oldest_go(void **state)
{
    (void)state;
    for (int i = 0; i < CONFIG_KEPT + 5; i++)
        apply("a: 1", 0);
    assert_int_equal(said.number, CONFIG_KEPT + 5);
    assert_null(kv_help_get(&help, "/todoku/prod/config/version/5"));
    assert_non_null(kv_help_get(&help, "/todoku/prod/config/version/6"));
    config_store_history(&kv, "prod", on_listed, NULL);
    assert_int_equal(said.count, CONFIG_KEPT);
    assert_int_equal(said.last.number, 6);
}

static void trouble_is_told(void **state)
{
    (void)state;
    help.troubles = 1;
    help.trouble = KV_UNKNOWN;
    apply("a: 1", 0);
    assert_int_equal(said.outcome, KV_REFUSED); /* before anything was written */
    assert_string_equal(said.why, "no endpoint of etcd answers");
    help.calm = help.troubles = 1;
    apply("a: 1", 0);
    assert_int_equal(said.outcome, KV_UNKNOWN);
    help.troubles = 1;
    read_version(0);
    assert_int_equal(said.outcome, KV_UNKNOWN);
    char *big = xcalloc(1, CONFIG_MAX_VERSION + 2);
    memset(big, 'a', CONFIG_MAX_VERSION + 1);
    apply(big, 0);
    assert_int_equal(said.outcome, KV_REFUSED);
    free(big);
    static const char *const bad[] = {"", "x", "[]", "{}", "{\"number\":1,\"versions\":[]}",
        "{\"number\":2,\"versions\":[{\"number\":1,\"at\":1}]}",
        "{\"number\":-1,\"versions\":[{\"number\":-1,\"at\":1}]}",
        "{\"number\":9223372036854775807,\"versions\":[{\"number\":9223372036854775807,\"at\":1}]}",
        "{\"number\":1,\"versions\":[{\"number\":1,\"at\":9223372036854775807}]}",
        "{\"number\":1,\"versions\":[{\"number\":1,\"at\":1},{\"number\":1,\"at\":1}]}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kv_help_set(&help, "/todoku/prod/config/current", bad[i]);
        apply("a: 1", 0);
        assert_int_equal(said.outcome, KV_REFUSED);
        assert_non_null(strstr(said.why, "damaged"));
    }
}

/* The watch */

static void on_told(void *arg, uint64_t number, const char *text, size_t len)
{
    (void)arg;
    said.calls++;
    said.number = number;
    snprintf(said.text, sizeof said.text, "%.*s", (int)len, text);
}

static void what_is_in_force_is_told(void **state)
{
    (void)state;
    struct config_watch *watch = config_watch_open(&kv, "prod", on_told, NULL);
    assert_int_equal(said.calls, 1);
    assert_int_equal(said.number, 0);
    config_store_apply(&kv, "prod", "a: 1", 4, 0, 1, "", "", on_applied, NULL);
    assert_int_equal(said.calls, 3);
    assert_int_equal(said.number, 1);
    assert_string_equal(said.text, "a: 1");
    kv_help_away(&help); /* what was known stays */
    assert_int_equal(said.calls, 3);
    kv_help_set(&help, "/todoku/prod/config/current", "damaged");
    assert_int_equal(said.calls, 3);
    config_watch_close(&watch);
    assert_null(watch);
}

static void a_reading_that_fails_is_tried_again(void **state)
{
    (void)state;
    apply("a: 1", 0);
    memset(&said, 0, sizeof said);
    help.troubles = 3;
    help.trouble = KV_UNKNOWN;
    struct config_watch *watch = config_watch_open(&kv, "prod", on_told, NULL);
    assert_int_equal(said.calls, 1);
    assert_string_equal(said.text, "a: 1");
    /* Not for ever: the store's next news begins anew. */
    kv_help_set(&help, "/todoku/prod/config/version/2", "a: 2");
    help.troubles = 1000;
    help.requests = 0;
    kv_help_set(
        &help, "/todoku/prod/config/current", "{\"number\":2,\"versions\":[{\"number\":2,\"at\":5}]}");
    assert_in_range(help.requests, 5, 30);
    assert_int_equal(said.calls, 1);
    help.troubles = 0;
    kv_help_set(
        &help, "/todoku/prod/config/current", "{\"number\":2,\"versions\":[{\"number\":2,\"at\":5}]}");
    assert_int_equal(said.calls, 2);
    assert_string_equal(said.text, "a: 2");
    config_watch_close(&watch);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(versions_are_kept_and_read),
        TEST(another_version_is_in_force),
        TEST(others_are_faster),
        TEST(the_oldest_go),
        TEST(trouble_is_told),
        TEST(what_is_in_force_is_told),
        TEST(a_reading_that_fails_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
