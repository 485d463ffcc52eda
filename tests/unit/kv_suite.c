/* kv_suite - see kv_suite.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/kv_suite.h"

static uint64_t revision_of(struct kv_suite *suite, const char *key, uint64_t *created_r, uint64_t *lease_r)
{
    struct kv_request request = {.verb = KV_RANGE, .key = key};
    struct answer answer;
    kv_ask(suite, &request, &answer);
    assert_int_equal(answer.outcome, KV_DONE);
    assert_true(answer.pair_count <= 1);
    uint64_t revision = answer.pair_count == 0 ? 0 : answer.pairs[0].revision;
    assert_true(revision <= answer.revision);
    if (created_r != NULL)
        *created_r = answer.pair_count == 0 ? 0 : answer.pairs[0].created;
    if (lease_r != NULL)
        *lease_r = answer.pair_count == 0 ? 0 : answer.pairs[0].lease;
    answer_free(&answer);
    return revision;
}

static void test_swap(void **state)
{
    struct kv_suite *suite = *state;
    assert_int_equal(revision_of(suite, "/suite/swap", NULL, NULL), 0);
    assert_int_equal(kv_put_if(suite, "/suite/swap", 5, "x"), KV_LOST);
    assert_int_equal(kv_put_if(suite, "/suite/swap", 0, "one"), KV_DONE);
    assert_int_equal(kv_put_if(suite, "/suite/swap", 0, "x"), KV_LOST);
    uint64_t created, first = revision_of(suite, "/suite/swap", &created, NULL);
    assert_int_equal(first, created);
    assert_int_equal(kv_put(suite, "/suite/swap2", "other", 0), KV_DONE);
    assert_int_equal(kv_put_if(suite, "/suite/swap", first, "two"), KV_DONE);
    assert_int_equal(kv_put_if(suite, "/suite/swap", first, "x"), KV_LOST);
    uint64_t again, second = revision_of(suite, "/suite/swap", &again, NULL);
    assert_true(second > first);
    assert_int_equal(again, created);
    assert_string_equal(kv_show(suite, "/suite/swap"), "=two 2=other");
    assert_int_equal(kv_put(suite, "/suite/swap", NULL, 0), KV_DONE);
    assert_int_equal(revision_of(suite, "/suite/swap", NULL, NULL), 0);
    assert_int_equal(kv_put(suite, "/suite/swap", NULL, 0), KV_DONE); /* is not there: no fault */
    assert_int_equal(kv_put_if(suite, "/suite/swap", 0, "three"), KV_DONE);
    assert_true(revision_of(suite, "/suite/swap", &again, NULL) > second);
    assert_true(again > second); /* made anew */
}

/* All changes of a transaction happen, at one revision, or none. */
static void test_transaction(void **state)
{
    struct kv_suite *suite = *state;
    struct kv_change changes[] = {{.key = "/suite/txn/a", .value = "1", .len = 1},
        {.key = "/suite/txn/b", .value = "2", .len = 1}, {.key = "/suite/txn/c", .value = NULL}};
    struct kv_compare compares[] = {
        {.key = "/suite/txn/a", .revision = 0}, {.key = "/suite/txn/c", .created = true, .revision = 1}};
    struct kv_request request = {
        .verb = KV_TXN, .compares = compares, .compare_count = 2, .changes = changes, .change_count = 3};
    struct answer answer;
    assert_int_equal(kv_put(suite, "/suite/txn/c", "0", 0), KV_DONE);
    kv_ask(suite, &request, &answer); /* the second compare does not hold */
    assert_int_equal(answer.outcome, KV_LOST);
    answer_free(&answer);
    assert_string_equal(kv_show(suite, "/suite/txn/"), "c=0");
    assert_int_equal(kv_put(suite, "/suite/txn/c", "00", 0), KV_DONE);
    revision_of(suite, "/suite/txn/c", &compares[1].revision, NULL);
    kv_ask(suite, &request, &answer);
    assert_int_equal(answer.outcome, KV_DONE);
    assert_string_equal(kv_show(suite, "/suite/txn/"), "a=1 b=2");
    assert_int_equal(revision_of(suite, "/suite/txn/a", NULL, NULL), answer.revision);
    assert_int_equal(revision_of(suite, "/suite/txn/b", NULL, NULL), answer.revision);
    answer_free(&answer);
}

