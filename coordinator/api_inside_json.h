/* api_inside_json - what api_json.c and api_body_json.c share: one submission while it is read */
#ifndef COORDINATOR_API_INSIDE_JSON_H
#define COORDINATOR_API_INSIDE_JSON_H

#include <jansson.h>

#include "coordinator/api_json.h"

struct api_reading {
    const struct api *api;
    const struct api_plan *plan;
    usec_t now;
    json_t *root;
    const struct setting_tenant *tenant;
    const char *from; /* as it was said */
    struct mail *mail;
    struct buffer body;
    struct api_answer *answer;
};

/* Answers 400 with the sentence; -1. */
#define api_refuse(reading, ...) (api_problem((reading)->answer, 400, __VA_ARGS__), -1)

/* A member that is a text of at most `max` bytes, or null if it is not there. */
int api_text(struct api_reading *reading, const char *name, size_t max, const char **text_r);
/* Fills reading->body from "raw", or from the parts. */
int api_body(struct api_reading *reading);

#endif
