/* tls_context_ossl - contexts of tls_ossl.h: versions, certificates, remembered sessions */
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "base/tls_inside_ossl.h"

/* What we propose, by what it costs: AES-128 in GCM takes a fifth less time than AES-256, which OpenSSL puts
 * first, and RFC 9325 (section 4.2) recommends both; a receiver with other wishes has its way. For TLS 1.2 the rest
 * follows as in OpenSSL's DEFAULT, written out since that word counts only at the start. */
#define CIPHERS_1_2                                                                                          \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ALL:!COMPLEMENTOFDEFAULT:!eNULL"
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

int tls_reason(struct error *error, const char *what)
{
    unsigned long code = ERR_get_error();
    const char *reason = code == 0 ? NULL : ERR_reason_error_string(code);
    if (reason != NULL)
        error_set(error, "%s: %s", what, reason);
    else if (code != 0)
        error_set(error, "%s: OpenSSL error %lx", what, code);
    else
        error_set(error, "%s", what);
    ERR_clear_error();
    return -1;
}

/* The session that a host gave us last. */
struct remembered {
    SSL_SESSION *session;
    char host[];
};

SSL_SESSION *tls_context_remembered(const struct tls_context *context, const char *host)
{
    const struct remembered *found = host[0] == '\0' ? NULL : map_get_text(&context->remembered, host);
    return found == NULL ? NULL : found->session;
}

void tls_context_forget(struct tls_context *context, const char *host)
{
    struct remembered *old = map_remove_text(&context->remembered, host);
    if (old == NULL)
        return;
    SSL_SESSION_free(old->session);
    free(old);
}

static void forget_oldest(struct tls_context *context)
{
    struct map_entry *at = NULL;
    const struct remembered *oldest = map_next(&context->remembered, &at);
    must(oldest != NULL);
    tls_context_forget(context, oldest->host);
}

/* OpenSSL calls this with every ticket (RFC 8446 section 4.6.1: there may be several); the last one wins.
 * Returning 1 keeps the reference we were given. */
static int remember(SSL *ssl, SSL_SESSION *session)
{
    struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct tls_session *owner = SSL_get_app_data(ssl);
    const char *host = context == NULL || owner == NULL ? "" : tls_session_host(owner);
    if (host[0] == '\0')
        return 0;
    tls_context_forget(context, host);
    if (map_count(&context->remembered) >= TLS_MAX_REMEMBERED)
        forget_oldest(context);
    size_t len = strlen(host);
    struct remembered *fresh = xmalloc(sizeof *fresh + len + 1);
    fresh->session = session;
    memcpy(fresh->host, host, len + 1);
    map_set_text(&context->remembered, host, fresh);
    return 1;
}

static struct tls_context *context_new(const SSL_METHOD *method, bool server, struct error *error)
{
    ERR_clear_error();
    SSL_CTX *ssl = SSL_CTX_new(method);
    if (ssl == NULL) {
        tls_reason(error, "OpenSSL cannot make a TLS context");
        return NULL;
    }
    struct tls_context *context = xcalloc(1, sizeof *context);
    context->ssl = ssl;
    context->server = server;
    SSL_CTX_set_app_data(ssl, context);
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    return context;
}

struct tls_context *tls_context_client(struct error *error)
{
    struct tls_context *context = context_new(TLS_client_method(), false, error);
    if (context == NULL)
        return NULL;
    /* A receiver with a short key is still better under TLS than in clear (RFC 7435 section 3); anonymous
     * and null ciphers stay out of the list. */
    SSL_CTX_set_security_level(context->ssl, 0);
    if (SSL_CTX_set_cipher_list(context->ssl, CIPHERS_1_2) != 1 ||
        SSL_CTX_set_ciphersuites(context->ssl, CIPHERS_1_3) != 1) {
        tls_reason(error, "OpenSSL lacks the ciphers of TLS 1.2 or 1.3");
        tls_context_free(&context);
        return NULL;
    }
    SSL_CTX_set_verify(context->ssl, SSL_VERIFY_NONE, NULL);
    /* A machine without roots verifies nothing; that is told by tls_session_verified. The system's file is read
     * now, a root of its folder when first met. SSL_CTX_set_default_verify_paths would add that folder once more
     * as a store, which lists all of it in every handshake whose issuer is not among the roots met. */
    SSL_CTX_set_default_verify_file(context->ssl);
    SSL_CTX_set_default_verify_dir(context->ssl);
    SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context->ssl, remember);
    ERR_clear_error();
    return context;
}

static int load_certificate(SSL_CTX *ssl, const char *cert_file, const char *key_file, struct error *error)
{
    const char *files[] = {cert_file, key_file};
    for (size_t i = 0; i < 2; i++)
        if (access(files[i], R_OK) != 0)
            return error_set(error, "%s %s: can't be read: %s", i == 0 ? "tls_cert" : "tls_key", files[i],
                strerror(errno));
    if (SSL_CTX_use_certificate_chain_file(ssl, cert_file) != 1) {
        tls_reason(error, "no certificate chain in PEM form could be read");
        return error_prefix(error, "tls_cert %s", cert_file);
    }
    if (SSL_CTX_use_PrivateKey_file(ssl, key_file, SSL_FILETYPE_PEM) != 1) {
        tls_reason(error, "no private key in PEM form could be read");
        return error_prefix(error, "tls_key %s", key_file);
    }
    if (SSL_CTX_check_private_key(ssl) != 1) {
        tls_reason(error, "the key does not belong to the certificate");
        return error_prefix(error, "tls_key %s, tls_cert %s", key_file, cert_file);
    }
    return 0;
}

struct tls_context *tls_context_server(const char *cert_file, const char *key_file, struct error *error)
{
    static const unsigned char name[] = "todoku";
    struct tls_context *context = context_new(TLS_server_method(), true, error);
    if (context == NULL)
        return NULL;
    SSL_CTX_set_session_id_context(context->ssl, name, sizeof name - 1);
    if (load_certificate(context->ssl, cert_file, key_file, error) != 0)
        tls_context_free(&context);
    return context;
}

void tls_context_share_tickets(struct tls_context *context, const uint8_t secret[TLS_TICKET_SECRET])
{
    uint8_t copy[TLS_TICKET_SECRET];
    memcpy(copy, secret, sizeof copy);
    must(context->server && SSL_CTX_set_tlsext_ticket_keys(context->ssl, copy, sizeof copy) == 1);
    OPENSSL_cleanse(copy, sizeof copy);
}

struct tls_context *tls_context_hold(struct tls_context *context)
{
    if (context != NULL)
        context->holds++;
    return context;
}

void tls_context_free(struct tls_context **context)
{
    struct tls_context *c = *context;
    *context = NULL;
    if (c == NULL || c->holds-- > 0)
        return;
    /* Sessions may outlive us: they find no context any more. */
    SSL_CTX_set_app_data(c->ssl, NULL);
    struct map_entry *at = NULL;
    for (struct remembered *each; (each = map_next(&c->remembered, &at)) != NULL;) {
        SSL_SESSION_free(each->session);
        free(each);
    }
    map_free(&c->remembered);
    SSL_CTX_free(c->ssl);
    free(c);
}
