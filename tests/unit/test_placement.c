/* Everybody who holds the same view places alike; shares follow weights, and a change of one node moves
 * little else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "cluster/placement.h"

enum { NODES = 1000, DOMAINS = 200000, FEW_DOMAINS = 20000 };

static const char *const pools[] = {"main"};

static struct view_node *add(struct view *view, unsigned number, uint32_t weight, const char *pool)
{
    char id[32], spool[40];
    snprintf(id, sizeof id, "n%u", number);
    snprintf(spool, sizeof spool, "n%u.0", number);
    struct view_node *node = view_add_node(view, id, spool, 1, weight);
    view_add_source(node, "192.0.2.1", "mta.test", &pool, 1);
    return node;
}

/* Nodes 0 .. count-1 of weight 100, without number `but`. */
static struct view *nodes(unsigned count, unsigned but)
{
    struct view *view = view_new(1);
    for (unsigned i = 0; i < count; i++)
        if (i != but)
            add(view, i, 100, pools[0]);
    return view;
}

static unsigned owner_of(const struct view *view, unsigned domain)
{
    char name[40];
    snprintf(name, sizeof name, "d%u.example", domain);
    const struct view_node *owner = place_owner(view, "main", NULL, name, NULL);
    assert_non_null(owner);
    return (unsigned)strtoul(owner->id + 1, NULL, 10);
}

static void test_balance(void **state)
{
    (void)state;
    struct view *view = nodes(NODES, NODES);
    uint32_t *load = xcalloc(NODES, sizeof *load), most = 0, least = FEW_DOMAINS;
    for (unsigned i = 0; i < FEW_DOMAINS; i++)
        load[owner_of(view, i)]++;
    double squares = 0, mean = (double)FEW_DOMAINS / NODES;
    for (unsigned i = 0; i < NODES; i++) {
        most = load[i] > most ? load[i] : most;
        least = load[i] < least ? load[i] : least;
        squares += (load[i] - mean) * (load[i] - mean);
    }
    /* As chance would have it, no worse: sigma = sqrt(mean), 20 +- 4.5. */
    assert_true(squares / NODES < 1.2 * mean && squares / NODES > 0.8 * mean);
    assert_true(most < mean + 26 && least > 0);
    free(load);
    view_drop(&view);
}

static void test_leaving_moves_its_share_only(void **state)
{
    (void)state;
    struct view *all = nodes(100, 100), *less = nodes(100, 42);
    unsigned moved = 0;
    for (unsigned i = 0; i < FEW_DOMAINS; i++) {
        unsigned before = owner_of(all, i), after = owner_of(less, i);
        if (before == 42)
            moved++;
        else
            assert_int_equal(after, before); /* so joining takes from all, and gives nothing else away */
        assert_int_not_equal(after, 42);
    }
    assert_in_range(moved, FEW_DOMAINS / 100 * 7 / 10, FEW_DOMAINS / 100 * 13 / 10);
    view_drop(&all);
    view_drop(&less);
}

static void test_heavier_only_gains(void **state)
{
    (void)state;
    struct view *before = nodes(20, 20), *after = nodes(20, 20);
    after->nodes[3].weight = 200;
    unsigned gained = 0;
    for (unsigned i = 0; i < FEW_DOMAINS; i++) {
        unsigned was = owner_of(before, i), is = owner_of(after, i);
        assert_true(is == was || is == 3);
        gained += is != was;
    }
    /* From 1/20 to 2/21 of all. */
    unsigned want = FEW_DOMAINS * 2 / 21 - FEW_DOMAINS / 20;
    assert_in_range(gained, want * 85 / 100, want * 115 / 100);
    view_drop(&before);
    view_drop(&after);
}

