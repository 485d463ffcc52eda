/* Nobody is left behind: whatever else is shut, held or ends, who may send is looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/desk_help.h"

#define MATCH(...) (&(struct hold_match){__VA_ARGS__})

static struct desk desk;
static const enum mail_priority bulk = MAIL_BULK, transactional = MAIL_TRANSACTIONAL;
static const char keyed[] = "From: a@keys.test\r\nSubject: x\r\n\r\nx\r\n";

static struct setting_provider *limits(const char *provider)
{
    for (size_t i = 0; i < desk.settings->provider_count; i++)
        if (strcmp(desk.settings->providers[i].name, provider) == 0)
            return &desk.settings->providers[i];
    fail_msg("no provider %s", provider);
    return NULL;
}

static void reload(void)
{
    node_set_settings(desk.node, desk.settings, desk.now);
}

static void many(const char *tenant, const char *domain, unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++)
        desk_inject(&desk, tenant, "c", domain, i);
}

/* The first site that wishes for a connection is paused meanwhile; the next one has only this chance. */
static void a_paused_wish_is_not_in_the_way(void **state)
{
    (void)state;
    desk_open(&desk, "");
    struct setting_provider *big = limits("big");
    big->connections = big->messages_per_connection = 1;
    reload();
    desk.answer_after = 10 * USEC_SEC;
    desk_inject(&desk, "zen", "c", "a.big.test", 1);
    desk_settle(&desk);
    desk_inject(&desk, "zen", "paused", "b.big.test", 2);
    desk_inject(&desk, "zen", "c", "d.big.test", 3);
    desk_settle(&desk);
    assert_int_equal(desk.started, 1);
    desk_hold(&desk, MATCH(.campaign = "paused"), 0);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.delivered, 2);
    desk_close(&desk);
}

/* A tenant whose mail is kept from one source has its turn at the other; here the others' goes on. */
static void a_source_held_for_one_tenant_serves_the_others(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.host = "one.test";
    limits("default")->rate = (struct rate){1, USEC_MIN};
    desk.settings->node.sources[1].pool_count = 1;
    reload();
    desk_hold(&desk, MATCH(.source = "10.0.0.1", .tenant = "acme"), 0);
    many("acme", "a.test", 0, 1000);
    desk_run(&desk, 10 * USEC_SEC);
    desk.class = &bulk;
    many("keyed", "b.test", 1000, 100);
    desk_run(&desk, 10 * USEC_MIN);
    assert_in_range(desk.connects_from[0], 1, 200);
    assert_in_range(desk.started, 19, 22);
    desk_close(&desk);
}

/* An idle connection of a source that is on hold costs next to nothing. */
static void a_held_source_is_not_asked_again_and_again(void **state)
{
    (void)state;
    desk_open(&desk, "");
    limits("default")->connections = 1;
    desk.settings->delivery.idle = 10 * USEC_MIN;
    reload();
    desk.host = "one.test";
    many("acme", "a.test", 0, 100);
    desk_settle(&desk);
    assert_int_equal(desk.delivered, 100);
    desk_hold(&desk, MATCH(.source = "10.0.0.1"), 0);
    desk.answer_after = USEC_MIN; /* the other one is busy */
    many("acme", "a.test", 100, 100);
    unsigned steps = desk.steps;
    desk_run(&desk, 59 * USEC_SEC);
    assert_true(desk.steps - steps < 200);
    desk_hold(&desk, NULL, 0); /* and yet it goes on at once */
    uint64_t started = desk.started;
    desk_settle(&desk);
    assert_int_equal(desk.started, started + 1);
    desk_close(&desk);
}

static void max_age_holds_for_what_is_at_hand(void **state)
{
    (void)state;
    desk_open(&desk, "");
    limits("default")->connections = 2;
    limits("default")->rate = (struct rate){6, USEC_HOUR};
    reload();
    desk_run(&desk, 9 * USEC_MIN);
    desk.message = keyed;
    desk.host = "one.test";
    desk.settings->node.sources[1].pool_count = 0;
    reload();
    desk.keep_unsigned = true;
    desk_inject_until(&desk, "keyed", "c", "a.test", 1, 0, desk.now + USEC_HOUR, 1);
    desk.class = &bulk;
    for (unsigned i = 2; i < 12; i++)
        desk_inject_until(&desk, "keyed", "c", "a.test", i, 0, desk.now + 5 * USEC_MIN, 1);
    desk_run(&desk, 2 * USEC_MIN);
    assert_int_equal(desk.jobs, 2); /* one of each class: the lane starts one, the other one waits for it */
    desk.keep_unsigned = false;
    desk_run(&desk, 3 * USEC_MIN - 1);
    assert_int_equal(desk.started, 1);
    assert_int_equal(desk.expired, 0);
    desk_run(&desk, 1);
    assert_int_equal(desk.expired, 10);
    desk_run(&desk, USEC_HOUR);
    assert_int_equal(desk.started, 1);
    desk_close(&desk);
}

