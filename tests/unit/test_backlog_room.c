/* Who may be at hand: the classes' shares of the room, what is looked at in its order, what stands in nobody's way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "cluster/hold.h"
#include "fair_help.h"
#include "node/backlog.h"

static unsigned taken(const struct desk *desk, char letter)
{
    return desk->counts[(unsigned char)letter].taken;
}

/* So many of each of so many campaigns, all at once. */
static void campaigns(struct desk *desk, unsigned count, unsigned each, struct letter letter)
{
    for (unsigned i = 0; i < count; i++) {
        char campaign[16];
        snprintf(campaign, sizeof campaign, "%c%u", letter.first, i);
        letter.campaign = campaign;
        inject_many(desk, each, letter);
    }
    run(desk, 3 * USEC_MS);
}

static uint64_t ready(const struct desk *desk)
{
    return node_figures(desk->node).ready;
}

/* Within one moment, before anything is given back. */
static void test_each_class_has_its_share_of_the_room(void **state)
{
    (void)state;
    static const struct letter bulk = {'b', MAIL_BULK, "big", "", 1, 1, 0},
                               normal = {'n', MAIL_NORMAL, "mid", "", 1, 1, 0},
                               urgent = {'t', MAIL_TRANSACTIONAL, "shop", "", 1, 1, 0};
    struct world world = {
        .limits = "connections: 1, rate: 1/m", .asking = USEC_DAY, .table = true, .room = 1000, .least = 100};
    struct desk *desk = open_desk(world);
    campaigns(desk, 30, 100, bulk);
    assert_int_equal(ready(desk), 600);
    campaigns(desk, 30, 100, normal);
    assert_int_equal(ready(desk), 800);
    campaigns(desk, 30, 100, urgent);
    assert_int_equal(ready(desk), 1000);
    close_desk(desk);
    desk = open_desk(world); /* and when the others have taken all of it, a sixteenth */
    campaigns(desk, 30, 100, urgent);
    campaigns(desk, 30, 100, bulk);
    assert_int_equal(ready(desk), 1000 + 1000 / 16 + 1);
    close_desk(desk);
}

/* New mail goes behind what waits in memory, though there is room at hand by then. */
static void test_what_waits_in_memory_comes_first(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 1, rate: none",
        .rtt = 5 * USEC_MS,
        .table = true,
        .room = 1000,
        .least = 10});
    inject_many(desk, 100, (struct letter){'a', MAIL_BULK, "big", "c", 1, 1, 0});
    for (unsigned i = 0; i < 50; i++) {
        run(desk, 10 * USEC_MS);
        inject_many(desk, 1, (struct letter){'b', MAIL_BULK, "big", "c", 1, 1, 0});
    }
    run_to(desk, 150, USEC_HOUR);
    assert_int_equal(desk->ordered, 150);
    for (size_t i = 0; i < 150; i++)
        assert_int_equal(desk->order[i], i < 100 ? 'a' : 'b');
    close_desk(desk);
}

/* So many campaigns that they share one backlog: what is on hold has another one. */
static void test_what_is_on_hold_shares_nothing_with_the_rest(void **state)
{
    (void)state;
    enum { ROOM = 2000, SHARED_FROM = ROOM / 4 + 64 };
    struct desk *desk = open_desk((struct world){
        .limits = "connections: 10, rate: none", .rtt = USEC_MS, .table = true, .room = ROOM, .least = 20});
    hold_one(desk, &(struct hold_match){.domain = "d0-3.test"});
    campaigns(desk, SHARED_FROM + 200, 4, (struct letter){'h', MAIL_BULK, "big", "", 3, 1, 0});
    run(desk, 3 * USEC_SEC);
    assert_in_range(map_count(&desk->node->backlogs.by_key), 0, SHARED_FROM + 4);
    campaigns(desk, 20, 50, (struct letter){'g', MAIL_BULK, "big", "", 1, 1, 0});
    run(desk, 20 * USEC_SEC);
    assert_int_equal(taken(desk, 'g'), 1000);
    assert_in_range(map_count(&desk->node->backlogs.by_key), 0, SHARED_FROM + 4);
    hold_one(desk, NULL);
    run_to(desk, 1000 + 4 * (SHARED_FROM + 200), USEC_HOUR);
    assert_int_equal(taken(desk, 'h'), 4 * (SHARED_FROM + 200));
    close_desk(desk);
}