static void test_range(void **state)
{
    struct kv_suite *suite = *state;
    static const char *const keys[] = {"/suite/range/b", "/suite/range0", "/suite/range", "/suite/range/a",
        "/suite/range/a/deep", "/suite/range.", "/suite/range/~"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_int_equal(kv_put(suite, keys[i], "", 0), KV_DONE);
    assert_string_equal(kv_show(suite, "/suite/range/"), "a= a/deep= b= ~=");
    assert_string_equal(kv_show(suite, "/suite/range"), "= .= /a= /a/deep= /b= /~= 0=");
    assert_string_equal(kv_show(suite, "/suite/rangy"), "");
}

/* Any octets go in and come out again. */
static void test_values(void **state)
{
    struct kv_suite *suite = *state;
    size_t sizes[] = {0, 1, 256, 100000, KV_MAX_VALUE};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t len = sizes[i];
        char *value = xmalloc(len + 1);
        for (size_t at = 0; at < len; at++)
            value[at] = (char)(at * 7 + at / 256);
        struct kv_change change = {.key = "/suite/value", .value = value, .len = len};
        struct kv_request put = {.verb = KV_TXN, .changes = &change, .change_count = 1};
        struct kv_request get = {.verb = KV_RANGE, .key = "/suite/value"};
        struct answer answer;
        kv_ask(suite, &put, &answer);
        assert_int_equal(answer.outcome, KV_DONE);
        answer_free(&answer);
        kv_ask(suite, &get, &answer);
        assert_int_equal(answer.pair_count, 1);
        assert_int_equal(answer.pairs[0].len, len);
        assert_memory_equal(answer.pairs[0].value, value, len);
        answer_free(&answer);
        free(value);
    }
}

static void refused(struct kv_suite *suite, const struct kv_request *request)
{
    struct answer answer;
    kv_ask(suite, request, &answer);
    assert_int_equal(answer.outcome, KV_REFUSED);
    assert_true(strlen(answer.why) > 10);
    answer_free(&answer);
}

static void test_refusals(void **state)
{
    struct kv_suite *suite = *state;
    char long_key[KV_MAX_KEY + 2];
    memset(long_key, 'k', sizeof long_key - 1);
    long_key[sizeof long_key - 1] = '\0';
    char *large = xcalloc(1, KV_MAX_VALUE + 1);
    struct kv_change many[KV_MAX_CHANGES + 1];
    for (size_t i = 0; i < KV_MAX_CHANGES + 1; i++)
        many[i] = (struct kv_change){.key = "/suite/refused", .value = "x", .len = 1};
    struct kv_change changes[] = {{.key = long_key, .value = "x", .len = 1},
        {.key = "", .value = "x", .len = 1},
        {.key = "/suite/refused", .value = large, .len = KV_MAX_VALUE + 1}};
    struct kv_request request = {.verb = KV_TXN, .change_count = 1};
    for (size_t i = 0; i < 3; i++) {
        request.changes = &changes[i];
        refused(suite, &request);
    }
    request.changes = many;
    request.change_count = KV_MAX_CHANGES + 1;
    refused(suite, &request);
    request.change_count = 2; /* one key twice */
    refused(suite, &request);
    refused(suite, &(struct kv_request){.verb = KV_RANGE, .key = long_key});
    refused(suite, &(struct kv_request){.verb = KV_LEASE_GRANT, .ttl = 0});
    assert_string_equal(kv_show(suite, "/suite/refused"), "");
    free(large);
}

/* ---- leases ---- */

static void test_lease(void **state)
{
    struct kv_suite *suite = *state;
    uint64_t lease = kv_grant(suite, 60 * USEC_SEC), other = kv_grant(suite, 60 * USEC_SEC), held;
    assert_true(lease != other);
    assert_int_equal(kv_put(suite, "/suite/lease/a", "1", lease), KV_DONE);
    assert_int_equal(kv_put(suite, "/suite/lease/b", "2", lease), KV_DONE);
    assert_int_equal(kv_put(suite, "/suite/lease/c", "3", lease), KV_DONE);
    assert_int_equal(kv_put(suite, "/suite/lease/b", "mine", 0), KV_DONE); /* leaves the lease */
    assert_int_equal(kv_put(suite, "/suite/lease/c", "other", other), KV_DONE);
    revision_of(suite, "/suite/lease/a", NULL, &held);
    assert_int_equal(held, lease);
    assert_int_equal(kv_keep(suite, lease), KV_DONE);
    assert_int_equal(kv_revoke(suite, lease), KV_DONE);
    assert_string_equal(kv_show(suite, "/suite/lease/"), "b=mine c=other");
    assert_int_equal(kv_keep(suite, lease), KV_LOST);
    assert_int_equal(kv_revoke(suite, lease), KV_LOST);
    assert_int_equal(kv_put(suite, "/suite/lease/a", "late", lease), KV_LOST);
    assert_int_equal(kv_revoke(suite, other), KV_DONE);
    assert_string_equal(kv_show(suite, "/suite/lease/"), "b=mine");
}

