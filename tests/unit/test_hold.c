/* Holds as a value: what matches, how long, and what a record of one may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "cluster/hold.h"

#define NOW (1795323852LL * USEC_SEC)

static void add(struct holds *holds, const char *id, struct hold_match match, usec_t until)
{
    struct hold hold = {.match = match, .since = NOW, .until = until, .reason = "why", .by = "key k1"};
    snprintf(hold.id, sizeof hold.id, "%s", id);
    assert_int_equal(holds_add(holds, &hold, NULL), 0);
}

static usec_t until_of(const struct holds *holds, struct hold_match what, usec_t now)
{
    return holds_until(holds, &what, now, NULL);
}

static const struct hold_match mail = {.tenant = "acme",
    .campaign = "spring",
    .pool = "a",
    .source = "192.0.2.1",
    .provider = "google",
    .domain = "example.net"};

static void each_name_holds_what_it_names_and_nothing_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < HOLD_NAMES; i++) {
        struct holds *holds = holds_new();
        struct hold_match match = {0}, other = mail, unknown = mail;
        hold_match_set(&match, i, hold_match_get(&mail, i));
        hold_match_set(&other, i, "another");
        hold_match_set(&unknown, i, NULL);
        add(holds, "a1", match, 0);
        assert_true(until_of(holds, mail, NOW) == USEC_NEVER);
        assert_int_equal(until_of(holds, other, NOW), 0);
        assert_int_equal(until_of(holds, unknown, NOW), 0);
        holds_drop(&holds);
    }
}

static void all_that_is_named_must_match(void **state)
{
    (void)state;
    struct holds *holds = holds_new();
    add(holds, "a1", (struct hold_match){.tenant = "acme", .domain = "example.org"}, 0);
    assert_int_equal(until_of(holds, mail, NOW), 0);
    add(holds, "a2", (struct hold_match){.tenant = "acme", .domain = "example.net"}, 0);
    assert_true(until_of(holds, mail, NOW) == USEC_NEVER);
    holds_drop(&holds);
}

static void names_are_compared_whole(void **state)
{
    (void)state;
    struct holds *holds = holds_new();
    add(holds, "a1", (struct hold_match){.tenant = "acm"}, 0);
    add(holds, "a2", (struct hold_match){.tenant = "acme2"}, 0);
    add(holds, "a3", (struct hold_match){.domain = "net"}, 0);
    add(holds, "a4", (struct hold_match){.domain = "Example.net"}, 0);
    assert_int_equal(until_of(holds, mail, NOW), 0);
    holds_drop(&holds);
}

static void the_one_that_ends_last_is_told(void **state)
{
    (void)state;
    const struct hold *why;
    struct holds *holds = holds_new();
    assert_int_equal(holds_until(holds, &mail, NOW, &why), 0);
    assert_null(why);
    assert_true(holds_next_end(holds, NOW) == USEC_NEVER);
    add(holds, "a1", (struct hold_match){.tenant = "acme"}, NOW + 5);
    add(holds, "a2", (struct hold_match){.pool = "a"}, NOW + 9);
    add(holds, "a3", (struct hold_match){.domain = "example.net"}, NOW + 7);
    assert_int_equal(holds_until(holds, &mail, NOW, &why), NOW + 9);
    assert_string_equal(why->id, "a2");
    assert_int_equal(holds_next_end(holds, NOW), NOW + 5);
    assert_int_equal(holds_next_end(holds, NOW + 5), NOW + 7);
    assert_int_equal(until_of(holds, mail, NOW + 8), NOW + 9);
    assert_int_equal(until_of(holds, mail, NOW + 9), 0);
    add(holds, "a4", (struct hold_match){.source = "192.0.2.1"}, 0);
    assert_true(holds_until(holds, &mail, NOW + 20, &why) == USEC_NEVER);
    assert_string_equal(why->id, "a4");
    holds_drop(&holds);
}

static void a_set_owns_its_texts_and_is_bounded(void **state)
{
    (void)state;
    char tenant[8] = "acme";
    struct error error;
    struct holds *holds = holds_new(), *again = holds_hold(holds);
    add(holds, "a1", (struct hold_match){.tenant = tenant}, 0);
    tenant[0] = 'x';
    assert_string_equal(holds_at(holds, 0)->match.tenant, "acme");
    holds_drop(&holds);
    assert_non_null(holds_find(again, "a1"));
    assert_null(holds_find(again, "a2"));
    while (holds_count(again) < HOLD_MAX)
        add(again, "b", (struct hold_match){.tenant = "other"}, 0);
    struct hold more = {.id = "c", .match = {.tenant = "x"}};
    assert_int_equal(holds_add(again, &more, &error), -1);
    assert_non_null(strstr(error.text, "10000"));
    holds_drop(&again);
}

/* However many there are, they hold what a walk over all of them finds. */
static void many_hold_the_same_as_a_walk_finds(void **state)
{
    (void)state;
    static const char *const texts[] = {"a", "b", "c", NULL, NULL, NULL};
    struct random random = {.state = 7};
    for (size_t size = 0; size < 60; size += 3) {
        struct holds *holds = holds_new();
        for (size_t i = 0; i < size; i++) {
            struct hold_match match = {0};
            for (size_t j = 0; j < HOLD_NAMES; j++)
                hold_match_set(&match, j, texts[random_below(&random, 6)]);
            add(holds, "a1", match,
                random_below(&random, 4) == 0 ? 0 : NOW + (usec_t)random_below(&random, 9));
        }
        for (int round = 0; round < 200; round++) {
            struct hold_match what = {0};
            usec_t last = 0;
            for (size_t j = 0; j < HOLD_NAMES; j++)
                hold_match_set(&what, j, texts[random_below(&random, 4)]);
            for (size_t i = 0; i < size; i++) {
                struct holds *one = holds_new();
                holds_add(one, holds_at(holds, i), NULL);
                usec_t until = until_of(one, what, NOW + 4);
                last = until > last ? until : last;
                holds_drop(&one);
            }
            assert_true(until_of(holds, what, NOW + 4) == last);
        }
        holds_drop(&holds);
    }
}

