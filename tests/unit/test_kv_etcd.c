/* What only etcd does to its clients: pages, compactions, silences, restarts, members that fail, passwords.
 * What every store does is in test_kv_face.c, certificates in test_kv_etcd_tls.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cluster/kv_etcd_grpc.h"
#include "tests/unit/etcd_process.h"
#include "tests/unit/kv_suite.h"
#include "tests/unit/tcp_relay.h"

static struct etcd_cluster etcd;
static struct tcp_relay relay;
static bool relayed;
static struct kv_etcd *client;
static struct kv_suite suite = {.name = "etcd", .pass = kv_suite_sleep};

static void connect_client(void)
{
    struct error why;
    client = kv_etcd_open(&etcd.settings, &why);
    if (client == NULL)
        fail_msg("%s", why.text);
    kv_etcd_guard(
        client, "suite", &(struct store_age){0}); /* whatever happens here, it stays the same store */
    suite.kv = kv_etcd_face(client);
}

static int one(void **state)
{
    (void)state;
    etcd_start(&etcd, 1, NULL);
    connect_client();
    return 0;
}

static int three(void **state)
{
    (void)state;
    etcd_start(&etcd, 3, NULL);
    connect_client();
    return 0;
}

/* The client sees the relay's port only. */
static int one_relayed(void **state)
{
    static char endpoint[64];
    (void)state;
    etcd_start(&etcd, 1, NULL);
    tcp_relay_start(&relay, etcd.members[0].port);
    relayed = true;
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", relay.port);
    etcd.endpoints[0] = endpoint;
    connect_client();
    return 0;
}

static int end(void **state)
{
    (void)state;
    kv_etcd_close(&client);
    if (relayed)
        tcp_relay_end(&relay);
    relayed = false;
    etcd_end(&etcd);
    return 0;
}

static enum kv_outcome ask(const struct kv_request *request, struct error *why)
{
    struct answer answer;
    kv_ask(&suite, request, &answer);
    error_set(why, "%s", answer.why);
    enum kv_outcome outcome = answer.outcome;
    answer_free(&answer);
    return outcome;
}

static enum kv_outcome get(struct error *why)
{
    return ask(&(struct kv_request){.verb = KV_RANGE, .key = "/suite/a"}, why);
}

static void has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is not in: %s", part, text);
}

/* ---- sizes ---- */

static void test_pages(void **state)
{
    enum { TXNS = 20, ALL = TXNS * KV_MAX_CHANGES };
    (void)state;
    char keys[KV_MAX_CHANGES][32];
    struct kv_change changes[KV_MAX_CHANGES];
    struct kv_request put = {.verb = KV_TXN, .changes = changes, .change_count = KV_MAX_CHANGES};
    struct kv_request list = {.verb = KV_RANGE, .key = "/suite/p/", .prefix = true};
    struct error why;
    for (int txn = 0; txn < TXNS; txn++) {
        for (int i = 0; i < KV_MAX_CHANGES; i++) {
            snprintf(keys[i], sizeof keys[i], "/suite/p/%04d", txn + i * TXNS);
            changes[i] = (struct kv_change){.key = keys[i], .value = "v", .len = 1};
        }
        assert_int_equal(ask(&put, &why), KV_DONE);
    }
    struct answer answer;
    kv_ask(&suite, &list, &answer);
    assert_int_equal(answer.outcome, KV_DONE);
    assert_int_equal(answer.pair_count, ALL);
    for (int i = 0; i < ALL; i++) {
        char key[32];
        snprintf(key, sizeof key, "/suite/p/%04d", i);
        assert_string_equal(answer.pairs[i].key, key);
    }
    answer_free(&answer);
}

