/* A lane's limits are exact: connections, messages per connection, pace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/lane.h"
#include "node/retry.h"

static void test_connections(void **state)
{
    (void)state;
    struct lane lane = {.limits = {.connections = 2, .messages_per_connection = 3}};
    assert_true(lane_may_open(&lane));
    lane.open = 1;
    assert_true(lane_may_open(&lane));
    lane.open = 2;
    assert_false(lane_may_open(&lane));
    assert_false(lane_used_up(&lane, 2));
    assert_true(lane_used_up(&lane, 3));
    lane.limits.messages_per_connection = 0; /* unlimited */
    assert_false(lane_used_up(&lane, 4000000000u));
}

/* Never more than count per per, whatever the rhythm of asking, and no fewer when always asked. */
static void test_pace(void **state)
{
    (void)state;
    static const struct rate rates[] = {
        {1, USEC_SEC}, {3, USEC_SEC}, {7, USEC_SEC}, {100, USEC_SEC}, {5000, USEC_DAY}, {1000000, USEC_SEC}};
    for (size_t r = 0; r < sizeof rates / sizeof rates[0]; r++) {
        struct lane lane = {.limits = {.rate = rates[r]}};
        usec_t now = 1000000000, start = now;
        for (uint32_t i = 0; i < 3 * rates[r].count; i++) {
            usec_t when = lane_when(&lane, now);
            assert_true(when >= now);
            now = when;
            lane_start(&lane, now);
        }
        assert_int_equal(lane.messages, 3 * rates[r].count);
        usec_t fastest = 3 * rates[r].per - rates[r].per / rates[r].count;
        assert_true(now - start >= fastest - 1);
        assert_true(now - start <= fastest + 3 * (usec_t)rates[r].count);
    }
}

/* What was not used is not saved up: a burst is one message. */
static void test_no_saving_up(void **state)
{
    (void)state;
    struct lane lane = {.limits = {.rate = {10, USEC_SEC}}};
    lane_start(&lane, 1000000);
    assert_int_equal(lane_when(&lane, 100 * USEC_SEC), 100 * USEC_SEC);
    lane_start(&lane, 100 * USEC_SEC);
    assert_int_equal(lane_when(&lane, 100 * USEC_SEC), 100 * USEC_SEC + 100 * USEC_MS);
}

static void test_unlimited(void **state)
{
    (void)state;
    struct lane lane = {.limits = {.rate = {0, 0}}};
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(lane_when(&lane, 5), 5);
        lane_start(&lane, 5);
    }
    assert_int_equal(lane.messages, 1000);
}

/* The waits of the settings, the last for ever, each stretched by at most a tenth. */
static void test_retry(void **state)
{
    (void)state;
    usec_t waits[] = {5 * USEC_MIN, 15 * USEC_MIN, USEC_HOUR};
    static struct settings settings;
    settings.delivery.retry = waits;
    settings.delivery.retry_count = 3;
    struct random random = {.state = 1};
    for (uint32_t attempts = 0; attempts < 1000; attempts++) {
        usec_t wait = waits[attempts < 2 ? 0 : attempts < 3 ? 1 : 2];
        usec_t due = retry_due(&settings, attempts, 1000, &random);
        assert_true(due >= 1000 + wait && due <= 1000 + wait + wait / 10);
    }
}

static void no_more_messages_are_under_way_than_connections(void **state)
{
    (void)state;
    struct lane lane = {.limits = {.connections = 2}};
    lane_start(&lane, 0);
    assert_false(lane_full(&lane));
    lane_start(&lane, 0);
    assert_true(lane_full(&lane)); /* sent or not: until an outcome is on the disk */
    lane.unsettled--;
    assert_false(lane_full(&lane));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_messages_are_under_way_than_connections),
        cmocka_unit_test(test_connections),
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_no_saving_up),
        cmocka_unit_test(test_unlimited),
        cmocka_unit_test(test_retry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
