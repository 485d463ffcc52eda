/* Who is served first, and how much: a whole node on virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "cluster/hold.h"
#include "fair_help.h"

/* How many of the letter are among those taken before the `nth` of another letter. */
static unsigned before(const struct desk *desk, char letter, char other, unsigned nth)
{
    unsigned count = 0;
    for (size_t i = 0; i < desk->ordered && nth > 0; i++) {
        count += desk->order[i] == letter;
        nth -= desk->order[i] == other;
    }
    assert_int_equal(nth, 0);
    return count;
}

/* ---- tests ---- */

/* 100 transactional messages behind 100,000 of a campaign, at 100 a second: out within their own second, but for
 * the one in seventeen that bulk keeps. */
static void overtakes(struct world world)
{
    struct desk *desk = open_desk(world);
    inject_many(desk, 100000, (struct letter){'b', MAIL_BULK, "big", "c", 0, 50, 0});
    run(desk, 3 * USEC_SEC);
    assert_in_range(desk->counts['b'].taken, 250, 301);
    reset(desk);
    usec_t start = desk->now;
    inject_many(desk, 100, (struct letter){'t', MAIL_TRANSACTIONAL, "shop", "", 0, 10, 0});
    run(desk, 3 * USEC_SEC);
    assert_int_equal(desk->counts['t'].taken, 100);
    assert_true(desk->counts['t'].last - start <= 2 * USEC_SEC);
    assert_true(desk->counts['t'].first - start <= 200 * USEC_MS);
    assert_true(before(desk, 'b', 't', 1) <= 2); /* what had started, and what did while it was read */
    assert_true(before(desk, 'b', 't', 100) <= 20);
    assert_true(desk->counts['b'].taken > 100); /* and then bulk goes on at once */
    close_desk(desk);
}

static void test_urgent_mail_overtakes(void **state)
{
    (void)state;
    overtakes((struct world){.limits = "connections: 10, rate: 100/s", .rtt = 10 * USEC_MS});
}

/* The campaign's bodies are on the disk: what was read ahead does not count for more than its share. */
static void test_urgent_mail_overtakes_what_is_read(void **state)
{
    (void)state;
    overtakes((struct world){.limits = "connections: 10, rate: 100/s",
        .on_disk = true,
        .rtt = 10 * USEC_MS,
        .reading = 5 * USEC_MS});
}

/* At whatever moment it comes: it waits for what has started and for what starts while it is read, no more. */
static void test_before_what_was_read_ahead(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 10, rate: 100/s",
        .on_disk = true,
        .rtt = 10 * USEC_MS,
        .reading = 5 * USEC_MS});
    inject_many(desk, 5000, (struct letter){'b', MAIL_BULK, "big", "c", 0, 50, 0});
    for (unsigned round = 0; round < 20; round++) {
        run(desk, (337 + 7 * (usec_t)round) * USEC_MS);
        reset(desk);
        inject_many(desk, 1, (struct letter){'t', MAIL_TRANSACTIONAL, "shop", "", 0, 1, 0});
        run(desk, 200 * USEC_MS);
        assert_true(before(desk, 'b', 't', 1) <= 3);
    }
    close_desk(desk);
}

/* A slow lane: the very next start, though the only connection holds a message that was read ahead. */
static void test_the_next_start_of_a_slow_lane(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 1, rate: 6/min",
        .on_disk = true,
        .rtt = 10 * USEC_MS,
        .reading = 5 * USEC_MS});
    inject_many(desk, 100, (struct letter){'b', MAIL_BULK, "big", "c", 0, 5, 0});
    run(desk, 35 * USEC_SEC);
    reset(desk);
    inject_many(desk, 1, (struct letter){'t', MAIL_TRANSACTIONAL, "shop", "", 0, 1, 0});
    run(desk, 11 * USEC_SEC);
    assert_int_equal(desk->order[0], 't');
    close_desk(desk);
}

/* All connections are held by another site of the provider, each for a second a message. */
static void test_another_site_makes_way(void **state)
{
    (void)state;
    struct desk *desk =
        open_desk((struct world){.limits = "connections: 3", .rtt = 10 * USEC_MS, .taking = USEC_SEC});
    inject_many(desk, 1000, (struct letter){'b', MAIL_BULK, "big", "c", 0, 5, 0});
    run(desk, 5 * USEC_SEC + 500 * USEC_MS);
    for (unsigned round = 1; round < 20; round++) {
        reset(desk);
        usec_t start = desk->now;
        inject_many(desk, 1, (struct letter){'t', MAIL_TRANSACTIONAL, "shop", "", round, 1, 0});
        run(desk, 3 * USEC_SEC + 130 * USEC_MS);
        assert_int_equal(desk->counts['t'].taken, 1);
        assert_true(desk->counts['t'].first - start <= USEC_SEC + 150 * USEC_MS);
        assert_true(desk->counts['b'].taken >= 4); /* the others were not held up */
        assert_true(desk->connects <= 3);
    }
    close_desk(desk);
}

