/* certificate_ossl - a throw-away certificate for tests */
#ifndef TESTS_CERTIFICATE_OSSL_H
#define TESTS_CERTIFICATE_OSSL_H

/* Writes a self-signed P-256 certificate for `name` and 127.0.0.1, and its key, as PEM. 0, or -1. */
int certificate_make(const char *name, const char *cert_file, const char *key_file);

#endif
