/* What is ready beyond its window leaves memory, and comes back in time, in turn, and all of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "cluster/hold.h"
#include "fair_help.h"

static uint64_t parked(const struct desk *desk)
{
    return custody_parked_held(node_custody(desk->node));
}

static unsigned taken(const struct desk *desk, char letter)
{
    return desk->counts[(unsigned char)letter].taken;
}

/* 100 transactional messages behind 20,000 of a campaign, which lies in the table. */
static void test_urgent_mail_overtakes_what_is_parked(void **state)
{
    (void)state;
    struct desk *desk = open_desk(
        (struct world){.limits = "connections: 10, rate: 100/s", .rtt = 10 * USEC_MS, .table = true});
    inject_many(desk, 20000, (struct letter){'b', MAIL_BULK, "big", "c", 0, 50, 0});
    run(desk, 3 * USEC_SEC);
    assert_in_range(taken(desk, 'b'), 250, 301);
    assert_true(parked(desk) > 15000);
    reset(desk);
    usec_t start = desk->now;
    inject_many(desk, 100, (struct letter){'t', MAIL_TRANSACTIONAL, "shop", "", 0, 10, 0});
    run(desk, 3 * USEC_SEC);
    assert_int_equal(taken(desk, 't'), 100);
    assert_true(desk->counts['t'].last - start <= 2 * USEC_SEC);
    assert_true(desk->counts['t'].first - start <= 200 * USEC_MS);
    assert_true(taken(desk, 'b') > 100); /* and then bulk goes on */
    close_desk(desk);
}

/* All that was parked goes out in the end, at the pace of its lane, and then the table is empty. */
static void test_all_goes_out(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){
        .limits = "connections: 20, rate: none", .rtt = USEC_MS, .table = true, .room = 2000, .least = 50});
    inject_many(desk, 10000, (struct letter){'b', MAIL_BULK, "big", "c", 0, 50, 0});
    run_to(desk, 10000, USEC_HOUR);
    assert_int_equal(desk->taken, 10000);
    run(desk, USEC_MIN);
    assert_int_equal(custody_figures(node_custody(desk->node)).held, 0);
    assert_int_equal(parked(desk), 0);
    close_desk(desk);
}

/* A lane that never runs dry takes as long with mail in the table as with mail in memory. */
static void test_as_fast_as_from_memory(void **state)
{
    (void)state;
    usec_t took[2];
    for (int table = 0; table < 2; table++) {
        struct desk *desk = open_desk((struct world){
            .limits = "connections: 20, rate: none", .rtt = 5 * USEC_MS, .table = table == 1, .least = 64});
        inject_many(desk, 10000, (struct letter){'b', MAIL_BULK, "big", "c", 0, 1, 0});
        usec_t start = desk->now;
        run_to(desk, 10000, USEC_HOUR);
        assert_int_equal(desk->taken, 10000);
        took[table] = desk->now - start;
        close_desk(desk);
    }
    assert_true(took[1] <= took[0] + took[0] / 20);
}

/* Two tenants who both lie in the table share the lane half and half, however much each has. */
static void test_tenants_share(void **state)
{
    (void)state;
    struct desk *desk = open_desk(
        (struct world){.limits = "connections: 10, rate: 100/s", .rtt = 10 * USEC_MS, .table = true});
    inject_many(desk, 20000, (struct letter){'a', MAIL_BULK, "big", "c", 0, 50, 0});
    run(desk, 5 * USEC_SEC);
    inject_many(desk, 4000, (struct letter){'b', MAIL_BULK, "small", "c", 0, 50, 0});
    run(desk, 5 * USEC_SEC);
    assert_true(parked(desk) > 20000);
    reset(desk);
    run(desk, 40 * USEC_SEC);
    assert_in_range(taken(desk, 'a'), 1900, 2100);
    assert_in_range(taken(desk, 'b'), 1900, 2100);
    close_desk(desk);
}

/* The same when there is room for a few only. */
static void test_tenants_share_little_room(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){
        .limits = "connections: 10, rate: 100/s", .rtt = 10 * USEC_MS, .table = true, .room = 100});
    inject_many(desk, 20000, (struct letter){'a', MAIL_BULK, "big", "c", 0, 50, 0});
    run(desk, 5 * USEC_SEC);
    inject_many(desk, 4000, (struct letter){'b', MAIL_BULK, "small", "c", 0, 50, 0});
    run(desk, 5 * USEC_SEC);
    reset(desk);
    run(desk, 40 * USEC_SEC);
    assert_in_range(taken(desk, 'a'), 1800, 2200);
    assert_in_range(taken(desk, 'b'), 1800, 2200);
    close_desk(desk);
}

