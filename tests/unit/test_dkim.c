/* The DKIM-Signature field: what it covers, how it is written; RFC 8463's message to the last octet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/digest_ossl.h"
#include "base/signing_key_ossl.h"
#include "proto/dkim_inside.h"
#include "proto/message.h"
#include "tests/unit/signing_key_help_ossl.h"

#define NOW (1800000000 * USEC_SEC)

static const struct dkim_digest sha256 = {digest_begin, digest_add, digest_end};
static const uint8_t body_hash[DKIM_HASH_SIZE] = {0};
#define NO_HASH "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static struct dkim_wish wish_of(enum dkim_canon canon)
{
    return (struct dkim_wish){.domain = "acme.example",
        .selector = "s1",
        .algorithm = DKIM_RSA_SHA256,
        .header = canon,
        .body = canon,
        .body_hash = body_hash,
        .now = NOW};
}

/* --- header fields --- */

static void canonical_is(enum dkim_canon canon, const char *field, const char *want)
{
    struct buffer out = {0};
    dkim_header_canonical(canon, field, strlen(field), &out);
    assert_string_equal(buffer_text(&out), want);
    buffer_free(&out);
}

static void canonical_fields(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"A: X\r\n", "a:X\r\n"}, /* these two: RFC 6376 section 3.4.5 */
        {"B : Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"},
        {"SUBJect:AbC\r\n", "subject:AbC\r\n"},
        {"a:\r\n", "a:\r\n"},
        {"a: \t \r\n", "a:\r\n"},
        {"a:\r\n b\r\n", "a:b\r\n"},
        {"a: b\r\n \r\n c\r\n", "a:b c\r\n"},
        {"a: b : c\r\n", "a:b : c\r\n"},
        {"a\t : b\r\n", "a:b\r\n"},
        {"a: \xe3\x81\x82 \r\n", "a:\xe3\x81\x82\r\n"},
        {"a: b\rc\nd\r\n", "a:b\rc\nd\r\n"},
        {"no colon\r\n", "nocolon\r\n:\r\n"},
        {"", ":\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        canonical_is(DKIM_RELAXED, rows[i][0], rows[i][1]);
        canonical_is(DKIM_SIMPLE, rows[i][0], rows[i][0]);
    }
}

/* --- which are signed --- */

/* What h= says of this header, spaces and folds taken out. */
static void names_are(const char *header, const char *want)
{
    struct dkim_wish wish = wish_of(DKIM_RELAXED);
    struct buffer field = {0}, names = {0};
    uint8_t to_sign[DKIM_HASH_SIZE];
    struct error error = {""};
    if (dkim_prepare(&wish, &sha256, header, strlen(header), &field, to_sign, &error) != 0)
        fail_msg("%s: %s", header, error.text);
    const char *at = strstr(buffer_text(&field), "h=");
    assert_non_null(at);
    for (at += 2; *at != ';'; at++)
        if (*at > ' ')
            buffer_add(&names, at, 1);
    assert_string_equal(buffer_text(&names), want);
    buffer_free(&field);
    buffer_free(&names);
}

static void fields_that_are_signed(void **state)
{
    (void)state;
    names_are("From: a@b\r\n", "From:From:Reply-To:To:Cc:Subject:Date:Message-ID:MIME-Version:Content-Type:"
                               "Content-Transfer-Encoding");
    names_are("X-Mailer: x\r\nReceived: y\r\nList-Id: <a.b>\r\nDKIM-Signature: v=1\r\nReturn-Path: <>\r\n"
              "FROM: a@b\r\nto: c@d\r\nDate: now\r\nlist-unsubscribe: <https://a>\r\n"
              "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nSender: e@f\r\nFeedback-ID: a:b:c:d\r\n"
              "Frome: x\r\nFro: x\r\n\r\nSubject: body\r\n",
        "From:From:Reply-To:To:To:Cc:Subject:Date:Date:Message-ID:MIME-Version:Content-Type:"
        "Content-Transfer-Encoding:Sender:Sender:List-Id:List-Id:List-Unsubscribe:List-Unsubscribe:"
        "List-Unsubscribe-Post:List-Unsubscribe-Post:Feedback-ID:Feedback-ID");
    names_are("Resent-To: a\r\nFrom: a@b\r\nResent-From: x\r\nResent-To: b\r\nSubject: x\r\nSubject: y\r\n",
        "From:From:Reply-To:To:Cc:Subject:Subject:Subject:Date:Message-ID:MIME-Version:Content-Type:"
        "Content-Transfer-Encoding:Resent-From:Resent-To:Resent-To");
}