/* Each value is allowed, and together they are more than etcd takes in one transaction. */
static void test_too_large_for_etcd(void **state)
{
    (void)state;
    char *value = xcalloc(1, KV_MAX_VALUE);
    struct kv_change changes[] = {{.key = "/suite/a", .value = value, .len = KV_MAX_VALUE},
        {.key = "/suite/b", .value = value, .len = KV_MAX_VALUE}};
    struct kv_request put = {.verb = KV_TXN, .changes = changes, .change_count = 2};
    struct error why;
    assert_int_equal(ask(&put, &why), KV_REFUSED);
    has(why.text, "larger than it takes");
    assert_string_equal(kv_show(&suite, "/suite/"), "");
    free(value);
}

/* ---- leases ---- */

static void test_lease_revoked_by_others(void **state)
{
    (void)state;
    char hex[32];
    uint64_t lease = kv_grant(&suite, 60 * USEC_SEC);
    snprintf(hex, sizeof hex, "%llx", (unsigned long long)lease);
    assert_int_equal(kv_put(&suite, "/suite/a", "1", lease), KV_DONE);
    assert_int_equal(kv_keep(&suite, lease), KV_DONE);
    assert_int_equal(ETCD_CTL(&etcd, "lease", "revoke", hex), 0);
    assert_int_equal(kv_keep(&suite, lease), KV_LOST);
    assert_int_equal(kv_put(&suite, "/suite/a", "1", lease), KV_LOST);
    assert_string_equal(kv_show(&suite, "/suite/"), "");
}

/* ---- gaps ---- */

/* A stream that breaks goes on where it was: nothing twice, nothing missed, no list. */
static void test_watch_resumes(void **state)
{
    (void)state;
    struct diary diary;
    assert_int_equal(kv_put(&suite, "/suite/a", "1", 0), KV_DONE);
    diary_open(&suite, &diary, "/suite/");
    diary_await(&suite, &diary, "LIST[a=1]", 10);
    assert_int_equal(kv_put(&suite, "/suite/b", "2", 0), KV_DONE);
    diary_await(&suite, &diary, "LIST[a=1] +b=2", 10);
    tcp_relay_set(&relay, RELAY_CUTS);
    assert_int_equal(ETCD_CTL(&etcd, "put", "/suite/c", "3"), 0);
    assert_int_equal(ETCD_CTL(&etcd, "del", "/suite/a"), 0);
    tcp_relay_set(&relay, RELAY_PASSES);
    diary_await(&suite, &diary, "LIST[a=1] +b=2 +c=3 -a", 3);
    diary_close(&suite, &diary);
}

/* What happened in the gap is compacted away: a new list says what is there now. */
static void test_compaction(void **state)
{
    (void)state;
    struct diary diary;
    char revision[32];
    assert_int_equal(kv_put(&suite, "/suite/a", "1", 0), KV_DONE);
    diary_open(&suite, &diary, "/suite/");
    diary_await(&suite, &diary, "LIST[a=1]", 10);
    snprintf(revision, sizeof revision, "%llu", (unsigned long long)diary.revision + 3);
    tcp_relay_set(&relay, RELAY_CUTS);
    assert_int_equal(ETCD_CTL(&etcd, "put", "/suite/b", "2"), 0);
    assert_int_equal(ETCD_CTL(&etcd, "del", "/suite/a"), 0);
    assert_int_equal(ETCD_CTL(&etcd, "put", "/suite/c", "3"), 0);
    assert_int_equal(ETCD_CTL(&etcd, "compact", revision), 0);
    tcp_relay_set(&relay, RELAY_PASSES);
    diary_await(&suite, &diary, "LIST[a=1] LIST[b=2 c=3]", 5);
    assert_int_equal(diary.aways, 0);
    assert_int_equal(kv_put(&suite, "/suite/b", "4", 0), KV_DONE);
    diary_await(&suite, &diary, "LIST[a=1] LIST[b=2 c=3] +b=4", 5);
    diary_close(&suite, &diary);
}

