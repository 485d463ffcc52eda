/* api_member - a node is drained, and taken back: POST, DELETE and GET /v1/nodes/ID/drain
 *
 *     POST   -> {"node","draining":true,"changed","by","seen", "alone":[pools]}: it gets no new mail, and hands on what it
 *               holds. `seen`: it is in the view. `alone`: no other node takes mail of these pools of its, so new mail
 *               of them gets 451 from now on, and what is queued stays.
 *     DELETE -> the same with "draining": false
 *     GET    -> asked of the node (asking_drain.c): how far it is, how long it will take, what can't leave and why
 *
 * The mark stands in spec/ID (cluster/member_drain.h); the same again changes nothing. 404: no such member; 409: a
 * coordinator, one machine alone, or somebody else changes it at the same time; 503: the store does not answer, and if
 * that is in doubt it says so (the same again is safe).
 *
 * Threads: any. `done` is called once, within the call or from a thread of the store's. */
#ifndef COORDINATOR_API_MEMBER_H
#define COORDINATOR_API_MEMBER_H

#include "base/clock.h"
#include "coordinator/api.h"

/* Completes the plan of a request for `path`, what stands behind /v1/nodes/: "n3/drain". */
void api_member_plan(
    const struct api *api, const struct api_request *request, const char *path, struct api_plan *plan);

typedef void api_drained(void *arg, struct api_answer *answer); /* taken over: emptied */
/* `plan` is an API_MEMBER one; lent for the call, as the rest. A body says nothing. */
void api_member(const struct api *api, const struct api_plan *plan, const char *body, size_t len, usec_t now,
    api_drained *done, void *arg);

#endif
