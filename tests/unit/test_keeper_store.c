/* What cores on a loop hear of a store that answers from threads of its own: the embedded one, and one that is slow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "node/keeper_store_uv.h"

#define PATIENCE (20 * USEC_SEC)

/* ---- a user that writes down what it is told ---- */

struct core {
    struct store_user user;
    struct store_port port;
    uint64_t results, ref; /* how many; of the last */
    enum kv_outcome outcome;
    char read[64]; /* the value in the last result */
    uint64_t lists, changes, aways, empty_lists, deletions;
    char value[64]; /* by the last news */
    uint64_t revision, history;
    struct keeper_store *leaves; /* when it hears the next news */
};

static void keep_value(char to[64], const struct kv_pair *pair)
{
    snprintf(to, 64, "%.*s", (int)pair->len, (const char *)pair->value);
}

static void on_result(void *context, uint64_t ref, const struct kv_result *result, usec_t now)
{
    struct core *core = context;
    assert_true(now > 0);
    core->results++;
    core->ref = ref;
    core->outcome = result->outcome;
    if (result->pair_count > 0)
        keep_value(core->read, &result->pairs[0]);
}

static void on_news(void *context, const struct kv_news *news, usec_t now)
{
    struct core *core = context;
    assert_true(now > 0);
    assert_true(news->pair_count <= 1);
    core->history = news->history;
    if (news->type != KV_AWAY) {
        assert_true(news->revision >= core->revision);
        core->revision = news->revision;
    }
    core->lists += news->type == KV_LIST;
    core->changes += news->type == KV_CHANGES;
    core->aways += news->type == KV_AWAY;
    core->empty_lists += news->type == KV_LIST && news->pair_count == 0;
    if (news->pair_count == 1) {
        assert_string_equal(news->pairs[0].key, core->user.key);
        core->deletions += news->pairs[0].deleted;
        keep_value(core->value, &news->pairs[0]);
    }
    if (core->leaves != NULL)
        keeper_store_leave(core->leaves, &core->user);
}

static void core_join(struct core *core, struct keeper_store *store, const char *key)
{
    *core = (struct core){.user = {.context = core, .key = key, .result = on_result, .news = on_news}};
    core->port = keeper_store_join(store, &core->user);
}

static void ask(struct core *core, uint64_t ref, const char *key)
{
    struct kv_request request = {.verb = KV_RANGE, .key = key};
    core->port.request(core->port.context, ref, &request);
}

static void put(struct core *core, uint64_t ref, const char *key, const char *value)
{
    struct kv_change change = {.key = key, .value = value, .len = value == NULL ? 0 : strlen(value)};
    struct kv_request request = {.verb = KV_TXN, .changes = &change, .change_count = 1};
    core->port.request(core->port.context, ref, &request);
}

/* Runs the loop until `number` is at least `wanted`. */
static void wait_for(uv_loop_t *loop, const uint64_t *number, uint64_t wanted)
{
    usec_t until = clock_now() + PATIENCE;
    while (*number < wanted && clock_now() < until) {
        uv_run(loop, UV_RUN_NOWAIT);
        usleep(500);
    }
    assert_true(*number >= wanted);
}

static void pause_loop(uv_loop_t *loop)
{
    for (int i = 0; i < 40; i++) {
        uv_run(loop, UV_RUN_NOWAIT);
        usleep(500);
    }
}

static void end_loop(uv_loop_t *loop)
{
    while (uv_run(loop, UV_RUN_DEFAULT) != 0)
        ;
    assert_int_equal(uv_loop_close(loop), 0);
}

/* ---- the embedded store ---- */

