/* compose_header - header lines out of UTF-8: folding (RFC 5322 section 2.2.3) and encoded words (RFC 2047)
 *
 * Text is taken apart at single spaces. Words of printable ASCII stay as they are; runs of other words become
 * base64 encoded words with their spaces inside (the space between two encoded words is no text). A line that
 * holds an encoded word has at most 76 characters, an encoded word at most 75, and none cuts a UTF-8
 * sequence. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "proto/address.h"
#include "proto/compose_inside.h"

#define LINE 76
#define MAX_WORD 900     /* a word that cannot be folded must fit a line of 998 with its name */
#define ENCODED_FRAME 12 /* =?UTF-8?B? and ?= */
#define ENCODED_MAX 75
#define ENCODED_MIN 32 /* with less room a new line is begun */

struct line {
    struct buffer *out;
    size_t column;
    bool first; /* nothing stands behind the name yet */
};

static struct line line_begin(struct buffer *out, const char *name)
{
    buffer_add_text(out, name);
    buffer_add(out, ":", 1);
    return (struct line){.out = out, .column = strlen(name) + 1, .first = true};
}

static void line_word(struct line *line, const char *word, size_t len)
{
    bool fold = line->column + 1 + len > LINE && !line->first;
    buffer_add_text(line->out, fold ? "\r\n " : " ");
    buffer_add(line->out, word, len);
    line->column = (fold ? 0 : line->column) + 1 + len;
    line->first = false;
}

/* How much of `text` one encoded word of `room` characters takes, whole UTF-8 sequences only. */
static size_t encoded_share(const char *text, size_t len, size_t room)
{
    size_t share = (room - ENCODED_FRAME) / 4 * 3;
    if (share >= len)
        return len;
    size_t cut = share;
    while (cut > 0 && share - cut < 4 && ((unsigned char)text[cut] & 0xc0) == 0x80)
        cut--;
    /* Four continuation bytes in a row are no UTF-8: nothing to be kept whole. */
    return cut > 0 && share - cut < 4 ? cut : share;
}

static void line_encoded(struct line *line, const char *text, size_t len)
{
    while (len > 0) {
        char word[ENCODED_MAX + 1] = "=?UTF-8?B?";
        size_t room = line->column + 1 < LINE ? LINE - line->column - 1 : 0;
        if (room < ENCODED_MIN || room > ENCODED_MAX)
            room = ENCODED_MAX;
        size_t share = encoded_share(text, len, room);
        size_t used = strlen(word);
        used += base64_encode(text, share, word + used);
        memcpy(word + used, "?=", 3);
        line_word(line, word, used + 2);
        text += share;
        len -= share;
    }
}

/* --- unstructured text --- */

static bool is_plain(const char *word, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (word[i] < ' ' || word[i] > '~')
            return false;
    return len <= MAX_WORD;
}

/* The word at `text` with the spaces before it that are more than the one which separates. */
static size_t word_length(const char *text)
{
    size_t spaces = strspn(text, " \t");
    return spaces + strcspn(text + spaces, " \t");
}

static void line_text(struct line *line, const char *text)
{
    text += strspn(text, " \t");
    while (*text != '\0') {
        size_t len = word_length(text);
        if (is_plain(text, len)) {
            line_word(line, text, len);
        } else {
            for (;;) {
                const char *next = text + len;
                size_t more = *next == '\0' ? 0 : word_length(next + 1);
                if (more == 0 || is_plain(next + 1, more))
                    break;
                len += 1 + more;
            }
            line_encoded(line, text, len);
        }
        text += len;
        if (*text != '\0')
            text++;
    }
}

static int check_value(const char *name, const char *value, struct error *error)
{
    if (strpbrk(value, "\r\n") != NULL)
        return error_set(error, "%s: a header value holds no line end", name);
    return 0;
}

/* Everywhere but in the Subject a long word may be a URL or an id, which an encoded word would break. */
static int check_words(const char *name, const char *value, struct error *error)
{
    for (const char *at = value; *at != '\0'; at += strspn(at, " \t")) {
        size_t len = strcspn(at, " \t");
        if (len > MAX_WORD && strcmp(name, "Subject") != 0)
            return error_set(error, "%s: there are more than %d characters without a space", name, MAX_WORD);
        at += len;
    }
    return 0;
}

