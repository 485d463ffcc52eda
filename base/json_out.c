/* json_out - see json_out.h */
#include "base/json_out.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void comma(struct buffer *out)
{
    if (buffer_len(out) == 0)
        return;
    char last = out->memory[out->end - 1];
    if (last != '{' && last != '[' && last != '\n')
        buffer_add(out, ",", 1);
}

static void begin_value(struct buffer *out, const char *name)
{
    comma(out);
    if (name == NULL)
        return;
    buffer_add(out, "\"", 1);
    buffer_add_text(out, name);
    buffer_add(out, "\":", 2);
}

void json_begin(struct buffer *out, char bracket)
{
    json_begin_named(out, NULL, bracket);
}

void json_begin_named(struct buffer *out, const char *name, char bracket)
{
    begin_value(out, name);
    buffer_add(out, &bracket, 1);
}

void json_end(struct buffer *out, char bracket)
{
    char closing = bracket == '{' || bracket == '}' ? '}' : ']';
    buffer_add(out, &closing, 1);
}

/* The length of the UTF-8 sequence at `at` (RFC 3629), or 0 if there is none. */
static size_t utf8_len(const unsigned char *at, size_t left)
{
    size_t len = at[0] < 0x80                    ? 1
                 : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                 : (at[0] & 0xf0) == 0xe0        ? 3
                 : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                 : 0;
    if (len == 0 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    if (len == 3 && ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] >= 0xa0)))
        return 0;
    if (len == 4 && ((at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] >= 0x90)))
        return 0;
    return len;
}

static void escape(struct buffer *out, unsigned char c)
{
    static const char short_form[] = "\"\"\\\\\nn\rr\tt";
    for (const char *at = short_form; *at != '\0'; at += 2)
        if ((unsigned char)at[0] == c) {
            char pair[2] = {'\\', at[1]};
            buffer_add(out, pair, 2);
            return;
        }
    char text[8];
    snprintf(text, sizeof text, "\\u%04x", c);
    buffer_add(out, text, 6);
}

static bool is_plain(unsigned char c)
{
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
}

void json_text_len(struct buffer *out, const char *name, const char *text, size_t len)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + len;
    begin_value(out, name);
    buffer_add(out, "\"", 1);
    while (at < end) {
        const unsigned char *run = at;
        while (at < end && is_plain(*at))
            at++;
        buffer_add(out, run, (size_t)(at - run));
        if (at == end)
            break;
        size_t sequence = *at < 0x80 ? 0 : utf8_len(at, (size_t)(end - at));
        if (sequence > 0)
            buffer_add(out, at, sequence);
        else if (*at < 0x80)
            escape(out, *at);
        else
            buffer_add(out, "\xef\xbf\xbd", 3);
        at += sequence > 0 ? sequence : 1;
    }
    buffer_add(out, "\"", 1);
}

void json_text(struct buffer *out, const char *name, const char *text)
{
    json_text_len(out, name, text, strlen(text));
}

void json_number(struct buffer *out, const char *name, int64_t number)
{
    begin_value(out, name);
    buffer_printf(out, "%lld", (long long)number);
}

void json_fraction(struct buffer *out, const char *name, double number)
{
    begin_value(out, name);
    buffer_printf(out, "%.6g", isfinite(number) ? number : 0.0);
}

void json_bool(struct buffer *out, const char *name, bool value)
{
    begin_value(out, name);
    buffer_add_text(out, value ? "true" : "false");
}
