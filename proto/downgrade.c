/* downgrade - see downgrade.h; headers are read in downgrade_mime.c, bodies encoded in downgrade_encode.c
 *
 * A message and a part of a multipart are the same thing here, a `part`: fields, an empty line, a body.
 * Everything that gets out either is checked to be 7-bit or has been encoded. */
#include "proto/downgrade.h"

#include <string.h>

#include "proto/downgrade_inside.h"
#include "proto/message_field.h"

struct downgrade {
    struct buffer *out;
    size_t max_len; /* of out */
    struct error *error;
};

/* Where a part stands. */
struct place {
    bool is_message;      /* a whole message: it has a MIME-Version */
    bool message_default; /* in a digest: it's a message/rfc822 unless it says something else */
    unsigned depth;
};

static int write_part(const struct downgrade *down, struct span part, struct place place);

static bool is_clean(struct span span)
{
    return span_check(span, NULL) == 0;
}

/* For spans that are clean. */
static void copy(const struct downgrade *down, struct span span)
{
    buffer_add(down->out, span.at, span.len);
}

/* --- the header --- */

struct change {
    const char *encoding;            /* null: what is there stays */
    bool adds_version, adds_charset; /* MIME-Version; Content-Type */
};

/* The fields, which are clean, and the empty line. */
static void write_header(
    const struct downgrade *down, struct span part, const struct part_head *head, const struct change *change)
{
    struct message_field field;
    for (size_t at = 0; at < head->len; at += field.len) {
        if (message_field_read(part.at + at, head->len - at, &field, NULL) <= 0)
            break;
        if (change->encoding != NULL && message_field_is(&field, "Content-Transfer-Encoding"))
            buffer_printf(down->out, "%.*s: %s\r\n", (int)field.name_len, field.name, change->encoding);
        else
            buffer_add(down->out, field.name, field.len);
    }
    if (change->adds_version)
        buffer_add_text(down->out, "MIME-Version: 1.0\r\n");
    /* RFC 1428: the truth about text of which nobody said what it is. */
    if (change->adds_charset)
        buffer_add_text(down->out, "Content-Type: text/plain; charset=unknown-8bit\r\n");
    if (change->encoding != NULL && !head->has_encoding)
        buffer_printf(down->out, "Content-Transfer-Encoding: %s\r\n", change->encoding);
    if (part.len > head->len)
        buffer_add_text(down->out, "\r\n");
}

/* --- multiparts --- */

enum line_kind { LINE_TEXT, LINE_DELIMITER, LINE_CLOSE };

/* RFC 2046 section 5.1.1: two hyphens, the boundary, two more at the last one, spaces. */
static enum line_kind line_kind(struct span line, const char *boundary)
{
    size_t len = strlen(boundary) + 2, i = len;
    if (line.len < len || memcmp(line.at, "--", 2) != 0 || memcmp(line.at + 2, boundary, len - 2) != 0)
        return LINE_TEXT;
    bool closes = line.len - i >= 2 && memcmp(line.at + i, "--", 2) == 0;
    if (closes)
        i += 2;
    while (i < line.len && (line.at[i] == ' ' || line.at[i] == '\t'))
        i++;
    if (i < line.len && line.at[i] != '\r')
        return LINE_TEXT;
    return closes ? LINE_CLOSE : LINE_DELIMITER;
}

/* The preamble or epilogue. A line that was changed must not become a boundary, which may have a "?". */
static int write_margin(const struct downgrade *down, struct span margin)
{
    struct span line;
    while (span_line(&margin, &line)) {
        char *copied = buffer_room(down->out, line.len);
        bool changed = false;
        for (size_t i = 0; i < line.len; i++) {
            bool bad = (unsigned char)line.at[i] >= 0x80 || line.at[i] == '\0';
            changed |= bad;
            copied[i] = bad ? '?' : line.at[i];
        }
        if (changed && line.len >= 2 && memcmp(copied, "--", 2) == 0)
            copied[0] = '?';
        if (span_check((struct span){.at = copied, .len = line.len}, down->error) < 0)
            return error_prefix(down->error, "the text around the parts");
        buffer_added(down->out, line.len);
    }
    return 0;
}

/* A part up to the next delimiter, to which the CRLF before it belongs. */
static int write_between(const struct downgrade *down, struct span between, struct place place, size_t number)
{
    struct span part = between;
    bool delimited = part.len >= 2 && part.at[part.len - 1] == '\n';
    if (delimited)
        part.len -= 2;
    if (write_part(down, part, place) < 0)
        return error_prefix(down->error, "part %zu", number);
    if (delimited)
        buffer_add_text(down->out, "\r\n");
    return 0;
}

/* `number` is the part's, counted from 1; 0 is the preamble. */
static int write_piece(const struct downgrade *down, struct span piece, struct place place, size_t number)
{
    return number == 0 ? write_margin(down, piece) : write_between(down, piece, place, number);
}