/* An urgent message is signed, a bulk one waits for the pace, and a third is under way. More urgent mail can't be given
 * yet, so nobody gives anything back for it; and when all is paused, every connection ends in its time. */
static void a_connection_that_held_a_message_ends(void **state)
{
    (void)state;
    desk_open(&desk, "");
    limits("default")->connections = 3;
    limits("default")->rate = (struct rate){6, USEC_MIN};
    desk.settings->node.sources[1].pool_count = 0;
    desk.settings->delivery.idle = USEC_MIN;
    reload();
    desk.host = "one.test";
    desk.message = keyed;
    desk.class = &bulk;
    many("keyed", "a.test", 0, 20);
    desk_run(&desk, 35 * USEC_SEC);
    assert_int_equal(desk.started, 3);
    desk.keep_unsigned = true;
    desk.answer_after = 40 * USEC_SEC;
    desk.class = &transactional;
    many("keyed", "a.test", 20, 1);
    desk.class = NULL;
    many("keyed", "a.test", 21, 1);
    unsigned jobs = desk.jobs;
    desk_run(&desk, 10 * USEC_SEC);
    assert_int_equal(desk.jobs, jobs + 3);
    struct list *urgent = list_pop(&desk.signing);
    desk_sign(&desk);
    list_push_back(&desk.signing, urgent);
    desk_settle(&desk);
    assert_int_equal(desk.started, 4);
    desk.class = &transactional;
    many("keyed", "a.test", 22, 3);
    desk_run(&desk, 12 * USEC_SEC);
    desk_hold(&desk, MATCH(.pool = "main"), 0);
    desk_run(&desk, 3 * USEC_MIN);
    assert_int_equal(node_figures(desk.node).sessions, 0);
    desk_close(&desk);
}

static void nobody_is_idle_at_the_end(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.message = keyed;
    desk.keep_unsigned = desk.cannot_sign = true;
    many("keyed", "a.test", 0, 3);
    desk_run(&desk, USEC_SEC);
    assert_true(desk.jobs > 0);
    node_quiesce(desk.node, desk.now);
    desk.keep_unsigned = false;
    desk_settle(&desk);
    assert_true(node_idle(desk.node));
    desk_close(&desk);
}

/* What is paused is not bounced for what DNS says to somebody else. */
static void dns_does_not_end_what_is_paused(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk_hold(&desk, MATCH(.campaign = "paused"), 0);
    desk_inject(&desk, "acme", "paused", "a.test", 1);
    desk_settle(&desk);
    desk.no_domain = true;
    desk_inject(&desk, "acme", "c", "a.test", 2);
    desk_settle(&desk);
    assert_int_equal(desk.bounced, 2); /* with the report on it */
    desk.no_domain = false;
    desk_run(&desk, 2 * USEC_HOUR);
    desk_hold(&desk, NULL, 0);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 1);
    desk_close(&desk);
}

/* Who waited for a connection has nothing to send any more: nobody's ends for that. */
static void nobody_makes_way_for_what_is_deleted(void **state)
{
    (void)state;
    desk_open(&desk, "");
    limits("big")->connections = 1;
    desk.settings->delivery.idle = 10 * USEC_MIN;
    reload();
    desk.defer = 1;
    desk.defer_data = true;
    desk_inject(&desk, "zen", "c", "b.big.test", 2);
    desk_settle(&desk);
    assert_int_equal(desk.deferred, 1); /* its queue stays */
    desk.defer_data = false;
    desk.answer_after = 10 * USEC_SEC;
    desk_inject(&desk, "zen", "c", "a.big.test", 1);
    desk_settle(&desk);
    assert_int_equal(desk.started, 1);
    desk_inject(&desk, "zen", "c", "b.big.test", 3);
    desk_settle(&desk);
    desk_ask(&desk, "delete?id=03000000000000000000000000000000");
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.cancelled, 1);
    assert_int_equal(desk.delivered, 1);
    assert_int_equal(desk_connections(&desk), 1);
    desk_close(&desk);
}

/* No mail that comes meanwhile opens another connection to it. */
static void a_site_that_failed_is_left_alone(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.refuse = true;
    many("acme", "a.test", 0, 1);
    desk_settle(&desk);
    assert_int_equal(desk.deferred, 1);
    many("acme", "a.test", 1, 20);
    many("keyed", "a.test", 21, 20);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.connects_from[0] + desk.connects_from[1], 1);
    assert_int_equal(desk.deferred, 1);
    desk.refuse = false;
    desk_run(&desk, USEC_HOUR);
    assert_int_equal(desk.delivered, 41);
    desk_close(&desk);
}

