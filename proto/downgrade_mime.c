/* downgrade_mime - reads what a header says about its body: Content-Type, Content-Transfer-Encoding and the
 * boundary (RFC 2045 sections 5.1 and 6.1, RFC 2046 section 5.1.1)
 *
 * Comments and folds may be anywhere between the words. Boundaries are also taken without quotes where the
 * grammar wants them, since much software writes them so. */
#include <string.h>
#include <strings.h>

#include "proto/downgrade_inside.h"
#include "proto/message_field.h"

#define SHOWN 40 /* of a word in a sentence */

/* --- words of a field's value --- */

static void take(struct span *value, size_t len)
{
    value->at += len;
    value->len -= len;
}

/* The length of the comment or quoted string at the front, with its ends; all of it, if it has no end. */
static size_t enclosed_length(struct span value)
{
    char open = value.at[0], close = open == '(' ? ')' : '"';
    size_t depth = 0, i = 0;
    for (; i < value.len; i++) {
        char c = value.at[i];
        if (c == '\\')
            i++;
        else if (c == close && (depth == 1 || open == close) && i > 0)
            return i + 1;
        else if (c == close)
            depth -= depth > 0;
        else if (c == open)
            depth++;
    }
    return value.len;
}

static void skip_blanks(struct span *value)
{
    while (value->len > 0) {
        char c = value->at[0];
        if (c == '(')
            take(value, enclosed_length(*value));
        else if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            take(value, 1);
        else
            return;
    }
}

/* Printable characters up to one of `ends`; empty if there are none. */
static struct span take_word(struct span *value, const char *ends)
{
    skip_blanks(value);
    struct span word = {.at = value->at};
    while (word.len < value->len) {
        char c = value->at[word.len];
        if (c <= ' ' || c > '~' || strchr(ends, c) != NULL)
            break;
        word.len++;
    }
    take(value, word.len);
    return word;
}

static struct span take_token(struct span *value)
{
    return take_word(value, "()<>@,;:\\\"/[]?=");
}

static bool take_char(struct span *value, char c)
{
    skip_blanks(value);
    if (value->len == 0 || value->at[0] != c)
        return false;
    take(value, 1);
    return true;
}

static bool word_is(struct span word, const char *text)
{
    return word.len == strlen(text) && strncasecmp(word.at, text, word.len) == 0;
}

/* --- Content-Type --- */

/* Goes behind the next semicolon that is in no comment and no quoted string. */
static bool next_parameter(struct span *value)
{
    while (value->len > 0) {
        char c = value->at[0];
        take(value, c == '(' || c == '"' ? enclosed_length(*value) : 1);
        if (c == ';')
            return true;
    }
    return false;
}

/* The string without quotes, backslashes and folds; -1 if it's too long or has no end. */
static int unquote(struct span quoted, char *out, size_t size)
{
    size_t len = 0;
    for (size_t i = 1; i < quoted.len; i++) {
        char c = quoted.at[i];
        if (c == '"') {
            out[len] = '\0';
            return 0;
        }
        if (c == '\r' || c == '\n')
            continue;
        if (c == '\\' && i + 1 < quoted.len)
            c = quoted.at[++i];
        if (len + 1 >= size)
            return -1;
        out[len++] = c;
    }
    return -1;
}

static int read_boundary(struct span *value, char *boundary, struct error *error)
{
    skip_blanks(value);
    if (value->len > 0 && value->at[0] == '"') {
        if (unquote(*value, boundary, BOUNDARY_SIZE) < 0)
            return error_set(error, "its boundary has no closing quote or is too long");
    } else {
        struct span word = take_word(value, ";(\"");
        if (word.len >= BOUNDARY_SIZE)
            return error_set(error, "its boundary is too long");
        memcpy(boundary, word.at, word.len);
        boundary[word.len] = '\0';
    }
    /* A boundary never ends in a space: gateways would take it away. */
    for (size_t len = strlen(boundary); len > 0 && (boundary[len - 1] == ' ' || boundary[len - 1] == '\t');)
        boundary[--len] = '\0';
    return boundary[0] == '\0' ? error_set(error, "its boundary is empty") : 0;
}

