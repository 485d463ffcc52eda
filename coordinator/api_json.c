/* api_json - see api_json.h; the two ways to say a body are in api_body_json.c */
#include "coordinator/api_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/digest_ossl.h"
#include "base/units.h"
#include "coordinator/api_inside_json.h"
#include "coordinator/api_time.h"
#include "coordinator/asking_cursor.h"
#include "proto/address.h"

#define MAX_NAME 127 /* campaign; as long as X-Todoku-Campaign may be */
#define MAX_TAG_NAME 64
#define MAX_TAG_VALUE 256

static const char *const members[] = {"from", "to", "raw", "subject", "text", "html", "headers", "tenant",
    "campaign", "pool", "priority", "send_at", "max_age", "tags"};

int api_text(struct api_reading *reading, const char *name, size_t max, const char **text_r)
{
    const json_t *value = json_object_get(reading->root, name);
    *text_r = NULL;
    if (value == NULL)
        return 0;
    if (!json_is_string(value))
        return api_refuse(reading, "`%s` must be a text.", name);
    if (json_string_length(value) > max)
        return api_refuse(reading, "`%s` is longer than %zu bytes.", name, max);
    *text_r = json_string_value(value);
    return 0;
}

/* A short text without control characters. */
static int name_text(struct api_reading *reading, const char *name, const char **text_r)
{
    if (api_text(reading, name, MAX_NAME, text_r) != 0)
        return -1;
    for (const char *at = *text_r; at != NULL && *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return api_refuse(reading, "`%s` holds a control character.", name);
    return 0;
}

static int check_members(struct api_reading *reading)
{
    const char *name;
    json_t *value;
    json_object_foreach(reading->root, name, value)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof members / sizeof *members && !known; i++)
            known = strcmp(name, members[i]) == 0;
        if (!known)
            return api_refuse(reading,
                "unknown member `%.60s`; known are from, to, raw or subject, text, html, headers; and "
                "tenant, "
                "campaign, pool, priority, send_at, max_age, tags.",
                name);
    }
    return 0;
}

/* The tenant, and its settings (null where the front must judge). */
static int read_tenant(struct api_reading *reading)
{
    const struct settings *settings = reading->api->settings;
    const char *own = api_plan_tenant(reading->plan), *said;
    if (name_text(reading, "tenant", &said) != 0)
        return -1;
    if (own != NULL && said != NULL && strcmp(own, said) != 0) {
        api_problem(reading->answer, 403, "This key belongs to the tenant %s, not to %s.", own, said);
        return -1;
    }
    const char *tenant = own != NULL ? own : said != NULL ? said : settings->coordinator.default_tenant;
    if (tenant == NULL)
        return api_refuse(
            reading, "Whose message is this? Say `tenant`, or set coordinator.default_tenant in the config.");
    reading->tenant = settings_tenant(settings, tenant);
    if (reading->tenant == NULL)
        return api_refuse(reading, "There is no tenant `%s`.", tenant);
    mail_set(&reading->mail->tenant, tenant);
    return 0;
}

/* One address, bare or with a name before it. */
static int read_address(
    struct api_reading *reading, const char *where, const char *text, size_t len, char out[ADDRESS_SIZE])
{
    struct error error = {0};
    size_t count = 0;
    if (address_of_header(text, len, out, &count, &error) != 0)
        return api_refuse(reading, "`%s`: \"%.100s\": %.200s", where, text, error.text);
    if (count != 1)
        return api_refuse(reading, "`%s`: \"%.100s\" holds %zu addresses; write one.", where, text, count);
    return 0;
}

static int read_from(struct api_reading *reading)
{
    char address[ADDRESS_SIZE];
    if (api_text(reading, "from", 998, &reading->from) != 0)
        return -1;
    if (reading->from == NULL)
        return api_refuse(reading, "`from` is missing.");
    /* The null reverse-path (RFC 5321 section 4.5.5); what is composed needs an author. */
    if (reading->from[0] == '\0' && json_object_get(reading->root, "raw") != NULL)
        return 0;
    if (read_address(reading, "from", reading->from, strlen(reading->from), address) != 0)
        return -1;
    mail_set(&reading->mail->from, address);
    return 0;
}

