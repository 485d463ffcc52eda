/* api - see api.h; the answers are in api_answer.c */
#include "coordinator/api.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/query.h"
#include "base/units.h"
#include "cluster/config_store.h"
#include "coordinator/api_hold.h"
#include "coordinator/api_member.h"
#include "coordinator/asking_cursor.h"
#include "coordinator/page.h"
#include "proto/id.h"

enum access { OPEN, TENANT, ADMIN };

/* One row a path. A path that ends in "/" takes an id behind it; a `*` stands for one, too. */
static const struct row {
    const char *method, *path;
    enum api_kind kind;
    const char *what;
    enum api_shape shape;
    enum access access;
} rows[] = {
    {"GET", "/", API_ANSWER, "page", API_TEXT, OPEN},
    {"GET", "/healthz", API_ANSWER, "health", API_TEXT, OPEN},
    {"GET", "/readyz", API_ASK, "ready", API_READY, OPEN},
    {"GET", "/metrics", API_ASK, "metrics", API_TEXT, ADMIN},
    {"POST", "/v1/messages", API_SUBMIT, NULL, API_ARRAY, TENANT},
    {"GET", "/v1/messages", API_ASK, "messages", API_ARRAY, TENANT},
    {"GET", "/v1/messages/", API_ASK, "message", API_ARRAY, TENANT},
    {"GET", "/v1/events", API_EVENTS, "events", API_ARRAY, TENANT},
    {"GET", "/v1/status", API_ASK, "status", API_ARRAY, ADMIN},
    {"GET", "/v1/queues", API_ASK, "queues", API_ARRAY, TENANT},
    {"GET", "/v1/tenants", API_ASK, "tenants", API_ARRAY, TENANT},
    {"GET", "/v1/explain", API_ASK, "explain", API_ARRAY, TENANT},
    {"GET", "/v1/pauses", API_HOLD, "pauses", API_ARRAY, TENANT},
    {"POST", "/v1/pauses", API_HOLD, "pauses", API_ARRAY, TENANT},
    {"DELETE", "/v1/pauses", API_HOLD, "pauses", API_ARRAY, TENANT},
    {"DELETE", "/v1/pauses/", API_HOLD, "pause", API_ARRAY, TENANT},
    {"POST", "/v1/retry", API_COMMAND, "retry", API_ARRAY, TENANT},
    {"POST", "/v1/bounce", API_COMMAND, "bounce", API_ARRAY, TENANT},
    {"POST", "/v1/delete", API_COMMAND, "delete", API_ARRAY, TENANT},
    {"GET", "/v1/nodes", API_ASK, "nodes", API_ARRAY, ADMIN},
    {"GET", "/v1/nodes/*/drain", API_ASK, "drain", API_ARRAY, ADMIN},
    {"POST", "/v1/nodes/*/drain", API_MEMBER, "drain", API_ARRAY, ADMIN},
    {"DELETE", "/v1/nodes/*/drain", API_MEMBER, "drain", API_ARRAY, ADMIN},
    {"GET", "/v1/sources", API_ASK, "sources", API_ARRAY, ADMIN},
    {"GET", "/v1/lanes", API_ASK, "lanes", API_ARRAY, ADMIN},
    {"GET", "/v1/providers", API_ASK, "providers", API_ARRAY, ADMIN},
    {"GET", "/v1/alerts", API_ASK, "alerts", API_ARRAY, ADMIN},
    {"GET", "/v1/config", API_CONFIG, "show", API_ARRAY, ADMIN},
    {"POST", "/v1/config", API_CONFIG, "apply", API_ARRAY, ADMIN},
    {"GET", "/v1/config/history", API_CONFIG, "history", API_ARRAY, ADMIN},
    {"POST", "/v1/config/rollback", API_CONFIG, "rollback", API_ARRAY, ADMIN},
    {"GET", "/v1/config/", API_CONFIG, "version", API_ARRAY, ADMIN},
};
#define ROWS (sizeof rows / sizeof *rows)

