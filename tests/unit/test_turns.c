/* Who is next: shares by class, tenant and campaign; nobody waits for ever; nobody saves up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "node/turns.h"

#define T MAIL_TRANSACTIONAL
#define N MAIL_NORMAL
#define B MAIL_BULK

struct party {
    struct turn_flow flow;
    enum mail_priority class;
    uint64_t starts, spent;
};

struct desk {
    struct turns_book book;
    struct turns turns;
    struct turn_clock clock;
    uint64_t starts;
};

static int setup(void **state)
{
    struct desk *desk = xcalloc(1, sizeof *desk);
    turns_init(&desk->turns, &desk->book);
    *state = desk;
    return 0;
}

static int teardown(void **state)
{
    struct desk *desk = *state;
    turns_book_clear(&desk->book);
    free(desk);
    return 0;
}

static void join(struct desk *desk, struct party *party, enum mail_priority class, const char *tenant,
    const char *campaign)
{
    party->class = class;
    if (party->flow.cost == 0)
        party->flow.cost = 1;
    turns_join(&desk->turns, &party->flow, class, tenant, campaign);
}

static void leave_all(struct party *parties, size_t count)
{
    for (size_t i = 0; i < count; i++)
        turns_leave(&parties[i].flow);
}

static struct party *next(struct desk *desk)
{
    unsigned classes = 0;
    for (unsigned i = 0; i < TURN_CLASSES; i++)
        classes |= turns_has(&desk->turns, i) ? 1u << i : 0;
    if (classes == 0)
        return NULL;
    struct turn_flow *flow = turns_next(&desk->turns, turn_clock_next(&desk->clock, classes));
    return list_item(flow, struct party, flow);
}

static struct party *start(struct desk *desk)
{
    struct party *party = next(desk);
    if (party == NULL)
        return NULL;
    uint32_t cost = party->flow.cost;
    turn_clock_served(&desk->clock, party->class, cost);
    turns_served(&party->flow, cost);
    party->starts++;
    party->spent += cost;
    desk->starts++;
    return party;
}

static void test_classes_share_by_weight(void **state)
{
    struct desk *desk = *state;
    struct party parties[3] = {0};
    for (unsigned i = 0; i < 3; i++)
        join(desk, &parties[i], (enum mail_priority)i, "t", "c");
    for (unsigned i = 0; i < 2100; i++)
        start(desk);
    assert_in_range(parties[T].starts, 1600 - 32, 1600 + 32);
    assert_in_range(parties[N].starts, 400 - 8, 400 + 8);
    assert_in_range(parties[B].starts, 100 - 2, 100 + 2);
    turns_leave(&parties[T].flow); /* what it leaves the others take */
    for (unsigned i = 0; i < 500; i++)
        start(desk);
    assert_in_range(parties[N].starts, 800 - 16, 800 + 16);
    turns_leave(&parties[N].flow);
    for (unsigned i = 0; i < 100; i++)
        assert_ptr_equal(start(desk), &parties[B]);
    leave_all(parties, 3);
    assert_null(next(desk));
}

/* However long bulk had the lane for itself: the first transactional message is the next. */
static void test_the_urgent_one_is_next(void **state)
{
    struct desk *desk = *state;
    struct party bulk = {0}, urgent = {0};
    join(desk, &bulk, B, "t", "c");
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < 1 + 7 * round; i++)
            assert_ptr_equal(start(desk), &bulk);
        join(desk, &urgent, T, "u", "");
        assert_ptr_equal(start(desk), &urgent);
        turns_leave(&urgent.flow);
    }
    turns_leave(&bulk.flow);
}

/* A class that comes and goes with each message gets no more than one that stays. */
static void test_coming_and_going_wins_nothing(void **state)
{
    struct desk *desk = *state;
    struct party bulk = {0}, urgent = {0};
    join(desk, &bulk, B, "t", "c");
    for (unsigned i = 0; i < 1700; i++) {
        if (urgent.flow.campaign == NULL)
            join(desk, &urgent, T, "u", "");
        if (start(desk) == &urgent)
            turns_leave(&urgent.flow);
    }
    assert_in_range(bulk.starts, 98, 102);
    turns_leave(&urgent.flow);
    turns_leave(&bulk.flow);
}

