/* 8-bit messages for receivers without 8BITMIME: what comes out, and that it decodes to what went in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "proto/downgrade.h"

#define FROM "From: a@b.test\r\n"
#define MIME FROM "MIME-Version: 1.0\r\n"
#define UTF8 "Content-Type: text/plain; charset=utf-8\r\n"
#define UNKNOWN "Content-Type: text/plain; charset=unknown-8bit\r\n"
#define CTE "Content-Transfer-Encoding: "
#define QUOTED CTE "quoted-printable\r\n"
#define BASE64 CTE "base64\r\n"
#define GRUESSE                                                                                              \
    "Viele Gr\xc3\xbc\xc3\x9f"                                                                               \
    "e aus Linz\r\n"
#define GRUESSE_QUOTED "Viele Gr=C3=BC=C3=9Fe aus Linz\r\n"

/* What holds for everything that comes out. */
static void check_seven_bit(const struct buffer *out)
{
    const char *bytes = buffer_bytes(out);
    size_t column = 0;
    for (size_t i = 0; i < buffer_len(out); i++) {
        assert_true((unsigned char)bytes[i] < 0x80 && bytes[i] != '\0' && bytes[i] != '\n');
        assert_true(++column <= 999);
        if (bytes[i] != '\r')
            continue;
        assert_true(++i < buffer_len(out) && bytes[i] == '\n');
        column = 0;
    }
}

/* The input is an exact copy, so that a sanitizer sees a read past its end. */
static int convert(const char *bytes, size_t len, struct buffer *out, struct error *error)
{
    char *exact = xmemdup(bytes, len);
    buffer_clear(out);
    int rc = downgrade_message(exact, len, out, error);
    free(exact);
    return rc;
}

static void becomes(const char *text, const char *expected)
{
    struct buffer out = {0};
    struct error error = {{0}};
    if (convert(text, strlen(text), &out, &error) < 0)
        fail_msg("%s\n%s", text, error.text);
    check_seven_bit(&out);
    assert_string_equal(buffer_text(&out), expected);
    buffer_free(&out);
}

static void refused(const char *text, const char *why)
{
    struct buffer out = {0};
    struct error error = {{0}};
    if (convert(text, strlen(text), &out, &error) == 0)
        fail_msg("taken: %s", text);
    if (strstr(error.text, why) == NULL)
        fail_msg("%s: %s", text, error.text);
    buffer_free(&out);
}

/* --- one part --- */

