/* api_config_json - reads the body of POST /v1/config/rollback (api_config.h) */
#include <jansson.h>

#include "coordinator/api_config.h"

uint64_t api_config_wanted(const char *body, size_t len)
{
    json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *version = json_object_get(root, "version");
    bool good = json_is_object(root) && json_object_size(root) == 1 && json_is_integer(version) &&
                json_integer_value(version) > 0 && json_integer_value(version) <= UINT32_MAX;
    uint64_t number = good ? (uint64_t)json_integer_value(version) : 0;
    json_decref(root);
    return number;
}
