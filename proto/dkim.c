/* dkim - the DKIM-Signature field (RFC 6376 section 3.5), see dkim.h; bodies are dkim_body.c's, other fields
 * dkim_header.c's */
#include "proto/dkim.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/panic.h"
#include "proto/dkim_inside.h"

/* Of a line, without its CRLF (RFC 5322 section 2.1.1). */
#define COLUMNS 78
/* A domain or a selector has at most 253 octets (RFC 1035 section 2.3.4). */
#define TAG_SIZE 300

/* A field that is being written. Spaces and folds are put between what may not be torn; where they come
 * matters for simple canonicalization, which signs the field as it stands. */
struct writing {
    struct buffer *field;
    size_t column;
};

static void fold(struct writing *writing)
{
    buffer_add(writing->field, "\r\n ", 3);
    writing->column = 1;
}

static void add(struct writing *writing, const char *text, size_t len)
{
    buffer_add(writing->field, text, len);
    writing->column += len;
}

static void add_piece(struct writing *writing, const char *piece, size_t len, bool space)
{
    if (writing->column + (space ? 1 : 0) + len > COLUMNS)
        fold(writing);
    else if (space)
        add(writing, " ", 1);
    add(writing, piece, len);
}

/* Adds "name=value;", with a space or a fold before it. */
static void __attribute__((format(printf, 2, 3))) add_tag(struct writing *writing, const char *format, ...)
{
    va_list list;
    char text[TAG_SIZE];
    va_start(list, format);
    int len = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    must(len > 0 && (size_t)len < sizeof text);
    add_piece(writing, text, (size_t)len, true);
}

/* h= may be folded at its colons. */
static void add_names(struct writing *writing, const struct dkim_selection *selection)
{
    struct buffer tag = {0};
    buffer_add_text(&tag, "h=");
    dkim_selection_names(selection, &tag);
    buffer_add(&tag, ";", 1);
    const char *at = buffer_bytes(&tag), *end = at + buffer_len(&tag);
    for (bool first = true; at < end; first = false) {
        const char *colon = memchr(at, ':', (size_t)(end - at));
        size_t len = colon == NULL ? (size_t)(end - at) : (size_t)(colon + 1 - at);
        add_piece(writing, at, len, first);
        at += len;
    }
    buffer_free(&tag);
}

static void write_field(
    const struct dkim_wish *wish, const struct dkim_selection *selection, struct buffer *field)
{
    static const char *const algorithms[] = {
        [DKIM_RSA_SHA256] = "rsa-sha256", [DKIM_ED25519_SHA256] = "ed25519-sha256"};
    static const char *const canons[] = {[DKIM_RELAXED] = "relaxed", [DKIM_SIMPLE] = "simple"};
    struct writing writing = {.field = field};
    char hash[BASE64_SIZE(DKIM_HASH_SIZE)];
    long long now = (long long)(wish->now / USEC_SEC), lifetime = (long long)(wish->lifetime / USEC_SEC);
    base64_encode(wish->body_hash, DKIM_HASH_SIZE, hash);
    add(&writing, "DKIM-Signature: v=1;", 20);
    add_tag(&writing, "a=%s;", algorithms[wish->algorithm]);
    add_tag(&writing, "c=%s/%s;", canons[wish->header], canons[wish->body]);
    add_tag(&writing, "d=%s;", wish->domain);
    add_tag(&writing, "s=%s;", wish->selector);
    add_tag(&writing, "t=%lld;", now);
    if (lifetime > 0)
        add_tag(&writing, "x=%lld;", now + lifetime);
    add_names(&writing, selection);
    add_tag(&writing, "bh=%s;", hash);
    add_tag(&writing, "b=");
}

int dkim_prepare(const struct dkim_wish *wish, const struct dkim_digest *face, const char *message,
    size_t len, struct buffer *field, uint8_t to_sign[DKIM_HASH_SIZE], struct error *error)
{
    struct dkim_selection selection;
    struct buffer text = {0};
    buffer_clear(field);
    if (dkim_select(message, len, &selection, error) != 0)
        return -1;
    write_field(wish, &selection, field);
    dkim_selection_fields(&selection, wish->header, &text);
    /* Last our own field, with an empty b= and without its line end (section 3.7). */
    dkim_header_canonical(wish->header, buffer_bytes(field), buffer_len(field), &text);
    size_t signed_len = buffer_len(&text) - (wish->header == DKIM_RELAXED ? 2 : 0);
    void *digest = face->begin();
    face->add(digest, buffer_bytes(&text), signed_len);
    face->end(digest, to_sign);
    buffer_free(&text);
    return 0;
}

void dkim_finish(struct buffer *field, const uint8_t *signature, size_t len)
{
    struct writing writing = {.field = field};
    struct buffer text = {0};
    const char *bytes = buffer_bytes(field), *line = memrchr(bytes, '\n', buffer_len(field));
    writing.column = (size_t)(bytes + buffer_len(field) - (line == NULL ? bytes : line + 1));
    size_t left = base64_encode(signature, len, buffer_room(&text, BASE64_SIZE(len)));
    const char *at = buffer_bytes(&text);
    while (left > 0) {
        if (writing.column >= COLUMNS)
            fold(&writing);
        size_t room = COLUMNS - writing.column, piece = left < room ? left : room;
        add(&writing, at, piece);
        at += piece;
        left -= piece;
    }
    add(&writing, "\r\n", 2);
    buffer_free(&text);
}