static int read_to(struct api_reading *reading)
{
    const json_t *list = json_object_get(reading->root, "to");
    size_t most = reading->api->settings->coordinator.max_recipients;
    if (most > MAIL_MAX_RECIPIENTS)
        most = MAIL_MAX_RECIPIENTS;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return api_refuse(
            reading, "`to` must be a list of at least one address, like [\"bob@example.net\"].");
    if (json_array_size(list) > most)
        return api_refuse(reading, "`to` holds %zu addresses; at most %zu go with one message.",
            json_array_size(list), most);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        char address[ADDRESS_SIZE], where[32];
        snprintf(where, sizeof where, "to[%zu]", i);
        if (!json_is_string(item))
            return api_refuse(reading, "`%s` must be a text.", where);
        if (read_address(reading, where, json_string_value(item), json_string_length(item), address) != 0)
            return -1;
        mail_add_recipient(reading->mail, address);
    }
    return 0;
}

static int read_pool(struct api_reading *reading)
{
    const char *pool;
    if (name_text(reading, "pool", &pool) != 0)
        return -1;
    const struct setting_tenant *tenant = reading->tenant;
    bool allowed = pool == NULL;
    for (size_t i = 0; i < tenant->pool_count && !allowed; i++)
        allowed = strcmp(tenant->pools[i], pool) == 0;
    if (!allowed)
        return api_refuse(reading, "`pool`: the tenant %s has no pool `%s`.", tenant->id, pool);
    if (pool != NULL)
        mail_set(&reading->mail->pool, pool);
    else if (tenant->pool_count > 0)
        mail_set(&reading->mail->pool, tenant->pools[0]);
    return 0;
}

static int read_priority(struct api_reading *reading)
{
    static const char *const names[] = {
        [MAIL_TRANSACTIONAL] = "transactional", [MAIL_NORMAL] = "normal", [MAIL_BULK] = "bulk"};
    const char *said;
    if (api_text(reading, "priority", MAX_NAME, &said) != 0)
        return -1;
    reading->mail->priority = reading->tenant->priority;
    if (said == NULL)
        return 0;
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(said, names[i]) == 0) {
            reading->mail->priority = (enum mail_priority)i;
            return 0;
        }
    }
    return api_refuse(reading, "`priority` must be transactional, normal or bulk.");
}

static int read_send_at(struct api_reading *reading)
{
    const json_t *said = json_object_get(reading->root, "send_at");
    usec_t when = 0;
    if (said == NULL)
        return 0;
    if (json_is_integer(said) && json_integer_value(said) >= 0 &&
        json_integer_value(said) < INT64_MAX / USEC_SEC)
        when = json_integer_value(said) * USEC_SEC;
    else if (!json_is_string(said) || api_time(json_string_value(said), &when) != 0)
        return api_refuse(reading, "`send_at` must be a time like \"2027-01-31T08:00:00Z\" or "
                                   "\"2027-01-31T08:00:00+02:00\", or seconds since 1970.");
    if (when > reading->now + API_MAX_SEND_AT)
        return api_refuse(reading, "`send_at` is more than 30 days ahead.");
    reading->mail->send_at = when > reading->now ? when : 0;
    return 0;
}

static int read_max_age(struct api_reading *reading)
{
    struct error error = {0};
    const char *said;
    usec_t age = reading->tenant->max_age;
    if (api_text(reading, "max_age", MAX_NAME, &said) != 0)
        return -1;
    if (said != NULL && units_duration(said, &age, &error) != 0)
        return api_refuse(reading, "`max_age`: %.200s", error.text);
    if (said != NULL && (age < USEC_MIN || age > 30 * USEC_DAY))
        return api_refuse(reading, "`max_age` must be between 1m and 30d.");
    usec_t start = reading->mail->send_at > 0 ? reading->mail->send_at : reading->now;
    reading->mail->expires = age > 0 ? start + age : 0;
    return 0;
}

static int read_tags(struct api_reading *reading)
{
    json_t *tags = json_object_get(reading->root, "tags"), *value;
    const char *name;
    struct mail *mail = reading->mail;
    if (tags == NULL)
        return 0;
    if (!json_is_object(tags) || json_object_size(tags) > MAIL_MAX_TAGS)
        return api_refuse(reading, "`tags` must be an object of at most %d texts.", MAIL_MAX_TAGS);
    json_object_foreach(tags, name, value)
    {
        if (name[0] == '\0' || strlen(name) > MAX_TAG_NAME)
            return api_refuse(reading, "`tags`: a name must have 1 to %d bytes.", MAX_TAG_NAME);
        if (!json_is_string(value) || json_string_length(value) > MAX_TAG_VALUE)
            return api_refuse(
                reading, "`tags`: `%.64s` must be a text of at most %d bytes.", name, MAX_TAG_VALUE);
        mail->tags[mail->tag_count].name = xstrdup(name);
        mail->tags[mail->tag_count++].value = xstrdup(json_string_value(value));
    }
    return 0;
}

