/* Since when and why each member stands in the view as it does, and who has to tell: over changes of members
 * and of heads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/view_store.h"
#include "leader_help.h"

/* Of a node or a coordinator, in the store's view. */
static struct view_turn turn_of(const char *id)
{
    struct view *view = stored();
    const struct view_node *node = view_node(view, id);
    const struct view_coordinator *coordinator = view_coordinator(view, id);
    assert_true(node != NULL || coordinator != NULL);
    struct view_turn turn = {0};
    if (node != NULL)
        turn = node->turn;
    else if (coordinator != NULL)
        turn = coordinator->turn;
    view_drop(&view);
    return turn;
}

/* Its last turn was just now, in the newest view, for this reason. */
static void assert_turned(const char *id, enum view_reason reason)
{
    struct view *view = stored();
    struct view_turn turn = turn_of(id);
    assert_int_equal(turn.reason, reason);
    assert_int_equal(turn.epoch, view->epoch);
    assert_in_range(now - turn.time, 0, 3 * USEC_SEC);
    view_drop(&view);
}

static void assert_teller(const char *id)
{
    struct view *view = stored();
    assert_string_equal(view->teller, id);
    view_drop(&view);
}

static uint64_t told_from(void)
{
    struct view *view = stored();
    uint64_t from = view->tells_from;
    view_drop(&view);
    return from;
}

static void test_reasons(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 20 * USEC_SEC);
    assert_int_equal(turn_of("n1").reason, VIEW_REASON_JOINED);
    assert_int_equal(turn_of("n2").reason, VIEW_REASON_JOINED); /* though it drains */
    assert_int_equal(turn_of("c1").reason, VIEW_REASON_JOINED);
    put_spec("n1", MEMBER_NODE, 0, true);
    run(&h, 2 * USEC_SEC);
    assert_turned("n1", VIEW_REASON_DRAIN);
    struct view_turn n2 = turn_of("n2");
    put_spec("n1", MEMBER_NODE, 0, false);
    run(&h, 2 * USEC_SEC);
    assert_turned("n1", VIEW_REASON_UNDRAIN);
    struct view_turn undrained = turn_of("n1");
    put_spec("n1", MEMBER_NODE, 77, false); /* another weight is no turn */
    run(&h, 2 * USEC_SEC);
    struct view_turn is = turn_of("n1");
    assert_true(view_turn_same(&undrained, &is));
    /* A quick start, and one that reads its log for long. */
    fake_end_lease(store, lease_n1);
    lease_n1 = put_live("n1", MEMBER_NODE, 104, 6);
    run(&h, 2 * USEC_SEC);
    assert_turned("n1", VIEW_REASON_STARTED);
    fake_end_lease(store, lease_n1);
    lease_n1 = put_live("n1", MEMBER_NODE, 105, 0);
    run(&h, 6 * USEC_SEC);
    assert_turned("n1", VIEW_REASON_UNREADY);
    assert_non_null(strstr(h.said, "n1 is away for now"));
    assert_non_null(strstr(h.said, "(it was started, but is not ready yet"));
    put_live("n1", MEMBER_NODE, 105, 7);
    run(&h, 2 * USEC_SEC);
    assert_turned("n1", VIEW_REASON_STARTED);
    is = turn_of("n2");
    assert_true(view_turn_same(&n2, &is));
    finish(&h);
}

static void test_down_and_back(void **state)
{
    (void)state;
    struct head h;
    uint64_t lease_c2 = put_live("c2", MEMBER_COORDINATOR, 12, 12);
    begin(&h, "c1", lease_c1);
    run(&h, 20 * USEC_SEC);
    fake_end_lease(store, lease_n1);
    run(&h, 2 * USEC_SEC);
    assert_turned("n1", VIEW_REASON_LEASE);
    lease_n1 = put_live("n1", MEMBER_NODE, 101, 5); /* the same process: it hung */
    run(&h, 2 * USEC_SEC);
    assert_turned("n1", VIEW_REASON_BACK);
    fake_end_lease(store, lease_c2);
    run(&h, 2 * USEC_SEC);
    assert_turned("c2", VIEW_REASON_LEASE);
    struct member_live other = {.role = MEMBER_NODE, .public_key = KEY_B};
    fake_end_lease(store, lease_n1);
    put_live_as(&other, "n1", 109, 9);
    run(&h, 20 * USEC_SEC);
    assert_int_equal(turn_of("n1").reason, VIEW_REASON_MISFIT);
    /* Down and drained: it was down before. */
    struct view_turn down = turn_of("n1");
    put_spec("n1", MEMBER_NODE, 0, true);
    run(&h, 2 * USEC_SEC);
    struct view_turn is = turn_of("n1");
    assert_true(view_turn_same(&down, &is));
    finish(&h);
}

/* One that serves and does not drain; when it has gone, another one, who also tells what the first may not
 * have told any more. */
static void test_teller(void **state)
{
    (void)state;
    struct head h;
    put_live("n3", MEMBER_NODE, 103, 1);
    begin(&h, "c1", lease_c1);
    run(&h, 20 * USEC_SEC);
    struct view *first = stored();
    assert_teller("n1");
    assert_int_equal(told_from(), first->epoch);
    put_spec("n1", MEMBER_NODE, 0, true); /* it still tells: also of that */
    run(&h, 20 * USEC_SEC);
    assert_teller("n1");
    assert_int_equal(told_from(), first->epoch);
    uint64_t before = epoch();
    put_spec("n3", MEMBER_NODE, 5, true);
    run(&h, 2 * USEC_SEC);
    uint64_t drained = turn_of("n3").epoch;
    put_spec("n3", MEMBER_NODE, 5, false);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(epoch(), before + 2);
    /* It is gone within its lease after that; the first of all others drains. */
    fake_end_lease(store, lease_n1);
    run(&h, 2 * USEC_SEC);
    assert_turned("n1", VIEW_REASON_LEASE);
    assert_teller("n3");
    assert_int_equal(told_from(), drained);
    uint64_t from = told_from();
    put_live("n1", MEMBER_NODE, 104, 6);
    run(&h, 20 * USEC_SEC);
    assert_teller("n3");
    assert_int_equal(told_from(), from);
    view_drop(&first);
    finish(&h);
}

