/* api_body_json - the body of a submission: as it is, or composed (api_json.h) */
#include <string.h>

#include "coordinator/api_inside_json.h"
#include "proto/compose.h"

#define MAX_FIELDS 50
#define MAX_FIELD_VALUE 8000
#define MAX_TO 100 /* the first hundred stand in the header */

static const char *const parts[] = {"subject", "text", "html", "headers"};

static int check_size(struct api_reading *reading)
{
    uint64_t most = reading->api->settings->coordinator.max_size;
    if (buffer_len(&reading->body) <= most)
        return 0;
    api_problem(reading->answer, 413, "The message has %zu bytes; at most %llu are taken.",
        buffer_len(&reading->body), (unsigned long long)most);
    return -1;
}

static int read_raw(struct api_reading *reading, const json_t *raw)
{
    struct error error = {0};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (json_object_get(reading->root, parts[i]) != NULL)
            return api_refuse(reading, "`raw` is a whole message already: leave `%s` out.", parts[i]);
    if (!json_is_string(raw) || json_string_length(raw) == 0)
        return api_refuse(reading, "`raw` must be a text: a whole message with its header.");
    const char *text = json_string_value(raw);
    if (compose_crlf(text, json_string_length(raw), &reading->body, &error) != 0)
        return api_refuse(reading, "`raw`: %.200s", error.text);
    for (const char *at = text; *at != '\0' && !reading->mail->eight_bit; at++)
        reading->mail->eight_bit = (unsigned char)*at > 127;
    return check_size(reading);
}

static int read_fields(struct api_reading *reading, struct compose_field *fields, size_t *count_r)
{
    json_t *headers = json_object_get(reading->root, "headers"), *value;
    const char *name;
    *count_r = 0;
    if (headers == NULL)
        return 0;
    if (!json_is_object(headers) || json_object_size(headers) > MAX_FIELDS)
        return api_refuse(reading, "`headers` must be an object of at most %d texts.", MAX_FIELDS);
    json_object_foreach(headers, name, value)
    {
        if (!json_is_string(value) || json_string_length(value) > MAX_FIELD_VALUE)
            return api_refuse(
                reading, "`headers`: `%.60s` must be a text of at most %d bytes.", name, MAX_FIELD_VALUE);
        fields[(*count_r)++] = (struct compose_field){name, json_string_value(value)};
    }
    return 0;
}

static int compose(struct api_reading *reading)
{
    struct error error = {0};
    struct compose_field fields[MAX_FIELDS];
    const char *to[MAX_TO];
    struct compose_parts all = {.from = reading->from, .fields = fields, .to = to, .id = reading->mail->id};
    size_t most = (size_t)reading->api->settings->coordinator.max_size;
    if (api_text(reading, "subject", MAX_FIELD_VALUE, &all.subject) != 0 ||
        api_text(reading, "text", most, &all.text) != 0 || api_text(reading, "html", most, &all.html) != 0 ||
        read_fields(reading, fields, &all.field_count) != 0)
        return -1;
    if (all.text == NULL && all.html == NULL)
        return api_refuse(reading, "There is no body: say `text` or `html` (or both), or `raw`.");
    const json_t *list = json_object_get(reading->root, "to");
    for (; all.to_count < MAX_TO && all.to_count < json_array_size(list); all.to_count++)
        to[all.to_count] = json_string_value(json_array_get(list, all.to_count));
    all.host = mail_domain(reading->mail->from);
    if (compose_message(&all, reading->now, &reading->body, &error) != 0)
        return api_refuse(reading, "%.300s", error.text);
    return check_size(reading);
}

int api_body(struct api_reading *reading)
{
    const json_t *raw = json_object_get(reading->root, "raw");
    return raw != NULL ? read_raw(reading, raw) : compose(reading);
}
