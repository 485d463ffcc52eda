/* signing_key_make_ossl - see signing_key_make_ossl.h */
#include "base/signing_key_make_ossl.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static EVP_PKEY *generate(enum signing_kind kind, unsigned bits)
{
    EVP_PKEY *key = kind == SIGNING_RSA ? EVP_RSA_gen(bits) : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    ERR_clear_error();
    return key;
}

static int write_key(FILE *out, const EVP_PKEY *key)
{
    bool written = PEM_write_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1;
    ERR_clear_error();
    return written && fflush(out) == 0 && fsync(fileno(out)) == 0 ? 0 : -1;
}

static int write_file(const char *file, const EVP_PKEY *key, struct error *error)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(error, "%s: can't be made: %s%s", file, strerror(errno),
            errno == EEXIST ? "; a key is never written over, choose another name" : "");
    FILE *out = fdopen(fd, "w");
    int status = out == NULL ? -1 : write_key(out, key);
    int why = errno;
    if (out == NULL)
        close(fd);
    else if (fclose(out) != 0 && status == 0) {
        why = errno;
        status = -1;
    }
    if (status != 0) {
        unlink(file);
        error_set(error, "%s: can't be written: %s", file, strerror(why));
    }
    return status;
}

int signing_key_make(const char *file, enum signing_kind kind, unsigned bits, struct error *error)
{
    EVP_PKEY *key = generate(kind, bits);
    if (key == NULL)
        return error_set(error, "%s: OpenSSL can't make such a key here", file);
    int status = write_file(file, key, error);
    EVP_PKEY_free(key);
    return status;
}
