/* A node parks what waits long, and has it back in time, for whoever asks, and for a new view. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/placement.h"
#include "tests/unit/node_help.h"
#include "tests/unit/rest_help.h"

enum { MESSAGES = 400, RECIPIENTS = 2 };

/* Number says which domains. */
static void inject(struct rest_desk *desk, unsigned number, usec_t in)
{
    char to[80];
    snprintf(to, sizeof to, "a@d%u.test,a@d%u.test", number % 100, (number + 17) % 100);
    rest_inject(desk, "acme", "news", to, in);
}

static void open_desk_of(struct rest_desk *desk, uint64_t room, uint64_t least)
{
    rest_prepare(desk);
    desk->room = room;
    desk->least = least;
    desk->view_first = true;
    rest_start(desk);
}

static void open_desk(struct rest_desk *desk)
{
    open_desk_of(desk, 0, 100000);
}

static void inject_late(struct rest_desk *desk)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        inject(desk, i, USEC_HOUR);
    rest_pass(desk, USEC_SEC);
}

static void test_what_waits_long_is_parked_and_comes_back_in_time(void **state)
{
    (void)state;
    struct rest_desk desk;
    open_desk(&desk);
    inject_late(&desk);
    assert_int_equal(rest_parked(&desk), MESSAGES);
    assert_int_equal(rest_held(&desk), MESSAGES * RECIPIENTS);
    assert_int_equal(node_figures(desk.node).waiting, MESSAGES * RECIPIENTS);
    rest_pass(&desk, USEC_HOUR - 32 * USEC_SEC);
    assert_int_equal(rest_parked(&desk), MESSAGES);
    rest_pass(&desk, 2 * USEC_SEC); /* half a minute before */
    assert_int_equal(rest_parked(&desk), 0);
    assert_int_equal(node_figures(desk.node).ready, 0);
    rest_pass(&desk, 31 * USEC_SEC);
    assert_int_equal(node_figures(desk.node).ready, MESSAGES * RECIPIENTS);
    rest_close(&desk);
}

/* However much is due, or at its age, at one moment: what there is room for is in memory. */
static void test_what_is_due_at_once_comes_bit_by_bit(void **state)
{
    (void)state;
    enum { MANY = 3000, ROOM = 1000 };
    for (int aged = 0; aged < 2; aged++) {
        struct rest_desk desk;
        open_desk_of(&desk, ROOM, 50);
        desk.max_age = aged ? USEC_HOUR : USEC_DAY;
        for (unsigned i = 0; i < MANY; i++) {
            inject(&desk, i, aged ? 2 * USEC_HOUR : USEC_HOUR);
            if (i % 100 != 99)
                continue;
            rest_pass(&desk, 10 * USEC_MS);
        }
        rest_pass(&desk, 5 * USEC_SEC);
        assert_int_equal(rest_parked(&desk), MANY);
        desk.most_deliveries = 0;
        rest_pass(&desk, USEC_HOUR + 30 * USEC_SEC);
        assert_in_range(desk.most_deliveries, 1, ROOM + ROOM / 2);
        if (aged)
            assert_int_equal(rest_held(&desk), 0);
        else
            assert_in_range(node_figures(desk.node).ready, 25, ROOM / 2);
        rest_close(&desk);
    }
}

static void test_what_is_ready_or_due_soon_stays_and_the_table_rests(void **state)
{
    (void)state;
    struct rest_desk desk;
    open_desk(&desk);
    struct park_memory_figures before = park_memory_figures(desk.table);
    for (unsigned i = 0; i < MESSAGES; i++)
        inject(&desk, i, i % 2 == 0 ? 0 : 50 * USEC_SEC);
    rest_pass(&desk, USEC_SEC);
    struct park_memory_figures after = park_memory_figures(desk.table);
    assert_int_equal(rest_parked(&desk), 0);
    assert_int_equal(after.gets, before.gets);
    assert_int_equal(after.puts, before.puts);
    rest_close(&desk);
}

static void test_max_age_holds_at_rest(void **state)
{
    (void)state;
    struct rest_desk desk;
    open_desk(&desk);
    desk.max_age = USEC_HOUR;
    inject(&desk, 1, 2 * USEC_HOUR);
    rest_pass(&desk, USEC_SEC);
    assert_int_equal(rest_parked(&desk), 1);
    rest_pass(&desk, USEC_HOUR - 2 * USEC_SEC);
    assert_int_equal(desk.done, 0);
    rest_pass(&desk, 2 * USEC_SEC);
    assert_true(desk.done >= RECIPIENTS);
    assert_int_equal(rest_held(&desk), 0);
    rest_close(&desk);
}

static size_t others(unsigned nodes)
{
    struct view *view = node_help_view(9, 1, nodes);
    size_t count = 0;
    for (unsigned i = 0; i < MESSAGES * RECIPIENTS; i++) {
        char domain[40];
        snprintf(domain, sizeof domain, "d%u.test", (i / RECIPIENTS + i % RECIPIENTS * 17) % 100);
        count += strcmp(place_owner(view, "main", NULL, domain, NULL)->id, "n1") != 0;
    }
    view_drop(&view);
    return count;
}

