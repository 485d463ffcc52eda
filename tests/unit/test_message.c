/* What the intake makes sure of before a message may go out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "proto/message.h"

static void walk(const char *text, struct message_head *head)
{
    struct error error = {{0}};
    if (message_walk(text, strlen(text), 0, head, &error) < 0)
        fail_msg("%s: %s", text, error.text);
}

static void refused(const char *text, const char *why)
{
    struct message_head head;
    struct error error = {{0}};
    char *exact = xmemdup(text, strlen(text)); /* without its zero */
    assert_int_equal(message_walk(exact, strlen(text), 0, &head, &error), -1);
    free(exact);
    if (strstr(error.text, why) == NULL)
        fail_msg("%s: %s", text, error.text);
}

static void a_header_is_walked(void **state)
{
    (void)state;
    struct message_head head;
    static const char text[] =
        "From: Name\r\n <A@B.test>\r\nTo: c@d.test\r\nmessage-id: <x@y>\r\nMIME-Version: 1.0\r\n"
        "List-Unsubscribe: <https://u.test/1>\r\n\r\nDate: this is the body\r\n";
    walk(text, &head);
    assert_string_equal(head.from, "A@b.test");
    assert_true(head.has_to && head.has_message_id && head.has_mime && head.has_list_unsubscribe);
    assert_false(head.has_date);
    assert_ptr_equal(text + head.header_len, strstr(text, "Date: "));
    assert_int_equal(head.strip_count, 0);
    assert_false(head.has_priority);
    walk("From: a@b.test\r\n", &head);
    assert_int_equal(head.header_len, 16);
    assert_false(head.has_to || head.has_message_id || head.has_mime || head.has_list_unsubscribe);
}

static void what_receivers_refuse_is_refused(void **state)
{
    (void)state;
    refused("", "no From");
    refused("\r\nFrom: a@b.test\r\n", "no From");
    refused("To: c@d.test\r\n\r\n", "no From");
    refused("From: a@b.test, c@d.test\r\n\r\n", "From has 2 addresses");
    refused("From: g:;\r\n\r\n", "From has 0 addresses");
    refused("From: Name\r\n\r\n", "From: ");
    refused("From: a@b.test\r\nFrom: a@b.test\r\n\r\n", "From is there more than once");
    refused("From: a@b.test\r\nSubject: x\r\nsubject: y\r\n\r\n", "Subject is there more than once");
    refused("From: a@b.test\r\nMessage-ID: x\r\nMessage-Id: y\r\n\r\n", "Message-ID is there more than once");
    refused("From: a@b.test\r\nDate: \r\n\r\n", "Date is empty");
    refused("From: a@b.test\r\nSubject: \xe3\x81\x82\r\n\r\n", "Subject holds bytes that are not ASCII");
    refused("From: a@b.test\r\nno field here\r\n\r\n", "no field: no");
    refused("From: a@b.test\r\nSubject : x\r\n\r\n", "no field: Subject");
    refused(" x\r\nFrom: a@b.test\r\n\r\n", "no field");
    refused("From a@b.test Sun Nov 22\r\nFrom: a@b.test\r\n\r\n", "no field: From");
    refused("From: a@b.test\r\nX: y\nZ: x\r\n\r\n", "X does not end in CRLF");
    refused("From: a@b.test\r\nX: y", "X does not end in CRLF");
    refused("From: a@b.test\r\nX: y\rz\r\n\r\n", "X holds a zero or a CR");
}

static void a_header_is_bounded(void **state)
{
    (void)state;
    struct buffer text = {0};
    struct message_head head;
    buffer_add_text(&text, "From: a@b.test\r\n");
    for (int i = 0; i < 100; i++)
        buffer_add_text(&text, "Received: x\r\n");
    walk(buffer_text(&text), &head);
    buffer_add_text(&text, "Received: x\r\n");
    refused(buffer_text(&text), "more than 100 Received");
    buffer_clear(&text);
    for (int i = 0; i < 1001; i++)
        buffer_add_text(&text, "X: y\r\n");
    refused(buffer_text(&text), "more than 1000 fields");
    buffer_clear(&text);
    buffer_add_text(&text, "X: y\r\n");
    for (int i = 0; i < 5000; i++)
        buffer_printf(&text, " %050d\r\n", i);
    refused(buffer_text(&text), "longer than 256 KiB");
    buffer_free(&text);
}

static void our_received_is_passed_over(void **state)
{
    (void)state;
    static const char text[] = "Received: \xff\r\n\tx\r\nFrom: a@b.test\r\n\r\nbody";
    struct message_head head;
    assert_int_equal(message_walk(text, strlen(text), 17, &head, NULL), 0);
    assert_string_equal(head.from, "a@b.test");
    assert_int_equal(head.header_len, strlen(text) - 4);
}

