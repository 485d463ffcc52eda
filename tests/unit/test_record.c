/* What a record says survives its encoding, and nothing that Todoku did not write is taken for a record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "proto/record.h"

static struct mail *a_mail(uint32_t recipients)
{
    struct mail *mail = mail_new();
    memset(mail->id.bytes, 0xa5, sizeof mail->id.bytes);
    mail->keyed = true;
    mail->eight_bit = true;
    mail->priority = MAIL_TRANSACTIONAL;
    mail->dsn = MAIL_DSN_FAILURE;
    mail->created = 1800000000000000;
    mail->send_at = mail->created + USEC_HOUR;
    mail->expires = mail->created + USEC_DAY;
    mail->body_len = 10240;
    memset(mail->digest, 0x77, sizeof mail->digest);
    mail->has_body_hash = recipients > 0;
    mail->body_hash_simple = recipients > 1;
    memset(mail->body_hash, recipients > 0 ? 0x55 : 0, sizeof mail->body_hash);
    mail_set(&mail->tenant, "acme");
    mail_set(&mail->campaign, "spring");
    mail_set(&mail->from, "news@acme.example");
    for (uint32_t i = 0; i < recipients; i++) {
        char address[64];
        snprintf(address, sizeof address, "user\xc3\xbc%u@x%u.example", i, i % 7);
        mail_add_recipient(mail, address);
    }
    mail->tag_count = 2;
    mail->tags[0] = (struct mail_tag){xstrdup("kind"), xstrdup("receipt")};
    mail->tags[1] = (struct mail_tag){xstrdup("empty"), xstrdup("")};
    return mail;
}

static struct spool_record a_hold(uint32_t recipients)
{
    struct spool_record record = {.kind = RECORD_HOLD, .at = 1800000000000001};
    record.mail = a_mail(recipients);
    record.id = record.mail->id;
    record.item_count = recipients;
    record.items = xcalloc(recipients, sizeof *record.items);
    for (uint32_t i = 0; i < recipients; i++)
        record.items[i] = (struct record_item){.index = i,
            .hop = i % 3,
            .state = CUSTODY_HELD,
            .attempts = i,
            .due = -5,
            .code = i % 2 ? 451 : 0,
            .peer = i % 5 == 4 ? xstrdup("n3-1") : NULL};
    return record;
}

static void assert_same_items(const struct spool_record *a, const struct spool_record *b)
{
    assert_int_equal(a->item_count, b->item_count);
    for (uint32_t i = 0; i < a->item_count; i++) {
        assert_int_equal(a->items[i].index, b->items[i].index);
        assert_int_equal(a->items[i].hop, b->items[i].hop);
        assert_int_equal(a->items[i].state, b->items[i].state);
        assert_int_equal(a->items[i].result, b->items[i].result);
        assert_int_equal(a->items[i].attempts, b->items[i].attempts);
        assert_int_equal(a->items[i].due, b->items[i].due);
        assert_int_equal(a->items[i].code, b->items[i].code);
        assert_int_equal(a->items[i].attempt, b->items[i].attempt);
        assert_int_equal(a->items[i].peer != NULL, b->items[i].peer != NULL);
        if (a->items[i].peer != NULL)
            assert_string_equal(a->items[i].peer, b->items[i].peer);
    }
}

static void assert_same_mail(const struct mail *a, const struct mail *b)
{
    assert_true(id_equal(&a->id, &b->id));
    assert_int_equal(a->keyed, b->keyed);
    assert_int_equal(a->eight_bit, b->eight_bit);
    assert_int_equal(a->priority, b->priority);
    assert_int_equal(a->dsn, b->dsn);
    assert_int_equal(a->created, b->created);
    assert_int_equal(a->send_at, b->send_at);
    assert_int_equal(a->expires, b->expires);
    assert_string_equal(a->tenant, b->tenant);
    assert_string_equal(a->campaign, b->campaign);
    assert_string_equal(a->pool, b->pool);
    assert_string_equal(a->from, b->from);
    assert_int_equal(a->body_len, b->body_len);
    assert_memory_equal(a->digest, b->digest, sizeof a->digest);
    assert_int_equal(a->has_body_hash, b->has_body_hash);
    assert_int_equal(a->body_hash_simple, b->body_hash_simple);
    assert_memory_equal(a->body_hash, b->body_hash, sizeof a->body_hash);
    assert_int_equal(a->recipient_count, b->recipient_count);
    for (uint32_t i = 0; i < a->recipient_count; i++)
        assert_string_equal(a->recipients[i], b->recipients[i]);
    assert_int_equal(a->tag_count, b->tag_count);
    for (uint32_t i = 0; i < a->tag_count; i++) {
        assert_string_equal(a->tags[i].name, b->tags[i].name);
        assert_string_equal(a->tags[i].value, b->tags[i].value);
    }
}

static void round_trip(uint32_t recipients)
{
    struct spool_record record = a_hold(recipients), back;
    struct buffer out = {0};
    struct error error;
    buffer_add_text(&out, "before");
    record_encode(&record, &out);
    assert_memory_equal(buffer_bytes(&out), "before", 6);
    buffer_eat(&out, 6);
    assert_int_equal(record_decode(buffer_bytes(&out), buffer_len(&out), &back, &error), 0);
    assert_int_equal(back.kind, RECORD_HOLD);
    assert_int_equal(back.at, record.at);
    assert_null(back.detail);
    assert_same_items(&record, &back);
    assert_same_mail(record.mail, back.mail);
    record_clear(&record);
    record_clear(&back);
    buffer_free(&out);
}

static void a_hold_comes_back_as_it_was(void **state)
{
    (void)state;
    round_trip(1);
    round_trip(16);
    round_trip(17);
    round_trip(MAIL_MAX_RECIPIENTS);
}

static void the_largest_envelope_fits(void **state)
{
    (void)state;
    struct spool_record record = a_hold(1), back;
    struct error error;
    char address[255];
    memset(address, 'a', 254);
    address[254] = '\0';
    address[100] = '@';
    record.items = xrealloc(record.items, MAIL_MAX_RECIPIENTS * sizeof *record.items);
    for (uint32_t i = 1; i < MAIL_MAX_RECIPIENTS; i++) {
        mail_add_recipient(record.mail, address);
        record.items[i] =
            (struct record_item){.index = i, .hop = UINT32_MAX, .due = INT64_MAX, .attempt = UINT64_MAX};
    }
    record.item_count = MAIL_MAX_RECIPIENTS;
    struct buffer out = {0};
    record_encode(&record, &out);
    assert_int_equal(record_decode(buffer_bytes(&out), buffer_len(&out), &back, &error), 0);
    assert_int_equal(back.item_count, MAIL_MAX_RECIPIENTS);
    record_clear(&record);
    record_clear(&back);
    buffer_free(&out);
}

static void the_other_kinds_come_back(void **state)
{
    (void)state;
    for (enum record_kind kind = RECORD_INTENT; kind <= RECORD_ATTEMPT; kind++) {
        struct record_item items[] = {{.index = 9999,
            .hop = 4,
            .state = CUSTODY_DONE,
            .result = RESULT_BOUNCED,
            .code = 550,
            .attempt = kind == RECORD_ATTEMPT ? 0x8123456789abcdef : 0,
            .peer = (char *)"n2-1"}};
        struct spool_record record = {.kind = kind, .at = 7, .item_count = 1, .items = items}, back;
        record.detail = kind == RECORD_DONE ? (char *)"{\"code\":550}" : NULL;
        struct buffer out = {0};
        struct error error;
        record_encode(&record, &out);
        assert_int_equal(record_decode(buffer_bytes(&out), buffer_len(&out), &back, &error), 0);
        assert_int_equal(back.kind, kind);
        assert_null(back.mail);
        assert_same_items(&record, &back);
        assert_int_equal(back.detail != NULL, record.detail != NULL);
        if (record.detail != NULL)
            assert_string_equal(back.detail, record.detail);
        record_clear(&back);
        buffer_free(&out);
    }
}

static void refuse(const void *bytes, size_t len, const char *why)
{
    struct spool_record record;
    struct error error = {{0}};
    assert_int_equal(record_decode(bytes, len, &record, &error), -1);
    if (strstr(error.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.text, why);
}

/* A minimal record by hand: version, kind, id; `more` follows. */
static size_t by_hand(char *out, int version, int kind, size_t id_len, const void *more, size_t more_len)
{
    size_t n = 0;
    out[n++] = 0x08;
    out[n++] = (char)version;
    out[n++] = 0x10;
    out[n++] = (char)kind;
    out[n++] = 0x1a;
    out[n++] = (char)id_len;
    memset(out + n, 0x11, id_len);
    n += id_len;
    if (more_len > 0)
        memcpy(out + n, more, more_len);
    return n + more_len;
}

