/* A process whose own loop hangs gives up its lease, and takes it again when the loop turns again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/bus.h"
#include "cluster/pulse.h"
#include "join_help.h"

#define STEP USEC_SEC

/* Asks every STEP until then; the beat goes on or not. When it hung first, since `from`; -1: never. */
static usec_t hangs_after(struct pulse *pulse, usec_t *at, usec_t how_long, bool beats)
{
    usec_t from = *at, first = -1, beat = *at;
    for (; *at < from + how_long; *at += STEP)
        if (pulse_hangs(pulse, beats ? *at : beat, *at) && first < 0)
            first = *at - from;
    return first;
}

static void test_pulse(void **state)
{
    (void)state;
    struct pulse pulse = {0};
    usec_t at = 1000 * USEC_SEC;
    assert_int_equal(hangs_after(&pulse, &at, USEC_MIN, true), -1);
    assert_int_equal(hangs_after(&pulse, &at, USEC_MIN, false), PULSE_PATIENCE);
    assert_int_equal(hangs_after(&pulse, &at, USEC_MIN, true), -1);
}

static void test_not_begun(void **state)
{
    (void)state;
    struct pulse pulse = {0};
    for (usec_t at = USEC_SEC; at < USEC_HOUR; at += STEP)
        assert_false(pulse_hangs(&pulse, 0, at));
    usec_t at = USEC_HOUR;
    assert_int_equal(hangs_after(&pulse, &at, USEC_MIN, false), PULSE_PATIENCE);
}

/* The whole process stood still: its loop gets the time that we had. One that hung before still does. */
static void test_stopped(void **state)
{
    (void)state;
    struct pulse pulse = {0};
    usec_t at = 1000 * USEC_SEC;
    assert_int_equal(hangs_after(&pulse, &at, USEC_MIN, true), -1);
    usec_t beat = at - STEP;
    at += 12 * USEC_SEC;
    assert_false(pulse_hangs(&pulse, beat, at));
    assert_false(pulse_hangs(&pulse, beat, at + 2 * USEC_SEC));
    assert_true(pulse_hangs(&pulse, beat, at + 3 * USEC_SEC));
    at += USEC_MIN;
    assert_true(pulse_hangs(&pulse, beat, at));
    assert_false(pulse_hangs(&pulse, at, at));
}

static void no_wake(void *context)
{
    (void)context;
}

/* The one that has not beaten for longest counts; one that has not begun does not. */
static void test_last_beat(void **state)
{
    (void)state;
    struct bus_local *bus = bus_local_new();
    bus_local_join(bus, "a", no_wake, NULL);
    bus_local_join(bus, "b", no_wake, NULL);
    assert_int_equal(bus_local_last_beat(bus), 0);
    assert_true(bus_local_beats(bus, USEC_HOUR));
    bus_local_beat(bus, "b", 7 * USEC_SEC);
    assert_int_equal(bus_local_last_beat(bus), 7 * USEC_SEC);
    bus_local_beat(bus, "a", 5 * USEC_SEC);
    assert_int_equal(bus_local_last_beat(bus), 5 * USEC_SEC);
    assert_true(bus_local_beats(bus, 7 * USEC_SEC));
    assert_false(bus_local_beats(bus, 8 * USEC_SEC));
    bus_local_free(&bus);
}

/* The loop that the lease stands for hangs: the lease runs out, nothing is claimed meanwhile, and all is
 * taken again when it turns again. */
static void test_not_well(void **state)
{
    (void)state;
    struct process p;
    begin_node(&p, "n1", 77, "disk-a");
    fake_serve_all(&p.client);
    join_ready(p.join, now);
    run(&p, USEC_MIN, FATE_DONE);
    uint64_t lease = join_lease(p.join);
    assert_true(lease != 0);
    join_set_well(p.join, false, now);
    run(&p, 4 * USEC_SEC, FATE_DONE);
    join_set_well(p.join, true, now); /* in time: as if nothing had been */
    run(&p, USEC_MIN, FATE_DONE);
    assert_true(join_lease(p.join) == lease);
    join_set_well(p.join, false, now);
    run(&p, JOIN_LEASE + USEC_SEC / 10, FATE_DONE);
    assert_true(join_lease(p.join) == 0); /* by our own clock; the store's is as fast */
    fake_end_lease(store, lease);
    size_t writes = store->writes;
    run(&p, 10 * USEC_MIN, FATE_DONE);
    assert_int_equal(store->writes, writes);
    assert_null(fake_get(store, "/todoku/prod/live/n1"));
    assert_true(join_is_member(p.join));
    join_set_well(p.join, true, now);
    run(&p, USEC_SEC, FATE_DONE);
    assert_true(join_lease(p.join) != 0 && join_lease(p.join) != lease);
    struct member_live live = read_live("n1");
    assert_int_equal(live.incarnation, 1);
    member_live_free(&live);
    assert_string_equal(holder_of("192.0.2.1"), "n1");
    assert_int_equal(p.joined, 1);
    assert_int_equal(p.ended, 0);
    finish(&p);
}

/* Without its lease, and the answer that says so comes while it is not well. */
static void test_not_well_and_lost(void **state)
{
    (void)state;
    struct process p;
    begin_node(&p, "n1", 77, "disk-a");
    fake_serve_all(&p.client);
    join_ready(p.join, now);
    fake_serve_all(&p.client);
    fake_end_lease(store, join_lease(p.join));
    now += 2 * USEC_SEC;
    join_tick(p.join, now); /* asks to keep it */
    join_set_well(p.join, false, now);
    run(&p, USEC_MIN, FATE_DONE);
    assert_true(join_lease(p.join) == 0);
    assert_null(fake_get(store, "/todoku/prod/live/n1"));
    join_set_well(p.join, true, now);
    run(&p, USEC_SEC, FATE_DONE);
    assert_true(join_lease(p.join) != 0);
    assert_non_null(fake_get(store, "/todoku/prod/live/n1"));
    finish(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pulse),
        cmocka_unit_test(test_not_begun),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_last_beat),
        cmocka_unit_test_setup_teardown(test_not_well, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_well_and_lost, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