/* One that is kept outlives its time; one that is not ends, and its keys with it, not before its time. */
static void test_expiry(void **state)
{
    struct kv_suite *suite = *state;
    uint64_t kept = kv_grant(suite, 4 * USEC_SEC), left = kv_grant(suite, 2 * USEC_SEC);
    struct diary diary;
    assert_int_equal(kv_put(suite, "/suite/expiry/kept", "1", kept), KV_DONE);
    assert_int_equal(kv_put(suite, "/suite/expiry/left", "2", left), KV_DONE);
    diary_open(suite, &diary, "/suite/expiry/");
    diary_await(suite, &diary, "LIST[kept=1 left=2]", 5);
    for (int i = 0; i < 11; i++) {
        suite->pass(suite->context, USEC_SEC / 2);
        assert_int_equal(kv_keep(suite, kept), KV_DONE);
    }
    diary_await(suite, &diary, "LIST[kept=1 left=2] -left", 5);
    assert_int_equal(kv_keep(suite, left), KV_LOST);
    assert_string_equal(kv_show(suite, "/suite/expiry/"), "kept=1");
    assert_int_equal(kv_revoke(suite, kept), KV_DONE);
    diary_await(suite, &diary, "LIST[kept=1 left=2] -left -kept", 5);
    diary_close(suite, &diary);
}

/* ---- watches ---- */

static void test_watch(void **state)
{
    struct kv_suite *suite = *state;
    struct diary diary, all;
    assert_int_equal(kv_put(suite, "/suite/watch/a", "1", 0), KV_DONE);
    diary_open(suite, &diary, "/suite/watch/");
    diary_await(suite, &diary, "LIST[a=1]", 10);
    assert_int_equal(kv_put(suite, "/suite/watch/b", "2", 0), KV_DONE);
    assert_int_equal(kv_put(suite, "/suite/watcher", "not meant", 0), KV_DONE);
    assert_int_equal(kv_put(suite, "/suite/watch/b", "3", 0), KV_DONE);
    assert_int_equal(kv_put(suite, "/suite/watch/b", NULL, 0), KV_DONE);
    assert_int_equal(kv_put(suite, "/suite/watch/b", NULL, 0), KV_DONE); /* changes nothing */
    assert_int_equal(kv_put(suite, "/suite/watch/a", "4", 0), KV_DONE);
    diary_await(suite, &diary, "LIST[a=1] +b=2 +b=3 -b +a=4", 10);
    diary_open(suite, &all, "/suite/watch");
    diary_await(suite, &all, "LIST[/a=4 er=not meant]", 10);
    diary_close(suite, &diary);
    assert_int_equal(kv_put(suite, "/suite/watch/c", "5", 0), KV_DONE);
    diary_await(suite, &all, "LIST[/a=4 er=not meant] +/c=5", 10);
    diary_close(suite, &all);
}

/* What a transaction does comes together; a revoked lease's keys go. */
static void test_watch_transaction(void **state)
{
    struct kv_suite *suite = *state;
    uint64_t lease = kv_grant(suite, 60 * USEC_SEC);
    struct kv_change changes[] = {{.key = "/suite/wt/a", .value = "1", .len = 1, .lease = lease},
        {.key = "/suite/wt/b", .value = "2", .len = 1}};
    struct kv_request request = {.verb = KV_TXN, .changes = changes, .change_count = 2};
    struct answer answer;
    struct diary diary;
    diary_open(suite, &diary, "/suite/wt/");
    diary_await(suite, &diary, "LIST[]", 10);
    kv_ask(suite, &request, &answer);
    diary_await(suite, &diary, "LIST[] +a=1 +b=2", 10);
    assert_int_equal(diary.revision, answer.revision);
    answer_free(&answer);
    assert_int_equal(kv_revoke(suite, lease), KV_DONE);
    diary_await(suite, &diary, "LIST[] +a=1 +b=2 -a", 10);
    diary_close(suite, &diary);
}

