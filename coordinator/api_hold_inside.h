/* api_hold_inside - what api_hold.c, api_hold_name.c and api_hold_json.c share: what a request names */
#ifndef COORDINATOR_API_HOLD_INSIDE_H
#define COORDINATOR_API_HOLD_INSIDE_H

#include "cluster/hold.h"
#include "coordinator/api_hold.h"
#include "proto/address.h"

struct api_wish {
    char names[HOLD_NAMES][HOLD_MAX_NAME + 1]; /* "" = not named */
    char duration[32], until[48];              /* "" = not said */
    char recipient[ADDRESS_SIZE], id[64];      /* commands: one address, one message or delivery */
    char reason[HOLD_MAX_REASON + 1];
};

/* api_hold_json.c. A pause may have "for" and "until", a command "recipient" and "id". 0, or -1 with a 400. */
int api_wish_read(
    const char *body, size_t len, bool command, struct api_wish *wish_r, struct api_answer *answer_r);

/* api_hold_name.c. Each: 0, or -1 with the problem. */
/* The names in a query; of a `listing` there may be a limit, which is left alone. */
int api_wish_query(const char *query, bool listing, struct api_wish *wish_r, struct api_answer *answer_r);
/* Fills in the tenant of a tenant's key, or refuses another's (403); makes the domain an A-label. */
int api_wish_own(const struct api_plan *plan, struct api_wish *wish, struct api_answer *answer_r);
/* There are such a tenant, pool, source, provider. */
int api_wish_known(const struct api *api, const struct api_wish *wish, struct api_answer *answer_r);
/* The texts stay the wish's. */
struct hold_match api_wish_match(const struct api_wish *wish);

#endif