/* Nobody waits longer than all others' visits, whatever their messages cost. */
static void test_nobody_waits_for_ever(void **state)
{
    struct desk *desk = *state;
    enum { TENANTS = 10, EACH = 3, COUNT = 3 * TENANTS * EACH };
    static struct party parties[COUNT];
    memset(parties, 0, sizeof parties);
    struct random random = {.state = 7};
    for (unsigned i = 0; i < COUNT; i++) {
        char tenant[16], campaign[16];
        snprintf(tenant, sizeof tenant, "t%u", i / 3 % TENANTS);
        snprintf(campaign, sizeof campaign, "c%u", i / 3 / TENANTS);
        parties[i].flow.cost = 1 + (uint32_t)random_below(&random, 4);
        join(desk, &parties[i], (enum mail_priority)(i % 3), tenant, campaign);
    }
    uint64_t longest[3] = {0}, last[COUNT] = {0};
    for (unsigned i = 0; i < 100000; i++) {
        struct party *party = start(desk);
        uint64_t waited = desk->starts - last[party - parties];
        last[party - parties] = desk->starts;
        if (waited > longest[party->class])
            longest[party->class] = waited;
        party->flow.cost = 1 + (uint32_t)random_below(&random, 4);
    }
    for (unsigned i = 0; i < COUNT; i++)
        assert_true(desk->starts - last[i] <= longest[parties[i].class] + 1);
    /* a round of a class: each flow at most its cost (4) in credits, a class its share of all starts' costs */
    uint64_t round = (uint64_t)TENANTS * EACH * 4;
    assert_true(longest[T] <= round * 21 / 16 + 25);
    assert_true(longest[N] <= round * 21 / 4 + 25);
    assert_true(longest[B] <= round * 21 + 25);
    leave_all(parties, COUNT);
}

/* Tenants spend alike, though one's messages are large; to within one message each, at any moment. */
static void test_exact_with_unequal_costs(void **state)
{
    struct desk *desk = *state;
    static const uint32_t costs[] = {1, 2, 7, TURN_COST_MAX};
    const int64_t most = 2 * (int64_t)TURN_COST_MAX;
    struct party parties[4] = {0};
    for (unsigned i = 0; i < 4; i++) {
        char tenant[2] = {(char)('a' + i), 0};
        parties[i].flow.cost = costs[i];
        join(desk, &parties[i], N, tenant, "");
    }
    for (unsigned i = 0; i < 20000; i++) {
        start(desk);
        for (unsigned j = 1; j < 4; j++) {
            int64_t apart = (int64_t)parties[j].spent - (int64_t)parties[0].spent;
            assert_true(apart <= most && apart >= -most);
        }
    }
    assert_in_range(parties[0].starts, 16 * parties[3].starts - 32, 16 * parties[3].starts + 32);
    leave_all(parties, 4);
}

/* One tenant with a thousand campaigns, one with one, one with one campaign to many domains. */
static void test_many_campaigns_are_one_tenant(void **state)
{
    struct desk *desk = *state;
    enum { MANY = 1000 };
    static struct party many[MANY], wide[MANY];
    memset(many, 0, sizeof many);
    memset(wide, 0, sizeof wide);
    struct party one = {0};
    for (unsigned i = 0; i < MANY; i++) {
        char campaign[16];
        snprintf(campaign, sizeof campaign, "c%u", i);
        join(desk, &many[i], B, "many", campaign);
        join(desk, &wide[i], B, "wide", "c");
    }
    join(desk, &one, B, "one", "c");
    for (unsigned i = 0; i < 30000; i++)
        start(desk);
    assert_in_range(one.starts, 9999, 10001);
    for (unsigned i = 0; i < MANY; i++) {
        assert_in_range(many[i].starts, 9, 11);
        assert_in_range(wide[i].starts, 9, 11);
    }
    leave_all(many, MANY);
    leave_all(wide, MANY);
    turns_leave(&one.flow);
}

/* Two campaigns of one tenant share by cost; their queues by messages. */
static void test_campaigns_share(void **state)
{
    struct desk *desk = *state;
    struct party big = {.flow.cost = 4}, small[2] = {0};
    join(desk, &big, B, "t", "big");
    join(desk, &small[0], B, "t", "small");
    join(desk, &small[1], B, "t", "small");
    for (unsigned i = 0; i < 5000; i++)
        start(desk);
    assert_in_range(big.starts, 999, 1001);
    assert_in_range(small[0].starts, 1999, 2001);
    assert_in_range(small[1].starts, 1999, 2001);
    turns_leave(&big.flow);
    leave_all(small, 2);
}

/* Who was away has no credit for that: he takes turns from now on. */
static void test_the_idle_save_nothing(void **state)
{
    struct desk *desk = *state;
    struct party busy = {0}, late = {0};
    join(desk, &busy, N, "busy", "");
    join(desk, &late, N, "late", "");
    for (unsigned i = 0; i < 10; i++)
        start(desk);
    turns_leave(&late.flow);
    for (unsigned i = 0; i < 1000; i++)
        assert_ptr_equal(start(desk), &busy);
    join(desk, &late, N, "late", "");
    uint64_t before = late.starts;
    for (unsigned i = 0; i < 100; i++)
        start(desk);
    assert_in_range(late.starts - before, 49, 51);
    turns_leave(&busy.flow);
    turns_leave(&late.flow);
}

