/* The HTTP API without HTTP: what a request asks for, what JSON becomes a mail, what is answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest_ossl.h"
#include "coordinator/api.h"
#include "coordinator/api_json.h"
#include "coordinator/api_time.h"

#define NOW (1795323852LL * USEC_SEC) /* 2026-11-22T05:04:12Z */

static const char config[] =
    "coordinator: { default_tenant: acme, intake: { max_size: 100KiB, max_recipients: 5 } }\n"
    "node: { sources: [{ address: 127.0.0.1, helo: mx.acme.example, pools: [a, b] }] }\n"
    "pools: { a: {}, b: {} }\n"
    "tenants:\n"
    "  - { id: acme, pools: [a, b], domains: [acme.example], priority: bulk, max_age: 2d }\n"
    "  - { id: other, pools: [b], domains: ['*'] }\n";

static struct settings *settings;
static struct api open_api, keyed_api;

static bool verify(void *keys, const char *key, struct api_identity *who_r)
{
    (void)keys;
    who_r->admin = strcmp(key, "adminkey") == 0;
    snprintf(who_r->tenant, sizeof who_r->tenant, "%s", who_r->admin ? "" : "acme");
    return who_r->admin || strcmp(key, "acmekey") == 0;
}

static struct mail_id make_id(void *ids, const char *tenant, const char *key)
{
    struct mail_id id = {{0xab}};
    uint8_t digest[DIGEST_SIZE];
    char text[600];
    (void)ids;
    if (key == NULL)
        return id;
    int len = snprintf(text, sizeof text, "%s%c%s", tenant, 0, key);
    digest_hmac("secret", 6, text, (size_t)len, digest);
    memcpy(id.bytes, digest, sizeof id.bytes);
    return id;
}

static int set_up(void **state)
{
    (void)state;
    struct fault *faults = NULL;
    size_t count = 0;
    settings = settings_parse(config, sizeof config - 1, "test.yaml", &faults, &count);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%s\n", faults[i].text);
    free(faults);
    open_api = (struct api){.settings = settings, .make_id = make_id};
    keyed_api = (struct api){.settings = settings, .make_id = make_id, .verify = verify};
    return settings == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    settings_free(&settings);
    return 0;
}