static void fields_for_us_are_read(void **state)
{
    (void)state;
    struct message_head head;
    walk("From: a@b.test\r\nX-Todoku-Campaign:  spring\r\n\tsale \r\nx-todoku-pool: gold\r\n"
         "X-Todoku-Priority: Bulk\r\nX-Todoku-Send-At: 2026-11-22T14:04:12.25+09:00\r\nX-Job: other\r\n\r\n",
        &head);
    assert_string_equal(head.campaign, "spring sale");
    assert_string_equal(head.pool, "gold");
    assert_true(head.has_priority);
    assert_int_equal(head.priority, MAIL_BULK);
    assert_int_equal(head.send_at, 1795323852250000);
    assert_int_equal(head.strip_count, 5);
    walk("X-Job: j1\r\nFrom: a@b.test\r\nX-Virtual-MTA: v1\r\n\r\n", &head);
    assert_string_equal(head.campaign, "j1");
    assert_string_equal(head.pool, "v1");
    walk("X-Job: j1\r\nX-Todoku-Campaign: c1\r\nFrom: a@b.test\r\n\r\n", &head);
    assert_string_equal(head.campaign, "c1");
    refused("X-Todoku-Priority: urgent\r\nFrom: a@b.test\r\n\r\n", "transactional, normal or bulk");
    refused("X-Todoku-Send-At: tomorrow\r\nFrom: a@b.test\r\n\r\n", "X-Todoku-Send-At: a time is written");
    refused("X-Job: a\r\nX-Job: b\r\nFrom: a@b.test\r\n\r\n", "X-Job is there more than once");
    char text[512];
    snprintf(text, sizeof text, "X-Job: %0128d\r\nFrom: a@b.test\r\n\r\n", 1);
    refused(text, "X-Job is longer than 127");
}

static void times_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        usec_t when; /* -1: refused */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-22T05:04:12.345Z", 1795323852345000},
        {"2026-11-22t05:04:12z", 1795323852000000},
        {"2026-11-22T05:04:12.1234567891234Z", 1795323852123456},
        {"2026-11-21T23:34:12-05:30", 1795323852000000},
        {"2024-02-29T00:00:00Z", 1709164800000000},
        {"2026-02-29T00:00:00Z", -1},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-00-01T00:00:00Z", -1},
        {"2026-01-00T00:00:00Z", -1},
        {"2026-01-01T24:00:00Z", -1},
        {"2026-01-01T00:00:00", -1},
        {"2026-01-01 00:00:00Z", -1},
        {"2026-01-01T00:00:00Zx", -1},
        {"2026-01-01T00:00:00+9:00", -1},
        {"2026-01-01T00:00:00+09:60", -1},
        {"2026-1-1T00:00:00Z", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        usec_t when;
        int rc = message_time(cases[i].text, &when, NULL);
        if ((rc == 0) != (cases[i].when >= 0) || (rc == 0 && when != cases[i].when))
            fail_msg("%s: %d %lld", cases[i].text, rc, (long long)when);
    }
}

static void fields_for_us_are_taken_out(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"X-Job: a\r\nFrom: a@b.test\r\nX-Todoku-Pool: p\r\n q\r\nTo: "
         "c@d.test\r\nx-virtual-mta:\r\n\r\nX-Job: body\r\n",
            "From: a@b.test\r\nTo: c@d.test\r\n\r\nX-Job: body\r\n"},
        {"From: a@b.test\r\n\r\nbody", "From: a@b.test\r\n\r\nbody"},
        {"From: a@b.test\r\nX-Job: a\r\n", "From: a@b.test\r\n"},
        {"X-Todoku-Priority: bulk\r\nX-Todoku-Send-At: x\r\nX-Todoku-Campaign: y\r\n\r\n", "\r\n"},
        {"X-Todoku-Other: kept\r\n\r\n", "X-Todoku-Other: kept\r\n\r\n"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = xstrdup(cases[i][0]);
        size_t len = message_strip(text, strlen(text));
        assert_int_equal(len, strlen(cases[i][1]));
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
}

static void what_is_missing_is_made(void **state)
{
    (void)state;
    struct message_head head = {0};
    struct mail_id id = {{0xab}};
    struct buffer out = {0};
    message_complete(&head, &id, "mx.test", 1795323852000000, &out);
    assert_string_equal(buffer_text(&out), "Date: Sun, 22 Nov 2026 05:04:12 +0000\r\n"
                                           "Message-ID: <ab000000000000000000000000000000@mx.test>\r\n");
    buffer_clear(&out);
    head.has_date = head.has_message_id = true;
    message_complete(&head, &id, "mx.test", 0, &out);
    assert_int_equal(buffer_len(&out), 0);
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_walked),
        cmocka_unit_test(what_receivers_refuse_is_refused),
        cmocka_unit_test(a_header_is_bounded),
        cmocka_unit_test(our_received_is_passed_over),
        cmocka_unit_test(fields_for_us_are_read),
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(fields_for_us_are_taken_out),
        cmocka_unit_test(what_is_missing_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
