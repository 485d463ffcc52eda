/* downgrade_encode - lines of a message, and the two encodings of RFC 2045: quoted-printable (section 6.7)
 * and base64 (section 6.8)
 *
 * The input has CRLF line ends only, which both encodings take for line breaks of the text. */
#include <string.h>

#include "base/base64.h"
#include "proto/downgrade_inside.h"

#define LINE 76  /* with the = of a soft line break */
#define GROUP 57 /* octets that make one line of base64 */

/* --- lines --- */

bool span_line(struct span *rest, struct span *line_r)
{
    if (rest->len == 0)
        return false;
    const char *lf = memchr(rest->at, '\n', rest->len);
    *line_r = (struct span){.at = rest->at, .len = lf == NULL ? rest->len : (size_t)(lf + 1 - rest->at)};
    rest->at += line_r->len;
    rest->len -= line_r->len;
    return true;
}

/* The length without the CRLF. */
static size_t text_length(struct span line)
{
    return line.len >= 2 && line.at[line.len - 1] == '\n' ? line.len - 2 : line.len;
}

bool span_has_high(struct span span)
{
    unsigned char all = 0;
    for (size_t i = 0; i < span.len; i++)
        all |= (unsigned char)span.at[i];
    return all >= 0x80;
}

int span_check(struct span span, struct error *error)
{
    struct span line;
    if (span_has_high(span))
        return error_set(error, "it holds octets above 127, which cannot be encoded there");
    if (span.len > 0 && memchr(span.at, '\0', span.len) != NULL)
        return error_set(error, "it holds a zero octet, which cannot be encoded there");
    while (span_line(&span, &line))
        if (text_length(line) > LINE_MAX_OCTETS)
            return error_set(error,
                "it has a line of %zu octets, which cannot be encoded there; %d may be sent",
                text_length(line), LINE_MAX_OCTETS);
    return 0;
}

/* --- quoted-printable --- */

struct quoted {
    struct buffer *out;
    char line[LINE];
    size_t len;
};

static bool is_plain(char c)
{
    return c >= ' ' && c <= '~' && c != '=';
}

static void add_piece(struct quoted *quoted, const char *piece, size_t len, bool last)
{
    if (quoted->len + len > (last ? LINE : LINE - 1)) {
        buffer_add(quoted->out, quoted->line, quoted->len);
        buffer_add(quoted->out, "=\r\n", 3);
        quoted->len = 0;
    }
    memcpy(quoted->line + quoted->len, piece, len);
    quoted->len += len;
}

/* Whether the character would be the first of a line that begins with "--", after a soft break too. */
static bool makes_dashes(const struct quoted *quoted, struct span text, size_t i)
{
    if (text.at[i] != '-' || i + 1 == text.len || text.at[i + 1] != '-')
        return false;
    return quoted->len == 0 || quoted->len + 1 > LINE - 1;
}

static void add_line(struct quoted *quoted, struct span text)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        bool last = i + 1 == text.len;
        bool blank = c == ' ' || c == '\t';
        bool plain = blank ? !last : is_plain(text.at[i]) && !makes_dashes(quoted, text, i);
        if (plain)
            add_piece(quoted, &text.at[i], 1, last);
        else
            add_piece(quoted, (char[]){'=', digits[c >> 4], digits[c & 15]}, 3, last);
    }
    buffer_add(quoted->out, quoted->line, quoted->len);
    quoted->len = 0;
}

void encode_quoted(struct span body, struct buffer *out)
{
    struct quoted quoted = {.out = out};
    struct span line;
    while (span_line(&body, &line)) {
        size_t len = text_length(line);
        add_line(&quoted, (struct span){.at = line.at, .len = len});
        buffer_add(out, line.at + len, line.len - len);
    }
}

bool encode_prefers_base64(struct span body)
{
    size_t escaped = 0;
    for (size_t i = 0; i < body.len; i++) {
        char c = body.at[i];
        escaped += !is_plain(c) && c != '\t' && c != '\r' && c != '\n';
    }
    return escaped > body.len / 3;
}

/* --- base64 --- */

void encode_base64(struct span body, struct buffer *out)
{
    for (size_t at = 0; at < body.len; at += GROUP) {
        size_t len = body.len - at < GROUP ? body.len - at : GROUP;
        buffer_added(out, base64_encode(body.at + at, len, buffer_room(out, BASE64_SIZE(GROUP))));
        if (at + len < body.len)
            buffer_add(out, "\r\n", 2);
    }
    if (body.len >= 2 && body.at[body.len - 1] == '\n')
        buffer_add(out, "\r\n", 2);
}
