/* digest_ossl - see digest_ossl.h */
#include "base/digest_ossl.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

#include "base/panic.h"

/* EVP_sha256() stands for an algorithm that OpenSSL 3 looks up anew at each use, which takes longer than
 * hashing 256 bytes: it is fetched once, for all threads. */
static EVP_MD *fetched;

static void fetch(void)
{
    fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static const EVP_MD *sha256(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fetch);
    must(fetched != NULL);
    return fetched;
}

void digest_sha256(const void *bytes, size_t len, uint8_t out[DIGEST_SIZE])
{
    must(EVP_Digest(bytes, len, out, NULL, sha256(), NULL) == 1);
}

void *digest_begin(void)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(context != NULL && EVP_DigestInit_ex2(context, sha256(), NULL) == 1);
    return context;
}

void digest_add(void *digest, const void *bytes, size_t len)
{
    must(EVP_DigestUpdate(digest, bytes, len) == 1);
}

void digest_end(void *digest, uint8_t out[DIGEST_SIZE])
{
    must(EVP_DigestFinal_ex(digest, out, NULL) == 1);
    EVP_MD_CTX_free(digest);
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
