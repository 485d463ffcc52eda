/* seal - see seal.h */
#include "node/seal.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest_ossl.h"
#include "proto/dkim.h"

static const struct dkim_digest sha256 = {.begin = digest_begin, .add = digest_add, .end = digest_end};

struct seal {
    struct mail *mail;
    struct blob *body;
    bool converted;
    usec_t now;
    size_t count;
    struct seal_key {
        const struct setting_dkim *setting;
        struct signing_key *key;
    } keys[SETTINGS_DKIM_MOST];
};

/* The body's hash under either canonicalization, taken when it is first asked for. */
struct hashes {
    bool known[2];
    uint8_t hash[2][DKIM_HASH_SIZE];
};

struct seal *seal_new(const struct sign_job *job, const struct keyring *keyring, struct error *error)
{
    struct seal *seal = xcalloc(1, sizeof *seal);
    seal->mail = mail_hold(job->mail);
    seal->body = blob_hold(job->body);
    seal->converted = job->converted;
    seal->now = job->now;
    for (size_t i = 0; i < job->key_count; i++) {
        struct signing_key *key = keyring_find(keyring, job->keys[i]);
        if (key == NULL) {
            error_set(error, "the key %s of %s is not at hand; reload the node (SIGHUP)",
                job->keys[i]->selector, job->keys[i]->domain);
            seal_free(&seal);
            return NULL;
        }
        seal->keys[seal->count++] = (struct seal_key){job->keys[i], signing_key_hold(key)};
    }
    return seal;
}

static const uint8_t *body_hash(const struct seal *seal, struct hashes *hashes, enum dkim_canon canon)
{
    if (!hashes->known[canon])
        dkim_body_hash(&sha256, canon, seal->body->bytes, seal->body->len, hashes->hash[canon]);
    hashes->known[canon] = true;
    return hashes->hash[canon];
}

static void take_stored_hash(const struct seal *seal, struct hashes *hashes)
{
    const struct mail *mail = seal->mail;
    if (!mail->has_body_hash || seal->converted)
        return;
    enum dkim_canon canon = mail->body_hash_simple ? DKIM_SIMPLE : DKIM_RELAXED;
    memcpy(hashes->hash[canon], mail->body_hash, DKIM_HASH_SIZE);
    hashes->known[canon] = true;
}

static int add_field(const struct seal *seal, const struct seal_key *with, struct hashes *hashes,
    struct buffer *field, struct error *error)
{
    const struct setting_dkim *setting = with->setting;
    uint8_t to_sign[DKIM_HASH_SIZE], signature[SIGNATURE_MAX];
    struct dkim_wish wish = {.domain = setting->domain,
        .selector = setting->selector,
        .algorithm = signing_key_kind(with->key) == SIGNING_RSA ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256,
        .header = setting->canon == CANON_SIMPLE_RELAXED || setting->canon == CANON_SIMPLE_SIMPLE
                      ? DKIM_SIMPLE
                      : DKIM_RELAXED,
        .body = setting->canon == CANON_RELAXED_SIMPLE || setting->canon == CANON_SIMPLE_SIMPLE
                    ? DKIM_SIMPLE
                    : DKIM_RELAXED,
        .now = seal->now,
        .lifetime = setting->expire};
    wish.body_hash = body_hash(seal, hashes, wish.body);
    if (dkim_prepare(&wish, &sha256, seal->body->bytes, seal->body->len, field, to_sign, error) != 0)
        return -1;
    int len = signing_key_sign(with->key, to_sign, signature, error);
    if (len < 0)
        return -1;
    dkim_finish(field, signature, (size_t)len);
    return 0;
}

struct blob *seal_make(const struct seal *seal, struct error *error)
{
    struct hashes hashes = {{false, false}, {{0}}};
    struct buffer field = {0}, head = {0};
    int status = 0;
    take_stored_hash(seal, &hashes);
    for (size_t i = 0; i < seal->count && status == 0; i++) {
        status = add_field(seal, &seal->keys[i], &hashes, &field, error);
        if (status == 0)
            buffer_add(&head, buffer_bytes(&field), buffer_len(&field));
        else
            error_prefix(
                error, "%s._domainkey.%s", seal->keys[i].setting->selector, seal->keys[i].setting->domain);
    }
    buffer_free(&field);
    size_t len;
    char *bytes = status == 0 ? buffer_steal(&head, &len) : NULL;
    buffer_free(&head);
    return bytes == NULL ? NULL : blob_take(bytes, len);
}

void seal_free(struct seal **seal)
{
    struct seal *s = *seal;
    *seal = NULL;
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->count; i++)
        signing_key_drop(&s->keys[i].key);
    mail_drop(&s->mail);
    blob_drop(&s->body);
    free(s);
}
