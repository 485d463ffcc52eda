/* How fast a queue runs empty, by the last 30 s, and when it will have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/ebb.h"

#define T0 (1795323852LL * USEC_SEC)

static void a_steady_ebb_has_an_end(void **state)
{
    (void)state;
    struct ebb ebb = {0};
    ebb_begin(&ebb, T0, 1000);
    assert_true(ebb_rate(&ebb, T0, 1000) == 0 && ebb_left(&ebb, T0, 1000) == USEC_NEVER);
    for (int s = 1; s <= 50; s++) {
        usec_t now = T0 + s * USEC_SEC;
        uint64_t queued = 1000 - (uint64_t)s * 10;
        ebb_note(&ebb, now, queued);
        assert_true(ebb_rate(&ebb, now, queued) == 10);
        assert_int_equal(ebb_left(&ebb, now, queued), (int64_t)queued / 10 * USEC_SEC);
    }
}

static void only_the_last_thirty_seconds_count(void **state)
{
    (void)state;
    struct ebb ebb = {0};
    ebb_begin(&ebb, T0, 100000);
    for (int s = 1; s <= 20; s++)
        ebb_note(&ebb, T0 + s * USEC_SEC, 100000 - (uint64_t)s * 1000);
    /* Then 60 a second. */
    for (int s = 21; s <= 60; s++)
        ebb_note(&ebb, T0 + s * USEC_SEC, 80000 - (uint64_t)(s - 20) * 60);
    assert_true(ebb_rate(&ebb, T0 + 60 * USEC_SEC, 80000 - 40 * 60) == 60);
}

static void what_grows_or_stands_has_none(void **state)
{
    (void)state;
    struct ebb ebb = {0};
    ebb_begin(&ebb, T0, 10);
    for (int s = 1; s <= 5; s++)
        ebb_note(&ebb, T0 + s * USEC_SEC, 10 + (uint64_t)s);
    assert_true(ebb_rate(&ebb, T0 + 5 * USEC_SEC, 15) == 0);
    assert_int_equal(ebb_left(&ebb, T0 + 5 * USEC_SEC, 15), USEC_NEVER);
    assert_int_equal(ebb_left(&ebb, T0 + 5 * USEC_SEC, 0), 0);
    assert_true(ebb_rate(&ebb, T0 + 5 * USEC_SEC, 5) == 1); /* 10 -> 5 in 5 s, though the last note says 15 */
}

/* One a second is kept, however often it is called; and a quiet time between two notes costs the estimate nothing. */
static void calls_may_come_often_or_seldom(void **state)
{
    (void)state;
    struct ebb ebb = {0};
    ebb_begin(&ebb, T0, 5000);
    for (int ms = 1; ms <= 10000; ms++)
        ebb_note(&ebb, T0 + ms * USEC_MS, 5000 - (uint64_t)ms / 10);
    assert_int_equal(ebb.count, 11);
    assert_true(ebb_rate(&ebb, T0 + 10 * USEC_SEC, 4000) == 100);
    usec_t later = T0 + 100 * USEC_SEC;
    assert_true(ebb_rate(&ebb, later, 4000) == 0);
    ebb_note(&ebb, later, 4000);
    ebb_note(&ebb, later + 5 * USEC_SEC, 3700);
    assert_true(ebb_rate(&ebb, later + 5 * USEC_SEC, 3700) == 10); /* 300 in the window */
}

static void a_clock_that_goes_back_begins_anew(void **state)
{
    (void)state;
    struct ebb ebb = {0};
    ebb_begin(&ebb, T0, 500);
    ebb_note(&ebb, T0 + 5 * USEC_SEC, 400);
    ebb_note(&ebb, T0 - USEC_MIN, 300);
    assert_int_equal(ebb.count, 1);
    assert_true(ebb_rate(&ebb, T0 - USEC_MIN, 300) == 0);
    assert_true(ebb_rate(&ebb, T0 - 2 * USEC_MIN, 200) == 0);
}

static void ages_are_no_end(void **state)
{
    (void)state;
    struct ebb ebb = {0};
    ebb_begin(&ebb, T0, UINT64_MAX);
    ebb_note(&ebb, T0 + USEC_SEC, UINT64_MAX - 4096);
    assert_int_equal(ebb_left(&ebb, T0 + USEC_SEC, UINT64_MAX - 4096), USEC_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_ebb_has_an_end),
        cmocka_unit_test(only_the_last_thirty_seconds_count),
        cmocka_unit_test(what_grows_or_stands_has_none),
        cmocka_unit_test(calls_may_come_often_or_seldom),
        cmocka_unit_test(a_clock_that_goes_back_begins_anew),
        cmocka_unit_test(ages_are_no_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
