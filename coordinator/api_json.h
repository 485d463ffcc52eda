/* api_json - makes a mail out of what POST /v1/messages brings
 *
 *     {"from", "to": [..], "raw"}                          a whole message
 *     {"from", "to": [..], "subject", "text", "html", "headers": {..}}   one to be composed
 * and with either: "tenant" (administrators), "campaign", "pool", "priority" (transactional, normal, bulk),
 * "send_at" (RFC 3339, or seconds since 1970), "max_age" ("4d"), "tags" (at most ten texts).
 * Strict: an unknown member is refused by its name, so is a member twice, a wrong type, a depth of more than
 * API_JSON_DEPTH. Texts are UTF-8 without a zero in them.
 *
 * What is not said comes from the tenant's settings: pool, priority, dsn, max_age. Whether the tenant may
 * send from this address is not decided here.
 *
 * Time: `now` comes in. Memory: the mail and the body are the caller's, held once. Errors: a problem. */
#ifndef COORDINATOR_API_JSON_H
#define COORDINATOR_API_JSON_H

#include "base/blob.h"
#include "base/clock.h"
#include "coordinator/api.h"
#include "coordinator/intake.h"

#define API_JSON_DEPTH 8
#define API_MAX_SEND_AT INTAKE_MAX_SEND_AT

/* 0, or -1 with the problem in `answer_r`. */
int api_json_mail(const struct api *api, const struct api_plan *plan, const char *bytes, size_t len,
    usec_t now, struct mail **mail_r, struct blob **body_r, struct api_answer *answer_r);

/* What the stream of events needs of one line: its "cursor", or its "next" where it is only a mark (*event_r
 * false); the caller's (free()). Null if it has neither. */
char *api_json_cursor(const char *line, size_t len, bool *event_r);

#endif
