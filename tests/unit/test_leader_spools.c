/* What the head makes of the registers of spool/: who serves what was taken over, who serves nothing any more, and who is
 * not declared down because the other copy is gone as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "leader_help.h"

/* n1 and n2 run as processes 101 and 102, in incarnation 5, with the disk "disk" (leader_help.c). */
static struct spool_register home(const char *node, uint64_t process)
{
    struct spool_register reg = {.epoch = 1, .incarnation = 5, .process = process, .disk = "disk"};
    snprintf(reg.node, sizeof reg.node, "%s", node);
    return reg;
}

static void put_register(const char *spool, const struct spool_register *reg)
{
    char path[MEMBER_PATH_SIZE];
    struct buffer text = {0};
    member_path(path, "prod", "spool", spool);
    spool_register_write(reg, &text);
    fake_put(store, path, buffer_text(&text), 0);
    buffer_free(&text);
}

static void put_homes(void)
{
    struct spool_register n1 = home("n1", 101), n2 = home("n2", 102);
    put_register("n1.0", &n1);
    put_register("n2.0", &n2);
}

/* n2 has taken n1's spool over, in this process of n2. */
static struct spool_register taken_by_n2(uint64_t process)
{
    struct spool_register reg = {
        .epoch = 2, .incarnation = 6, .node = "n2", .disk = "copy", .old = "disk", .process = process};
    return reg;
}

/* Who serves n1's home spool in the stored view, and as what. */
static void assert_served(const char *node, uint64_t incarnation)
{
    uint64_t is;
    struct view *view = stored();
    const struct view_node *server = view_spool(view, "n1.0", &is);
    assert_non_null(server);
    assert_string_equal(server->id, node);
    assert_int_equal(is, incarnation);
    view_drop(&view);
}

static size_t taken_count(void)
{
    struct view *view = stored();
    size_t count = view->taken_count;
    view_drop(&view);
    return count;
}

static void test_home_spools_are_not_taken(void **state)
{
    (void)state;
    struct head h;
    put_homes();
    begin(&h, "c1", lease_c1);
    run(&h, 5 * USEC_SEC);
    assert_int_equal(taken_count(), 0);
    assert_served("n1", 5);
    struct spool_register reg = home("n1", 999); /* started again; live/ will say so */
    reg.incarnation = 6;
    put_register("n1.0", &reg);
    run(&h, 5 * USEC_SEC);
    assert_int_equal(epoch(), 1);
    finish(&h);
}

static void test_taken_over(void **state)
{
    (void)state;
    struct head h;
    put_homes();
    begin(&h, "c1", lease_c1);
    run(&h, 20 * USEC_SEC);
    fake_end_lease(store, lease_n1);
    run(&h, 5 * USEC_SEC);
    assert_string_equal(state_of("n1"), "down");
    assert_served("n1", 5);
    struct spool_register reg = taken_by_n2(102);
    put_register("n1.0", &reg);
    run(&h, 2 * USEC_SEC);
    assert_served("n2", 6);
    reg.process = 202; /* the heir is started again: it serves nothing until its live/ says so as well */
    reg.incarnation = 7;
    put_register("n1.0", &reg);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(taken_count(), 0);
    put_live("n2", MEMBER_NODE, 202, 6);
    run(&h, 2 * USEC_SEC);
    assert_served("n2", 7);
    reg.retired = true;
    put_register("n1.0", &reg);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(taken_count(), 0);
    finish(&h);
}

/* Who slept and has been taken over is not back until it has another home; who lost its disk does not serve what was on
 * it, though the register still names it. */
static void test_deposed(void **state)
{
    (void)state;
    struct head h;
    put_homes();
    begin(&h, "c1", lease_c1);
    run(&h, 20 * USEC_SEC);
    fake_end_lease(store, lease_n1);
    run(&h, 5 * USEC_SEC);
    struct spool_register reg = taken_by_n2(102);
    put_register("n1.0", &reg);
    run(&h, 2 * USEC_SEC);
    lease_n1 = put_live("n1", MEMBER_NODE, 101, 5); /* it wakes up, and does not know yet */
    run(&h, 2 * USEC_SEC);
    assert_string_equal(state_of("n1"), "down");
    assert_non_null(strstr(h.said, "its spool n1.0 was taken over by n2"));
    struct member_live anew = {.role = MEMBER_NODE, .weight = 7, .spool = "n1.d15c"};
    fake_end_lease(store, lease_n1);
    put_live_as(&anew, "n1", 105, 1);
    run(&h, 2 * USEC_SEC);
    assert_string_equal(state_of("n1"), "up");
    assert_served("n2", 6);
    struct view *view = stored();
    assert_string_equal(view_node(view, "n1")->spool, "n1.d15c");
    view_drop(&view);
    reg = home("n1", 101); /* as if nobody had taken it: the process that it names is gone */
    put_register("n1.0", &reg);
    run(&h, 2 * USEC_SEC);
    assert_int_equal(taken_count(), 0);
    finish(&h);
}

