/* DKIM's hash of a body: the RFC's examples, and the same whatever the pieces are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/digest_ossl.h"
#include "base/random.h"
#include "proto/dkim.h"
#include "tests/unit/dkim_reference.h"

static const struct dkim_digest sha256 = {digest_begin, digest_add, digest_end};

static const struct row {
    const char *body, *relaxed, *simple;
} rows[] = {
    {" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n", " C \r\nD \t E\r\n"}, /* RFC 6376 section 3.4.5 */
    {"", "", "\r\n"},
    {"\r\n", "", "\r\n"},
    {"\r\n\r\n\r\n", "", "\r\n"},
    {" \r\n\t\r\n \t \r\n", "", " \r\n\t\r\n \t \r\n"},
    {" ", "", " \r\n"},
    {"\t\t", "", "\t\t\r\n"},
    {"a", "a\r\n", "a\r\n"},
    {"a \t", "a\r\n", "a \t\r\n"},
    {"a\r\n", "a\r\n", "a\r\n"},
    {"a\r\n\r\n", "a\r\n", "a\r\n"},
    {"a\r\n \r\n\r\n", "a\r\n", "a\r\n \r\n"},
    {"\r\n\r\na\r\n", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
    {"a\r\n \r\n\r\nb\r\n", "a\r\n\r\n\r\nb\r\n", "a\r\n \r\n\r\nb\r\n"},
    {"  a\tb  \t c\r\n", " a b c\r\n", "  a\tb  \t c\r\n"},
    {"\ta\r\n", " a\r\n", "\ta\r\n"},
    {"a\tb", "a b\r\n", "a\tb\r\n"},
    /* a CR or an LF alone is a character */
    {"a\r", "a\r\r\n", "a\r\r\n"},
    {"a \r", "a \r\r\n", "a \r\r\n"},
    {"a \r \r\n", "a \r\r\n", "a \r \r\n"},
    {"a\r\r\n", "a\r\r\n", "a\r\r\n"},
    {"a \rb\n \nc\r\n", "a \rb\n \nc\r\n", "a \rb\n \nc\r\n"},
    {"\n", "\n\r\n", "\n\r\n"},
    {"\r", "\r\r\n", "\r\r\n"},
    {" \r\r\n", " \r\r\n", " \r\r\n"},
    {"\r\n\r", "\r\n\r\r\n", "\r\n\r\r\n"},
    {"\xe3\x81\x82  \xff\r\n", "\xe3\x81\x82 \xff\r\n", "\xe3\x81\x82  \xff\r\n"},
    {"0123456789abcdef 0123456789abcd  \r\n\r\n", "0123456789abcdef 0123456789abcd\r\n",
        "0123456789abcdef 0123456789abcd  \r\n"},
    {"0123456789abcde \r\n", "0123456789abcde\r\n", "0123456789abcde \r\n"},
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

/* In three pieces: up to `a`, up to `b`, the rest. */
static uint64_t hash_cut(
    enum dkim_canon canon, const char *bytes, size_t len, size_t a, size_t b, uint8_t hash[DKIM_HASH_SIZE])
{
    struct dkim_body body;
    dkim_body_begin(&body, &sha256, canon);
    dkim_body_add(&body, bytes, a);
    dkim_body_add(&body, bytes + a, b - a);
    dkim_body_add(&body, bytes + b, len - b);
    dkim_body_end(&body, hash);
    return body.bytes;
}

static void canonical_bodies_cut_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        for (int canon = DKIM_RELAXED; canon <= DKIM_SIMPLE; canon++) {
            const char *want = canon == DKIM_RELAXED ? rows[i].relaxed : rows[i].simple;
            size_t len = strlen(rows[i].body);
            uint8_t wanted[DKIM_HASH_SIZE], got[DKIM_HASH_SIZE];
            digest_sha256(want, strlen(want), wanted);
            for (size_t a = 0; a <= len; a++)
                for (size_t b = a; b <= len; b++) {
                    uint64_t bytes = hash_cut((enum dkim_canon)canon, rows[i].body, len, a, b, got);
                    if (memcmp(wanted, got, sizeof got) != 0 || bytes != strlen(want))
                        fail_msg("row %zu, canonicalization %d, cut at %zu and %zu", i, canon, a, b);
                }
        }
    }
}