static void one_part_is_encoded(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {MIME UTF8 CTE "8bit\r\n\r\n" GRUESSE, MIME UTF8 QUOTED "\r\n" GRUESSE_QUOTED},
        {MIME UTF8 "\r\n" GRUESSE, MIME UTF8 QUOTED "\r\n" GRUESSE_QUOTED},
        /* The label is replaced where it stands, whatever it says, comments and folds included. */
        {MIME "content-transfer-encoding:\r\n (so) BINARY (yes)\r\n" UTF8 "\r\n" GRUESSE,
            MIME "content-transfer-encoding: quoted-printable\r\n" UTF8 "\r\n" GRUESSE_QUOTED},
        {MIME UTF8 CTE "7bit\r\n\r\n" GRUESSE, MIME UTF8 QUOTED "\r\n" GRUESSE_QUOTED},
        /* Nobody says what it is. */
        {FROM "\r\n" GRUESSE, FROM "MIME-Version: 1.0\r\n" UNKNOWN QUOTED "\r\n" GRUESSE_QUOTED},
        {MIME "\r\n" GRUESSE, MIME UNKNOWN QUOTED "\r\n" GRUESSE_QUOTED},
        {FROM UTF8 "\r\n" GRUESSE, FROM UTF8 "MIME-Version: 1.0\r\n" QUOTED "\r\n" GRUESSE_QUOTED},
        /* Dots and From stay; blanks at the end, tabs there and control characters don't. */
        {MIME UTF8 "\r\n.\r\n..\r\nFrom \xe9 \r\n \t\r\n\t x\r\n\x01\x7f=20\r\n\r\n",
            MIME UTF8 QUOTED "\r\n.\r\n..\r\nFrom =E9=20\r\n =09\r\n\t x\r\n=01=7F=3D20\r\n\r\n"},
        /* No line break at the end: none comes there. */
        {MIME UTF8 "\r\nGr\xc3\xbc\xc3\x9f"
                   "e und so weiter ",
            MIME UTF8 QUOTED "\r\nGr=C3=BC=C3=9Fe und so weiter=20"},
        /* More than a third would be escaped: base64; a third is not more. */
        {MIME UTF8 "\r\n\xe6\x97\xa5\xe6\x9c\xac\r\n", MIME UTF8 BASE64 "\r\n5pel5pysDQo=\r\n"},
        {MIME UTF8 "\r\n\xe9"
                   "12\xe9"
                   "34",
            MIME UTF8 QUOTED "\r\n=E912=E934"},
        {MIME UTF8 "\r\n\xe9"
                   "1\xe9"
                   "34",
            MIME UTF8 BASE64 "\r\n6THpMzQ="},
        /* What is no text. */
        {MIME "Content-Type: IMAGE/png\r\n\r\n\x89"
              "a lot of plain characters",
            MIME "Content-Type: IMAGE/png\r\n" BASE64 "\r\niWEgbG90IG9mIHBsYWluIGNoYXJhY3RlcnM="},
        {MIME "Content-Type: message/global\r\n\r\nSubject: \xe9\r\n\r\n",
            MIME "Content-Type: message/global\r\n" BASE64 "\r\nU3ViamVjdDog6Q0KDQo=\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        becomes(rows[i].in, rows[i].out);
}

static void what_is_clean_is_copied(void **state)
{
    (void)state;
    static const char *const rows[] = {"", "\r\n", FROM, FROM "\r\n", FROM "\r\nbody", MIME UTF8 "\r\nx \r\n",
        MIME BASE64 "\r\n####\r\n", FROM "this is no field\r\n\r\nbody\r\n", MIME CTE "x-own\r\n\r\nbody\r\n",
        MIME "Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
        MIME "Content-Type: multipart/mixed; boundary=b\r\n\r\nno parts\r\n",
        MIME "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n" CTE "8bit\r\n\r\nx\r\n--b--\r\n",
        MIME "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\nno field\r\n\r\nx\r\n--b--"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        becomes(rows[i], rows[i]);
        /* A multipart that is encoded itself, which it must not be, is not looked into. */
#define LABELLED "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" CTE "8bit\r\n\r\nx\r\n--b--\r\n"
    becomes(MIME BASE64 LABELLED, MIME BASE64 LABELLED);
    becomes(MIME CTE "x-own\r\n" LABELLED, MIME CTE "x-own\r\n" LABELLED);
    /* A label that isn't true would hold a strict receiver up. */
    becomes(MIME CTE "8bit\r\n\r\nx\r\n", MIME CTE "7bit\r\n\r\nx\r\n");
}

static void lines_that_are_too_long_are_encoded(void **state)
{
    (void)state;
    char text[1200];
    struct buffer out = {0};
    struct error error;
    for (size_t over = 0; over < 2; over++) {
        size_t len = (size_t)snprintf(text, sizeof text, MIME "\r\n%0*d\r\n", (int)(998 + over), 0);
        assert_int_equal(convert(text, len, &out, &error), 0);
        assert_int_equal(strstr(buffer_text(&out), MIME QUOTED "\r\n") != NULL, over);
        assert_null(strstr(buffer_text(&out), "unknown-8bit"));
        check_seven_bit(&out);
    }
    buffer_free(&out);
}

/* --- decoding back --- */

static int hex(char c)
{
    const char *digit = c == '\0' ? NULL : strchr("0123456789ABCDEF", c);
    assert_non_null(digit);
    return (int)(digit - "0123456789ABCDEF");
}

/* Both decoders also insist on the shape of the lines. */
static void decode_quoted(const char *text, struct buffer *out)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\r");
        assert_true(len <= 76);
        assert_true(len == 0 || (text[len - 1] != ' ' && text[len - 1] != '\t'));
        assert_false(len >= 2 && memcmp(text, "--", 2) == 0);
        bool soft = false;
        for (size_t i = 0; i < len; i++) {
            soft = text[i] == '=' && i + 1 == len;
            if (text[i] != '=')
                buffer_add(out, &text[i], 1);
            else if (!soft) {
                buffer_add(out, &(char){(char)(hex(text[i + 1]) * 16 + hex(text[i + 2]))}, 1);
                i += 2;
            }
        }
        text += len;
        if (*text == '\r') {
            assert_memory_equal(text, "\r\n", 2);
            if (!soft)
                buffer_add(out, "\r\n", 2);
            text += 2;
        }
    }
}

