/* More sites than the node may have connections: idle ones go before they stand in the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/node_state.h"
#include "tests/unit/desk_help.h"

enum { SITES = 3 * NODE_MAX_SESSIONS };

static void idle_connections_make_way_for_new_sites(void **state)
{
    (void)state;
    struct desk *desk = test_calloc(1, sizeof *desk);
    desk_open(desk, "");
    usec_t idle = desk->settings->delivery.idle;
    for (unsigned i = 0; i < SITES; i++) {
        char domain[32];
        snprintf(domain, sizeof domain, "d%u.test", i);
        desk_inject(desk, "acme", "news", domain, i + 1);
    }
    /* Every receiver answers at once: nothing but the connections' number could hold anything up. */
    desk_run(desk, idle / 2);
    assert_int_equal(desk->started, SITES);
    assert_true(node_figures(desk->node).sessions <= NODE_MAX_SESSIONS);
    desk_run(desk, 2 * idle);
    assert_int_equal(node_figures(desk->node).sessions, 0);
    assert_int_equal(desk->delivered, SITES);
    desk_close(desk);
    test_free(desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(idle_connections_make_way_for_new_sites)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