static void requests_find_their_way(void **state)
{
    (void)state;
    static const struct {
        const char *method, *target, *key;
        enum api_kind kind;
        int status; /* API_ANSWER */
        const char *what, *selectors;
    } rows[] = {
        {"GET", "/", NULL, API_ANSWER, 200, NULL, NULL},
        {"HEAD", "/", NULL, API_ANSWER, 200, NULL, NULL},
        {"GET", "/healthz", NULL, API_ANSWER, 200, NULL, NULL},
        {"GET", "/readyz", NULL, API_ASK, 0, "ready", ""},
        {"GET", "/metrics", "adminkey", API_ASK, 0, "metrics", ""},
        {"GET", "/metrics", "acmekey", API_ANSWER, 403, NULL, NULL},
        {"GET", "/metrics", NULL, API_ANSWER, 401, NULL, NULL},
        {"GET", "/v1/queues", "acmekey", API_ASK, 0, "queues", ""},
        {"GET", "/v1/queues?pool=a&domain=x%20y", "acmekey", API_ASK, 0, "queues", "pool=a&domain=x%20y"},
        {"GET", "/v1/queues", "wrongkey", API_ANSWER, 401, NULL, NULL},
        {"GET", "/v1/status", "acmekey", API_ANSWER, 403, NULL, NULL},
        {"GET", "/v1/sources", "acmekey", API_ANSWER, 403, NULL, NULL},
        {"GET", "/v1/sources", "adminkey", API_ASK, 0, "sources", ""},
        {"GET", "/v1/messages?to=a@b.example", "acmekey", API_ASK, 0, "messages", "to=a@b.example"},
        {"GET", "/v1/messages/00112233445566778899aabbccddeeff", "acmekey", API_ASK, 0, "message",
            "id=00112233445566778899aabbccddeeff"},
        {"GET", "/v1/messages/00112233445566778899aabbccddeeff-3?x=y", "acmekey", API_ASK, 0, "message",
            "id=00112233445566778899aabbccddeeff-3"},
        {"GET", "/v1/messages/nosuchid", "acmekey", API_ANSWER, 404, NULL, NULL},
        {"GET", "/v1/messages/00112233445566778899aabbccddeeff%00", "acmekey", API_ANSWER, 404, NULL, NULL},
        {"GET", "/v1/messages/", "acmekey", API_ANSWER, 404, NULL, NULL},
        {"POST", "/v1/messages", "acmekey", API_SUBMIT, 0, NULL, NULL},
        {"POST", "/v1/messages", NULL, API_ANSWER, 401, NULL, NULL},
        {"PUT", "/v1/messages", "acmekey", API_ANSWER, 405, NULL, NULL},
        {"DELETE", "/v1/queues", "acmekey", API_ANSWER, 405, NULL, NULL},
        {"GET", "/v1/nothing", "acmekey", API_ANSWER, 404, NULL, NULL},
        {"GET", "/v1/queues/", "acmekey", API_ANSWER, 404, NULL, NULL},
        {"GET", "/%00%ff/../..", NULL, API_ANSWER, 404, NULL, NULL},
        {"GET", "", NULL, API_ANSWER, 404, NULL, NULL},
        {"GET", "/v1/queues?a=%g0", "acmekey", API_ANSWER, 400, NULL, NULL},
        {"GET", "/v1/queues?a=%1", "acmekey", API_ANSWER, 400, NULL, NULL},
        {"GET", "/v1/queues?a=\x7f", "acmekey", API_ANSWER, 400, NULL, NULL},
        {"GET", "/v1/events?event=bounced&cursor=17&to=x", "acmekey", API_EVENTS, 0, "events",
            "event=bounced&to=x"},
        {"GET", "/v1/events?cursor=a;b", "acmekey", API_ANSWER, 400, NULL, NULL},
        {"GET", "/v1/config", "acmekey", API_ANSWER, 403, NULL, NULL},
        {"GET", "/v1/config", "adminkey", API_CONFIG, 0, "show", NULL},
        {"GET", "/v1/config/7", "adminkey", API_CONFIG, 0, "version", NULL},
        {"GET", "/v1/config/0", "adminkey", API_ANSWER, 404, NULL, NULL},
        {"GET", "/v1/config/x", "adminkey", API_ANSWER, 404, NULL, NULL},
        {"GET", "/v1/config/history", "adminkey", API_CONFIG, 0, "history", NULL},
        {"POST", "/v1/config", "acmekey", API_ANSWER, 403, NULL, NULL},
        {"POST", "/v1/config/rollback", "adminkey", API_CONFIG, 0, "rollback", NULL},
        {"POST", "/v1/config/rollback", "acmekey", API_ANSWER, 403, NULL, NULL},
        {"DELETE", "/v1/config", "adminkey", API_ANSWER, 405, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char bearer[80];
        snprintf(bearer, sizeof bearer, "Bearer %s", rows[i].key == NULL ? "" : rows[i].key);
        struct api_request request = {.method = rows[i].method,
            .target = rows[i].target,
            .authorization = rows[i].key == NULL ? NULL : bearer,
            .content_type = "application/json"};
        struct api_plan plan;
        api_plan(&keyed_api, &request, &plan);
        if (plan.kind != rows[i].kind || (rows[i].status != 0 && plan.answer.status != rows[i].status))
            fail_msg("%s %s: kind %d, status %d: %s", rows[i].method, rows[i].target, plan.kind,
                plan.answer.status, buffer_text(&plan.answer.text));
        if (rows[i].what != NULL)
            assert_string_equal(plan.what, rows[i].what);
        if (rows[i].selectors != NULL)
            assert_string_equal(plan.selectors, rows[i].selectors);
        if (plan.kind == API_ANSWER && plan.answer.status >= 400) {
            assert_string_equal(plan.answer.type, "application/problem+json");
            assert_non_null(strstr(buffer_text(&plan.answer.text), "\"detail\":\""));
        }
        if (plan.kind != API_ANSWER && rows[i].key != NULL && strcmp(rows[i].key, "acmekey") == 0)
            assert_string_equal(api_plan_tenant(&plan), "acme");
        api_plan_free(&plan);
    }
}

static void headers_matter(void **state)
{
    (void)state;
    char long_key[300], long_target[API_MAX_TARGET + 10];
    static char longest[40000];
    memset(longest, 'k', sizeof longest - 1);
    memset(long_key, 'k', sizeof long_key);
    long_key[256] = '\0';
    memset(long_target, 'a', sizeof long_target);
    long_target[0] = '/';
    long_target[sizeof long_target - 1] = '\0';
    const struct {
        struct api_request request;
        enum api_kind kind;
        int status;
    } rows[] = {
        {{.method = "GET", .target = "/v1/queues", .host = "127.0.0.1:8025"}, API_ASK, 0},
        {{.method = "GET", .target = "/v1/queues", .host = "localhost"}, API_ASK, 0},
        {{.method = "GET", .target = "/v1/queues", .host = "[::1]:8025"}, API_ASK, 0},
        {{.method = "GET", .target = "/v1/queues"}, API_ASK, 0},
        {{.method = "GET", .target = "/v1/queues", .host = "evil.example"}, API_ANSWER, 403},
        {{.method = "GET", .target = "/v1/queues", .host = "127.0.0.1.evil.example"}, API_ANSWER, 403},
        {{.method = "GET", .target = "/v1/queues", .host = "[::1"}, API_ANSWER, 403},
        {{.method = "POST", .target = "/v1/messages", .content_type = "application/json; charset=utf-8"},
            API_SUBMIT, 0},
        {{.method = "POST", .target = "/v1/messages", .content_type = "application/jsonx"}, API_ANSWER, 415},
        {{.method = "POST", .target = "/v1/messages", .content_type = "text/plain"}, API_ANSWER, 415},
        {{.method = "POST", .target = "/v1/messages"}, API_ANSWER, 415},
        {{.method = "POST",
             .target = "/v1/messages",
             .content_type = "application/json",
             .idempotency_key = "order 17"},
            API_SUBMIT, 0},
        {{.method = "POST",
             .target = "/v1/messages",
             .content_type = "application/json",
             .idempotency_key = ""},
            API_ANSWER, 400},
        {{.method = "POST",
             .target = "/v1/messages",
             .content_type = "application/json",
             .idempotency_key = "\xc3\xa9"},
            API_ANSWER, 400},
        {{.method = "POST",
             .target = "/v1/messages",
             .content_type = "application/json",
             .idempotency_key = long_key},
            API_ANSWER, 400},
        {{.method = "GET", .target = "/v1/events", .accept = "text/event-stream"}, API_EVENTS, 0},
        {{.method = "GET", .target = "/v1/events", .accept = "*/*", .last_event_id = "n1-17"}, API_EVENTS, 0},
        {{.method = "GET", .target = "/v1/events", .last_event_id = "a&tenant=x"}, API_ANSWER, 400},
        {{.method = "GET", .target = "/v1/events", .last_event_id = long_key}, API_EVENTS, 0},
        {{.method = "GET", .target = "/v1/events", .last_event_id = "t17,n1:3:81920,n2:7:5"}, API_EVENTS, 0},
        {{.method = "GET", .target = "/v1/events", .last_event_id = longest}, API_ANSWER, 400},
        {{.method = "GET", .target = "/v1/config"}, API_CONFIG, 0},
        {{.method = "POST", .target = "/v1/config", .content_type = "application/yaml"}, API_CONFIG, 0},
        {{.method = "POST", .target = "/v1/config", .content_type = "text/yaml;x=y"}, API_CONFIG, 0},
        {{.method = "POST", .target = "/v1/config", .content_type = "text/plain"}, API_ANSWER, 415},
        {{.method = "POST", .target = "/v1/config", .content_type = "text/plain;application/yaml"},
            API_ANSWER, 415},
        {{.method = "POST", .target = "/v1/config"}, API_ANSWER, 415},
        {{.method = "POST",
             .target = "/v1/config",
             .content_type = "application/yaml",
             .host = "evil.example"},
            API_ANSWER, 403},
        {{.method = "POST", .target = "/v1/config/rollback", .content_type = "application/json"}, API_CONFIG,
            0},
        {{.method = "POST", .target = "/v1/config/rollback", .content_type = "text/plain"}, API_ANSWER, 415},
        {{.method = "POST", .target = "/v1/config?expected=x", .content_type = "application/yaml"},
            API_ANSWER, 400},
        {{.method = "GET", .target = "/v1/events", .accept = "application/x-ndjson"}, API_ASK, 0},
        {{.method = "GET", .target = long_target}, API_ANSWER, 414},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct api_plan plan;
        api_plan(&open_api, &rows[i].request, &plan);
        if (plan.kind != rows[i].kind || (rows[i].status != 0 && plan.answer.status != rows[i].status))
            fail_msg("row %zu: kind %d, status %d: %s", i, plan.kind, plan.answer.status,
                buffer_text(&plan.answer.text));
        if (plan.kind != API_ANSWER)
            assert_null(api_plan_tenant(&plan));
        api_plan_free(&plan);
    }
}

/* Reads a submission; returns the status of the problem, or 0. */
static int submit(const struct api *api, const struct api_identity *who, const char *key, const char *json,
    struct mail **mail_r, struct blob **body_r, char detail[1200])
{
    struct api_plan plan = {.who = *who};
    struct api_answer answer = {0};
    snprintf(plan.idempotency_key, sizeof plan.idempotency_key, "%s", key);
    *mail_r = NULL;
    *body_r = NULL;
    int rc = api_json_mail(api, &plan, json, strlen(json), NOW, mail_r, body_r, &answer);
    snprintf(detail, 1200, "%s", buffer_text(&answer.text));
    int status = answer.status;
    api_answer_free(&answer);
    assert_int_equal(rc == 0, status == 0);
    return rc == 0 ? 0 : status;
}

static const struct api_identity admin = {.admin = true}, acme = {.tenant = "acme"};

static void json_becomes_a_mail(void **state)
{
    (void)state;
    struct mail *mail;
    struct blob *body;
    char detail[1200];
    const char *json =
        "{\"from\":\"News <news@ACME.example>\",\"to\":[\"Bob <bob@d1.test>\",\"ann@D2.test\"],"
        "\"raw\":\"From: news@acme.example\\nSubject: x\\n\\nh\\u00e4llo\\n\",\"campaign\":\"spring\","
        "\"pool\":\"b\",\"priority\":\"transactional\",\"send_at\":\"2026-11-22T07:04:12+01:00\","
        "\"max_age\":\"4h\",\"tags\":{\"batch\":\"7\"}}";
    assert_int_equal(submit(&keyed_api, &acme, "k1", json, &mail, &body, detail), 0);
    assert_string_equal(mail->tenant, "acme");
    assert_string_equal(mail->from, "news@acme.example");
    assert_int_equal(mail->recipient_count, 2);
    assert_string_equal(mail->recipients[0], "bob@d1.test");
    assert_string_equal(mail->recipients[1], "ann@d2.test");
    assert_string_equal(mail->campaign, "spring");
    assert_string_equal(mail->pool, "b");
    assert_int_equal(mail->priority, MAIL_TRANSACTIONAL);
    assert_int_equal(mail->created, NOW);
    assert_int_equal(mail->send_at, NOW + USEC_HOUR);
    assert_int_equal(mail->expires, NOW + 5 * USEC_HOUR);
    assert_string_equal(mail->tags[0].name, "batch");
    assert_string_equal(mail->tags[0].value, "7");
    assert_true(mail->keyed && mail->eight_bit);
    const char want[] = "From: news@acme.example\r\nSubject: x\r\n\r\nh\xc3\xa4llo\r\n";
    assert_int_equal(body->len, sizeof want - 1);
    assert_memory_equal(body->bytes, want, body->len);
    assert_int_equal(mail->body_len, body->len);
    uint8_t digest[DIGEST_SIZE];
    digest_sha256(json, strlen(json), digest);
    assert_memory_equal(digest, mail->digest, sizeof digest);
    struct mail_id first = mail->id;
    mail_drop(&mail);
    blob_drop(&body);

    json = "{\"from\":\"news@acme.example\",\"to\":[\"bob@d1.test\"],\"subject\":\"Gr\\u00fc\\u00dfe\","
           "\"text\":\"hello\",\"headers\":{\"X-Test\":\"1\"},\"send_at\":1}";
    assert_int_equal(submit(&keyed_api, &acme, "", json, &mail, &body, detail), 0);
    assert_string_equal(mail->pool, "a");
    assert_int_equal(mail->priority, MAIL_BULK);
    assert_int_equal(mail->send_at, 0);
    assert_int_equal(mail->expires, NOW + 2 * USEC_DAY);
    assert_false(mail->keyed || mail->eight_bit);
    assert_false(id_equal(&first, &mail->id));
    assert_non_null(strstr(body->bytes, "X-Test: 1\r\n"));
    assert_non_null(strstr(body->bytes, "hello"));
    mail_drop(&mail);
    blob_drop(&body);
}

static void a_key_names_one_message_of_one_tenant(void **state)
{
    (void)state;
    static const struct {
        const char *key, *tenant;
    } rows[] = {{"k1", "acme"}, {"k2", "acme"}, {"k1", "other"}};
    struct mail_id ids[3];
    char json[300], detail[1200];
    for (int i = 0; i < 3; i++) {
        struct mail *mail;
        struct blob *body;
        snprintf(json, sizeof json,
            "{\"from\":\"\",\"to\":[\"a@b.test\"],\"raw\":\"From: a@b.test\\n\\nx\",\"tenant\":\"%s\"}",
            rows[i].tenant);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(submit(&keyed_api, &admin, rows[i].key, json, &mail, &body, detail), 0);
            assert_string_equal(mail->from, "");
            assert_string_equal(mail->tenant, rows[i].tenant);
            assert_true(again == 0 || id_equal(&ids[i], &mail->id));
            ids[i] = mail->id;
            mail_drop(&mail);
            blob_drop(&body);
        }
    }
    assert_false(id_equal(&ids[0], &ids[1]) || id_equal(&ids[0], &ids[2]) || id_equal(&ids[1], &ids[2]));
}

