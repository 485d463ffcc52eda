/* Who may send as whom, and what a message is completed with on its way in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/digest_ossl.h"
#include "coordinator/intake.h"

#define NOW (1800000000 * USEC_SEC)
#define RECEIVED "Received: from client by us\r\n"

static const char config[] =
    "coordinator: { default_tenant: acme }\n"
    "delivery: { dsn: failure, max_age: 4d }\n"
    "pools: { main: {}, bulk: {}, other: {} }\n"
    "node: { sources: [{ address: 127.0.0.1, helo: m.test, pools: [main, bulk, other] }] }\n"
    "tenants:\n"
    "  - { id: acme, pools: [main, bulk], domains: [acme.example], "
    "bounce_domain: bounces.example, priority: bulk, max_age: 2d, dsn: none }\n"
    "  - { id: open, pools: [other], domains: ['*'] }\n"
    "  - { id: signed, pools: [main], domains: ['*'], dkim: [\n"
    "      { domain: r.example, selector: s1, key_file: r.pem },\n"
    "      { domain: s.example, selector: s1, key_file: s.pem, canonicalization: relaxed/simple }] }\n";
static struct settings *settings;

static int set_up(void **state)
{
    (void)state;
    struct fault *faults = NULL;
    size_t count = 0;
    settings = settings_parse(config, sizeof config - 1, "test", &faults, &count);
    for (size_t i = 0; i < count; i++)
        print_error("%s\n", faults[i].text);
    free(faults);
    return settings == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    settings_free(&settings);
    return 0;
}

static struct mail *mail_of(const char *tenant, const char *from)
{
    struct mail *mail = mail_new();
    mail->id.bytes[0] = 0xab;
    mail->created = NOW;
    mail_set(&mail->tenant, tenant);
    mail_set(&mail->from, from);
    mail_add_recipient(mail, "bob@d.test");
    return mail;
}

/* Hands in RECEIVED + header + an empty line and "hi"; null and the sentence if it was refused. */
static struct blob *hand_in(struct mail *mail, const char *header, struct error *why)
{
    char text[2048];
    int len = snprintf(text, sizeof text, RECEIVED "%s\r\nhi\r\n", header);
    struct blob *body = NULL;
    why->text[0] = '\0';
    int status = intake_message(
        settings, mail, xstrdup(text), (size_t)len, sizeof RECEIVED - 1, "us.test", NOW, &body, why);
    assert_true((status == 0) == (body != NULL));
    return body;
}

