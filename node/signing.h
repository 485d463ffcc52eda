/* signing - what the core asks of whoever holds the keys (node_ports.sign) */
#ifndef NODE_SIGNING_H
#define NODE_SIGNING_H

#include "base/blob.h"
#include "cluster/settings.h"
#include "proto/mail.h"

/* One message and the keys that sign it, in this order. All of it is lent; the settings that `keys` point into stay
 * until long after the answer. */
struct sign_job {
    struct mail *mail;
    struct blob *body; /* the message as it will be sent */
    bool converted;    /* ... which is not as it came in: the hash that was taken then is not of it */
    const struct setting_dkim *const *keys;
    size_t key_count;
    usec_t now;
};

#endif
