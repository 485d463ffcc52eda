/* Messages made out of parts, as receivers insist on them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "proto/compose.h"
#include "proto/message.h"

#define NOW ((usec_t)1795323852 * USEC_SEC) /* Sun, 22 Nov 2026 05:04:12 */
#define HEAD                                                                                                 \
    "Date: Sun, 22 Nov 2026 05:04:12 +0000\r\nMessage-ID: <ab000000000000000000000000000000@mx.test>\r\n"
#define PLAIN                                                                                                \
    "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"                                       \
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"

/* strcat with an end. */
static void join(char *text, size_t size, const char *piece)
{
    size_t len = strlen(text);
    snprintf(text + len, size - len, "%s", piece);
}

static struct compose_parts some_parts(void)
{
    static const char *const to[] = {"c@d.test"};
    return (struct compose_parts){.from = "a@b.test",
        .to = to,
        .to_count = 1,
        .subject = "Hi",
        .text = "x",
        .id = {{0xab}},
        .host = "mx.test"};
}

/* What holds for everything that comes out. */
static void check(struct buffer *out)
{
    struct message_head head;
    struct error error = {{0}};
    const char *text = buffer_text(out);
    if (message_walk(text, buffer_len(out), 0, &head, &error) < 0)
        fail_msg("%s\n%s", error.text, text);
    assert_true(head.has_date && head.has_message_id && head.has_mime);
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\r\n");
        assert_true(len <= 998);
        if (strstr(line, "=?UTF-8?") != NULL && strstr(line, "=?UTF-8?") < line + len)
            assert_true(len <= 76);
        assert_memory_equal(line + len, "\r\n", 2);
        line += len + 2;
    }
    for (size_t i = 0; i < buffer_len(out); i++)
        assert_true((unsigned char)text[i] < 0x80);
}

static void makes(const struct compose_parts *parts, const char *expected)
{
    struct buffer out = {0};
    struct error error = {{0}};
    if (compose_message(parts, NOW, &out, &error) < 0)
        fail_msg("%s", error.text);
    check(&out);
    assert_string_equal(buffer_text(&out), expected);
    buffer_free(&out);
}

static void refuses(const struct compose_parts *parts, const char *why)
{
    struct buffer out = {0};
    struct error error = {{0}};
    assert_int_equal(compose_message(parts, NOW, &out, &error), -1);
    if (strstr(error.text, why) == NULL)
        fail_msg("%s", error.text);
    buffer_free(&out);
}

static void a_plain_message(void **state)
{
    (void)state;
    struct compose_parts parts = some_parts();
    parts.text = "Hello = you\nsecond line \r\n.dot\nFrom here\n";
    makes(&parts, HEAD "From: a@b.test\r\nTo: c@d.test\r\nSubject: Hi\r\n" PLAIN
                       "Hello =3D you\r\nsecond line=20\r\n=2Edot\r\n=46rom here\r\n");
}

