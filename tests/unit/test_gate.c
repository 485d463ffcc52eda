/* What is on hold, outside its windows or beyond its release is not started, not even when it is nearly so; and
 * once it may, it is at once. */
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

static void many(const char *tenant, const char *campaign, unsigned from, unsigned count, unsigned domains)
{
    for (unsigned i = from; i < from + count; i++) {
        char domain[40];
        snprintf(domain, sizeof domain, "d%u.test", i % domains);
        desk_inject(&desk, tenant, campaign, domain, i);
    }
}

static void a_pause_stops_a_deep_queue_at_once(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.host = "one.test";
    desk.answer_after = 100 * USEC_MS;
    many("acme", "news", 0, 100000, 3000);
    many("zen", "", 100000, 3000, 20);
    desk_run(&desk, 5 * USEC_SEC);
    assert_in_range(desk.started, 500, 1100);
    desk_hold(&desk, MATCH(.tenant = "acme"), 0);
    uint64_t at_pause = desk.started, zen = 0;
    for (unsigned i = 0; i < 600; i++) { /* whoever starts is zen: the other tenant goes on */
        uint64_t before = desk.started;
        desk_run(&desk, 100 * USEC_MS);
        zen += desk.started - before;
        if (desk.started > before)
            assert_in_range(desk.started - before, 1, 20);
    }
    assert_true(at_pause + zen == desk.started && zen > 1500);
    desk_run(&desk, 20 * USEC_MIN); /* zen has ended, and is forgotten: nothing moves any more */
    at_pause = desk.started;
    unsigned steps = desk.steps;
    desk_run(&desk, USEC_HOUR);
    assert_int_equal(desk.started, at_pause);
    assert_true(desk.steps - steps < 100); /* and nobody looks again and again */
    desk_hold(&desk, NULL, 0);
    desk_run(&desk, 100 * USEC_MS);
    assert_true(desk.started > at_pause);
    desk.answer_after = 0;
    desk_run(&desk, USEC_HOUR);
    assert_int_equal(desk.delivered, 103000);
    desk_close(&desk);
}

/* Paused before anything was tried: not even DNS is asked. */
static void nothing_is_asked_for_what_is_shut(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk_hold(&desk, MATCH(.campaign = "news", .domain = "d3.test"), 0);
    many("acme", "news", 0, 50, 5);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.started, 40);
    many("acme", "other", 50, 50, 5); /* the same domain, another campaign */
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.started, 90);
    desk_hold(&desk, MATCH(.campaign = "news", .domain = "d4.test"), 0); /* another one instead */
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.started, 100);
    desk_close(&desk);
}

static void a_hold_ends_by_itself_to_the_moment(void **state)
{
    (void)state;
    desk_open(&desk, "");
    usec_t until = desk.now + 90 * USEC_SEC;
    desk_hold(&desk, MATCH(.pool = "main"), until);
    many("acme", "news", 0, 1000, 50);
    desk_run(&desk, 90 * USEC_SEC - 1);
    assert_int_equal(desk.started, 0);
    desk_run(&desk, 1);
    assert_true(desk.started > 0);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 1000);
    desk_close(&desk);
}

static void sources_and_providers(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk_hold(&desk, MATCH(.source = "10.0.0.1"), 0);
    many("acme", "news", 0, 400, 40);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.delivered, 400);
    assert_int_equal(desk.connects_from[0], 0);
    desk_hold(&desk, MATCH(.source = "10.0.0.2"), 0); /* all that zen has */
    uint64_t from_second = desk.connects_from[1];
    many("zen", "", 400, 100, 10);
    many("acme", "news", 500, 100, 10);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.delivered, 500);
    assert_int_equal(desk.connects_from[1], from_second);
    desk_hold(&desk, MATCH(.source = "10.0.0.2", .tenant = "acme"), 0);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 600);
    desk.host = "mx1.big.test";
    desk_hold(&desk, MATCH(.provider = "large"), 0); /* an alias */
    desk_inject(&desk, "acme", "news", "hosted.test", 600);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.delivered, 600);
    desk.host = NULL;
    desk_inject(&desk, "acme", "news", "elsewhere.test", 601);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.delivered, 601);
    desk_hold(&desk, MATCH(.provider = "big", .campaign = "other"), 0);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 602);
    desk_close(&desk);
}

/* An idle connection of a source that is on hold now is not used. */
static void an_open_connection_is_not_used_either(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk_inject(&desk, "zen", "", "a.test", 1);
    desk_settle(&desk);
    assert_int_equal(desk.delivered, 1);
    desk_hold(&desk, MATCH(.source = "10.0.0.2"), 0);
    desk_inject(&desk, "zen", "", "a.test", 2);
    desk_settle(&desk);
    assert_int_equal(desk.delivered, 1);
    desk_hold(&desk, NULL, 0);
    desk_settle(&desk);
    assert_int_equal(desk.delivered, 2);
    desk_close(&desk);
}

