/* seal - the DKIM-Signature fields of one message, made with keys
 *
 * Takes some hundred microseconds a key: meant for a thread beside the node's own. A seal holds
 * the message and its keys, so the keyring may be replaced meanwhile; the settings must stay.
 *
 * Errors: a sentence; then nothing of the message is signed. */
#ifndef NODE_SEAL_H
#define NODE_SEAL_H

#include "node/keyring.h"
#include "node/signing.h"

struct seal;
/* Holds what the job lends. Null if the keyring has not all its keys. */
struct seal *seal_new(const struct sign_job *job, const struct keyring *keyring, struct error *error);
/* Makes them, in the order of the job's keys; held once. Null with the reason. */
struct blob *seal_make(const struct seal *seal, struct error *error);
void seal_free(struct seal **seal);

#endif