static void signed_is(const char *message, const struct dkim_wish *wish, const char *want)
{
    struct buffer field = {0}, text = {0};
    uint8_t to_sign[DKIM_HASH_SIZE], wanted[DKIM_HASH_SIZE];
    buffer_add_text(&field, "left over");
    assert_int_equal(dkim_prepare(wish, &sha256, message, strlen(message), &field, to_sign, NULL), 0);
    buffer_add_text(&text, want);
    if (wish->header == DKIM_SIMPLE)
        buffer_add(&text, buffer_bytes(&field), buffer_len(&field));
    digest_sha256(buffer_bytes(&text), buffer_len(&text), wanted);
    assert_memory_equal(to_sign, wanted, sizeof wanted);
    buffer_free(&field);
    buffer_free(&text);
}

/* Of fields with the same name the last one comes first (RFC 6376 section 5.4.2). */
static void what_is_signed_to_the_octet(void **state)
{
    (void)state;
    static const char message[] = "Subject: first\r\nResent-To: one\r\nFrom:  A\r\n\t<a@b>\r\nX: y\r\n"
                                  "Resent-To: two\r\nsubject: second \r\n\r\nResent-To: body\r\n";
    struct dkim_wish wish = wish_of(DKIM_RELAXED);
    signed_is(message, &wish,
        "from:A <a@b>\r\nsubject:second\r\nsubject:first\r\nresent-to:two\r\nresent-to:one\r\n"
        "dkim-signature:v=1; a=rsa-sha256; c=relaxed/relaxed; d=acme.example; s=s1; t=1800000000; "
        "h=From:From:Reply-To:To:Cc:Subject:Subject:Subject:Date: Message-ID:MIME-Version:Content-Type:"
        "Content-Transfer-Encoding:Resent-To: Resent-To; bh=" NO_HASH "; b=");
    wish = wish_of(DKIM_SIMPLE);
    signed_is(message, &wish,
        "From:  A\r\n\t<a@b>\r\nsubject: second \r\nSubject: first\r\nResent-To: two\r\nResent-To: one\r\n");
}

static void what_can_not_be_signed(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", "no From"},
        {"\r\n", "no From"},
        {"To: a@b\r\n\r\nFrom: a@b\r\n", "no From"},
        {"From: a@b\r\nno field\r\n", "no field"},
        {"From: a@b", "CRLF"},
        {"From: a@b\nTo: c@d\r\n", ""}, /* an LF alone: the line goes on to the CRLF, or is refused */
        {" From: a@b\r\n", "no field"},
        {"From : a@b\r\n", "no field"},
    };
    struct dkim_wish wish = wish_of(DKIM_RELAXED);
    struct buffer field = {0};
    uint8_t to_sign[DKIM_HASH_SIZE];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error error = {""};
        assert_int_equal(
            dkim_prepare(&wish, &sha256, rows[i][0], strlen(rows[i][0]), &field, to_sign, &error), -1);
        if (strstr(error.text, rows[i][1]) == NULL)
            fail_msg("row %zu: \"%s\" does not say \"%s\"", i, error.text, rows[i][1]);
    }
    buffer_free(&field);
}

