/* Whatever strangers say, another program's JSON reader takes what we wrote, and reads the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/json_out.h"
#include "base/random.h"

static json_t *read_back(struct buffer *out)
{
    json_error_t why;
    json_t *json =
        json_loadb(buffer_bytes(out), buffer_len(out), JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    if (json == NULL)
        fail_msg("%s: %s", why.text, buffer_text(out));
    return json;
}

static void test_shapes(void **state)
{
    (void)state;
    struct buffer out = {0};
    json_begin(&out, '{');
    json_text(&out, "text", "a");
    json_number(&out, "least", INT64_MIN);
    json_number(&out, "most", INT64_MAX);
    json_bool(&out, "yes", true);
    json_bool(&out, "no", false);
    json_fraction(&out, "half", 0.5);
    json_fraction(&out, "none", NAN);
    json_begin_named(&out, "list", '[');
    json_text(&out, NULL, "one");
    json_text(&out, NULL, "ends with [");
    json_text(&out, NULL, "three");
    json_begin(&out, '{');
    json_end(&out, '}');
    json_begin(&out, '[');
    json_end(&out, ']');
    json_end(&out, ']');
    json_text(&out, "last", "{");
    json_end(&out, '}');
    json_t *json = read_back(&out);
    assert_int_equal(json_object_size(json), 9);
    assert_true(json_integer_value(json_object_get(json, "least")) == INT64_MIN);
    assert_true(json_integer_value(json_object_get(json, "most")) == INT64_MAX);
    assert_true(json_is_true(json_object_get(json, "yes")) && json_is_false(json_object_get(json, "no")));
    assert_true(json_number_value(json_object_get(json, "half")) == 0.5);
    assert_int_equal(json_array_size(json_object_get(json, "list")), 5);
    json_decref(json);
    buffer_free(&out);
}

static void test_lines(void **state)
{
    (void)state;
    struct buffer out = {0};
    for (int i = 0; i < 2; i++) {
        json_begin(&out, '{');
        json_number(&out, "i", i);
        json_end(&out, '}');
        buffer_add(&out, "\n", 1);
    }
    assert_string_equal(buffer_text(&out), "{\"i\":0}\n{\"i\":1}\n");
    buffer_free(&out);
}

/* The text as it is read back. */
static char *round_trip(const char *text, size_t len, size_t *len_r)
{
    struct buffer out = {0};
    json_begin(&out, '{');
    json_text_len(&out, "t", text, len);
    json_end(&out, '}');
    for (size_t i = 0; i < buffer_len(&out); i++)
        assert_true((unsigned char)buffer_bytes(&out)[i] >= ' ' && buffer_bytes(&out)[i] != 0x7f);
    json_t *json = read_back(&out), *value = json_object_get(json, "t");
    *len_r = json_string_length(value);
    char *copy = malloc(*len_r + 1);
    memcpy(copy, json_string_value(value), *len_r + 1);
    json_decref(json);
    buffer_free(&out);
    return copy;
}

static void assert_reads(const char *text, size_t len, const char *want)
{
    size_t got_len;
    char *got = round_trip(text, len, &got_len);
    assert_int_equal(got_len, strlen(want));
    assert_memory_equal(got, want, got_len);
    free(got);
}

static void test_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* null = the same */
    } texts[] = {
        {"", NULL},
        {"plain", NULL},
        {"quote \" backslash \\ slash /", NULL},
        {"\r\n\t\b\f\x1b\x7f\x01", NULL},
        {"\",\"admin\":true,\"x\":\"", NULL},
        {"\xe5\xb1\x8a\xe3\x81\x8f", NULL},
        {"\xf0\x9f\x93\xae", NULL},
        {"\xef\xbf\xbe", NULL},       /* U+FFFE is a code point too */
        {"a\x80z", "a\xef\xbf\xbdz"}, /* a continuation alone */
        {"a\xffz", "a\xef\xbf\xbdz"},
        {"\xc3", "\xef\xbf\xbd"}, /* cut off */
        {"\xe5\xb1", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"}, /* overlong */
        {"\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_reads(
            texts[i].text, strlen(texts[i].text), texts[i].want == NULL ? texts[i].text : texts[i].want);
    size_t len;
    char *got = round_trip("a\0b", 3, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(got, "a\0b", 3);
    free(got);
}

static void test_any_bytes(void **state)
{
    (void)state;
    struct random random = {.state = 42};
    for (int i = 0; i < 20000; i++) {
        char text[40];
        size_t len = random_below(&random, sizeof text), got;
        for (size_t j = 0; j < len; j++)
            text[j] = (char)random_below(&random, 256);
        free(round_trip(text, len, &got));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
