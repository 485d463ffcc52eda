/* Every message a key applies to leaves signed: once a message, and never without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/desk_help.h"

#define OPERATOR(selector) "operator_dkim: [{ domain: op.test, selector: " selector ", key_file: k }]\n"
static const char key[] = OPERATOR("o1");
static const char eight_bit_mail[] =
    "From: a@acme.test\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; "
    "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nna\xc3\xafve\r\n";

static struct desk desk;

static int tear_down(void **state)
{
    (void)state;
    desk_close(&desk);
    return 0;
}

/* The first connection breaks. */
static void cut(void)
{
    node_closed(desk.node, 1, "cut", desk.now);
    buffer_free(&desk.lines[0].in);
    desk.lines[0] = (struct desk_line){0};
}

static void test_no_key_applies(void **state)
{
    (void)state;
    desk_open(&desk, "");
    desk_inject(&desk, "acme", "c", "a.test", 1);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 1);
    assert_int_equal(desk.jobs, 0);
    assert_string_equal(desk.first_line, "Subject: x");
}

static void test_once_for_all_recipients(void **state)
{
    (void)state;
    desk_open(&desk, key);
    desk.keep_unsigned = true;
    desk_inject_until(&desk, "acme", "c", "a.test", 1, 0, desk.now + USEC_DAY, 950);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.taken, 0);
    assert_int_equal(desk.jobs, 1);
    assert_string_equal(desk.job_keys, "o1 ");
    assert_false(desk.job_converted);
    desk.keep_unsigned = false;
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 950);
    assert_int_equal(desk.taken, 10); /* transactions of 100 recipients */
    assert_int_equal(desk.sealed, desk.taken);
    assert_int_equal(desk.jobs, 1);
    assert_int_equal(node_figures(desk.node).body_bytes, 0); /* nothing of it stays in memory */
}

static void test_the_from_decides(void **state)
{
    (void)state;
    static const struct {
        const char *message, *keys;
    } cases[] = {
        {"Subject: x\r\nFrom: Me <a@m.keys.test>\r\n\r\nx\r\n", "k1 k2 o1 "},
        {"From: a@keys.test\r\n\r\nx\r\n", "k1 k2 o1 "},
        {"From: a@\r\n sub.keys.test\r\n\r\nx\r\n", "s1 o1 "},
        {"From: a@other.test\r\n\r\nFrom: a@keys.test\r\n", "o1 "},
        {"Subject: no From\r\n\r\nx\r\n", "o1 "},
    };
    desk_open(&desk, OPERATOR("o1"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        desk.message = cases[i].message;
        desk_inject(&desk, "keyed", "c", "a.test", (unsigned)i);
        desk_run(&desk, USEC_SEC);
        assert_string_equal(desk.job_keys, cases[i].keys);
    }
    assert_int_equal(desk.sealed, sizeof cases / sizeof *cases);
}

/* It learns by trying that the site takes no eight bits; the copy that it sends then is another message. */
static void test_a_converted_copy_is_signed_for_itself(void **state)
{
    (void)state;
    desk_open(&desk, key);
    desk.seven_bit = true;
    desk.message = eight_bit_mail;
    desk_inject_until(&desk, "acme", "c", "a.test", 1, 0, desk.now + USEC_DAY, 150);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 150);
    assert_int_equal(desk.sealed, desk.taken);
    assert_true(desk.job_converted);
    assert_true(desk.jobs >= 3); /* as it came, and each of two copies */
}

static void test_what_cannot_be_signed_waits(void **state)
{
    (void)state;
    desk_open(&desk, key);
    desk.cannot_sign = true;
    desk_inject(&desk, "acme", "c", "a.test", 1);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.deferred, 1);
    assert_int_equal(desk.started, 0);
    assert_non_null(strstr(desk.last_event, "4.3.0"));
    assert_non_null(strstr(desk.last_event, "could not be signed: the key is asleep"));
    desk.cannot_sign = false;
    desk_run(&desk, USEC_HOUR);
    assert_int_equal(desk.delivered, 1);
    assert_int_equal(desk.sealed, 1);
}

static void test_quiesce_while_signing(void **state)
{
    (void)state;
    desk_open(&desk, key);
    desk.keep_unsigned = true;
    desk_inject(&desk, "acme", "c", "a.test", 1);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.jobs, 1);
    node_quiesce(desk.node, desk.now);
    desk.keep_unsigned = false;
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.delivered, 1);
    assert_int_equal(desk.sealed, 1);
    assert_true(node_idle(desk.node));
}

/* The answer finds nobody waiting, and serves whoever comes next. */
static void test_a_session_ends_while_signing(void **state)
{
    (void)state;
    desk_open(&desk, key);
    desk.keep_unsigned = true;
    desk_inject(&desk, "acme", "c", "a.test", 1);
    desk_settle(&desk);
    assert_int_equal(desk.jobs, 1);
    cut();
    desk_sign(&desk);
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.delivered, 1);
    assert_int_equal(desk.sealed, 1);
    assert_int_equal(desk.jobs, 1);
}

/* Another connection takes the number of one that ended: the late answer is not for it. */
static void test_an_answer_is_for_its_message_only(void **state)
{
    (void)state;
    desk_open(&desk, key);
    desk.keep_unsigned = true;
    desk.seven_bit = true;
    desk.message = eight_bit_mail;
    desk_inject(&desk, "acme", "c", "a.test", 1);
    desk_settle(&desk);
    cut();
    desk.message = NULL;
    desk_inject(&desk, "zen", "c", "b.test", 2);
    desk_run(&desk, USEC_SEC);
    desk.keep_unsigned = false;
    desk_run(&desk, USEC_HOUR);
    assert_int_equal(desk.delivered, 2);
    assert_int_equal(desk.sealed, desk.taken);
}

