/* Joining with another home spool: a start whose spool is another disk's, and a member that moves while it runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "join_help.h"

static void put_register(const struct spool_register *reg)
{
    struct buffer text = {0};
    spool_register_write(reg, &text);
    fake_put(store, "/todoku/prod/spool/n1.0", buffer_text(&text), 0);
    buffer_free(&text);
}

static void move(struct process *p, const char *spool, const char *disk, uint64_t change)
{
    snprintf(p->spool, sizeof p->spool, "%s", spool);
    join_set_home(p->join, spool, disk, change, 0, now);
}

static void put_foreign(const char *disk, const char *node)
{
    struct spool_register reg = {.epoch = 6, .incarnation = 4, .process = 500};
    snprintf(reg.node, sizeof reg.node, "%s", node);
    snprintf(reg.disk, sizeof reg.disk, "%s", disk);
    put_register(&reg);
}

static void assert_serves(const char *spool, const char *disk, uint64_t incarnation)
{
    struct member_live live = read_live("n1");
    assert_string_equal(live.spool, spool);
    assert_string_equal(live.disk, disk);
    assert_int_equal(live.incarnation, incarnation);
    member_live_free(&live);
    assert_string_equal(holder_of("192.0.2.1"), "n1");
    assert_string_equal(holder_of("192.0.2.2"), "n1");
}

/* A start whose spool is another disk's: it keeps its name and waits; with another spool it is a member. */
static void test_elsewhere(void **state)
{
    (void)state;
    struct process p;
    can_move = true;
    put_foreign("disk-x", "n2");
    begin_node(&p, "n1", 77, "disk-a");
    fake_serve_all(&p.client);
    assert_int_equal(p.elsewhere, 1);
    assert_says(p.why, "on disk disk-x of node n2, not on this one (disk-a)");
    size_t writes = store->writes;
    run(&p, USEC_MIN, FATE_DONE);
    assert_int_equal(store->writes, writes); /* it waits, and asks nothing but for its lease */
    assert_int_equal(p.elsewhere, 1);
    assert_int_equal(p.joined + p.ended, 0);
    move(&p, "n1.abcd", "disk-b", 7);
    fake_serve_all(&p.client);
    assert_int_equal(p.joined, 1);
    assert_int_equal(p.change, 8); /* above what was told */
    assert_serves("n1.abcd", "disk-b", 0);
    join_ready(p.join, now);
    run(&p, USEC_SEC, FATE_DONE);
    assert_serves("n1.abcd", "disk-b", 1);
    assert_int_equal(read_register("n1.0").epoch, 6);
    assert_string_equal(read_register("n1.abcd").disk, "disk-b");
    writes = store->writes;
    run(&p, 5 * USEC_MIN, FATE_DONE);
    assert_int_equal(store->writes, writes);
    finish(&p);
}

/* The first name that is tried is taken, too: told again. */
static void test_elsewhere_twice(void **state)
{
    (void)state;
    struct process p;
    can_move = true;
    put_foreign("disk-x", "n2");
    begin_node(&p, "n1", 77, "disk-a");
    fake_serve_all(&p.client);
    move(&p, "n1.0", "disk-b", 0);
    fake_serve_all(&p.client);
    assert_int_equal(p.elsewhere, 2);
    assert_says(p.why, "not on this one (disk-b)");
    move(&p, "n1.b", "disk-b", 0);
    fake_serve_all(&p.client);
    assert_int_equal(p.joined, 1);
    finish(&p);
}

/* A member that runs is given another home: not ready, then a member as before, of the same name and process. No
 * answer that is lost on the way changes that. */
static void test_moves(void **state)
{
    for (int lost = 0; lost < 8; lost++)
        for (int fate = FATE_DONE; fate <= FATE_LOST; fate++) {
            struct process p;
            tear_down(state);
            set_up(state);
            can_move = true;
            begin_node(&p, "n1", 77, "disk-a");
            fake_serve_all(&p.client);
            join_ready(p.join, now);
            fake_serve_all(&p.client);
            uint64_t lease = join_lease(p.join);
            put_foreign("disk-x", "n2");
            move(&p, "n1.abcd", "disk-b", 0);
            assert_false(join_is_member(p.join));
            for (int i = 0; i < lost; i++)
                fake_serve(&p.client, FATE_DONE);
            fake_serve(&p.client, (enum fate)fate);
            run(&p, 5 * USEC_SEC, FATE_DONE);
            assert_int_equal(p.joined, 2);
            assert_int_equal(p.incarnation, 1);
            assert_serves("n1.abcd", "disk-b", 0);
            join_ready(p.join, now);
            run(&p, USEC_SEC, FATE_DONE);
            assert_serves("n1.abcd", "disk-b", 1);
            assert_int_equal(join_lease(p.join), lease); /* the name was never free */
            assert_string_equal(read_register("n1.0").disk, "disk-x");
            finish(&p);
        }
}

/* Another process runs on a copy of the disk: this one may not go on beside it, whatever it is told. */
static void test_same_home_again(void **state)
{
    (void)state;
    struct process p;
    can_move = true;
    begin_node(&p, "n1", 77, "disk-a");
    fake_serve_all(&p.client);
    move(&p, "n1.0", "disk-a", 0); /* nobody has: it is another incarnation, as after a start */
    fake_serve_all(&p.client);
    assert_int_equal(p.joined, 2);
    assert_int_equal(p.incarnation, 2);
    assert_int_equal(read_register("n1.0").epoch, 2);
    for (int lost = 0; lost < 6; lost++) {
        move(&p, "n1.0", "disk-a", 0);
        for (int i = 0; i < lost; i++)
            fake_serve(&p.client, FATE_DONE);
        fake_serve(&p.client, FATE_UNANSWERED);
        run(&p, 5 * USEC_SEC, FATE_DONE);
        assert_int_equal(p.joined, 3 + lost);
        assert_int_equal(p.incarnation, 3 + lost);
        assert_int_equal(read_register("n1.0").incarnation, 3 + lost);
    }
    struct spool_register copied = {
        .epoch = 18, .incarnation = 9, .process = 78, .node = "n1", .disk = "disk-a"};
    put_register(&copied);
    move(&p, "n1.0", "disk-a", 0);
    fake_serve_all(&p.client);
    assert_int_equal(p.ended, 1);
    assert_int_equal(p.elsewhere, 0);
    assert_says(p.why, "taken over by incarnation 9 of this disk");
    finish(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_elsewhere_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_moves, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_same_home_again, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