static void test_who_may_send_as_whom(void **state)
{
    (void)state;
    static const struct {
        const char *tenant, *from, *header_from;
        bool allowed;
    } rows[] = {
        {"acme", "a@acme.example", "a@acme.example", true},
        {"acme", "b@acme.example", "a@acme.example", true},
        {"acme", "", "a@acme.example", true},
        {"acme", "v-1@bounces.example", "a@acme.example", true},
        {"acme", "a@acme.example", "a@bounces.example", false},
        {"acme", "a@evil.example", "a@acme.example", false},
        {"acme", "a@x.bounces.example", "a@acme.example", false},
        {"acme", "a@acme.example", "a@evil.example", false},
        {"acme", "a@acme.example", "a@notacme.example", false},
        {"acme", "a@acme.example", "a@acme.example.evil.example", false},
        {"acme", "", "a@evil.example", false},
        {"open", "x@any.example", "y@other.example", true},
        {"open", "", "y@other.example", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error why = {""};
        int status = intake_allowed(
            settings_tenant(settings, rows[i].tenant), rows[i].from, rows[i].header_from, &why);
        if ((status == 0) != rows[i].allowed)
            fail_msg("%s: MAIL FROM %s, From: %s: %s", rows[i].tenant, rows[i].from, rows[i].header_from,
                why.text);
        if (status != 0)
            assert_int_equal(strncmp(why.text, "5.7.1 ", 6), 0);
    }
}

static void test_completes_from_the_tenant(void **state)
{
    (void)state;
    struct error why;
    struct mail *mail = mail_of("acme", "a@acme.example");
    struct blob *body = hand_in(mail, "From: a@acme.example\r\n", &why);
    assert_non_null(body);
    assert_string_equal(mail->pool, "main");
    assert_string_equal(mail->campaign, "");
    assert_int_equal(mail->priority, MAIL_BULK);
    assert_int_equal(mail->dsn, MAIL_DSN_NONE);
    assert_int_equal(mail->expires, NOW + 2 * USEC_DAY);
    assert_int_equal(mail->body_len, body->len);
    mail_drop(&mail);
    blob_drop(&body);
}

/* Date and Message-ID are added behind our Received:, and only if they are missing. */
static void test_adds_what_is_missing(void **state)
{
    (void)state;
    struct error why;
    struct mail *mail = mail_of("acme", "a@acme.example");
    struct blob *body = hand_in(mail, "From: a@acme.example\r\n", &why);
    assert_int_equal(strncmp(body->bytes, RECEIVED, sizeof RECEIVED - 1), 0);
    assert_non_null(strstr(body->bytes, "\r\nDate: "));
    const char *id = strstr(body->bytes, "\r\nMessage-ID: <ab000000"),
               *end = strstr(body->bytes, "\r\n\r\nhi\r\n");
    assert_true(id != NULL && end != NULL && id < end);
    assert_int_equal(strlen(body->bytes), body->len);
    blob_drop(&body);

    static const char whole[] = "Date: Sun, 22 Nov 2026 06:43:42 +0000\r\nMessage-ID: <1@acme.example>\r\n"
                                "From: a@acme.example\r\n";
    body = hand_in(mail, whole, &why);
    char want[512];
    int len = snprintf(want, sizeof want, RECEIVED "%s\r\nhi\r\n", whole);
    assert_int_equal(body->len, len);
    assert_memory_equal(body->bytes, want, (size_t)len);
    mail_drop(&mail);
    blob_drop(&body);
}

static void test_wishes_are_read_and_taken_out(void **state)
{
    (void)state;
    struct error why;
    struct mail *mail = mail_of("acme", "");
    struct blob *body = hand_in(mail,
        "X-Todoku-Pool: bulk\r\nFrom: a@acme.example\r\nX-Todoku-Campaign: spring\r\n"
        "X-Todoku-Priority: transactional\r\nX-Todoku-Send-At: 2027-01-16T08:00:00Z\r\nSubject: s\r\n",
        &why);
    if (body == NULL)
        fail_msg("%s", why.text);
    assert_string_equal(mail->pool, "bulk");
    assert_string_equal(mail->campaign, "spring");
    assert_int_equal(mail->priority, MAIL_TRANSACTIONAL);
    assert_true(mail->send_at > NOW);
    assert_int_equal(mail->expires, mail->send_at + 2 * USEC_DAY); /* counted from then */
    assert_null(strstr(body->bytes, "X-Todoku"));
    assert_non_null(strstr(body->bytes, "\r\nSubject: s\r\n"));
    assert_int_equal(strlen(body->bytes), body->len);
    mail_drop(&mail);
    blob_drop(&body);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *tenant, *header, *want;
    } rows[] = {
        {"acme", "From: a@acme.example\r\nX-Todoku-Pool: other\r\n", "5.7.1 acme has no pool \"other\""},
        {"acme", "From: a@evil.example\r\n", "5.7.1 acme may not send as a@evil.example"},
        {"nobody", "From: a@acme.example\r\n", "5.7.1 there is no tenant \"nobody\""},
        {"acme", "Subject: s\r\n", "5.6.0 "},
        {"acme", "From: a@acme.example, b@evil.example\r\n", "5.6.0 "},
        {"acme", "From: a@acme.example\r\nFrom: b@evil.example\r\n", "5.6.0 "},
        {"acme", "From: a@acme.example\r\nX-Todoku-Send-At: tomorrow\r\n", "5.6.0 "},
        {"acme", "From: a@acme.example\r\nX-Todoku-Send-At: 2027-02-14T08:01:00Z\r\n",
            "5.6.0 X-Todoku-Send-At is more than 30 days ahead"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error why;
        struct mail *mail = mail_of(rows[i].tenant, "a@acme.example");
        struct blob *body = hand_in(mail, rows[i].header, &why);
        if (body != NULL || strncmp(why.text, rows[i].want, strlen(rows[i].want)) != 0)
            fail_msg("%s: \"%s\", wanted \"%s...\"", rows[i].header, why.text, rows[i].want);
        mail_drop(&mail);
    }
}

/* The HTTP door's mail has its wishes already; it is held to the same rules. */
static void test_handed_in(void **state)
{
    (void)state;
    static const char text[] = "From: a@acme.example\r\nX-Todoku-Pool: bulk\r\n\r\nhi\r\n";
    struct error why = {""};
    struct mail *mail = mail_of("acme", "a@acme.example");
    struct blob *body = blob_copy(text, sizeof text - 1);
    assert_int_equal(intake_handed_in(settings, mail, &body, "us.test", NOW, &why), 0);
    assert_string_equal(mail->pool, "main");
    assert_int_equal(mail->expires, NOW + 2 * USEC_DAY);
    assert_null(strstr(body->bytes, "X-Todoku"));
    assert_non_null(strstr(body->bytes, "Message-ID: "));
    assert_int_equal(mail->body_len, body->len);
    mail_set(&mail->from, "a@evil.example");
    assert_int_equal(intake_handed_in(settings, mail, &body, "us.test", NOW, &why), -1);
    assert_non_null(body); /* still the caller's */
    mail_drop(&mail);
    blob_drop(&body);
}

static void is_hash(const struct mail *mail, bool simple, const char *body)
{
    uint8_t hash[DIGEST_SIZE];
    digest_sha256(body, strlen(body), hash);
    assert_true(mail->has_body_hash);
    assert_int_equal(mail->body_hash_simple, simple);
    assert_memory_equal(mail->body_hash, hash, sizeof hash);
}

/* Of what is stored: without our fields, with what was missing. */
static void test_hashes_what_will_be_signed(void **state)
{
    (void)state;
    static const struct {
        const char *header, *body, *hashed;
        bool simple;
    } rows[] = {
        {"From: a@r.example\r\n", "\thi \r\n \r\n\r\n", " hi\r\n", false},
        {"From: a@x.r.example\r\nX-Todoku-Pool: main\r\n", "hi\r\n", "hi\r\n", false},
        {"From: a@s.example\r\nDate: Sat, 1 Jan 2028 00:00:00 +0000\r\nMessage-ID: <1@x>\r\n",
            "\thi \r\n \r\n\r\n", "\thi \r\n \r\n", true},
        {"From: a@r.example\r\n", "", "", false},
        {"From: a@s.example\r\n", "", "\r\n", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[512];
        struct error why = {""};
        struct blob *body = NULL;
        struct mail *mail = mail_of("signed", "");
        int len = snprintf(text, sizeof text, RECEIVED "%s\r\n%s", rows[i].header, rows[i].body);
        assert_int_equal(intake_message(settings, mail, xstrdup(text), (size_t)len, sizeof RECEIVED - 1,
                             "us.test", NOW, &body, &why),
            0);
        is_hash(mail, rows[i].simple, rows[i].hashed);
        mail->has_body_hash = false;
        blob_drop(&body);
        body = blob_copy(text + sizeof RECEIVED - 1, (size_t)len - (sizeof RECEIVED - 1));
        assert_int_equal(intake_handed_in(settings, mail, &body, "us.test", NOW, &why), 0);
        is_hash(mail, rows[i].simple, rows[i].hashed);
        blob_drop(&body);
        mail_drop(&mail);
    }
}

static void test_hashes_nothing_that_nobody_signs(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"acme", "From: a@acme.example\r\n"}, {"signed", "From: a@other.example\r\n"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error why;
        struct mail *mail = mail_of(rows[i][0], "");
        struct blob *body = hand_in(mail, rows[i][1], &why);
        assert_non_null(body);
        assert_false(mail->has_body_hash);
        blob_drop(&body);
        mail_drop(&mail);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_may_send_as_whom),
        cmocka_unit_test(test_completes_from_the_tenant),
        cmocka_unit_test(test_adds_what_is_missing),
        cmocka_unit_test(test_wishes_are_read_and_taken_out),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_handed_in),
        cmocka_unit_test(test_hashes_what_will_be_signed),
        cmocka_unit_test(test_hashes_nothing_that_nobody_signs),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