static void test_weights(void **state)
{
    (void)state;
    static const uint32_t weights[] = {1, 10, 100, 1000};
    unsigned load[4] = {0};
    struct view *view = view_new(1);
    for (unsigned i = 0; i < 4; i++)
        add(view, i, weights[i], pools[0]);
    for (unsigned i = 0; i < DOMAINS; i++)
        load[owner_of(view, i)]++;
    for (unsigned i = 1; i < 4; i++) {
        unsigned want = (unsigned)((uint64_t)DOMAINS * weights[i] / 1111);
        assert_in_range(load[i], want * 94 / 100, want * 106 / 100);
    }
    assert_in_range(load[0], 120, 250); /* 180 expected */
    view_drop(&view);
}

static void test_who_is_no_candidate(void **state)
{
    (void)state;
    struct view *view = view_new(1);
    add(view, 0, 0, "main");
    add(view, 1, 100, "main")->draining = true;
    add(view, 2, 100, "other");
    assert_null(place_owner(view, "main", NULL, "d.test", NULL));
    assert_string_equal(place_owner(view, "other", NULL, "d.test", NULL)->id, "n2");
    add(view, 3, 1, "main");
    assert_string_equal(place_owner(view, "main", NULL, "d.test", NULL)->id, "n3");
    view_drop(&view);
}

/* Ranks are the owners as the best ones leave, in whatever order the view lists its nodes. */
static void test_ranks(void **state)
{
    (void)state;
    struct view *view = nodes(40, 40), *turned = view_new(1);
    for (unsigned i = 40; i-- > 0;)
        add(turned, i, 100, pools[0]);
    for (unsigned d = 0; d < 200; d++) {
        char name[40];
        const struct view_node *ranked[16], *other[16];
        snprintf(name, sizeof name, "d%u.example", d);
        assert_int_equal(place(view, "main", NULL, name, NULL, ranked, 16), 16);
        assert_int_equal(place(turned, "main", "google", name, NULL, other, 16), 16);
        for (int i = 0; i < 16; i++) {
            assert_string_equal(ranked[i]->id, other[i]->id);
            for (int j = 0; j < i; j++)
                assert_string_not_equal(ranked[i]->id, ranked[j]->id);
        }
        struct view_node *best = &view->nodes[ranked[0] - view->nodes];
        best->draining = true;
        assert_ptr_equal(place_owner(view, "main", NULL, name, NULL), ranked[1]);
        best->draining = false;
    }
    view_drop(&view);
    view_drop(&turned);
}

/* Pinned, since members of different builds must agree: a change here needs a plan for rolling upgrades. */
static void test_pinned(void **state)
{
    (void)state;
    struct view *view = nodes(10, 10);
    char owners[11] = "";
    for (unsigned i = 0; i < 10; i++)
        owners[i] = (char)('0' + owner_of(view, i));
    assert_string_equal(owners, "6064815198");
    view_drop(&view);
}

/* Weights, pools, nodes that get nothing, in an order of no meaning. */
static struct view *motley(unsigned count)
{
    static const uint32_t weights[] = {100, 1, 250, 100, 0, 40, 1000, 100, 4000000000u, 7};
    static const char *const names[] = {"main", "main", "bulk", "main", "main", "bulk", "other"};
    struct view *view = view_new(1);
    for (unsigned i = 0; i < count; i++) {
        struct view_node *node = add(view, i * 7919 % count, weights[i % 10], names[i % 7]);
        if (i % 3 == 0)
            view_add_source(node, "192.0.2.2", "mta.test", pools, 1);
        node->draining = i % 17 == 5;
        node->down = i % 13 == 4;
    }
    return view;
}

static uint64_t digest_of_ranks(const struct view *view, unsigned domains)
{
    static const char *const names[] = {"main", "bulk", "other", "none"};
    uint64_t digest = 1;
    for (unsigned i = 0; i < domains; i++) {
        char domain[40];
        const struct view_node *ranked[16];
        snprintf(domain, sizeof domain, "d%u.example", i);
        size_t count = place(view, names[i % 4], NULL, domain, NULL, ranked, 16);
        for (size_t j = 0; j < count; j++)
            digest = hash64(digest, ranked[j]->id, strlen(ranked[j]->id));
        digest = hash64(digest, &(unsigned char){(unsigned char)count}, 1);
    }
    return digest;
}

