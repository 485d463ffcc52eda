/* digest_ossl - SHA-256 and its keyed form, in one call each, and SHA-256 piece by piece
 *
 * digest_sha256 tells one body from another; digest_hmac makes names that nobody without the secret can
 * guess or collide (RFC 2104). digest_equal compares without telling by its time where the difference is.
 * digest_begin, _add (as often as needed) and _end are of the shape that struct dkim_digest asks for.
 *
 * Memory: values; what digest_begin gives lives until digest_end. Threads: any; one piecewise digest is one
 * thread's at a time. Errors: none; a library without SHA-256 is a bug of the installation and panics. */
#ifndef BASE_DIGEST_OSSL_H
#define BASE_DIGEST_OSSL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE 32

void digest_sha256(const void *bytes, size_t len, uint8_t out[DIGEST_SIZE]);
void digest_hmac(
    const void *secret, size_t secret_len, const void *bytes, size_t len, uint8_t out[DIGEST_SIZE]);
void *digest_begin(void);
void digest_add(void *digest, const void *bytes, size_t len);
void digest_end(void *digest, uint8_t out[DIGEST_SIZE]); /* and frees it */
bool digest_equal(const void *a, const void *b, size_t len);

#endif
