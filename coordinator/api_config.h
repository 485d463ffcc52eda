/* api_config - GET and POST /v1/config...: the cluster-wide configuration, asked of the store and changed
 * there
 *
 *     POST /v1/config?comment=...&expected=7   the YAML text as the body -> {"version","at","by","comment"}
 *     GET  /v1/config, GET /v1/config/N        {"version","text"}, or the bare text (Accept: application/yaml)
 *     GET  /v1/config/history                  one row a version, the newest first
 *     POST /v1/config/rollback {"version": 3}  an old text becomes a new version
 *
 * A text is judged before it is stored: by itself (422 with every fault's line and column), then against the view
 * (pools that sources use) and this coordinator's default_tenant. 409: another version than `expected` is in
 * force, or this is one machine, where the file wins. 503: the store does not answer; whether a change has happened
 * may then be unknown.
 *
 * Threads: any. `done` is called once, within the call or from a thread of the store's. */
#ifndef COORDINATOR_API_CONFIG_H
#define COORDINATOR_API_CONFIG_H

#include "base/clock.h"
#include "coordinator/api.h"

typedef void api_configured(void *arg, struct api_answer *answer); /* taken over: emptied */
/* `plan` is an API_CONFIG one; what is given is lent for the call. */
void api_config(const struct api *api, const struct api_plan *plan, const char *body, size_t len, usec_t now,
    api_configured *done, void *arg);

/* api_config_json.c: the version that {"version": 3} names, or 0. */
uint64_t api_config_wanted(const char *body, size_t len);

#endif