/* A hiccup of the teller's lease is no reason for a view; but who is not there is not asked to tell. */
static void test_teller_is_away(void **state)
{
    (void)state;
    struct head h;
    put_live("n3", MEMBER_NODE, 103, 1);
    begin(&h, "c1", lease_c1);
    run(&h, 20 * USEC_SEC);
    uint64_t was = epoch();
    fake_end_lease(store, lease_n1);
    run(&h, USEC_SEC / 4);
    lease_n1 = put_live("n1", MEMBER_NODE, 101, 5);
    run(&h, 5 * USEC_SEC);
    assert_int_equal(epoch(), was);
    fake_end_lease(store, lease_n1);
    run(&h, USEC_SEC / 4);
    put_spec("n2", MEMBER_NODE, 0, false);
    run(&h, USEC_SEC / 8);
    assert_turned("n2", VIEW_REASON_UNDRAIN);
    assert_string_equal(state_of("n1"), "up");
    assert_teller("n2");
    finish(&h);
}

/* The store was away, and leases stood still: who is gone then may have been so for long. */
static void test_lost_in_the_dark(void **state)
{
    (void)state;
    struct head h;
    put_live("n3", MEMBER_NODE, 103, 1);
    begin(&h, "c1", lease_c1);
    run(&h, USEC_MIN);
    put_spec("n3", MEMBER_NODE, 5, true);
    run(&h, 2 * USEC_SEC);
    uint64_t drained = turn_of("n3").epoch;
    away(&h);
    now += USEC_MIN;
    run(&h, 10 * USEC_SEC);
    fake_end_lease(store, lease_n1);
    run(&h, 2 * USEC_SEC);
    assert_turned("n1", VIEW_REASON_LEASE);
    assert_teller("n2");
    assert_int_equal(told_from(), drained);
    finish(&h);
}

/* What nobody can tell stays to be told. */
static void test_nobody_tells(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 20 * USEC_SEC);
    fake_end_lease(store, lease_n1);
    fake_end_lease(store, lease_n2);
    run(&h, 30 * USEC_SEC);
    assert_int_equal(down_count(), 2);
    assert_teller("");
    uint64_t from = told_from(), n2 = turn_of("n2").epoch, n1 = turn_of("n1").epoch;
    assert_true(from <= n1 && from <= n2);
    put_live("n2", MEMBER_NODE, 105, 6);
    run(&h, 2 * USEC_SEC);
    assert_teller("n2");
    assert_int_equal(told_from(), from);
    finish(&h);
}

static void test_change_of_head(void **state)
{
    (void)state;
    struct head h, h2;
    begin(&h, "c1", lease_c1);
    begin(&h2, "c2", put_live("c2", MEMBER_COORDINATOR, 12, 12));
    run(&h, 20 * USEC_SEC);
    fake_end_lease(store, lease_n1);
    run(&h, 2 * USEC_SEC);
    struct view_turn n1 = turn_of("n1"), n2 = turn_of("n2");
    uint64_t from = told_from();
    settle(&h2);
    leader_resign(h.leader, now);
    settle(&h);
    run(&h2, 20 * USEC_SEC);
    struct view *view = stored();
    assert_string_equal(view->leader, "c2");
    view_drop(&view);
    struct view_turn now1 = turn_of("n1"), now2 = turn_of("n2");
    assert_true(view_turn_same(&n1, &now1) && view_turn_same(&n2, &now2));
    assert_teller("n2");
    assert_int_equal(told_from(), from);
    finish(&h);
    finish(&h2);
}

/* A head of the version before wrote a view: nothing is known of turns, and none is made up. */
static void test_after_an_earlier_version(void **state)
{
    (void)state;
    struct head h;
    struct buffer bytes = {0};
    struct error error;
    begin(&h, "c1", lease_c1);
    run(&h, 20 * USEC_SEC);
    finish(&h);
    fake_put(store, "/todoku/prod/leader", NULL, 0);
    struct view *view = stored(), *old = view_new(view->epoch + 1);
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *from = &view->nodes[i];
        struct view_node *to = view_add_node(old, from->id, from->spool, from->incarnation, from->weight);
        to->process = from->process;
        to->draining = from->draining;
    }
    view_add_coordinator(old, "c1", 11, NULL);
    assert_int_equal(view_seal(old, &error), 0);
    view_store_write(old, &bytes);
    assert_null(memchr(buffer_bytes(&bytes), 0, buffer_len(&bytes)));
    fake_put(store, VIEW_KEY, buffer_text(&bytes), 0);
    begin(&h, "c1", lease_c1);
    run(&h, 20 * USEC_SEC);
    assert_int_equal(turn_of("n1").epoch, 0);
    assert_int_equal(turn_of("c1").epoch, 0);
    assert_teller("n1");
    assert_int_equal(told_from(), old->epoch + 1);
    put_spec("n1", MEMBER_NODE, 0, true);
    run(&h, 2 * USEC_SEC);
    assert_turned("n1", VIEW_REASON_DRAIN);
    buffer_free(&bytes);
    view_drop(&old);
    view_drop(&view);
    finish(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reasons, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_down_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_teller, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_teller_is_away, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lost_in_the_dark, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nobody_tells, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_change_of_head, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_after_an_earlier_version, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
