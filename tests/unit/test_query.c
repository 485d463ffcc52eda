/* Selectors of strangers: the first of a name counts, whole and rightly encoded, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/query.h"

static const char *get(const char *selectors, const char *name)
{
    static char out[16];
    memset(out, 'x', sizeof out);
    bool found = query_get(selectors, name, out, sizeof out);
    assert_true(found || out[0] == '\0');
    return found ? out : NULL;
}

static void test_get(void **state)
{
    (void)state;
    assert_string_equal(get("a=1&b=2", "a"), "1");
    assert_string_equal(get("a=1&b=2", "b"), "2");
    assert_string_equal(get("a=1&a=2", "a"), "1");
    assert_string_equal(get("&&a=1&", "a"), "1");
    assert_string_equal(get("a=", "a"), "");
    assert_string_equal(get("a=b=c", "a"), "b=c");
    assert_null(get("", "a"));
    assert_null(get("a", "a"));
    assert_null(get("aa=1", "a"));
    assert_null(get("ba=1", "a"));
}

static void test_escapes(void **state)
{
    (void)state;
    assert_string_equal(get("a=x%20y+z", "a"), "x y z");
    assert_string_equal(get("a=%41%6a%6A", "a"), "Ajj");
    assert_string_equal(get("a=1%262", "a"), "1&2");
    assert_null(get("a=%", "a"));
    assert_null(get("a=%4", "a"));
    assert_null(get("a=%4g", "a"));
    assert_null(get("a=%g4", "a"));
    assert_null(get("a=x%00y", "a")); /* would end the text early */
    assert_null(get("a=%4&b=1", "a"));
}

static void test_too_long(void **state)
{
    (void)state;
    assert_string_equal(get("a=123456789012345", "a"), "123456789012345");
    assert_null(get("a=1234567890123456", "a"));
    assert_null(get("a=1234567890123456&a=1", "a")); /* the first, or nothing */
}

static void test_number(void **state)
{
    (void)state;
    assert_int_equal(query_number("limit=5", "limit", 1, 10, 7), 5);
    assert_int_equal(query_number("limit=-5", "limit", -9, 10, 7), -5);
    assert_int_equal(query_number("limit=0", "limit", 1, 10, 7), 7);
    assert_int_equal(query_number("limit=11", "limit", 1, 10, 7), 7);
    assert_int_equal(query_number("limit=", "limit", 0, 10, 7), 7);
    assert_int_equal(query_number("limit=5x", "limit", 1, 10, 7), 7);
    assert_int_equal(query_number("limit=99999999999999999999", "limit", 1, 10, 7), 7);
    assert_int_equal(query_number("", "limit", 1, 10, 7), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
