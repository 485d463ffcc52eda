/* What a person sees of the server's lines: rows, columns, units, order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/rows_json.h"
#include "cli/table.h"

static char *printed(const struct table *table, size_t limit, bool upright)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (upright)
        table_print_upright(table, limit, false, out);
    else
        table_print(table, limit, false, out);
    fclose(out);
    return text;
}

static struct table read_rows(const char *lines, const char *columns, char missing[200])
{
    struct table table;
    struct error error = {0};
    int rc = rows_read(lines, strlen(lines), columns, &table, missing, &error);
    assert_string_equal(error.text, "");
    assert_int_equal(rc, 0);
    return table;
}

static void assert_printed(struct table *table, size_t limit, bool upright, const char *want)
{
    char *text = printed(table, limit, upright);
    assert_string_equal(text, want);
    free(text);
    table_free(table);
}

static const char queues[] = "{\"domain\":\"b.test\",\"queued\":5,\"x\":1}\n"
                             "{\"domain\":\"gr\xc3\xbc\xc3\x9f\x65.test\",\"queued\":120,\"state\":\"ok\"}\n"
                             "\n{\"next\":\"1:7\"}\n{\"incomplete\":true,\"missing\":[\"n3\",\"n4\"]}\n";

static void columns_stand_under_their_names(void **state)
{
    (void)state;
    char missing[200];
    struct table table = read_rows(queues, "domain queued ready state", missing);
    assert_string_equal(missing, "n3, n4");
    assert_printed(&table, 0, false,
        "domain      queued  state\n"
        "b.test           5  \n"
        "gr\xc3\xbc\xc3\x9f\x65.test     120  ok\n");
}

static void unknown_columns_show_all(void **state)
{
    (void)state;
    struct table table =
        read_rows("{\"a\":1,\"b\":[\"x\",\"y\"]}\n{\"a\":2,\"c\":{\"d\":true}}", "nothing here", NULL);
    assert_printed(&table, 0, false, "a  b     c\n1  x, y  \n2        {\"d\":true}\n");
    table = read_rows("", "a b", NULL);
    assert_int_equal(table.rows, 0);
    table_free(&table);
}

static void rows_are_sorted_by_number_or_text(void **state)
{
    (void)state;
    static const struct {
        const char *by, *want;
    } rows[] = {
        {"n", "bac"},
        {"-n", "acb"},
        {"t", "abc"},
        {"-t", "cba"},
    };
    const char *lines = "{\"n\":10,\"t\":\"a\"}\n{\"n\":2,\"t\":\"b\"}\n{\"n\":10,\"t\":\"c\"}\n";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct table table = read_rows(lines, NULL, NULL);
        assert_true(table_sort(&table, rows[i].by));
        char order[4] = {table.cells[1][0], table.cells[3][0], table.cells[5][0]};
        assert_string_equal(order, rows[i].want);
        assert_false(table_sort(&table, "nosuch"));
        table_free(&table);
    }
}

static void a_limit_leaves_out_the_rest(void **state)
{
    (void)state;
    struct table table = read_rows("{\"n\":1}\n{\"n\":2}\n{\"n\":30}\n", "n", NULL);
    assert_printed(&table, 2, false, "n\n1\n2\n");
    table = read_rows("{\"n\":1}\n{\"n\":2}\n{\"n\":30}\n", NULL, NULL);
    assert_printed(&table, 2, true, "n  1\n\nn  2\n");
}

static void lines_of_json_are_chosen_unchanged(void **state)
{
    (void)state;
    static const char lines[] = "{\"n\":10,\"t\":\"a\"}\n{\"n\": 9, \"s\":[1]}\n{\"n\":10.5,\"t\":\"A\"}\n"
                                "{\"t\":\"b\",\"n\":\"9\"}\n"
                                "{\"incomplete\":true,\"missing\":[\"n3\"]}\n{\"next\":\"1:7\"}\n";
    static const char others[] = "{\"incomplete\":true,\"missing\":[\"n3\"]}\n{\"next\":\"1:7\"}\n";
    static const char *const rows[] = {"{\"n\":10,\"t\":\"a\"}\n", "{\"n\": 9, \"s\":[1]}\n",
        "{\"n\":10.5,\"t\":\"A\"}\n", "{\"t\":\"b\",\"n\":\"9\"}\n"};
    static const struct {
        const char *sort;
        size_t limit;
        const char *order;
    } cases[] = {
        {NULL, 0, "0123"},
        {NULL, 2, "01"},
        {NULL, 9, "0123"},
        {"n", 0, "1023"},
        {"-n", 0, "3201"},
        {"-n", 1, "3"},
        {"t", 3, "120"}, /* what has none is "" */
        {"-t", 0, "3021"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer out = {0}, want = {0};
        struct error error = {0};
        bool known = false;
        int rc = rows_choose(lines, strlen(lines), cases[i].sort, cases[i].limit, &known, &out, &error);
        for (const char *at = cases[i].order; *at != '\0'; at++)
            buffer_add_text(&want, rows[*at - '0']);
        buffer_add_text(&want, others);
        assert_int_equal(rc, 0);
        assert_true(known);
        assert_string_equal(buffer_text(&out), buffer_text(&want));
        buffer_free(&out);
        buffer_free(&want);
    }
}

