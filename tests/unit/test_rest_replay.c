/* The table is lost: all of the log is read, memory stays bounded meanwhile, and all is as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/rest_help.h"

enum { MESSAGES = 2000, RECIPIENTS = 2, MOST = 200 };

/* Every third is due at once, the others in an hour. */
static void fill(struct rest_desk *desk)
{
    rest_open(desk);
    desk->replay_most = MOST;
    for (unsigned i = 0; i < MESSAGES; i++) {
        char to[80];
        snprintf(to, sizeof to, "a@d%u.test,b@d%u.test", i % 100, (i + 17) % 100);
        rest_inject(desk, i % 2 == 0 ? "acme" : "zen", "news", to, i % 3 == 0 ? 0 : USEC_HOUR);
    }
    rest_pass(desk, 3 * USEC_SEC);
}

/* As it should be, now and when the time has come. */
static void check(struct rest_desk *desk, uint64_t held)
{
    if (desk->most_messages * RECIPIENTS > MOST + RECIPIENTS)
        fail_msg("%llu messages in memory", (unsigned long long)desk->most_messages);
    assert_int_equal(rest_held(desk), held);
    rest_pass(
        desk, 25 * USEC_SEC); /* two checkpoints: what ended after its row was written is told no more */
    assert_int_equal(desk->failures, 0);
    assert_int_equal(rest_held(desk), held);
    rest_ask(desk, "queues");
    assert_int_equal(rest_sum(desk), held);
}

static void test_memory_stays_bounded(void **state)
{
    (void)state;
    struct rest_desk desk;
    fill(&desk);
    park_memory_wipe(desk.table);
    rest_restart(&desk);
    check(&desk, (uint64_t)MESSAGES * RECIPIENTS);
    rest_pass(&desk, USEC_HOUR);
    assert_true(node_figures(desk.node).ready > 0);
    rest_order(&desk, "delete?tenant=acme&reason=x");
    rest_order(&desk, "delete?tenant=zen&reason=x");
    assert_int_equal(rest_held(&desk), 0);
    rest_ask(&desk, "queues");
    assert_int_equal(rest_rows_told(&desk), 0);
    rest_close(&desk);
}

static void test_what_has_ended_is_buried(void **state)
{
    (void)state;
    struct rest_desk desk;
    fill(&desk);
    rest_order(&desk, "delete?tenant=acme&reason=x");
    park_memory_wipe(desk.table);
    rest_restart(&desk);
    check(&desk, (uint64_t)MESSAGES * RECIPIENTS / 2);
    desk.injected = 0; /* one that was deleted comes again */
    uint64_t newest = desk.newest;
    rest_inject(&desk, "acme", "news", "a@d0.test,b@d17.test", 0);
    assert_int_equal(desk.newest, newest);
    rest_close(&desk);
}

/* Facts about what was parked on the way. */
static void test_the_log_goes_on_about_it(void **state)
{
    (void)state;
    struct rest_desk desk;
    fill(&desk);
    rest_order(&desk, "delete?domain=d3.test&reason=x"); /* one of the message's two recipients */
    park_memory_wipe(desk.table);
    rest_restart(&desk);
    check(&desk, (uint64_t)MESSAGES * RECIPIENTS - 2 * MESSAGES / 100);
    rest_ask(&desk, "queues?domain=d3.test");
    assert_int_equal(rest_rows_told(&desk), 0);
    rest_close(&desk);
}

/* Any part of what the replay wrote may be on the disk when it is cut off. */
static void test_a_crash_on_the_way(void **state)
{
    (void)state;
    for (unsigned kept = 0; kept < 5; kept++) {
        struct rest_desk desk;
        fill(&desk);
        rest_order(&desk, "delete?domain=d3.test&reason=x");
        park_memory_wipe(desk.table);
        rest_restart(&desk);
        park_memory_crash(desk.table, park_memory_at_risk(desk.table) * kept / 4);
        rest_restart(&desk);
        check(&desk, (uint64_t)MESSAGES * RECIPIENTS - 2 * MESSAGES / 100);
        rest_close(&desk);
    }
}

/* Nobody looks through all that is parked unless a view comes: the dates must do. */
static void test_dates_are_kept_without_a_view(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    desk.replay_most = 50;
    for (unsigned i = 0; i < 200; i++)
        rest_inject(&desk, "acme", "news", "a@d.test", i < 100 ? 3 * USEC_MIN : 20 * USEC_HOUR);
    rest_pass(&desk, 25 * USEC_SEC);
    assert_int_equal(rest_parked(&desk), 200);
    desk.without_view = true;
    park_memory_wipe(desk.table);
    rest_restart(&desk);
    rest_pass(&desk, 3 * USEC_MIN);
    assert_int_equal(node_figures(desk.node).ready, 100);
    rest_close(&desk);
}

