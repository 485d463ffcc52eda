/* signing_key_ossl - see signing_key_ossl.h */
#include "base/signing_key_ossl.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/panic.h"

#define FILE_MAX ((size_t)64 << 10)
#define RSA_MIN_BITS 1024 /* RFC 8301 section 3.2: signers use no less */
#define RSA_MAX_BITS 8192
#define ED25519_SIZE 32

/* Setting up a context takes OpenSSL 3 some 3 us of searching, copying one that is set up a tenth of a us: each
 * key keeps one that is set up, nobody signs with it, and each signature is made with a copy. */
struct signing_key {
    atomic_uint holders;
    EVP_PKEY *key;
    enum signing_kind kind;
    EVP_PKEY_CTX *rsa; /* PKCS #1 v1.5 over SHA-256 */
    EVP_MD_CTX *ed25519;
};

/* --- the file --- */

static bool group_is_ours(gid_t group)
{
    if (group == getegid())
        return true;
    int count = getgroups(0, NULL);
    if (count <= 0)
        return false;
    gid_t *groups = xcalloc((size_t)count, sizeof *groups);
    count = getgroups(count, groups);
    bool ours = false;
    for (int i = 0; i < count && !ours; i++)
        ours = groups[i] == group;
    free(groups);
    return ours;
}

static int check_file(const char *file, const struct stat *stat, struct error *error)
{
    unsigned mode = stat->st_mode & 07777;
    if (!S_ISREG(stat->st_mode))
        return error_set(error, "%s: no regular file; name the file that holds the private key", file);
    if ((mode & 006) != 0)
        return error_set(error,
            "%s: anybody may read or change this private key (mode %03o); run: chmod 600 %s", file, mode,
            file);
    if ((mode & 060) != 0 && !group_is_ours(stat->st_gid))
        return error_set(error,
            "%s: the group %ld may read or change this private key (mode %03o), and it is not ours; run: "
            "chmod 600 %s",
            file, (long)stat->st_gid, mode, file);
    if ((uint64_t)stat->st_size > FILE_MAX)
        return error_set(error, "%s: %lld octets are too many for a private key; at most %zu", file,
            (long long)stat->st_size, FILE_MAX);
    return 0;
}

/* Up to FILE_MAX octets; the file is checked as it was opened, so that nobody can put another in its place.
 * O_NONBLOCK: a pipe at this name must not stop us. */
static int read_file(const char *file, char *bytes, size_t *len_r, struct error *error)
{
    struct stat stat;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(error, "%s: can't be opened: %s", file, strerror(errno));
    int status = fstat(fd, &stat) == 0 ? check_file(file, &stat, error)
                                       : error_set(error, "%s: %s", file, strerror(errno));
    size_t len = 0;
    ssize_t got = 1;
    while (status == 0 && got > 0 && len < FILE_MAX) {
        got = read(fd, bytes + len, FILE_MAX - len);
        if (got > 0)
            len += (size_t)got;
        else if (got < 0 && errno == EINTR)
            got = 1;
    }
    if (got < 0)
        status = error_set(error, "%s: can't be read: %s", file, strerror(errno));
    close(fd);
    *len_r = len;
    return status;
}

/* --- the key in it --- */

/* Without this OpenSSL asks on the terminal. */
static int no_passphrase(char *to, int size, int writing, void *asked)
{
    (void)writing;
    if (size > 0)
        to[0] = '\0';
    *(bool *)asked = true;
    return -1;
}

static EVP_PKEY *parse(const char *file, const char *bytes, size_t len, struct error *error)
{
    bool asked = false;
    BIO *bio = BIO_new_mem_buf(bytes, (int)len);
    must(bio != NULL);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
    BIO_free(bio);
    ERR_clear_error();
    if (key == NULL && asked)
        error_set(error,
            "%s: the private key is locked with a passphrase, which nobody can type here; unlock it: openssl "
            "pkey -in %s -out NEW",
            file, file);
    else if (key == NULL)
        error_set(error, "%s: no private key in PEM form; make one: openssl genrsa -out %s 2048", file, file);
    return key;
}

static int check_kind(const char *file, const EVP_PKEY *key, enum signing_kind *kind_r, struct error *error)
{
    int bits = EVP_PKEY_get_bits(key);
    if (EVP_PKEY_is_a(key, "ED25519")) {
        *kind_r = SIGNING_ED25519;
        return 0;
    }
    if (!EVP_PKEY_is_a(key, "RSA")) {
        const char *name = EVP_PKEY_get0_type_name(key);
        return error_set(error,
            "%s: a key of kind %s; DKIM signs with RSA or Ed25519 (RFC 8301, RFC 8463): openssl genrsa -out "
            "%s 2048",
            file, name == NULL ? "unknown" : name, file);
    }
    *kind_r = SIGNING_RSA;
    if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS)
        return error_set(error,
            "%s: an RSA key of %d bits; %d to %d are allowed (RFC 8301), 2048 advised: openssl genrsa -out "
            "%s "
            "2048",
            file, bits, RSA_MIN_BITS, RSA_MAX_BITS, file);
    return 0;
}

/* --- signatures --- */

static bool set_up(struct signing_key *key)
{
    if (key->kind == SIGNING_ED25519) {
        key->ed25519 = EVP_MD_CTX_new();
        return key->ed25519 != NULL && EVP_DigestSignInit(key->ed25519, NULL, NULL, NULL, key->key) == 1;
    }
    key->rsa = EVP_PKEY_CTX_new(key->key, NULL);
    return key->rsa != NULL && EVP_PKEY_sign_init(key->rsa) == 1 &&
           EVP_PKEY_CTX_set_rsa_padding(key->rsa, RSA_PKCS1_PADDING) == 1 &&
           EVP_PKEY_CTX_set_signature_md(key->rsa, EVP_sha256()) == 1;
}

