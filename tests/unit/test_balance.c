/* A thousand nodes, a provider with 38 % of all mail, and the rest spread by Zipf over very many domains: what the
 * nodes then have to do is even, stays even whoever leaves or comes, and little moves for it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "cluster/balance.h"
#include "cluster/placement_inside.h"
#include "tests/unit/balance_world.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MANY 100
#define DOMAINS 10000
#define EACH 5 /* of many nodes, so many leave between two that are tried */
#else
#define MANY 1000
#define DOMAINS 40000
#define EACH 50
#endif
#define TOP 0.38
#define STEPS 10
#define MOST_MOVED 1.1 /* times 1/n */
#define MOST_LOAD 1.10

static const char *const pools[] = {"main"};

/* Nodes 0 .. count-1 but `but`. */
static struct view *make_view(unsigned count, unsigned but)
{
    struct view *view = view_new(1);
    for (unsigned i = 0; i < count; i++) {
        char id[32], spool[40];
        if (i == but)
            continue;
        snprintf(id, sizeof id, "n%u", i);
        snprintf(spool, sizeof spool, "n%u.0", i);
        view_add_source(view_add_node(view, id, spool, 1, 100), "192.0.2.1", "mta.test", pools, 1);
    }
    return view;
}

struct tally {
    unsigned tried, steps;
    double moved, load;
};

/* One more left or came: goes on until nothing changes. */
static void try_one(struct tally *tally, const struct world *before, struct world *after)
{
    unsigned steps = world_settle(after, STEPS);
    double moved = world_moved(before, after) * world_nodes(before), load = world_worst(after);
    assert_true(moved <= MOST_MOVED);
    assert_true(load <= MOST_LOAD);
    assert_true(steps < STEPS);
    tally->tried++;
    tally->steps = steps > tally->steps ? steps : tally->steps;
    tally->moved = moved > tally->moved ? moved : tally->moved;
    tally->load = load > tally->load ? load : tally->load;
}

/* Every `each`th node leaves, or comes, each time the same world. */
static void try_all(const struct world *world, unsigned each)
{
    struct tally leaves = {0}, joins = {0};
    for (unsigned i = 0; i < world->room; i += each) {
        struct world next;
        world_copy(&next, world);
        world_step(&next); /* it knows what they have */
        (world->here[i] ? world_leave : world_join)(&next, i);
        try_one(world->here[i] ? &leaves : &joins, world, &next);
        world_close(&next);
    }
    print_message("  %u leave: moved <= %.3f/n, max/mean <= %.3f, changes <= %u; %u join: %.3f/n, %.3f, %u\n",
        leaves.tried, leaves.moved, leaves.load, leaves.steps, joins.tried, joins.moved, joins.load,
        joins.steps);
    assert_true(leaves.tried > 0 && joins.tried > 0);
}

static void open_settled(struct world *world, unsigned nodes, unsigned domains, unsigned seed)
{
    world_open(world, nodes, domains, TOP, seed);
    double unsplit = world_worst(world);
    unsigned steps = world_settle(world, STEPS), by_message = 0;
    for (size_t i = 0; i < world->view->hot_count; i++)
        by_message += world->view->hot[i].parts == 0;
    print_message("%u nodes: max/mean %.1f as it comes; after %u changes %.3f, %zu domains split, %u of them "
                  "by message\n",
        nodes, unsplit, steps, world_worst(world), world->view->hot_count, by_message);
    assert_true(world_worst(world) <= MOST_LOAD);
    assert_true(steps <= 5);
}

static void test_thousand(void **state)
{
    (void)state;
    struct world world;
    open_settled(&world, MANY, DOMAINS, 1);
    try_all(&world, EACH);
    world_close(&world);
}

/* Each of them. */
static void test_few(void **state)
{
    (void)state;
    static const unsigned nodes[] = {3, 5, 10, 30};
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        struct world world;
        open_settled(&world, nodes[i], 2000, (unsigned)i + 1);
        try_all(&world, 1);
        world_close(&world);
    }
}