static void mail_waits_for_its_window(void **state)
{
    (void)state;
    desk_open(&desk, "schedules: [{ name: days, match: { campaign: news }, timezone: Asia/Tokyo, "
                     "windows: [Mon-Fri 08:00-20:00] }]\n");
    /* 2026-01-01 00:00 UTC is Thursday 09:00 in Tokyo: without ICU here, zones are UTC: Thursday 00:00. */
    many("acme", "news", 0, 5000, 2500);
    many("acme", "now", 5000, 10, 10);
    desk_run(&desk, 8 * USEC_HOUR - 1);
    assert_int_equal(desk.started, 10);
    unsigned steps = desk.steps;
    desk_run(&desk, 1);
    assert_true(desk.started > 10 && desk.last_start == desk.now);
    desk_run(&desk, USEC_SEC); /* all the rows are looked at within a second */
    assert_int_equal(desk.delivered, 5010);
    assert_true(steps < 600); /* what it took to take 5010 in, and not one for waiting */
    desk_run(&desk, 12 * USEC_HOUR - 2 * USEC_SEC);
    desk.answer_after = USEC_SEC;
    desk.host = "one.test";
    many("acme", "news", 6000, 1000, 10);
    desk_run(&desk, USEC_HOUR);
    assert_true(desk.last_start < 1767225600 * USEC_SEC + 20 * USEC_HOUR);
    assert_true(desk.delivered > 5010 && desk.delivered < 5200);
    desk_run(&desk, 3 * USEC_DAY); /* expired on Friday */
    assert_int_equal(desk.delivered + desk.expired, 6010);
    desk_close(&desk);
}

static void a_release_lets_so_many_start_in_each_interval(void **state)
{
    (void)state;
    desk_open(&desk,
        "schedules: [{ name: drops, match: { campaign: news }, release: { count: 10, every: 1m } }]\n");
    desk_run(&desk, 20 * USEC_SEC);
    many("acme", "news", 0, 35, 7);
    desk_inject_until(&desk, "acme", "news", "wide.test", 100, 0, desk.now + USEC_DAY, 25);
    many("acme", "now", 200, 10, 7);
    desk_settle(&desk);
    assert_int_equal(desk.started, 20); /* ten, and those that it is not about */
    for (unsigned minute = 1; minute <= 6; minute++) {
        usec_t begin = 1767225600 * USEC_SEC + minute * USEC_MIN;
        desk_run(&desk, begin - desk.now - 1);
        uint64_t before = desk.started;
        assert_int_equal(before, minute < 6 ? 10 + 10 * minute : 70);
        desk_run(&desk, 1);
        if (minute < 6) /* usable at once */
            assert_true(desk.started > before && desk.last_start == begin);
        desk_run(&desk, 58 * USEC_SEC);
        assert_int_equal(desk.started, minute < 5 ? before + 10 : 70);
    }
    assert_int_equal(desk.delivered, 70);
    desk_close(&desk);
}

/* Thousands of queues wait for a release that only a few of them can have. */
static void a_release_wakes_what_it_needs(void **state)
{
    (void)state;
    desk_open(&desk, "schedules: [{ name: drops, release: { count: 5, every: 1s } }]\n");
    many("acme", "news", 0, 20000, 20000);
    desk_settle(&desk);
    assert_int_equal(desk.started, 5);
    unsigned steps = desk.steps;
    for (unsigned i = 1; i <= 60; i++) {
        desk_run(&desk, USEC_SEC);
        assert_int_equal(desk.started, 5 + 5 * i);
    }
    assert_true(desk.steps - steps < 60 * 20);
    desk_close(&desk);
}

static void every_schedule_that_matches_counts(void **state)
{
    (void)state;
    desk_open(&desk, "schedules:\n"
                     "  - { name: nights, match: { tenant: acme }, windows: \"22:00-06:00\" }\n"
                     "  - { name: late, match: { campaign: news }, windows: \"02:00-09:00\" }\n"
                     "  - { name: drops, match: { domain: d1.test }, release: { count: 3, every: 1h } }\n");
    many("acme", "news", 0, 20, 2);
    desk_run(&desk, 2 * USEC_HOUR - 1);
    assert_int_equal(desk.started, 0);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.started, 13);
    desk_run(&desk, USEC_HOUR);
    assert_int_equal(desk.started, 16);
    desk_run(&desk, 3 * USEC_HOUR - 2 * USEC_MIN);
    assert_int_equal(desk.started, 20); /* 04:00 brought the last one */
    many("acme", "news", 20, 2, 1);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.started, 22);
    desk_run(&desk, USEC_HOUR);
    many("acme", "news", 22, 2, 1); /* open by the second only */
    desk_run(&desk, USEC_HOUR);
    assert_int_equal(desk.started, 22);
    desk_close(&desk);
}

