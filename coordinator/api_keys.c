/* api_keys - see api_keys.h */
#include "coordinator/api_keys.h"

#include <stdio.h>
#include <string.h>

#include "coordinator/keys.h"

_Static_assert(KEY_TENANT_SIZE <= API_TENANT_SIZE, "a tenant's name fits");

bool api_keys_verify(void *keys, const char *key, struct api_identity *who_r)
{
    struct key_owner owner;
    if (!keys_verify(keys, key, strlen(key), &owner))
        return false;
    who_r->admin = owner.admin;
    snprintf(who_r->tenant, sizeof who_r->tenant, "%s", owner.tenant);
    snprintf(who_r->key, sizeof who_r->key, "%s", owner.id);
    return true;
}