static int write_multipart(
    const struct downgrade *down, struct span body, const char *boundary, struct place inner)
{
    struct span rest = body, line, piece = {.at = body.at};
    size_t number = 0;
    enum line_kind kind = LINE_TEXT;
    while (kind != LINE_CLOSE && span_line(&rest, &line)) {
        kind = line_kind(line, boundary);
        if (kind == LINE_TEXT)
            continue;
        piece.len = (size_t)(line.at - piece.at);
        if (write_piece(down, piece, inner, number++) < 0)
            return -1;
        if (span_check(line, down->error) < 0)
            return error_prefix(down->error, "the boundary before part %zu", number);
        copy(down, line);
        piece.at = rest.at;
    }
    piece.len = (size_t)(rest.at + rest.len - piece.at);
    if (kind == LINE_CLOSE)
        return write_margin(down, piece);
    if (number > 0) /* never closed: the last part goes to the end */
        return write_part(down, piece, inner) < 0 ? error_prefix(down->error, "part %zu", number) : 0;
    if (!is_clean(body))
        return error_set(down->error,
            "a multipart has no line with its boundary, so that its 8-bit octets belong to no part");
    copy(down, body);
    return 0;
}

/* --- a part --- */

static int check_encodable(const struct part_head *head, unsigned depth, struct error *error)
{
    if (head->encoding == ENCODING_CODED)
        return error_set(error, "a part is called base64 or quoted-printable, but has octets or lines that "
                                "are neither; encode it "
                                "anew before sending");
    if (head->encoding == ENCODING_UNKNOWN)
        return error_set(error, "an 8-bit part has a Content-Transfer-Encoding that RFC 2045 doesn't know; "
                                "call it 8bit or encode it "
                                "before sending");
    if (head->kind == PART_SIGNED)
        return error_set(error, "an 8-bit multipart is signed, and encoding it would break the signature; "
                                "encode it before signing");
    if (head->kind == PART_SEALED)
        return error_set(error, "an 8-bit part has a message/ type that must not be encoded");
    if (depth >= DOWNGRADE_MAX_DEPTH && (head->kind == PART_MULTIPART || head->kind == PART_MESSAGE))
        return error_set(error, "8-bit parts are nested more than %d deep", DOWNGRADE_MAX_DEPTH);
    return 0;
}

static void write_encoded(const struct downgrade *down, struct span part, const struct part_head *head,
    struct span body, struct change change)
{
    bool quoted = head->kind == PART_TEXT && !encode_prefers_base64(body);
    change.encoding = quoted ? "quoted-printable" : "base64";
    change.adds_charset = !head->has_type && span_has_high(body);
    write_header(down, part, head, &change);
    if (quoted)
        encode_quoted(body, down->out);
    else
        encode_base64(body, down->out);
}

static bool can_open(const struct part_head *head, unsigned depth)
{
    return head->kind == PART_MULTIPART && depth < DOWNGRADE_MAX_DEPTH && head->encoding != ENCODING_CODED &&
           head->encoding != ENCODING_UNKNOWN;
}

static int write_body(const struct downgrade *down, struct span part, const struct part_head *head,
    struct span body, struct place place)
{
    struct place inner = {.is_message = head->kind == PART_MESSAGE,
        .message_default = head->is_digest,
        .depth = place.depth + 1};
    bool clean = is_clean(body);
    struct change change = {.encoding = head->encoding == ENCODING_EIGHT ? "7bit" : NULL,
        .adds_version = place.is_message && !head->has_version && !clean};
    if (!clean) {
        if (check_encodable(head, place.depth, down->error) < 0)
            return -1;
        if (head->kind == PART_TEXT || head->kind == PART_OTHER) {
            write_encoded(down, part, head, body, change);
            return 0;
        }
    }
    write_header(down, part, head, &change);
    if (can_open(head, place.depth))
        return write_multipart(down, body, head->boundary, inner);
    if (!clean)
        return write_part(down, body, inner); /* an attached message */
    copy(down, body);
    return 0;
}

static int write_part(const struct downgrade *down, struct span part, struct place place)
{
    struct part_head head;
    if (part_head_read(part, place.message_default, &head, down->error) < 0) {
        if (!is_clean(part))
            return -1;
        copy(down, part);
        return 0;
    }
    size_t at = head.len + (part.len > head.len ? 2 : 0);
    struct span body = {.at = part.at + at, .len = part.len - at};
    if (write_body(down, part, &head, body, place) < 0)
        return -1;
    if (buffer_len(down->out) > down->max_len)
        return error_set(
            down->error, "it would grow to more than four times its length; encode it before sending");
    return 0;
}

static bool has_bare_line_end(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\n')
            return true;
        if (bytes[i] == '\r' && (++i == len || bytes[i] != '\n'))
            return true;
    }
    return false;
}

int downgrade_message(const char *bytes, size_t len, struct buffer *out, struct error *error)
{
    struct downgrade down = {
        .out = out, .max_len = buffer_len(out) + 4 * len + DOWNGRADE_SLACK, .error = error};
    if (has_bare_line_end(bytes, len))
        return error_set(error, "the message has a CR without LF or an LF without CR; lines end in CRLF");
    return write_part(&down, (struct span){.at = bytes, .len = len}, (struct place){.is_message = true});
}