/* Each of them, when many have come and left before. */
static void test_after_many_changes(void **state)
{
    (void)state;
    struct world world;
    struct random random = {3};
    open_settled(&world, 30, 2000, 5);
    for (unsigned i = 0; i < 40; i++) {
        unsigned node = (unsigned)random_below(&random, world.room);
        if (!world.here[node] && world_nodes(&world) < 40)
            world_join(&world, node);
        else if (world.here[node] && world_nodes(&world) > 20)
            world_leave(&world, node);
        world_settle(&world, STEPS);
        world.now += BALANCE_LATELY;
        world_settle(&world, STEPS);
        assert_true(world_worst(&world) <= MOST_LOAD);
    }
    try_all(&world, 1);
    world_close(&world);
}

/* ---- what the world says is what placement says ---- */

static struct mail_id some_id(struct random *random)
{
    struct mail_id id;
    for (size_t i = 0; i < 2; i++) {
        uint64_t half = random_next(random);
        memcpy(id.bytes + 8 * i, &half, 8);
    }
    return id;
}

static void check_pieces(const struct world *world, struct placement *placement, struct random *random)
{
    for (unsigned i = 0; i < world->domain_count; i++) {
        const struct world_domain *domain = &world->domains[i];
        const struct view_hot *hot = view_hot(world->view, domain->name);
        struct mail_id id = some_id(random);
        uint32_t part = placement_what(hot, domain->name, strlen(domain->name), &id).part;
        char expected[16];
        if (domain->parts == 0)
            continue;
        snprintf(expected, sizeof expected, "n%u", domain->pieces[part == 0 ? 0 : part - 1].node[0]);
        assert_string_equal(placement_owner(placement, "main", NULL, domain->name, &id)->id, expected);
    }
}

static void test_world_is_right(void **state)
{
    (void)state;
    enum { DRAWS = 40000 };
    struct world before, after;
    struct random random = {7};
    struct placement *was = placement_new(), *is = placement_new();
    open_settled(&before, 12, 2000, 9);
    world_copy(&after, &before);
    world_step(&after);
    world_leave(&after, 4);
    world_settle(&after, STEPS);
    placement_set_view(was, before.view);
    placement_set_view(is, after.view);
    check_pieces(&before, was, &random);
    check_pieces(&after, is, &random);
    unsigned away = 0, first = 0;
    for (unsigned i = 0; i < DRAWS; i++) {
        struct mail_id id = some_id(&random);
        const char *from = placement_owner(was, "main", NULL, before.domains[0].name, &id)->id;
        away += strcmp(from, placement_owner(is, "main", NULL, before.domains[0].name, &id)->id) != 0;
        first += strcmp(from, "n0") == 0;
    }
    for (unsigned i = 1; i < before.domain_count; i++) /* the provider alone */
        before.domains[i].rate = 0;
    before.total = before.domains[0].rate;
    print_message("of the provider's mail n0 has %.4f, expected %.4f; moved %.4f, expected %.4f\n",
        (double)first / DRAWS, before.shares[0], (double)away / DRAWS, world_moved(&before, &after));
    assert_true(fabs((double)first / DRAWS - before.shares[0]) < 0.01);
    assert_true(fabs((double)away / DRAWS - world_moved(&before, &after)) < 0.01);
    placement_free(&was);
    placement_free(&is);
    world_close(&before);
    world_close(&after);
}

/* Figures that are a little wrong, each time otherwise, change nothing to speak of. */
static void test_wrong_figures(void **state)
{
    (void)state;
    struct world world, before;
    open_settled(&world, 100, 5000, 1);
    world_copy(&before, &world);
    unsigned changes = 0;
    world.noise = 0.01;
    for (unsigned i = 0; i < 20; i++)
        changes += world_step(&world);
    double away = world_moved(&before, &world);
    print_message("figures wrong by 1 %%: %u changes in 20 steps, max/mean %.3f, moved %.3f/n\n", changes,
        world_worst(&world), away * 100);
    assert_true(world_worst(&world) <= MOST_LOAD && changes <= 4 && away <= 0.25 / 100);
    world_close(&world);
    world_close(&before);
}

