/* keys_ossl - the door to OpenSSL for keys: SHA-256, comparing, forgetting (see keys.h) */
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/panic.h"
#include "coordinator/keys_inside.h"

void key_hash(const uint8_t salt[16], const char *secret, size_t len, uint8_t hash_r[32])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(context, salt, 16) == 1 && EVP_DigestUpdate(context, secret, len) == 1 &&
                EVP_DigestFinal_ex(context, hash_r, NULL) == 1;
    EVP_MD_CTX_free(context);
    must(done);
}

bool key_hash_same(const uint8_t a[32], const uint8_t b[32])
{
    return CRYPTO_memcmp(a, b, 32) == 0;
}

void key_wipe(void *bytes, size_t len)
{
    OPENSSL_cleanse(bytes, len);
}