static void a_choice_by_no_column_is_none(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *sort;
        int rc;
        bool known;
    } cases[] = {
        {"{\"n\":1}\n", "m", 0, false},
        {"{\"n\":1}\n", "-m", 0, false},
        {"{\"n\":1}\n", "", 0, false},
        {"{\"n\":1}\n", "-", 0, false},
        {"", "m", 0, true}, /* no row, nothing to miss */
        {"<html>", "m", -1, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer out = {0};
        struct error error = {0};
        bool known;
        const char *lines = cases[i].lines;
        assert_int_equal(
            rows_choose(lines, strlen(lines), cases[i].sort, 0, &known, &out, &error), cases[i].rc);
        assert_int_equal(known, cases[i].known);
        assert_int_equal(buffer_len(&out), 0);
        buffer_free(&out);
    }
}

static void units_are_for_people(void **state)
{
    (void)state;
    struct table table =
        read_rows("{\"queued_ms\":90000,\"short_ms\":15,\"age_ms\":259200000,\"body_bytes\":1536,"
                  "\"size\":200,\"up\":true,\"down\":false,\"rate\":0.25,\"none\":null}",
            NULL, NULL);
    assert_printed(&table, 0, true,
        "queued_ms   2 min\n"
        "short_ms    15 ms\n"
        "age_ms      3.0 d\n"
        "body_bytes  1.5 KiB\n"
        "size        200 B\n"
        "up          yes\n"
        "down        no\n"
        "rate        0.25\n");
}

static void strangers_do_not_move_the_cursor(void **state)
{
    (void)state;
    struct table table = read_rows("{\"reply\":\"550 \\u001b[2J\\r\\n\\u009bA \\u00e4\"}", "reply", NULL);
    assert_printed(&table, 0, false, "reply\n550 ?[2J???A \xc3\xa4\n");
}

static void what_is_no_list_is_told(void **state)
{
    (void)state;
    static const char *const rows[] = {"<html>", "[1]", "{\"a\":1}\n{\"a\":", "7"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct table table;
        struct error error = {0};
        assert_int_equal(rows_read(rows[i], strlen(rows[i]), NULL, &table, NULL, &error), -1);
        assert_non_null(strstr(error.text, "no list of JSON objects"));
    }
}

static void problems_and_receipts_are_read(void **state)
{
    (void)state;
    char detail[400], id[64];
    size_t recipients;
    rows_problem("{\"title\":\"x\",\"detail\":\"because\"}", detail);
    assert_string_equal(detail, "because");
    rows_problem("<html>", detail);
    assert_string_equal(detail, "");
    rows_problem("{\"detail\":7}", detail);
    assert_string_equal(detail, "");
    assert_int_equal(rows_receipt("{\"id\":\"ab\",\"recipients\":[{},{}]}", id, &recipients), 0);
    assert_string_equal(id, "ab");
    assert_int_equal(recipients, 2);
    assert_int_equal(rows_receipt("{}", id, &recipients), -1);
    assert_int_equal(rows_receipt("", id, &recipients), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_stand_under_their_names),
        cmocka_unit_test(unknown_columns_show_all),
        cmocka_unit_test(rows_are_sorted_by_number_or_text),
        cmocka_unit_test(a_limit_leaves_out_the_rest),
        cmocka_unit_test(lines_of_json_are_chosen_unchanged),
        cmocka_unit_test(a_choice_by_no_column_is_none),
        cmocka_unit_test(units_are_for_people),
        cmocka_unit_test(strangers_do_not_move_the_cursor),
        cmocka_unit_test(what_is_no_list_is_told),
        cmocka_unit_test(problems_and_receipts_are_read),
    };
    return cmocka_run_group_tests_name("rows", tests, NULL, NULL);
}
