/* api_hold_json - reads the body of POST /v1/pauses and of the commands (api_hold_inside.h)
 *
 * Strict: an unknown member is refused by its name; a selector that was misspelled would else widen what is
 * touched. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/api_hold_inside.h"

#define refuse(answer, ...) (api_problem(answer, 400, __VA_ARGS__), -1)

/* Where the text of this member goes, and its room; null: there is no such member. */
static char *place_of(struct api_wish *wish, const char *name, bool command, size_t *size_r)
{
    *size_r = sizeof wish->names[0];
    for (size_t i = 0; i < HOLD_NAMES; i++)
        if (strcmp(name, hold_name(i)) == 0)
            return wish->names[i];
    const struct {
        const char *name;
        char *text;
        size_t size;
        bool pauses, commands;
    } others[] = {
        {"reason", wish->reason, sizeof wish->reason, true, true},
        {"for", wish->duration, sizeof wish->duration, true, false},
        {"until", wish->until, sizeof wish->until, true, false},
        {"recipient", wish->recipient, sizeof wish->recipient, false, true},
        {"id", wish->id, sizeof wish->id, false, true},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        *size_r = others[i].size;
        if ((command ? others[i].commands : others[i].pauses) && strcmp(name, others[i].name) == 0)
            return others[i].text;
    }
    return NULL;
}

static int read_member(
    const char *name, const json_t *value, bool command, struct api_wish *wish, struct api_answer *answer)
{
    size_t size;
    char *text = place_of(wish, name, command, &size);
    if (text == NULL)
        return refuse(answer,
            "`%.60s` is not known here; there are tenant, campaign, pool, source, provider, domain and "
            "reason%s.",
            name, command ? ", recipient, id" : ", for, until");
    if (json_is_null(value))
        return 0;
    if (!json_is_string(value) || json_string_length(value) >= size)
        return refuse(answer, "`%.60s` must be a text of at most %zu bytes.", name, size - 1);
    if (json_string_length(value) == 0 && text != wish->reason)
        return refuse(answer, "`%.60s` is empty; leave it out if it does not matter.", name);
    snprintf(text, size, "%s", json_string_value(value));
    return 0;
}

/* jansson recurses; nothing here is deeper than one object. */
static bool is_flat(const char *body, size_t len)
{
    int braces = 0;
    for (size_t i = 0; i < len; i++)
        braces += body[i] == '[' || body[i] == '{';
    return braces <= 100;
}

int api_wish_read(
    const char *body, size_t len, bool command, struct api_wish *wish_r, struct api_answer *answer_r)
{
    json_error_t fault = {.text = "it is nested too deeply"};
    const char *name;
    json_t *root = is_flat(body, len) ? json_loadb(body, len, JSON_REJECT_DUPLICATES, &fault) : NULL, *value;
    int rc = 0;
    memset(wish_r, 0, sizeof *wish_r);
    if (!json_is_object(root)) {
        rc = refuse(answer_r, "This is no JSON object like {\"tenant\": \"acme\"}: %.150s.",
            root == NULL ? fault.text : "it is something else");
        json_decref(root);
        return rc;
    }
    json_object_foreach(root, name, value)
    {
        if (rc == 0)
            rc = read_member(name, value, command, wish_r, answer_r);
    }
    json_decref(root);
    return rc;
}