/* A lane that answers nothing has 10,000 in the table; the others go as if it were not there. */
static void test_a_stopped_lane_is_in_nobodys_way(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 10, rate: none",
        .rtt = USEC_MS,
        .table = true,
        .room = 1000,
        .least = 100,
        .silent_site = 7});
    inject_many(desk, 10000, (struct letter){'s', MAIL_BULK, "big", "c", 7, 20, 0});
    run(desk, 10 * USEC_SEC);
    assert_true(parked(desk) > 9000);
    inject_many(desk, 5000, (struct letter){'g', MAIL_BULK, "big", "c", 1, 20, 0});
    run(desk, 60 * USEC_SEC);
    assert_int_equal(taken(desk, 'g'), 5000);
    assert_int_equal(taken(desk, 's'), 0);
    assert_true(in_memory(desk) <= 1500);
    close_desk(desk);
}

/* Each kind of pause, with everything parked: the first goes in the second in which it is lifted, all before long. */
static void test_resume(void **state)
{
    (void)state;
    const struct hold_match matches[] = {{.tenant = "big"}, {.campaign = "c"}, {.domain = "d0-3.test"},
        {.provider = "prov"}, {.pool = "main"}};
    for (size_t i = 0; i < sizeof matches / sizeof matches[0]; i++) {
        struct desk *desk = open_desk((struct world){.limits = "connections: 20, rate: none",
            .rtt = USEC_MS,
            .table = true,
            .room = 1000,
            .least = 100});
        inject_many(desk, 1, (struct letter){'x', MAIL_BULK, "big", "c", 3, 1, 0});
        run(desk, USEC_SEC); /* the provider is known from here on */
        reset(desk);
        hold_one(desk, &matches[i]);
        inject_many(desk, 5000, (struct letter){'b', MAIL_BULK, "big", "c", 3, 1, 0});
        run(desk, 5 * USEC_SEC);
        assert_int_equal(taken(desk, 'b'), 0);
        assert_true(parked(desk) > 4000);
        usec_t start = desk->now;
        hold_one(desk, NULL);
        run_to(desk, 5000, USEC_HOUR);
        assert_int_equal(taken(desk, 'b'), 5000);
        assert_true(desk->counts['b'].first - start <= 100 * USEC_MS);
        assert_true(desk->counts['b'].last - start <= 20 * USEC_SEC);
        close_desk(desk);
    }
}

/* What is on hold in many places takes no room from what may go. */
static void test_what_is_on_hold_takes_no_room(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){
        .limits = "connections: 10, rate: none", .rtt = USEC_MS, .table = true, .room = 500, .least = 100});
    hold_one(desk, &(struct hold_match){.tenant = "big"});
    for (unsigned i = 0; i < 100; i++) {
        char campaign[8];
        snprintf(campaign, sizeof campaign, "c%u", i);
        inject_many(desk, 100, (struct letter){'h', MAIL_NORMAL, "big", campaign, 1 + i % 20, 20, 0});
        run(desk, 100 * USEC_MS);
    }
    inject_many(desk, 2000, (struct letter){'g', MAIL_NORMAL, "small", "", 1, 20, 0});
    run(desk, 60 * USEC_SEC);
    assert_int_equal(taken(desk, 'g'), 2000);
    assert_int_equal(taken(desk, 'h'), 0);
    hold_one(desk, NULL);
    run_to(desk, 12000, USEC_HOUR);
    assert_int_equal(taken(desk, 'h'), 10000);
    close_desk(desk);
}

/* A release opens a gate and shuts it, each second: what is behind it does not look fast for that. */
static void test_a_release_takes_little_room(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 20, rate: none",
        .rtt = USEC_MS,
        .table = true,
        .room = 2000,
        .least = 50,
        .more = "schedules: [{ name: drops, match: { tenant: t }, release: { count: 5, every: 1s } }]\n"});
    inject_many(desk, 8000, (struct letter){'s', MAIL_BULK, "t", "c", 1, 20, 0});
    run(desk, 20 * USEC_SEC);
    assert_in_range(taken(desk, 's'), 90, 110);
    assert_true(node_figures(desk->node).ready < 300);
    inject_many(desk, 2000, (struct letter){'o', MAIL_BULK, "other", "c", 1, 20, 0});
    run(desk, 10 * USEC_SEC);
    assert_int_equal(taken(desk, 'o'), 2000);
    close_desk(desk);
}

