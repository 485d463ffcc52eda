/* event_find_json - whether a line of the event log fits a filter, by jansson
 *
 * Errors: a line that is no JSON object fits nothing. */
#include <jansson.h>
#include <string.h>

#include "node/event_find.h"

static bool is(const json_t *event, const char *member, const char *value)
{
    const char *text = json_string_value(json_object_get(event, member));
    return value == NULL || (text != NULL && strcmp(text, value) == 0);
}

/* Times are all written by clock_rfc3339, so their order is the order of their bytes. */
static bool is_since(const json_t *event, usec_t since)
{
    char text[32];
    const char *time = json_string_value(json_object_get(event, "time"));
    return since <= 0 || (time != NULL && strcmp(time, clock_rfc3339(since, text)) >= 0);
}

bool event_matches(const char *line, size_t len, const struct event_filter *filter)
{
    json_t *event = json_loadb(line, len, 0, NULL);
    bool fits = json_is_object(event) &&
                (is(event, "message", filter->message_id) || is(event, "id", filter->message_id)) &&
                is(event, "to", filter->to) && is(event, "tenant", filter->tenant) &&
                is(event, "event", filter->event) && is_since(event, filter->since);
    json_decref(event);
    return fits;
}
