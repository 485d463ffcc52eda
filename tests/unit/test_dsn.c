/* The report a sender gets, and that no stranger writes in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/dsn.h"
#include "proto/message.h"

#define NOW ((usec_t)1795323852 * USEC_SEC) /* Sun, 22 Nov 2026 05:04:12 */

static struct mail *a_mail(const char *from)
{
    struct mail *mail = mail_new();
    mail->id = (struct mail_id){{0xcd}};
    mail->created = NOW - USEC_HOUR;
    mail_set(&mail->from, from);
    return mail;
}

static void report(struct mail *mail, const struct dsn_recipient *recipients, size_t count,
    const char *original, size_t original_len, struct buffer *out)
{
    struct mail_id id = {{0xab}};
    dsn_make(mail, recipients, count, original, original_len, "mx.test", &id, NOW, out);
    mail_drop(&mail);
}

static void check_lines(struct buffer *out)
{
    const char *text = buffer_text(out);
    for (size_t i = 0, column = 0; i < buffer_len(out); i++, column++) {
        assert_true((text[i] >= ' ' && text[i] <= '~') || strchr("\r\n\t", text[i]) != NULL);
        assert_true(text[i] != '\r' || text[i + 1] == '\n');
        assert_true(text[i] != '\n' || text[i - 1] == '\r');
        assert_true(column <= 999);
        if (text[i] == '\n')
            column = (size_t)-1;
    }
}

static void a_report_in_full(void **state)
{
    (void)state;
    static const struct dsn_recipient recipients[] = {
        {"x@d.test", "5.1.1", "550 5.1.1 no such user", "mail.d.test"},
        {"y@e.test", "4.4.7", "not delivered within 4 days", ""},
    };
    static const char original[] =
        "From: a@b.test\r\nSubject: Hi\r\n folded\r\n\r\nbody is not sent back\r\n";
    struct buffer out = {0};
    report(a_mail("a@b.test"), recipients, 2, original, strlen(original), &out);
    check_lines(&out);
    assert_string_equal(buffer_text(&out),
        "Date: Sun, 22 Nov 2026 05:04:12 +0000\r\n"
        "Message-ID: <ab000000000000000000000000000000@mx.test>\r\n"
        "From: Mail Delivery System <MAILER-DAEMON@mx.test>\r\n"
        "To: a@b.test\r\n"
        "Subject: Undelivered mail returned to sender\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        "\tboundary=\"=_ab000000000000000000000000000000\"\r\n"
        "\r\n"
        "--=_ab000000000000000000000000000000\r\n"
        "Content-Type: text/plain; charset=us-ascii\r\n"
        "\r\n"
        "This is the mail system at mx.test.\r\n"
        "\r\n"
        "Your message cd000000000000000000000000000000 of\r\n"
        "Sun, 22 Nov 2026 04:04:12 +0000\r\n"
        "could not be delivered to the addresses below. It will not be tried again.\r\n"
        "\r\n"
        "<x@d.test>:\r\n"
        "    mail.d.test said:\r\n"
        "    550 5.1.1 no such user\r\n"
        "\r\n"
        "<y@e.test>:\r\n"
        "    not delivered within 4 days\r\n"
        "\r\n"
        "--=_ab000000000000000000000000000000\r\n"
        "Content-Type: message/delivery-status\r\n"
        "\r\n"
        "Reporting-MTA: dns; mx.test\r\n"
        "Arrival-Date: Sun, 22 Nov 2026 04:04:12 +0000\r\n"
        "\r\n"
        "Final-Recipient: rfc822; x@d.test\r\n"
        "Action: failed\r\n"
        "Status: 5.1.1\r\n"
        "Remote-MTA: dns; mail.d.test\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
        "\r\n"
        "Final-Recipient: rfc822; y@e.test\r\n"
        "Action: failed\r\n"
        "Status: 4.4.7\r\n"
        "Diagnostic-Code: x-todoku; not delivered within 4 days\r\n"
        "\r\n"
        "--=_ab000000000000000000000000000000\r\n"
        "Content-Type: text/rfc822-headers\r\n"
        "\r\n"
        "From: a@b.test\r\n"
        "Subject: Hi\r\n"
        " folded\r\n"
        "\r\n"
        "--=_ab000000000000000000000000000000--\r\n");
    struct message_head head;
    assert_int_equal(message_walk(buffer_bytes(&out), buffer_len(&out), 0, &head, NULL), 0);
    assert_string_equal(head.from, "MAILER-DAEMON@mx.test");
    buffer_free(&out);
}

static void nobody_is_told_about_a_null_reverse_path(void **state)
{
    (void)state;
    static const struct dsn_recipient recipient = {"x@d.test", "5.1.1", "550 no", ""};
    struct buffer out = {0};
    report(a_mail(""), &recipient, 1, "", 0, &out);
    assert_int_equal(buffer_len(&out), 0);
    buffer_free(&out);
}

static void strangers_write_no_lines(void **state)
{
    (void)state;
    char long_reply[5000];
    memset(long_reply, 'x', sizeof long_reply - 1);
    long_reply[sizeof long_reply - 1] = '\0';
    const struct dsn_recipient recipients[] = {
        {"x@d.test", "5.1.1", "550 no\r\nBcc: evil@x.test\r\n\r\n\xe3\x81\x82", "a\r\nb"},
        {"y@d.test", "", long_reply, ""},
    };
    struct buffer out = {0}, original = {0};
    for (int i = 0; i < 10000; i++)
        buffer_add_text(&original, "X: \xff\rx\r\n");
    report(a_mail("a@b.test"), recipients, 2, buffer_bytes(&original), buffer_len(&original), &out);
    check_lines(&out);
    const char *text = buffer_text(&out);
    assert_null(strstr(text, "\nBcc"));
    assert_non_null(strstr(text, "smtp; 550 no??Bcc: evil@x.test?????"));
    assert_non_null(strstr(text, "Status: 5.0.0\r\n"));
    assert_true(buffer_len(&out) < (64 << 10) + 5000);
    assert_non_null(strstr(text, "X: ??x\r\n\r\n--=_ab"));
    buffer_free(&out);
    buffer_free(&original);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_in_full),
        cmocka_unit_test(nobody_is_told_about_a_null_reverse_path),
        cmocka_unit_test(strangers_write_no_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