static void refuse(struct api_plan *plan, int status, const char *detail)
{
    plan->kind = API_ANSWER;
    api_problem(&plan->answer, status, "%s", detail);
}

/* Finding the row */

static bool path_fits(const struct row *row, const char *path)
{
    size_t len = strlen(row->path), star = strcspn(row->path, "*");
    if (star < len) {
        size_t id = strncmp(row->path, path, star) == 0 ? strcspn(path + star, "/") : 0;
        return id > 0 && strcmp(path + star + id, row->path + star + 1) == 0;
    }
    if (len > 1 && row->path[len - 1] == '/')
        return strncmp(row->path, path, len) == 0 && path[len] != '\0';
    return strcmp(row->path, path) == 0;
}

static const struct row *find_row(const char *method, const char *path, bool *path_known_r)
{
    *path_known_r = false;
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (size_t i = 0; i < ROWS; i++) {
        if (!path_fits(&rows[i], path))
            continue;
        *path_known_r = true;
        if (strcmp(rows[i].method, method) == 0)
            return &rows[i];
    }
    return NULL;
}

static const char *methods_of(const char *path)
{
    static const char *const methods[] = {"GET", "POST", "DELETE"};
    static const char *const together[] = {"", "GET, HEAD", "POST", "GET, HEAD, POST", "DELETE",
        "GET, HEAD, DELETE", "POST, DELETE", "GET, HEAD, POST, DELETE"};
    size_t found = 0;
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < 3; j++)
            if (path_fits(&rows[i], path) && strcmp(rows[i].method, methods[j]) == 0)
                found |= (size_t)1 << j;
    return together[found];
}

static void refuse_path(
    struct api_plan *plan, const struct api_request *request, const char *path, bool known)
{
    plan->kind = API_ANSWER;
    if (!known) {
        api_problem(&plan->answer, 404,
            "There is nothing at %.100s; the API is below /v1/: messages, events, status, queues, lanes ...",
            path);
        return;
    }
    plan->answer.allow = methods_of(path);
    api_problem(&plan->answer, 405, "%.20s does not go with %.100s; it takes %s.", request->method, path,
        plan->answer.allow);
}

/* Who asks */

