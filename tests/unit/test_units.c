/* Numbers with units: what is written is what is meant, or it is refused with the units named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/units.h"

static void rates_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t count;
        usec_t per;
    } cases[] = {{"100/s", 100, USEC_SEC}, {"1/sec", 1, USEC_SEC}, {"1/second", 1, USEC_SEC},
        {"20/m", 20, USEC_MIN}, {"20/min", 20, USEC_MIN}, {"20/minute", 20, USEC_MIN}, {"3/h", 3, USEC_HOUR},
        {"3/hour", 3, USEC_HOUR}, {"5000/d", 5000, USEC_DAY}, {"5000/day", 5000, USEC_DAY},
        {"none", 0, USEC_SEC}, {"1000000000/s", 1000000000, USEC_SEC}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t count = 7;
        usec_t per = 7;
        assert_int_equal(units_rate(cases[i].text, &count, &per, NULL), 0);
        assert_int_equal(count, cases[i].count);
        assert_int_equal(per, cases[i].per);
    }
}

static void durations_and_sizes_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } durations[] = {{"500ms", 500 * USEC_MS}, {"30s", 30 * USEC_SEC}, {"5m", 5 * USEC_MIN},
        {"2h", 2 * USEC_HOUR}, {"4d", 4 * USEC_DAY}, {"0s", 0}, {"3650d", 3650 * USEC_DAY}},
      sizes[] = {{"0B", 0}, {"512B", 512}, {"64KiB", 65536}, {"10MiB", 10485760}, {"1GiB", 1 << 30},
          {"2TiB", (int64_t)2 << 40}, {"1024TiB", (int64_t)1 << 50}};
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        usec_t value = -1;
        assert_int_equal(units_duration(durations[i].text, &value, NULL), 0);
        assert_int_equal(value, durations[i].value);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t value = 1;
        assert_int_equal(units_size(sizes[i].text, &value, NULL), 0);
        assert_int_equal(value, sizes[i].value);
    }
}

static void what_has_no_meaning_is_refused(void **state)
{
    (void)state;
    static const char *none_of_all[] = {"", " ", "s", "/s", "-1s", "+1s", "1 s", "1s ", " 1s", "1e3s", "1.5h",
        "1,5h", "01s", "99999999999999999999999d", "99999999999999999999TiB", "5", "0x10", "1S", "1kb", "1MB",
        "1K", "1mib", "10/", "10//s", "10/x", "10/S", "0/s", "None", "-1/s", "1000000001/s", "3651d",
        "1025TiB", "ms"};
    for (size_t i = 0; i < sizeof none_of_all / sizeof *none_of_all; i++) {
        uint32_t count = 7;
        usec_t per = 8, duration = 9;
        uint64_t size = 10;
        struct error error = {{0}};
        assert_int_equal(units_rate(none_of_all[i], &count, &per, &error), -1);
        assert_int_equal(units_duration(none_of_all[i], &duration, &error), -1);
        assert_int_equal(units_size(none_of_all[i], &size, &error), -1);
        assert_true(count == 7 && per == 8 && duration == 9 && size == 10);
        assert_true(strlen(error.text) > 10);
    }
}

static void errors_name_the_units(void **state)
{
    (void)state;
    struct error error;
    usec_t duration;
    uint64_t size;
    uint32_t count;
    units_duration("30", &duration, &error);
    assert_string_equal(error.text, "`30` has no unit; write a number and ms, s, m, h or d, as in 30s");
    units_duration("4H", &duration, &error);
    assert_string_equal(error.text, "`4H`: unknown unit `H`; write a number and ms, s, m, h or d, as in 30s");
    units_size("10MB", &size, &error);
    assert_string_equal(
        error.text, "`10MB`: unknown unit `MB`; write a number and B, KiB, MiB, GiB or TiB, as in 10MiB");
    units_size("1048576", &size, &error);
    assert_string_equal(
        error.text, "`1048576` has no unit; write a number and B, KiB, MiB, GiB or TiB, as in 10MiB");
    units_rate("100", &count, &duration, &error);
    assert_string_equal(
        error.text, "`100` does not say per what; write it as in 100/s, 20/min, 1000/hour, 5000/day or none");
    units_number("1000", 1, 998, &size, &error);
    assert_string_equal(error.text, "`1000` is out of bounds: 1 to 998 is allowed");
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    static const char *durations[] = {"500ms", "0s", "90s", "5m", "1h", "36h", "4d"};
    static const char *sizes[] = {"0B", "1000B", "64KiB", "1536MiB", "1GiB", "2TiB"};
    static const char *rates[] = {"none", "100/s", "20/min", "1000/hour", "5000/day"};
    char out[32];
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        usec_t value;
        assert_int_equal(units_duration(durations[i], &value, NULL), 0);
        assert_string_equal(units_duration_text(value, out), durations[i]);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t value;
        assert_int_equal(units_size(sizes[i], &value, NULL), 0);
        assert_string_equal(units_size_text(value, out), sizes[i]);
    }
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        uint32_t count;
        usec_t per;
        assert_int_equal(units_rate(rates[i], &count, &per, NULL), 0);
        assert_string_equal(units_rate_text(count, per, out), rates[i]);
    }
}

static void an_arena_keeps_everything_until_its_end(void **state)
{
    (void)state;
    struct arena arena = {0};
    char *texts[500];
    for (size_t i = 0; i < 500; i++) {
        size_t len = i * i % 9000;
        texts[i] = arena_take(&arena, len + 1);
        assert_int_equal((uintptr_t)texts[i] % 16, 0);
        for (size_t j = 0; j <= len; j++)
            assert_int_equal(texts[i][j], 0);
        memset(texts[i], (int)('a' + i % 26), len);
    }
    for (size_t i = 0; i < 500; i++) {
        assert_int_equal(strlen(texts[i]), i * i % 9000);
        assert_true(texts[i][0] == 0 || texts[i][0] == (char)('a' + i % 26));
    }
    assert_string_equal(arena_text(&arena, "abcdef", 3), "abc");
    assert_non_null(arena_take(&arena, 0));
    arena_free(&arena);
    assert_null(arena.chunks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_read),
        cmocka_unit_test(durations_and_sizes_are_read),
        cmocka_unit_test(what_has_no_meaning_is_refused),
        cmocka_unit_test(errors_name_the_units),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(an_arena_keeps_everything_until_its_end),
    };
    return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