/* Served because only for it there was a connection: it pays that back, but not without end. */
static void test_out_of_turn_is_paid_back(void **state)
{
    struct desk *desk = *state;
    struct party here = {0}, there = {0};
    join(desk, &here, N, "here", "");
    join(desk, &there, N, "there", "");
    for (unsigned i = 0; i < 10; i++)
        turns_served(&here.flow, 1);
    for (unsigned i = 0; i < 100; i++)
        start(desk);
    assert_in_range(there.starts, 54, 56);
    for (unsigned i = 0; i < 1000000; i++)
        turns_served(&here.flow, 16);
    there.starts = 0;
    for (unsigned i = 0; i < 1000; i++)
        start(desk);
    assert_in_range(there.starts, 500 + TURN_DEBT_MAX / 2 - 2, 500 + TURN_DEBT_MAX / 2 + 2);
    turns_leave(&here.flow);
    turns_leave(&there.flow);
}

/* Flows come and go at random: nobody in is ever forgotten, nobody out is named. */
static void test_joining_and_leaving(void **state)
{
    struct desk *desk = *state;
    enum { COUNT = 200 };
    static struct party parties[COUNT];
    memset(parties, 0, sizeof parties);
    struct random random = {.state = 3};
    for (unsigned step = 0; step < 200000; step++) {
        struct party *party = &parties[random_below(&random, COUNT)];
        size_t at = (size_t)(party - parties);
        char tenant[16], campaign[16];
        snprintf(tenant, sizeof tenant, "t%zu", at % 5);
        snprintf(campaign, sizeof campaign, "c%zu", at % 7);
        if (party->flow.campaign != NULL && random_below(&random, 2) == 0)
            turns_leave(&party->flow);
        else if (party->flow.campaign == NULL)
            join(desk, party, (enum mail_priority)(at % 3), tenant, campaign);
        struct party *served = start(desk);
        if (served != NULL)
            assert_non_null(served->flow.campaign);
        for (unsigned i = 0; served == NULL && i < COUNT; i++)
            assert_null(parties[i].flow.campaign);
    }
    while (next(desk) != NULL)
        turns_leave(&next(desk)->flow);
    for (unsigned i = 0; i < COUNT; i++)
        assert_null(parties[i].flow.campaign);
}

/* 100,000 queues: each once a round; those that have left are not named, and nothing is left behind. */
static void test_many_queues(void **state)
{
    struct desk *desk = *state;
    enum { COUNT = 100000 };
    struct party *parties = xcalloc(COUNT, sizeof *parties);
    for (unsigned i = 0; i < COUNT; i++) {
        char tenant[16], campaign[16];
        snprintf(tenant, sizeof tenant, "t%u", i % 100);
        snprintf(campaign, sizeof campaign, "c%u", i / 100 % 10);
        join(desk, &parties[i], B, tenant, campaign);
    }
    assert_int_equal(map_count(&desk->book.members), 100 + 1000);
    for (unsigned i = 0; i < COUNT; i++)
        start(desk);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(parties[i].starts, 1);
    for (unsigned i = 0; i < COUNT; i++)
        if (i % 1000 != 0) /* blocked: all but 100, of one campaign of one tenant */
            turns_leave(&parties[i].flow);
    assert_int_equal(map_count(&desk->book.members), 2);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal((start(desk) - parties) % 1000, 0);
    for (unsigned i = 0; i < COUNT; i += 1000)
        assert_int_equal(parties[i].starts, 1001);
    leave_all(parties, COUNT);
    free(parties);
}

/* Who lets others go first has no more turns than they for it later. */
static void test_passing_saves_nothing(void **state)
{
    struct desk *desk = *state;
    struct party passing = {0}, costly = {.flow.cost = 16}, other = {0};
    join(desk, &passing, N, "a", "");
    join(desk, &costly, N, "c", "");
    join(desk, &other, N, "b", "");
    for (unsigned i = 0; i < 5000; i++) {
        struct party *party = next(desk);
        if (party == &other)
            start(desk);
        else
            turns_pass(&party->flow);
    }
    assert_true(other.starts > 1000);
    passing.spent = other.spent = costly.spent = 0;
    for (unsigned i = 0; i < 300; i++)
        start(desk);
    assert_in_range(passing.spent, other.spent - 3, other.spent + 3);
    assert_in_range(costly.spent, other.spent - 20, other.spent + 20);
    leave_all(&passing, 1);
    leave_all(&costly, 1);
    leave_all(&other, 1);
}

static void test_costs(void **state)
{
    (void)state;
    assert_int_equal(turn_cost(0), 1);
    assert_int_equal(turn_cost(65535), 1);
    assert_int_equal(turn_cost(65536), 2);
    assert_int_equal(turn_cost(15 * 65536 - 1), 15);
    assert_int_equal(turn_cost(UINT64_MAX), TURN_COST_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_classes_share_by_weight, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_urgent_one_is_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_coming_and_going_wins_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_waits_for_ever, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exact_with_unequal_costs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_campaigns_are_one_tenant, setup, teardown),
        cmocka_unit_test_setup_teardown(test_campaigns_share, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_idle_save_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_out_of_turn_is_paid_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_joining_and_leaving, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_queues, setup, teardown),
        cmocka_unit_test_setup_teardown(test_passing_saves_nothing, setup, teardown),
        cmocka_unit_test(test_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