int compose_text_field(struct buffer *out, const char *name, const char *value, struct error *error)
{
    if (check_value(name, value, error) < 0 || check_words(name, value, error) < 0)
        return -1;
    struct line line = line_begin(out, name);
    size_t len = strlen(value);
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
        len--;
    char *text = xstrndup(value, len);
    line_text(&line, text);
    free(text);
    buffer_add(out, "\r\n", 2);
    return 0;
}

/* --- mailboxes --- */

/* The first of `stops` that stands outside of quotes and comments, or the end. */
static const char *find_outside(const char *at, const char *stops)
{
    bool quoted = false;
    int depth = 0;
    for (; *at != '\0'; at++) {
        if (*at == '\\' && at[1] != '\0')
            at++;
        else if (*at == '"' && depth == 0)
            quoted = !quoted;
        else if (!quoted && *at == '(')
            depth++;
        else if (!quoted && *at == ')' && depth > 0)
            depth--;
        else if (!quoted && depth == 0 && strchr(stops, *at) != NULL)
            return at;
    }
    return at;
}

/* The display name before the '<', without its quotes; the caller's to free. */
static char *display_name(const char *text)
{
    const char *end = find_outside(text, "<");
    char *name = xstrdup("");
    size_t len = 0;
    if (*end == '\0')
        return name;
    name = xrealloc(name, (size_t)(end - text) + 1);
    text += strspn(text, " \t");
    for (const char *at = text; at < end; at++) {
        if (*at == '"')
            continue;
        if (*at == '\\' && at + 1 < end)
            at++;
        name[len++] = *at;
    }
    while (len > 0 && (name[len - 1] == ' ' || name[len - 1] == '\t'))
        len--;
    name[len] = '\0';
    return name;
}

/* The name as RFC 5322 writes a phrase: atoms, a quoted string, or encoded words. */
static void line_phrase(struct line *line, const char *name)
{
    static const char special[] = "()<>[]:;@\\,.\"";
    if (!is_plain(name, strlen(name))) {
        line_encoded(line, name, strlen(name));
        return;
    }
    if (strpbrk(name, special) == NULL) {
        line_text(line, name);
        return;
    }
    struct buffer quoted = {0};
    buffer_add(&quoted, "\"", 1);
    for (; *name != '\0'; name++) {
        if (*name == '"' || *name == '\\')
            buffer_add(&quoted, "\\", 1);
        buffer_add(&quoted, name, 1);
    }
    buffer_add(&quoted, "\"", 1);
    line_text(line, buffer_text(&quoted));
    buffer_free(&quoted);
}

static int line_mailbox(struct line *line, const char *name, const char *text, bool last, struct error *error)
{
    char address[ADDRESS_SIZE], word[ADDRESS_SIZE + 4];
    size_t count;
    if (check_value(name, text, error) < 0)
        return -1;
    if (address_of_header(text, strlen(text), address, &count, error) < 0)
        return error_prefix(error, "%s", name);
    if (count != 1 || (strchr(text, '[') == NULL && *find_outside(text, ":;") != '\0'))
        return error_set(error, "%s: one address at a time is expected, not %zu or a group", name, count);
    char *display = display_name(text);
    bool named = *display != '\0';
    if (named)
        line_phrase(line, display);
    free(display);
    int len = snprintf(word, sizeof word, named ? "<%s>%s" : "%s%s", address, last ? "" : ",");
    line_word(line, word, (size_t)len);
    return 0;
}

int compose_mailbox_field(
    struct buffer *out, const char *name, const char *const *texts, size_t count, struct error *error)
{
    struct line line = line_begin(out, name);
    for (size_t i = 0; i < count; i++)
        if (line_mailbox(&line, name, texts[i], i + 1 == count, error) < 0)
            return -1;
    buffer_add(out, "\r\n", 2);
    return 0;
}

int compose_mailbox_list(struct buffer *out, const char *name, const char *value, struct error *error)
{
    struct line line = line_begin(out, name);
    int rc = 0;
    for (const char *at = value; rc == 0;) {
        const char *comma = find_outside(at, ",");
        char *text = xstrndup(at, (size_t)(comma - at));
        rc = line_mailbox(&line, name, text, *comma == '\0', error);
        free(text);
        if (*comma == '\0')
            break;
        at = comma + 1;
    }
    buffer_add(out, "\r\n", 2);
    return rc;
}
