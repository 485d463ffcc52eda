/* api_hold - pauses and commands over HTTP: what is on hold, and what is to be sent, bounced or deleted now
 *
 *     POST   /v1/pauses {"tenant","campaign","pool","source","provider","domain" (at least one),
 *                        "for": "2h" | "until": "2027-01-31T08:00:00Z", "reason"}       -> 201 {"id", ...}
 *     GET    /v1/pauses?tenant=...     a row each: {"id", what it names, "since","until","by","reason"}
 *     DELETE /v1/pauses/ID             -> 204
 *     DELETE /v1/pauses?tenant=...     those that name exactly this -> {"lifted": 2}
 *     POST   /v1/retry|bounce|delete {tenant, campaign, pool, provider, domain, recipient, id: at least one; "reason"}
 *                        asked of all nodes (asking.h) -> a row each, and {"total": true, "matched", "done"}
 *
 * A tenant's key sees and touches only what names its own tenant; where it names none, its own is filled in.
 * A name that the configuration or the view does not know is refused with one that is near. While the store is
 * away, the list is what was known last and says so ({"incomplete": true, "missing": ["store"]}).
 *
 * Threads: any. `done` is called once, within the call or from a thread of the store's. Pure but for the
 * store: `now` comes in. */
#ifndef COORDINATOR_API_HOLD_H
#define COORDINATOR_API_HOLD_H

#include "base/clock.h"
#include "coordinator/api.h"

#define API_HOLD_MAX_BODY ((size_t)16 << 10)

/* Completes the plan of an API_HOLD request: `id` is what stands behind /v1/pauses/, or null. */
void api_hold_plan(const struct api_request *request, const char *id, struct api_plan *plan);

typedef void api_held(void *arg, struct api_answer *answer); /* taken over: emptied */
/* `plan` is an API_HOLD one; what is given is lent for the call. */
void api_hold(const struct api *api, const struct api_plan *plan, const char *body, size_t len, usec_t now,
    api_held *done, void *arg);

/* The body of an API_COMMAND as selectors for the front, in plan->selectors. 0, or -1 with the problem. */
int api_command(
    const struct api *api, struct api_plan *plan, const char *body, size_t len, struct api_answer *answer_r);

#endif
