/* A spool that an operator gave to a copy which is not up to date: all of it is in doubt, and told once; nobody is sent
 * elsewhere with what the lost primary may have taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heir_help.h"

static int begin(void **state)
{
    (void)state;
    estate_begin();
    estate.reg.revived = 2; /* the epoch that estate_inherit begins */
    return 0;
}

static int end(void **state)
{
    (void)state;
    estate_end();
    return 0;
}

static struct heir_figures figures(void)
{
    return heir_figures(estate.heir);
}

static void mail(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char to[64];
        snprintf(to, sizeof to, "u@d%u.test", i % 10);
        estate_mail(i, to, 0);
    }
}

static void end_quarantine(void)
{
    estate_run(1, HEIR_QUARANTINE);
    estate_run(30, USEC_MS);
}

/* No attempt stands in the log, and it was sent all the same, perhaps. */
static void test_all_in_doubt(void **state)
{
    (void)state;
    mail(20);
    estate_inherit(0);
    assert_true(figures().in_doubt == 20 && figures().doubts == 20);
    assert_non_null(strstr(estate.notice, "20 of them are in doubt"));
    estate_run(50, USEC_MS);
    assert_true(figures().held == 20 && estate.moves == 0 && estate.events == 0);
    end_quarantine();
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(estate_holders(i, 0), 1);
    assert_true(estate.events == 20 && figures().in_doubt == 0 && figures().state == HEIR_WAITS);
    assert_non_null(strstr(estate.event, "\"event\":\"doubt\""));
    assert_non_null(strstr(estate.event, "\"reason\":\"the spool was revived from a copy"));
}

/* Told is told: the log of the heir says so, wherever it dies after that. */
static void test_told_once(void **state)
{
    (void)state;
    mail(8);
    estate.b_shut = estate.h_shut = true;
    estate_inherit(0);
    end_quarantine();
    assert_int_equal(estate.events, 8);
    estate.told = UINT64_MAX; /* else the log would tell them again */
    estate_crash(0);
    assert_true(figures().in_doubt == 0 && figures().doubts == 0);
    estate.b_shut = estate.h_shut = false;
    estate_run(50, USEC_SEC);
    assert_int_equal(estate.events, 8);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(estate_holders(i, 0), 1);
}

/* A crash before that: the quarantine begins again, and it is told then. */
static void test_crash_before(void **state)
{
    (void)state;
    mail(3);
    estate_inherit(0);
    estate_run(1, HEIR_QUARANTINE / 2);
    estate_crash(0);
    assert_int_equal(figures().in_doubt, 3);
    end_quarantine();
    assert_true(estate.events == 3 && estate_holders(0, 0) == 1);
}

/* It was on its way when the copy was cut off; whoever it went to may have sent and forgotten it. Told at once, and only
 * once, also if it comes back. */
static void test_leaving(void **state)
{
    (void)state;
    estate_mail(1, "u@d0.test", 0);
    struct delivery *delivery = estate_dead(1, 0);
    custody_move(estate.dead, &delivery, 1, "b", estate.now);
    estate_dead_commits();
    while (estate.sent_count > 0)
        estate_drop(0);
    estate.b_shut = true;
    estate_inherit(0);
    assert_true(figures().leaving == 1 && figures().doubts == 1 && estate.events == 1);
    estate_run(20, USEC_MS);
    assert_true(figures().in_doubt == 0 && estate_holds(&estate.h, 1, 0));
    assert_true(estate.events == 1 && figures().doubts == 1);
}

/* Who asks must not go elsewhere with it: the lost primary may have answered. */
static void test_unknown_inject(void **state)
{
    (void)state;
    mail(1);
    estate_inherit(0);
    heir_set_paired(estate.heir, true);
    assert_null(estate_ask(estate_inject_of(99, 1)));
    assert_true(figures().unanswered == 1 && figures().refused == 0);
    end_quarantine();
    struct bus_msg *answer = estate_ask(estate_inject_of(0, 1));
    assert_non_null(answer);
    assert_int_equal(answer->verdict, BUS_REPEATED);
    bus_msg_free(&answer);
}

/* b asks still: it hears that it is refused, goes on with it, and that it may come twice was told, once. */
static void test_unknown_move(void **state)
{
    (void)state;
    estate_inherit(0);
    heir_set_paired(estate.heir, true);
    assert_null(estate_ask(estate_move_of(7, 1)));
    assert_true(estate.events == 1 && figures().doubts == 1);
    assert_non_null(strstr(estate.event, "\"event\":\"doubt\""));
    assert_null(estate_ask(estate_move_of(7, 1)));
    estate_commit();
    assert_true(estate_find(BUS_MOVE_ANSWER) >= 0);
    struct bus_msg *answer = estate_ask(estate_move_of(7, 1));
    assert_non_null(answer);
    assert_int_equal(answer->items[0].verdict, BUS_REFUSED);
    bus_msg_free(&answer);
    assert_int_equal(estate.events, 1);
}

/* A spool that was taken over from its mirror has none of all that. */
static void test_not_revived(void **state)
{
    (void)state;
    estate.reg.revived = 0;
    mail(5);
    estate_inherit(0);
    struct bus_msg *answer = estate_ask(estate_inject_of(99, 1));
    assert_non_null(answer);
    bus_msg_free(&answer);
    estate_run(20, USEC_MS);
    assert_true(figures().held == 0 && estate.events == 0 && figures().doubts == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_in_doubt),
        TEST(test_told_once),
        TEST(test_crash_before),
        TEST(test_leaving),
        TEST(test_unknown_inject),
        TEST(test_unknown_move),
        TEST(test_not_revived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
