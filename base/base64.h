/* base64 - bytes as letters and back (RFC 4648 section 4)
 *
 * With padding and without line breaks, as SMTP AUTH and encoded words want it.
 *
 * Memory: the caller's. Errors: decoding takes nothing but canonical base64: no spaces, full padding, no bits
 * set behind the last byte. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stddef.h>
#include <sys/types.h>

/* Room for `len` bytes as base64, with the zero. */
#define BASE64_SIZE(len) (((len) + 2) / 3 * 4 + 1)

/* Writes BASE64_SIZE(len) characters, the zero included; returns how many without it. */
size_t base64_encode(const void *bytes, size_t len, char *out);
/* Writes at most len / 4 * 3 bytes (no zero); returns how many, or -1 if `text` is no base64. */
ssize_t base64_decode(const char *text, size_t len, void *out);

#endif