/* Silence: requests end in time, watches are told once, and both come back by themselves. */
static void expect_silence(struct diary *diary, usec_t silent)
{
    struct answer range, txn, keep;
    struct kv_change change = {.key = "/other/x", .value = "1", .len = 1};
    usec_t start = clock_now();
    kv_send(&suite, &(struct kv_request){.verb = KV_RANGE, .key = "/suite/a"}, &range);
    kv_send(&suite, &(struct kv_request){.verb = KV_TXN, .changes = &change, .change_count = 1}, &txn);
    kv_send(&suite, &(struct kv_request){.verb = KV_LEASE_KEEP, .lease = 77}, &keep);
    diary_await(&suite, diary, "LIST[a=1] AWAY", 6);
    assert_true(clock_now() - start >= 2 * USEC_SEC);
    struct answer *all[] = {&range, &txn, &keep};
    for (size_t i = 0; i < 3; i++) {
        kv_receive(&suite, all[i]);
        assert_int_equal(all[i]->outcome, KV_UNKNOWN);
        has(all[i]->why, etcd.endpoints[0]);
        answer_free(all[i]);
    }
    assert_in_range(clock_now() - start, KV_PATIENCE - USEC_SEC, KV_PATIENCE + USEC_SEC);
    while (clock_now() - start < silent)
        usleep(50000);
}

static void expect_return(struct diary *diary)
{
    usec_t start = clock_now();
    struct error why;
    assert_true(diary_comes_to(&suite, diary, "", 2, 20));
    print_message("watching again after %lld ms\n", (long long)(clock_now() - start) / 1000);
    assert_in_range(clock_now() - start, 0, 4 * USEC_SEC);
    assert_int_equal(get(&why), KV_DONE);
    assert_int_equal(diary->aways, 1);
    diary_clear(diary);
    assert_int_equal(kv_put(&suite, "/suite/a", "2", 0), KV_DONE);
    diary_await(&suite, diary, "+a=2", 5);
}

static void begin_silence(struct diary *diary)
{
    assert_int_equal(kv_put(&suite, "/suite/a", "1", 0), KV_DONE);
    diary_open(&suite, diary, "/suite/");
    diary_await(&suite, diary, "LIST[a=1]", 10);
}

static void test_frozen(void **state)
{
    (void)state;
    struct diary diary;
    begin_silence(&diary);
    etcd_freeze(&etcd, 0, true);
    expect_silence(&diary, 6 * USEC_SEC);
    etcd_freeze(&etcd, 0, false);
    expect_return(&diary);
    diary_close(&suite, &diary);
}

/* Longer than the pings of the connection wait: it is ended and made anew. */
static void test_partition(void **state)
{
    (void)state;
    struct diary diary;
    begin_silence(&diary);
    tcp_relay_set(&relay, RELAY_HOLDS);
    expect_silence(&diary, 14 * USEC_SEC);
    tcp_relay_set(&relay, RELAY_PASSES);
    expect_return(&diary);
    diary_close(&suite, &diary);
}

static void test_restart(void **state)
{
    (void)state;
    struct diary diary;
    struct error why;
    begin_silence(&diary);
    etcd_kill(&etcd, 0);
    assert_int_equal(get(&why), KV_UNKNOWN);
    has(why.text, "nobody answers");
    has(why.text, "refused");
    diary_await(&suite, &diary, "LIST[a=1] AWAY", 6);
    has(diary.why, etcd.endpoints[0]);
    etcd_launch(&etcd, 0);
    etcd_await(&etcd);
    expect_return(&diary);
    diary_close(&suite, &diary);
}

/* ---- several members ---- */

static size_t used_member(void)
{
    for (size_t i = 0; i < etcd.count; i++)
        if (strcmp(kv_etcd_endpoints(client), etcd.endpoints[i]) == 0)
            return i;
    fail_msg("no member of ours: %s", kv_etcd_endpoints(client));
    return 0;
}

/* With one of three lost all goes on, whether it is gone or frozen. Its leader may be the lost one, so a
 * transaction may be in doubt for as long as an election takes. */