/* All ranks of many domains, pinned as above. */
static void test_pinned_ranks(void **state)
{
    (void)state;
    static const struct {
        unsigned nodes, domains;
        bool motley;
        uint64_t digest;
    } rows[] = {{1000, 2000, true, 0x86e80192bd0c3ffd}, {5, 400, true, 0xdb541153d5b0c7ea},
        {1000, 2000, false, 0x9896892d72ebf751}, {1, 8, false, 0xc7060e31c431c54b}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct view *view = rows[i].motley ? motley(rows[i].nodes) : nodes(rows[i].nodes, rows[i].nodes);
        uint64_t digest = digest_of_ranks(view, rows[i].domains);
        if (digest != rows[i].digest)
            print_error("row %zu: 0x%016llx\n", i, (unsigned long long)digest);
        assert_true(digest == rows[i].digest);
        view_drop(&view);
    }
}

/* With a memory it says what place() says: at first, again, and under the next view. */
static void test_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"main", "bulk", "other", "none"};
    struct placement *placement = placement_new();
    assert_null(placement_owner(placement, "main", NULL, "d.test", NULL));
    for (unsigned round = 0; round < 6; round++) {
        struct view *view = motley(round % 2 == 0 ? 100 : 99);
        view->epoch = round;
        placement_set_view(placement, view);
        for (unsigned i = 0; i < 3000; i++) {
            char domain[260];
            const struct view_node *ranked[16], *other[16];
            snprintf(domain, sizeof domain, "%0*u.example", (int)(i % 240), i % 1000);
            const char *pool = names[i % 4];
            size_t count = place(view, pool, NULL, domain, NULL, ranked, 16);
            assert_ptr_equal(
                placement_owner(placement, pool, NULL, domain, NULL), count == 0 ? NULL : ranked[0]);
            assert_int_equal(placement_rank(placement, pool, NULL, domain, NULL, other, 16), count);
            assert_memory_equal(ranked, other, count * sizeof ranked[0]);
        }
        view_drop(&view);
    }
    placement_free(&placement);
}

/* More pools and more domains than it remembers. */
static void test_memory_is_bounded(void **state)
{
    (void)state;
    struct placement *placement = placement_new();
    struct view *view = nodes(3, 3);
    placement_set_view(placement, view);
    for (unsigned i = 0; i < DOMAINS; i++) {
        char name[40];
        snprintf(name, sizeof name, "d%u.example", i);
        assert_ptr_equal(placement_owner(placement, "main", NULL, name, NULL),
            place_owner(view, "main", NULL, name, NULL));
        if (i < 10000)
            assert_null(placement_owner(placement, name, NULL, name, NULL));
    }
    view_drop(&view);
    placement_free(&placement);
}

static struct mail_id id_of(unsigned number)
{
    struct mail_id id = {{0}};
    memcpy(id.bytes, &number, sizeof number);
    return id;
}

/* What is split goes by the message: as shares say, or by parts that stay together; with a memory and without. */
static void test_split(void **state)
{
    (void)state;
    enum { MESSAGES = 60000, COUNT = 20 };
    struct view *view = nodes(COUNT, COUNT);
    unsigned by_message[COUNT] = {0}, by_part[COUNT] = {0}, part_owners = 0;
    view->nodes[3].share = 2 * VIEW_SHARE;
    view->nodes[4].share = VIEW_SHARE / 2;
    view_add_hot(view, "huge.test", 0);
    view_add_hot(view, "large.test", 4);
    struct placement *placement = placement_new();
    placement_set_view(placement, view);
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct mail_id id = id_of(i);
        const struct view_node *ranked[16], *owner = place_owner(view, "main", NULL, "huge.test", &id);
        assert_ptr_equal(placement_owner(placement, "main", NULL, "huge.test", &id), owner);
        by_message[owner - view->nodes]++;
        owner = place_owner(view, "main", NULL, "large.test", &id);
        assert_ptr_equal(placement_owner(placement, "main", NULL, "large.test", &id), owner);
        assert_int_equal(placement_rank(placement, "main", NULL, "large.test", &id, ranked, 16), 16);
        assert_ptr_equal(ranked[0], owner);
        by_part[owner - view->nodes]++;
        assert_ptr_equal(place_owner(view, "main", NULL, "small.test", &id),
            place_owner(view, "main", NULL, "small.test", NULL));
    }
    double unit = MESSAGES / (COUNT + 0.5);
    for (unsigned i = 0; i < COUNT; i++) {
        double want = unit * (i == 3 ? 2 : i == 4 ? 0.5 : 1);
        assert_true(by_message[i] > want * 0.93 && by_message[i] < want * 1.07);
        part_owners += by_part[i] > 0;
    }
    assert_in_range(part_owners, 2, 4);
    assert_true(placement_may_stay(placement, "main", "huge.test", "n5"));
    assert_false(placement_may_stay(placement, "main", "small.test", "n5"));
    assert_false(placement_may_stay(placement, "other", "huge.test", "n5"));
    view->nodes[5].draining = true;
    assert_false(placement_may_stay(placement, "main", "huge.test", "n5"));
    placement_free(&placement);
    view_drop(&view);
}

