/* Windows by the wall clock of a zone, also when that clock jumps; intervals and shares of a release. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/random.h"
#include "base/zone_icu.h"
#include "cluster/schedule.h"
#include "cluster/settings_read.h"

#define MAX_WINDOWS 8

struct made {
    struct setting_schedule schedule;
    struct setting_window windows[MAX_WINDOWS];
};

static void make(struct made *made, const char *zone, const char *const *windows)
{
    *made = (struct made){.schedule = {.timezone = (char *)zone, .windows = made->windows}};
    struct error error;
    for (; windows[made->schedule.window_count] != NULL; made->schedule.window_count++)
        if (settings_read_window(windows[made->schedule.window_count],
                &made->windows[made->schedule.window_count], NULL, &error) != 0)
            fail_msg("%s", error.text);
}

#define MAKE(made, zone, ...) make(made, zone, (const char *const[]){__VA_ARGS__, NULL})

/* "2027-03-28 01:00" in UTC. */
static usec_t at(const char *text)
{
    struct tm tm = {0};
    assert_non_null(strptime(text, "%Y-%m-%d %H:%M", &tm));
    return (usec_t)timegm(&tm) * USEC_SEC;
}

static void assert_at(usec_t when, const char *text)
{
    char seen[32], wanted[32];
    assert_string_equal(clock_rfc3339(when, seen), clock_rfc3339(at(text), wanted));
}

/* From `from` on the schedule is open as the texts say: opened, closed, opened ... */
static void opens_and_closes(
    const struct setting_schedule *schedule, const char *from, const char *const *changes)
{
    struct zone_face zones = zone_icu();
    usec_t now = at(from), until;
    assert_false(schedule_is_open(schedule, &zones, now, &until));
    for (bool open = true; *changes != NULL; changes++, open = !open) {
        assert_at(until, *changes);
        assert_int_equal(schedule_is_open(schedule, &zones, until - 1, &now), !open);
        assert_int_equal(schedule_is_open(schedule, &zones, until, &until), open);
    }
}

#define CHANGES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void office_hours_in_a_zone_without_summer_time(void **state)
{
    (void)state;
    struct made made;
    MAKE(&made, "Asia/Tokyo", "Mon-Fri 08:00-20:00", "Sat 10:00-16:00");
    /* 2026-11-22 is a Sunday; Tokyo is nine hours ahead. */
    opens_and_closes(&made.schedule, "2026-11-22 05:00",
        CHANGES("2026-11-22 23:00", "2026-11-23 11:00", "2026-11-23 23:00", "2026-11-24 11:00"));
    opens_and_closes(&made.schedule, "2026-11-27 12:00",
        CHANGES("2026-11-28 01:00", "2026-11-28 07:00", "2026-11-29 23:00", "2026-11-30 11:00"));
    struct zone_face zones = zone_icu();
    assert_at(schedule_opens(&made.schedule, &zones, at("2026-11-28 08:00")), "2026-11-29 23:00");
    assert_at(schedule_opens(&made.schedule, &zones, at("2026-11-30 03:21")), "2026-11-30 03:21");
}

static void a_window_across_midnight_belongs_to_the_day_it_begins_on(void **state)
{
    (void)state;
    struct made made;
    MAKE(&made, "UTC", "Fri 22:00-06:00");
    opens_and_closes(&made.schedule, "2026-11-27 05:00",
        CHANGES("2026-11-27 22:00", "2026-11-28 06:00", "2026-12-04 22:00", "2026-12-05 06:00"));
    MAKE(&made, "UTC", "Sun 22:00-06:00"); /* and across the end of the week */
    opens_and_closes(&made.schedule, "2026-11-22 21:59", CHANGES("2026-11-22 22:00", "2026-11-23 06:00"));
    MAKE(&made, "UTC", "22:00-06:00");
    opens_and_closes(&made.schedule, "2026-11-22 12:00",
        CHANGES("2026-11-22 22:00", "2026-11-23 06:00", "2026-11-23 22:00", "2026-11-24 06:00"));
}

static void windows_that_touch_or_overlap_are_one(void **state)
{
    (void)state;
    struct made made;
    MAKE(&made, "UTC", "08:00-12:00", "12:00-14:00", "13:00-15:30");
    opens_and_closes(&made.schedule, "2026-11-22 00:00",
        CHANGES("2026-11-22 08:00", "2026-11-22 15:30", "2026-11-23 08:00"));
    MAKE(&made, "UTC", "Mon 20:00-24:00", "Tue 00:00-04:00");
    opens_and_closes(&made.schedule, "2026-11-23 00:00", CHANGES("2026-11-23 20:00", "2026-11-24 04:00"));
    MAKE(&made, "UTC", "Mon-Sun 00:00-24:00");
    struct zone_face zones = zone_icu();
    usec_t until;
    assert_true(schedule_is_open(&made.schedule, &zones, at("2026-11-22 23:59"), &until));
    assert_true(until > at("2026-11-29 00:00")); /* "at least" */
    made.schedule.window_count = 0;
    assert_true(schedule_is_open(&made.schedule, &zones, at("2026-11-22 23:59"), &until));
    assert_true(until == USEC_NEVER);
}

