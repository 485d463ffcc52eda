/* Other limits and pools hold for what is under way, too: for connections that are open, and lanes that wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/desk_help.h"

static struct desk desk;

static struct setting_provider *limits(void)
{
    return &desk.settings->providers[0];
}

/* The settings as the test has changed them. */
static void reload(void)
{
    node_set_settings(desk.node, desk.settings, desk.now);
}

static void one_source(void)
{
    limits()->messages_per_connection = 0;
    desk.settings->node.sources[0].pool_count = 0;
    reload();
}

static void inject(const char *tenant, unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++)
        desk_inject(&desk, tenant, "c", "a.test", i);
}

static void a_faster_pace_counts_from_now_on(void **state)
{
    (void)state;
    desk_open(&desk, "");
    limits()->rate = (struct rate){1, USEC_HOUR};
    one_source();
    desk_run(&desk, 2 * USEC_HOUR);
    inject("zen", 0, 20);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.started, 1);
    limits()->rate = (struct rate){1, USEC_SEC};
    reload();
    desk_run(&desk, 10 * USEC_SEC);
    assert_in_range(desk.started, 10, 11);
    limits()->rate = (struct rate){1, USEC_DAY};
    reload();
    desk_run(&desk, USEC_HOUR);
    assert_in_range(desk.started, 11, 12);
    limits()->rate = (struct rate){0, 0};
    reload();
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.started, 20);
    desk_close(&desk);
}

static void fewer_connections_stay_open(void **state)
{
    (void)state;
    desk_open(&desk, "");
    one_source();
    desk.answer_after = 10 * USEC_MS;
    inject("zen", 0, 3000);
    desk_run(&desk, 100 * USEC_MS);
    assert_int_equal(desk_connections(&desk), 10);
    limits()->connections = 3;
    reload();
    desk_run(&desk, 100 * USEC_MS);
    assert_int_equal(desk_connections(&desk), 3);
    uint64_t started = desk.started;
    desk_run(&desk, USEC_SEC);
    assert_in_range(desk.started - started, 280, 320);
    limits()->connections = 10;
    reload();
    desk_run(&desk, 100 * USEC_MS);
    assert_int_equal(desk_connections(&desk), 10);
    desk_close(&desk);
}

/* Nothing is sent: it is those that are idle. */
static void fewer_idle_ones_too(void **state)
{
    (void)state;
    desk_open(&desk, "");
    one_source();
    desk.answer_after = 10 * USEC_MS;
    inject("zen", 0, 100);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 100);
    assert_int_equal(desk_connections(&desk), 10);
    limits()->connections = 3;
    reload();
    desk_settle(&desk);
    assert_int_equal(desk_connections(&desk), 3);
    desk_close(&desk);
}

static void fewer_messages_a_connection(void **state)
{
    (void)state;
    desk_open(&desk, "");
    one_source();
    limits()->connections = 1;
    reload();
    inject("zen", 0, 5);
    desk_settle(&desk);
    assert_int_equal(desk.delivered, 5);
    assert_int_equal(desk.connects_from[1], 1);
    limits()->messages_per_connection = 5;
    reload();
    inject("zen", 5, 1);
    desk_settle(&desk);
    assert_int_equal(desk.delivered, 6);
    assert_int_equal(desk.connects_from[1], 2);
    desk_close(&desk);
}

/* Who has sent nothing for long is forgotten, but not before its pace lets the next message start. */
static void a_pace_outlives_connections(void **state)
{
    (void)state;
    desk_open(&desk, "");
    limits()->rate = (struct rate){1, USEC_HOUR};
    one_source();
    desk_run(&desk, 2 * USEC_HOUR);
    inject("zen", 0, 1);
    desk_run(&desk, 10 * USEC_MIN);
    assert_int_equal(desk.delivered, 1);
    inject("zen", 1, 1);
    desk_run(&desk, 49 * USEC_MIN);
    assert_int_equal(desk.started, 1);
    desk_run(&desk, 2 * USEC_MIN);
    assert_int_equal(desk.delivered, 2);
    desk_close(&desk);
}

/* Its mail waits until there is a source again, and no attempt is counted. */
static void a_pool_loses_its_source(void **state)
{
    (void)state;
    desk_open(&desk, "");
    limits()->rate = (struct rate){1, USEC_MIN};
    one_source();
    inject("zen", 0, 500);
    desk_run(&desk, 10 * USEC_MIN);
    uint64_t started = desk.started;
    desk.settings->node.sources[1].pool_count = 1;
    reload();
    desk_run(&desk, USEC_HOUR);
    assert_int_equal(desk.started, started);
    assert_int_equal(desk.deferred, 0);
    desk.settings->node.sources[1].pool_count = 2;
    limits()->rate.count = 0;
    reload();
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 500);
    desk_close(&desk);
}

/* What is at hand does not leave by a source that is not the pool's any more. */
static void a_pool_loses_its_source_while_it_is_signed(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.settings->node.sources[0].pool_count = 0;
    reload();
    desk.message = "From: a@keys.test\r\nSubject: x\r\n\r\nx\r\n";
    desk.keep_unsigned = true;
    inject("keyed", 0, 1);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.jobs, 1);
    desk.settings->node.sources[1].pool_count = 0;
    reload();
    desk.keep_unsigned = false;
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.started, 0);
    desk.settings->node.sources[0].pool_count = 1;
    desk.settings->node.sources[1].pool_count = 2;
    reload();
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.delivered, 1);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_faster_pace_counts_from_now_on),
        cmocka_unit_test(fewer_connections_stay_open),
        cmocka_unit_test(fewer_idle_ones_too),
        cmocka_unit_test(fewer_messages_a_connection),
        cmocka_unit_test(a_pace_outlives_connections),
        cmocka_unit_test(a_pool_loses_its_source),
        cmocka_unit_test(a_pool_loses_its_source_while_it_is_signed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
