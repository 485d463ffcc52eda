/* verdict - what a reply means for the delivery
 *
 * The reply was read in proto/reply; here it is judged from (stage, code, enhanced code). A failure before
 * MAIL concerns the host or our address, never the recipient: it is always tried again (a 554 greeting must
 * not bounce a message). A lost connection after the final dot is unknown, and tried again. `category` and
 * `action` are the words of the event; finer judging by provider and text is the rules' affair. */
#ifndef NODE_VERDICT_H
#define NODE_VERDICT_H

#include "proto/reply.h"
#include "proto/smtp_client.h"

enum verdict_kind { VERDICT_DELIVERED, VERDICT_RETRY, VERDICT_BOUNCE };

struct verdict {
    enum verdict_kind kind;
    const char *category, *action; /* "bad_mailbox", "suppress_recipient"...; "" for delivered */
};

struct verdict verdict_of(enum smtp_stage stage, const struct reply *reply);

#endif
