/* What `todoku drain --wait` makes of each look at the node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/drain_watch.h"

#define T0 (1795323852LL * USEC_SEC)

static struct drain_watch watch;

static int set_up(void **state)
{
    (void)state;
    drain_watch_begin(&watch, T0);
    return 0;
}

static enum drain_verdict look(int at, const char *row)
{
    struct drain_sight sight;
    drain_sight_read(row, &sight);
    return drain_watch_look(&watch, &sight, T0 + at * USEC_SEC);
}

#define DRAINING(queued) "{\"node\":\"n3\",\"state\":\"draining\",\"queued\":" queued "}"

static void empty_is_who_was_seen_empty_twice(void **state)
{
    (void)state;
    assert_int_equal(
        look(0, "{\"state\":\"up\",\"queued\":0}"), DRAIN_GOES_ON); /* the view is still to come */
    assert_int_equal(look(1, DRAINING("7")), DRAIN_GOES_ON);
    assert_int_equal(look(2, DRAINING("0")), DRAIN_GOES_ON);
    assert_int_equal(look(3, DRAINING("1")), DRAIN_GOES_ON); /* it was on its way */
    assert_int_equal(look(4, DRAINING("0")), DRAIN_GOES_ON);
    assert_int_equal(look(5, "{\"state\":\"missing\"}"), DRAIN_GOES_ON);
    assert_int_equal(look(6, DRAINING("0")), DRAIN_GOES_ON);
    assert_int_equal(look(7, DRAINING("0")), DRAIN_EMPTY);
}

static void nobody_is_empty_who_does_not_answer(void **state)
{
    (void)state;
    static const char *const rows[] = {"{\"state\":\"down\"}", "{\"state\":\"silent\"}",
        "{\"state\":\"draining\"}", "", "no JSON", "{\"state\":17,\"queued\":\"0\"}",
        "{\"state\":\"down\",\"queued\":0}"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int j = 0; j < 3; j++)
            assert_int_equal(look((int)i, rows[i]), DRAIN_GOES_ON);
}

static void up_again_is_taken_back(void **state)
{
    (void)state;
    assert_int_equal(look(0, "{\"state\":\"up\",\"queued\":5}"), DRAIN_GOES_ON);
    assert_int_equal(look(1, DRAINING("5")), DRAIN_GOES_ON);
    assert_int_equal(look(2, "{\"state\":\"silent\"}"), DRAIN_GOES_ON);
    assert_int_equal(look(3, "{\"state\":\"up\",\"queued\":5}"), DRAIN_TAKEN_BACK);
}

static bool wants_why(int at)
{
    return drain_watch_wants_why(&watch, T0 + at * USEC_SEC);
}

static void asked_why_when_nothing_leaves(void **state)
{
    (void)state;
    look(0, DRAINING("50"));
    assert_false(wants_why(4));
    look(4, DRAINING("49"));
    assert_false(wants_why(8));
    look(8, DRAINING("60"));
    assert_true(wants_why(9));
    assert_false(wants_why(10));
    assert_false(wants_why(38));
    assert_true(wants_why(39));
    look(40, DRAINING("48"));
    assert_false(wants_why(41));
    assert_true(wants_why(45));
}

/* From the first look on: it may be down, or no view may come. */
static void asked_why_when_it_never_begins(void **state)
{
    (void)state;
    look(4, "{\"state\":\"up\",\"queued\":9}");
    assert_false(wants_why(4));
    look(5, "{\"state\":\"up\",\"queued\":8}");
    assert_true(wants_why(5));
}

static void expect_line(const char *row, const char *text)
{
    struct drain_sight sight;
    struct buffer line = {0};
    drain_sight_read(row, &sight);
    drain_line(&line, "n3", &sight);
    assert_string_equal(buffer_text(&line), text);
    buffer_free(&line);
}

static void one_line_says_how_far_it_is(void **state)
{
    (void)state;
    expect_line("{\"state\":\"draining\",\"queued\":1234,\"drain_per_second\":410.4,\"empty_in_ms\":3007}",
        "n3: 1234 queued, 410/s, empty in 3 s");
    expect_line("{\"state\":\"draining\",\"queued\":1234,\"drain_per_second\":0.5,\"empty_in_ms\":2468000}",
        "n3: 1234 queued, 0.5/s, empty in 41 min");
    expect_line("{\"state\":\"draining\",\"queued\":1234,\"drain_per_second\":0}",
        "n3: 1234 queued, no end in sight yet");
    expect_line(
        "{\"state\":\"draining\",\"queued\":0,\"drain_per_second\":3,\"empty_in_ms\":0}", "n3: 0 queued");
    expect_line("{\"state\":\"up\",\"queued\":3}",
        "n3: 3 queued; it is up, the next view will say that it is drained");
    expect_line("{\"state\":\"down\"}", "n3: down, so nothing is known of its queue");
    expect_line("", "n3: the API does not answer");
}

static void durations_are_short(void **state)
{
    (void)state;
    static const struct {
        long long ms;
        const char *text;
    } rows[] = {{0, "0 s"}, {1, "1 s"}, {1499, "1 s"}, {99000, "99 s"}, {100000, "2 min"},
        {3600000, "60 min"}, {6000000, "1.7 h"}, {172800000, "2.0 d"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buffer text = {0};
        drain_duration(&text, rows[i].ms);
        assert_string_equal(buffer_text(&text), rows[i].text);
        buffer_free(&text);
    }
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(empty_is_who_was_seen_empty_twice),
        TEST(nobody_is_empty_who_does_not_answer),
        TEST(up_again_is_taken_back),
        TEST(asked_why_when_nothing_leaves),
        TEST(asked_why_when_it_never_begins),
        TEST(one_line_says_how_far_it_is),
        TEST(durations_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
