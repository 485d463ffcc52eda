/* Messages for many, of which one brings a thousand deliveries along; and what is done while memory is behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/rest_help.h"

enum { ROOM = 1000, LEAST = 50 };

static void open_desk(struct rest_desk *desk)
{
    rest_open(desk);
    desk->room = ROOM;
    desk->least = LEAST;
    rest_restart(desk);
}

/* One message to so many domains. */
static void inject_wide(struct rest_desk *desk, unsigned recipients, usec_t in)
{
    struct buffer to = {0};
    for (unsigned i = 0; i < recipients; i++)
        buffer_printf(&to, "%sa@d%u.test", i == 0 ? "" : ",", i);
    rest_inject(desk, "acme", "news", buffer_text(&to), in);
    buffer_free(&to);
}

static void test_wide_messages_come_back_one_by_one(void **state)
{
    (void)state;
    enum { WIDE = 100, RECIPIENTS = 100 };
    struct rest_desk desk;
    open_desk(&desk);
    for (unsigned i = 0; i < WIDE; i++) {
        inject_wide(&desk, RECIPIENTS, USEC_HOUR);
        rest_pass(&desk, USEC_MS);
    }
    rest_pass(&desk, 5 * USEC_SEC);
    assert_int_equal(rest_parked(&desk), WIDE);
    desk.most_deliveries = 0;
    rest_pass(&desk, USEC_HOUR + 30 * USEC_SEC);
    if (desk.most_deliveries > (uint64_t)2 * ROOM)
        fail_msg("%llu deliveries in memory", (unsigned long long)desk.most_deliveries);
    assert_int_equal(rest_held(&desk), WIDE * RECIPIENTS);
    rest_close(&desk);
}

/* Does the log's tidying say something anew? */
static bool restates(struct rest_desk *desk)
{
    uint64_t newest = desk->newest;
    node_restate(desk->node, newest, desk->now);
    bool does = desk->newest > newest;
    rest_pass(desk, 0);
    return does;
}

/* It wakes what is parked: while more is beyond than can rest, once a second is enough, unless the disk is short. */
static void test_tidying_waits_while_memory_is_behind(void **state)
{
    (void)state;
    static const struct pressure_gauges low = {.disk_low = true}, easy = {.disk_free = 1 << 20};
    struct rest_desk desk;
    open_desk(&desk);
    rest_inject(&desk, "zen", "x", "a@e.test", 0);
    rest_pass(&desk, USEC_SEC);
    assert_true(restates(&desk) && restates(&desk));
    inject_wide(&desk, ROOM, 0); /* some of it is at hand: it does not rest */
    rest_pass(&desk, 100 * USEC_MS);
    assert_true(node_figures(desk.node).beyond > ROOM / 2);
    assert_false(restates(&desk));
    rest_pass(&desk, USEC_SEC);
    assert_true(restates(&desk));
    assert_false(restates(&desk));
    node_set_gauges(desk.node, &low);
    assert_true(restates(&desk));
    node_set_gauges(desk.node, &easy);
    assert_false(restates(&desk));
    rest_close(&desk);
}

/* Who looks whose they are takes a tenth of the time: the rest is for sending. */
static void test_another_view_leaves_time_for_sending(void **state)
{
    (void)state;
    enum { WIDE = 200, RECIPIENTS = 100, ALL = WIDE * RECIPIENTS };
    struct rest_desk desk;
    rest_open(&desk);
    desk.room = (uint64_t)10 * ALL;
    rest_restart(&desk);
    for (unsigned i = 0; i < WIDE; i++)
        inject_wide(&desk, RECIPIENTS, USEC_HOUR);
    rest_pass(&desk, 5 * USEC_SEC);
    assert_int_equal(rest_parked(&desk), WIDE);
    rest_view(&desk, 2, 2);
    rest_pass(&desk, 200 * USEC_MS);
    assert_in_range(desk.leaving, 1, ALL / 4);
    rest_pass(&desk, USEC_SEC);
    assert_in_range(desk.leaving, ALL / 3, ALL);
    rest_close(&desk);
}

/* A node that is drained has nothing better to do than to hand on what is at rest, until much is under way that nobody
 * has confirmed. */
static void test_a_drained_node_hurries(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    desk.room = 100000;
    rest_restart(&desk);
    for (unsigned i = 0; i < 4000; i++)
        inject_wide(&desk, 1, USEC_HOUR);
    rest_pass(&desk, 5 * USEC_SEC);
    assert_int_equal(rest_parked(&desk), 4000);
    desk.drains = true;
    rest_view(&desk, 2, 2);
    rest_pass(&desk, 100 * USEC_MS);
    assert_in_range(desk.leaving, 1000, 2048);
    rest_pass(&desk, 200 * USEC_MS);
    assert_in_range(desk.leaving, 2048, 3600);
    rest_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wide_messages_come_back_one_by_one),
        cmocka_unit_test(test_another_view_leaves_time_for_sending),
        cmocka_unit_test(test_a_drained_node_hurries),
        cmocka_unit_test(test_tidying_waits_while_memory_is_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
