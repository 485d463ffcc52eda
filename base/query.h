/* query - "a=b&c=d" selectors, percent-encoded as in a URL
 *
 * Texts of strangers: decoding stops at a bad escape, and a value that does not fit is as if it were not
 * there. */
#ifndef BASE_QUERY_H
#define BASE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

/* The decoded value of the first `name`; false if it is not there, too long or badly encoded ("" in `out`
 * then). */
bool query_get(const char *selectors, const char *name, char *out, size_t size);
/* Whether `name` is there at all, readable or not. */
bool query_has(const char *selectors, const char *name);
/* Appends "name=value", the value percent-encoded, with a "&" before it unless it is the first. */
void query_add(struct buffer *out, const char *name, const char *value);
/* A whole number in [low, high], else `fallback`. */
int64_t query_number(const char *selectors, const char *name, int64_t low, int64_t high, int64_t fallback);

#endif
