/* signing_key_help_ossl - see signing_key_help_ossl.h */
#include "tests/unit/signing_key_help_ossl.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/panic.h"

const char SIGNING_KEY_HELP_RFC8463_ED25519[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";

const char SIGNING_KEY_HELP_RFC8463_RSA[] =
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi\n"
    "Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM\n"
    "KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB\n"
    "AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm\n"
    "6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe\n"
    "zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy\n"
    "6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc\n"
    "uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy\n"
    "WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd\n"
    "WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a\n"
    "licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst\n"
    "o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe\n"
    "uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL\n"
    "-----END RSA PRIVATE KEY-----\n";

static FILE *open_new(char *file)
{
    int fd = mkstemp(file);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    must(out != NULL);
    return out;
}

void signing_key_help_write(char *file, const char *text)
{
    FILE *out = open_new(file);
    must(fputs(text, out) >= 0 && fclose(out) == 0);
}

static EVP_PKEY *generate(const char *type, unsigned bits)
{
    EVP_PKEY *key;
    if (strcmp(type, "EC") == 0) {
        key = EVP_EC_gen("P-256");
    } else if (strncmp(type, "RSA", 3) == 0) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
        key = NULL;
        must(EVP_PKEY_keygen_init(context) == 1 &&
             EVP_PKEY_CTX_set_rsa_keygen_bits(context, (int)bits) == 1 &&
             EVP_PKEY_generate(context, &key) == 1);
        EVP_PKEY_CTX_free(context);
    } else {
        key = EVP_PKEY_Q_keygen(NULL, NULL, type);
    }
    must(key != NULL);
    return key;
}

void signing_key_help_make(char *file, const char *type, unsigned bits, bool old, bool locked)
{
    FILE *out = open_new(file);
    EVP_PKEY *key = generate(type, bits);
    const EVP_CIPHER *cipher = locked ? EVP_aes_256_cbc() : NULL;
    const unsigned char *phrase = locked ? (const unsigned char *)"secret" : NULL;
    int len = locked ? 6 : 0;
    BIO *bio = BIO_new_fp(out, BIO_NOCLOSE);
    int ok = old ? PEM_write_bio_PrivateKey_traditional(bio, key, cipher, phrase, len, NULL, NULL)
                 : PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, (const char *)phrase, len, NULL, NULL);
    BIO_free(bio);
    EVP_PKEY_free(key);
    must(ok == 1 && fclose(out) == 0);
}

void signing_key_help_make_public(char *file)
{
    FILE *out = open_new(file);
    EVP_PKEY *key = generate("RSA", 2048);
    must(PEM_write_PUBKEY(out, key) == 1 && fclose(out) == 0);
    EVP_PKEY_free(key);
}

static EVP_PKEY *public_key(bool rsa, const char *p)
{
    uint8_t bytes[2048];
    must(strlen(p) < sizeof bytes);
    ssize_t len = base64_decode(p, strlen(p), bytes);
    must(len > 0);
    const uint8_t *at = bytes;
    return rsa ? d2i_PUBKEY(NULL, &at, len)
               : EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, bytes, (size_t)len);
}

bool signing_key_help_verify(
    bool rsa, const char *p, const uint8_t digest[32], const uint8_t *signature, size_t len)
{
    EVP_PKEY *key = public_key(rsa, p);
    must(key != NULL);
    bool ok;
    if (rsa) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
        must(EVP_PKEY_verify_init(context) == 1 &&
             EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
             EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1);
        ok = EVP_PKEY_verify(context, signature, len, digest, 32) == 1;
        EVP_PKEY_CTX_free(context);
    } else {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        must(EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1);
        ok = EVP_DigestVerify(context, signature, len, digest, 32) == 1;
        EVP_MD_CTX_free(context);
    }
    EVP_PKEY_free(key);
    return ok;
}
