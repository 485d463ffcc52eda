/* fuzz_dkim - any bytes as a message to sign
 *
 * Held: a body in pieces has the hash of the plain way (tests/unit/dkim_reference.h), with both
 * canonicalizations; a header is either refused with a sentence, or gives a field of lines of at most 78
 * columns, the same each time. The first octet chooses the pieces. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest_ossl.h"
#include "base/panic.h"
#include "proto/dkim.h"
#include "tests/unit/dkim_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct dkim_digest sha256 = {digest_begin, digest_add, digest_end};

static void check_body(enum dkim_canon canon, size_t piece, const char *bytes, size_t len)
{
    struct buffer want = {0};
    struct dkim_body body;
    uint8_t wanted[DKIM_HASH_SIZE], got[DKIM_HASH_SIZE];
    dkim_reference_body(canon, bytes, len, &want);
    digest_sha256(buffer_bytes(&want), buffer_len(&want), wanted);
    dkim_body_begin(&body, &sha256, canon);
    for (size_t at = 0; at < len;) {
        size_t next = piece < len - at ? piece : len - at;
        char *exact = xmemdup(bytes + at, next);
        dkim_body_add(&body, exact, next);
        free(exact);
        at += next;
    }
    dkim_body_end(&body, got);
    must(memcmp(wanted, got, sizeof got) == 0 && body.bytes == buffer_len(&want));
    buffer_free(&want);
}

static void check_field(const struct buffer *field)
{
    const char *at = buffer_bytes(field), *end = at + buffer_len(field);
    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        must(lf != NULL && lf > at && lf[-1] == '\r' && lf - 1 - at <= 78);
        at = lf + 1;
        must(at == end || *at == ' ');
    }
}

static void check_header(enum dkim_canon canon, const char *bytes, size_t len)
{
    static const uint8_t hash[DKIM_HASH_SIZE] = {1}, signature[256] = {2};
    struct dkim_wish wish = {.domain = "a.example",
        .selector = "s",
        .header = canon,
        .body = canon,
        .body_hash = hash,
        .now = 1800000000 * USEC_SEC};
    struct buffer field = {0}, again = {0};
    uint8_t one[DKIM_HASH_SIZE], two[DKIM_HASH_SIZE];
    struct error error = {{0}};
    if (dkim_prepare(&wish, &sha256, bytes, len, &field, one, &error) != 0) {
        must(error.text[0] != '\0');
    } else {
        must(dkim_prepare(&wish, &sha256, bytes, len, &again, two, &error) == 0);
        must(memcmp(one, two, sizeof one) == 0 && buffer_len(&field) == buffer_len(&again));
        dkim_finish(&field, signature, sizeof signature);
        check_field(&field);
    }
    buffer_free(&field);
    buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *bytes = xmemdup(data + 1, size - 1);
    uint8_t hash[DKIM_HASH_SIZE];
    for (int canon = DKIM_RELAXED; canon <= DKIM_SIMPLE; canon++) {
        check_body((enum dkim_canon)canon, data[0] % 32 + 1, bytes, size - 1);
        check_header((enum dkim_canon)canon, bytes, size - 1);
        dkim_body_hash(&sha256, (enum dkim_canon)canon, bytes, size - 1, hash);
    }
    free(bytes);
    return 0;
}