/* A gate that opens and shuts before anything is known of the place lets nothing start. */
static void test_a_gate_makes_nothing_look_fast(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 10, rate: none",
        .rtt = USEC_MS,
        .table = true,
        .room = 2000,
        .least = 50,
        .asking = USEC_DAY});
    inject_many(desk, 5000, (struct letter){'b', MAIL_BULK, "big", "c", 1, 1, 0});
    run(desk, 3 * USEC_SEC);
    for (unsigned i = 0; i < 20; i++) {
        hold_one(desk, &(struct hold_match){.tenant = "big"});
        run(desk, 100 * USEC_MS);
        hold_one(desk, NULL);
        run(desk, 100 * USEC_MS);
    }
    assert_in_range(ready(desk), 1, 100);
    close_desk(desk);
}

/* Each message is for another domain, and DNS takes its time: as they are answered more are asked. */
static void test_names_are_asked_faster_and_faster(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 40, rate: none",
        .rtt = USEC_MS,
        .table = true,
        .room = 20000,
        .least = 32,
        .asking = 200 * USEC_MS});
    inject_many(desk, 5000, (struct letter){'b', MAIL_BULK, "big", "c", 1, 100000, 0});
    usec_t start = desk->now;
    run_to(desk, 5000, USEC_HOUR);
    assert_int_equal(taken(desk, 'b'), 5000);
    assert_true(desk->now - start < 10 * USEC_SEC);
    close_desk(desk);
}

/* A site that was down for a moment has a backlog of its own: its mail stays at hand, and goes as soon as it may. */
static void test_a_site_that_shares_nothing_is_tried_in_time(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 10, rate: none",
        .rtt = USEC_MS,
        .table = true,
        .room = 1000,
        .least = 50,
        .refuse_from = 5,
        .delivery = ", retry: [10s]"});
    inject_many(desk, 40, (struct letter){'a', MAIL_NORMAL, "t", "c", 5, 1, 0});
    run(desk, 5 * USEC_SEC);
    desk->world.refuse_from = 0;
    run(desk, 15 * USEC_SEC);
    assert_int_equal(taken(desk, 'a'), 40);
    close_desk(desk);
}

/* What is parked later always stands behind what was read: also what is parked in the same moment, or when the clock
 * has gone back. */
static void test_orders_rise(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 1, rate: 1/m", .table = true});
    inject_many(desk, 1, (struct letter){'a', MAIL_NORMAL, "t", "c", 1, 1, 0});
    run(desk, 100 * USEC_MS);
    struct map_entry *at = NULL;
    struct backlog *backlog = map_next(&desk->node->backlogs.by_key, &at);
    assert_non_null(backlog);
    uint64_t last = backlog->mark.order = (uint64_t)desk->now + 1000;
    for (int i = 0; i < 3; i++) {
        uint64_t order = backlog_row_place(desk->node, backlog, desk->now - i).order;
        assert_true(order > last);
        last = order;
    }
    close_desk(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_class_has_its_share_of_the_room),
        cmocka_unit_test(test_what_waits_in_memory_comes_first),
        cmocka_unit_test(test_what_is_on_hold_shares_nothing_with_the_rest),
        cmocka_unit_test(test_a_gate_makes_nothing_look_fast),
        cmocka_unit_test(test_names_are_asked_faster_and_faster),
        cmocka_unit_test(test_a_site_that_shares_nothing_is_tried_in_time),
        cmocka_unit_test(test_orders_rise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