/* The best for a message is the next best's when it leaves; other shares move no more than they change. */
static void test_split_moves_little(void **state)
{
    (void)state;
    enum { MESSAGES = 40000, COUNT = 50 };
    struct view *view = nodes(COUNT, COUNT), *less = nodes(COUNT, 9), *other = nodes(COUNT, COUNT);
    struct view *all[] = {view, less, other};
    unsigned left = 0, lowered = 0;
    for (unsigned i = 0; i < 3; i++)
        view_add_hot(all[i], "huge.test", 0);
    other->nodes[3].share = VIEW_SHARE * 9 / 10;
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct mail_id id = id_of(i);
        const struct view_node *was = place_owner(view, "main", NULL, "huge.test", &id),
                               *is = place_owner(less, "main", NULL, "huge.test", &id),
                               *by = place_owner(other, "main", NULL, "huge.test", &id);
        assert_true(strcmp(was->id, "n9") == 0 || strcmp(was->id, is->id) == 0);
        assert_true(strcmp(was->id, "n3") == 0 || strcmp(was->id, by->id) == 0);
        left += strcmp(was->id, is->id) != 0;
        lowered += strcmp(was->id, by->id) != 0;
    }
    assert_in_range(left, MESSAGES / COUNT * 9 / 10, MESSAGES / COUNT * 11 / 10);
    assert_in_range(lowered, MESSAGES / COUNT / 20, MESSAGES / COUNT / 6);
    view_drop(&view);
    view_drop(&less);
    view_drop(&other);
}

/* One node more takes its share, from all alike, and nothing else moves (P8). */
static void test_joining(void **state)
{
    (void)state;
    static const unsigned sizes[] = {1, 3, 10, 100};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        unsigned n = sizes[i], moved = 0, most = 0;
        uint32_t load[101] = {0};
        struct view *before = nodes(n, n), *after = nodes(n + 1, n + 1);
        for (unsigned domain = 0; domain < DOMAINS; domain++) {
            unsigned was = owner_of(before, domain), is = owner_of(after, domain);
            assert_true(is == was || is == n);
            moved += is != was;
            load[is]++;
        }
        for (unsigned j = 0; j <= n; j++)
            most = load[j] > most ? load[j] : most;
        print_message("%u nodes and one: %.4f of the keys moved (1/n = %.4f), most/mean = %.3f\n", n,
            (double)moved / DOMAINS, 1.0 / n, (double)most * (n + 1) / DOMAINS);
        assert_true(moved <= DOMAINS * 1.1 / n && moved >= DOMAINS * 0.9 / (n + 1));
        assert_true(most <= DOMAINS * 1.1 / (n + 1));
        view_drop(&before);
        view_drop(&after);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_balance),
        cmocka_unit_test(test_leaving_moves_its_share_only),
        cmocka_unit_test(test_heavier_only_gains),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_who_is_no_candidate),
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_pinned),
        cmocka_unit_test(test_pinned_ranks),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_joining),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_moves_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