/* "127.0.0.1:8025", "[::1]", "localhost:8025": names that lead nowhere but to this machine. */
static bool host_is_local(const char *host)
{
    char name[64];
    size_t len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (len >= sizeof name)
        return false;
    memcpy(name, host, len);
    name[len] = '\0';
    struct in_addr v4;
    return strcasecmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0 ||
           (inet_pton(AF_INET, name, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}

static bool is_type(const char *content_type, const char *name)
{
    size_t len = strlen(name);
    if (content_type == NULL || strncasecmp(content_type, name, len) != 0)
        return false;
    char after = content_type[len];
    return after == '\0' || after == ';' || after == ' ';
}

static bool is_json(const char *content_type)
{
    return is_type(content_type, "application/json");
}

/* Without keys text/plain is not enough: any page may send it to this machine unasked (Fetch, section 2.2.2,
 * CORS-safelisted request headers). */
static bool is_yaml(const char *content_type, bool keyed)
{
    static const char *const names[] = {
        "application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/vnd.yaml"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (is_type(content_type, names[i]))
            return true;
    return keyed && content_type != NULL && strncasecmp(content_type, "text/", 5) == 0;
}

/* Nobody is asked for a key: true unless a browser may have been led here. */
static bool admit_anybody(struct api_plan *plan, const struct api_request *request)
{
    plan->who.admin = true;
    if (request->host == NULL || host_is_local(request->host))
        return true;
    refuse(plan, 403,
        "Without a keys_file this API answers only to names of this machine: use http://127.0.0.1 or "
        "http://localhost, or set up keys with `todoku key add`.");
    return false;
}

static bool admit(
    const struct api *api, const struct row *row, const struct api_request *request, struct api_plan *plan)
{
    if (api->verify == NULL)
        return admit_anybody(plan, request);
    if (row->access == OPEN)
        return true;
    const char *key = request->authorization;
    if (key == NULL || strncasecmp(key, "Bearer ", 7) != 0) {
        refuse(
            plan, 401, "A key is needed: send the header `Authorization: Bearer KEY` (`todoku --key KEY`).");
        return false;
    }
    for (key += 7; *key == ' '; key++)
        ;
    if (!api->verify(api->keys, key, &plan->who)) {
        refuse(plan, 401, "This key is not known here, or it was revoked; `todoku key add` makes a new one.");
        return false;
    }
    if (row->access == ADMIN && !plan->who.admin) {
        refuse(plan, 403, "A tenant's key may not see this; it takes an administrator's key.");
        return false;
    }
    return true;
}

/* What is asked */

/* Selectors go to the front as they are; here they must be printable and rightly percent-encoded. */
static bool query_is_sound(const char *query)
{
    for (const unsigned char *at = (const unsigned char *)query; *at != '\0'; at++) {
        if (*at <= 0x20 || *at >= 0x7f)
            return false;
        if (*at == '%' && (!isxdigit(at[1]) || !isxdigit(at[2])))
            return false;
    }
    return true;
}

/* Takes "cursor=..." out of the selectors. */
static void take_cursor(struct api_plan *plan)
{
    plan->cursor = xstrdup("");
    for (char *at = plan->selectors; *at != '\0';) {
        size_t len = strcspn(at, "&");
        if (strncmp(at, "cursor=", 7) == 0) {
            free(plan->cursor);
            plan->cursor = xstrndup(at + 7, len - 7);
            char *rest = at[len] == '&' ? at + len + 1 : at + len;
            memmove(at, rest, strlen(rest) + 1);
            continue;
        }
        at += at[len] == '&' ? len + 1 : len;
    }
    size_t len = strlen(plan->selectors);
    if (len > 0 && plan->selectors[len - 1] == '&')
        plan->selectors[len - 1] = '\0';
}

static bool cursor_is_sound(const char *cursor)
{
    for (; *cursor != '\0'; cursor++)
        if (!isalnum((unsigned char)*cursor) && strchr("-_.:%/,", *cursor) == NULL)
            return false;
    return true;
}

static bool accepts(const struct api_request *request, const char *type)
{
    return request->accept != NULL && strstr(request->accept, type) != NULL;
}

/* Events are a stream unless a list is asked for by name. */
static void plan_events(const struct api_request *request, struct api_plan *plan)
{
    if (!accepts(request, "text/event-stream") &&
        (accepts(request, "application/json") || accepts(request, "application/x-ndjson"))) {
        plan->kind = API_ASK;
        return;
    }
    take_cursor(plan);
    /* A browser that comes back says where it was (HTML, Server-sent events, 9.2.4). */
    if (request->last_event_id != NULL && request->last_event_id[0] != '\0') {
        if (strlen(request->last_event_id) > CURSOR_MAX) {
            refuse(plan, 400, "The Last-Event-ID is no cursor of ours: it is too long.");
            return;
        }
        free(plan->cursor);
        plan->cursor = xstrdup(request->last_event_id);
    }
    if (!cursor_is_sound(plan->cursor))
        refuse(plan, 400, "The cursor is none of ours; leave it out to read from now on.");
}

static void plan_submission(const struct api_request *request, struct api_plan *plan)
{
    if (!is_json(request->content_type)) {
        refuse(plan, 415, "The message must come as JSON: send the header `Content-Type: application/json`.");
        return;
    }
    const char *key = request->idempotency_key;
    if (key == NULL)
        return;
    size_t len = strlen(key);
    bool sound = len >= 1 && len <= API_MAX_KEY;
    for (size_t i = 0; sound && i < len; i++)
        sound = (unsigned char)key[i] >= 0x20 && (unsigned char)key[i] < 0x7f;
    if (sound)
        memcpy(plan->idempotency_key, key, len + 1);
    else
        refuse(plan, 400, "Idempotency-Key must be 1 to 255 printable ASCII characters.");
}

/* A message's id stands in the path; it becomes a selector. */
static void plan_message(const char *id, struct api_plan *plan)
{
    struct mail_id parsed;
    int64_t index;
    if (id_parse(id, &parsed, &index) != 0) {
        plan->kind = API_ANSWER;
        api_problem(&plan->answer, 404,
            "No message has the id \"%.60s\": ids are 32 hexadecimal digits, as in `250 2.0.0 queued as ID`.",
            id);
        return;
    }
    snprintf(plan->selectors, sizeof plan->selectors, "id=%s", id);
}

static void plan_answer(const struct row *row, struct api_plan *plan)
{
    plan->answer.status = 200;
    if (strcmp(row->what, "page") == 0) {
        plan->answer.type = "text/html; charset=utf-8";
        plan->answer.page = true;
        buffer_add(&plan->answer.text, page_html, page_html_len);
    } else {
        plan->answer.type = "text/plain; charset=utf-8";
        buffer_add_text(&plan->answer.text, "ok\n");
    }
}

/* What is said of a change in the query. */
static void plan_apply(
    const struct api *api, const struct api_request *request, const char *query, struct api_plan *plan)
{
    char expected[24];
    struct error error;
    if (!is_yaml(request->content_type, api->verify != NULL)) {
        refuse(plan, 415,
            "The configuration must come as YAML: send the header `Content-Type: application/yaml`.");
        return;
    }
    if (!query_get(query, "file", plan->config.origin, sizeof plan->config.origin))
        snprintf(plan->config.origin, sizeof plan->config.origin, "config");
    if (query_has(query, "comment") &&
        !query_get(query, "comment", plan->config.comment, sizeof plan->config.comment))
        refuse(plan, 400, "`comment` is longer than 200 bytes, or badly encoded.");
    if (query_has(query, "expected") &&
        (!query_get(query, "expected", expected, sizeof expected) ||
            units_number(expected, 1, UINT32_MAX, &plan->config.expected, &error) != 0))
        refuse(
            plan, 400, "`expected` must be the number of a version, as `todoku config history` lists them.");
    for (char *at = plan->config.comment; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            *at = ' ';
}

static void plan_config(const struct api *api, const struct row *row, const struct api_request *request,
    const char *path, const char *query, struct api_plan *plan)
{
    struct error error;
    plan->config.yaml = accepts(request, "application/yaml");
    if (strcmp(row->what, "history") == 0) {
        plan->config.verb = API_CONFIG_HISTORY;
    } else if (strcmp(row->what, "apply") == 0) {
        plan->config.verb = API_CONFIG_APPLY;
        plan_apply(api, request, query, plan);
    } else if (strcmp(row->what, "rollback") == 0) {
        plan->config.verb = API_CONFIG_ROLLBACK;
        if (!is_json(request->content_type))
            refuse(plan, 415,
                "Say it as JSON, {\"version\": 3}, with the header `Content-Type: application/json`.");
    } else if (strcmp(row->what, "version") == 0 &&
               units_number(path + strlen(row->path), 1, UINT32_MAX, &plan->config.version, &error) != 0) {
        refuse(plan, 404, "A version is a number, as GET /v1/config/history lists them.");
    }
}

static void plan_hold(
    const struct row *row, const struct api_request *request, const char *path, struct api_plan *plan)
{
    bool one = strcmp(row->what, "pause") == 0;
    if (strcmp(request->method, "POST") == 0 && !is_json(request->content_type))
        refuse(plan, 415,
            "Say it as JSON, {\"tenant\": \"acme\"}, with the header `Content-Type: application/json`.");
    else if (row->kind == API_HOLD)
        api_hold_plan(request, one ? path + strlen(row->path) : NULL, plan);
}

static void plan_member(
    const struct api *api, const struct api_request *request, const char *path, struct api_plan *plan)
{
    if (strcmp(request->method, "POST") == 0 && !is_json(request->content_type))
        refuse(plan, 415, "Say it with the header `Content-Type: application/json`; the body may be empty.");
    else
        api_member_plan(api, request, path + strlen("/v1/nodes/"), plan);
}

static void plan_row(const struct api *api, const struct row *row, const struct api_request *request,
    const char *path, const char *query, struct api_plan *plan)
{
    plan->kind = row->kind;
    plan->what = row->what;
    plan->shape = row->shape;
    if (row->shape == API_ARRAY && accepts(request, "application/x-ndjson"))
        plan->shape = API_LINES;
    if (!query_is_sound(query)) {
        refuse(plan, 400, "The query holds a character that must be percent-encoded, like %20 for a space.");
        return;
    }
    snprintf(plan->selectors, sizeof plan->selectors, "%s", query);
    if (row->kind == API_ANSWER)
        plan_answer(row, plan);
    else if (row->kind == API_EVENTS)
        plan_events(request, plan);
    else if (row->kind == API_SUBMIT)
        plan_submission(request, plan);
    else if (row->kind == API_CONFIG)
        plan_config(api, row, request, path, query, plan);
    else if (row->kind == API_HOLD || row->kind == API_COMMAND)
        plan_hold(row, request, path, plan);
    else if (strcmp(row->what, "drain") == 0)
        plan_member(api, request, path, plan);
    else if (strcmp(row->what, "message") == 0)
        plan_message(path + strlen(row->path), plan);
}

void api_plan(const struct api *api, const struct api_request *request, struct api_plan *plan_r)
{
    memset(plan_r, 0, sizeof *plan_r);
    if (strlen(request->target) >= API_MAX_TARGET) {
        refuse(plan_r, 414, "The address is longer than 8 KiB.");
        return;
    }
    char path[API_MAX_TARGET];
    size_t len = strcspn(request->target, "?");
    memcpy(path, request->target, len);
    path[len] = '\0';
    const char *query = request->target[len] == '?' ? request->target + len + 1 : "";
    bool known;
    const struct row *row = find_row(request->method, path, &known);
    if (row == NULL)
        refuse_path(plan_r, request, path, known);
    else if (admit(api, row, request, plan_r))
        plan_row(api, row, request, path, query, plan_r);
}

void api_plan_free(struct api_plan *plan)
{
    api_answer_free(&plan->answer);
    free(plan->cursor);
    plan->cursor = NULL;
}

const char *api_plan_tenant(const struct api_plan *plan)
{
    return plan->who.admin ? NULL : plan->who.tenant;
}

void api_by(const struct api *api, const struct api_identity *who, char *by_r, size_t size)
{
    if (who->key[0] == '\0')
        snprintf(by_r, size, "this machine (%s)", api->settings->coordinator.id);
    else
        snprintf(by_r, size, "key %s", who->key);
}

size_t api_max_body(const struct api *api, const struct api_plan *plan)
{
    if (plan->kind == API_CONFIG && plan->config.verb == API_CONFIG_APPLY)
        return CONFIG_MAX_VERSION;
    if (plan->kind == API_CONFIG && plan->config.verb == API_CONFIG_ROLLBACK)
        return 1024;
    if (plan->kind == API_COMMAND || (plan->kind == API_HOLD && plan->hold.verb == API_HOLD_ADD))
        return API_HOLD_MAX_BODY;
    if (plan->kind != API_SUBMIT)
        return 0;
    /* A message inside JSON grows by its escapes; most of mail is plain text. */
    return (size_t)api->settings->coordinator.max_size / 3 * 4 + (64u << 10);
}