/* 02:00 -> 03:00 on 2027-03-28 in Berlin, on 2027-03-14 in New York. */
static void an_hour_that_is_skipped_is_not_waited_for(void **state)
{
    (void)state;
    struct made made;
    MAKE(&made, "Europe/Berlin", "02:30-05:00");
    opens_and_closes(&made.schedule, "2027-03-27 05:00",
        CHANGES("2027-03-28 01:00", "2027-03-28 03:00", "2027-03-29 00:30", "2027-03-29 03:00"));
    MAKE(&made, "Europe/Berlin", "02:10-02:50"); /* not on that day at all */
    opens_and_closes(&made.schedule, "2027-03-27 05:00", CHANGES("2027-03-29 00:10", "2027-03-29 00:50"));
    MAKE(&made, "America/New_York", "Sun 02:30-05:00");
    opens_and_closes(&made.schedule, "2027-03-13 05:00",
        CHANGES("2027-03-14 07:00", "2027-03-14 09:00", "2027-03-21 06:30", "2027-03-21 09:00"));
    MAKE(&made, "Europe/Berlin", "08:00-09:00");
    opens_and_closes(&made.schedule, "2027-03-27 09:00", CHANGES("2027-03-28 06:00", "2027-03-28 07:00"));
}

/* 03:00 -> 02:00 on 2027-10-31 in Berlin, 02:00 -> 01:00 on 2027-11-07 in New York. */
static void an_hour_that_comes_twice_is_open_twice(void **state)
{
    (void)state;
    struct made made;
    MAKE(&made, "Europe/Berlin", "02:00-02:30");
    opens_and_closes(&made.schedule, "2027-10-30 05:00",
        CHANGES("2027-10-31 00:00", "2027-10-31 00:30", "2027-10-31 01:00", "2027-10-31 01:30",
            "2027-11-01 01:00", "2027-11-01 01:30"));
    MAKE(&made, "Europe/Berlin", "01:00-02:30"); /* shut from the first 02:30 to the second 02:00 */
    opens_and_closes(&made.schedule, "2027-10-30 05:00",
        CHANGES("2027-10-30 23:00", "2027-10-31 00:30", "2027-10-31 01:00", "2027-10-31 01:30"));
    MAKE(&made, "America/New_York", "01:15-08:00");
    opens_and_closes(&made.schedule, "2027-11-06 13:00",
        CHANGES("2027-11-07 05:15", "2027-11-07 06:00", "2027-11-07 06:15", "2027-11-07 13:00"));
}

/* Whatever the windows and the zone: what is said of a moment holds at every minute until then, and no longer. */
static void what_is_said_holds_until_then(void **state)
{
    (void)state;
    static const char *const zones_of[] = {
        "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kathmandu", "Australia/Lord_Howe"};
    struct random random = {.state = 4711};
    struct zone_face zones = zone_icu();
    for (unsigned round = 0; round < 40; round++) {
        struct made made = {.schedule = {.timezone = (char *)zones_of[round % 5], .windows = made.windows}};
        made.schedule.window_count = 1 + random_below(&random, 4);
        for (size_t i = 0; i < made.schedule.window_count; i++) {
            struct setting_window *window = &made.windows[i];
            window->days = (uint8_t)(1 + random_below(&random, 127));
            window->from = (uint16_t)random_below(&random, 1440);
            window->to = (uint16_t)((window->from + 1 + random_below(&random, 1439)) % 1440);
        }
        usec_t now = at("2027-01-01 00:00") + (usec_t)random_below(&random, 300) * USEC_DAY, until, ignored;
        for (unsigned changes = 0; changes < 12; changes++) {
            bool open = schedule_is_open(&made.schedule, &zones, now, &until);
            assert_true(until > now);
            for (usec_t t = now; t < until; t += 7 * USEC_MIN)
                assert_int_equal(schedule_is_open(&made.schedule, &zones, t, &ignored), open);
            assert_int_equal(schedule_is_open(&made.schedule, &zones, until - 1, &ignored), open);
            assert_int_equal(schedule_is_open(&made.schedule, &zones, until, &ignored), !open);
            now = until;
        }
    }
}

