/* signing_key_ossl - private keys from files, and signatures with them (OpenSSL)
 *
 * Reads PEM (PKCS #8 or PKCS #1, without a passphrase), RSA of 1024 to 8192 bits or Ed25519. A file that others
 * than its owner may read or write is refused (its group may, if we are in it), as is one that is no regular
 * file or is larger than 64 KiB. A link is followed: what it points to counts. A key is tried before it is
 * given out: one whose halves do not fit together is refused. The sentence begins with the file's name and
 * says what to run.
 *
 * A file is read at once and in full: loading is for the start and the reload, never for a mail's way.
 *
 * Threads: a key may be used by many threads at once; hold and drop from any. */
#ifndef BASE_SIGNING_KEY_OSSL_H
#define BASE_SIGNING_KEY_OSSL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

#define SIGNATURE_MAX 1024

enum signing_kind { SIGNING_RSA, SIGNING_ED25519 };
struct signing_key;

/* Null with the reason. The result is held once. */
struct signing_key *signing_key_load(const char *file, struct error *error);
struct signing_key *signing_key_hold(struct signing_key *key);
void signing_key_drop(struct signing_key **key);
enum signing_kind signing_key_kind(const struct signing_key *key);
unsigned signing_key_bits(const struct signing_key *key);
/* The public half as DNS wants it in p= (RFC 6376 section 3.6.1, RFC 8463 section 4): Base64 without breaks. */
void signing_key_public(const struct signing_key *key, struct buffer *out);
/* Signs a SHA-256 digest: RSA as PKCS #1 v1.5 over it, Ed25519 over its 32 octets. The signature's length,
 * or -1. */
int signing_key_sign(
    const struct signing_key *key, const uint8_t digest[32], uint8_t out[SIGNATURE_MAX], struct error *error);

#endif
