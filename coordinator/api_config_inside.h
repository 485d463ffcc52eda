/* api_config_inside - what api_config.c and api_config_check.c share */
#ifndef COORDINATOR_API_CONFIG_INSIDE_H
#define COORDINATOR_API_CONFIG_INSIDE_H

#include "coordinator/api_config.h"

/* 0, or -1 with every fault in the answer (422). `api->admin` is there. */
int api_config_check(
    const struct api *api, const char *text, size_t len, const char *origin, struct api_answer *answer_r);

#endif