/* Else it would be accepted, and wait for its signature until it expires. */
static void what_intake_lets_in_can_be_signed(void **state)
{
    (void)state;
    struct dkim_wish wish = wish_of(DKIM_RELAXED);
    struct buffer header = {0}, missing = {0}, field = {0};
    struct message_head head;
    struct mail_id id = {{1}};
    uint8_t to_sign[DKIM_HASH_SIZE];
    struct error error = {""};
    buffer_add_text(&header, "From: a@b.example\r\n");
    for (int i = 1; i < MESSAGE_MAX_FIELDS; i++)
        buffer_add_text(&header, "Resent-To: c@d\r\n");
    buffer_add_text(&header, "\r\n");
    assert_int_equal(message_walk(buffer_bytes(&header), buffer_len(&header), 0, &head, &error), 0);
    message_complete(&head, &id, "mx.b.example", 0, &missing);
    buffer_add(&missing, buffer_bytes(&header), buffer_len(&header));
    assert_int_equal(
        dkim_prepare(&wish, &sha256, buffer_bytes(&missing), buffer_len(&missing), &field, to_sign, &error),
        0);
    buffer_free(&header);
    buffer_free(&missing);
    buffer_free(&field);
}

static void as_many_fields_as_allowed(void **state)
{
    (void)state;
    struct dkim_wish wish = wish_of(DKIM_RELAXED);
    struct buffer header = {0}, field = {0};
    uint8_t to_sign[DKIM_HASH_SIZE];
    struct error error;
    buffer_add_text(&header, "From: a@b\r\n");
    for (int i = 1; i < DKIM_MAX_SIGNED; i++)
        buffer_add_text(&header, "Resent-To: c@d\r\n");
    assert_int_equal(
        dkim_prepare(&wish, &sha256, buffer_bytes(&header), buffer_len(&header), &field, to_sign, &error), 0);
    buffer_add_text(&header, "Resent-To: c@d\r\n");
    assert_int_equal(
        dkim_prepare(&wish, &sha256, buffer_bytes(&header), buffer_len(&header), &field, to_sign, &error),
        -1);
    assert_non_null(strstr(error.text, "more than 1008"));
    buffer_free(&header);
    buffer_free(&field);
}

/* --- the field --- */

static void the_field_as_it_is_written(void **state)
{
    (void)state;
    static const uint8_t signature[100] = {0};
    struct dkim_wish wish = wish_of(DKIM_RELAXED);
    wish.algorithm = DKIM_ED25519_SHA256;
    wish.body = DKIM_SIMPLE;
    wish.lifetime = 7 * USEC_DAY;
    struct buffer field = {0};
    uint8_t to_sign[DKIM_HASH_SIZE];
    assert_int_equal(dkim_prepare(&wish, &sha256, "From: a@b\r\n", 11, &field, to_sign, NULL), 0);
    dkim_finish(&field, signature, sizeof signature);
    assert_string_equal(buffer_text(&field),
        "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/simple; d=acme.example; s=s1;\r\n"
        " t=1800000000; x=1800604800; h=From:From:Reply-To:To:Cc:Subject:Date:\r\n"
        " Message-ID:MIME-Version:Content-Type:Content-Transfer-Encoding;\r\n"
        " bh=" NO_HASH "; b=AAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"
        " AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"
        " AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\r\n");
    buffer_free(&field);
}

/* No line longer than 78, but those with a long name; each line goes on with a space. */
static void check_lines(const char *field, size_t most)
{
    for (const char *line = field; *line != '\0';) {
        const char *end = strstr(line, "\r\n");
        assert_non_null(end);
        if ((size_t)(end - line) > most)
            fail_msg("%zu columns: %.*s", (size_t)(end - line), (int)(end - line), line);
        assert_true(line == field || *line == ' ');
        assert_true(end - line > 1);
        line = end + 2;
    }
}

/* Takes b= apart again. */
static void check_signature(const char *field, const uint8_t *signature, size_t len)
{
    struct buffer text = {0};
    uint8_t back[SIGNATURE_MAX];
    const char *at = strstr(field, " b=");
    assert_non_null(at);
    for (at += 3; *at != '\0'; at++)
        if (*at > ' ')
            buffer_add(&text, at, 1);
    assert_int_equal(base64_decode(buffer_bytes(&text), buffer_len(&text), back), len);
    assert_memory_equal(back, signature, len);
    buffer_free(&text);
}

