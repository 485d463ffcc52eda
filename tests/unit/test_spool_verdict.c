/* When the holder of a copy takes the spool over: a dead node's at once, one that its node gave up after a while, one
 * that the view has not heard of yet never. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/spool_verdict.h"

static struct spool_verdict verdict;

/* By a view with n1: its spool, its process, up or down. The register names process 77. */
static bool dead(const char *node_spool, uint64_t process, bool down, const char *spool, usec_t now)
{
    struct view *view = view_new(3);
    struct view_node *node = view_add_node(view, "n1", node_spool, 4, 1);
    node->down = down;
    node->process = process;
    view_add_node(view, "n2", "n2.0", 1, 1);
    bool is_dead = spool_verdict_dead(&verdict, view, spool, "n1", 77, now);
    view_drop(&view);
    return is_dead;
}

static void test_node(void **state)
{
    (void)state;
    verdict = (struct spool_verdict){0};
    assert_false(dead("n1.0", 77, false, "n1.0", 1));
    assert_true(dead("n1.0", 77, true, "n1.0", 2));
    assert_false(dead("n1.0", 77, false, "n1.0", 3));
}

/* A view from before n1 began n1.a, or was started again, whatever it says of n1. The next one has it. */
static void test_older_view(void **state)
{
    (void)state;
    verdict = (struct spool_verdict){0};
    assert_false(dead("n1.0", 77, true, "n1.a", USEC_SEC));
    assert_false(dead("n1.0", 77, false, "n1.a", 9 * USEC_SEC));
    assert_false(dead("n1.a", 77, false, "n1.a", 12 * USEC_SEC));
    assert_false(dead("n1.a", 70, true, "n1.a", 13 * USEC_SEC)); /* it counts anew */
    assert_false(dead("n1.a", 70, false, "n1.a", 14 * USEC_SEC));
    assert_false(dead("n1.0", 77, true, "n1.a", 20 * USEC_SEC));
    assert_false(dead("n1.0", 77, true, "n1.a", 29 * USEC_SEC));
    assert_true(dead("n1.0", 77, true, "n1.a", 30 * USEC_SEC));
}

/* n1 lost the disk of n1.0 and is there with another one; or it was started again, and died before it had n1.0. */
static void test_given_up(void **state)
{
    (void)state;
    verdict = (struct spool_verdict){0};
    assert_false(dead("n1.a", 90, false, "n1.0", USEC_SEC));
    assert_false(dead("n1.a", 90, false, "n1.0", 10 * USEC_SEC));
    assert_true(dead("n1.a", 90, false, "n1.0", 11 * USEC_SEC));
    verdict = (struct spool_verdict){0};
    assert_false(dead("n1.0", 90, true, "n1.0", USEC_SEC));
    assert_true(dead("n1.0", 90, true, "n1.0", 11 * USEC_SEC));
}

/* n2 serves what it took over, beside its own: nobody has a copy that could take it from there. Nor is there a word of a
 * node that the view does not have. */
static void test_no_word(void **state)
{
    (void)state;
    struct view *view = view_new(3);
    verdict = (struct spool_verdict){0};
    view_add_node(view, "n2", "n2.0", 1, 1)->down = true;
    view_add_taken(view, "n1.0", "n2", 5);
    for (usec_t now = USEC_SEC; now < USEC_MIN; now += USEC_SEC) {
        assert_false(spool_verdict_dead(&verdict, view, "n1.0", "n2", 0, now));
        assert_false(spool_verdict_dead(&verdict, view, "n9.0", "n9", 0, now));
    }
    view->nodes[0].returns = true;
    assert_false(spool_verdict_dead(&verdict, view, "n2.0", "n2", 0, USEC_MIN)); /* it was stopped in order */
    assert_false(spool_verdict_dead(&verdict, view, "n2.9", "n2", 0, 2 * USEC_MIN));
    assert_false(spool_verdict_dead(&verdict, view, "n2.9", "n2", 0, 3 * USEC_MIN));
    view->nodes[0].returns = false;
    assert_true(spool_verdict_dead(
        &verdict, view, "n2.0", "n2", 0, USEC_MIN)); /* the register does not say which start */
    view_drop(&view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node),
        cmocka_unit_test(test_older_view),
        cmocka_unit_test(test_given_up),
        cmocka_unit_test(test_no_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