/* Nothing is published before the registers are known, and what can't be read changes nothing. */
static void test_unreadable(void **state)
{
    (void)state;
    struct head h;
    struct spool_register reg = taken_by_n2(102);
    put_homes();
    put_register("n1.0", &reg);
    begin(&h, "c1", lease_c1);
    run(&h, 5 * USEC_SEC);
    assert_served("n2", 6);
    assert_string_equal(state_of("n1"), "none"); /* it serves nothing */
    fake_put(store, "/todoku/prod/spool/n1.0", "?", 0);
    fake_put(store, "/todoku/prod/spool/n1.0/more", "?", 0);
    run(&h, 5 * USEC_SEC);
    assert_served("n2", 6);
    assert_non_null(strstr(h.said, "spool/n1.0 can't be read"));
    away(&h); /* while nothing is heard the key goes */
    fake_put(store, "/todoku/prod/spool/n1.0", NULL, 0);
    run(&h, 5 * USEC_SEC);
    assert_int_equal(taken_count(), 0);
    finish(&h);
}

/* ---- the verdict, and the other copy ---- */

static void put_mirror(const char *spool, const char *node, uint64_t process, const char *on)
{
    struct spool_register reg = home(node, process);
    strcpy(reg.mirror, "copy");
    snprintf(reg.mirror_node, sizeof reg.mirror_node, "%s", on);
    put_register(spool, &reg);
}

/* n1's mirror is on n2, n2's on n3; all three are up, and the head has been there for a while. */
static uint64_t three_with_mirrors(struct head *h)
{
    uint64_t lease_n3 = put_live("n3", MEMBER_NODE, 103, 5);
    put_mirror("n1.0", "n1", 101, "n2");
    put_mirror("n2.0", "n2", 102, "n3");
    begin(h, "c1", lease_c1);
    run(h, 20 * USEC_SEC);
    return lease_n3;
}

static void test_a_copy_has_to_live(void **state)
{
    (void)state;
    struct head h;
    three_with_mirrors(&h);
    fake_end_lease(store, lease_n1);
    fake_end_lease(store, lease_n2);
    run(&h, 30 * USEC_SEC);
    assert_string_equal(state_of("n2"), "down");
    assert_string_equal(state_of("n1"), "up"); /* nobody that lives has its mail */
    const char *told =
        strstr(h.said, "n1 is gone, but is not declared down: the other copy of its mail is on n2");
    assert_non_null(told);
    assert_null(strstr(told + 1, "n1 is gone"));
    put_live("n2", MEMBER_NODE, 202, 0); /* it reads its log: not yet */
    run(&h, 5 * USEC_SEC);
    assert_string_equal(state_of("n1"), "up");
    put_live("n2", MEMBER_NODE, 202, 6);
    run(&h, 20 * USEC_SEC);
    assert_string_equal(state_of("n1"), "down");
    assert_string_equal(state_of("n2"), "up");
    finish(&h);
}

/* Without a mirror, or with one that nobody knows the place of, the rule says nothing. */
static void test_one_copy(void **state)
{
    (void)state;
    struct head h;
    three_with_mirrors(&h);
    put_mirror("n1.0", "n1", 101, "");
    struct spool_register alone = home("n2", 102);
    strcpy(alone.mirror_node, "n3"); /* a hint is no mirror */
    put_register("n2.0", &alone);
    fake_end_lease(store, lease_n1);
    fake_end_lease(store, lease_n2);
    run(&h, 30 * USEC_SEC);
    assert_int_equal(down_count(), 2);
    finish(&h);
}

/* An operator's word is about one process: it holds for no other. */
static void test_given_up(void **state)
{
    (void)state;
    struct head h;
    uint64_t lease_n3 = three_with_mirrors(&h);
    fake_end_lease(store, lease_n2);
    fake_end_lease(store, lease_n3);
    run(&h, 30 * USEC_SEC);
    assert_string_equal(state_of("n3"), "down");
    assert_string_equal(state_of("n2"), "up");
    struct member_spec spec = {.id = "n2", .public_key = KEY_A, .role = MEMBER_NODE, .dead = 999};
    struct buffer text = {0};
    member_spec_write(&spec, &text);
    fake_put(store, "/todoku/prod/spec/n2", buffer_text(&text), 0);
    run(&h, 5 * USEC_SEC);
    assert_string_equal(state_of("n2"), "up");
    buffer_clear(&text);
    spec.dead = 102;
    member_spec_write(&spec, &text);
    fake_put(store, "/todoku/prod/spec/n2", buffer_text(&text), 0);
    run(&h, 20 * USEC_SEC);
    assert_string_equal(state_of("n2"), "down");
    buffer_free(&text);
    /* Back all the same, it serves, and the next time the rule holds again. */
    put_mirror("n2.0", "n2", 202, "n3");
    lease_n2 = put_live("n2", MEMBER_NODE, 202, 6);
    run(&h, 20 * USEC_SEC);
    assert_string_equal(state_of("n2"), "up");
    fake_end_lease(store, lease_n2);
    run(&h, 30 * USEC_SEC);
    assert_string_equal(state_of("n2"), "up");
    finish(&h);
}