static void what_is_no_record_is_refused(void **state)
{
    (void)state;
    char bytes[256];
    refuse("", 0, "version 0");
    refuse("\xff\xff\xff", 3, "no record");
    refuse(bytes, by_hand(bytes, 1, 0, 16, "", 0), "kind 0");
    refuse(bytes, by_hand(bytes, 1, RECORD_DONE, 15, "", 0), "id of 15");
    refuse(bytes, by_hand(bytes, 1, RECORD_HOLD, 16, "", 0), "without a mail");
    refuse(bytes, by_hand(bytes, 1, RECORD_DONE, 16, "\x32\x00", 2), "with a mail");
    refuse(bytes, by_hand(bytes, 1, RECORD_HOLD, 16, "\x32\x00", 2), "digest");
    refuse(bytes, by_hand(bytes, 1, RECORD_DONE, 16, "\x3a\x03\x61\x00\x62", 5), "zero octet");
    refuse(bytes, by_hand(bytes, 1, RECORD_DONE, 16, "\x2a\x04\x42\x02\x61\x00", 6), "peer holds a zero");
    refuse(bytes, by_hand(bytes, 1, RECORD_DONE, 16, "\x2a\x02\x18\x06", 4), "state 6");
    refuse(bytes, by_hand(bytes, 1, RECORD_DONE, 16, "\x2a\x02\x20\x06", 4), "result 6");
    refuse(bytes, by_hand(bytes, 1, RECORD_DONE, 16, "\x2a\x03\x08\x90\x4e", 5), "delivery 10000");
}

