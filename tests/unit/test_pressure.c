/* Pressure: what is felt, from where on, and when it is let go of again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "node/pressure.h"

#define MIB ((uint64_t)1 << 20)

static const struct pressure none;

static struct pressure_gauges easy(void)
{
    return (struct pressure_gauges){
        .disk_free = 1000 * MIB,
        .disk_reserve = 64 * MIB,
        .memory = 100 * MIB,
        .memory_max = 1000 * MIB,
        .queued = 10,
        .queued_max = 1000,
    };
}

static void nothing_is_felt_far_from_every_bound(void **state)
{
    (void)state;
    struct pressure_gauges gauges = easy();
    assert_int_equal(pressure_of(&gauges, &none).level, 0);
    assert_null(pressure_of(&gauges, &none).reason);
    gauges.memory = 800 * MIB;
    gauges.queued = 800;
    gauges.disk_free = 4 * gauges.disk_reserve;
    gauges.unwritten = PRESSURE_UNWRITTEN / 100 * 80;
    assert_int_equal(pressure_of(&gauges, &none).level, 0);
}

static void a_bound_of_nought_is_none(void **state)
{
    (void)state;
    struct pressure_gauges gauges = easy();
    gauges.memory_max = gauges.queued_max = 0;
    gauges.memory = gauges.queued = UINT64_MAX;
    assert_int_equal(pressure_of(&gauges, &none).level, 0);
}

static void each_bound_is_felt_and_named(void **state)
{
    (void)state;
    struct pressure_gauges gauges = easy();
    gauges.memory = 900 * MIB;
    struct pressure pressure = pressure_of(&gauges, &none);
    assert_in_range(pressure.level, 49, 51);
    assert_non_null(strstr(pressure.reason, "memory"));
    gauges.queued = 950;
    pressure = pressure_of(&gauges, &none);
    assert_in_range(pressure.level, 74, 76);
    assert_non_null(strstr(pressure.reason, "queue"));
    gauges.unwritten = PRESSURE_UNWRITTEN - PRESSURE_UNWRITTEN / 100;
    pressure = pressure_of(&gauges, &none);
    assert_in_range(pressure.level, 94, 96);
    assert_non_null(strstr(pressure.reason, "keep up"));
    gauges.disk_free = gauges.disk_reserve + 1;
    pressure = pressure_of(&gauges, &none);
    assert_int_equal(pressure.level, PRESSURE_FULL - 1);
    assert_non_null(strstr(pressure.reason, "disk is nearly full"));
    assert_non_null(pressure.remedy);
}

static void it_grows_with_what_is_used(void **state)
{
    (void)state;
    struct pressure_gauges gauges = easy();
    unsigned last = 0;
    for (gauges.queued = 0; gauges.queued <= 1000; gauges.queued++) {
        unsigned level = pressure_of(&gauges, &none).level;
        assert_true(level >= last);
        assert_true(level < PRESSURE_FULL || gauges.queued == 1000);
        last = level;
    }
    assert_int_equal(last, PRESSURE_FULL);
}

static void full_holds_until_a_margin_is_free(void **state)
{
    (void)state;
    struct pressure_gauges gauges = easy();
    gauges.queued = 1000;
    struct pressure pressure = pressure_of(&gauges, &none);
    assert_int_equal(pressure.level, PRESSURE_FULL);
    gauges.queued = 951;
    pressure = pressure_of(&gauges, &pressure);
    assert_int_equal(pressure.level, PRESSURE_FULL);
    gauges.queued = 949;
    pressure = pressure_of(&gauges, &pressure);
    assert_in_range(pressure.level, 1, PRESSURE_FULL - 1);
    /* Another bound has no part in it. */
    gauges.memory = 960 * MIB;
    gauges.queued = 1000;
    pressure = pressure_of(&gauges, &none);
    gauges.queued = 10;
    assert_in_range(pressure_of(&gauges, &pressure).level, 79, 81);
}

static void the_spools_word_counts_at_once(void **state)
{
    (void)state;
    struct pressure_gauges gauges = easy();
    gauges.disk_low = true;
    assert_int_equal(pressure_of(&gauges, &none).level, PRESSURE_FULL);
    gauges.disk_low = false;
    gauges.disk_free = 1; /* the spool looks more closely */
    assert_int_equal(pressure_of(&gauges, &none).level, PRESSURE_FULL - 1);
    gauges.disk_failed = true;
    struct pressure pressure = pressure_of(&gauges, &none);
    assert_int_equal(pressure.level, PRESSURE_FULL);
    assert_non_null(strstr(pressure.reason, "failed"));
}

static void a_failed_table_is_full(void **state)
{
    (void)state;
    struct pressure_gauges gauges = easy();
    gauges.table_failed = true;
    struct pressure pressure = pressure_of(&gauges, &none);
    assert_int_equal(pressure.level, PRESSURE_FULL);
    assert_non_null(strstr(pressure.reason, "table"));
    assert_non_null(strstr(pressure.remedy, "start the node again"));
    gauges.queued = gauges.queued_max; /* the other bounds do not hide it */
    assert_non_null(strstr(pressure_of(&gauges, &none).reason, "table"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_felt_far_from_every_bound),
        cmocka_unit_test(a_bound_of_nought_is_none),
        cmocka_unit_test(each_bound_is_felt_and_named),
        cmocka_unit_test(it_grows_with_what_is_used),
        cmocka_unit_test(full_holds_until_a_margin_is_free),
        cmocka_unit_test(the_spools_word_counts_at_once),
        cmocka_unit_test(a_failed_table_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