/* Two that mirror each other and go together wait for one of them, however long. */
static void test_a_pair(void **state)
{
    (void)state;
    struct head h;
    three_with_mirrors(&h);
    put_mirror("n2.0", "n2", 102, "n1");
    fake_end_lease(store, lease_n1);
    fake_end_lease(store, lease_n2);
    run(&h, USEC_MIN);
    assert_int_equal(down_count(), 0);
    lease_n1 = put_live("n1", MEMBER_NODE, 201, 6);
    run(&h, 5 * USEC_SEC);
    assert_string_equal(state_of("n1"), "up");
    assert_string_equal(state_of("n2"), "down");
    finish(&h);
}

/* ---- who is expected back ---- */

static bool returns(const char *id)
{
    struct view *view = stored();
    bool is = view_node(view, id)->down && view_node(view, id)->returns;
    view_drop(&view);
    return is;
}

/* As a node that is stopped in order does it. */
static void stop(const char *id, uint64_t process, uint64_t lease)
{
    struct member_live live = {.role = MEMBER_NODE, .weight = 7, .leaving = true};
    uint64_t last = put_live_as(&live, id, process, 5);
    fake_end_lease(store, lease);
    fake_end_lease(store, last);
}

/* A stop is no death: its spool waits for it, for a minute; mail goes elsewhere meanwhile. */
static void test_stopped_in_order(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 20 * USEC_SEC);
    stop("n1", 101, lease_n1);
    run(&h, 3 * USEC_SEC);
    assert_true(returns("n1"));
    assert_non_null(strstr(h.said, "n1 is away for now"));
    run(&h, 50 * USEC_SEC);
    assert_true(returns("n1"));
    lease_n1 = put_live("n1", MEMBER_NODE, 201, 6);
    run(&h, 2 * USEC_SEC);
    assert_string_equal(state_of("n1"), "up");
    stop("n1", 201, lease_n1);
    run(&h, 59 * USEC_SEC);
    assert_true(returns("n1"));
    run(&h, 5 * USEC_SEC);
    assert_false(returns("n1"));
    assert_string_equal(state_of("n1"), "down");
    assert_non_null(strstr(h.said, "n1 has not come back in time"));
    put_live("n1", MEMBER_NODE, 301, 0); /* too late: the verdict stands until it serves */
    run(&h, 5 * USEC_SEC);
    assert_false(returns("n1"));
    finish(&h);
}

/* Who stops a node for good says so: its mirror need not wait, and it is no verdict of the head's own. */
static void test_stopped_for_good(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 20 * USEC_SEC);
    stop("n1", 101, lease_n1);
    run(&h, 2 * USEC_SEC);
    assert_true(returns("n1"));
    struct member_spec spec = {.id = "n1", .public_key = KEY_A, .role = MEMBER_NODE, .dead = 101};
    struct buffer text = {0};
    member_spec_write(&spec, &text);
    fake_put(store, "/todoku/prod/spec/n1", buffer_text(&text), 0);
    buffer_free(&text);
    run(&h, 2 * USEC_SEC);
    assert_string_equal(state_of("n1"), "down");
    assert_false(returns("n1"));
    finish(&h);
}

/* A new process that reads its log is given more; another head goes on waiting; what dies does not come back. */
static void test_expected_by_any_head(void **state)
{
    (void)state;
    struct head h;
    begin(&h, "c1", lease_c1);
    run(&h, 20 * USEC_SEC);
    fake_end_lease(store, lease_n1);
    lease_n1 = put_live("n1", MEMBER_NODE, 201, 0);
    run(&h, 10 * USEC_SEC);
    assert_true(returns("n1"));
    fake_end_lease(store, lease_n2); /* no word was said */
    run(&h, 20 * USEC_SEC);
    assert_string_equal(state_of("n2"), "down");
    assert_false(returns("n2"));
    finish(&h);
    fake_end_lease(store, lease_c1);
    begin(&h, "c2", new_lease());
    run(&h, 5 * USEC_MIN);
    assert_true(returns("n1"));
    run(&h, 6 * USEC_MIN);
    assert_false(returns("n1"));
    finish(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_home_spools_are_not_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_taken_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deposed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unreadable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_copy_has_to_live, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_copy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_pair, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stopped_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stopped_for_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_expected_by_any_head, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
