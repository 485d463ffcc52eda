/* signing_key_make_ossl - a new private key in a file of its own (OpenSSL)
 *
 * Written as PEM (PKCS #8) with mode 0600 and synced; never over a file that is there. The public half is told by
 * loading the file (signing_key_ossl.h).
 *
 * Errors: the file, what happened, what to do; then no file is left behind. */
#ifndef BASE_SIGNING_KEY_MAKE_OSSL_H
#define BASE_SIGNING_KEY_MAKE_OSSL_H

#include "base/error.h"
#include "base/signing_key_ossl.h"

/* `bits` is for RSA: 1024 to 8192. 0, or -1. */
int signing_key_make(const char *file, enum signing_kind kind, unsigned bits, struct error *error);

#endif
