/* Holds in the store, the embedded one and a real etcd: added, lifted, listed, watched, also when others are at it
 * at the same time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster/hold_store.h"
#include "cluster/kv_etcd_grpc.h"
#include "tests/unit/etcd_process.h"

#define NOW (1795323852LL * USEC_SEC)
#define PATIENCE 20000 /* milliseconds */

static struct kv kv;
static char cluster[40]; /* one a test */

static struct {
    pthread_mutex_t lock;
    int answers, news;
    enum kv_outcome outcome;
    size_t count;
    char why[300];
    struct holds *listed, *told; /* told: the newest */
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int set_up(void **state)
{
    static int number;
    (void)state;
    snprintf(cluster, sizeof cluster, "test%d", ++number);
    seen.answers = seen.news = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    holds_drop(&seen.listed);
    holds_drop(&seen.told);
    return 0;
}

static bool passes(const int *counter, int wanted)
{
    pthread_mutex_lock(&seen.lock);
    bool there = *counter >= wanted;
    pthread_mutex_unlock(&seen.lock);
    return there;
}

static void await(const int *counter, int wanted)
{
    for (int i = 0; i < PATIENCE && !passes(counter, wanted); i++)
        usleep(1000);
    assert_true(passes(counter, wanted));
}

static void on_done(void *arg, enum kv_outcome outcome, size_t count, const char *why)
{
    (void)arg;
    pthread_mutex_lock(&seen.lock);
    seen.answers++;
    seen.outcome = outcome;
    seen.count = count;
    snprintf(seen.why, sizeof seen.why, "%s", why == NULL ? "" : why);
    pthread_mutex_unlock(&seen.lock);
}

static void on_listed(void *arg, enum kv_outcome outcome, struct holds *holds, const char *why)
{
    holds_drop(&seen.listed);
    seen.listed = holds_hold(holds);
    on_done(arg, outcome, holds_count(holds), why);
}

static void on_told(void *arg, struct holds *holds)
{
    (void)arg;
    pthread_mutex_lock(&seen.lock);
    holds_drop(&seen.told);
    seen.told = holds_hold(holds);
    seen.news++;
    pthread_mutex_unlock(&seen.lock);
}

static size_t told_count(void)
{
    pthread_mutex_lock(&seen.lock);
    size_t count = seen.told == NULL ? 0 : holds_count(seen.told);
    pthread_mutex_unlock(&seen.lock);
    return count;
}

static void await_told(size_t count)
{
    for (int i = 0; i < PATIENCE && told_count() != count; i++)
        usleep(1000);
    assert_int_equal(told_count(), count);
}

static enum kv_outcome add_hold(struct hold *hold, const char *id)
{
    int answers = seen.answers;
    snprintf(hold->id, sizeof hold->id, "%s", id);
    hold_store_add(&kv, cluster, hold, NOW, on_done, NULL);
    await(&seen.answers, answers + 1);
    return seen.outcome;
}

static enum kv_outcome add(const char *id, struct hold_match match, usec_t until)
{
    struct hold hold = {.match = match, .since = NOW, .until = until, .reason = "why", .by = "key k1"};
    return add_hold(&hold, id);
}

/* With a key of the tenant's. */
static enum kv_outcome add_own(const char *id, struct hold_match match)
{
    struct hold hold = {.match = match, .since = NOW, .by = "key t1", .by_tenant = true};
    return add_hold(&hold, id);
}

static size_t lift(struct hold_filter filter)
{
    int answers = seen.answers;
    hold_store_lift(&kv, cluster, &filter, "key boss", on_done, NULL);
    await(&seen.answers, answers + 1);
    assert_int_equal(seen.outcome, KV_DONE);
    return seen.count;
}

static size_t list(void)
{
    int answers = seen.answers;
    hold_store_list(&kv, cluster, on_listed, NULL);
    await(&seen.answers, answers + 1);
    assert_int_equal(seen.outcome, KV_DONE);
    return seen.count;
}

static void put(const char *name, const char *value)
{
    char key[100];
    struct error error;
    snprintf(key, sizeof key, "/todoku/%s/block/%s", cluster, name);
    struct kv_change change = {.key = key, .value = value, .len = value == NULL ? 0 : strlen(value)};
    assert_int_equal(kv_transact(&kv, NULL, 0, &change, 1, &error), KV_DONE);
}

static const struct hold_match acme = {.tenant = "acme"}, spring = {.tenant = "acme", .campaign = "spring"},
                               domain = {.domain = "example.net"};

static void what_is_added_is_listed(void **state)
{
    (void)state;
    assert_int_equal(list(), 0);
    assert_int_equal(add("a1", acme, 0), KV_DONE);
    assert_int_equal(add("a2", spring, NOW + USEC_HOUR), KV_DONE);
    assert_int_equal(list(), 2);
    const struct hold *hold = holds_find(seen.listed, "a2");
    assert_non_null(hold);
    assert_true(hold_match_same(&hold->match, &spring));
    assert_int_equal(hold->until, NOW + USEC_HOUR);
    assert_string_equal(hold->by, "key k1");
    assert_int_equal(add("a2", domain, 0), KV_LOST); /* the id is taken */
    assert_int_equal(list(), 2);
}

static void lifting_takes_what_is_meant(void **state)
{
    (void)state;
    add("a1", acme, 0);
    add("a2", acme, NOW + USEC_HOUR);
    add("a3", spring, 0);
    add("a4", domain, 0);
    assert_int_equal(lift((struct hold_filter){.id = "b1"}), 0);
    assert_int_equal(lift((struct hold_filter){.id = "a4", .tenant = "acme"}), 0); /* not this tenant's */
    assert_int_equal(lift((struct hold_filter){.match = &domain, .tenant = "acme"}), 0);
    assert_int_equal(lift((struct hold_filter){.id = "a3", .tenant = "other"}), 0);
    assert_int_equal(lift((struct hold_filter){0}), 0);
    assert_int_equal(list(), 4);
    assert_int_equal(lift((struct hold_filter){.match = &acme}), 2);               /* not the narrower one */
    assert_int_equal(lift((struct hold_filter){.id = "a3", .tenant = "acme"}), 0); /* an operator's */
    assert_int_equal(add_own("a5", spring), KV_DONE);
    assert_int_equal(lift((struct hold_filter){.id = "a5", .tenant = "other"}), 0);
    assert_int_equal(lift((struct hold_filter){.match = &spring, .tenant = "acme"}), 1);
    assert_int_equal(lift((struct hold_filter){.id = "a3"}), 1);
    assert_int_equal(list(), 1);
    assert_non_null(holds_find(seen.listed, "a4"));
}

static void more_than_a_transaction_takes_are_lifted(void **state)
{
    (void)state;
    enum { MANY = 2 * HOLD_LIFTS + 7 };
    char id[20];
    for (int i = 0; i < MANY; i++) {
        snprintf(id, sizeof id, "%x", i);
        assert_int_equal(add(id, acme, 0), KV_DONE);
    }
    assert_int_equal(lift((struct hold_filter){.match = &acme}), MANY);
    assert_int_equal(list(), 0);
}

static void what_has_ended_goes_with_the_next(void **state)
{
    (void)state;
    struct hold old = {.id = "a1", .match = acme, .since = NOW - USEC_HOUR, .until = NOW - 2 * USEC_MIN};
    int answers = seen.answers;
    hold_store_add(&kv, cluster, &old, NOW - USEC_HOUR, on_done, NULL);
    await(&seen.answers, answers + 1);
    add("a2", acme, NOW - 1); /* just ended: elsewhere it may still be on */
    add("a3", acme, NOW + 1);
    assert_int_equal(list(), 2);
    assert_null(holds_find(seen.listed, "a1"));
}

/* A store with very many records that are all alike, and how many changes it was asked for. */
static struct {
    const char *record;
    size_t count, changes;
} crowd;

static void crowd_request(void *context, const struct kv_request *request, kv_done *done, void *arg)
{
    static char keys[HOLD_MAX][48];
    static struct kv_pair pairs[HOLD_MAX];
    struct kv_result result = {.outcome = KV_DONE, .pairs = pairs, .pair_count = crowd.count};
    (void)context;
    for (size_t i = 0; i < crowd.count; i++) {
        snprintf(keys[i], sizeof keys[i], "/todoku/lab/block/pause-%06zx", i);
        pairs[i] = (struct kv_pair){
            .key = keys[i], .value = crowd.record, .len = strlen(crowd.record), .revision = 1};
    }
    if (request->verb == KV_TXN)
        crowd.changes = request->change_count;
    done(arg, &result);
}

static enum kv_outcome add_to_crowd(size_t count, const char *record, const struct hold *hold)
{
    struct kv store = {.request = crowd_request};
    int answers = seen.answers;
    crowd.count = count;
    crowd.record = record;
    crowd.changes = 0;
    hold_store_add(&store, "lab", hold, NOW, on_done, NULL);
    assert_int_equal(seen.answers, answers + 1);
    return seen.outcome;
}

/* Nobody sees those in a list, so nobody could make room by hand. */
static void what_has_ended_takes_no_room(void **state)
{
    (void)state;
    static const struct hold one = {.id = "a1", .match = {.tenant = "acme"}, .since = NOW};
    const char *ended = "{\"tenant\":\"acme\",\"since\":1,\"until\":2}",
               *on = "{\"tenant\":\"acme\",\"since\":1}";
    assert_int_equal(add_to_crowd(HOLD_STORE_MAX, ended, &one), KV_DONE);
    assert_int_equal(crowd.changes, HOLD_LIFTS + 1);
    assert_int_equal(add_to_crowd(HOLD_STORE_MAX, on, &one), KV_REFUSED);
    assert_non_null(strstr(seen.why, "too many"));
    assert_int_equal(crowd.changes, 0);
    assert_int_equal(add_to_crowd(HOLD_STORE_MAX - 1, on, &one), KV_DONE);
}

static void tenants_leave_room_for_others(void **state)
{
    (void)state;
    static const struct hold operators = {.id = "a1", .match = {.tenant = "acme"}, .since = NOW},
                             own = {.id = "a1", .match = {.tenant = "acme"}, .since = NOW, .by_tenant = true};
    const char *acmes = "{\"tenant\":\"acme\",\"since\":1,\"by_tenant\":true}",
               *others = "{\"tenant\":\"other\",\"since\":1,\"by_tenant\":true}";
    assert_int_equal(add_to_crowd(HOLD_TENANT_MAX - 1, acmes, &own), KV_DONE);
    assert_int_equal(add_to_crowd(HOLD_TENANT_MAX, acmes, &own), KV_REFUSED);
    assert_non_null(strstr(seen.why, "this tenant's keys"));
    assert_int_equal(add_to_crowd(HOLD_TENANT_MAX, acmes, &operators), KV_DONE);
    assert_int_equal(add_to_crowd(HOLD_TENANTS_MAX - 1, others, &own), KV_DONE);
    assert_int_equal(add_to_crowd(HOLD_TENANTS_MAX, others, &own), KV_REFUSED);
    assert_int_equal(add_to_crowd(HOLD_TENANTS_MAX, others, &operators), KV_DONE);
}

static void the_watch_tells_the_whole_set(void **state)
{
    (void)state;
    add("a1", acme, 0);
    struct hold_watch *watch = hold_watch_open(&kv, cluster, on_told, NULL);
    await_told(1);
    add("a2", spring, 0);
    await_told(2);
    add("a3", domain, 0);
    await_told(3);
    assert_int_equal(lift((struct hold_filter){.id = "a2"}), 1);
    await_told(2);
    assert_null(holds_find(seen.told, "a2"));
    assert_string_equal(holds_lifted_by(seen.told, "a2"), "key boss");
    assert_null(holds_lifted_by(seen.told, "a1"));
    put("pause-a3", NULL); /* somebody with etcdctl */
    await_told(1);
    assert_null(holds_lifted_by(seen.told, "a3"));
    hold_watch_close(&watch);
    int news = seen.news;
    add("a5", acme, 0);
    usleep(50000);
    assert_int_equal(seen.news, news);
}

static void the_first_list_may_be_empty(void **state)
{
    (void)state;
    struct hold_watch *watch = hold_watch_open(&kv, cluster, on_told, NULL);
    await(&seen.news, 1);
    assert_int_equal(told_count(), 0);
    hold_watch_close(&watch);
}

static void garbage_holds_nothing_and_lifts_nothing(void **state)
{
    (void)state;
    put("pause-a1", "{\"tenant\":\"acme\"}");
    put("pause-a2", "garbage");
    put("pause-zz", "{\"tenant\":\"acme\"}");
    put("other-a4", "{\"tenant\":\"acme\"}");
    put("lifted", "[]");
    struct hold_watch *watch = hold_watch_open(&kv, cluster, on_told, NULL);
    await_told(1);
    int news = seen.news;
    put("pause-a1", "{}"); /* what was known stays */
    await(&seen.news, news + 1);
    await_told(1);
    assert_string_equal(holds_at(seen.told, 0)->match.tenant, "acme");
    put("pause-a1", "{\"tenant\":\"other\"}");
    await(&seen.news, news + 2);
    assert_string_equal(holds_at(seen.told, 0)->match.tenant, "other");
    assert_int_equal(list(), 1);
    hold_watch_close(&watch);
}

/* Two who lift the same: each hold is lifted once, and neither fails. */
static void two_may_lift_at_once(void **state)
{
    (void)state;
    char id[20];
    struct hold_filter filter = {.match = &acme};
    for (int i = 0; i < 70; i++) {
        snprintf(id, sizeof id, "%x", i);
        add(id, acme, 0);
    }
    int answers = seen.answers;
    hold_store_lift(&kv, cluster, &filter, "one", on_done, NULL);
    hold_store_lift(&kv, cluster, &filter, "two", on_done, NULL);
    await(&seen.answers, answers + 2);
    assert_int_equal(seen.outcome, KV_DONE);
    assert_int_equal(list(), 0);
}

static int run(const char *name)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_added_is_listed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lifting_takes_what_is_meant, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_than_a_transaction_takes_are_lifted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_has_ended_goes_with_the_next, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_has_ended_takes_no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tenants_leave_room_for_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_watch_tells_the_whole_set, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_list_may_be_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(garbage_holds_nothing_and_lifts_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_may_lift_at_once, set_up, tear_down),
    };
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