static void signatures_and_names_of_any_length(void **state)
{
    (void)state;
    static const size_t lengths[] = {64, 128, 129, 130, 192, 256, 384, 512, 1024};
    uint8_t signature[SIGNATURE_MAX], to_sign[DKIM_HASH_SIZE];
    char domain[254];
    struct buffer field = {0};
    for (size_t i = 0; i < sizeof signature; i++)
        signature[i] = (uint8_t)(i * 7 + 1);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (size_t len = 1; len < sizeof domain; len++) {
            struct dkim_wish wish = wish_of(DKIM_SIMPLE);
            memset(domain, 'd', len);
            domain[len] = '\0';
            wish.domain = wish.selector = domain;
            assert_int_equal(dkim_prepare(&wish, &sha256, "From: a@b\r\n", 11, &field, to_sign, NULL), 0);
            dkim_finish(&field, signature, lengths[i]);
            check_lines(buffer_text(&field), len + 4 > 78 ? len + 4 : 78); /* " d=" and ";" */
            check_signature(buffer_text(&field), signature, lengths[i]);
        }
    }
    buffer_free(&field);
}

/* --- RFC 8463 appendix A --- */

#define FIELDS                                                                                               \
    "From: Joe SixPack <joe@football.example.com>\r\n"                                                       \
    "To: Suzie Q <suzie@shopping.example.net>\r\n"                                                           \
    "Subject: Is dinner ready?\r\n"                                                                          \
    "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"                                                        \
    "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"

static const char ed25519_field[] = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
                                    " d=football.example.com; i=@football.example.com;\r\n"
                                    " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
                                    " subject : date : message-id : from : subject : date;\r\n"
                                    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                                    " b=";
static const char ed25519_signature[] =
    "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==";
static const char rsa_field[] = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
                                " d=football.example.com; i=@football.example.com;\r\n"
                                " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
                                " date : message-id : from : subject : date;\r\n"
                                " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                                " b=";
static const char rsa_signature[] =
    "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaS"
    "GsgeefOsk2JzdA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=";

static void to_sign_of(const char *own, uint8_t to_sign[DKIM_HASH_SIZE])
{
    struct buffer text = {0};
    for (const char *at = FIELDS; *at != '\0';) {
        size_t len = (size_t)(strstr(at, "\r\n") + 2 - at);
        dkim_header_canonical(DKIM_RELAXED, at, len, &text);
        at += len;
    }
    dkim_header_canonical(DKIM_RELAXED, own, strlen(own), &text);
    digest_sha256(buffer_bytes(&text), buffer_len(&text) - 2, to_sign);
    buffer_free(&text);
}

static void signature_is(const char *pem, const char *own, const char *want, const char *public)
{
    char file[] = "/tmp/todoku-dkim.XXXXXX";
    uint8_t to_sign[DKIM_HASH_SIZE], signature[SIGNATURE_MAX];
    char text[BASE64_SIZE(SIGNATURE_MAX)];
    struct buffer out = {0};
    struct error error = {""};
    signing_key_help_write(file, pem);
    struct signing_key *key = signing_key_load(file, &error);
    unlink(file);
    assert_string_equal(error.text, "");
    assert_non_null(key);
    to_sign_of(own, to_sign);
    int len = signing_key_sign(key, to_sign, signature, &error);
    assert_true(len > 0);
    base64_encode(signature, (size_t)len, text);
    assert_string_equal(text, want);
    signing_key_public(key, &out);
    assert_string_equal(buffer_text(&out), public);
    buffer_free(&out);
    signing_key_drop(&key);
}

static void the_message_of_rfc_8463(void **state)
{
    (void)state;
    signature_is(SIGNING_KEY_HELP_RFC8463_ED25519, ed25519_field, ed25519_signature,
        "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    signature_is(SIGNING_KEY_HELP_RFC8463_RSA, rsa_field, rsa_signature,
        "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/"
        "J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/"
        "8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3"
        "G+2kryOTIKT+l/K4w3QIDAQAB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_fields),
        cmocka_unit_test(fields_that_are_signed),
        cmocka_unit_test(what_is_signed_to_the_octet),
        cmocka_unit_test(what_can_not_be_signed),
        cmocka_unit_test(what_intake_lets_in_can_be_signed),
        cmocka_unit_test(as_many_fields_as_allowed),
        cmocka_unit_test(the_field_as_it_is_written),
        cmocka_unit_test(signatures_and_names_of_any_length),
        cmocka_unit_test(the_message_of_rfc_8463),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