static void other_settings_count_at_once(void **state)
{
    (void)state;
    static const char nights[] =
        "schedules: [{ name: s, match: { tenant: acme }, windows: \"22:00-06:00\" }]\n";
    static const char days[] =
        "schedules: [{ name: s, match: { tenant: acme }, windows: \"08:00-09:00\" }]\n";
    static const char drops[] = "schedules: [{ name: s, release: { count: 8, every: 1h } }]\n";
    static const char fewer[] = "schedules: [{ name: s, release: { count: 3, every: 1h } }]\n";
    static const char more[] = "schedules: [{ name: s, release: { count: 20, every: 1h } }]\n";
    desk_open(&desk, days);
    many("acme", "news", 0, 3000, 1000);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.started, 0);
    desk_configure(&desk, nights);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.started, 3000);
    desk_configure(&desk, drops);
    many("acme", "news", 3000, 100, 1000);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.started, 3008);
    desk_configure(&desk, fewer); /* what the interval has had is had */
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.started, 3008);
    desk_configure(&desk, more);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.started, 3020);
    desk_configure(&desk, "");
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.started, 3100);
    desk_close(&desk);
}

static void nodes_share_a_release(void **state)
{
    (void)state;
    desk_open(&desk, "schedules: [{ name: s, release: { count: 11, every: 1m } }]\n");
    desk_view(&desk, 2, 2); /* three nodes: 4, 4, 3; n1 is the first */
    many("acme", "news", 0, 100, 50);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.started, 4);
    desk_view(&desk, 3, 4); /* five: 3, 2, 2, 2, 2 */
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.started, 4 + 3);
    desk_view(&desk, 4, 0); /* alone: the rest of this minute's too */
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.started, 4 + 11);
    desk_close(&desk);
}

static void max_age_holds_while_shut(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk_hold(&desk, MATCH(.tenant = "acme"), 0);
    usec_t end = desk.now + 10 * USEC_MIN;
    for (unsigned i = 0; i < 100; i++)
        desk_inject_until(&desk, "acme", "news", "a.test", i, 0, end, 1);
    desk_run(&desk, 10 * USEC_MIN - 1);
    assert_int_equal(desk.expired, 0);
    desk_run(&desk, 1);
    assert_int_equal(desk.expired, 100);
    assert_int_equal(desk.delivered, 0);
    desk_hold(&desk, NULL, 0);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.delivered, 100); /* the reports about them, which were on hold as well */
    desk_close(&desk);
}

/* Its body was asked for when the pause came. */
static void a_pause_while_the_body_is_read(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk.defer = 1;
    desk.defer_data = true;
    desk_inject(&desk, "acme", "news", "a.test", 1);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.deferred, 1);
    desk.defer_data = false;
    desk.keep_bodies = true;
    desk_run(&desk, USEC_HOUR);
    assert_int_equal(list_empty(&desk.reading), false);
    desk_hold(&desk, MATCH(.domain = "a.test"), 0);
    desk_run(&desk, USEC_SEC);
    desk_read_bodies(&desk);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.started, 0);
    desk_hold(&desk, NULL, 0);
    desk_run(&desk, USEC_SEC);
    desk_read_bodies(&desk);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 1);
    desk_close(&desk);
}

static void a_pause_while_it_is_signed(void **state)
{
    (void)state;
    desk_open(&desk, "operator_dkim: [{ domain: op.test, selector: s, key_file: /nowhere }]\n");
    desk.keep_unsigned = true;
    desk_inject(&desk, "acme", "news", "a.test", 1);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(list_empty(&desk.signing), false);
    desk_hold(&desk, MATCH(.campaign = "news"), 0);
    desk_sign(&desk);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.started, 0);
    desk_hold(&desk, NULL, 0);
    desk_run(&desk, USEC_SEC);
    desk_sign(&desk);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 1);
    desk_close(&desk);
}

/* A release that ends while bodies are read: the batch has to wait for the next interval. */
static void a_release_counts_what_starts(void **state)
{
    (void)state;
    desk_open(&desk, "schedules: [{ name: s, release: { count: 3, every: 1h } }]\n");
    desk.keep_bodies = true;
    desk.defer = 3;
    desk.defer_data = true;
    many("acme", "news", 0, 3, 3);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.deferred, 3); /* and that was this hour's */
    desk.defer_data = false;
    many("acme", "news", 3, 3, 3);
    desk_run(&desk, USEC_HOUR - USEC_MIN);
    desk_read_bodies(&desk);
    desk_run(&desk, 30 * USEC_MIN);
    desk_read_bodies(&desk);
    desk_run(&desk, 29 * USEC_MIN);
    assert_int_equal(desk.started, 3);
    desk_run(&desk, 2 * USEC_MIN);
    desk_read_bodies(&desk);
    desk_run(&desk, USEC_MIN);
    desk_read_bodies(&desk);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.started, 6);
    desk_close(&desk);
}

