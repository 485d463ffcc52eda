/* client_curl - see client_curl.h */
#include "cli/client_curl.h"

#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "cli/rows_json.h"

#define DEFAULT_API "http://127.0.0.1:8025"

struct exchange {
    CURL *curl;
    struct curl_slist *headers;
    char url[2048];
    char trouble[CURL_ERROR_SIZE];
    struct buffer *out;
    bool too_big;
    /* events */
    struct buffer line, event;
    struct buffer *cursor;
    void (*on_data)(void *context, const char *data);
    void *context;
};

void client_escape(struct buffer *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (isalnum(c) || strchr("-._~@", c) != NULL)
            buffer_add(out, text, 1);
        else
            buffer_printf(out, "%%%02X", c);
    }
}

static const char *first(const char *given, const char *variable, const char *fallback)
{
    const char *found = given != NULL ? given : getenv(variable);
    return found != NULL && found[0] != '\0' ? found : fallback;
}

static void add_header(struct exchange *exchange, const char *name, const char *value)
{
    struct buffer text = {0};
    buffer_printf(&text, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(exchange->headers, buffer_text(&text));
    must(longer != NULL);
    buffer_free(&text);
    exchange->headers = longer;
}

static size_t take(char *bytes, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    size_t len = size * count;
    if (buffer_len(exchange->out) + len > CLIENT_MAX_ANSWER) {
        exchange->too_big = true;
        return 0;
    }
    buffer_add(exchange->out, bytes, len);
    return len;
}

static void begin(struct exchange *exchange, const struct client *client, const char *path)
{
    const char *api = first(client->api, "TODOKU_API", DEFAULT_API);
    const char *key = first(client->key, "TODOKU_KEY", NULL);
    size_t len = strlen(api);
    while (len > 0 && api[len - 1] == '/')
        len--;
    snprintf(exchange->url, sizeof exchange->url, "%.*s%s", (int)len, api, path);
    exchange->curl = curl_easy_init();
    must(exchange->curl != NULL);
    curl_easy_setopt(exchange->curl, CURLOPT_URL, exchange->url);
    curl_easy_setopt(exchange->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(exchange->curl, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    curl_easy_setopt(exchange->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(exchange->curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(exchange->curl, CURLOPT_ERRORBUFFER, exchange->trouble);
    curl_easy_setopt(exchange->curl, CURLOPT_USERAGENT, "todoku");
    if (key != NULL) {
        char bearer[1000];
        snprintf(bearer, sizeof bearer, "Bearer %s", key);
        add_header(exchange, "Authorization", bearer);
    }
}

static void end(struct exchange *exchange)
{
    curl_slist_free_all(exchange->headers);
    curl_easy_cleanup(exchange->curl);
    buffer_free(&exchange->line);
    buffer_free(&exchange->event);
}

static int say_trouble(struct exchange *exchange, CURLcode code, struct error *error)
{
    /* The address as a person knows it: without the path. */
    const char *slashes = strstr(exchange->url, "://");
    int base = (int)(slashes == NULL ? strcspn(exchange->url, "/")
                                     : (size_t)(slashes - exchange->url) + 3 + strcspn(slashes + 3, "/"));
    if (exchange->too_big)
        return error_set(error, "the answer is bigger than 256 MiB: narrow it by selectors or --limit");
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
        return error_set(error,
            "nothing answers at %.*s: is Todoku running there? `todoku up -c FILE` starts it; --api URL or "
            "$TODOKU_API names another address",
            base, exchange->url);
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
        return error_set(error, "\"%.*s\" is no address of an API; write it like http://127.0.0.1:8025", base,
            exchange->url);
    return error_set(error, "%.*s: %s", base, exchange->url,
        exchange->trouble[0] != '\0' ? exchange->trouble : curl_easy_strerror(code));
}

static int judge(struct exchange *exchange, CURLcode code, struct error *error)
{
    long status = 0;
    if (code != CURLE_OK)
        return say_trouble(exchange, code, error);
    curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300)
        return 0;
    char detail[400];
    rows_problem(buffer_text(exchange->out), detail);
    if (detail[0] == '\0')
        snprintf(detail, sizeof detail, "the server answered %ld; is this the API of Todoku?", status);
    return error_set(error, "%s", detail);
}

static int perform(struct exchange *exchange, struct buffer *out, struct error *error)
{
    exchange->out = out;
    curl_easy_setopt(exchange->curl, CURLOPT_HTTPHEADER, exchange->headers);
    curl_easy_setopt(exchange->curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(exchange->curl, CURLOPT_WRITEDATA, exchange);
    /* A coordinator answers within 60 s, whatever is wrong. */
    curl_easy_setopt(exchange->curl, CURLOPT_TIMEOUT, 120L);
    int rc = judge(exchange, curl_easy_perform(exchange->curl), error);
    end(exchange);
    return rc;
}

int client_get(const struct client *client, const char *path, const char *accept, struct buffer *out,
    struct error *error)
{
    struct exchange exchange = {0};
    begin(&exchange, client, path);
    add_header(&exchange, "Accept", accept);
    return perform(&exchange, out, error);
}

static int post(const struct client *client, const char *path, const char *type, const char *idempotency_key,
    const void *bytes, size_t len, struct buffer *out, struct error *error)
{
    struct exchange exchange = {0};
    begin(&exchange, client, path);
    add_header(&exchange, "Content-Type", type);
    add_header(&exchange, "Expect", "");
    if (idempotency_key != NULL)
        add_header(&exchange, "Idempotency-Key", idempotency_key);
    curl_easy_setopt(exchange.curl, CURLOPT_POST, 1L);
    curl_easy_setopt(exchange.curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
    curl_easy_setopt(exchange.curl, CURLOPT_POSTFIELDS, bytes);
    return perform(&exchange, out, error);
}

int client_post(const struct client *client, const char *path, const char *idempotency_key, const char *json,
    size_t len, struct buffer *out, struct error *error)
{
    return post(client, path, "application/json", idempotency_key, json, len, out, error);
}

int client_post_as(const struct client *client, const char *path, const char *type, const void *bytes,
    size_t len, struct buffer *out, struct error *error)
{
    return post(client, path, type, NULL, bytes, len, out, error);
}

int client_command(const struct client *client, const char *method, const char *path, const char *json,
    struct buffer *out, struct error *error)
{
    struct exchange exchange = {0};
    begin(&exchange, client, path);
    add_header(&exchange, "Accept", "application/x-ndjson");
    curl_easy_setopt(exchange.curl, CURLOPT_CUSTOMREQUEST, method);
    if (json != NULL) {
        add_header(&exchange, "Content-Type", "application/json");
        curl_easy_setopt(exchange.curl, CURLOPT_POSTFIELDS, json);
    }
    return perform(&exchange, out, error);
}

/* Events */

/* One line of the stream (HTML, Server-sent events, 9.2.6); an empty one ends an event. */
static void take_line(struct exchange *exchange, const char *line)
{
    if (line[0] == '\0') {
        if (buffer_len(&exchange->event) > 0)
            exchange->on_data(exchange->context, buffer_text(&exchange->event));
        buffer_clear(&exchange->event);
    } else if (strncmp(line, "data: ", 6) == 0) {
        buffer_add_text(&exchange->event, line + 6);
    } else if (strncmp(line, "id: ", 4) == 0) {
        buffer_clear(exchange->cursor);
        buffer_add_text(exchange->cursor, line + 4);
    }
}

static size_t take_stream(char *bytes, size_t size, size_t count, void *context)
{
    struct exchange *exchange = context;
    size_t len = size * count;
    long status = 0;
    curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return take(bytes, size, count, context);
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != '\n') {
            buffer_add(&exchange->line, &bytes[i], 1);
            continue;
        }
        take_line(exchange, buffer_text(&exchange->line));
        buffer_clear(&exchange->line);
    }
    return buffer_len(&exchange->line) + buffer_len(&exchange->event) > (1u << 20) ? 0 : len;
}

int client_follow(const struct client *client, const char *path, struct buffer *cursor,
    void (*line)(void *context, const char *data), void *context, bool *lasting_r, struct error *error)
{
    struct exchange exchange = {.cursor = cursor, .on_data = line, .context = context};
    struct buffer problem = {0};
    begin(&exchange, client, path);
    add_header(&exchange, "Accept", "text/event-stream");
    if (buffer_len(cursor) > 0)
        add_header(&exchange, "Last-Event-ID", buffer_text(cursor));
    exchange.out = &problem;
    curl_easy_setopt(exchange.curl, CURLOPT_HTTPHEADER, exchange.headers);
    curl_easy_setopt(exchange.curl, CURLOPT_WRITEFUNCTION, take_stream);
    curl_easy_setopt(exchange.curl, CURLOPT_WRITEDATA, &exchange);
    /* The server says a word every 15 s. */
    curl_easy_setopt(exchange.curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(exchange.curl, CURLOPT_LOW_SPEED_TIME, 60L);
    int rc = judge(&exchange, curl_easy_perform(exchange.curl), error);
    long status = 0;
    curl_easy_getinfo(exchange.curl, CURLINFO_RESPONSE_CODE, &status);
    *lasting_r = status == 200;
    end(&exchange);
    buffer_free(&problem);
    return rc == 0 ? error_set(error, "the stream of events has ended") : rc;
}
