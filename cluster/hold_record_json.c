/* hold_record_json - reads what stands in the store about holds (hold.h)
 *
 * Foreign bytes: a record that names nothing, or something that is no text or too long, is refused as a whole.
 * Unknown members are passed over, though a newer version may have narrowed the hold by them: mail that waits
 * too long can be let go, mail that was sent can't be called back. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cluster/hold.h"

#define MAX_RECORD ((size_t)16 << 10)
#define MAX_TIME (USEC_NEVER / 4)

static json_t *parse(const char *text, size_t len, struct error *error)
{
    json_error_t fault;
    json_t *root = NULL;
    if (len > MAX_RECORD) {
        error_set(error, "the record has %zu bytes; a hold has %zu at most", len, MAX_RECORD);
        return NULL;
    }
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &fault);
    if (json_is_object(root))
        return root;
    error_set(
        error, "the record is no JSON object: %.150s", root == NULL ? fault.text : "it is something else");
    json_decref(root);
    return NULL;
}

static int read_text(
    const json_t *value, const char *name, size_t max, const char **text_r, struct error *error)
{
    size_t len = json_string_length(value);
    if (!json_is_string(value) || len > max)
        return error_set(error, "`%s` must be a text of at most %zu bytes", name, max);
    *text_r = json_string_value(value);
    return 0;
}

static int read_time(const json_t *value, const char *name, usec_t *time_r, struct error *error)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > MAX_TIME)
        return error_set(error, "`%s` must be microseconds since 1970", name);
    *time_r = json_integer_value(value);
    return 0;
}

/* 1: it is none of these. */
static int read_name(const char *name, const json_t *value, struct hold_match *match, struct error *error)
{
    const char *text = "";
    for (size_t i = 0; i < HOLD_NAMES; i++) {
        if (strcmp(name, hold_name(i)) != 0)
            continue;
        if (read_text(value, name, HOLD_MAX_NAME, &text, error) != 0)
            return -1;
        if (text[0] == '\0')
            return error_set(error, "`%s` is empty", name);
        hold_match_set(match, i, text);
        return 0;
    }
    return 1;
}

static int read_member(const char *name, const json_t *value, struct hold *hold, struct error *error)
{
    int known = read_name(name, value, &hold->match, error);
    if (known <= 0)
        return known;
    if (strcmp(name, "since") == 0)
        return read_time(value, name, &hold->since, error);
    if (strcmp(name, "until") == 0)
        return read_time(value, name, &hold->until, error);
    if (strcmp(name, "reason") == 0)
        return read_text(value, name, HOLD_MAX_REASON, &hold->reason, error);
    if (strcmp(name, "by") == 0)
        return read_text(value, name, HOLD_MAX_BY, &hold->by, error);
    if (strcmp(name, "by_tenant") == 0)
        hold->by_tenant = json_is_true(value);
    return 0;
}

static int read_hold(json_t *root, struct hold *hold, struct error *error)
{
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value)
    {
        if (read_member(name, value, hold, error) != 0)
            return -1;
    }
    hold->by_tenant = hold->by_tenant && hold->match.tenant != NULL;
    return hold_match_names(&hold->match) ? 0 : error_set(error, "the record names nothing to hold");
}

int holds_read(struct holds *holds, const char *id, const char *text, size_t len, struct error *error)
{
    struct hold hold = {.reason = "", .by = ""};
    if (!hold_id_good(id))
        return error_set(error, "`%.60s` is no id of a hold: 1 to 32 hexadecimal digits", id);
    snprintf(hold.id, sizeof hold.id, "%s", id);
    json_t *root = parse(text, len, error);
    if (root == NULL)
        return -1;
    int rc = read_hold(root, &hold, error);
    if (rc == 0)
        rc = holds_add(holds, &hold, error);
    json_decref(root);
    return rc;
}

static int read_lift(const json_t *root, struct hold_lift *lift, struct error *error)
{
    const char *text = "";
    const json_t *ids = json_object_get(root, "ids");
    if (read_text(json_object_get(root, "by"), "by", HOLD_MAX_BY, &text, error) != 0)
        return -1;
    snprintf(lift->by, sizeof lift->by, "%s", text);
    if (!json_is_array(ids) || json_array_size(ids) > HOLD_LIFTS)
        return error_set(error, "`ids` must be a list of at most %d ids", HOLD_LIFTS);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        text = json_string_value(json_array_get(ids, i));
        if (text == NULL || !hold_id_good(text))
            return error_set(error, "`ids` holds something that is no id");
        snprintf(lift->ids[lift->count++], HOLD_ID_SIZE, "%s", text);
    }
    return 0;
}

int hold_lift_read(const char *text, size_t len, struct hold_lift *lift_r, struct error *error)
{
    memset(lift_r, 0, sizeof *lift_r);
    json_t *root = parse(text, len, error);
    if (root == NULL)
        return -1;
    int rc = read_lift(root, lift_r, error);
    json_decref(root);
    return rc;
}