#define ENVELOPE "\"from\":\"a@acme.example\",\"to\":[\"b@c.test\"]"
#define WHOLE ENVELOPE ",\"text\":\"x\""

static void bad_json_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int status;
        const char *says;
    } rows[] = {
        {"", 400, "no JSON"},
        {"{", 400, "line 1"},
        {"[]", 400, "one object"},
        {"nonsense", 400, "no JSON"},
        {"{" WHOLE "} trailing", 400, "no JSON"},
        {"{" WHOLE ",\"text\":\"y\"}", 400, "duplicate"},
        {"{" WHOLE ",\"colour\":\"blue\"}", 400, "`colour`"},
        {"{\"to\":[\"b@c.test\"],\"text\":\"x\"}", 400, "`from` is missing"},
        {"{\"from\":7,\"to\":[\"b@c.test\"],\"text\":\"x\"}", 400, "`from` must be a text"},
        {"{\"from\":\"\",\"to\":[\"b@c.test\"],\"text\":\"x\"}", 400, "`from`"},
        {"{\"from\":\"nobody\",\"to\":[\"b@c.test\"],\"text\":\"x\"}", 400, "`from`"},
        {"{\"from\":\"a@b.test, c@d.test\",\"to\":[\"b@c.test\"],\"text\":\"x\"}", 400, "`from`"},
        {"{\"from\":\"a@acme.example\",\"text\":\"x\"}", 400, "`to` must be a list"},
        {"{\"from\":\"a@acme.example\",\"to\":[],\"text\":\"x\"}", 400, "`to` must be a list"},
        {"{\"from\":\"a@acme.example\",\"to\":\"b@c.test\",\"text\":\"x\"}", 400, "`to` must be a list"},
        {"{\"from\":\"a@acme.example\",\"to\":[\"b@c.test\",5],\"text\":\"x\"}", 400, "`to[1]`"},
        {"{\"from\":\"a@acme.example\",\"to\":[\"not an address\"],\"text\":\"x\"}", 400, "`to[0]`"},
        {"{\"from\":\"a@acme.example\",\"to\":[\"b@c.test\\r\\nRCPT TO:<x@y>\"],\"text\":\"x\"}", 400,
            "`to[0]`"},
        {"{\"from\":\"a@acme.example\",\"to\":[\"1@c.test\",\"2@c.test\",\"3@c.test\",\"4@c.test\",\"5@c."
         "test\","
         "\"6@c.test\"],\"text\":\"x\"}",
            400, "at most 5"},
        {"{" ENVELOPE "}", 400, "no body"},
        {"{" ENVELOPE ",\"raw\":\"\"}", 400, "`raw`"},
        {"{" ENVELOPE ",\"raw\":\"a\\rb\"}", 400, "`raw`"},
        {"{" ENVELOPE ",\"raw\":\"a\\u0000b\"}", 400, "no JSON"},
        {"{" WHOLE ",\"raw\":\"x\"}", 400, "leave `text` out"},
        {"{" WHOLE ",\"subject\":\"a\\nBcc: x@y.test\"}", 400, "ubject"},
        {"{" WHOLE ",\"headers\":{\"Bcc\":\"x@y.test\"}}", 400, "Bcc"},
        {"{" WHOLE ",\"headers\":{\"X-A\":7}}", 400, "`X-A`"},
        {"{" WHOLE ",\"headers\":[]}", 400, "`headers`"},
        {"{" WHOLE ",\"tenant\":\"nobody\"}", 400, "no tenant `nobody`"},
        {"{" WHOLE ",\"campaign\":\"a\\u0007\"}", 400, "`campaign`"},
        {"{" WHOLE ",\"pool\":\"nopool\"}", 400, "`nopool`"},
        {"{" WHOLE ",\"tenant\":\"other\",\"pool\":\"a\"}", 400, "`a`"},
        {"{" WHOLE ",\"priority\":\"urgent\"}", 400, "`priority`"},
        {"{" WHOLE ",\"priority\":1}", 400, "`priority`"},
        {"{" WHOLE ",\"send_at\":\"tomorrowish\"}", 400, "`send_at`"},
        {"{" WHOLE ",\"send_at\":\"2027-11-22T05:04:12Z\"}", 400, "30 days"},
        {"{" WHOLE ",\"send_at\":-1}", 400, "`send_at`"},
        {"{" WHOLE ",\"send_at\":9223372036854775807}", 400, "`send_at`"},
        {"{" WHOLE ",\"max_age\":\"2 weeks\"}", 400, "`max_age`"},
        {"{" WHOLE ",\"max_age\":\"1s\"}", 400, "`max_age`"},
        {"{" WHOLE ",\"tags\":{\"a\":1}}", 400, "`a`"},
        {"{" WHOLE ",\"tags\":{\"\":\"x\"}}", 400, "`tags`"},
        {"{" WHOLE ",\"tags\":[]}", 400, "`tags`"},
        {"{" WHOLE
         ",\"tags\":{\"1\":\"\",\"2\":\"\",\"3\":\"\",\"4\":\"\",\"5\":\"\",\"6\":\"\",\"7\":\"\",\"8\":\"\","
         "\"9\":\"\",\"10\":\"\",\"11\":\"\"}}",
            400, "`tags`"},
        {"{" WHOLE ",\"tags\":{\"a\":[[[[[[[[[[]]]]]]]]]]}}", 400, "deeper"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mail *mail;
        struct blob *body;
        char detail[1200];
        int status = submit(&open_api, &admin, "", rows[i].json, &mail, &body, detail);
        if (status != rows[i].status || strstr(detail, rows[i].says) == NULL)
            fail_msg(
                "%s: %d, not %d with \"%s\": %s", rows[i].json, status, rows[i].status, rows[i].says, detail);
    }
}