/* One that has carried what it may is about to leave its place: that is enough for one wish. */
static void test_one_place_is_enough(void **state)
{
    (void)state;
    struct desk *desk =
        open_desk((struct world){.limits = "connections: 2, messages_per_connection: 3", .rtt = USEC_SEC});
    desk->settings->delivery.idle = USEC_HOUR;
    inject_many(desk, 5, (struct letter){'b', MAIL_BULK, "big", "c", 0, 1, 0});
    run_to(desk, 5, USEC_MIN);
    assert_int_equal(desk->connects, 2);
    run(desk, USEC_SEC + 500 * USEC_MS);
    inject_many(desk, 1, (struct letter){'t', MAIL_TRANSACTIONAL, "shop", "", 1, 1, 0});
    run(desk, 20 * USEC_SEC);
    assert_int_equal(desk->counts['t'].taken, 1);
    inject_many(desk, 1, (struct letter){'b', MAIL_BULK, "big", "c", 0, 1, 0});
    run(desk, 20 * USEC_SEC);
    assert_int_equal(desk->counts['b'].taken, 6);
    assert_int_equal(desk->connects, 3);
    close_desk(desk);
}

/* What has made way leaves while the limit goes down: there is no place for the other site, and it asks again. */
static void test_a_promise_that_cannot_be_kept(void **state)
{
    (void)state;
    for (usec_t after = 0; after <= USEC_SEC; after += 100 * USEC_MS) {
        struct desk *desk = open_desk((struct world){.limits = "connections: 2", .rtt = 200 * USEC_MS});
        inject_many(desk, 600, (struct letter){'b', MAIL_BULK, "big", "c", 0, 1, 0});
        run_to(desk, 60, USEC_MIN);
        inject_many(desk, 1, (struct letter){'o', MAIL_BULK, "other", "c", 1, 1, 0});
        run(desk, after);
        for (size_t i = 0; i < desk->settings->provider_count; i++)
            desk->settings->providers[i].connections = 1;
        node_set_settings(desk->node, desk->settings, desk->now);
        run(desk, 20 * USEC_SEC);
        assert_int_equal(desk->counts['o'].taken, 1);
        close_desk(desk);
    }
}

/* One connection has carried all it may and ends: the other site waits for that, and the second one stays. */
static void test_what_ends_anyway_is_enough(void **state)
{
    (void)state;
    struct desk *desk = open_desk(
        (struct world){.limits = "connections: 2, messages_per_connection: 14", .rtt = 200 * USEC_MS});
    inject_many(desk, 1, (struct letter){'b', MAIL_BULK, "big", "c", 0, 1, 0});
    run_to(desk, 1, USEC_MIN);
    run(desk, 260 * USEC_MS);
    inject_many(desk, 55, (struct letter){'b', MAIL_BULK, "big", "c", 0, 1, 0});
    run(desk, 11250 * USEC_MS);
    inject_many(desk, 1, (struct letter){'o', MAIL_BULK, "other", "c", 1, 1, 0});
    run(desk, 5 * USEC_MIN);
    assert_int_equal(desk->taken, 57);
    assert_int_equal(desk->connects, 5); /* four times fourteen, and the other site's */
    close_desk(desk);
}

static void test_tenants_share(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 10, rate: 100/s", .rtt = USEC_MS});
    inject_many(desk, 5000, (struct letter){'x', MAIL_BULK, "one", "c", 0, 100, 0});
    run(desk, USEC_SEC);
    reset(desk);
    for (unsigned i = 0; i < 1000; i++) { /* a thousand campaigns are one tenant still */
        char campaign[16];
        snprintf(campaign, sizeof campaign, "c%u", i);
        inject_many(desk, 5, (struct letter){'y', MAIL_BULK, "many", campaign, 0, 3, 0});
    }
    run(desk, 20 * USEC_SEC);
    assert_in_range(desk->counts['x'].taken, 960, 1040);
    assert_in_range(desk->counts['y'].taken, 960, 1040);
    close_desk(desk);
}

static void test_classes_share(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 10, rate: 100/s", .rtt = USEC_MS});
    inject_many(desk, 6000, (struct letter){'t', MAIL_TRANSACTIONAL, "a", "c", 0, 10, 0});
    inject_many(desk, 6000, (struct letter){'n', MAIL_NORMAL, "a", "c", 0, 10, 0});
    inject_many(desk, 6000, (struct letter){'b', MAIL_BULK, "b", "c", 0, 10, 0});
    run(desk, USEC_SEC);
    reset(desk);
    run(desk, 42 * USEC_SEC);
    assert_in_range(desk->taken, 4190, 4210);
    assert_in_range(desk->counts['t'].taken, 3200 - 64, 3200 + 64);
    assert_in_range(desk->counts['n'].taken, 800 - 16, 800 + 16);
    assert_in_range(desk->counts['b'].taken, 200 - 4, 200 + 4);
    close_desk(desk);
}

