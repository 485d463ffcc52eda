/* sink_tls_ossl - what the sink's sockets say and hear, in clear or through TLS
 *
 * Included by sink.c only. Without -DSINK_TLS there is no OpenSSL in the sink, so that `cc sink.c` stays the
 * whole build; `cc -DSINK_TLS sink.c -lssl -lcrypto` has `--tls CERT,KEY` and then offers STARTTLS (RFC
 * 3207): TLS 1.2 or 1.3, with tickets, so that a client may resume. What a client has sent in clear text
 * behind its STARTTLS is thrown away.
 *
 * wire_recv and wire_send are recv and send: bytes, 0 at the end, -1 with errno (EAGAIN: wait for the
 * socket). The handshake happens in the first of them. Memory: OpenSSL's own, a session's is freed with it.
 */
#ifndef LAB_SINK_TLS_OSSL_H
#define LAB_SINK_TLS_OSSL_H

#include <sys/socket.h>

#include "sink_state.h"

#ifdef SINK_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *wire_context;

static void wire_offer(const char *cert_and_key)
{
    char cert[512], *key;
    snprintf(cert, sizeof cert, "%s", cert_and_key);
    if (!(key = strchr(cert, ',')))
        fatal("--tls %s: not CERT,KEY", cert_and_key);
    *key++ = '\0';
    wire_context = SSL_CTX_new(TLS_server_method());
    if (!wire_context || SSL_CTX_use_certificate_chain_file(wire_context, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(wire_context, key, SSL_FILETYPE_PEM) != 1)
        fatal("--tls %s: %s", cert_and_key, ERR_error_string(ERR_get_error(), NULL));
    SSL_CTX_set_mode(wire_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_id_context(wire_context, (const unsigned char *)"sink", 4);
    lab.tls = 1;
}

static int wire_secure(struct session *s)
{
    SSL *ssl = SSL_new(wire_context);
    if (!ssl || SSL_set_fd(ssl, s->fd) != 1) {
        SSL_free(ssl);
        return -1;
    }
    SSL_set_accept_state(ssl);
    s->tls = ssl;
    return 0;
}

static void wire_forget(struct session *s)
{
    SSL_free(s->tls);
    s->tls = NULL;
}

static ssize_t wire_result(struct session *s, int n)
{
    if (n > 0)
        return n;
    int error = SSL_get_error(s->tls, n);
    ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
    return -1;
}

static ssize_t wire_recv(struct session *s, char *bytes, size_t length)
{
    if (!s->tls)
        return recv(s->fd, bytes, length, 0);
    return wire_result(s, SSL_read(s->tls, bytes, (int)length));
}

static ssize_t wire_send(struct session *s, const char *bytes, size_t length)
{
    if (!s->tls)
        return send(s->fd, bytes, length, MSG_NOSIGNAL);
    return wire_result(s, SSL_write(s->tls, bytes, (int)length));
}

#else

static void wire_offer(const char *cert_and_key)
{
    fatal("--tls %s: this sink was built without TLS", cert_and_key);
}

static int wire_secure(struct session *s)
{
    (void)s;
    return -1;
}

static void wire_forget(struct session *s)
{
    (void)s;
}

static ssize_t wire_recv(struct session *s, char *bytes, size_t length)
{
    return recv(s->fd, bytes, length, 0);
}

static ssize_t wire_send(struct session *s, const char *bytes, size_t length)
{
    return send(s->fd, bytes, length, MSG_NOSIGNAL);
}
#endif

#endif