struct world {
    char dir[64], file[96];
    struct kv_file *file_store;
    struct kv kv;
    uv_loop_t loop;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct error error;
    strcpy(world->dir, "/tmp/todoku-keeper-store-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    snprintf(world->file, sizeof world->file, "%s/store", world->dir);
    world->file_store = kv_file_open(world->file, &error);
    assert_non_null(world->file_store);
    world->kv = kv_file_face(world->file_store);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    end_loop(&world->loop);
    kv_file_close(&world->file_store);
    unlink(world->file);
    rmdir(world->dir);
    free(world);
    return 0;
}

static void set(const struct world *world, const char *key, const char *value)
{
    struct error error;
    struct kv_change change = {.key = key, .value = value, .len = value == NULL ? 0 : strlen(value)};
    assert_int_equal(kv_transact(&world->kv, NULL, 0, &change, 1, &error), KV_DONE);
}

static void each_hears_of_its_key(void **state)
{
    struct world *world = *state;
    struct core a, b, late;
    set(world, "c/spool/a", "1");
    struct keeper_store *store = keeper_store_open(&world->loop, &world->kv, "c/spool/");
    core_join(&a, store, "c/spool/a");
    core_join(&b, store, "c/spool/b");
    assert_int_equal(a.lists, 0); /* from the loop only */
    wait_for(&world->loop, &a.lists, 1);
    wait_for(&world->loop, &b.lists, 1);
    assert_string_equal(a.value, "1");
    assert_int_equal(b.empty_lists, 1);
    set(world, "c/spool/b", "2");
    set(world, "c/other", "3");
    wait_for(&world->loop, &b.changes, 1);
    assert_string_equal(b.value, "2");
    set(world, "c/spool/b", NULL);
    wait_for(&world->loop, &b.deletions, 1);
    assert_int_equal(a.lists + a.changes, 1);
    assert_int_equal(b.lists + b.changes, 3);
    set(world, "c/spool/late", "4");
    pause_loop(&world->loop);
    core_join(&late, store, "c/spool/late");
    wait_for(&world->loop, &late.lists, 1);
    assert_string_equal(late.value, "4");
    assert_int_equal(a.lists + a.changes, 1);
    keeper_store_leave(store, &a.user);
    keeper_store_leave(store, &b.user);
    keeper_store_leave(store, &late.user);
    keeper_store_close(&store);
    assert_null(store);
}

static void answers_come_from_the_loop(void **state)
{
    struct world *world = *state;
    struct core a, b;
    struct keeper_store *store = keeper_store_open(&world->loop, &world->kv, "c/spool/");
    core_join(&a, store, "c/spool/a");
    core_join(&b, store, "c/spool/b");
    put(&a, 7, "c/spool/a", "mine");
    assert_int_equal(a.results, 0);
    wait_for(&world->loop, &a.results, 1);
    assert_int_equal(a.ref, 7);
    assert_int_equal(a.outcome, KV_DONE);
    ask(&b, 8, "c/spool/a");
    wait_for(&world->loop, &b.results, 1);
    assert_int_equal(b.ref, 8);
    assert_string_equal(b.read, "mine");
    assert_int_equal(a.results, 1);
    wait_for(&world->loop, &a.revision, 1);
    /* What it asked is done, the answer reaches nobody. */
    put(&a, 9, "c/spool/b", "left");
    keeper_store_leave(store, &a.user);
    core_join(&a, store, "c/spool/a");
    wait_for(&world->loop, &b.changes, 1);
    assert_string_equal(b.value, "left");
    pause_loop(&world->loop);
    assert_int_equal(a.results, 0);
    /* The store goes. */
    keeper_store_part(store);
    set(world, "c/spool/b", "after");
    put(&b, 10, "c/spool/b", "never");
    wait_for(&world->loop, &b.results, 2);
    assert_int_equal(b.ref, 10);
    assert_int_equal(b.outcome, KV_REFUSED);
    pause_loop(&world->loop);
    assert_string_equal(b.value, "left");
    keeper_store_leave(store, &a.user);
    keeper_store_leave(store, &b.user);
    keeper_store_close(&store);
}

static void one_may_leave_while_it_is_told(void **state)
{
    struct world *world = *state;
    struct core cores[3];
    set(world, "c/spool/a", "1");
    struct keeper_store *store = keeper_store_open(&world->loop, &world->kv, "c/spool/");
    for (size_t i = 0; i < 3; i++)
        core_join(&cores[i], store, "c/spool/a");
    cores[1].leaves = store;
    wait_for(&world->loop, &cores[2].lists, 1);
    wait_for(&world->loop, &cores[1].lists, 1);
    set(world, "c/spool/a", "2");
    wait_for(&world->loop, &cores[0].changes, 1);
    wait_for(&world->loop, &cores[2].changes, 1);
    assert_int_equal(cores[1].lists, 1);
    assert_int_equal(cores[1].changes, 0);
    keeper_store_leave(store, &cores[0].user);
    keeper_store_leave(store, &cores[2].user);
    keeper_store_close(&store);
}

/* ---- two at once ---- */

enum { STORM_KEYS = 3, STORM_CHANGES = 200 };

static void *write_all(void *arg)
{
    const struct world *world = arg;
    for (int i = 1; i <= STORM_CHANGES; i++) {
        char key[32], value[32];
        snprintf(key, sizeof key, "c/spool/%d", i % STORM_KEYS);
        snprintf(value, sizeof value, "%d", i);
        set(world, key, i % 7 == 0 ? NULL : value);
    }
    return NULL;
}

static void the_newest_is_told_in_the_end(void **state)
{
    struct world *world = *state;
    struct core cores[STORM_KEYS];
    char keys[STORM_KEYS][32];
    pthread_t thread;
    struct keeper_store *store = keeper_store_open(&world->loop, &world->kv, "c/spool/");
    for (int i = 0; i < STORM_KEYS; i++) {
        snprintf(keys[i], sizeof keys[i], "c/spool/%d", i);
        core_join(&cores[i], store, keys[i]);
    }
    assert_int_equal(pthread_create(&thread, NULL, write_all, world), 0);
    for (int i = 1; i <= 50; i++) {
        ask(&cores[1], (uint64_t)i, "c/spool/1");
        wait_for(&world->loop, &cores[1].results, (uint64_t)i);
        assert_int_equal(cores[1].outcome, KV_DONE);
    }
    pthread_join(thread, NULL);
    pause_loop(&world->loop);
    for (int i = 0; i < STORM_KEYS; i++) {
        struct buffer value = {0};
        struct error error;
        uint64_t revision;
        assert_int_equal(kv_get(&world->kv, keys[i], &value, &revision, &error), KV_DONE);
        assert_int_equal(strlen(cores[i].value), buffer_len(&value));
        assert_memory_equal(cores[i].value, buffer_bytes(&value), buffer_len(&value));
        assert_true(cores[i].lists >= 1);
        buffer_free(&value);
        keeper_store_leave(store, &cores[i].user);
    }
    keeper_store_close(&store);
}

/* ---- a slow store: it answers when the test says so, from another thread ---- */

enum { SLOW_MOST = 8 };

struct slow {
    struct {
        kv_done *done;
        void *arg;
    } asked[SLOW_MOST];
    size_t count;
    kv_told *told;
    void *arg;
    const struct kv_news *news;
};

static void slow_request(void *context, const struct kv_request *request, kv_done *done, void *arg)
{
    struct slow *slow = context;
    (void)request;
    assert_true(slow->count < SLOW_MOST);
    slow->asked[slow->count].done = done;
    slow->asked[slow->count++].arg = arg;
}

static struct kv_watch *slow_watch(void *context, const char *prefix, kv_told *told, void *arg)
{
    struct slow *slow = context;
    assert_string_equal(prefix, "p/");
    slow->told = told;
    slow->arg = arg;
    return context;
}

static void slow_unwatch(void *context, struct kv_watch *watch)
{
    struct slow *slow = context;
    assert_ptr_equal(context, watch);
    slow->told = NULL;
}

static void *slow_answer_all(void *arg)
{
    struct slow *slow = arg;
    for (size_t i = 0; i < slow->count; i++) {
        struct kv_result result = {.outcome = KV_UNKNOWN, .why = "too slow"};
        slow->asked[i].done(slow->asked[i].arg, &result);
    }
    slow->count = 0;
    return NULL;
}

static void *slow_tell(void *arg)
{
    struct slow *slow = arg;
    slow->told(slow->arg, slow->news);
    return NULL;
}

static void beside(void *(*work)(void *arg), struct slow *slow)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, work, slow), 0);
    pthread_join(thread, NULL);
}

