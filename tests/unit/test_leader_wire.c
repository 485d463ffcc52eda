/* Which version of the wire the view says, and who is left out for it. This program speaks 1 to 2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "leader_help.h"

static uint64_t speaks(const char *id, uint64_t process, uint32_t least, uint32_t most)
{
    struct member_live live = {
        .role = id[0] == 'c' ? MEMBER_COORDINATOR : MEMBER_NODE, .wire = {least, most}, .weight = 7};
    return put_live_as(&live, id, process, 5);
}

static uint32_t spoken(void)
{
    struct view *view = stored();
    uint32_t wire = view->wire;
    view_drop(&view);
    return wire;
}

static void test_all_speak_it(void **state)
{
    (void)state;
    struct head h;
    assert_int_equal(wire_ours.most, 2);
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(spoken(), 2);
    finish(&h);
}

/* One by one to the newer program; the last of the older ones is away for a while, and could come back as it was. */
static void test_rises_when_the_last_is_back(void **state)
{
    (void)state;
    struct head h;
    speaks("n1", 101, 1, 1);
    uint64_t lease = speaks("n2", 102, 1, 1);
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(spoken(), 1);
    assert_string_equal(state_of("n1"), "up");
    speaks("n1", 111, 1, 2);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(spoken(), 1);
    fake_end_lease(store, lease);
    run(&h, USEC_MIN);
    assert_string_equal(state_of("n2"), "down");
    assert_int_equal(spoken(), 1);
    lease = speaks("n2", 112, 1, 1); /* the newer one would not start */
    run(&h, 5 * USEC_SEC);
    assert_string_equal(state_of("n2"), "up");
    fake_end_lease(store, lease);
    speaks("n2", 122, 1, 2);
    run(&h, 5 * USEC_SEC);
    assert_string_equal(state_of("n2"), "up");
    assert_int_equal(spoken(), 2);
    assert_non_null(strstr(h.said, "the cluster speaks wire version 2 from now on"));
    finish(&h);
}

/* A member that is told to speak no more than version 1 brings all back to it. */
static void test_falls_at_once(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(spoken(), 2);
    speaks("n1", 101, 1, 1);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(spoken(), 1);
    assert_string_equal(state_of("n1"), "up");
    assert_string_equal(state_of("n2"), "up");
    assert_non_null(strstr(h.said, "the cluster speaks wire version 1 from now on"));
    fake_put(store, "/todoku/prod/spec/n1", NULL, 0); /* who was taken out is not waited for */
    run(&h, 2 * USEC_SEC);
    assert_int_equal(spoken(), 2);
    finish(&h);
}

/* Two versions ahead of the cluster: let in when the others have come so far. */
static void test_too_new(void **state)
{
    (void)state;
    struct head h;
    speaks("n1", 101, 1, 1);
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    speaks("n3", 103, 2, 3);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(spoken(), 1);
    assert_string_equal(state_of("n3"), "none");
    assert_non_null(
        strstr(h.said, "n3 is left out of the view: its program speaks wire version 2 to 3, the cluster 1"));
    speaks("n1", 111, 1, 2);
    run(&h, 3 * USEC_SEC);
    assert_int_equal(spoken(), 2);
    assert_string_equal(state_of("n3"), "up");
    /* One that is too old for it does not throw it out. */
    speaks("n2", 102, 1, 1);
    run(&h, 3 * USEC_SEC);
    assert_int_equal(spoken(), 2);
    assert_string_equal(state_of("n3"), "up");
    assert_string_equal(state_of("n2"), "none");
    assert_non_null(
        strstr(h.said, "n2 is left out of the view: its program speaks wire version 1, the cluster 2"));
    finish(&h);
}

/* Not ours at all: neither of them has a say. */
static void test_strangers(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 2 * USEC_SEC);
    speaks("n1", 101, 3, 4);
    speaks("n3", 103, 7, 7);
    run(&h, 5 * USEC_SEC);
    assert_int_equal(spoken(), 2);
    assert_string_equal(state_of("n1"), "none");
    assert_string_equal(state_of("n3"), "none");
    assert_string_equal(state_of("n2"), "up");
    finish(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_speak_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rises_when_the_last_is_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_falls_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_new, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_strangers, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