/* What is parked under a backlog is found after a crash only by its name. */
static void test_a_backlog_that_was_empty_for_a_while_has_its_name(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    desk.replay_most = 50;
    for (unsigned i = 0; i < 200; i++)
        rest_inject(&desk, "acme", "news", "a@d.test", 0);
    rest_pass(&desk, USEC_SEC);
    rest_order(&desk, "delete?tenant=acme&reason=x");
    for (unsigned i = 0; i < 10; i++)
        rest_inject(&desk, "acme", "news", "a@d.test", 0);
    rest_pass(&desk, USEC_SEC);
    park_memory_wipe(desk.table);
    desk.least = 4;
    rest_restart(&desk); /* the 200 are parked on the way, and end */
    for (unsigned i = 0; i < 1000; i++)
        rest_inject(&desk, "acme", "news", "a@d.test", 0);
    rest_pass(&desk, 25 * USEC_SEC); /* checkpoints: the next replay is short */
    uint64_t at_hand = node_figures(desk.node).ready;
    assert_int_equal(rest_parked(&desk) + at_hand, 1010);
    desk.least = 0;
    desk.without_view = true;
    rest_restart(&desk);
    rest_pass(&desk, USEC_SEC);
    assert_true(node_figures(desk.node).ready > at_hand);
    rest_close(&desk);
}

/* After a start all that is parked is looked at: of messages with many recipients not too many at once. */
static void test_the_look_at_all_is_bounded(void **state)
{
    (void)state;
    enum { WIDE = 120, WIDTH = 1000 };
    struct rest_desk desk;
    struct buffer to = {0};
    rest_open(&desk);
    for (unsigned i = 0; i < WIDTH; i++)
        buffer_printf(&to, "%sa@d%u.test", i == 0 ? "" : ",", i);
    for (unsigned i = 0; i < WIDE; i++) {
        rest_inject(&desk, "acme", "news", buffer_text(&to), 0);
        rest_pass(&desk, 200 * USEC_MS);
    }
    rest_pass(&desk, 30 * USEC_SEC);
    desk.most_deliveries = 0;
    rest_restart(&desk);
    rest_pass(&desk, 30 * USEC_SEC);
    if (desk.most_deliveries > (uint64_t)WIDE * WIDTH * 2 / 3)
        fail_msg("%llu deliveries in memory", (unsigned long long)desk.most_deliveries);
    assert_int_equal(rest_held(&desk), WIDE * WIDTH);
    buffer_free(&to);
    rest_close(&desk);
}

/* What has ended for some of a message's recipients is parked with it, and takes no memory. */
static void test_ended_ones_do_not_raise_the_bound(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    desk.replay_most = MOST;
    for (unsigned i = 0; i < 3000; i++)
        rest_inject(&desk, "acme", "news", "a@x.test,b@y.test", USEC_HOUR);
    rest_pass(&desk, 3 * USEC_SEC);
    rest_order(&desk, "delete?domain=x.test&reason=x");
    park_memory_wipe(desk.table);
    rest_restart(&desk);
    assert_in_range(desk.most_messages, 1, MOST / 2 + 1);
    rest_close(&desk);
}

/* Records of a newer program: one that may be passed over is, and counted; one that may not, and a base frame that
 * says it may, stop the owner. Version 2, kind 99, an id; and that it may be passed over. */
static void test_newer_records(void **state)
{
    (void)state;
    static const char bytes[] = "\x08\x02\x10\x63\x1a\x10"
                                "0123456789abcdef"
                                "\x40\x01";
    const size_t whole = sizeof bytes - 1;
    struct rest_desk desk;
    struct error error;
    rest_open(&desk);
    rest_inject(&desk, "acme", "news", "a@x.test,b@x.test", USEC_HOUR);
    rest_pass(&desk, USEC_SEC);
    struct rest_frame *frame = &desk.log[desk.newest++];
    buffer_add(&frame->record, bytes, whole);
    park_memory_wipe(desk.table);
    rest_restart(&desk);
    rest_pass(&desk, USEC_SEC);
    assert_int_equal(rest_held(&desk), 2);
    assert_int_equal(node_figures(desk.node).skipped, 1);
    rest_inject(&desk, "acme", "news", "c@x.test", USEC_HOUR); /* its frame comes behind that one */
    rest_pass(&desk, USEC_SEC);
    assert_int_equal(rest_held(&desk), 3);
    uint64_t seq = desk.newest + 1;
    assert_int_equal(node_replay(desk.node, seq, bytes, whole, true, &error), NODE_NEWER);
    assert_int_equal(node_replay(desk.node, seq, bytes, whole - 2, false, &error), NODE_NEWER);
    assert_non_null(strstr(error.text, "a newer Todoku wrote it"));
    assert_int_equal(node_replay(desk.node, seq, bytes, 3, false, &error), -1);
    assert_int_equal(node_figures(desk.node).skipped, 1);
    rest_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_stays_bounded),
        cmocka_unit_test(test_newer_records),
        cmocka_unit_test(test_what_has_ended_is_buried),
        cmocka_unit_test(test_the_log_goes_on_about_it),
        cmocka_unit_test(test_a_crash_on_the_way),
        cmocka_unit_test(test_dates_are_kept_without_a_view),
        cmocka_unit_test(test_ended_ones_do_not_raise_the_bound),
        cmocka_unit_test(test_a_backlog_that_was_empty_for_a_while_has_its_name),
        cmocka_unit_test(test_the_look_at_all_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
