/* tls_wish_ossl - see tls_wish_ossl.h */
#include "tests/unit/tls_wish_ossl.h"

#include "base/panic.h"
#include "base/tls_inside_ossl.h"

void tls_wish(struct tls_context *server, enum tls_wish wish)
{
    if (wish == TLS_WISH_AES256)
        must(SSL_CTX_set_ciphersuites(server->ssl, "TLS_AES_256_GCM_SHA384") == 1);
    if (wish == TLS_WISH_CHACHA)
        must(SSL_CTX_set_ciphersuites(server->ssl, "TLS_CHACHA20_POLY1305_SHA256") == 1);
    if (wish == TLS_WISH_OLD || wish == TLS_WISH_OLD_CBC)
        must(SSL_CTX_set_max_proto_version(server->ssl, TLS1_2_VERSION) == 1);
    if (wish == TLS_WISH_OLD_CBC)
        must(SSL_CTX_set_cipher_list(server->ssl, "ECDHE-ECDSA-AES256-SHA") == 1);
}