static void text_and_html(void **state)
{
    (void)state;
    struct compose_parts parts = some_parts();
    parts.html = "<p>\xe5\xb1\x8a\xe3\x81\x8f</p>";
    makes(&parts, HEAD
        "From: a@b.test\r\nTo: c@d.test\r\nSubject: Hi\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/alternative; boundary=\"=_ab000000000000000000000000000000\"\r\n\r\n"
        "--=_ab000000000000000000000000000000\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\nx\r\n--=_ab000000000000000000000000000000\r\n"
        "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        "<p>=E5=B1=8A=E3=81=8F</p>\r\n--=_ab000000000000000000000000000000--\r\n");
    parts.text = NULL;
    parts.html = "";
    makes(&parts, HEAD "From: a@b.test\r\nTo: c@d.test\r\nSubject: Hi\r\nMIME-Version: 1.0\r\n"
                       "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: "
                       "quoted-printable\r\n\r\n");
}

static void names_become_phrases(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a@b.test", "a@b.test"},
        {"Plain Name <A@B.test>", "Plain Name <A@b.test>"},
        {"<a@b.test>", "a@b.test"},
        {"Last, First <a@b.test>", NULL},
        {"\"Last, First\" <a@b.test>", "\"Last, First\" <a@b.test>"},
        {"\"quo\\\"te\" <a@b.test>", "\"quo\\\"te\" <a@b.test>"},
        {"J. Public <a@b.test>", "\"J. Public\" <a@b.test>"},
        {"\xe5\xb1\x8a\xe3\x81\x8f <a@b.test>", "=?UTF-8?B?5bGK44GP?= <a@b.test>"},
        {"\"\xe5\xb1\x8a, \xe3\x81\x8f\"<a@b.test>", "=?UTF-8?B?5bGKLCDjgY8=?= <a@b.test>"},
        {"a@B\xc3\xbc"
         "cher.test",
            "a@xn--bcher-kva.test"},
        {"a@[IPv6:::1]", "a@[IPv6:::1]"},
        {"a@b.test, c@d.test", NULL},
        {"g: a@b.test;", NULL},
        {"Name\r\nBcc: x@y.test <a@b.test>", NULL},
        {"Name", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[1024];
        struct compose_parts parts = some_parts();
        parts.to = &cases[i][0];
        if (cases[i][1] == NULL) {
            refuses(&parts, "To: ");
            parts.from = cases[i][0];
            refuses(&parts, "From: ");
            continue;
        }
        snprintf(expected, sizeof expected, HEAD "From: a@b.test\r\nTo: %s\r\nSubject: Hi\r\n" PLAIN "x\r\n",
            cases[i][1]);
        makes(&parts, expected);
    }
}

static void many_recipients_fold(void **state)
{
    (void)state;
    const char *to[150];
    for (size_t i = 0; i < 150; i++)
        to[i] = "Somebody <somebody@d.test>";
    struct compose_parts parts = some_parts();
    struct buffer out = {0};
    parts.to = to;
    parts.to_count = 150;
    assert_int_equal(compose_message(&parts, NOW, &out, NULL), 0);
    check(&out);
    size_t count = 0;
    for (const char *at = buffer_text(&out); (at = strstr(at, "<somebody@d.test>")) != NULL; at++)
        count++;
    assert_int_equal(count, 100);
    buffer_free(&out);
}

/* Takes the encoded words of the Subject apart again. */
static void decode_subject(const char *text, char *out)
{
    const char *at = strstr(text, "Subject:") + 8, *end = strstr(at, "\r\nMIME");
    bool encoded = true; /* after an encoded word: the space before the next one is none */
    size_t used = 0;
    while (at < end) {
        const char *word = at + strspn(at, "\r\n ");
        size_t len = strcspn(word, "\r\n ");
        bool is = strncmp(word, "=?UTF-8?B?", 10) == 0;
        if (used > 0 && !(is && encoded))
            out[used++] = ' ';
        if (is) {
            assert_true(len <= 75);
            ssize_t n = base64_decode(word + 10, len - 12, out + used);
            assert_true(n > 0);
            assert_true(((unsigned char)out[used] & 0xc0) != 0x80); /* begins with no torn sequence */
            used += (size_t)n;
        } else {
            memcpy(out + used, word, len);
            used += len;
        }
        encoded = is;
        at = word + len;
    }
    out[used] = '\0';
}

static void subjects_come_back_whole(void **state)
{
    (void)state;
    static const char *const pieces[] = {"\xe5\xb1\x8a", "a", " ", "\xf0\x9f\x93\xae", "word", "\xc3\xa9"};
    for (unsigned seed = 0; seed < 400; seed++) {
        char subject[1024] = "s", back[2048];
        struct random random = {seed};
        for (unsigned i = 0; i < seed / 4; i++) {
            const char *piece = pieces[random_below(&random, 6)];
            if (*piece != ' ' || subject[strlen(subject) - 1] != ' ')
                join(subject, sizeof subject, piece);
        }
        join(subject, sizeof subject, "e");
        struct compose_parts parts = some_parts();
        struct buffer out = {0};
        parts.subject = subject;
        assert_int_equal(compose_message(&parts, NOW, &out, NULL), 0);
        check(&out);
        decode_subject(buffer_text(&out), back);
        assert_string_equal(back, subject);
        buffer_free(&out);
    }
}

static void a_subject_of_one_endless_word(void **state)
{
    (void)state;
    char subject[2001];
    memset(subject, 'x', 2000);
    subject[2000] = '\0';
    struct compose_parts parts = some_parts();
    struct buffer out = {0};
    parts.subject = subject;
    assert_int_equal(compose_message(&parts, NOW, &out, NULL), 0);
    check(&out);
    buffer_free(&out);
    struct compose_field field = {"X-Long", subject};
    parts = some_parts();
    parts.fields = &field;
    parts.field_count = 1;
    refuses(&parts, "X-Long: ");
}

static void fields_are_written(void **state)
{
    (void)state;
    static const struct compose_field fields[] = {
        {"List-Unsubscribe",
            "<https://u.test/0123456789012345678901234567890123456789012345678901234567890123456789>, "
            "<mailto:u@u.test>"},
        {"Reply-To", "\xe5\xb1\x8a <r@b.test>"},
        {"Cc", "e@f.test, \"G, h\" <g@h.test>"},
        {"Date", "Mon, 23 Nov 2026 00:00:00 +0900"},
        {"Message-ID", "<own@b.test>"},
        {"X-Text", "caf\xc3\xa9 ok"},
    };
    struct compose_parts parts = some_parts();
    parts.fields = fields;
    parts.field_count = sizeof fields / sizeof fields[0];
    makes(&parts,
        "From: a@b.test\r\nTo: c@d.test\r\nSubject: Hi\r\nList-Unsubscribe: "
        "<https://u.test/0123456789012345678901234567890123456789012345678901234567890123456789>,\r\n"
        " <mailto:u@u.test>\r\nReply-To: =?UTF-8?B?5bGK?= <r@b.test>\r\n"
        "Cc: e@f.test, \"G, h\" <g@h.test>\r\nDate: Mon, 23 Nov 2026 00:00:00 +0900\r\n"
        "Message-ID: <own@b.test>\r\nX-Text: =?UTF-8?B?Y2Fmw6k=?= ok\r\n" PLAIN "x\r\n");
}

static void fields_that_cannot_be(void **state)
{
    (void)state;
    static const struct {
        struct compose_field field;
        const char *why;
    } cases[] = {
        {{"", "x"}, "is no name"},
        {{"X Y", "x"}, "is no name"},
        {{"X:", "x"}, "is no name"},
        {{"X\r\nBcc", "x"}, "is no name"},
        {{"\xc3\xa9", "x"}, "is no name"},
        {{"X", "a\r\nBcc: b@c.test"}, "X: a header value"},
        {{"X", "a\nb"}, "X: a header value"},
        {{"X", "a\rb"}, "X: a header value"},
        {{"Reply-To", "a@b.test\r\nX: y"}, "Reply-To: a header value"},
        {{"bcc", "a@b.test"}, "bcc is made"},
        {{"From", "a@b.test"}, "From is made"},
        {{"content-type", "text/html"}, "content-type is made"},
        {{"Content-Anything", "x"}, "is made"},
        {{"mime-version", "1.0"}, "is made"},
        {{"DKIM-Signature", "x"}, "is made"},
        {{"Received", "x"}, "is made"},
        {{"Return-Path", "<>"}, "is made"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct compose_parts parts = some_parts();
        parts.fields = &cases[i].field;
        parts.field_count = 1;
        refuses(&parts, cases[i].why);
    }
    static const struct compose_field twice[] = {{"Reply-To", "a@b.test"}, {"reply-to", "a@b.test"}};
    struct compose_parts parts = some_parts();
    parts.fields = twice;
    parts.field_count = 2;
    refuses(&parts, "reply-to is there more than once");
}

static void what_is_missing_is_said(void **state)
{
    (void)state;
    struct compose_parts parts = some_parts();
    parts.text = NULL;
    refuses(&parts, "text or html");
    parts = some_parts();
    parts.from = "";
    refuses(&parts, "from: ");
    parts = some_parts();
    parts.subject = "a\r\nBcc: x@y.test";
    refuses(&parts, "Subject: ");
    parts = some_parts();
    parts.text = "a\rb";
    refuses(&parts, "text: there is a CR");
}

/* Long lines of every kind are broken at 76 and come back whole. */
static void quoted_printable_comes_back_whole(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "\xe5\xb1\x8a", "a", " ", ".", "=", "\t", "\n", "From ", "\x01", "xyz"};
    for (unsigned seed = 0; seed < 300; seed++) {
        char text[8192] = "", back[8192];
        struct random random = {seed};
        for (unsigned i = 0; i < 2 * seed; i++)
            join(text, sizeof text, pieces[random_below(&random, 10)]);
        join(text, sizeof text, "\n");
        struct compose_parts parts = some_parts();
        struct buffer out = {0};
        parts.text = text;
        assert_int_equal(compose_message(&parts, NOW, &out, NULL), 0);
        check(&out);
        size_t used = 0;
        for (const char *at = strstr(buffer_text(&out), "\r\n\r\n") + 4; *at != '\0';) {
            size_t len = strcspn(at, "\r\n");
            assert_true(len <= 76);
            assert_true(*at != '.' && (len == 0 || (at[len - 1] != ' ' && at[len - 1] != '\t')));
            for (size_t i = 0; i < len; i++) {
                unsigned value;
                if (at[i] != '=') {
                    back[used++] = at[i];
                } else if (i + 1 < len) {
                    assert_int_equal(sscanf(at + i + 1, "%2X", &value), 1);
                    back[used++] = (char)value;
                    i += 2;
                }
            }
            if (len == 0 || at[len - 1] != '=')
                back[used++] = '\n';
            at += len + 2;
        }
        back[used] = '\0';
        assert_string_equal(back, text);
        buffer_free(&out);
    }
}

static void line_ends_become_crlf(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"a", "a"},
        {"a\nb\n", "a\r\nb\r\n"},
        {"a\r\nb\n\r\n\n", "a\r\nb\r\n\r\n\r\n"},
        {"\n", "\r\n"},
        {"a\rb", NULL},
        {"a\r", NULL},
        {"a\r\r\n", NULL},
        {"\r", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer out = {0};
        int rc = compose_crlf(cases[i][0], strlen(cases[i][0]), &out, NULL);
        assert_int_equal(rc, cases[i][1] == NULL ? -1 : 0);
        if (rc == 0)
            assert_string_equal(buffer_text(&out), cases[i][1]);
        buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_message),
        cmocka_unit_test(text_and_html),
        cmocka_unit_test(names_become_phrases),
        cmocka_unit_test(many_recipients_fold),
        cmocka_unit_test(subjects_come_back_whole),
        cmocka_unit_test(a_subject_of_one_endless_word),
        cmocka_unit_test(fields_are_written),
        cmocka_unit_test(fields_that_cannot_be),
        cmocka_unit_test(what_is_missing_is_said),
        cmocka_unit_test(quoted_printable_comes_back_whole),
        cmocka_unit_test(line_ends_become_crlf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