/* However the list and the changes fall: each change is told once, and none is missed. */
static void test_watch_races(void **state)
{
    enum { CHANGES = 200 };
    struct kv_suite *suite = *state;
    struct answer answers[CHANGES];
    struct diary diary;
    for (int i = 0; i < CHANGES; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", i);
        struct kv_change change = {.key = "/suite/races/k", .value = value, .len = strlen(value)};
        struct kv_request request = {.verb = KV_TXN, .changes = &change, .change_count = 1};
        kv_send(suite, &request, &answers[i]);
        if (i == CHANGES / 2)
            diary_open(suite, &diary, "/suite/races/");
    }
    for (int i = 0; i < CHANGES; i++) {
        kv_receive(suite, &answers[i]);
        assert_int_equal(answers[i].outcome, KV_DONE);
        answer_free(&answers[i]);
    }
    uint64_t last = revision_of(suite, "/suite/races/k", NULL, NULL), told = 0;
    for (int i = 0; i < 1000 && told < last; i++) {
        suite->pass(suite->context, 10 * USEC_MS);
        pthread_mutex_lock(&diary.lock);
        told = diary.revision;
        pthread_mutex_unlock(&diary.lock);
    }
    assert_int_equal(told, last);
    assert_int_equal(diary.lists, 1);
    assert_int_equal(diary.changes, last - diary.listed); /* nobody else changes the store */
    diary_close(suite, &diary);
}

/* ---- `done` asks further ---- */

struct chain {
    struct kv_suite *suite;
    struct answer *last;
    int left;
};

static void chain_done(void *arg, const struct kv_result *result)
{
    struct chain *chain = arg;
    assert_int_equal(result->outcome, KV_DONE);
    struct kv_change change = {.key = "/suite/chain", .value = "x", .len = 1};
    struct kv_request request = {.verb = KV_TXN, .changes = &change, .change_count = 1};
    if (--chain->left > 0)
        chain->suite->kv.request(chain->suite->kv.context, &request, chain_done, chain);
    else
        kv_send(chain->suite, &request, chain->last);
}

static void test_chain(void **state)
{
    struct kv_suite *suite = *state;
    struct answer last = {.done = false};
    struct chain chain = {.suite = suite, .last = &last, .left = 5};
    struct kv_request first = {.verb = KV_RANGE, .key = "/suite/chain"};
    suite->kv.request(suite->kv.context, &first, chain_done, &chain);
    for (int i = 0; i < 500 && strcmp(kv_show(suite, "/suite/chain"), "=x") != 0; i++)
        suite->pass(suite->context, 10 * USEC_MS);
    for (int i = 0; i < 50; i++)
        suite->pass(suite->context, 10 * USEC_MS);
    kv_receive(suite, &last);
    assert_int_equal(last.outcome, KV_DONE);
    answer_free(&last);
}

static struct kv_suite *current;

static int open_store(void **state)
{
    (void)state;
    if (current->open != NULL)
        current->open(current);
    return 0;
}

static int close_store(void **state)
{
    (void)state;
    if (current->close != NULL)
        current->close(current);
    return 0;
}

static int begin(void **state)
{
    *state = current;
    return 0;
}

int kv_suite_run(struct kv_suite *suite)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_swap, begin),
        cmocka_unit_test_setup(test_transaction, begin),
        cmocka_unit_test_setup(test_range, begin),
        cmocka_unit_test_setup(test_values, begin),
        cmocka_unit_test_setup(test_refusals, begin),
        cmocka_unit_test_setup(test_lease, begin),
        cmocka_unit_test_setup(test_expiry, begin),
        cmocka_unit_test_setup(test_watch, begin),
        cmocka_unit_test_setup(test_watch_transaction, begin),
        cmocka_unit_test_setup(test_watch_races, begin),
        cmocka_unit_test_setup(test_chain, begin),
    };
    current = suite;
    return cmocka_run_group_tests_name(suite->name, tests, open_store, close_store);
}