static void read_as(enum record_result result, const void *bytes, size_t len, const char *why)
{
    struct spool_record record;
    struct error error = {{0}};
    assert_int_equal(record_decode(bytes, len, &record, &error), result);
    assert_non_null(strstr(error.text, why));
}

/* What the record itself says decides; what it holds beside that is the newer program's affair. */
static void what_a_newer_program_wrote(void **state)
{
    (void)state;
    static const char may_skip[] = "\x40\x01", mail_too[] = "\x40\x01\x32\x00";
    const int newer = RECORD_VERSION + 1, last = RECORD_ATTEMPT;
    char bytes[256];
    read_as(RECORD_NEWER, bytes, by_hand(bytes, newer, last, 16, "", 0), "version 3, kind 7");
    read_as(RECORD_NEWER, bytes, by_hand(bytes, 1, last + 1, 16, "", 0), "kind 8");
    read_as(RECORD_NEWER, bytes, by_hand(bytes, newer, last, 16, "", 0), "start that one");
    read_as(RECORD_NEWER, bytes, by_hand(bytes, newer, 99, 16, "\x40\x00", 2), "kind 99");
    read_as(RECORD_SKIPPED, bytes, by_hand(bytes, newer, 99, 16, may_skip, 2), "kind 99");
    read_as(RECORD_SKIPPED, bytes, by_hand(bytes, newer, 99, 3, mail_too, 4), "version 3");
    read_as(RECORD_SKIPPED, bytes, by_hand(bytes, newer, last, 16, may_skip, 2), "version 3");
    /* One of ours is read, whatever the bit says. */
    struct spool_record record;
    struct error error;
    assert_int_equal(
        record_decode(bytes, by_hand(bytes, 1, last, 16, may_skip, 2), &record, &error), RECORD_GOOD);
    record_clear(&record);
}

/* The version that an encoded record asks of its reader, and whether it may be passed over. */
static int version_asked(const struct spool_record *record)
{
    struct buffer out = {0};
    record_encode(record, &out);
    const char *bytes = buffer_bytes(&out);
    assert_int_equal(bytes[0], 0x08);
    int version = (unsigned char)bytes[1];
    assert_memory_not_equal(bytes + buffer_len(&out) - 2, "\x40\x01", 2);
    buffer_free(&out);
    return version;
}

/* The program before knows no attempts: it must not start where one is open, and may where none was ever written. */
static void an_attempt_asks_for_a_reader_that_knows_it(void **state)
{
    (void)state;
    struct spool_record hold = a_hold(3);
    assert_int_equal(version_asked(&hold), 1);
    hold.items[2].attempt = UINT64_MAX;
    assert_int_equal(version_asked(&hold), 2);
    hold.items[2].attempt = 0;
    struct spool_record over = {.kind = RECORD_ATTEMPT, .id = hold.id, .items = hold.items, .item_count = 3};
    assert_int_equal(version_asked(&over), 2);
    over.kind = RECORD_RETRY;
    assert_int_equal(version_asked(&over), 1);
    record_clear(&hold);
}

