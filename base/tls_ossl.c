/* tls_ossl - see tls_ossl.h; contexts are in tls_context_ossl.c */
#include "base/tls_ossl.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "base/tls_inside_ossl.h"

#define RECORD_SIZE 16384u /* RFC 8446 section 5.1 */

struct tls_session {
    SSL *ssl;
    enum tls_status status;
    const char *in; /* ciphertext of the running call */
    size_t in_len;
    struct buffer *out; /* where the running call's ciphertext goes */
    bool close_sent;
    char host[256];
    char detail[96];
    struct error error;
};

/* The BIO between OpenSSL and the running call's buffers. */

static int bio_read(BIO *bio, char *to, size_t len, size_t *got)
{
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (session->in_len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *got = len < session->in_len ? len : session->in_len;
    memcpy(to, session->in, *got);
    session->in += *got;
    session->in_len -= *got;
    return 1;
}

static int bio_write(BIO *bio, const char *from, size_t len, size_t *put)
{
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    must(session->out != NULL);
    buffer_add(session->out, from, len);
    *put = len;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static BIO_METHOD *made_method;

static void make_method(void)
{
    made_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "caller's buffers");
    must(made_method != NULL);
    BIO_meth_set_read_ex(made_method, bio_read);
    BIO_meth_set_write_ex(made_method, bio_write);
    BIO_meth_set_ctrl(made_method, bio_control);
}

/* Several threads may come here first together. */
static const BIO_METHOD *bio_method(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    return made_method;
}

/* Sessions */

static bool is_address(const char *host)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* Says whom we expect. Verification goes on with any certificate; its result is asked for at the end. */
static void expect_host(struct tls_session *session, struct tls_context *context)
{
    const char *host = session->host;
    if (host[0] == '\0')
        return;
    if (is_address(host)) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session->ssl), host);
    } else {
        SSL_set_tlsext_host_name(session->ssl, host);
        SSL_set_hostflags(session->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        SSL_set1_host(session->ssl, host);
    }
    SSL_SESSION *earlier = tls_context_remembered(context, host);
    if (earlier != NULL)
        SSL_set_session(session->ssl, earlier);
}

struct tls_session *tls_session_new(struct tls_context *context, const char *host)
{
    struct tls_session *session = xcalloc(1, sizeof *session);
    session->ssl = SSL_new(context->ssl);
    BIO *bio = BIO_new(bio_method());
    must(session->ssl != NULL && bio != NULL);
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
    SSL_set_app_data(session->ssl, session);
    if (context->server) {
        SSL_set_accept_state(session->ssl);
    } else {
        /* A name too long for a host is none. */
        if (host != NULL && strlen(host) < sizeof session->host)
            snprintf(session->host, sizeof session->host, "%s", host);
        SSL_set_connect_state(session->ssl);
        expect_host(session, context);
    }
    ERR_clear_error();
    return session;
}

void tls_session_free(struct tls_session **session)
{
    struct tls_session *s = *session;
    *session = NULL;
    if (s == NULL)
        return;
    /* Mail servers often just hang up after QUIT; that makes a session no worse for next time. */
    if (s->status != TLS_BROKEN)
        SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    free(s);
}

const char *tls_session_host(const struct tls_session *session)
{
    return session->host;
}

static enum tls_status broken(struct tls_session *session, const char *what)
{
    tls_reason(&session->error, what);
    /* A host whose handshake fails is met afresh next time. */
    struct tls_context *context = SSL_CTX_get_app_data(SSL_get_SSL_CTX(session->ssl));
    if (session->status == TLS_HANDSHAKE && context != NULL && session->host[0] != '\0')
        tls_context_forget(context, session->host);
    session->status = TLS_BROKEN;
    return session->status;
}

static void handshake(struct tls_session *session)
{
    int rc = SSL_do_handshake(session->ssl);
    if (rc == 1) {
        session->status = TLS_UP;
        snprintf(session->detail, sizeof session->detail, "%s %s", SSL_get_version(session->ssl),
            SSL_get_cipher_name(session->ssl));
    } else if (SSL_get_error(session->ssl, rc) != SSL_ERROR_WANT_READ) {
        broken(session, "TLS handshake failed");
    }
}

/* Asks OpenSSL once a record: a read that finds nothing costs as much as one that decrypts a reply. */
static void decrypt(struct tls_session *session, struct buffer *plain)
{
    for (;;) {
        size_t got = 0;
        int rc = SSL_read_ex(session->ssl, buffer_room(plain, RECORD_SIZE), RECORD_SIZE, &got);
        if (rc == 1) {
            buffer_added(plain, got);
            if (session->in_len == 0 && !SSL_has_pending(session->ssl))
                return;
            continue;
        }
        int why = SSL_get_error(session->ssl, rc);
        if (why == SSL_ERROR_ZERO_RETURN)
            session->status = TLS_CLOSED;
        else if (why != SSL_ERROR_WANT_READ)
            broken(session, "TLS record refused");
        return;
    }
}

enum tls_status tls_session_receive(
    struct tls_session *session, const void *bytes, size_t len, struct buffer *plain, struct buffer *cipher)
{
    if (session->status == TLS_CLOSED || session->status == TLS_BROKEN)
        return session->status;
    ERR_clear_error();
    session->in = bytes;
    session->in_len = len;
    session->out = cipher;
    if (session->status == TLS_HANDSHAKE)
        handshake(session);
    if (session->status == TLS_UP && len > 0)
        decrypt(session, plain);
    session->in = NULL;
    session->in_len = 0;
    session->out = NULL;
    return session->status;
}

int tls_session_send(struct tls_session *session, const void *bytes, size_t len, struct buffer *cipher)
{
    if (session->status != TLS_UP || session->close_sent)
        return -1;
    if (len == 0)
        return 0;
    ERR_clear_error();
    session->out = cipher;
    size_t put = 0;
    int rc = SSL_write_ex(session->ssl, bytes, len, &put);
    session->out = NULL;
    if (rc == 1 && put == len)
        return 0;
    broken(session, "TLS could not encrypt");
    return -1;
}

void tls_session_close(struct tls_session *session, struct buffer *cipher)
{
    if (session->close_sent || (session->status != TLS_UP && session->status != TLS_CLOSED))
        return;
    ERR_clear_error();
    session->out = cipher;
    SSL_shutdown(session->ssl);
    session->out = NULL;
    session->close_sent = true;
    ERR_clear_error();
}

enum tls_status tls_session_status(const struct tls_session *session)
{
    return session->status;
}

const char *tls_session_detail(const struct tls_session *session)
{
    return session->detail;
}

const char *tls_session_error(const struct tls_session *session)
{
    return session->error.text;
}

bool tls_session_verified(const struct tls_session *session)
{
    /* The result is "ok" too where there was no certificate or nobody to compare it with. */
    return session->detail[0] != '\0' && session->host[0] != '\0' &&
           SSL_get0_peer_certificate(session->ssl) != NULL &&
           SSL_get_verify_result(session->ssl) == X509_V_OK;
}

bool tls_session_resumed(const struct tls_session *session)
{
    return SSL_session_reused(session->ssl) == 1;
}
