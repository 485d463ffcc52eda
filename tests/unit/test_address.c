/* Addresses as clients, headers and old Japanese phones write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/address.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void addresses_are_cleaned(void **state)
{
    (void)state;
    static const struct {
        const char *text, *clean; /* null: refused */
        bool odd;
    } cases[] = {
        {"a@b.test", "a@b.test", false},
        {"A.B+c=d@Example.TEST", "A.B+c=d@example.test", false},
        {"a@b.test.", "a@b.test", false},
        {"a@localhost", "a@localhost", false},
        {"!#$%&'*+-/=?^_`{|}~@b.test", "!#$%&'*+-/=?^_`{|}~@b.test", false},
        {"-a@b.test", "-a@b.test", false},
        /* The kind that docomo and au gave out before 2009. */
        {".foo@docomo.ne.jp", ".foo@docomo.ne.jp", true},
        {"foo..bar@docomo.ne.jp", "foo..bar@docomo.ne.jp", true},
        {"foo.@ezweb.ne.jp", "foo.@ezweb.ne.jp", true},
        {"\"foo..bar\"@docomo.ne.jp", "\"foo..bar\"@docomo.ne.jp", false},
        {"\"a b\\\"@\"@B.test", "\"a b\\\"@\"@b.test", false},
        {"a@[192.0.2.1]", "a@[192.0.2.1]", false},
        {"a@[IPv6:2001:DB8:0::1]", "a@[IPv6:2001:db8::1]", false},
        {"a@\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e.jp", "a@xn--wgv71a119e.jp", false},
        {"a@B\xc3\xbc"
         "cher.example",
            "a@xn--bcher-kva.example", false},
        {A64 "@b.test", A64 "@b.test", false},
        {"a@" A63 ".test", "a@" A63 ".test", false},
        {"a@" A63 "." A63 "." A63 "." A61, "a@" A63 "." A63 "." A63 "." A61, false},
        {"", NULL, false},
        {"a", NULL, false},
        {"@", NULL, false},
        {"a@", NULL, false},
        {"@b.test", NULL, false},
        {"a b@b.test", NULL, false},
        {"a@b@c.test", NULL, false},
        {"a@b..test", NULL, false},
        {"a@.b.test", NULL, false},
        {"a@-b.test", NULL, false},
        {"a@b-.test", NULL, false},
        {"a@b_c.test", NULL, false},
        {"a@192.0.2.1", NULL, false},
        {"a@[192.0.2.256]", NULL, false},
        {"a@[2001:db8::1]", NULL, false},
        {"a@[]", NULL, false},
        {"a@[192.0.2.1", NULL, false},
        {"\"a@b.test", NULL, false},
        {"\"a\"b@b.test", NULL, false},
        {"\"a\\\"@b.test", NULL, false},
        {"\xe3\x81\x82@b.test", NULL, false},
        {"a@\xff\xfe.test", NULL, false},
        {"<a@b.test>", NULL, false},
        {"a\r\n@b.test", NULL, false},
        {"\"a\r\n\"@b.test", NULL, false},
        {A64 "a@b.test", NULL, false},
        {"a@" A64 ".test", NULL, false},
        {"a@" A63 "." A63 "." A63 "." A63, NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[ADDRESS_SIZE];
        bool odd = false;
        struct error error = {{0}};
        int rc = address_clean(cases[i].text, strlen(cases[i].text), out, &odd, &error);
        if (rc != (cases[i].clean == NULL ? -1 : 0))
            fail_msg("%s: %d %s", cases[i].text, rc, error.text);
        if (rc < 0) {
            assert_true(strlen(error.text) > 10);
        } else {
            assert_string_equal(out, cases[i].clean);
            assert_int_equal(odd, cases[i].odd);
        }
    }
}

static void a_zero_is_no_end(void **state)
{
    (void)state;
    char out[ADDRESS_SIZE];
    assert_int_equal(address_clean("a@b\0.test", 9, out, NULL, NULL), -1);
    assert_int_equal(address_clean("a\0@b.test", 9, out, NULL, NULL), -1);
    assert_int_equal(domain_clean("b.test\0x", 8, out, NULL), -1);
}

