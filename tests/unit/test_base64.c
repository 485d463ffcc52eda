/* Base64 both ways, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"

static void the_examples_of_rfc_4648(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfb", "//77"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[BASE64_SIZE(6)], back[8];
        size_t len = strlen(cases[i][0]);
        assert_int_equal(base64_encode(cases[i][0], len, out), strlen(cases[i][1]));
        assert_string_equal(out, cases[i][1]);
        assert_int_equal(base64_decode(out, strlen(out), back), len);
        assert_memory_equal(back, cases[i][0], len);
    }
}

static void what_is_no_base64(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "====", "Z===", "Zm 9", "Zm9v\n", "Zm9-", "=m9v"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[8];
        assert_int_equal(base64_decode(cases[i], strlen(cases[i]), out), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_rfc_4648),
        cmocka_unit_test(what_is_no_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