static bool sign_rsa(const struct signing_key *key, const uint8_t digest[32], uint8_t *out, size_t *len)
{
    EVP_PKEY_CTX *copy = EVP_PKEY_CTX_dup(key->rsa);
    bool ok = copy != NULL && EVP_PKEY_sign(copy, out, len, digest, 32) == 1;
    EVP_PKEY_CTX_free(copy);
    return ok;
}

static bool sign_ed25519(const struct signing_key *key, const uint8_t digest[32], uint8_t *out, size_t *len)
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    bool ok = copy != NULL && EVP_MD_CTX_copy_ex(copy, key->ed25519) == 1 &&
              EVP_DigestSign(copy, out, len, digest, 32) == 1;
    EVP_MD_CTX_free(copy);
    return ok;
}

int signing_key_sign(
    const struct signing_key *key, const uint8_t digest[32], uint8_t out[SIGNATURE_MAX], struct error *error)
{
    size_t len = SIGNATURE_MAX;
    bool ok =
        key->kind == SIGNING_RSA ? sign_rsa(key, digest, out, &len) : sign_ed25519(key, digest, out, &len);
    if (ok)
        return (int)len;
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    error_set(error, "OpenSSL makes no signature: %s", reason == NULL ? "it says no reason" : reason);
    ERR_clear_error();
    return -1;
}

static bool verify(const struct signing_key *key, const uint8_t digest[32], const uint8_t *bytes, size_t len)
{
    bool ok;
    if (key->kind == SIGNING_RSA) {
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key->key, NULL);
        ok = context != NULL && EVP_PKEY_verify_init(context) == 1 &&
             EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
             EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) == 1 &&
             EVP_PKEY_verify(context, bytes, len, digest, 32) == 1;
        EVP_PKEY_CTX_free(context);
    } else {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        ok = context != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->key) == 1 &&
             EVP_DigestVerify(context, bytes, len, digest, 32) == 1;
        EVP_MD_CTX_free(context);
    }
    ERR_clear_error();
    return ok;
}

/* A key whose numbers were damaged would sign, and nobody could verify; worse, such a signature may give the
 * key away. */
static int try(const char *file, const struct signing_key *key, struct error *error)
{
    static const uint8_t digest[32] = "to be signed";
    uint8_t signature[SIGNATURE_MAX];
    int len = signing_key_sign(key, digest, signature, error);
    if (len < 0)
        return error_prefix(error, "%s", file);
    if (!verify(key, digest, signature, (size_t)len))
        return error_set(error,
            "%s: the key is damaged: what its private half signs does not fit its public half; make a new "
            "one: openssl genrsa -out %s 2048",
            file, file);
    return 0;
}

/* --- its life --- */

static struct signing_key *key_new(EVP_PKEY *pkey, enum signing_kind kind)
{
    struct signing_key *key = xcalloc(1, sizeof *key);
    atomic_init(&key->holders, 1);
    key->key = pkey;
    key->kind = kind;
    return key;
}

static struct signing_key *key_from(const char *file, const char *bytes, size_t len, struct error *error)
{
    enum signing_kind kind = SIGNING_RSA;
    EVP_PKEY *pkey = parse(file, bytes, len, error);
    if (pkey == NULL)
        return NULL;
    if (check_kind(file, pkey, &kind, error) != 0) {
        EVP_PKEY_free(pkey);
        return NULL;
    }
    struct signing_key *key = key_new(pkey, kind);
    if (!set_up(key)) {
        error_set(error, "%s: OpenSSL can't sign with this key; make another: openssl genrsa -out %s 2048",
            file, file);
        ERR_clear_error();
        signing_key_drop(&key);
    } else if (try(file, key, error) != 0) {
        signing_key_drop(&key);
    }
    return key;
}

struct signing_key *signing_key_load(const char *file, struct error *error)
{
    size_t len = 0;
    struct signing_key *key = NULL;
    char *bytes = xmalloc(FILE_MAX);
    if (read_file(file, bytes, &len, error) == 0)
        key = key_from(file, bytes, len, error);
    OPENSSL_cleanse(bytes, FILE_MAX);
    free(bytes);
    return key;
}

struct signing_key *signing_key_hold(struct signing_key *key)
{
    atomic_fetch_add_explicit(&key->holders, 1, memory_order_relaxed);
    return key;
}

void signing_key_drop(struct signing_key **key)
{
    struct signing_key *k = *key;
    *key = NULL;
    if (k == NULL || atomic_fetch_sub_explicit(&k->holders, 1, memory_order_acq_rel) > 1)
        return;
    EVP_PKEY_CTX_free(k->rsa);
    EVP_MD_CTX_free(k->ed25519);
    EVP_PKEY_free(k->key);
    free(k);
}

enum signing_kind signing_key_kind(const struct signing_key *key)
{
    return key->kind;
}

unsigned signing_key_bits(const struct signing_key *key)
{
    return (unsigned)EVP_PKEY_get_bits(key->key);
}

void signing_key_public(const struct signing_key *key, struct buffer *out)
{
    uint8_t raw[ED25519_SIZE], *der = NULL;
    size_t len = sizeof raw;
    if (key->kind == SIGNING_ED25519) {
        must(EVP_PKEY_get_raw_public_key(key->key, raw, &len) == 1);
    } else {
        int der_len = i2d_PUBKEY(key->key, &der);
        must(der_len > 0);
        len = (size_t)der_len;
    }
    size_t text_len = base64_encode(der == NULL ? raw : der, len, buffer_room(out, BASE64_SIZE(len)));
    buffer_added(out, text_len);
    OPENSSL_free(der);
}