static void decode_base64(const char *text, struct buffer *out)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\r");
        assert_true(len <= 76 && len > 0);
        ssize_t count = base64_decode(text, len, buffer_room(out, len));
        assert_true(count > 0);
        buffer_added(out, (size_t)count);
        text += len;
        if (*text == '\r') {
            assert_memory_equal(text, "\r\n", 2);
            text += 2;
        }
    }
}

static void check_round(const char *head, const char *body, size_t len)
{
    struct buffer in = {0}, out = {0}, decoded = {0};
    struct error error = {{0}};
    buffer_printf(&in, "%s\r\n", head);
    buffer_add(&in, body, len);
    if (convert(buffer_bytes(&in), buffer_len(&in), &out, &error) < 0)
        fail_msg("%s", error.text);
    check_seven_bit(&out);
    const char *text = buffer_text(&out), *encoded = strstr(text, "\r\n\r\n") + 4;
    if (strstr(text, BASE64) != NULL)
        decode_base64(encoded, &decoded);
    else if (strstr(text, QUOTED) != NULL)
        decode_quoted(encoded, &decoded);
    else
        buffer_add_text(&decoded, encoded);
    assert_int_equal(buffer_len(&decoded), len);
    assert_memory_equal(buffer_bytes(&decoded), body, len);
    buffer_free(&in);
    buffer_free(&out);
    buffer_free(&decoded);
}

/* Octets out of a choice of nasty ones, with a share of 8-bit ones. */
static size_t make_body(uint32_t *seed, char *body, size_t size)
{
    static const char nasty[] = "a \t=.-\x01\x7f"
                                "bcdefgh";
    size_t len = 0, end = (*seed >> 8) % (size - 2);
    uint32_t share = 1 + (*seed >> 4) % 9;
    while (len < end) {
        uint32_t r = *seed = *seed * 1664525 + 1013904223;
        if (r >> 8 & 1 && (r >> 9) % 16 == 0) {
            body[len++] = '\r';
            body[len++] = '\n';
        } else if ((r >> 13) % share == 0) {
            body[len++] = (char)(0x80 + (r >> 16) % 0x80);
        } else {
            body[len++] = nasty[(r >> 16) % (sizeof nasty - 1)];
        }
    }
    return len;
}

static void everything_decodes_to_what_it_was(void **state)
{
    (void)state;
    char body[600];
    uint32_t seed = 1;
    for (int i = 0; i < 4000; i++) {
        size_t len = make_body(&seed, body, sizeof body);
        check_round(MIME UTF8, body, len);
        check_round(MIME "Content-Type: image/png\r\n", body, len);
    }
    /* Every length around the ends of lines, with the escape and the dashes at every column. */
    for (size_t len = 1; len < 170; len++) {
        for (size_t at = 0; at < len; at++) {
            memset(body, 'x', len);
            body[at] = (char)0xe9;
            check_round(MIME UTF8, body, len);
            body[len - 1] = ' ';
            memcpy(body + at, "--", len - at < 2 ? len - at : 2);
            body[0] = (char)0xe9;
            check_round(MIME UTF8, body, len);
        }
    }
    check_round(MIME "Content-Type: image/png\r\n", "\0\0\xff", 3);
    check_round(MIME UTF8, "a zero octet: \0", 15);
}

/* --- parts within parts --- */