static void paths_are_read_off_the_front(void **state)
{
    (void)state;
    static const struct {
        const char *text, *clean;
        size_t used;
        bool allow_null;
    } cases[] = {
        {"<a@b.test> SIZE=1", "a@b.test", 10, false},
        {"<>", "", 2, true},
        {"<> X", "", 2, true},
        {"<@x.test,@y.test:a@b.test>", "a@b.test", 26, false},
        {"<\"a>b\"@c.test>x", "\"a>b\"@c.test", 14, false},
        {"<\"a\\\">b\"@c.test>", "\"a\\\">b\"@c.test", 16, false},
        {"<>", NULL, 0, false},
        {"a@b.test", NULL, 0, true},
        {"<a@b.test", NULL, 0, true},
        {"<@x.test>", NULL, 0, true},
        {"<@x.test:>", NULL, 0, true},
        {"< a@b.test>", NULL, 0, true},
        {"<<a@b.test>>", NULL, 0, true},
        {"<", NULL, 0, true},
        {"", NULL, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[ADDRESS_SIZE];
        size_t used = 0;
        int rc = address_path(cases[i].text, strlen(cases[i].text), cases[i].allow_null, out, &used, NULL);
        if (rc != (cases[i].clean == NULL ? -1 : 0))
            fail_msg("%s: %d", cases[i].text, rc);
        if (rc == 0) {
            assert_string_equal(out, cases[i].clean);
            assert_int_equal(used, cases[i].used);
        }
    }
}

static void headers_name_their_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *value, *first; /* null: refused */
        size_t count;
    } cases[] = {
        {" a@b.test", "a@b.test", 1},
        {"Name <a@B.test>", "a@b.test", 1},
        {"\"Last, First\" <a@b.test>", "a@b.test", 1},
        {"\"x\\\" <no@no.test>\" <a@b.test>", "a@b.test", 1},
        {"a@b.test (a comment (nested), with \\) signs)", "a@b.test", 1},
        {"(c)a(c)@(c)b.test(c)", "a@b.test", 1},
        {"John Q. Public <a@b.test>", "a@b.test", 1},
        {"=?UTF-8?B?5bGK?= <a@b.test>", "a@b.test", 1},
        {"\xe5\xb1\x8a\xe3\x81\x8f <a@b.test>", "a@b.test", 1},
        {" Name\r\n <a@b.test>", "a@b.test", 1},
        {"<a@b.test>", "a@b.test", 1},
        {"< a@b.test >", "a@b.test", 1},
        {"<@x.test,@y.test:a@b.test>", "a@b.test", 1},
        {"\"a b\"@c.test", "\"a b\"@c.test", 1},
        {"a . b @ c.test", "a.b@c.test", 1},
        {"a@b.test, c@d.test", "a@b.test", 2},
        {"a@b.test,, <c@d.test>,", "a@b.test", 2},
        {"group: a@b.test, Name <c@d.test>;", "a@b.test", 2},
        {"group: a@b.test;, c@d.test", "a@b.test", 2},
        {"undisclosed recipients:;", "", 0},
        {"", "", 0},
        {" (nobody)", "", 0},
        {"a@[192.0.2.1]", "a@[192.0.2.1]", 1},
        {"Name", NULL, 0},
        {"Name <>", NULL, 0},
        {"Name <a@b.test", NULL, 0},
        {"Name <a@b.test> more", NULL, 0},
        {"Name a@b.test", NULL, 0},
        {"<a@b.test><c@d.test>", NULL, 0},
        {"<a b@c.test>", NULL, 0},
        {"\"open <a@b.test>", NULL, 0},
        {"a@b.test (open", NULL, 0},
        {"a@b.test)", NULL, 0},
        {"a@b.test;", NULL, 0},
        {"g: a@b.test", NULL, 0},
        {"g: h: a@b.test;;", NULL, 0},
        {"a@b.test\x01", NULL, 0},
        {"((((((((((((((((((((a))))))))))))))))))))", NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[ADDRESS_SIZE];
        size_t count = 99;
        struct error error = {{0}};
        int rc = address_of_header(cases[i].value, strlen(cases[i].value), out, &count, &error);
        if (rc != (cases[i].first == NULL ? -1 : 0))
            fail_msg("%s: %d %s", cases[i].value, rc, error.text);
        if (rc == 0) {
            assert_string_equal(out, cases[i].first);
            assert_int_equal(count, cases[i].count);
        }
    }
}

static void domains_match_exactly(void **state)
{
    (void)state;
    assert_true(domain_matches("acme.test", "acme.test"));
    assert_true(domain_matches("acme.test", "ACME.test"));
    assert_true(domain_matches("acme.test", "*"));
    assert_false(domain_matches("b.acme.test", "acme.test"));
    assert_false(domain_matches("acme.test", "b.acme.test"));
    assert_false(domain_matches("acme.test", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_cleaned),
        cmocka_unit_test(a_zero_is_no_end),
        cmocka_unit_test(paths_are_read_off_the_front),
        cmocka_unit_test(headers_name_their_addresses),
        cmocka_unit_test(domains_match_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
