/* certificate_ossl - see certificate_ossl.h */
#include "tests/unit/certificate_ossl.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

static int add_names(X509 *cert, const char *name)
{
    char text[300];
    snprintf(text, sizeof text, "DNS:%s,IP:127.0.0.1", name);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
    int rc = extension != NULL && X509_add_ext(cert, extension, -1) == 1 ? 0 : -1;
    X509_EXTENSION_free(extension);
    return rc;
}

static X509 *build(EVP_PKEY *key, const char *name)
{
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME *subject = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(cert, subject);
    if (add_names(cert, name) == 0 && X509_sign(cert, key, EVP_sha256()) != 0)
        return cert;
    X509_free(cert);
    return NULL;
}

int certificate_make(const char *name, const char *cert_file, const char *key_file)
{
    int rc = -1;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key == NULL ? NULL : build(key, name);
    FILE *cert_out = fopen(cert_file, "w"), *key_out = fopen(key_file, "w");
    if (cert != NULL && cert_out != NULL && key_out != NULL && PEM_write_X509(cert_out, cert) == 1 &&
        PEM_write_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) == 1)
        rc = 0;
    if (cert_out != NULL)
        fclose(cert_out);
    if (key_out != NULL)
        fclose(key_out);
    X509_free(cert);
    EVP_PKEY_free(key);
    return rc;
}

int certificate_root_name(const char *cert_file, const char *folder, char *name_r, size_t size)
{
    FILE *in = fopen(cert_file, "r");
    X509 *cert = in == NULL ? NULL : PEM_read_X509(in, NULL, NULL, NULL);
    if (in != NULL)
        fclose(in);
    if (cert == NULL)
        return -1;
    snprintf(name_r, size, "%s/%08lx.0", folder, X509_subject_name_hash(cert));
    X509_free(cert);
    return 0;
}