static void a_record_comes_back_as_it_was(void **state)
{
    (void)state;
    struct error error;
    struct buffer text = {0};
    struct hold hold = {
        .id = "a1", .match = mail, .since = NOW, .until = NOW + 7, .reason = "\"so\"", .by = "x"};
    struct holds *holds = holds_new();
    for (size_t i = 0; i <= HOLD_NAMES; i++) {
        if (i > 0)
            hold_match_set(&hold.match, i - 1, i == HOLD_NAMES ? "example.org" : NULL);
        hold.until = i % 2 == 0 ? 0 : NOW + 7;
        hold.by_tenant = i == 0 || i == 2; /* counts only where a tenant is named */
        buffer_clear(&text);
        hold_write(&hold, &text);
        assert_int_equal(holds_read(holds, "b2", buffer_bytes(&text), buffer_len(&text), &error), 0);
        const struct hold *read = holds_at(holds, i);
        assert_string_equal(read->id, "b2");
        assert_true(hold_match_same(&read->match, &hold.match));
        assert_int_equal(read->until, hold.until);
        assert_int_equal(read->since, NOW);
        assert_string_equal(read->reason, "\"so\"");
        assert_string_equal(read->by, "x");
        assert_int_equal(read->by_tenant, hold.by_tenant && read->match.tenant != NULL);
    }
    buffer_free(&text);
    holds_drop(&holds);
}

