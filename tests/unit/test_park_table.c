/* What every park table must do (park_suite), asked of the one in memory; and how that one loses its newest
 * commits and fails, since the simulator builds on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/park_memory.h"
#include "tests/unit/park_suite.h"

static struct park_memory *memory;

static void open_memory(struct park_suite *suite)
{
    memory = park_memory_new();
    suite->table = park_memory_table(memory);
}

static void close_memory(struct park_suite *suite)
{
    (void)suite;
    park_memory_free(&memory);
    assert_null(memory);
}

/* A clean end keeps all. */
static void reopen_memory(struct park_suite *suite)
{
    park_memory_crash(memory, park_memory_at_risk(memory));
    suite->table = park_memory_table(memory);
}

static void commit_number(const struct park_table *table, uint64_t number)
{
    char key[16], text[16];
    snprintf(key, sizeof key, "k%02u", (unsigned)(number % 7));
    snprintf(text, sizeof text, "%u", (unsigned)number);
    if (number % 5 == 3)
        park_remove(table, key);
    else
        park_put(table, key, text);
    park_put(table, "last", text);
    park_commit(table);
}

/* After a crash the table is what the first so many commits make, never fewer than were flushed. */
static void test_crash(void **state)
{
    (void)state;
    for (uint64_t all = 0; all < 12; all++)
        for (uint64_t flushed = 0; flushed <= all; flushed++)
            for (uint64_t kept = 0; kept <= all - flushed; kept++) {
                struct park_memory *crashing = park_memory_new(), *want = park_memory_new();
                struct park_table table = park_memory_table(crashing), wanted = park_memory_table(want);
                char text[400];
                for (uint64_t i = 0; i < all; i++) {
                    commit_number(&table, i);
                    if (i + 1 == flushed)
                        park_flush(&table);
                }
                for (uint64_t i = 0; i < flushed + kept; i++)
                    commit_number(&wanted, i);
                assert_int_equal(park_memory_at_risk(crashing), all - flushed);
                park_put(&table, "gathered", "but not committed");
                park_memory_crash(crashing, kept);
                park_commit(&table);
                snprintf(text, sizeof text, "%s", park_show(&wanted, "a", 0, 99));
                assert_string_equal(park_show(&table, "a", 0, 99), text);
                assert_int_equal(park_memory_figures(crashing).keys, park_memory_figures(want).keys);
                assert_int_equal(park_memory_figures(crashing).bytes, park_memory_figures(want).bytes);
                park_memory_free(&crashing);
                park_memory_free(&want);
            }
}

/* A flush covers what was committed before it began. */
static void test_flush_takes_time(void **state)
{
    (void)state;
    struct park_memory *crashing = park_memory_new();
    struct park_table table = park_memory_table(crashing);
    commit_number(&table, 0);
    commit_number(&table, 1);
    uint64_t begun = park_memory_flush_begin(crashing);
    commit_number(&table, 2);
    assert_int_equal(park_memory_at_risk(crashing), 3);
    park_memory_flush_end(crashing, begun);
    assert_int_equal(park_memory_at_risk(crashing), 1);
    park_memory_crash(crashing, 0);
    assert_string_equal(park_get(&table, "last"), "1");
    park_memory_crash(crashing, 0); /* what one crash left is there for good */
    assert_string_equal(park_get(&table, "last"), "1");
    park_memory_wipe(crashing);
    assert_string_equal(park_show(&table, "a", 0, 99), "");
    assert_int_equal(park_memory_figures(crashing).bytes, 0);
    park_memory_free(&crashing);
}

static bool never(void *with, const void *key, size_t key_len, const void *value, size_t value_len)
{
    (void)with, (void)key, (void)key_len, (void)value, (void)value_len;
    fail_msg("a failing table was read");
    return false;
}

static void test_failing(void **state)
{
    (void)state;
    struct park_memory *failing = park_memory_new();
    struct park_table table = park_memory_table(failing);
    struct buffer value = {0};
    struct error why = {""};
    commit_number(&table, 0);
    park_memory_fail(failing, true);
    park_put(&table, "k00", "lost");
    assert_int_equal(table.commit(table.context, &why), -1);
    assert_true(strlen(why.text) > 10);
    assert_int_equal(table.get(table.context, "last", 4, &value, &why), -1);
    assert_int_equal(table.scan(table.context, "a", 1, 0, never, NULL, &why), -1);
    assert_int_equal(table.flush(table.context, &why), -1);
    park_memory_fail(failing, false);
    park_commit(&table); /* the batch that failed is gone */
    assert_string_equal(park_show(&table, "a", 0, 99), "k00=0 last=0");
    buffer_free(&value);
    park_memory_free(&failing);
}

int main(void)
{
    struct park_suite suite = {
        .name = "park_memory", .open = open_memory, .close = close_memory, .reopen = reopen_memory};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_flush_takes_time),
        cmocka_unit_test(test_failing),
    };
    return park_suite_run(&suite) + cmocka_run_group_tests(tests, NULL, NULL);
}
