/* The table fails while the node runs: what is accepted goes on as well as it can, nothing new is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/rest_help.h"

static void fails(struct rest_desk *desk)
{
    static const struct pressure_gauges easy = {.disk_free = 1 << 20};
    park_memory_fail(desk->table, true);
    rest_inject(desk, "acme", "late", "a@d.test", USEC_HOUR);
    rest_pass(desk, 20 * USEC_SEC);
    assert_int_equal(desk->failures, 1);
    node_set_gauges(desk->node, &easy);
}

static void test_nothing_new_is_taken(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    fails(&desk);
    assert_int_equal(rest_held(&desk), 1);
    rest_inject(&desk, "acme", "news", "a@d.test", 0);
    assert_int_equal(rest_held(&desk), 1);
    rest_ask(&desk, "alerts");
    assert_non_null(strstr(buffer_text(&desk.answer), "then start the node again"));
    rest_pass(&desk, USEC_HOUR);
    assert_int_equal(node_figures(desk.node).ready, 1); /* what was accepted goes on */
    park_memory_fail(desk.table, false);
    rest_restart(&desk);
    rest_inject(&desk, "acme", "news", "a@d.test", 0);
    assert_int_equal(rest_held(&desk), 2);
    rest_close(&desk);
}

/* Whether there is a report already cannot be told then: better two than none. */
static void test_bounces_are_reported(void **state)
{
    (void)state;
    struct rest_desk desk;
    rest_open(&desk);
    desk.reports = true;
    for (unsigned i = 0; i < 100; i++)
        rest_inject(&desk, "acme", "news", "a@d.test", USEC_HOUR);
    rest_pass(&desk, 5 * USEC_SEC);
    assert_int_equal(rest_parked(&desk), 100);
    for (unsigned i = 0; i < 5; i++)
        rest_inject(&desk, "zen", "x", "a@e.test", 0);
    rest_pass(&desk, 100 * USEC_MS);
    park_memory_fail(desk.table, true);
    rest_pass(&desk, 20 * USEC_SEC);
    rest_order(&desk, "bounce?tenant=zen&reason=x");
    assert_int_equal(node_figures(desk.node).bounced, 5);
    assert_int_equal(rest_held(&desk), 105);
    rest_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_new_is_taken),
        cmocka_unit_test(test_bounces_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