static void bad_records_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *id, *text, *why;
    } rows[] = {
        {"a1", "", "no JSON object"},
        {"a1", "[]", "no JSON object"},
        {"a1", "{}", "names nothing"},
        {"a1", "{\"reason\":\"x\",\"server\":\"m1\"}", "names nothing"},
        {"a1", "{\"tenant\":7}", "`tenant` must be a text"},
        {"a1", "{\"tenant\":null}", "`tenant` must be a text"},
        {"a1", "{\"domain\":\"\"}", "`domain` is empty"},
        {"a1", "{\"tenant\":\"a\",\"tenant\":\"b\"}", "duplicate"},
        {"a1", "{\"tenant\":\"a\",\"until\":-1}", "`until` must be"},
        {"a1", "{\"tenant\":\"a\",\"until\":1.5}", "`until` must be"},
        {"a1", "{\"tenant\":\"a\",\"since\":9223372036854775807}", "`since` must be"},
        {"a1", "{\"tenant\":\"a\",\"by\":[]}", "`by` must be"},
        {"", "{\"tenant\":\"a\"}", "no id"},
        {"A1", "{\"tenant\":\"a\"}", "no id"},
        {"000000000000000000000000000000000", "{\"tenant\":\"a\"}", "no id"},
    };
    struct error error;
    struct holds *holds = holds_new();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(holds_read(holds, rows[i].id, rows[i].text, strlen(rows[i].text), &error), -1);
        if (strstr(error.text, rows[i].why) == NULL)
            fail_msg("%s: %s, not %s", rows[i].text, error.text, rows[i].why);
    }
    struct buffer text = {0};
    buffer_printf(&text, "{\"tenant\":\"%0*d\"}", HOLD_MAX_NAME + 1, 7);
    assert_int_equal(holds_read(holds, "a1", buffer_bytes(&text), buffer_len(&text), &error), -1);
    assert_int_equal(holds_count(holds), 0);
    static const char newer[] = "{\"tenant\":\"a\",\"ticket\":[17]}";
    assert_int_equal(holds_read(holds, "a1", newer, strlen(newer), &error), 0);
    buffer_free(&text);
    holds_drop(&holds);
}

static void a_lift_says_who_it_was(void **state)
{
    (void)state;
    struct error error;
    struct buffer text = {0};
    struct hold_lift lift = {.by = "key \"k\"", .count = 2, .ids = {"a1", "b2"}}, read;
    struct holds *holds = holds_new();
    assert_null(holds_lifted_by(holds, "a1"));
    hold_lift_write(&lift, &text);
    assert_int_equal(hold_lift_read(buffer_bytes(&text), buffer_len(&text), &read, &error), 0);
    holds_set_lift(holds, &read);
    assert_string_equal(holds_lifted_by(holds, "b2"), "key \"k\"");
    assert_null(holds_lifted_by(holds, "c3"));
    static const char *const bad[] = {"", "{}", "{\"by\":\"x\"}", "{\"by\":1,\"ids\":[]}",
        "{\"by\":\"x\",\"ids\":[1]}", "{\"by\":\"x\",\"ids\":[\"zz\"]}", "{\"by\":\"x\",\"ids\":{}}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(hold_lift_read(bad[i], strlen(bad[i]), &read, &error), -1);
    buffer_clear(&text);
    buffer_add_text(&text, "{\"by\":\"x\",\"ids\":[\"a\"");
    for (int i = 0; i < HOLD_LIFTS; i++)
        buffer_add_text(&text, ",\"a\"");
    buffer_add_text(&text, "]}");
    assert_int_equal(hold_lift_read(buffer_bytes(&text), buffer_len(&text), &read, &error), -1);
    buffer_free(&text);
    holds_drop(&holds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_name_holds_what_it_names_and_nothing_else),
        cmocka_unit_test(all_that_is_named_must_match),
        cmocka_unit_test(names_are_compared_whole),
        cmocka_unit_test(the_one_that_ends_last_is_told),
        cmocka_unit_test(a_set_owns_its_texts_and_is_bounded),
        cmocka_unit_test(many_hold_the_same_as_a_walk_finds),
        cmocka_unit_test(a_record_comes_back_as_it_was),
        cmocka_unit_test(bad_records_are_refused_with_a_reason),
        cmocka_unit_test(a_lift_says_who_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
