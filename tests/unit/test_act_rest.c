/* An order goes through all that is parked, and no more of it is in memory at once than there is room for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/rest_help.h"

enum { MESSAGES = 6000, ROOM = 1000 };

static void fill(struct rest_desk *desk, usec_t in)
{
    rest_prepare(desk);
    desk->room = ROOM;
    desk->least = 50;
    rest_start(desk);
    for (unsigned i = 0; i < MESSAGES; i++) {
        rest_inject(desk, "acme", "news", "a@d.test", in);
        if (i % 200 == 199)
            rest_pass(desk, 10 * USEC_MS);
    }
    rest_pass(desk, 5 * USEC_SEC);
    assert_in_range(rest_parked(desk), MESSAGES - ROOM, MESSAGES);
    desk->most_messages = 0;
}

static void test_what_it_is_not_about_rests_again(void **state)
{
    (void)state;
    static const usec_t due_in[] = {0, USEC_DAY / 2};
    for (size_t i = 0; i < 2; i++) {
        struct rest_desk desk;
        fill(&desk, due_in[i]);
        rest_order(&desk, "delete?domain=other.test&reason=x");
        assert_in_range(desk.most_messages, 0, ROOM + ROOM / 2);
        assert_int_equal(rest_held(&desk), MESSAGES);
        assert_in_range(rest_parked(&desk), MESSAGES - ROOM, MESSAGES);
        rest_order(&desk, "delete?domain=d.test&reason=x");
        assert_int_equal(rest_held(&desk), 0);
        rest_close(&desk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_it_is_not_about_rests_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