static void only_8bit_parts_of_a_multipart_change(void **state)
{
    (void)state;
    becomes(MIME CTE
        "8bit\r\nContent-Type: multipart/mixed; boundary=out\r\n\r\n"
        "for old readers \xe2\x82\xac\r\n--outer is a text\r\n--out\r\n"
        "Content-Type: multipart/alternative;\r\n boundary=\"in ner\"\r\n" CTE "BINARY\r\n\r\n"
        "--in ner\r\n" UTF8 CTE "8bit\r\n\r\n" GRUESSE "\r\n--in ner\r\n"
        "Content-Type: text/html\r\n" CTE "8bit\r\n\r\n<p>clean</p>\r\n--in ner-- \t\r\n--out \t\r\n"
        "\r\n" GRUESSE "--out\r\nContent-Type: image/png\r\n" BASE64 "\r\niVBORw==\r\n"
        "--out\r\nContent-Type: image/gif\r\n\r\nGIF89a\xff\r\n--out--\r\nend \xff\r\n--\xff\r\n",
        MIME CTE "7bit\r\nContent-Type: multipart/mixed; boundary=out\r\n\r\n"
                 "for old readers ???\r\n--outer is a text\r\n--out\r\n"
                 "Content-Type: multipart/alternative;\r\n boundary=\"in ner\"\r\n" CTE "7bit\r\n\r\n"
                 "--in ner\r\n" UTF8 QUOTED "\r\n" GRUESSE_QUOTED "\r\n--in ner\r\n"
                 "Content-Type: text/html\r\n" CTE "7bit\r\n\r\n<p>clean</p>\r\n--in ner-- \t\r\n--out \t\r\n"
                 "" UNKNOWN QUOTED "\r\n" GRUESSE_QUOTED "--out\r\nContent-Type: image/png\r\n" BASE64
                 "\r\niVBORw==\r\n"
                 "--out\r\nContent-Type: image/gif\r\n" BASE64
                 "\r\nR0lGODlh/w==\r\n--out--\r\nend ?\r\n?-?\r\n");
}

static void boundaries_are_read_as_they_are_written(void **state)
{
    (void)state;
    static const struct {
        const char *parameters, *boundary; /* null: there is none */
    } rows[] = {
        {"; boundary=b", "b"},
        {";boundary=\"b\"", "b"},
        {"; charset=x; BOUNDARY = b ;", "b"},
        {"; x=\"; boundary=c\"; boundary=b", "b"},
        {" (a ; boundary=\"c\" (\\) ) ) ; (d) boundary (e) = (f) b(g)", "b"},
        {" (a (b) ; boundary=c) ; boundary=b", "b"},
        {";\r\n\tboundary=\"a\r\n b\"", "a b"},
        {"; boundary=\"a\\\"\\\\b\"", "a\"\\b"},
        {"; boundary=\"a  \"", "a"},
        {"; boundary=----=_Part_1:/.?,'+", "----=_Part_1:/.?,'+"},
        {"; boundary=\"'()+_,-./:=? x\"", "'()+_,-./:=? x"},
        {"; boundary=\"b--\"", "b--"},
        {"", NULL},
        {"; boundary", NULL},
        {"; boundary=", NULL},
        {"; boundary=\"\"", NULL},
        {"; boundary=\"b", NULL},
        {"; boundary=b; boundary=c", NULL},
        {"; boundary*0=b", NULL},
        {"; x=\"boundary=b", NULL},
        {"; x=(boundary=b", NULL},
    };
    struct buffer in = {0}, expected = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *boundary = rows[i].boundary == NULL ? "b" : rows[i].boundary;
        buffer_clear(&in);
        buffer_clear(&expected);
        buffer_printf(&in,
            MIME "Content-Type: multipart/mixed%s\r\n\r\n--%s\r\n" UTF8 "\r\n" GRUESSE "--%s--\r\n",
            rows[i].parameters, boundary, boundary);
        buffer_printf(&expected,
            MIME "Content-Type: multipart/mixed%s\r\n\r\n--%s\r\n" UTF8 QUOTED "\r\n" GRUESSE_QUOTED
                 "--%s--\r\n",
            rows[i].parameters, boundary, boundary);
        if (rows[i].boundary == NULL)
            refused(buffer_text(&in), "bounda");
        else
            becomes(buffer_text(&in), buffer_text(&expected));
    }
    buffer_free(&in);
    buffer_free(&expected);
}

static void no_boundary_comes_out_of_the_encoder(void **state)
{
    (void)state;
#define MIXED(boundary) MIME "Content-Type: multipart/mixed; boundary=\"" boundary "\"\r\n\r\n"
    becomes(MIXED("=E9") "--=E9\r\n" UTF8 "\r\n--\xe9 and more\r\n--\xe9\r\n--=E9--\r\n",
        MIXED("=E9") "--=E9\r\n" UTF8 QUOTED "\r\n=2D-=E9 and more\r\n=2D-=E9\r\n--=E9--\r\n");
    becomes(MIXED("b?") "--b\xe9\r\n--b?\r\n\r\nx\r\n--b?--\r\n--b\xe9\r\n",
        MIXED("b?") "?-b?\r\n--b?\r\n\r\nx\r\n--b?--\r\n?-b?\r\n");
#define X75 "123456789012345678901234567890123456789012345678901234567890123456789012345"
    becomes(MIXED("b") "--b\r\n" UTF8 "\r\n\xe9\r\n" X75 "--b\r\n--b--\r\n",
        MIXED("b") "--b\r\n" UTF8 QUOTED "\r\n=E9\r\n" X75 "=\r\n=2D-b\r\n--b--\r\n");
}