static void expect_fail_over(struct diary *diary, const char *value)
{
    usec_t start = clock_now();
    enum kv_outcome outcome = KV_UNKNOWN;
    struct error why;
    char last[16];
    while (outcome != KV_DONE && clock_now() - start < 15 * USEC_SEC)
        outcome = kv_put(&suite, "/suite/a", value, 0);
    assert_int_equal(outcome, KV_DONE);
    assert_int_equal(get(&why), KV_DONE);
    print_message("written again after %lld ms\n", (long long)(clock_now() - start) / 1000);
    snprintf(last, sizeof last, "a=%s", value);
    assert_true(diary_comes_to(&suite, diary, last, 0, 10));
}

static void test_fail_over(void **state)
{
    (void)state;
    struct diary diary;
    assert_int_equal(kv_put(&suite, "/suite/a", "1", 0), KV_DONE);
    diary_open(&suite, &diary, "/suite/");
    diary_await(&suite, &diary, "LIST[a=1]", 10);
    size_t lost = used_member();
    etcd_kill(&etcd, lost);
    expect_fail_over(&diary, "2");
    assert_int_not_equal(used_member(), lost);
    etcd_launch(&etcd, lost);
    etcd_await(&etcd);
    lost = used_member();
    etcd_freeze(&etcd, lost, true);
    expect_fail_over(&diary, "3");
    assert_int_not_equal(used_member(), lost);
    etcd_freeze(&etcd, lost, false);
    diary_close(&suite, &diary);
}

/* A member that has lost the others answers nothing that could be old. */
static void test_no_majority(void **state)
{
    (void)state;
    struct error why;
    assert_int_equal(kv_put(&suite, "/suite/a", "1", 0), KV_DONE);
    etcd_kill(&etcd, 0);
    etcd_kill(&etcd, 1);
    usleep(2500000);
    assert_int_equal(get(&why), KV_UNKNOWN);
    has(why.text, "leader");
    etcd_launch(&etcd, 0);
    etcd_await(&etcd);
    assert_int_equal(get(&why), KV_DONE);
}

/* ---- passwords ---- */

static void enable_passwords(void)
{
    assert_int_equal(ETCD_CTL(&etcd, "user", "add", "root:topsecret"), 0);
    assert_int_equal(ETCD_CTL(&etcd, "user", "grant-role", "root", "root"), 0);
    assert_int_equal(ETCD_CTL(&etcd, "user", "add", "todoku:secret"), 0);
    assert_int_equal(ETCD_CTL(&etcd, "role", "add", "todoku"), 0);
    assert_int_equal(
        ETCD_CTL(&etcd, "role", "grant-permission", "todoku", "readwrite", "--prefix=true", "/suite/"), 0);
    assert_int_equal(ETCD_CTL(&etcd, "user", "grant-role", "todoku", "todoku"), 0);
    assert_int_equal(ETCD_CTL(&etcd, "auth", "enable"), 0);
}

static void reconnect(const char *user, const char *password)
{
    kv_etcd_close(&client);
    etcd.settings.cluster.etcd_user = (char *)user;
    etcd.settings.cluster.etcd_password = (char *)password;
    connect_client();
}

static void test_password(void **state)
{
    (void)state;
    struct error why;
    struct diary diary;
    reconnect("todoku", "secret");
    assert_int_equal(get(&why), KV_DONE); /* etcd asks for none: said in the log, no fault */
    enable_passwords();
    assert_int_equal(get(&why), KV_DONE); /* and from now on it does */
    reconnect(NULL, NULL);
    assert_int_equal(get(&why), KV_REFUSED);
    has(why.text, "user name is empty");
    has(why.text, "`user`");
    reconnect("todoku", "wrong");
    assert_int_equal(get(&why), KV_REFUSED);
    has(why.text, "todoku");
    has(why.text, "`password`");
    has(why.text, etcd.endpoints[0]);
    reconnect("todoku", "secret");
    diary_open(&suite, &diary, "/suite/");
    diary_await(&suite, &diary, "LIST[]", 10);
    uint64_t lease = kv_grant(&suite, 60 * USEC_SEC); /* leases need no more than the keys do */
    assert_int_equal(kv_put(&suite, "/suite/b", "1", lease), KV_DONE);
    assert_int_equal(kv_keep(&suite, lease), KV_DONE);
    assert_int_equal(kv_revoke(&suite, lease), KV_DONE);
    assert_int_equal(kv_put(&suite, "/suite/a", "1", 0), KV_DONE);
    assert_int_equal(ask(&(struct kv_request){.verb = KV_RANGE, .key = "/other"}, &why), KV_REFUSED);
    has(why.text, "permission denied");
    etcd_kill(&etcd, 0); /* tokens are in its memory only */
    etcd_launch(&etcd, 0);
    for (int i = 0; i < 5 && get(&why) != KV_DONE; i++)
        continue;
    assert_int_equal(get(&why), KV_DONE);
    diary_clear(&diary);
    assert_int_equal(kv_put(&suite, "/suite/a", "2", 0), KV_DONE);
    assert_true(diary_comes_to(&suite, &diary, "a=2", 0, 10));
    diary_close(&suite, &diary);
    reconnect(NULL, NULL);
}