static void read_id(struct api_reading *reading)
{
    const char *key = reading->plan->idempotency_key;
    struct mail *mail = reading->mail;
    mail->keyed = key[0] != '\0';
    mail->id = reading->api->make_id(reading->api->ids, mail->tenant, mail->keyed ? key : NULL);
}

static int read_all(struct api_reading *reading)
{
    const char *campaign;
    if (check_members(reading) != 0 || read_tenant(reading) != 0 || read_from(reading) != 0 ||
        read_to(reading) != 0 || name_text(reading, "campaign", &campaign) != 0 || read_pool(reading) != 0 ||
        read_priority(reading) != 0 || read_send_at(reading) != 0 || read_max_age(reading) != 0 ||
        read_tags(reading) != 0)
        return -1;
    if (campaign != NULL)
        mail_set(&reading->mail->campaign, campaign);
    reading->mail->dsn = reading->tenant->dsn;
    reading->mail->created = reading->now;
    read_id(reading);
    return api_body(reading);
}

/* jansson recurses: what it may meet is bounded before it starts. */
static bool too_deep(const char *bytes, size_t len)
{
    int depth = 0;
    bool in_text = false;
    for (size_t i = 0; i < len; i++) {
        char c = bytes[i];
        if (in_text && c == '\\')
            i++;
        else if (c == '"')
            in_text = !in_text;
        else if (!in_text && (c == '{' || c == '['))
            depth++;
        else if (!in_text && (c == '}' || c == ']'))
            depth--;
        if (depth > API_JSON_DEPTH)
            return true;
    }
    return false;
}

static json_t *parse(const char *bytes, size_t len, struct api_answer *answer_r)
{
    json_error_t fault;
    if (too_deep(bytes, len)) {
        api_problem(answer_r, 400, "The JSON is nested deeper than %d.", API_JSON_DEPTH);
        return NULL;
    }
    json_t *root = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &fault);
    if (root == NULL) {
        api_problem(answer_r, 400, "This is no JSON object: line %d, column %d: %.150s.", fault.line,
            fault.column, fault.text);
    } else if (!json_is_object(root)) {
        api_problem(answer_r, 400, "The JSON must be one object: {\"from\": ..., \"to\": [...], ...}.");
        json_decref(root);
        root = NULL;
    }
    return root;
}

int api_json_mail(const struct api *api, const struct api_plan *plan, const char *bytes, size_t len,
    usec_t now, struct mail **mail_r, struct blob **body_r, struct api_answer *answer_r)
{
    struct api_reading reading = {.api = api, .plan = plan, .now = now, .answer = answer_r};
    reading.root = parse(bytes, len, answer_r);
    if (reading.root == NULL)
        return -1;
    reading.mail = mail_new();
    int rc = read_all(&reading);
    json_decref(reading.root);
    if (rc != 0) {
        buffer_free(&reading.body);
        mail_drop(&reading.mail);
        return -1;
    }
    digest_sha256(bytes, len, reading.mail->digest);
    size_t body_len;
    char *body = buffer_steal(&reading.body, &body_len);
    reading.mail->body_len = body_len;
    *body_r = blob_take(body, body_len);
    *mail_r = reading.mail;
    return 0;
}

char *api_json_cursor(const char *line, size_t len, bool *event_r)
{
    json_t *root = json_loadb(line, len, 0, NULL);
    const json_t *cursor = json_object_get(root, "cursor"), *next = json_object_get(root, "next");
    char *found = NULL, number[24];
    *event_r = json_object_get(root, "event") != NULL;
    if (cursor == NULL)
        cursor = next;
    if (json_is_string(cursor) && json_string_length(cursor) <= CURSOR_MAX) {
        found = xstrdup(json_string_value(cursor));
    } else if (json_is_integer(cursor)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(cursor));
        found = xstrdup(number);
    }
    json_decref(root);
    return found;
}