/* DNS is asked for another domain while the first address is tried; there is no second one any more. */
static void an_address_that_has_gone_is_not_tried(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.host = "one.test";
    desk.addresses = 2;
    desk.keep_connecting = true;
    desk_inject(&desk, "zen", "c", "a.test", 1);
    desk_settle(&desk);
    desk.addresses = 1;
    desk_inject(&desk, "zen", "c", "b.test", 2);
    desk_settle(&desk);
    assert_int_equal(desk.connects_from[1], 1);
    desk.lines[0] = (struct desk_line){0};
    node_closed(desk.node, 1, "refused", desk.now);
    desk.keep_connecting = false;
    desk_settle(&desk);
    assert_int_equal(desk.connects_from[1], 2);
    assert_int_equal(desk.delivered, 2);
    desk_close(&desk);
}

/* The host takes one recipient at a time, and is slow to say so: the other one has grown too old. */
static void what_comes_back_too_late_expires(void **state)
{
    (void)state;
    static const char replies[] = "250 ok\r\n250 ok\r\n452 4.5.3 one at a time\r\n354 go\r\n";
    struct iovec segments[8];
    desk_open(&desk, "");
    desk.message = keyed;
    desk.keep_unsigned = true;
    desk_inject_until(&desk, "keyed", "c", "a.test", 1, 0, desk.now + USEC_MIN, 2);
    desk_settle(&desk);
    desk_sign(&desk);
    for (size_t count; (count = node_output(desk.node, 1, segments, 8)) > 0;) {
        size_t bytes = 0;
        for (size_t i = 0; i < count; i++)
            bytes += segments[i].iov_len;
        node_sent(desk.node, 1, bytes, desk.now);
    }
    desk.lines[0].output = false;
    desk.lines[0].in_data = desk.lines[0].first_line = true;
    desk_run(&desk, USEC_MIN + USEC_SEC);
    node_received(desk.node, 1, replies, strlen(replies), desk.now);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.expired, 1);
    assert_int_equal(desk.delivered, 2); /* the first one, and the report on the other */
    assert_int_equal(desk.started, 1);
    desk_close(&desk);
}

/* Both sources have a connection that is in the way of one urgent message: one of them is enough. */
static void one_source_makes_way(void **state)
{
    (void)state;
    desk_open(&desk, "");
    limits("big")->connections = 1;
    limits("big")->messages_per_connection = 0;
    desk.settings->delivery.idle = USEC_HOUR;
    reload();
    many("acme", "a.big.test", 0, 60);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 60);
    assert_int_equal(desk.connects_from[0] + desk.connects_from[1], 2);
    desk_hold(&desk, MATCH(.tenant = "acme"), 0);
    many("acme", "a.big.test", 100, 20);
    desk.class = &transactional;
    many("acme", "b.big.test", 200, 1);
    desk.class = NULL;
    desk_settle(&desk);
    desk_hold(&desk, NULL, 0);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 81);
    assert_int_equal(desk.connects_from[0] + desk.connects_from[1], 3);
    desk_close(&desk);
}

/* The process stood still while it was being signed: the signature comes before any tick. */
static void what_was_signed_too_late_expires(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.message = keyed;
    desk.keep_unsigned = true;
    desk_inject_until(&desk, "keyed", "c", "a.test", 1, 0, desk.now + USEC_MIN, 1);
    desk_settle(&desk);
    assert_int_equal(desk.jobs, 1);
    desk.now += USEC_MIN;
    desk_sign(&desk);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.expired, 1);
    assert_int_equal(desk.delivered, 1); /* the report */
    assert_int_equal(desk.started, 1);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_paused_wish_is_not_in_the_way),
        cmocka_unit_test(a_source_held_for_one_tenant_serves_the_others),
        cmocka_unit_test(a_held_source_is_not_asked_again_and_again),
        cmocka_unit_test(max_age_holds_for_what_is_at_hand),
        cmocka_unit_test(a_connection_that_held_a_message_ends),
        cmocka_unit_test(nobody_is_idle_at_the_end),
        cmocka_unit_test(dns_does_not_end_what_is_paused),
        cmocka_unit_test(nobody_makes_way_for_what_is_deleted),
        cmocka_unit_test(a_site_that_failed_is_left_alone),
        cmocka_unit_test(an_address_that_has_gone_is_not_tried),
        cmocka_unit_test(what_comes_back_too_late_expires),
        cmocka_unit_test(one_source_makes_way),
        cmocka_unit_test(what_was_signed_too_late_expires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