static void tell(struct slow *slow, const struct kv_news *news)
{
    slow->news = news;
    beside(slow_tell, slow);
}

static void late_answers_are_dropped(void **state)
{
    (void)state;
    struct slow slow = {.count = 0};
    struct kv kv = {.context = &slow, .request = slow_request, .watch = slow_watch, .unwatch = slow_unwatch};
    struct core a;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct keeper_store *store = keeper_store_open(&loop, &kv, "p/");
    core_join(&a, store, "p/a");
    ask(&a, 1, "p/a");
    beside(slow_answer_all, &slow);
    wait_for(&loop, &a.results, 1);
    assert_int_equal(a.outcome, KV_UNKNOWN);
    ask(&a, 2, "p/a"); /* answered before the close, and not told any more */
    beside(slow_answer_all, &slow);
    ask(&a, 3, "p/a");
    ask(&a, 4, "p/a");
    keeper_store_leave(store, &a.user);
    keeper_store_close(&store);
    assert_null(slow.told);
    end_loop(&loop);
    beside(slow_answer_all, &slow);
    assert_int_equal(a.results, 1);
}

static struct kv_pair pair(const char *key, const char *value, uint64_t revision)
{
    return (struct kv_pair){.key = key, .value = value, .len = strlen(value), .revision = revision};
}

