/* What waits is told by queue and by tenant, whether it lies in the table or in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/queue_key.h"
#include "tests/unit/node_help.h"
#include "tests/unit/rest_help.h"

/* Message n of so many goes to n % 10 + 1 of ten domains: d0 has the most. */
static void inject_stairs(struct rest_desk *desk, unsigned count, usec_t in)
{
    for (unsigned n = 0; n < count; n++) {
        char to[200] = "";
        for (unsigned i = 0; i <= n % 10; i++)
            snprintf(to + strlen(to), sizeof to - strlen(to), "%sa@d%u.test", i == 0 ? "" : ",", i);
        rest_inject(desk, n % 20 < 10 ? "acme" : "zen", "news", to, in);
    }
    rest_pass(desk, 3 * USEC_SEC);
}

static void test_what_is_at_rest_is_told(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    inject_stairs(&desk, 200, USEC_HOUR);
    assert_int_equal(rest_parked(&desk), 200);
    rest_ask(&desk, "queues");
    assert_int_equal(desk.code, 200);
    assert_int_equal(rest_rows_told(&desk), 20);
    assert_int_equal(rest_sum(&desk), 20 * 55);
    assert_int_equal(rest_queued(&desk, "\"domain\":\"d0.test\""), 100);
    assert_int_equal(rest_queued(&desk, "\"domain\":\"d9.test\""), 10);
    assert_int_equal(rest_queued(&desk, "\"state\":\"parked\""), 100);
    rest_ask(&desk, "tenants");
    assert_int_equal(rest_queued(&desk, "\"tenant\":\"acme\""), 10 * 55);
    assert_int_equal(rest_queued(&desk, "\"tenant\":\"zen\""), 10 * 55);
    rest_close(&desk);
}

static void test_the_deepest_come_first(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    inject_stairs(&desk, 200, USEC_HOUR);
    for (unsigned i = 0; i < 3; i++) /* in memory, in a queue that is at rest, too */
        rest_inject(&desk, "zen", "news", "a@d3.test", 0);
    for (unsigned i = 0; i < 95; i++)
        rest_inject(&desk, "zen", "other", "a@x.test", 0);
    rest_pass(&desk, 0);
    rest_ask(&desk, "queues?limit=5");
    assert_int_equal(rest_rows_told(&desk), 5);
    assert_int_equal(rest_sum(&desk), 100 + 100 + 95 + 90 + 90);
    rest_ask(&desk, "queues?limit=1");
    assert_non_null(strstr(buffer_text(&desk.answer), "d0.test"));
    rest_ask(&desk, "queues?domain=d3.test");
    assert_int_equal(rest_rows_told(&desk), 2);
    assert_int_equal(rest_sum(&desk), 70 + 73);
    rest_ask(&desk, "queues?limit=1&tenant=zen&domain=d3.test");
    assert_int_equal(rest_sum(&desk), 73);
    rest_close(&desk);
}

static void test_selectors(void **state)
{
    (void)state;
    static const struct {
        const char *question;
        uint64_t sum;
    } cases[] = {
        {"queues?tenant=acme", 550},
        {"queues?tenant=acme&tenant=zen",
            550}, /* the first counts: it is put before by who checked the key */
        {"queues?tenant=nobody", 0},
        {"queues?tenant=%zz", 0}, /* can't be read: shows nothing, not all */
        {"queues?campaign=news", 1100},
        {"queues?campaign=", 0},
        {"queues?pool=main&domain=d9.test", 20},
        {"queues?pool=side", 0},
        {"queues?provider=some", 1100}, /* whose a domain is, is not known */
        {"tenants?tenant=acme", 550},
    };
    struct rest_desk desk;
    rest_open(&desk);
    inject_stairs(&desk, 200, USEC_HOUR);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rest_ask(&desk, cases[i].question);
        if (rest_sum(&desk) != cases[i].sum)
            fail_msg("%s: %llu", cases[i].question, (unsigned long long)rest_sum(&desk));
    }
    rest_close(&desk);
}

static void test_a_hold_shows_at_rest(void **state)
{
    (void)state;
    struct rest_desk desk;
    struct error error;
    rest_open(&desk);
    inject_stairs(&desk, 200, USEC_HOUR);
    struct holds *holds = holds_new();
    struct hold hold = {.id = "7", .match = {.domain = "d1.test"}, .reason = "wrong link", .by = "ann"};
    assert_int_equal(holds_add(holds, &hold, &error), 0);
    node_set_holds(desk.node, holds, desk.now);
    holds_drop(&holds);
    rest_ask(&desk, "queues?domain=d1.test");
    assert_non_null(strstr(buffer_text(&desk.answer), "\"state\":\"paused\",\"hold\":\"7\","
                                                      "\"trouble\":\"paused: wrong link\""));
    rest_ask(&desk, "queues?domain=d2.test");
    assert_non_null(strstr(buffer_text(&desk.answer), "\"state\":\"parked\""));
    rest_close(&desk);
}

/* In each state of its life a message is counted once: new, parked, parked since an earlier start, woken, waiting
 * anew. */
static void test_counted_once(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    for (unsigned round = 0; round < 4; round++) {
        inject_stairs(&desk, 100, USEC_HOUR + (usec_t)round * 10 * USEC_MIN);
        inject_stairs(&desk, 20, 10 * USEC_SEC);
        for (unsigned i = 0; i < 8; i++) {
            rest_ask(&desk, "queues");
            if (rest_sum(&desk) != rest_held(&desk))
                fail_msg("round %u.%u: %llu told, %llu held", round, i, (unsigned long long)rest_sum(&desk),
                    (unsigned long long)rest_held(&desk));
            rest_pass(&desk, 2 * USEC_MIN);
        }
        rest_restart(&desk);
    }
    assert_int_equal(rest_held(&desk), 4 * 6 * 110);
    rest_close(&desk);
}

