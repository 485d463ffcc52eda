/* signing_key_help_ossl - key files for tests */
#ifndef TESTS_SIGNING_KEY_HELP_OSSL_H
#define TESTS_SIGNING_KEY_HELP_OSSL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The keys that RFC 8463 appendix A.2 signs its message with; known to the whole world. */
extern const char SIGNING_KEY_HELP_RFC8463_ED25519[], SIGNING_KEY_HELP_RFC8463_RSA[];

/* Makes `file` (a template for mkstemp) and writes the text into it, for its owner alone. Panics if it can't. */
void signing_key_help_write(char *file, const char *text);
/* A fresh key into such a file: "RSA", "RSA-PSS" (of `bits`), "EC" (P-256), "ED25519", "ED448"; `old`: PKCS #1
 * or its like instead of PKCS #8; `locked`: with a passphrase. */
void signing_key_help_make(char *file, const char *type, unsigned bits, bool old, bool locked);
/* Only its public half. */
void signing_key_help_make_public(char *file);
/* Whether the signature of a digest fits the Base64 of p=. */
bool signing_key_help_verify(
    bool rsa, const char *p, const uint8_t digest[32], const uint8_t *signature, size_t len);

#endif
