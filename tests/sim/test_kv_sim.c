/* What every store must do (kv_suite), asked of the modelled one, over its modelled way, on virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/panic.h"
#include "tests/sim/agree.h"
#include "tests/sim/store_link.h"
#include "tests/unit/kv_suite.h"

enum { MOST = 1024 };

static struct sim_options options;
static struct sim_counts counts;
static struct sim *sim;
static struct {
    kv_done *done;
    void *arg;
} asked[MOST]; /* a ring, by ref */
static struct kv_watch {
    bool open;
    kv_told *told;
    void *arg;
} watches[MOST];
static uint64_t refs;

static void answered(struct member *member, int core, uint64_t ref, const struct kv_result *result)
{
    (void)member, (void)core;
    kv_done *done = asked[ref % MOST].done;
    assert_non_null(done);
    asked[ref % MOST].done = NULL;
    done(asked[ref % MOST].arg, result);
}

static void told(struct member *member, int topic, const struct kv_news *news)
{
    (void)member;
    assert_true(watches[topic].open);
    watches[topic].told(watches[topic].arg, news);
}

static void request(void *context, const struct kv_request *wanted, kv_done *done, void *arg)
{
    struct sim *world = context;
    uint64_t ref = refs++;
    must(asked[ref % MOST].done == NULL);
    asked[ref % MOST].done = done;
    asked[ref % MOST].arg = arg;
    link_request(&world->members[0], 0, ref, wanted);
}

static struct kv_watch *watch(void *context, const char *prefix, kv_told *tell, void *arg)
{
    static int next;
    struct sim *world = context;
    must(next < MOST);
    watches[next] = (struct kv_watch){.open = true, .told = tell, .arg = arg};
    link_watch(&world->members[0], next, prefix);
    return &watches[next++];
}

static void unwatch(void *context, struct kv_watch *at)
{
    struct sim *world = context;
    link_unwatch(&world->members[0], (int)(at - watches));
    at->open = false;
}

static void open_store(struct kv_suite *suite)
{
    sim = sim_new(1, &options, &counts);
    agree_start(sim);
    link_start(sim, answered, told);
    sim->phase = PHASE_CALM;
    sim->members[0].running = true;
    suite->context = sim;
    suite->kv = (struct kv){.context = sim, .request = request, .watch = watch, .unwatch = unwatch};
}

static void close_store(struct kv_suite *suite)
{
    (void)suite;
    assert_false(sim->failed);
    sim_free(&sim);
}

static void pass(void *context, usec_t time)
{
    sim_pass(context, time);
}

int main(void)
{
    struct kv_suite suite = {.name = "kv_sim", .open = open_store, .close = close_store, .pass = pass};
    return kv_suite_run(&suite);
}