/* A domain whose mail has ended stays split for a while, then goes; nothing is done twice in a short time. */
static void test_cooling(void **state)
{
    (void)state;
    struct world world;
    open_settled(&world, 10, 5000, 1);
    const char *name = world.domains[0].name;
    assert_non_null(view_hot(world.view, name));
    world_end(&world, 0);
    usec_t since = world.now;
    while (view_hot(world.view, name) != NULL && world.now < since + 2 * BALANCE_COOL)
        world_step(&world);
    assert_in_range(world.now - since, BALANCE_COOL, BALANCE_COOL + 2 * BALANCE_PACE);
    world_settle(&world, STEPS);
    assert_true(world_worst(&world) <= MOST_LOAD);
    world_close(&world);
}

/* Three nodes; `n0` has nearly all, of one domain. */
static bool ask(double rate, double span, unsigned known, struct balance *balance, usec_t now)
{
    struct view *view = make_view(3, 3);
    struct balance_domain big = {"big.example", rate * 0.9};
    struct balance_report reports[] = {
        {"n0", rate, span, &big, 1}, {"n1", rate / 50, span, NULL, 0}, {"n2", rate / 50, span, NULL, 0}};
    bool changes = balance_step(balance, view, reports, known, now);
    struct balance_plan *plan = balance_take_plan(balance);
    assert_true(changes == (plan != NULL));
    if (plan != NULL) {
        balance_plan_apply(plan, view);
        assert_int_equal(view->hot_count, 1);
        assert_string_equal(view->hot[0].domain, "big.example");
        assert_int_equal(view->hot[0].parts, 0);
    }
    balance_plan_free(&plan);
    view_drop(&view);
    return changes;
}

static void test_when_nothing_is_done(void **state)
{
    (void)state;
    struct balance *balance = balance_new();
    assert_false(ask(100, 30, 3, balance, USEC_SEC));  /* counted for too short */
    assert_false(ask(100, 240, 2, balance, USEC_SEC)); /* one says nothing */
    assert_false(ask(0.5, 240, 3, balance, USEC_SEC)); /* too few to say anything */
    assert_true(ask(100, 240, 3, balance, USEC_SEC));
    assert_false(ask(100, 240, 3, balance, USEC_SEC + BALANCE_PACE - 1)); /* too soon */
    assert_true(ask(100, 240, 3, balance, USEC_SEC + BALANCE_PACE));
    balance_free(&balance);
}

/* Who may get no mail does not count, and who has other pools is not compared. */
static void test_groups(void **state)
{
    (void)state;
    static const char *const others[] = {"bulk"};
    struct view *view = make_view(4, 4);
    for (unsigned i = 4; i < 6; i++)
        view_add_source(view_add_node(view, i == 4 ? "b4" : "b5", i == 4 ? "b4.0" : "b5.0", 1, 100),
            "192.0.2.9", "mta.test", others, 1);
    view->nodes[3].down = true;
    struct balance_report reports[] = {{"n0", 100, 240, NULL, 0}, {"n1", 100, 240, NULL, 0},
        {"n2", 100, 240, NULL, 0}, {"n3", 0, 0, NULL, 0}, {"b4", 5, 240, NULL, 0}, {"b5", 5, 240, NULL, 0}};
    struct balance *balance = balance_new();
    double before;
    assert_false(balance_step(balance, view, reports, 6, USEC_SEC));
    assert_true(balance_worst(balance, &before) < 1.001 && before < 1.001);
    balance_free(&balance);
    view_drop(&view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thousand),
        cmocka_unit_test(test_few),
        cmocka_unit_test(test_after_many_changes),
        cmocka_unit_test(test_world_is_right),
        cmocka_unit_test(test_wrong_figures),
        cmocka_unit_test(test_cooling),
        cmocka_unit_test(test_when_nothing_is_done),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