/* ---- starts and ends ---- */

static void test_nobody_there(void **state)
{
    (void)state;
    struct error why;
    struct settings settings = {.cluster.has_etcd = true};
    char *endpoints[] = {"http://127.0.0.1:1", "http://127.0.0.1:2/"};
    settings.cluster.etcd_endpoints = endpoints;
    settings.cluster.etcd_endpoint_count = 2;
    client = kv_etcd_open(&settings, &why);
    assert_non_null(client);
    suite.kv = kv_etcd_face(client);
    assert_string_equal(kv_etcd_endpoints(client), "none yet");
    assert_int_equal(get(&why), KV_UNKNOWN);
    has(why.text, endpoints[0]);
    has(why.text, endpoints[1]);
    has(why.text, "refused");
    print_message("%s\n", why.text);
    struct answer open;
    kv_send(&suite, &(struct kv_request){.verb = KV_RANGE, .key = "/suite/a"}, &open);
    kv_etcd_close(&client); /* answers what is open */
    assert_true(open.done);
    assert_int_equal(open.outcome, KV_UNKNOWN);
    answer_free(&open);
}

static void test_bad_settings(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint, *ca, *want;
    } cases[] = {
        {"127.0.0.1:2379", NULL, "http://HOST"},
        {"http://", NULL, "http://HOST"},
        {"http://127.0.0.1:2379/v3", NULL, "has a path"},
        {"https://127.0.0.1:2379", "/nowhere/ca.pem", "/nowhere/ca.pem"},
        {"https://127.0.0.1:2379", "/etc/passwd", "no PEM"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error why;
        char *endpoint = (char *)cases[i].endpoint;
        struct settings settings = {.cluster.has_etcd = true};
        settings.cluster.etcd_endpoints = &endpoint;
        settings.cluster.etcd_endpoint_count = 1;
        settings.cluster.etcd_ca = (char *)cases[i].ca;
        assert_null(kv_etcd_open(&settings, &why));
        has(why.text, cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_bad_settings),
        cmocka_unit_test_setup_teardown(test_pages, one, end),
        cmocka_unit_test_setup_teardown(test_too_large_for_etcd, one, end),
        cmocka_unit_test_setup_teardown(test_lease_revoked_by_others, one, end),
        cmocka_unit_test_setup_teardown(test_watch_resumes, one_relayed, end),
        cmocka_unit_test_setup_teardown(test_compaction, one_relayed, end),
        cmocka_unit_test_setup_teardown(test_restart, one, end),
        cmocka_unit_test_setup_teardown(test_frozen, one, end),
        cmocka_unit_test_setup_teardown(test_partition, one_relayed, end),
        cmocka_unit_test_setup_teardown(test_password, one, end),
        cmocka_unit_test_setup_teardown(test_fail_over, three, end),
        cmocka_unit_test_setup_teardown(test_no_majority, three, end),
    };
    if (etcd_there())
        return cmocka_run_group_tests(tests, NULL, NULL);
    printf("skipped: no /usr/bin/etcd here; install etcd-server and etcd-client\n");
    return 77;
}
