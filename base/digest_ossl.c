/* digest_ossl - see digest_ossl.h */
#include "base/digest_ossl.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/panic.h"

void digest_sha256(const void *bytes, size_t len, uint8_t out[DIGEST_SIZE])
{
    must(EVP_Digest(bytes, len, out, NULL, EVP_sha256(), NULL) == 1);
}

void digest_hmac(
    const void *secret, size_t secret_len, const void *bytes, size_t len, uint8_t out[DIGEST_SIZE])
{
    must(secret_len <= INT_MAX);
    must(HMAC(EVP_sha256(), secret, (int)secret_len, bytes, len, out, NULL) != NULL);
}

bool digest_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