static void test_a_new_view_moves_what_is_parked(void **state)
{
    (void)state;
    struct rest_desk desk;
    open_desk(&desk);
    inject_late(&desk);
    rest_view(&desk, 2, 3);
    assert_true(rest_parked(&desk) > MESSAGES / 2); /* a little at a time */
    rest_pass(&desk, USEC_SEC);
    rest_view(&desk, 3, 3); /* and one that comes meanwhile */
    rest_pass(&desk, 10 * USEC_SEC);
    assert_int_equal(desk.leaving, others(3));
    assert_int_equal(custody_figures(node_custody(desk.node)).leaving, others(3));
    assert_true(rest_parked(&desk) > 0); /* what stays is parked again */
    rest_close(&desk);
}

/* The answer is there in two seconds. */
static const char *act(struct rest_desk *desk, const char *order)
{
    buffer_clear(&desk->answer);
    rest_tell(desk, order);
    rest_pass(desk, 2 * USEC_SEC);
    return buffer_text(&desk->answer);
}

static void test_orders_reach_what_is_parked(void **state)
{
    (void)state;
    struct rest_desk desk;
    char wanted[80];
    open_desk(&desk);
    inject_late(&desk);
    for (unsigned i = 0; i < 10; i++)
        inject(&desk, MESSAGES + i, 2 * USEC_MIN);
    rest_pass(&desk, 95 * USEC_SEC);
    assert_int_equal(rest_parked(&desk), MESSAGES); /* ten have come back */
    snprintf(wanted, sizeof wanted, "\"matched\":%d,", MESSAGES / 100 * RECIPIENTS + 1);
    assert_non_null(strstr(act(&desk, "delete?domain=d1.test&reason=x"), wanted));
    assert_non_null(strstr(act(&desk, "delete?tenant=acme&reason=x"), "\"running\":false"));
    assert_int_equal(rest_held(&desk), 0);
    assert_int_equal(rest_parked(&desk), 0);
    rest_close(&desk);
}

static void test_checkpoints_say_what_may_go(void **state)
{
    (void)state;
    struct rest_desk desk;
    open_desk(&desk);
    inject_late(&desk);
    uint64_t last = desk.newest;
    rest_pass(&desk, USEC_SEC);
    assert_true(desk.checkpoints >= 1);
    rest_pass(&desk, 30 * USEC_SEC);
    assert_int_equal(desk.kept_from, last + 1);
    size_t checkpoints = desk.checkpoints;
    rest_pass(&desk, 10 * USEC_MIN);
    assert_int_equal(desk.checkpoints, checkpoints); /* nothing happens, none is needed */
    rest_close(&desk);
}

static void test_a_start_goes_on_from_the_last_checkpoint(void **state)
{
    (void)state;
    struct rest_desk desk;
    open_desk(&desk);
    inject_late(&desk);
    rest_pass(&desk, 30 * USEC_SEC);
    uint64_t from = desk.kept_from;
    assert_int_equal(from, desk.newest + 1);
    rest_restart(&desk);
    assert_int_equal(desk.read_from, from);
    assert_int_equal(rest_held(&desk), MESSAGES * RECIPIENTS);
    rest_pass(&desk, 30 * USEC_SEC);
    assert_int_equal(rest_parked(&desk), MESSAGES);
    assert_int_equal(desk.kept_from, from);
    rest_pass(&desk, USEC_HOUR);
    assert_int_equal(node_figures(desk.node).ready, MESSAGES * RECIPIENTS);
    rest_close(&desk);
}

static void test_a_checkpoint_that_fails_ends_parking(void **state)
{
    (void)state;
    struct rest_desk desk;
    open_desk(&desk);
    inject_late(&desk);
    for (unsigned i = 0; i < MESSAGES; i++)
        inject(&desk, MESSAGES + i, USEC_HOUR);
    park_memory_fail(desk.table, true);
    rest_pass(&desk, 5 * USEC_MIN);
    assert_int_equal(desk.failures, 1);
    assert_int_equal(rest_parked(&desk), MESSAGES);
    assert_int_equal(rest_held(&desk), 2 * MESSAGES * RECIPIENTS);
    park_memory_fail(desk.table, false); /* it may be read again: those are not stuck */
    rest_pass(&desk, USEC_HOUR);
    assert_int_equal(node_figures(desk.node).ready, 2 * MESSAGES * RECIPIENTS);
    rest_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_waits_long_is_parked_and_comes_back_in_time),
        cmocka_unit_test(test_what_is_due_at_once_comes_bit_by_bit),
        cmocka_unit_test(test_what_is_ready_or_due_soon_stays_and_the_table_rests),
        cmocka_unit_test(test_max_age_holds_at_rest),
        cmocka_unit_test(test_a_new_view_moves_what_is_parked),
        cmocka_unit_test(test_orders_reach_what_is_parked),
        cmocka_unit_test(test_checkpoints_say_what_may_go),
        cmocka_unit_test(test_a_start_goes_on_from_the_last_checkpoint),
        cmocka_unit_test(test_a_checkpoint_that_fails_ends_parking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
