/* keyring - the private keys that the settings name, read and ready to sign
 *
 * Made whole from settings at the start and at each reload, then constant: each file is read once, whoever shares
 * it. A key is found by the setting that names it, so a keyring goes with the settings it was made from, and both
 * are replaced together.
 *
 * A file that can't be used is an error, but at a reload (`former` given) for one whose key is in use already: that
 * key stays, and the log says so. So an operator whose files only root may read can still reload all else after the
 * user was changed. What is weak is said in the log.
 *
 * Memory: a keyring and its keys live as long as somebody holds it. Threads: hold, find and drop from any. */
#ifndef NODE_KEYRING_H
#define NODE_KEYRING_H

#include "base/error.h"
#include "base/signing_key_ossl.h"
#include "cluster/settings.h"

#define KEYRING_ADVISED_BITS 2048

struct keyring;

/* Held once. Null with the reason: which setting, which file, what to do. */
struct keyring *keyring_load(
    const struct settings *settings, const struct keyring *former, struct error *error);
struct keyring *keyring_hold(struct keyring *keyring);
void keyring_drop(struct keyring **keyring);
/* Lent; null if it was not made from the settings that `setting` belongs to. */
struct signing_key *keyring_find(const struct keyring *keyring, const struct setting_dkim *setting);
/* "rsa-sha256", "ed25519-sha256" */
const char *keyring_algorithm(enum signing_kind kind);

#endif
