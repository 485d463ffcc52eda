/* What an operator orders is done to all that is queued and fits, to nothing else, and nothing of it is started any
 * more from the moment the order comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node/act.h"
#include "tests/unit/desk_help.h"

static struct desk desk;

static void many(const char *tenant, const char *campaign, unsigned from, unsigned count, unsigned domains)
{
    for (unsigned i = from; i < from + count; i++) {
        char domain[40];
        snprintf(domain, sizeof domain, "d%u.test", i % domains);
        desk_inject(&desk, tenant, campaign, domain, i);
    }
}

/* All that is queued waits. */
static void open_paused(void)
{
    static const struct hold_match all = {.tenant = "acme"};
    desk_open(&desk, "");
    desk_hold(&desk, &all, 0);
}

static void expect_answer(int code, const char *text)
{
    assert_int_equal(desk.answers, 1);
    assert_int_equal(desk.answer_code, code);
    if (strstr(desk.answer, text) == NULL)
        fail_msg("`%s` is not in %s", text, desk.answer);
    desk.answers = 0;
}

static void a_deep_campaign_is_deleted(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.host = "one.test";
    desk.answer_after = 100 * USEC_MS;
    many("acme", "news", 0, 100000, 2000);
    many("acme", "other", 100000, 1000, 2000);
    desk_run(&desk, 5 * USEC_SEC);
    uint64_t started = desk.started, delivered = desk.delivered;
    assert_true(delivered > 0 && desk_queued(&desk) > 99000);
    desk_ask(&desk, "delete?tenant=acme&campaign=news&reason=a%20mistake");
    many("acme", "news", 200000, 10, 10); /* it came later */
    desk_settle(&desk);
    expect_answer(200, "\"running\":false");
    assert_true(desk.cancelled + started + 1010 >= 101010 && desk.cancelled < 100000);
    assert_int_equal(desk_queued(&desk), 101010 - delivered - desk.cancelled);
    assert_non_null(strstr(desk.last_event, "cancelled"));
    desk_run(&desk, USEC_HOUR);
    assert_int_equal(desk.delivered + desk.cancelled, 101010); /* each in one way only */
    assert_int_equal(desk.started, desk.delivered);
    assert_int_equal(desk.accepted, 101010); /* no reports */
    desk_close(&desk);
}

/* While the disk is slow the act goes no further than it may, says how far it is, and starts nothing meanwhile. */
static void a_slow_disk_holds_an_act_up_but_starts_nothing(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.host = "one.test";
    desk.answer_after = 100 * USEC_MS;
    many("acme", "news", 0, 20000, 500);
    desk_run(&desk, USEC_SEC);
    desk.keep_frames = true;
    desk_ask(&desk, "delete?campaign=news");
    uint64_t started = desk.started;
    desk_run(&desk, ACT_PATIENCE - 1);
    assert_int_equal(desk.answers, 0);
    desk_run(&desk, 1);
    expect_answer(200, "\"running\":true");
    assert_int_equal(desk.started, started);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.started, started);
    assert_int_equal(desk.cancelled, 0); /* told when it is on the disk */
    desk.keep_frames = false;
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.answers, 0);
    assert_int_equal(desk.started, started);
    assert_int_equal(desk.cancelled + desk.delivered, 20000);
    desk_close(&desk);
}

/* However long it takes: what is put into the queue meanwhile is not meant. */
static void what_comes_later_is_left(void **state)
{
    (void)state;
    open_paused();
    many("acme", "news", 0, 6000, 10);
    desk_settle(&desk);
    desk.keep_frames = true;
    desk_ask(&desk, "delete?campaign=news");
    desk_run(&desk, USEC_SEC);
    many("acme", "news", 6000, 100, 10);
    desk.keep_frames = false;
    desk_run(&desk, USEC_MIN);
    expect_answer(200, "\"matched\":6000,\"done\":6000");
    assert_int_equal(desk.cancelled, 6000);
    assert_int_equal(desk_queued(&desk), 100);
    desk_close(&desk);
}

static void what_is_bounced_is_reported(void **state)
{
    (void)state;
    open_paused();
    many("acme", "news", 0, 30, 3);
    many("acme", "", 30, 10, 3);
    desk_ask(&desk, "bounce?domain=D1.TEST&campaign=news&reason=wrong%20list");
    desk_settle(&desk);
    expect_answer(200, "\"matched\":10,\"done\":10,\"in_flight\":0,\"running\":false");
    assert_int_equal(desk.bounced, 10);
    assert_int_equal(desk.accepted, 50); /* the reports, which wait too */
    assert_int_equal(desk_queued(&desk), 40);
    desk_hold(&desk, NULL, 0);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.delivered, 40);
    desk_close(&desk);
}