static void a_tenant_speaks_for_itself_only(void **state)
{
    (void)state;
    struct mail *mail;
    struct blob *body;
    char detail[1200];
    assert_int_equal(
        submit(&keyed_api, &acme, "", "{" WHOLE ",\"tenant\":\"other\"}", &mail, &body, detail), 403);
    assert_int_equal(
        submit(&keyed_api, &acme, "", "{" WHOLE ",\"tenant\":\"acme\"}", &mail, &body, detail), 0);
    mail_drop(&mail);
    blob_drop(&body);
}

static void a_message_too_big_is_refused(void **state)
{
    (void)state;
    struct mail *mail;
    struct blob *body;
    char detail[1200];
    size_t len = 102400 + 200;
    char *json = malloc(len + 200);
    int head = sprintf(json, "{" ENVELOPE ",\"raw\":\"");
    memset(json + head, 'x', len);
    memcpy(json + head + len, "\"}", 3);
    assert_int_equal(submit(&open_api, &admin, "", json, &mail, &body, detail), 413);
    free(json);
    struct api_plan plan = {.kind = API_SUBMIT};
    assert_in_range(api_max_body(&open_api, &plan), 102400 * 4 / 3, 102400 * 2);
}

static void outcomes_have_their_status(void **state)
{
    (void)state;
    static const struct {
        enum front_verdict verdict;
        int status;
        const char *says;
    } rows[] = {
        {FRONT_TAKEN, 202,
            "{\"id\":\"ab000000000000000000000000000000\",\"recipients\":["
            "{\"address\":\"a@b.test\",\"id\":\"ab000000000000000000000000000000-0\"},"
            "{\"address\":\"c@d.test\",\"id\":\"ab000000000000000000000000000000-1\"}]}\n"},
        {FRONT_REPEATED, 202, "\"id\":\"ab00"},
        {FRONT_CONFLICT, 422, "a \\\"reason\\\""},
        {FRONT_LATER, 503, "a \\\"reason\\\""},
        {FRONT_FULL, 429, "a \\\"reason\\\""},
        {FRONT_REFUSED, 403, "a \\\"reason\\\""},
    };
    struct mail *mail = mail_new();
    mail_add_recipient(mail, "a@b.test");
    mail_add_recipient(mail, "c@d.test");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct front_outcome outcome = {rows[i].verdict, {{0xab}}, "a \"reason\""};
        struct api_answer answer = {0};
        api_submitted(mail, &outcome, &answer);
        assert_int_equal(answer.status, rows[i].status);
        assert_non_null(strstr(buffer_text(&answer.text), rows[i].says));
        api_answer_free(&answer);
    }
    mail_drop(&mail);
}