static int run_with_file(void)
{
    char dir[] = "/tmp/todoku-holds-XXXXXX", file[96];
    struct error why = {""};
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(file, sizeof file, "%s/members.json", dir);
    struct kv_file *store = kv_file_open(file, &why);
    if (store == NULL)
        return 1;
    kv = kv_file_face(store);
    int failed = run("kv_file");
    kv_file_close(&store);
    unlink(file);
    rmdir(dir);
    return failed;
}

static struct etcd_cluster etcd;
static struct kv_etcd *client;

static void open_etcd(void **state)
{
    struct error why;
    (void)state;
    etcd_start(&etcd, 1, NULL);
    client = kv_etcd_open(&etcd.settings, &why);
    if (client == NULL)
        fail_msg("%s", why.text);
    kv = kv_etcd_face(client);
}

static int run_with_etcd(void)
{
    const struct CMUnitTest opening[] = {cmocka_unit_test(open_etcd)};
    int failed = cmocka_run_group_tests_name("etcd", opening, NULL, NULL);
    if (failed == 0)
        failed = run("kv_etcd");
    if (client != NULL)
        kv_etcd_close(&client);
    etcd_end(&etcd);
    return failed;
}

int main(void)
{
    int failed = run_with_file();
    if (etcd_there())
        return failed + run_with_etcd();
    printf("skipped kv_etcd: no /usr/bin/etcd here; install etcd-server and etcd-client\n");
    return failed;
}