static void an_event_says_why(void **state)
{
    (void)state;
    open_paused();
    desk_inject(&desk, "acme", "news", "a.test", 1);
    desk_ask(&desk, "delete?recipient=a0@A.test&reason=asked%20to");
    desk_settle(&desk);
    expect_answer(200, "\"done\":1");
    assert_non_null(strstr(desk.last_event, "\"event\":\"cancelled\""));
    assert_non_null(strstr(desk.last_event, "cancelled by the operator: asked to"));
    assert_int_equal(node_figures(desk.node).cancelled, 1);
    desk_close(&desk);
}

static void one_message_or_one_delivery(void **state)
{
    (void)state;
    open_paused();
    usec_t end = desk.now + USEC_DAY;
    desk_inject_until(&desk, "acme", "news", "a.test", 1, 0, end, 5);
    desk_inject_until(&desk, "acme", "news", "a.test", 2, 0, end, 5);
    desk_settle(&desk);
    desk_ask(&desk, "delete?id=02000000000000000000000000000000");
    expect_answer(200, "\"matched\":5,\"done\":5"); /* at once */
    desk_ask(&desk, "delete?id=01000000000000000000000000000000-3");
    expect_answer(200, "\"matched\":1,\"done\":1");
    desk_ask(&desk, "delete?id=01000000000000000000000000000000-3");
    expect_answer(200, "\"matched\":0,\"done\":0");
    desk_ask(&desk, "delete?id=01000000000000000000000000000000&tenant=zen"); /* not his */
    expect_answer(200, "\"matched\":0");
    desk_ask(&desk, "delete?id=01000000000000000000000000000000&recipient=a1@a.test");
    expect_answer(200, "\"matched\":1,\"done\":1");
    desk_ask(&desk, "delete?id=07000000000000000000000000000000");
    expect_answer(200, "\"matched\":0");
    desk_hold(&desk, NULL, 0);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.delivered, 3);
    assert_int_equal(desk.cancelled, 7);
    desk_close(&desk);
}

static void by_provider_and_pool(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.host = "mx1.big.test";
    desk.defer = 20;
    desk.defer_data = true;
    many("acme", "news", 0, 10, 10);
    many("zen", "", 10, 10, 10);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.deferred, 20);
    desk_ask(&desk, "delete?provider=large&pool=side");
    desk_settle(&desk);
    expect_answer(200, "\"matched\":10,\"done\":10");
    desk_ask(&desk, "delete?provider=huge");
    desk_settle(&desk);
    expect_answer(200, "\"matched\":0");
    assert_int_equal(desk_queued(&desk), 10);
    desk_close(&desk);
}

static void tried_again_now(void **state)
{
    (void)state;
    desk_open(&desk, "");
    usec_t when = desk.now + 6 * USEC_HOUR, end = desk.now + USEC_DAY;
    desk.defer = 3000;
    desk.defer_data = true;
    many("acme", "news", 0, 3000, 300);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.deferred, 3000);
    desk.defer_data = false;
    desk_inject_until(&desk, "acme", "news", "a.test", 9000, when, end, 1);
    desk_ask(&desk, "retry?tenant=acme&campaign=news");
    desk_run(&desk, USEC_SEC);
    expect_answer(200, "\"matched\":3000,\"done\":3000");
    assert_int_equal(desk.delivered, 3000); /* and what was to be sent later was not */
    desk_run(&desk, when - desk.now - 1);
    assert_int_equal(desk.delivered, 3000);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 3001);
    desk_close(&desk);
}

/* What is in a transaction is left to finish. */
static void in_flight_ones_are_left(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.answer_after = USEC_SEC;
    many("acme", "news", 0, 5, 5);
    desk_settle(&desk);
    assert_int_equal(desk.started, 5);
    desk_ask(&desk, "delete?tenant=acme");
    desk_settle(&desk);
    expect_answer(200, "\"matched\":5,\"done\":0,\"in_flight\":5");
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.delivered, 5);
    assert_int_equal(desk.cancelled, 0);
    desk_close(&desk);
}

