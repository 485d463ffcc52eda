/* json_out - writes JSON, one object or list after the other, into a buffer
 *
 *     json_begin(&out, '{'); json_text(&out, "id", id); json_number(&out, "size", n); json_end(&out, '}');
 * Commas come by themselves; names are constants of ours and are written as they are; texts are escaped, and
 * bytes that are no UTF-8 become U+FFFD, so that what strangers said never breaks a reader. */
#ifndef BASE_JSON_OUT_H
#define BASE_JSON_OUT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

/* `bracket` is '{' or '['; json_begin_named is for a member of an object. */
void json_begin(struct buffer *out, char bracket);
void json_begin_named(struct buffer *out, const char *name, char bracket);
void json_end(struct buffer *out, char bracket);
/* Members of an object; `name` null = an item of a list. */
void json_text(struct buffer *out, const char *name, const char *text);
void json_text_len(struct buffer *out, const char *name, const char *text, size_t len);
void json_number(struct buffer *out, const char *name, int64_t number);
void json_fraction(struct buffer *out, const char *name, double number);
void json_bool(struct buffer *out, const char *name, bool value);

#endif