static void parts_may_be_odd(void **state)
{
    (void)state;
    /* Without an end; without anything; text that begins like a boundary. */
    becomes(MIXED("b") "--b\r\n" UTF8 "\r\n" GRUESSE "--bb\r\n--b --\r\n--b--x\r\n",
        MIXED("b") "--b\r\n" UTF8 QUOTED "\r\n" GRUESSE_QUOTED "=2D-bb\r\n=2D-b --\r\n=2D-b--x\r\n");
    becomes(MIXED("b") "--b\r\n--b\r\n\r\n--b\r\n\r\n\r\n--b\r\n" UTF8 "\r\n" GRUESSE "--b",
        MIXED("b") "--b\r\n--b\r\n\r\n--b\r\n\r\n\r\n--b\r\n" UTF8 QUOTED "\r\n" GRUESSE_QUOTED "--b");
}

static void attached_messages_are_converted(void **state)
{
    (void)state;
#define ATTACHED "Content-Type: message/rfc822\r\n"
    becomes(MIME ATTACHED CTE "8bit\r\n\r\nSubject: x\r\n\r\n" GRUESSE, MIME ATTACHED CTE
        "7bit\r\n\r\nSubject: x\r\nMIME-Version: 1.0\r\n" UNKNOWN QUOTED "\r\n" GRUESSE_QUOTED);
    becomes(FROM ATTACHED "\r\n" MIXED("b") "--b\r\n" UTF8 "\r\n" GRUESSE "--b--\r\n", FROM ATTACHED
        "MIME-Version: 1.0\r\n\r\n" MIXED("b") "--b\r\n" UTF8 QUOTED "\r\n" GRUESSE_QUOTED "--b--\r\n");
    /* In a digest a message is what doesn't say that it's something else. */
#define DIGEST MIME "Content-Type: multipart/digest; boundary=b\r\n\r\n"
    becomes(DIGEST "--b\r\n\r\n" MIME UTF8 "\r\n" GRUESSE "--b\r\n" UTF8 "\r\n" GRUESSE "--b--\r\n",
        DIGEST "--b\r\n\r\n" MIME UTF8 QUOTED "\r\n" GRUESSE_QUOTED "--b\r\n" UTF8 QUOTED
               "\r\n" GRUESSE_QUOTED "--b--\r\n");
    /* Nothing in a clean one is touched. */
    becomes(
        MIME ATTACHED "\r\n" MIME CTE "8bit\r\n\r\nx\r\n", MIME ATTACHED "\r\n" MIME CTE "8bit\r\n\r\nx\r\n");
}

/* --- what cannot be done --- */