static void an_unknown_field_is_skipped(void **state)
{
    (void)state;
    char bytes[256];
    struct spool_record record;
    struct error error;
    size_t len = by_hand(bytes, 1, RECORD_RETRY, 16, "\x9a\x06\x03xyz", 6);
    assert_int_equal(record_decode(bytes, len, &record, &error), 0);
    assert_int_equal(record.kind, RECORD_RETRY);
    record_clear(&record);
}

/* A hold with a mail that says nothing but its digest (and `more`), as a version before the body's hash wrote it. */
static size_t old_hold(char *out, const char *more, size_t more_len)
{
    char mail[100] = "\x32\x22\x7a\x20";
    mail[1] = (char)(34 + more_len);
    memset(mail + 4, 0x77, 32);
    if (more_len > 0)
        memcpy(mail + 36, more, more_len);
    return by_hand(out, 1, RECORD_HOLD, 16, mail, 36 + more_len);
}

static void a_mail_without_its_bodys_hash_is_read(void **state)
{
    (void)state;
    char bytes[256];
    struct spool_record record;
    struct error error;
    size_t len = old_hold(bytes, NULL, 0);
    assert_int_equal(record_decode(bytes, len, &record, &error), 0);
    assert_false(record.mail->has_body_hash);
    record_clear(&record);
    refuse(bytes, old_hold(bytes, "\x82\x01\x03xyz", 6), "body's hash of 3");
}

static void a_flood_of_items_is_refused(void **state)
{
    (void)state;
    size_t len = RECORD_MAX_BYTES + 1;
    char *bytes = xmalloc(len);
    memset(bytes, 0, len);
    refuse(bytes, len, "allowed are");
    /* Two bytes an item: what fits into the size asks for a hundred times as much memory. */
    size_t start = by_hand(bytes, 1, RECORD_DONE, 16, "", 0);
    for (size_t i = start; i + 1 < RECORD_MAX_BYTES; i += 2)
        bytes[i] = 0x2a, bytes[i + 1] = 0;
    refuse(bytes, RECORD_MAX_BYTES, "no record");
    refuse(bytes, start + 20002, "10001 deliveries");
    free(bytes);
}

static void broken_bytes_never_break_us(void **state)
{
    (void)state;
    struct spool_record record = a_hold(3);
    struct buffer out = {0};
    record_encode(&record, &out);
    struct random random = {42};
    for (int round = 0; round < 20000; round++) {
        size_t len = random_below(&random, buffer_len(&out) + 1);
        char *copy = xmemdup(buffer_bytes(&out), len);
        for (uint64_t flips = random_below(&random, 3); len > 0 && flips > 0; flips--)
            copy[random_below(&random, len)] ^= (char)(1u << random_below(&random, 8));
        struct spool_record back;
        struct error error;
        if (record_decode(copy, len, &back, &error) == 0)
            record_clear(&back);
        free(copy);
    }
    record_clear(&record);
    buffer_free(&out);
}

static void names_are_printable(void **state)
{
    (void)state;
    assert_string_equal(result_name(RESULT_DELIVERED), "delivered");
    assert_string_equal(result_name(RESULT_CANCELLED), "cancelled");
    assert_string_equal(custody_state_name(CUSTODY_LEAVING), "leaving");
    assert_string_equal(custody_state_name(CUSTODY_DONE), "done");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hold_comes_back_as_it_was),
        cmocka_unit_test(the_largest_envelope_fits),
        cmocka_unit_test(the_other_kinds_come_back),
        cmocka_unit_test(what_is_no_record_is_refused),
        cmocka_unit_test(what_a_newer_program_wrote),
        cmocka_unit_test(an_attempt_asks_for_a_reader_that_knows_it),
        cmocka_unit_test(an_unknown_field_is_skipped),
        cmocka_unit_test(a_mail_without_its_bodys_hash_is_read),
        cmocka_unit_test(a_flood_of_items_is_refused),
        cmocka_unit_test(broken_bytes_never_break_us),
        cmocka_unit_test(names_are_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