/* No rate, few connections, two sites: what each tenant gets is not decided by whose connections were first. */
static void test_connections_follow_the_turns(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 8", .rtt = 20 * USEC_MS});
    inject_many(desk, 20000, (struct letter){'x', MAIL_BULK, "one", "c", 0, 3, 0});
    run(desk, USEC_SEC);
    reset(desk);
    for (unsigned site = 1; site <= 6; site++)
        inject_many(desk, 3000, (struct letter){'y', MAIL_BULK, "two", "c", site, 2, 0});
    run(desk, 60 * USEC_SEC);
    double share = desk->counts['x'].taken / (double)desk->taken;
    assert_true(share > 0.4 && share < 0.6);
    assert_true(desk->connects * 10 < desk->taken); /* and connections are used again */
    close_desk(desk);
}

/* Endless urgent mail at one site, all connections its own: another site's bulk still gets its share. */
static void test_bulk_moves(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 4", .rtt = 20 * USEC_MS});
    inject_many(desk, 30000, (struct letter){'t', MAIL_TRANSACTIONAL, "one", "c", 0, 3, 0});
    run(desk, USEC_SEC);
    reset(desk);
    inject_many(desk, 5000, (struct letter){'b', MAIL_BULK, "two", "c", 1, 3, 0});
    run(desk, 60 * USEC_SEC);
    assert_true(desk->counts['b'].taken * 17 >= desk->taken * 9 / 10);
    assert_true(desk->counts['t'].taken * 2 >= desk->taken);
    close_desk(desk);
}

/* Many small sites, few connections: all are served, in turn. */
static void test_many_sites(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 3", .rtt = 5 * USEC_MS});
    for (unsigned site = 0; site < 200; site++)
        inject_many(desk, 1 + site % 7, (struct letter){'b', MAIL_BULK, "one", "c", site, 1, 0});
    run_to(desk, desk->messages, 100 * USEC_SEC);
    assert_int_equal(desk->taken, desk->messages);
    close_desk(desk);
}

/* What waits for its turn reaches its age, and says so, when it does. */
static void test_max_age_holds(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 2, rate: 10/s", .rtt = USEC_MS});
    inject_many(desk, 1000, (struct letter){'t', MAIL_TRANSACTIONAL, "one", "c", 0, 3, 0});
    inject_many(desk, 1000, (struct letter){'b', MAIL_BULK, "two", "c", 1, 3, 30 * USEC_SEC});
    run(desk, 29 * USEC_SEC);
    assert_int_equal(node_figures(desk->node).expired, 0);
    run(desk, 2 * USEC_SEC);
    struct node_figures figures = node_figures(desk->node);
    assert_int_equal(figures.expired + desk->counts['b'].taken, 1000);
    assert_in_range(desk->counts['b'].taken, 15, 19);
    close_desk(desk);
}

/* One tenant's 20,000 queues are paused: they leave the rings as their turns come, and nobody waits for that. */
static void test_paused_queues_hold_up_nobody(void **state)
{
    (void)state;
    struct desk *desk = open_desk((struct world){.limits = "connections: 10, rate: 100/s", .rtt = USEC_MS});
    inject_many(desk, 20000, (struct letter){'p', MAIL_TRANSACTIONAL, "paused", "c", 0, 20000, 0});
    inject_many(desk, 1000, (struct letter){'x', MAIL_TRANSACTIONAL, "other", "c", 0, 10, 0});
    inject_many(desk, 1000, (struct letter){'b', MAIL_BULK, "other", "c", 0, 10, 0});
    run(desk, 2 * USEC_SEC);
    struct holds *holds = holds_new();
    struct hold hold = {.id = "1", .match = {.tenant = "paused"}, .reason = "", .by = "me"};
    assert_int_equal(holds_add(holds, &hold, NULL), 0);
    node_set_holds(desk->node, holds, desk->now);
    holds_drop(&holds);
    reset(desk);
    run(desk, USEC_SEC);
    assert_true(desk->counts['p'].taken <= 2); /* on their way when the pause came */
    assert_true(desk->taken >= 99);
    holds = holds_new();
    node_set_holds(desk->node, holds, desk->now);
    holds_drop(&holds);
    run(desk, USEC_SEC);
    reset(desk);
    run(desk, 2 * USEC_SEC);
    assert_in_range(desk->counts['p'].taken, 90, 98);
    close_desk(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urgent_mail_overtakes),
        cmocka_unit_test(test_urgent_mail_overtakes_what_is_read),
        cmocka_unit_test(test_before_what_was_read_ahead),
        cmocka_unit_test(test_the_next_start_of_a_slow_lane),
        cmocka_unit_test(test_another_site_makes_way),
        cmocka_unit_test(test_one_place_is_enough),
        cmocka_unit_test(test_a_promise_that_cannot_be_kept),
        cmocka_unit_test(test_what_ends_anyway_is_enough),
        cmocka_unit_test(test_tenants_share),
        cmocka_unit_test(test_classes_share),
        cmocka_unit_test(test_connections_follow_the_turns),
        cmocka_unit_test(test_bulk_moves),
        cmocka_unit_test(test_many_sites),
        cmocka_unit_test(test_max_age_holds),
        cmocka_unit_test(test_paused_queues_hold_up_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
