/* certificate_ossl - a throw-away certificate for tests */
#ifndef TESTS_CERTIFICATE_OSSL_H
#define TESTS_CERTIFICATE_OSSL_H

#include <stddef.h>

/* Writes a self-signed P-256 certificate for `name` and 127.0.0.1, and its key, as PEM. 0, or -1. */
int certificate_make(const char *name, const char *cert_file, const char *key_file);
/* The name under which OpenSSL looks for this certificate in a folder of roots, such as "/folder/9d66eef0.0". */
int certificate_root_name(const char *cert_file, const char *folder, char *name_r, size_t size);

#endif