static void the_reference_agrees_with_the_rows(void **state)
{
    (void)state;
    struct buffer out = {0};
    for (size_t i = 0; i < ROW_COUNT; i++) {
        dkim_reference_body(DKIM_RELAXED, rows[i].body, strlen(rows[i].body), &out);
        assert_string_equal(buffer_text(&out), rows[i].relaxed);
        dkim_reference_body(DKIM_SIMPLE, rows[i].body, strlen(rows[i].body), &out);
        assert_string_equal(buffer_text(&out), rows[i].simple);
    }
    buffer_free(&out);
}

/* Bodies of what matters, longer than what is collected at once, in pieces of any size. */
static void random_bodies_in_random_pieces(void **state)
{
    (void)state;
    static const char *const parts[] = {" ", "\t", "\r\n", "\r\n\r\n", "\r", "\n", "word", "  ", "\r\n ",
        "a line that is longer than sixteen octets", "x", " y"};
    struct random random = {.state = 20261122};
    for (int round = 0; round < 3000; round++) {
        struct buffer body = {0}, want = {0};
        enum dkim_canon canon = round % 2 == 0 ? DKIM_RELAXED : DKIM_SIMPLE;
        for (uint64_t left = random_below(&random, round % 10 == 0 ? 1000 : 30); left > 0; left--)
            buffer_add_text(&body, parts[random_below(&random, sizeof parts / sizeof parts[0])]);
        if (round % 100 == 1) /* a run of empty lines, longer than any buffer */
            for (int i = 0; i < 5000; i++)
                buffer_add_text(&body, "\r\n");
        if (round % 200 == 1)
            buffer_add_text(&body, "end");
        uint8_t wanted[DKIM_HASH_SIZE], got[DKIM_HASH_SIZE];
        dkim_reference_body(canon, buffer_bytes(&body), buffer_len(&body), &want);
        digest_sha256(buffer_bytes(&want), buffer_len(&want), wanted);
        struct dkim_body hashing;
        dkim_body_begin(&hashing, &sha256, canon);
        for (size_t at = 0; at < buffer_len(&body);) {
            size_t piece = (size_t)random_below(&random, 40), left = buffer_len(&body) - at;
            piece = piece < left ? piece : left;
            char *exact = xmemdup(buffer_bytes(&body) + at, piece);
            dkim_body_add(&hashing, exact, piece);
            free(exact);
            at += piece;
        }
        dkim_body_end(&hashing, got);
        assert_memory_equal(wanted, got, sizeof got);
        assert_int_equal(hashing.bytes, buffer_len(&want));
        buffer_free(&body);
        buffer_free(&want);
    }
}

static void message_hash_is(const char *message, enum dkim_canon canon, const char *base64)
{
    uint8_t hash[DKIM_HASH_SIZE];
    char text[BASE64_SIZE(DKIM_HASH_SIZE)];
    dkim_body_hash(&sha256, canon, message, strlen(message), hash);
    base64_encode(hash, sizeof hash, text);
    assert_string_equal(text, base64);
}

/* What verifiers know by heart (RFC 6376 section 3.4.3, 3.4.4). */
static void hashes_of_messages_without_a_body(void **state)
{
    (void)state;
    static const char *const messages[] = {"", "\r\n", "A: b\r\n", "A: b\r\n\r\n", "A: b\r\n\r\n\r\n\r\n",
        "A: b", "A: b\r\nC: d", "A: b\n\nbody"};
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        message_hash_is(messages[i], DKIM_SIMPLE, "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=");
        message_hash_is(messages[i], DKIM_RELAXED, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}

/* RFC 8463 appendix A.3; and that only the first empty line ends the header. */
static void hashes_of_messages(void **state)
{
    (void)state;
    message_hash_is("Subject: Is dinner ready?\r\n\r\nHi.\r\n\r\nWe lost the game.  Are you hungry "
                    "yet?\r\n\r\nJoe.\r\n",
        DKIM_RELAXED, "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    message_hash_is("\r\nHi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.", DKIM_RELAXED,
        "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical_bodies_cut_everywhere),
        cmocka_unit_test(the_reference_agrees_with_the_rows),
        cmocka_unit_test(random_bodies_in_random_pieces),
        cmocka_unit_test(hashes_of_messages_without_a_body),
        cmocka_unit_test(hashes_of_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
