/* tls_inside_ossl - what the two files of tls_ossl share
 *
 * tls_context_ossl.c makes contexts and remembers the sessions of hosts; tls_ossl.c runs sessions. */
#ifndef BASE_TLS_INSIDE_OSSL_H
#define BASE_TLS_INSIDE_OSSL_H

#include <openssl/ssl.h>

#include "base/map.h"
#include "base/tls_ossl.h"

struct tls_context {
    SSL_CTX *ssl;
    bool server;
    size_t holds;          /* beyond the first */
    struct map remembered; /* host -> struct remembered, the oldest first */
};

/* The host a session talks to; "" if it is not to be remembered. */
const char *tls_session_host(const struct tls_session *session);
/* The remembered session of this host, or null; still the context's. */
SSL_SESSION *tls_context_remembered(const struct tls_context *context, const char *host);
void tls_context_forget(struct tls_context *context, const char *host);
/* Puts OpenSSL's oldest reason behind what stands in `error`, and empties its list. Returns -1. */
int tls_reason(struct error *error, const char *what);

#endif
