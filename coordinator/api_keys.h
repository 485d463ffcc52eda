/* api_keys - keys.h as api.h wants it: `api.verify = api_keys_verify; api.keys = keys;` */
#ifndef COORDINATOR_API_KEYS_H
#define COORDINATOR_API_KEYS_H

#include "coordinator/api.h"

/* `keys` is a struct keys. */
bool api_keys_verify(void *keys, const char *key, struct api_identity *who_r);

#endif
