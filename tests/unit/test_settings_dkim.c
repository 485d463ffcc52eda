/* Whose keys sign a message, and what of `dkim` is a fault. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "cluster/settings.h"

static const char head[] =
    "pools: { p: {} }\nnode: { sources: [{ address: 127.0.0.1, helo: mx.acme.example, pools: [p] }] }\n";

static struct settings *read_settings(const char *text, struct fault **faults_r, size_t *count_r)
{
    struct buffer whole = {0};
    buffer_printf(&whole, "%s%s", head, text);
    struct settings *settings =
        settings_parse(buffer_text(&whole), buffer_len(&whole), "t", faults_r, count_r);
    buffer_free(&whole);
    return settings;
}

static struct settings *parsed(const char *text)
{
    struct fault *faults;
    size_t count;
    struct settings *settings = read_settings(text, &faults, &count);
    if (settings == NULL)
        fail_msg("%zu faults; %s", count, faults[0].text);
    free(faults);
    return settings;
}

/* There is just one fault, and it says this. */
static void faulty(const char *text, const char *expected)
{
    struct fault *faults;
    size_t count;
    assert_null(read_settings(text, &faults, &count));
    if (count != 1 || strstr(faults[0].text, expected) == NULL)
        fail_msg("%zu faults; %s", count, faults[0].text);
    free(faults);
}

/* The selectors that sign, with spaces between. */
static void assert_signs(
    const struct settings *settings, const char *tenant, const char *from, const char *expected)
{
    const struct setting_dkim *keys[SETTINGS_DKIM_MOST];
    size_t count = settings_dkim_for(settings, tenant, from, keys);
    struct buffer out = {0};
    for (size_t i = 0; i < count; i++)
        buffer_printf(&out, "%s%s", i == 0 ? "" : " ", keys[i]->selector);
    assert_string_equal(buffer_text(&out), expected);
    buffer_free(&out);
}

static void all_keys_of_the_closest_domain_sign_and_the_operators(void **state)
{
    (void)state;
    struct settings *s = parsed("tenants:\n"
                                "  - id: acme\n    pools: [p]\n    domains: [acme.example, "
                                "news.acme.example, zen.example]\n    dkim:\n"
                                "      - { domain: acme.example, selector: r1, key_file: a }\n"
                                "      - { domain: acme.example, selector: E1, key_file: b }\n"
                                "      - { domain: news.acme.example, selector: n1, key_file: c, expire: 7d, "
                                "canonicalization: simple/relaxed }\n"
                                "  - { id: zen, pools: [p], domains: [zen.example] }\n"
                                "operator_dkim: [{ domain: op.example, selector: o1, key_file: o, "
                                "canonicalization: relaxed/simple }]\n");
    assert_signs(s, "acme", "acme.example", "r1 e1 o1");
    assert_signs(s, "acme", "deep.below.acme.example", "r1 e1 o1");
    assert_signs(s, "acme", "news.acme.example", "n1 o1");
    assert_signs(s, "acme", "x.news.acme.example", "n1 o1");
    assert_signs(s, "acme", "notacme.example", "o1");
    assert_signs(s, "acme", "example", "o1");
    assert_signs(s, "acme", "", "o1");
    assert_signs(s, "zen", "acme.example", "o1");
    assert_signs(s, "nobody", "acme.example", "o1");
    assert_true(settings_dkim_asks_from(s, "acme"));
    assert_false(settings_dkim_asks_from(s, "zen"));
    assert_false(settings_dkim_asks_from(s, "nobody"));
    const struct setting_dkim *dkim = s->tenants[0].dkim;
    assert_int_equal(dkim[0].canon, CANON_RELAXED_RELAXED);
    assert_int_equal(dkim[0].expire, 0);
    assert_int_equal(dkim[2].canon, CANON_SIMPLE_RELAXED);
    assert_int_equal(dkim[2].expire, 7 * USEC_DAY);
    assert_int_equal(s->operator_dkim[0].canon, CANON_RELAXED_SIMPLE);
    assert_string_equal(setting_canon_name(dkim[2].canon), "simple/relaxed");
    settings_free(&s);
}