static void not_before_its_time(void **state)
{
    (void)state;
    desk_open(&desk, "");
    usec_t when = desk.now + 3 * USEC_HOUR;
    desk_inject_until(&desk, "acme", "news", "a.test", 1, when, desk.now + USEC_DAY, 1);
    desk_run(&desk, 3 * USEC_HOUR - 1);
    assert_int_equal(desk.started, 0);
    desk_run(&desk, 1);
    assert_int_equal(desk.started, 1);
    desk_close(&desk);
}

static void expect(const char *ask, const char *text)
{
    desk_ask(&desk, ask);
    assert_int_equal(desk.answer_code, 200);
    if (strstr(desk.answer, text) == NULL)
        fail_msg("`%s` is not in %s", text, desk.answer);
}

static void the_listings_say_why(void **state)
{
    (void)state;
    static const char id[] = "message?id=01000000000000000000000000000000";
    desk_open(&desk,
        "schedules:\n"
        "  - { name: nights, match: { campaign: news }, windows: \"22:00-06:00\" }\n"
        "  - { name: drops, match: { tenant: acme, domain: b.test }, release: { count: 1, every: 1h } }\n");
    desk_run(&desk, 7 * USEC_HOUR);
    desk_inject(&desk, "acme", "news", "a.test", 1);
    desk_settle(&desk);
    expect("queues", "\"state\":\"scheduled\",\"opens\":\"2026-01-01T22:00:00.000Z\",\"schedule\":\"nights\","
                     "\"trouble\":\"schedule nights opens 2026-01-01T22:00:00.000Z\"");
    expect(id, "\"state\":\"scheduled\"");
    expect("explain?address=x@a.test&tenant=acme&campaign=news",
        "\"schedule\":\"nights\",\"opens\":\"2026-01-01T22:00:00.000Z\"");
    desk_ask(&desk, "explain?address=x@a.test&tenant=acme");
    assert_null(strstr(desk.answer, "schedule"));
    desk_hold(&desk, MATCH(.tenant = "acme"), desk.now + USEC_HOUR);
    expect("queues", "\"state\":\"paused\",\"opens\":\"2026-01-01T08:00:00.000Z\",\"hold\":\"1\","
                     "\"trouble\":\"paused until 2026-01-01T08:00:00.000Z\"");
    expect(id, "\"state\":\"paused\"");
    desk_hold(&desk, MATCH(.tenant = "acme"), 0);
    expect("queues", "\"state\":\"paused\",\"hold\":\"1\",\"trouble\":\"paused\"");
    desk_hold(&desk, NULL, 0);
    desk_inject(&desk, "acme", "", "b.test", 2);
    desk_inject(&desk, "acme", "", "b.test", 3);
    desk_run(&desk, USEC_SEC);
    expect("queues?domain=b.test", "\"schedule\":\"drops\"");
    expect("explain?address=x@b.test&tenant=acme", "\"opens\":\"2026-01-01T08:00:00.000Z\"");
    desk_inject_until(&desk, "acme", "", "c.test", 4, desk.now + USEC_HOUR, desk.now + USEC_DAY, 1);
    desk_run(&desk, USEC_SEC);
    expect("message?id=04000000000000000000000000000000", "\"due\":\"2026-01-01T08:00:01.000Z\"");
    desk_run(&desk, 20 * USEC_HOUR);
    desk_ask(&desk, "queues");
    assert_string_equal(desk.answer, "");
    assert_int_equal(desk.delivered, 4);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pause_stops_a_deep_queue_at_once),
        cmocka_unit_test(nothing_is_asked_for_what_is_shut),
        cmocka_unit_test(a_hold_ends_by_itself_to_the_moment),
        cmocka_unit_test(sources_and_providers),
        cmocka_unit_test(an_open_connection_is_not_used_either),
        cmocka_unit_test(mail_waits_for_its_window),
        cmocka_unit_test(a_release_lets_so_many_start_in_each_interval),
        cmocka_unit_test(a_release_wakes_what_it_needs),
        cmocka_unit_test(every_schedule_that_matches_counts),
        cmocka_unit_test(other_settings_count_at_once),
        cmocka_unit_test(nodes_share_a_release),
        cmocka_unit_test(max_age_holds_while_shut),
        cmocka_unit_test(a_pause_while_the_body_is_read),
        cmocka_unit_test(a_pause_while_it_is_signed),
        cmocka_unit_test(a_release_counts_what_starts),
        cmocka_unit_test(not_before_its_time),
        cmocka_unit_test(the_listings_say_why),
    };
    return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
