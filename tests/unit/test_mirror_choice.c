/* Who is asked to keep the second copy: every node by exactly one when all choose anew, of another rack where there is one,
 * and the same one as long as it may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "cluster/mirror_choice.h"

enum { MOST = 200 };

static struct view_node *add(struct view *view, size_t number, const char *rack)
{
    char id[32], spool[40];
    snprintf(id, sizeof id, "n%zu", number);
    snprintf(spool, sizeof spool, "n%zu.0", number);
    struct view_node *node = view_add_node(view, id, spool, 1, 100);
    node->rack = rack == NULL ? NULL : xstrdup(rack);
    return node;
}

/* Nodes n0 .. in so many racks by turns; 0 = none has one. */
static struct view *nodes(size_t count, size_t racks)
{
    struct view *view = view_new(1);
    for (size_t i = 0; i < count; i++) {
        char rack[32];
        snprintf(rack, sizeof rack, "r%zu", racks > 0 ? i % racks : 0);
        add(view, i, racks > 0 ? rack : NULL);
    }
    return view;
}

/* Everybody chooses anew; each by exactly one, nobody itself; of another rack if there are several. */
static void assert_even(const struct view *view, size_t racks)
{
    unsigned chosen[MOST] = {0};
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *mirror = mirror_choice(view, view->nodes[i].id, "", "");
        assert_non_null(mirror);
        assert_ptr_not_equal(mirror, &view->nodes[i]);
        chosen[mirror - view->nodes]++;
        if (racks > 1)
            assert_string_not_equal(mirror->rack, view->nodes[i].rack);
    }
    for (size_t i = 0; i < view->node_count; i++)
        assert_int_equal(chosen[i], 1);
}

static void test_each_by_one(void **state)
{
    (void)state;
    for (size_t count = 2; count <= MOST; count++) {
        struct view *view = nodes(count, 0);
        assert_even(view, 0);
        view_drop(&view);
    }
}

static void test_racks_take_turns(void **state)
{
    (void)state;
    for (size_t racks = 1; racks <= 8; racks++)
        for (size_t each = racks == 1 ? 2 : 1; each <= 12; each++) {
            struct view *view = nodes(racks * each, racks);
            assert_even(view, racks);
            view_drop(&view);
        }
}

/* One node in the one rack, nine in the other: no two copies in one rack all the same. */
static void test_racks_of_different_sizes(void **state)
{
    (void)state;
    struct view *view = nodes(9, 1);
    add(view, 9, "other");
    for (size_t i = 0; i < 9; i++)
        assert_string_equal(mirror_choice(view, view->nodes[i].id, "", "")->id, "n9");
    assert_string_equal(mirror_choice(view, "n9", "", "")->rack, "r0");
    view_drop(&view);
}

static void test_nobody(void **state)
{
    (void)state;
    struct view *view = nodes(1, 0);
    assert_null(mirror_choice(view, "n0", "", ""));
    assert_null(mirror_choice(view, "n0", "n0", ""));
    assert_null(mirror_choice(view, "elsewhere", "", ""));
    assert_null(mirror_choice(view, "elsewhere", "n0", ""));
    add(view, 1, NULL)->down = true;
    add(view, 2, NULL)->draining = true;
    add(view, 3, NULL)->incarnation = 0;
    for (size_t i = 0; i < 4; i++)
        assert_null(mirror_choice(view, "n0", view->nodes[i].id, ""));
    /* Who drains has mail to move, and needs a mirror for that. */
    assert_string_equal(mirror_choice(view, "n2", "", "")->id, "n0");
    view_drop(&view);
}

static void test_sticky(void **state)
{
    (void)state;
    struct view *view = nodes(20, 2);
    for (size_t i = 1; i < 20; i++) /* of the same rack too: another one would cost a copy of everything */
        assert_ptr_equal(mirror_choice(view, "n0", view->nodes[i].id, ""), &view->nodes[i]);
    const struct view_node *next = mirror_choice(view, "n0", "gone", "");
    assert_ptr_equal(next, mirror_choice(view, "n0", "", ""));
    struct view_node *current = &view->nodes[next == &view->nodes[1] ? 3 : 1];
    current->draining = true;
    assert_ptr_equal(mirror_choice(view, "n0", current->id, ""), next);
    current->draining = false;
    current->down = true;
    assert_ptr_equal(mirror_choice(view, "n0", current->id, ""), next);
    current->down = false;
    current->incarnation = 0;
    assert_ptr_equal(mirror_choice(view, "n0", current->id, ""), next);
    view_drop(&view);
}

static void test_avoided(void **state)
{
    (void)state;
    struct view *view = nodes(3, 0);
    add(view, 3, "other");
    const struct view_node *first = mirror_choice(view, "n0", "", "");
    assert_string_equal(first->id, "n3");
    const struct view_node *second = mirror_choice(view, "n0", "n3", "n3"); /* rather one of the same rack */
    assert_null(second->rack);
    assert_ptr_equal(mirror_choice(view, "n0", second->id, "n3"), second);
    for (size_t i = 1; i < 3; i++)
        view->nodes[i].down = true;
    assert_ptr_equal(mirror_choice(view, "n0", "n3", "n3"), first); /* there is nobody else */
    assert_ptr_equal(mirror_choice(view, "n0", "", "n3"), first);
    view_drop(&view);
}

/* A node that comes or goes changes the choice of few others. */
static void test_a_change_is_small(void **state)
{
    (void)state;
    struct view *before = nodes(100, 0), *after = nodes(101, 0);
    size_t changed = 0;
    for (size_t i = 0; i < 100; i++)
        changed += strcmp(mirror_choice(before, before->nodes[i].id, "", "")->id,
                       mirror_choice(after, before->nodes[i].id, "", "")->id) != 0;
    assert_int_equal(changed, 1);
    view_drop(&before);
    view_drop(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_by_one),
        cmocka_unit_test(test_racks_take_turns),
        cmocka_unit_test(test_racks_of_different_sizes),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_sticky),
        cmocka_unit_test(test_avoided),
        cmocka_unit_test(test_a_change_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
