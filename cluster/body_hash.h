/* body_hash - the hash of a message's body for DKIM, taken where the message comes in
 *
 * It is the dear part of a signature that does not depend on the key: taken once, it serves every recipient,
 * attempt and signature, and travels with the mail (mail->body_hash). A node that sends a body in another form
 * (downgraded to 7bit), or finds keys that ask for the other canonicalization, must take its own
 * (proto/dkim.h: dkim_body_hash).
 *
 * Pure. Cost: for 10 KiB some 8 us, of which 6 us are SHA-256 itself; nothing for a message that nobody signs. */
#ifndef CLUSTER_BODY_HASH_H
#define CLUSTER_BODY_HASH_H

#include <stddef.h>

#include "cluster/settings.h"
#include "proto/dkim.h"
#include "proto/mail.h"

/* SHA-256 for proto/dkim.h. */
extern const struct dkim_digest body_hash_sha256;

/* Takes it into `mail` (whose tenant is set), if anybody's keys sign a message with this header From;
 * canonicalized as the first of them asks. `body` is what follows the message's header. */
void body_hash_take(
    const struct settings *settings, struct mail *mail, const char *from, const char *body, size_t len);

#endif
