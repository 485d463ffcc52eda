/* reply - see reply.h
 *
 * Bytes gather in `line` up to a line feed; a whole line is checked and its text appended to the reply. The
 * text is written as it comes, so a reply costs one pass over its bytes plus one over its kept text. */
#include "proto/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void reply_reader_init(struct reply_reader *reader)
{
    memset(reader, 0, offsetof(struct reply_reader, line));
    reader->line_len = reader->text_len = reader->bytes = reader->lines = 0;
    reader->cut = reader->whole = reader->ended = false;
}

void reply_local(struct reply *reply, const char *enhanced, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    reply->code = 0;
    snprintf(reply->enhanced, sizeof reply->enhanced, "%s", enhanced);
    vsnprintf(reply->text, sizeof reply->text, format, args);
    va_end(args);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The length of the well-formed UTF-8 sequence at `p` (RFC 3629), or 0. The text ends in a zero, which is no
 * continuation byte: reading stops there. */
static size_t utf8_len(const unsigned char *p)
{
    static const struct {
        unsigned char first, last, low, high, len;
    } rows[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (p[0] < rows[i].first || p[0] > rows[i].last)
            continue;
        if (p[1] < rows[i].low || p[1] > rows[i].high)
            return 0;
        for (size_t k = 2; k < rows[i].len; k++)
            if (p[k] < 0x80 || p[k] > 0xbf)
                return 0;
        return rows[i].len;
    }
    return 0;
}

/* Texts go into logs, events and DSNs: what is not UTF-8 (or was cut in the middle) must not. */
static void text_clean(char *text)
{
    unsigned char *p = (unsigned char *)text;
    while (*p != '\0') {
        size_t len = *p < 0x80 ? 1 : utf8_len(p);
        if (len == 0)
            *p = '?';
        p += len == 0 ? 1 : len;
    }
}

static void text_add(struct reply_reader *reader, const char *bytes, size_t len)
{
    size_t room = sizeof reader->reply.text - 1 - reader->text_len;
    if (len > room)
        len = room;
    char *to = reader->reply.text + reader->text_len;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        to[i] = c == '\t' ? ' ' : c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    to[len] = '\0';
    reader->text_len += len;
}

/* RFC 3463: class "." subject "." detail, one to three digits each behind the class. Returns how long the
 * code at the head of `text` is, or 0. */
static size_t enhanced_len(const char *text, size_t len, int code)
{
    if (len < 5 || !is_digit(text[0]) || text[1] != '.')
        return 0;
    if (strchr("245", text[0]) == NULL && text[0] != '0' + code / 100)
        return 0;
    size_t at = 2;
    for (int part = 0; part < 2; part++) {
        size_t digits = 0;
        while (at < len && is_digit(text[at]) && digits < 4) {
            at++;
            digits++;
        }
        if (digits < 1 || digits > 3)
            return 0;
        if (part == 0 && (at >= len || text[at++] != '.'))
            return 0;
    }
    /* "5.1.1foo" and the address "5.1.1.7" are no codes. */
    if (at < len && (is_alnum(text[at]) || (text[at] == '.' && at + 1 < len && is_digit(text[at + 1]))))
        return 0;
    return at;
}

/* Takes the enhanced code off the head of a line: the first line's is kept, a later line's must be the same
 * one again to count as one. Returns how many bytes to skip. */
static size_t enhanced_take(struct reply_reader *reader, const char *text, size_t len)
{
    size_t n = enhanced_len(text, len, reader->reply.code);
    if (n == 0 || n >= sizeof reader->reply.enhanced)
        return 0;
    if (reader->lines == 0) {
        memcpy(reader->reply.enhanced, text, n);
        reader->reply.enhanced[n] = '\0';
    } else if (strlen(reader->reply.enhanced) != n || memcmp(reader->reply.enhanced, text, n) != 0) {
        return 0;
    }
    if (n < len && strchr(",:;", text[n]) != NULL && text[n] != '\0')
        n++;
    while (n < len && text[n] == ' ')
        n++;
    return n;
}

static enum reply_status bad(struct reply_reader *reader, const char *why)
{
    char line[61];
    size_t len = reader->line_len < sizeof line - 1 ? reader->line_len : sizeof line - 1;
    for (size_t i = 0; i < len; i++)
        line[i] = (char)(reader->line[i] < 0x20 || reader->line[i] == 0x7f ? '?' : reader->line[i]);
    line[len] = '\0';
    reply_local(&reader->reply, "", "%s: \"%s\"", why, line);
    text_clean(reader->reply.text);
    reader->ended = true;
    return REPLY_BAD;
}

/* The code of a line, or -1 (RFC 5321 4.2: three digits, the first 2 to 5). */
static int line_code(const struct reply_reader *reader)
{
    const char *line = reader->line;
    if (reader->line_len < 3 || !is_digit(line[0]) || !is_digit(line[1]) || !is_digit(line[2]))
        return -1;
    if (reader->line_len > 3 && is_digit(line[3]))
        return -1;
    int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    return code >= 200 && code <= 599 ? code : -1;
}

static enum reply_status line_take(struct reply_reader *reader)
{
    int code = line_code(reader);
    if (code < 0)
        return bad(reader, "a reply line without a code from 200 to 599");
    if (reader->lines == 0)
        reader->reply.code = code;
    else if (code != reader->reply.code)
        return bad(reader, "the lines of a reply have different codes");
    if (reader->lines >= REPLY_MAX_LINES)
        return bad(reader, "a reply of too many lines");

    char between = reader->line_len > 3 ? reader->line[3] : ' ';
    size_t at = between == ' ' || between == '-' || between == '\t' ? 4 : 3;
    if (at > reader->line_len)
        at = reader->line_len;
    at += enhanced_take(reader, reader->line + at, reader->line_len - at);
    if (reader->lines > 0 && reader->text_len < sizeof reader->reply.text - 1)
        reader->reply.text[reader->text_len++] = '\n';
    text_add(reader, reader->line + at, reader->line_len - at);
    reader->lines++;
    if (between == '-')
        return REPLY_MORE;
    text_clean(reader->reply.text);
    reader->ended = true;
    return REPLY_READY;
}

/* Adds bytes of one line; a line feed is not among them. */
static void line_add(struct reply_reader *reader, const char *bytes, size_t len)
{
    size_t room = sizeof reader->line - reader->line_len;
    if (len > room) {
        len = room;
        reader->cut = true;
    }
    memcpy(reader->line + reader->line_len, bytes, len);
    reader->line_len += len;
}

enum reply_status reply_read(struct reply_reader *reader, const char *bytes, size_t len, size_t *used_r)
{
    size_t used = 0;
    enum reply_status status = REPLY_MORE;
    while (used < len && status == REPLY_MORE) {
        if (reader->ended)
            reply_reader_init(reader);
        if (reader->whole) {
            reader->line_len = 0;
            reader->whole = reader->cut = false;
        }
        const char *end = memchr(bytes + used, '\n', len - used);
        size_t n = end == NULL ? len - used : (size_t)(end - (bytes + used));
        line_add(reader, bytes + used, n);
        used += n + (end != NULL);
        reader->bytes += n + (end != NULL);
        if (end != NULL) {
            /* A bare line feed is taken as well: many old servers end lines so. */
            if (!reader->cut && reader->line_len > 0 && reader->line[reader->line_len - 1] == '\r')
                reader->line_len--;
            reader->whole = true;
        }
        if (reader->bytes > REPLY_MAX_BYTES)
            status = bad(reader, "a reply of too many bytes");
        else if (end != NULL)
            status = line_take(reader);
    }
    *used_r = used;
    return status;
}