/* What has ended is counted no more, at the latest after the next checkpoints; no row is left over. */
static void test_what_has_ended_is_gone(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    inject_stairs(&desk, 200, USEC_HOUR);
    rest_order(&desk, "delete?tenant=acme&reason=x");
    rest_ask(&desk, "queues");
    assert_int_equal(rest_rows_told(&desk), 10);
    assert_int_equal(rest_sum(&desk), 550);
    rest_order(&desk, "delete?domain=d0.test&reason=x");
    rest_ask(&desk, "queues");
    assert_int_equal(rest_rows_told(&desk), 9);
    assert_int_equal(rest_sum(&desk), 450);
    rest_close(&desk);
}

static void test_a_table_that_fails_is_said(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    inject_stairs(&desk, 20, USEC_HOUR);
    park_memory_fail(desk.table, true);
    rest_ask(&desk, "queues");
    assert_int_equal(desk.code, 503);
    assert_true(buffer_len(&desk.answer) > 0);
    park_memory_fail(desk.table, false);
    rest_close(&desk);
}

/* n1 is drained by the view, of `nodes`. */
static void drain(struct rest_desk *desk, uint64_t epoch, unsigned nodes, void (*change)(struct view *view))
{
    struct view *view = node_help_view(epoch, 1, nodes);
    view->nodes[0].draining = true;
    if (change != NULL)
        change(view);
    node_set_view(desk->node, view, desk->now);
    view_drop(&view);
}

static void second_is_down(struct view *view)
{
    view->nodes[1].down = true;
}

static void expect_told(struct rest_desk *desk, const char *question, const char *text)
{
    rest_ask(desk, question);
    assert_int_equal(desk->code, 200);
    if (strstr(buffer_text(&desk->answer), text) == NULL)
        fail_msg("%s: not `%s` but %s", question, text, buffer_text(&desk->answer));
}

static void test_a_drain_says_what_stays(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    inject_stairs(&desk, 200, USEC_HOUR);
    expect_told(&desk, "drain", "\"draining\":false,\"queued\":1100,");
    assert_int_equal(rest_rows_told(&desk), 1);
    drain(&desk, 2, 1, NULL);
    rest_pass(&desk, 2 * USEC_SEC);
    expect_told(&desk, "drain",
        "\"draining\":true,\"queued\":1100,\"sending\":0,\"moving\":0,\"drain_per_second\":0}");
    expect_told(&desk, "drain",
        "{\"why\":\"1100 of pool main can't go elsewhere: no other node has a source of it; it is sent from "
        "here\"}");
    expect_told(&desk, "status", "\"drain_per_second\":0}");
    drain(&desk, 3, 2, second_is_down);
    expect_told(&desk, "drain", "1100 of pool main can't go elsewhere: n2 has a source of it, but is down;");
    rest_close(&desk);
}

/* Whether it is in the table or not; what nobody answers is told to be under way. */
static void test_what_is_at_rest_leaves(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    inject_stairs(&desk, 200, USEC_HOUR);
    assert_int_equal(rest_parked(&desk), 200);
    drain(&desk, 2, 2, NULL);
    rest_pass(&desk, 10 * USEC_SEC);
    assert_int_equal(rest_parked(&desk), 0);
    assert_int_equal(desk.leaving, 1100);
    expect_told(
        &desk, "drain", "{\"why\":\"1100 are on the way to other nodes, which have not answered yet\"}");
    node_set_silent(desk.node, "n2", true);
    expect_told(&desk, "drain", "{\"why\":\"n2 is not heard of");
    rest_close(&desk);
}

static void test_an_audit_is_an_event(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    rest_ask(&desk, "audit?node=n1&action=drain&member=n2&by=key%20ops");
    assert_int_equal(desk.code, 200);
    rest_ask(&desk, "audit?action=drain");
    assert_int_equal(desk.code, 400);
    rest_close(&desk);
}

static void test_a_key_that_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        bool good;
    } cases[] = {{"", 0, false}, {"\0a\0b\0c\0d\0", 9, true}, {"\2a\0b\0c\0d\0", 9, true},
        {"\3a\0b\0c\0d\0", 9, false}, {"\0a\0b\0c\0d", 8, false}, {"\0a\0b\0c\0", 7, false},
        {"\0a\0b\0c\0d\0e\0", 11, false}, {"\0\0\0\0\0", 5, true}, {"\0", 1, false}};
    struct queue_names names;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(queue_key_read(cases[i].bytes, cases[i].len, &names), cases[i].good);
    assert_true(queue_key_read("\1a\0b\0c\0d\0", 9, &names));
    assert_int_equal(names.class, MAIL_NORMAL);
    assert_string_equal(names.tenant, "a");
    assert_string_equal(names.domain, "d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_at_rest_is_told),
        cmocka_unit_test(test_the_deepest_come_first),
        cmocka_unit_test(test_selectors),
        cmocka_unit_test(test_a_hold_shows_at_rest),
        cmocka_unit_test(test_counted_once),
        cmocka_unit_test(test_what_has_ended_is_gone),
        cmocka_unit_test(test_a_table_that_fails_is_said),
        cmocka_unit_test(test_a_drain_says_what_stays),
        cmocka_unit_test(test_what_is_at_rest_leaves),
        cmocka_unit_test(test_an_audit_is_an_event),
        cmocka_unit_test(test_a_key_that_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
