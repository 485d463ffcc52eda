/* What the head makes of the registers of spool/: who serves what was taken over, and who serves nothing any more. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_home_spools_are_not_taken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_taken_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deposed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unreadable, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
