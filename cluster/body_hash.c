/* body_hash - see body_hash.h */
#include "cluster/body_hash.h"

#include "base/digest_ossl.h"

const struct dkim_digest body_hash_sha256 = {digest_begin, digest_add, digest_end};

_Static_assert(DIGEST_SIZE == DKIM_HASH_SIZE, "DKIM hashes with SHA-256");

void body_hash_take(
    const struct settings *settings, struct mail *mail, const char *from, const char *body, size_t len)
{
    const struct setting_dkim *keys[SETTINGS_DKIM_MOST];
    struct dkim_body hashing;
    mail->has_body_hash = settings_dkim_for(settings, mail->tenant, mail_domain(from), keys) > 0;
    if (!mail->has_body_hash)
        return;
    mail->body_hash_simple = ((unsigned)keys[0]->canon & CANON_RELAXED_SIMPLE) != 0;
    dkim_body_begin(&hashing, &body_hash_sha256, mail->body_hash_simple ? DKIM_SIMPLE : DKIM_RELAXED);
    dkim_body_add(&hashing, body, len);
    dkim_body_end(&hashing, mail->body_hash);
}