/* It was given to a session, but nothing of it was said yet. */
static void what_is_signed_has_not_started(void **state)
{
    (void)state;
    desk_open(&desk, "operator_dkim: [{ domain: op.test, selector: s, key_file: /nowhere }]\n");
    desk.keep_unsigned = true;
    many("acme", "news", 0, 6, 6);
    desk_settle(&desk);
    assert_false(list_empty(&desk.signing));
    desk_ask(&desk, "delete?id=05000000000000000000000000000000");
    expect_answer(200, "\"matched\":1,\"done\":1,\"in_flight\":0");
    desk_ask(&desk, "bounce?domain=d4.test");
    desk_settle(&desk);
    expect_answer(200, "\"matched\":1,\"done\":1,\"in_flight\":0");
    desk_ask(&desk, "delete?campaign=news");
    desk_settle(&desk);
    expect_answer(200, "\"matched\":4,\"done\":4,\"in_flight\":0");
    desk.keep_unsigned = false;
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.delivered, 1); /* the report */
    assert_int_equal(desk.cancelled, 5);
    desk_close(&desk);
}

static void what_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"delete", "delete?", "delete?reason=x",
        "delete?tenant=", "delete?source=10.0.0.1", "delete?id=12", "delete?recipient=nobody",
        "delete?domain=a%20b", "delete?tenant=%zz", "bounce?tenant=%zz&pool=main"};
    desk_open(&desk, "");
    many("acme", "news", 0, 10, 10);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        desk_ask(&desk, wrong[i]);
        expect_answer(400, "");
        assert_true(strlen(desk.answer) > 10);
    }
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.delivered, 10);
    many("acme", "news", 10, 20000, 10);
    desk_settle(&desk);
    desk_close(&desk);
}

static void only_so_many_at_once(void **state)
{
    (void)state;
    open_paused();
    many("acme", "news", 0, 6000, 10);
    many("acme", "other", 6000, 20, 10);
    desk_settle(&desk);
    desk.keep_frames = true;
    desk_ask(&desk, "delete?campaign=news");
    for (unsigned i = 1; i < ACTS_AT_ONCE; i++)
        desk_ask(&desk, i % 2 == 0 ? "retry?campaign=news" : "bounce?domain=d1.test&campaign=news");
    assert_int_equal(desk.answers, 0);
    desk_ask(&desk, "delete?campaign=other");
    expect_answer(429, "try again");
    desk_run(&desk, 2 * USEC_SEC);
    assert_true(desk.answers >= 1);
    desk.keep_frames = false;
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.answers, ACTS_AT_ONCE);
    desk.answers = 0;
    assert_int_equal(desk.cancelled + desk.bounced, 6000);
    desk_ask(&desk, "delete?campaign=other");
    desk_settle(&desk);
    expect_answer(200, "\"matched\":20,\"done\":20");
    desk_close(&desk);
}

/* Messages end, come and are forgotten under its feet. */
static void an_act_walks_on_moving_ground(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.answer_after = 10 * USEC_MS;
    many("acme", "news", 0, 30000, 40);
    desk_run(&desk, 20 * USEC_MS);
    for (unsigned i = 0; i < 10; i++) {
        char ask[60];
        snprintf(ask, sizeof ask, "delete?domain=d%u.test", i);
        desk.keep_frames = i % 2 == 0;
        desk_ask(&desk, ask);
        many("acme", "more", 100000 + i * 100, 100, 40);
        desk_run(&desk, 2 * USEC_SEC);
    }
    desk.keep_frames = false;
    desk_run(&desk, 30 * USEC_MIN); /* all is forgotten */
    assert_int_equal(desk.delivered + desk.cancelled, 31000);
    assert_true(desk.cancelled > 1000);
    assert_int_equal(desk_queued(&desk), 0);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deep_campaign_is_deleted),
        cmocka_unit_test(a_slow_disk_holds_an_act_up_but_starts_nothing),
        cmocka_unit_test(what_comes_later_is_left),
        cmocka_unit_test(what_is_bounced_is_reported),
        cmocka_unit_test(an_event_says_why),
        cmocka_unit_test(one_message_or_one_delivery),
        cmocka_unit_test(by_provider_and_pool),
        cmocka_unit_test(tried_again_now),
        cmocka_unit_test(in_flight_ones_are_left),
        cmocka_unit_test(what_is_signed_has_not_started),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(only_so_many_at_once),
        cmocka_unit_test(an_act_walks_on_moving_ground),
    };
    return cmocka_run_group_tests_name("act", tests, NULL, NULL);
}