/* There are so many backlogs that sites share one: those that are down do not stand in the way of the others. */
static void test_sites_that_are_down_stop_nobody(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 20, rate: none",
        .rtt = USEC_MS,
        .table = true,
        .room = 400,
        .least = 50,
        .refuse_from = 100});
    for (unsigned i = 0; i < 170; i++) {
        inject_many(desk, 2, (struct letter){'d', MAIL_BULK, "dead", "c", 100 + i, 1, 0});
        run(desk, 10 * USEC_MS);
    }
    run(desk, 5 * USEC_SEC);
    for (unsigned i = 0; i < 10; i++)
        inject_many(desk, 20, (struct letter){'e', MAIL_BULK, "big", "c", 400 + i, 1, 0});
    run(desk, USEC_SEC);
    inject_many(desk, 500, (struct letter){'g', MAIL_BULK, "big", "c", 1, 20, 0});
    run(desk, 2 * USEC_MIN);
    assert_int_equal(taken(desk, 'g'), 500);
    assert_int_equal(taken(desk, 'e'), 0);
    desk->world.refuse_from = 0; /* and what waited for them goes when they are back */
    run(desk, 8 * USEC_HOUR);
    assert_int_equal(taken(desk, 'e'), 200);
    assert_int_equal(taken(desk, 'd'), 340);
    close_desk(desk);
}

/* P12: 12,000 for a stopped lane, then 12,000 to as many domains, some at a time: what is in memory stays bounded. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    enum { ROOM = 2000, EACH = 500 };
    struct desk *desk = open_desk((struct world){.limits = "connections: 10, rate: 50/s",
        .rtt = USEC_MS,
        .table = true,
        .room = ROOM,
        .least = 100,
        .silent_site = 7});
    for (unsigned i = 0; i < 12000 / EACH; i++) {
        inject_many(desk, EACH, (struct letter){'s', MAIL_NORMAL, "big", "c", 7, 1, 0});
        run(desk, 50 * USEC_MS);
    }
    for (unsigned i = 0; i < 12000 / EACH; i++) {
        inject_many(desk, EACH, (struct letter){'m', MAIL_BULK, "big", "c", 1 + i % 5, 50000, 0});
        run(desk, 50 * USEC_MS);
    }
    assert_true(desk->most_in_memory <= ROOM + ROOM / 2 + 2 * EACH);
    assert_true(parked(desk) > 20000);
    close_desk(desk);
}

/* What is at hand belongs to few messages: the others of many recipients rest. */
static void test_messages_to_many_are_at_hand_one_by_one(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 10, rate: 20/s",
        .rtt = USEC_MS,
        .table = true,
        .room = 1000,
        .least = 100,
        .crowd = 99});
    inject_many(desk, 60, (struct letter){'m', MAIL_BULK, "big", "c", 1, 1, 0});
    run(desk, 60 * USEC_SEC);
    const struct custody *custody = node_custody(desk->node);
    assert_true(taken(desk, 'm') > 1000);
    assert_true(custody_figures(custody).messages - custody_parked(custody) <= 20);
    close_desk(desk);
}

/* A message whose one recipient takes long and whose other is to come later rests when the first is done. */
static void test_what_is_partly_done_rests(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 40, rate: none",
        .rtt = USEC_MS,
        .taking = 3 * USEC_SEC,
        .table = true,
        .room = 1000,
        .least = 50,
        .also = 2});
    inject_many(desk, 200, (struct letter){'g', MAIL_NORMAL, "t", "c", 1, 20, 0});
    run(desk, USEC_MIN);
    assert_int_equal(node_figures(desk->node).delivered, 200);
    assert_int_equal(node_figures(desk->node).deferred, 200);
    assert_int_equal(parked(desk), 200);
    close_desk(desk);
}

/* Parked mail ends by its age, on time. */
static void test_parked_mail_expires(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){
        .limits = "connections: 1, rate: 1/m", .rtt = USEC_MS, .table = true, .room = 1000, .least = 20});
    inject_many(desk, 3000, (struct letter){'b', MAIL_BULK, "big", "c", 1, 20, 10 * USEC_MIN});
    run(desk, 5 * USEC_MIN);
    assert_true(parked(desk) > 2500);
    run(desk, 5 * USEC_MIN + USEC_SEC);
    assert_int_equal(custody_figures(node_custody(desk->node)).held, 0);
    close_desk(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urgent_mail_overtakes_what_is_parked),
        cmocka_unit_test(test_all_goes_out),
        cmocka_unit_test(test_as_fast_as_from_memory),
        cmocka_unit_test(test_tenants_share),
        cmocka_unit_test(test_tenants_share_little_room),
        cmocka_unit_test(test_a_stopped_lane_is_in_nobodys_way),
        cmocka_unit_test(test_resume),
        cmocka_unit_test(test_what_is_on_hold_takes_no_room),
        cmocka_unit_test(test_a_release_takes_little_room),
        cmocka_unit_test(test_sites_that_are_down_stop_nobody),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_messages_to_many_are_at_hand_one_by_one),
        cmocka_unit_test(test_what_is_partly_done_rests),
        cmocka_unit_test(test_parked_mail_expires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
