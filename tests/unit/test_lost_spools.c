/* A spool that was lost while it was emptied: what came from there is let go of, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "heir_help.h"
#include "node/lost_spools.h"

static int begin(void **state)
{
    (void)state;
    estate_begin();
    return 0;
}

static int end(void **state)
{
    (void)state;
    estate_end();
    return 0;
}

/* Its source was taken over by b, whose disk was lost then: nobody is left who could take it back or ask for it. */
static void test_source_is_lost(void **state)
{
    (void)state;
    struct lost_spools *lost = lost_spools_new("b");
    struct bus_msg *refusal = NULL, *answer;
    bool first = false, other;
    estate_take_from_b();
    estate_inherit(0);
    for (usec_t start = estate.now; refusal == NULL && estate.now < start + 2 * LOST_AFTER;) {
        estate.now += USEC_SEC;
        heir_tick(estate.heir, estate.now);
        estate_commit();
        estate_read();
        for (long at; (at = estate_find(BUS_MOVE)) >= 0 && refusal == NULL; estate_drop((size_t)at)) {
            assert_string_equal(estate.sent[at]->spool, "b");
            struct view *view = view_new(3); /* the head says so from the beginning, or a little later */
            view_add_node(view, "h", "h", 1, 100);
            view_add_node(view, "b", "b.new", 1, 100);
            if (estate.now > start + 5 * USEC_SEC)
                view_add_taken(view, "b", "b", 2);
            lost_spools_view(lost, view);
            view_drop(&view);
            refusal = lost_spools_message(lost, estate.sent[at], estate.now, &first);
            struct bus_msg *ask =
                estate_find(BUS_SETTLED_ASK) < 0 ? NULL : estate.sent[estate_find(BUS_SETTLED_ASK)];
            if (ask != NULL && (answer = lost_spools_message(lost, ask, estate.now, &other)) != NULL) {
                assert_true(answer->type == BUS_SETTLED && refusal != NULL);
                assert_true(strcmp(answer->spool, "a") == 0 && strcmp(answer->from_spool, "b") == 0);
                bus_msg_free(&answer);
            }
        }
        assert_true(refusal == NULL || estate.now >= start + LOST_AFTER + 5 * USEC_SEC);
    }
    if (refusal == NULL) {
        fail();
        return;
    }
    assert_true(first && refusal->type == BUS_MOVE_ANSWER);
    assert_string_equal(refusal->to, "h");
    heir_message(estate.heir, refusal, estate.now);
    bus_msg_free(&refusal);
    lost_spools_free(&lost);
    while (estate.sent_count > 0)
        estate_drop(0);
    estate_run(10, USEC_SEC);
    assert_true(estate_holders(1, 0) == 1 && heir_figures(estate.heir).state == HEIR_WAITS);
}

/* What was settled may have been taken there before, and passed on. */
static void test_target_is_lost(void **state)
{
    (void)state;
    estate_mail(1, "u@d0.test", 0);
    struct delivery *delivery = estate_dead(1, 0);
    custody_move(estate.dead, &delivery, 1, "b", estate.now);
    estate_dead_commits();
    struct bus_msg *gone = bus_msg_answer(estate.sent[estate_find(BUS_MOVE)], BUS_MOVE_ANSWER);
    gone->items = xcalloc(1, sizeof *gone->items);
    gone->items[0] = (struct bus_item){.hop = 1, .verdict = BUS_GONE};
    gone->item_count = 1;
    custody_message(estate.dead, gone, NULL, estate.now);
    assert_int_equal(delivery->state, CUSTODY_LEAVING);
    gone->items[0].verdict = BUS_REFUSED;
    custody_message(estate.dead, gone, NULL, estate.now);
    assert_int_equal(delivery->state, CUSTODY_HELD);
    bus_msg_free(&gone);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_source_is_lost), TEST(test_target_is_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