static void a_key_above_the_tenants_domain_or_shared_by_two_is_fine(void **state)
{
    (void)state;
    struct settings *s = parsed("tenants:\n"
                                "  - { id: a, pools: [p], domains: [m.acme.example],\n"
                                "      dkim: [{ domain: acme.example, selector: s, key_file: k }] }\n"
                                "  - { id: b, pools: [p], domains: ['*'], dkim: [{ domain: acme.example, "
                                "selector: s, key_file: k }] }\n");
    assert_signs(s, "a", "m.acme.example", "s");
    assert_signs(s, "b", "acme.example", "s");
    assert_signs(s, "b", "other.example", "");
    settings_free(&s);
}

#define TENANT(keys) "tenants: [{ id: a, pools: [p], domains: [acme.example], dkim: [" keys "] }]\n"
#define KEY(selector) "{ domain: acme.example, selector: " selector ", key_file: k }"

static void what_would_not_work_is_a_fault(void **state)
{
    (void)state;
    faulty(TENANT(KEY("s") ", " KEY("S")), "the selector `s` of `acme.example` is given twice");
    faulty(TENANT("{ domain: news.acme.example, selector: s, key_file: k }"),
        "`news.acme.example` would never sign");
    faulty(TENANT("{ domain: cme.example, selector: s, key_file: k }"), "`cme.example` would never sign");
    faulty(TENANT(KEY("a") "," KEY("b") "," KEY("c") "," KEY("d") "," KEY("e")),
        "`acme.example` has more than 4 keys, and each signs every message");
    faulty(TENANT(KEY("s")) "operator_dkim: [" KEY("s") "]\n", "is a tenant's too, in line 3");
    faulty("operator_dkim: [" KEY("a") "," KEY("b") "," KEY("c") "," KEY("d") "," KEY("e") "]\n",
        "`operator_dkim` has 5 entries; at most 4 are allowed");
    faulty("tenants:\n- { id: a, pools: [p], domains: [acme.example], dkim: [" KEY(
               "s") "] }\n"
                    "- { id: b, pools: [p], domains: [acme.example],\n"
                    "    dkim: [{ domain: acme.example, selector: s, key_file: other }] }\n",
        "t:6:46: the selector `s` of `acme.example` has another key_file in line 4");
    faulty(TENANT("{ domain: acme.example, selector: s, key_file: k, expire: 10m }"), "expire");
    faulty(TENANT("{ domain: acme.example, selector: s, key_file: k, canonicalization: strict }"),
        "relaxed/simple");
}

static void a_selector_is_labels(void **state)
{
    (void)state;
    static const char *const good[] = {"s", "s1.2026", "a-b", "1"};
    static const char *const bad[] = {"a_b", "a..b", ".a", "a.", "-a", "a-", "a-.b", "a.-b", "'a b'"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char text[300];
        snprintf(text, sizeof text, "operator_dkim: [{ domain: a.example, selector: %s, key_file: k }]\n",
            good[i]);
        struct settings *s = parsed(text);
        assert_signs(s, "", "", good[i]);
        settings_free(&s);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[300];
        snprintf(
            text, sizeof text, "operator_dkim: [{ domain: a.example, selector: %s, key_file: k }]\n", bad[i]);
        faulty(text, "is no selector; use letters, digits and hyphens");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_keys_of_the_closest_domain_sign_and_the_operators),
        cmocka_unit_test(a_key_above_the_tenants_domain_or_shared_by_two_is_fine),
        cmocka_unit_test(what_would_not_work_is_a_fault),
        cmocka_unit_test(a_selector_is_labels),
    };
    return cmocka_run_group_tests_name("settings_dkim", tests, NULL, NULL);
}