static int find_boundary(struct span value, struct part_head *head, struct error *error)
{
    while (next_parameter(&value)) {
        if (!word_is(take_token(&value), "boundary") || !take_char(&value, '='))
            continue;
        if (head->boundary[0] != '\0')
            return error_set(error, "it has two boundaries");
        if (read_boundary(&value, head->boundary, error) < 0)
            return -1;
    }
    return head->boundary[0] == '\0' ? error_set(error, "it's a multipart without a boundary") : 0;
}

/* RFC 6532 section 3.7 allows any encoding for message/global and its kin; RFC 2046 section 5.2 none for the
 * others. */
static enum part_kind message_kind(struct span subtype)
{
    if (word_is(subtype, "rfc822") || word_is(subtype, "news"))
        return PART_MESSAGE;
    if (word_is(subtype, "global") || (subtype.len > 7 && strncasecmp(subtype.at, "global-", 7) == 0))
        return PART_OTHER;
    return PART_SEALED;
}

static int read_type(struct span value, struct part_head *head, struct error *error)
{
    struct span type = take_token(&value), subtype = {.at = ""};
    if (take_char(&value, '/'))
        subtype = take_token(&value);
    head->kind = PART_OTHER;
    if (word_is(type, "text"))
        head->kind = PART_TEXT;
    if (word_is(type, "message"))
        head->kind = message_kind(subtype);
    if (!word_is(type, "multipart"))
        return 0;
    head->is_digest = word_is(subtype, "digest");
    head->kind = word_is(subtype, "signed") ? PART_SIGNED : PART_MULTIPART;
    return find_boundary(value, head, error);
}

/* --- Content-Transfer-Encoding, and all of them --- */

static void read_encoding(struct span value, struct part_head *head)
{
    struct span word = take_token(&value);
    skip_blanks(&value);
    if (value.len > 0)
        head->encoding = ENCODING_UNKNOWN;
    else if (word_is(word, "7bit"))
        head->encoding = ENCODING_NONE;
    else if (word_is(word, "8bit") || word_is(word, "binary"))
        head->encoding = ENCODING_EIGHT;
    else if (word_is(word, "quoted-printable") || word_is(word, "base64"))
        head->encoding = ENCODING_CODED;
    else
        head->encoding = ENCODING_UNKNOWN;
}

static int say_field(const struct message_field *field, struct error *error)
{
    return error_prefix(
        error, "the field %.*s", field->name_len > SHOWN ? SHOWN : (int)field->name_len, field->name);
}

static int take_field(const struct message_field *field, struct part_head *head, struct error *error)
{
    struct span value = {.at = field->value, .len = field->value_len};
    if (span_check((struct span){.at = field->name, .len = field->len}, error) < 0)
        return say_field(field, error);
    bool is_type = message_field_is(field, "Content-Type");
    bool is_encoding = message_field_is(field, "Content-Transfer-Encoding");
    if ((is_type && head->has_type) || (is_encoding && head->has_encoding)) {
        error_set(error, "it's there more than once, so readers don't agree on what it says");
        return say_field(field, error);
    }
    if (message_field_is(field, "MIME-Version"))
        head->has_version = true;
    if (is_encoding) {
        head->has_encoding = true;
        read_encoding(value, head);
    }
    if (!is_type)
        return 0;
    head->has_type = true;
    return read_type(value, head, error) < 0 ? say_field(field, error) : 0;
}

int part_head_read(struct span part, bool is_message, struct part_head *head_r, struct error *error)
{
    struct message_field field;
    *head_r = (struct part_head){.kind = is_message ? PART_MESSAGE : PART_TEXT};
    for (;;) {
        int rc = message_field_read(part.at + head_r->len, part.len - head_r->len, &field, error);
        if (rc <= 0)
            return rc;
        if (take_field(&field, head_r, error) < 0)
            return -1;
        head_r->len += field.len;
    }
}
