/* front - what the coordinator's doors ask of it
 *
 * A face: the SMTP intake and the HTTP door hand messages in and put questions through it and know nothing of
 * routing. Every call may come from any thread and returns at once; `done` is called exactly once, on the
 * coordinator's loop thread, with values that are only lent for the call.
 *
 * Messages: the caller fills a `struct mail` (proto/mail.h; id, tenant, campaign, pool, from, recipients,
 * created...; send_at, dsn, max_age and priority are completed from the tenant's settings where left 0) and
 * gives the body. The outcome comes after the durable acknowledgement, never earlier; at the latest after 60
 * s (451). */
#ifndef COORDINATOR_FRONT_H
#define COORDINATOR_FRONT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/blob.h"
#include "proto/mail.h"

/* How a submission ended; SMTP and HTTP words for the same thing. */
enum front_verdict {
    FRONT_TAKEN,    /* 250 2.0.0 / 202 */
    FRONT_REPEATED, /* same idempotency key, same body: 202 with the first id */
    FRONT_CONFLICT, /* same key, other body: 422 */
    FRONT_LATER,    /* 451 4.3.0 / 503: the reason is in the text */
    FRONT_FULL, /* 451 4.3.1 / 429: the node can't take more now (disk, memory, queue): the reason is in the text */
    FRONT_REFUSED, /* 550 5.7.1 / 403: not this tenant's domain, no such pool ... */
};

struct front_outcome {
    enum front_verdict verdict;
    struct mail_id id;
    const char *text; /* a sentence for the client */
};

typedef void front_submitted(void *arg, const struct front_outcome *outcome);
/* `text` is JSON, one object a line (metrics: Prometheus text); `complete` is false if somebody could not be
 * asked in time (2 s): a last line {"incomplete": true, "missing": ["n3"]} says who. code: 200, 400 (bad
 * selector; text = the sentence), 404 (no such thing). */
typedef void front_answered(void *arg, int code, const char *text, size_t len);

struct front {
    void *context;
    /* Takes over one hold of `mail` and of `body`. */
    void (*submit)(void *context, struct mail *mail, struct blob *body, front_submitted *done, void *arg);
    /* `what`: status nodes sources lanes queues providers tenants message messages events explain metrics
     * ready alerts; `selectors`: "a=b&c=d", percent-encoded as in a URL query. `tenant`: only this tenant's
     * things (null = all). */
    void (*ask)(void *context, const char *what, const char *selectors, const char *tenant,
        front_answered *done, void *arg);
};

#endif
