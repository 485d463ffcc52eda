/* tls_wish_ossl - servers that insist on a version or cipher */
#ifndef TESTS_TLS_WISH_OSSL_H
#define TESTS_TLS_WISH_OSSL_H

#include "base/tls_ossl.h"

/* OLD knows TLS 1.2 only, OLD_CBC of its ciphers only one from before GCM. */
enum tls_wish { TLS_WISH_NONE, TLS_WISH_AES256, TLS_WISH_CHACHA, TLS_WISH_OLD, TLS_WISH_OLD_CBC };
void tls_wish(struct tls_context *server, enum tls_wish wish);

#endif