static void what_has_no_7bit_form_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *in, *why;
    } rows[] = {
        {FROM "Subject: \xe9\r\n\r\nx\r\n", "the field Subject: it holds octets above 127"},
        {FROM "no field\r\n\r\n\xe9\r\n", "no field"},
        {MIME "\r\n\xe9\n", "CR"},
        {MIME "\r\n\xe9\r", "CR"},
        {MIME "\r\n\r\r\n", "CR"},
        {MIME BASE64 "\r\n\xe9\r\n", "base64 or quoted-printable"},
        {MIME QUOTED "\r\n\xe9\r\n", "base64 or quoted-printable"},
        {MIME CTE "x-own\r\n\r\n\xe9\r\n", "RFC 2045"},
        {MIME CTE "\r\n\r\n\xe9\r\n", "RFC 2045"},
        {MIME CTE "8bit 7bit\r\n\r\n\xe9\r\n", "RFC 2045"},
        {MIME CTE "8bit\r\n" CTE "8bit\r\n\r\n\xe9\r\n", "more than once"},
        {MIME UTF8 UTF8 "\r\n\xe9\r\n", "more than once"},
        {MIME "Content-Type: message/partial; id=x\r\n\r\n\xe9\r\n", "must not be encoded"},
        {MIME "Content-Type: message/delivery-status\r\n\r\n\xe9\r\n", "must not be encoded"},
        {MIME "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n\xe9\r\n--b--\r\n", "signature"},
        {MIME BASE64 "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\xe9\r\n--b--\r\n",
            "base64"},
        {MIXED("b") "\xe9\r\n", "no line with its boundary"},
        {MIXED("b") "--b\r\n\r\nx\r\n--b\r\n" ATTACHED
                    "\r\n" MIXED("c") "--c\r\nX: \xe9\r\n\r\n--c--\r\n--b--",
            "part 2: part 1: the field X: it holds"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refused(rows[i].in, rows[i].why);
}

static void long_lines_that_cannot_be_encoded_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {FROM "X: %s\r\n\r\n", MIME BASE64 "\r\n%s\r\n",
        MIXED("b") "%s\r\n--b\r\n\r\nx\r\n--b--\r\n", MIXED("b") "--b\r\n\r\nx\r\n--b--\r\n%s"};
    char *line = xcalloc(1, 1000);
    struct buffer in = {0};
    memset(line, 'x', 999);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *hole = strstr(rows[i], "%s");
        buffer_clear(&in);
        buffer_add(&in, rows[i], (size_t)(hole - rows[i]));
        buffer_add_text(&in, line);
        buffer_add_text(&in, hole + 2);
        refused(buffer_text(&in), "line");
    }
    buffer_free(&in);
    free(line);
}

/* `depth` multiparts around `body`, none of them closed. */
static void nest(struct buffer *in, int depth, const char *body)
{
    buffer_clear(in);
    buffer_add_text(in, MIME);
    for (int i = 0; i < depth; i++)
        buffer_printf(in, "Content-Type: multipart/mixed; boundary=b%d.\r\n\r\n--b%d.\r\n", i, i);
    buffer_printf(in, "%s\r\n%s", UTF8, body);
}

static void depth_and_size_have_limits(void **state)
{
    (void)state;
    struct buffer in = {0}, out = {0};
    struct error error;
    nest(&in, DOWNGRADE_MAX_DEPTH, GRUESSE);
    assert_int_equal(convert(buffer_bytes(&in), buffer_len(&in), &out, &error), 0);
    assert_non_null(strstr(buffer_text(&out), GRUESSE_QUOTED));
    nest(&in, DOWNGRADE_MAX_DEPTH + 1, GRUESSE);
    refused(buffer_text(&in), "nested more than 20 deep");
    nest(&in, 1000, "clean\r\n");
    char *same = xstrdup(buffer_text(&in));
    becomes(same, same);
    free(same);

    buffer_clear(&in);
    buffer_add_text(&in, MIXED("b"));
    for (int i = 0; i < 5000; i++)
        buffer_add_text(&in, "--b\r\n\r\n\xff\r\n");
    refused(buffer_text(&in), "four times");
    buffer_free(&in);
    buffer_free(&out);
}

static void what_was_there_stays(void **state)
{
    (void)state;
    struct buffer out = {0};
    buffer_add_text(&out, "before ");
    assert_int_equal(downgrade_message(MIME "\r\nx", strlen(MIME "\r\nx"), &out, NULL), 0);
    assert_string_equal(buffer_text(&out), "before " MIME "\r\nx");
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_part_is_encoded),
        cmocka_unit_test(what_is_clean_is_copied),
        cmocka_unit_test(lines_that_are_too_long_are_encoded),
        cmocka_unit_test(everything_decodes_to_what_it_was),
        cmocka_unit_test(only_8bit_parts_of_a_multipart_change),
        cmocka_unit_test(boundaries_are_read_as_they_are_written),
        cmocka_unit_test(no_boundary_comes_out_of_the_encoder),
        cmocka_unit_test(parts_may_be_odd),
        cmocka_unit_test(attached_messages_are_converted),
        cmocka_unit_test(what_has_no_7bit_form_is_refused),
        cmocka_unit_test(long_lines_that_cannot_be_encoded_are_refused),
        cmocka_unit_test(depth_and_size_have_limits),
        cmocka_unit_test(what_was_there_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