static void away_and_back(void **state)
{
    (void)state;
    struct slow slow = {.count = 0};
    struct kv kv = {.context = &slow, .request = slow_request, .watch = slow_watch, .unwatch = slow_unwatch};
    struct core a, b;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct keeper_store *store = keeper_store_open(&loop, &kv, "p/");
    core_join(&a, store, "p/a");
    struct kv_news away = {.type = KV_AWAY, .why = "gone"};
    tell(&slow, &away);
    wait_for(&loop, &a.aways, 1);
    core_join(&b, store, "p/b");
    wait_for(&loop, &b.aways, 1); /* what is known at its joining */
    struct kv_pair pairs[] = {pair("p/a", "1", 5), pair("p/b", "2", 6)};
    struct kv_news list = {.type = KV_LIST, .pairs = pairs, .pair_count = 2, .revision = 9, .history = 3};
    tell(&slow, &list);
    wait_for(&loop, &a.lists, 1);
    wait_for(&loop, &b.lists, 1);
    assert_int_equal(a.aways, 1);
    assert_int_equal(a.revision, 9);
    assert_int_equal(a.history, 3);
    assert_string_equal(b.value, "2");
    /* Away and back between two turns of the loop: the list says it all. */
    struct kv_pair fewer[] = {pair("p/b", "3", 11)};
    list = (struct kv_news){.type = KV_LIST, .pairs = fewer, .pair_count = 1, .revision = 12, .history = 3};
    tell(&slow, &away);
    tell(&slow, &list);
    wait_for(&loop, &a.empty_lists, 1);
    wait_for(&loop, &b.lists, 2);
    assert_string_equal(b.value, "3");
    assert_int_equal(a.aways, 1);
    /* It refuses after it was silent: said too. */
    tell(&slow, &away);
    wait_for(&loop, &a.aways, 2);
    struct kv_news refused = {.type = KV_AWAY, .why = "another one", .refused = true};
    tell(&slow, &refused);
    tell(&slow, &refused);
    wait_for(&loop, &a.aways, 3);
    pause_loop(&loop);
    assert_int_equal(a.aways, 3);
    keeper_store_leave(store, &a.user);
    keeper_store_leave(store, &b.user);
    keeper_store_close(&store);
    end_loop(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_hears_of_its_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_come_from_the_loop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_may_leave_while_it_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_newest_is_told_in_the_end, set_up, tear_down),
        cmocka_unit_test(late_answers_are_dropped),
        cmocka_unit_test(away_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
