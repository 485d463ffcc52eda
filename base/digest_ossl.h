/* digest_ossl - SHA-256 and its keyed form, in one call each
 *
 * digest_sha256 tells one body from another; digest_hmac makes names that nobody without the secret can
 * guess or collide (RFC 2104). digest_equal compares without telling by its time where the difference is.
 *
 * Memory: values. Errors: none; a library without SHA-256 is a bug of the installation and panics. */
#ifndef BASE_DIGEST_OSSL_H
#define BASE_DIGEST_OSSL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE 32

void digest_sha256(const void *bytes, size_t len, uint8_t out[DIGEST_SIZE]);
void digest_hmac(
    const void *secret, size_t secret_len, const void *bytes, size_t len, uint8_t out[DIGEST_SIZE]);
bool digest_equal(const void *a, const void *b, size_t len);

#endif