static void windows_that_are_none(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "08:00", "08:00-", "8:00-9:00", "08:00-20:00 ", "Mon",
        "Mon 08:00", "Mon-Fri08:00-20:00", "Mon- 08:00-20:00", "Mon,,Tue 08:00-20:00", "Foo 08:00-20:00",
        "08:60-09:00", "24:00-08:00", "08:00-24:01", "08:00-25:00", "08:00-08:00", "08:00-20:00x",
        "Mon-Fri 08.00-20.00"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct setting_window window;
        struct error error = {0};
        assert_int_equal(settings_read_window(wrong[i], &window, NULL, &error), -1);
        assert_true(error.text[0] == '`');
    }
    struct made made;
    MAKE(&made, "UTC", "Mon,Wed,Fri-Sun 00:00-24:00", "sat-TUE 22:15-06:45");
    assert_int_equal(made.windows[0].days, 0x75);
    assert_int_equal(made.windows[0].to, 1440);
    assert_int_equal(made.windows[1].days, 0x63);
    assert_int_equal(made.windows[1].from, 22 * 60 + 15);
    assert_int_equal(made.windows[1].to, 6 * 60 + 45);
}

static void intervals_and_shares(void **state)
{
    (void)state;
    struct setting_schedule schedule = {.release_count = 10, .release_every = 10 * USEC_MIN};
    assert_at(schedule_interval(&schedule, at("2026-11-22 12:09")), "2026-11-22 12:00");
    assert_at(schedule_interval(&schedule, at("2026-11-22 12:10") - 1), "2026-11-22 12:00");
    assert_at(schedule_interval(&schedule, at("2026-11-22 12:10")), "2026-11-22 12:10");
    for (uint32_t nodes = 1; nodes < 40; nodes++) {
        uint32_t sum = 0;
        for (uint32_t rank = 0; rank < nodes; rank++)
            sum += schedule_share(1000, nodes, rank);
        assert_int_equal(sum, 1000);
    }
    assert_int_equal(schedule_share(10, 3, 0), 4);
    assert_int_equal(schedule_share(10, 3, 1), 3);
    assert_int_equal(schedule_share(1, 3, 1), 0);
}

static void zones_by_name(void **state)
{
    (void)state;
    char near[ZONE_NAME_SIZE];
    assert_true(zone_known("Europe/Berlin"));
    assert_true(zone_known("UTC"));
    assert_true(zone_known("America/Argentina/Buenos_Aires"));
    static const char *const unknown[] = {"Europe/Berlim", "europe/berlin", "", "GMT+5", "Etc/Unknown",
        "Europe/Z\xc3\xbcrich", "Mars/OlympusMons",
        "Europe/a-name-that-is-much-longer-than-any-name-of-a-zone-of-this-world-is"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_false(zone_known(unknown[i]));
    assert_string_equal(zone_nearest("Europe/Berlim", near), "Europe/Berlin");
    assert_string_equal(zone_nearest("Asia/Tokio", near), "Asia/Tokyo");
    assert_string_equal(zone_nearest("bananas", near), "");
}

static void how_far_a_zone_is_ahead(void **state)
{
    (void)state;
    struct zone_face zones = zone_icu();
    usec_t until;
    assert_int_equal(zones.ahead(zones.context, "Asia/Tokyo", at("2027-01-01 00:00"), &until), 9 * USEC_HOUR);
    assert_int_equal(zones.ahead(zones.context, "Asia/Kathmandu", at("2027-01-01 00:00"), &until),
        5 * USEC_HOUR + 45 * USEC_MIN);
    assert_int_equal(zones.ahead(zones.context, "Europe/Berlin", at("2027-01-01 00:00"), &until), USEC_HOUR);
    assert_at(until, "2027-03-28 01:00");
    assert_int_equal(
        zones.ahead(zones.context, "Europe/Berlin", at("2027-03-28 01:00"), &until), 2 * USEC_HOUR);
    assert_at(until, "2027-10-31 01:00");
    assert_int_equal(
        zones.ahead(zones.context, "Europe/Berlin", at("2027-10-31 01:00") - 1, &until), 2 * USEC_HOUR);
    assert_int_equal(
        zones.ahead(zones.context, "America/New_York", at("2027-03-14 07:00") - 1, &until), -5 * USEC_HOUR);
    assert_at(until, "2027-03-14 07:00");
    assert_int_equal(zones.ahead(zones.context, "UTC", at("2027-01-01 00:00"), &until), 0);
    assert_true(until == USEC_NEVER);
    assert_int_equal(zones.ahead(zones.context, "No/Where", at("2027-01-01 00:00"), &until), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(office_hours_in_a_zone_without_summer_time),
        cmocka_unit_test(a_window_across_midnight_belongs_to_the_day_it_begins_on),
        cmocka_unit_test(windows_that_touch_or_overlap_are_one),
        cmocka_unit_test(an_hour_that_is_skipped_is_not_waited_for),
        cmocka_unit_test(an_hour_that_comes_twice_is_open_twice),
        cmocka_unit_test(what_is_said_holds_until_then),
        cmocka_unit_test(windows_that_are_none),
        cmocka_unit_test(intervals_and_shares),
        cmocka_unit_test(zones_by_name),
        cmocka_unit_test(how_far_a_zone_is_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