static void lines_become_what_was_asked_for(void **state)
{
    (void)state;
    static const struct {
        enum api_shape shape;
        int code;
        const char *text;
        int status;
        const char *want;
    } rows[] = {
        {API_ARRAY, 200, "", 200, "[]\n"},
        {API_ARRAY, 200, "{\"a\":1}\n", 200, "[{\"a\":1}]\n"},
        {API_ARRAY, 200, "{\"a\":1}\n\n{\"a\":2}", 200, "[{\"a\":1},\n{\"a\":2}]\n"},
        {API_LINES, 200, "{\"a\":1}\n{\"a\":2}\n", 200, "{\"a\":1}\n{\"a\":2}\n"},
        {API_TEXT, 200, "todoku_x 1\n", 200, "todoku_x 1\n"},
        {API_READY, 200, "ready", 200, "ready\n"},
        {API_READY, 503, "no node yet\n", 503, "no node yet\n"},
        {API_ARRAY, 404, "no such message", 404,
            "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"no such "
            "message\"}\n"},
        {API_LINES, 400, "bad selector", 400,
            "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"bad "
            "selector\"}\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct api_answer answer = {0};
        api_asked(rows[i].shape, rows[i].code, rows[i].text, strlen(rows[i].text), &answer);
        assert_int_equal(answer.status, rows[i].status);
        assert_string_equal(buffer_text(&answer.text), rows[i].want);
        api_answer_free(&answer);
    }
}

static void times_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        usec_t want; /* -1 = refused */
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-22T05:04:12Z", NOW},
        {"2026-11-22t05:04:12z", NOW},
        {"2026-11-22T05:04:12.25Z", NOW + 250 * USEC_MS},
        {"2026-11-22T05:04:12.1234567891234567891234567890Z", NOW + 123456},
        {"2026-11-22T00:34:12-04:30", NOW},
        {"2024-02-29T00:00:00Z", 1709164800 * USEC_SEC},
        {"2023-02-29T00:00:00Z", -1},
        {"2100-02-29T00:00:00Z", -1},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-00-01T00:00:00Z", -1},
        {"2026-11-22T24:00:00Z", -1},
        {"2026-11-22 05:04:12Z", -1},
        {"2026-11-22T05:04:12", -1},
        {"2026-11-22T05:04:12.Z", -1},
        {"2026-11-22T05:04:12Zx", -1},
        {"2026-11-22T05:04:12+0100", -1},
        {"1969-12-31T23:59:59Z", -1},
        {"1970-01-01T00:00:00+01:00", -1},
        {"", -1},
        {"soon", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        usec_t when = -1;
        int rc = api_time(rows[i].text, &when);
        if ((rc != 0) != (rows[i].want < 0) || (rc == 0 && when != rows[i].want))
            fail_msg("%s: %d, %lld", rows[i].text, rc, (long long)when);
    }
}