static void test_rotation_while_signing(void **state)
{
    (void)state;
    desk_open(&desk, OPERATOR("old"));
    desk.keep_unsigned = true;
    desk_inject_until(&desk, "acme", "c", "a.test", 1, 0, desk.now + USEC_DAY, 2);
    desk_settle(&desk);
    assert_string_equal(desk.job_keys, "old ");
    desk_configure(&desk, OPERATOR("new"));
    desk_inject(&desk, "acme", "c", "b.test", 2);
    desk_settle(&desk);
    assert_string_equal(desk.job_keys, "new ");
    desk.defer = 2; /* the first one's recipients: it comes again */
    desk.keep_unsigned = false;
    desk_run(&desk, USEC_HOUR);
    assert_int_equal(desk.delivered, 3);
    assert_int_equal(desk.sealed, desk.taken);
    assert_string_equal(desk.first_line, "DKIM-Signature: by new ");
}

/* Nor is what was signed before, and waits, good any more. */
static void test_a_head_of_former_keys(void **state)
{
    (void)state;
    const struct hold_match match = {.tenant = "acme"};
    desk_open(&desk, OPERATOR("old"));
    desk.keep_unsigned = true;
    desk_inject(&desk, "acme", "c", "a.test", 1);
    desk_settle(&desk);
    desk_hold(&desk, &match, desk.now + USEC_DAY);
    cut();
    desk_sign(&desk);
    desk_configure(&desk, OPERATOR("new"));
    desk_hold(&desk, NULL, 0);
    desk.keep_unsigned = false;
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.sealed, 1);
    assert_string_equal(desk.first_line, "DKIM-Signature: by new ");
}

static void test_no_more_jobs_than_connections(void **state)
{
    (void)state;
    desk_open(&desk, key);
    desk.host = "mx.one.test";
    desk.keep_unsigned = true;
    for (unsigned i = 0; i < 500; i++)
        desk_inject(&desk, "acme", "c", "a.test", i);
    desk_run(&desk, USEC_MIN);
    assert_in_range(desk.jobs, 1, 40);
    assert_int_equal(desk.taken, 0);
    desk.keep_unsigned = false;
    desk_run(&desk, USEC_MIN);
    assert_int_equal(desk.sealed, 500);
    assert_int_equal(desk.jobs, 500);
}

/* Nothing is lost to the heap (the sanitizer sees it). */
static void test_the_end_while_signing(void **state)
{
    (void)state;
    desk_open(&desk, key);
    desk.keep_unsigned = true;
    for (unsigned i = 0; i < 50; i++)
        desk_inject(&desk, "acme", "c", "a.test", i);
    desk_run(&desk, USEC_SEC);
    desk.keep_bodies = true;
    desk_sign(&desk);
}

/* A signature says when it was made: who waits long for his turn gets a new one. */
static void test_a_stale_head_is_made_anew(void **state)
{
    (void)state;
    const struct hold_match match = {.tenant = "acme"};
    for (int late = 0; late < 2; late++) {
        desk_open(&desk, key);
        desk.keep_unsigned = true;
        desk_inject(&desk, "acme", "c", "a.test", 1);
        desk_settle(&desk);
        desk_hold(&desk, &match, desk.now + USEC_DAY);
        cut();
        desk.keep_unsigned = false;
        desk_run(&desk, late ? 11 * USEC_MIN : USEC_MIN);
        assert_int_equal(desk.taken, 0);
        desk_hold(&desk, NULL, 0);
        desk_run(&desk, USEC_MIN);
        assert_int_equal(desk.sealed, 1);
        assert_int_equal(desk.jobs, late ? 2 : 1);
        assert_int_equal(node_figures(desk.node).body_bytes, 0); /* nor is the stale one kept */
        if (!late)
            desk_close(&desk);
    }
}

/* Its body was read for this transaction only; so the signatures are that one's as well, and nobody keeps them. */
static void test_what_rests_on_the_disk_has_no_head(void **state)
{
    (void)state;
    desk_open(&desk, key);
    desk.settings->node.window = 0;
    desk.answer_after = 10 * USEC_SEC;
    desk_inject(&desk, "acme", "c", "a.test", 1);
    desk_run(&desk, USEC_SEC);
    assert_int_equal(desk.jobs, 1);
    assert_int_equal(desk.taken, 1);
    assert_int_equal(desk.delivered, 0);
    assert_int_equal(node_figures(desk.node).body_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_no_key_applies, tear_down),
        cmocka_unit_test_teardown(test_once_for_all_recipients, tear_down),
        cmocka_unit_test_teardown(test_the_from_decides, tear_down),
        cmocka_unit_test_teardown(test_a_converted_copy_is_signed_for_itself, tear_down),
        cmocka_unit_test_teardown(test_what_cannot_be_signed_waits, tear_down),
        cmocka_unit_test_teardown(test_quiesce_while_signing, tear_down),
        cmocka_unit_test_teardown(test_a_session_ends_while_signing, tear_down),
        cmocka_unit_test_teardown(test_an_answer_is_for_its_message_only, tear_down),
        cmocka_unit_test_teardown(test_rotation_while_signing, tear_down),
        cmocka_unit_test_teardown(test_a_head_of_former_keys, tear_down),
        cmocka_unit_test_teardown(test_no_more_jobs_than_connections, tear_down),
        cmocka_unit_test_teardown(test_the_end_while_signing, tear_down),
        cmocka_unit_test_teardown(test_a_stale_head_is_made_anew, tear_down),
        cmocka_unit_test_teardown(test_what_rests_on_the_disk_has_no_head, tear_down),
    };
    return cmocka_run_group_tests_name("signing", tests, NULL, NULL);
}
