/* What a node tells and keeps of the holds: audit events, and the file for a start without the store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/hold_audit.h"
#include "node/hold_cache.h"

#define NOW (1795323852LL * USEC_SEC)

static struct buffer told;

static void tell(void *context, const char *json, size_t len)
{
    (void)context;
    buffer_add(&told, json, len);
    buffer_add_text(&told, "\n");
}

static const struct hold_audit audit = {.node = "n1", .tell = tell};

static void add(struct holds *holds, const char *id, const char *tenant, usec_t until)
{
    struct hold hold = {
        .match = {.tenant = tenant}, .since = NOW, .until = until, .reason = "why", .by = "key k1"};
    snprintf(hold.id, sizeof hold.id, "%s", id);
    assert_int_equal(holds_add(holds, &hold, NULL), 0);
}

/* How many events have this action and this hold. */
static int count(const char *action, const char *id)
{
    char text[100];
    int found = 0;
    snprintf(text, sizeof text, "\"action\":\"%s\",\"hold\":\"%s\"", action, id);
    for (const char *at = buffer_text(&told); (at = strstr(at, text)) != NULL; at++)
        found++;
    return found;
}

static int clear(void **state)
{
    (void)state;
    buffer_free(&told);
    return 0;
}

static void what_came_and_went_is_told(void **state)
{
    (void)state;
    struct holds *before = holds_new(), *after = holds_new();
    struct hold_lift lift = {.by = "key boss", .count = 1, .ids = {"a1"}};
    add(before, "a1", "acme", 0);
    add(before, "a2", "acme", 0);
    add(before, "a3", "acme", 0);
    add(before, "a4", "acme", NOW - 1); /* told as ended already */
    add(before, "a5", "acme", NOW + 1); /* ended since */
    add(after, "a3", "acme", 0);
    add(after, "b1", "other", NOW + USEC_HOUR);
    add(after, "b2", "other", NOW); /* has ended before it was seen */
    holds_set_lift(after, &lift);
    hold_audit_change(&audit, before, after, NOW, NOW + 2);
    assert_int_equal(count("resume", "a1"), 1);
    assert_non_null(strstr(buffer_text(&told), "\"by\":\"key boss\""));
    assert_int_equal(count("resume", "a2"), 1);
    assert_int_equal(count("expired", "a5"), 1);
    assert_int_equal(count("pause", "b1"), 1);
    assert_int_equal(count("pause", "b2") + count("pause", "a3") + count("resume", "a3"), 0);
    assert_int_equal(count("expired", "a4") + count("resume", "a4"), 0);
    assert_non_null(strstr(buffer_text(&told), "\"tenant\":\"other\",\"until\":"));
    assert_non_null(strstr(buffer_text(&told), "\"by\":\"key k1\",\"reason\":\"why\",\"node\":\"n1\"}"));
    holds_drop(&before);
    holds_drop(&after);
}

static void an_end_is_told_once(void **state)
{
    (void)state;
    struct holds *holds = holds_new();
    add(holds, "a1", "acme", NOW + 5);
    add(holds, "a2", "acme", 0);
    hold_audit_ends(&audit, holds, NOW, NOW + 4);
    assert_int_equal(buffer_len(&told), 0);
    hold_audit_ends(&audit, holds, NOW + 4, NOW + 5);
    hold_audit_ends(&audit, holds, NOW + 5, NOW + 90);
    assert_int_equal(count("expired", "a1"), 1);
    assert_int_equal(count("expired", "a2"), 0);
    holds_drop(&holds);
}

static void the_file_keeps_them(void **state)
{
    (void)state;
    char dir[] = "/tmp/todoku-holds-XXXXXX", file[100];
    struct holds *holds = holds_new(), *read;
    struct error error;
    usec_t ends, written;
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/holds", dir);
    assert_int_equal(hold_cache_read(file, &read, &ends, &written, &error), 0);
    assert_int_equal(holds_count(read) + (size_t)ends + (size_t)written, 0);
    holds_drop(&read);
    assert_int_equal(hold_cache_write(file, holds, NOW, &error), 0);
    assert_int_equal(hold_cache_read(file, &read, &ends, &written, &error), 0);
    assert_int_equal(holds_count(read), 0);
    holds_drop(&read);
    add(holds, "a1", "acme", 0);
    add(holds, "0123456789abcdef0123456789abcdef", "other\n2", NOW + 5);
    assert_int_equal(hold_cache_write(file, holds, NOW, &error), 0);
    assert_int_equal(hold_cache_read(file, &read, &ends, &written, &error), 0);
    assert_int_equal(holds_count(read), 2);
    assert_int_equal(ends, NOW);
    assert_true(written > 0);
    assert_string_equal(holds_at(read, 1)->match.tenant, "other\n2");
    assert_int_equal(holds_at(read, 1)->until, NOW + 5);
    holds_drop(&read);
    holds_drop(&holds);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void a_damaged_file_is_told_and_read_as_far_as_it_goes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        size_t count;
    } rows[] = {
        {"", -1, 0},
        {"todoku holds 2 7\n", -1, 0},
        {"todoku holds 1 7", 0, 0},
        {"todoku holds 1 7\na1 {\"tenant\":\"x\"}\n", 0, 1},
        {"todoku holds 1 7\na1 {\"tenant\":\"x\"}\na2 {\"tena", 0, 1}, /* no line: cut off */
        {"todoku holds 1 7\na1 {\"tenant\":\"x\"}\na2 {\"tena\n", -1, 1},
        {"todoku holds 1 7\nzz {\"tenant\":\"x\"}\n", -1, 0},
        {"todoku holds 1 7\n000000000000000000000000000000000000000000\n", -1, 0},
        {"todoku holds 1 7\n\n", -1, 0},
    };
    char file[] = "/tmp/todoku-holds-XXXXXX";
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct holds *read;
        struct error error = {"nothing"};
        usec_t ends, written;
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, rows[i].text, strlen(rows[i].text), 0), (ssize_t)strlen(rows[i].text));
        if (hold_cache_read(file, &read, &ends, &written, &error) != rows[i].result ||
            holds_count(read) != rows[i].count)
            fail_msg("%s: %zu holds, %s", rows[i].text, holds_count(read), error.text);
        if (rows[i].result != 0)
            assert_non_null(strstr(error.text, file));
        holds_drop(&read);
    }
    close(fd);
    unlink(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_came_and_went_is_told, clear),
        cmocka_unit_test_teardown(an_end_is_told_once, clear),
        cmocka_unit_test(the_file_keeps_them),
        cmocka_unit_test(a_damaged_file_is_told_and_read_as_far_as_it_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