static void events_say_where_they_are(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int rc;
        bool event;
        const char *cursor;
    } rows[] = {
        {"{\"event\":\"delivered\",\"cursor\":\"n1-17\"}", 0, true, "n1-17"},
        {"{\"event\":\"delivered\",\"cursor\":17}", 0, true, "17"},
        {"{\"next\":\"n1-18\"}", 0, false, "n1-18"},
        {"{\"event\":\"delivered\"}", -1, true, ""},
        {"{\"incomplete\":true}", -1, false, ""},
        {"garbage", -1, false, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool event;
        char *cursor = api_json_cursor(rows[i].line, strlen(rows[i].line), &event);
        assert_int_equal(cursor == NULL ? -1 : 0, rows[i].rc);
        assert_int_equal(event, rows[i].event);
        assert_string_equal(cursor == NULL ? "" : cursor, rows[i].cursor);
        free(cursor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_find_their_way),
        cmocka_unit_test(headers_matter),
        cmocka_unit_test(json_becomes_a_mail),
        cmocka_unit_test(a_key_names_one_message_of_one_tenant),
        cmocka_unit_test(bad_json_is_refused_with_a_reason),
        cmocka_unit_test(a_tenant_speaks_for_itself_only),
        cmocka_unit_test(a_message_too_big_is_refused),
        cmocka_unit_test(outcomes_have_their_status),
        cmocka_unit_test(lines_become_what_was_asked_for),
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(events_say_where_they_are),
    };
    return cmocka_run_group_tests_name("api", tests, set_up, tear_down);
}
