/* http_request_mhd - one request on its way through the HTTP door (http_mhd.h) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "coordinator/api_config.h"
#include "coordinator/api_hold.h"
#include "coordinator/api_json.h"
#include "coordinator/api_member.h"
#include "coordinator/http_inside_mhd.h"

#define SMALL_BODY (64u << 10) /* read to its end even if the answer is known */
#define PATIENCE (1u << 20)    /* unwanted bytes read before the connection is cut */

/* Life */

void *http_on_target(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct http *http = context;
    struct http_request *request = xcalloc(1, sizeof *request);
    request->target = xstrndup(uri, API_MAX_TARGET);
    request->connection = connection;
    request->holders = 1;
    pthread_mutex_lock(&http->lock);
    request->http = http_hold(http);
    list_push_back(&http->requests, &request->link);
    pthread_mutex_unlock(&http->lock);
    return request;
}

void http_request_hold(struct http_request *request)
{
    request->holders++;
}

void http_request_drop(struct http_request *request)
{
    struct http *http = request->http;
    pthread_mutex_lock(&http->lock);
    bool last = --request->holders == 0;
    if (last)
        list_remove(&request->link);
    pthread_mutex_unlock(&http->lock);
    if (!last)
        return;
    api_plan_free(&request->plan);
    api_answer_free(&request->answer);
    buffer_free(&request->body);
    buffer_free(&request->stream.pending);
    free(request->stream.cursor);
    mail_drop(&request->mail);
    free(request->target);
    free(request);
    http_drop(http);
}

static void release_body(struct http_request *request)
{
    buffer_free(&request->body);
    pthread_mutex_lock(&request->http->lock);
    request->http->body_bytes -= request->reserved;
    request->reserved = 0;
    pthread_mutex_unlock(&request->http->lock);
}

void http_on_completed(
    void *context, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode why)
{
    (void)connection, (void)why;
    struct http *http = context;
    struct http_request *r = *request;
    *request = NULL;
    if (r == NULL)
        return;
    release_body(r);
    pthread_mutex_lock(&http->lock);
    r->connection = NULL;
    http_events_end(r);
    pthread_mutex_unlock(&http->lock);
    http_request_drop(r);
}

/* Answering */

static void add_headers(const struct api_answer *answer, struct MHD_Response *response)
{
    if (answer->status != 204)
        MHD_add_response_header(response, "Content-Type", answer->type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (answer->allow != NULL)
        MHD_add_response_header(response, "Allow", answer->allow);
    if (answer->status == 401)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"todoku\"");
    if (answer->retry_after > 0) {
        char seconds[16];
        snprintf(seconds, sizeof seconds, "%u", answer->retry_after);
        MHD_add_response_header(response, "Retry-After", seconds);
    }
    if (answer->page)
        MHD_add_response_header(response, "Content-Security-Policy",
            "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
}

/* The text stays the request's, which lives longer than the response. */
enum MHD_Result http_send_answer(struct http_request *request, struct MHD_Connection *connection)
{
    struct api_answer *answer = &request->answer;
    struct MHD_Response *response = MHD_create_response_from_buffer(
        buffer_len(&answer->text), buffer_bytes(&answer->text), MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    add_headers(answer, response);
    enum MHD_Result rc = MHD_queue_response(connection, (unsigned)answer->status, response);
    MHD_destroy_response(response);
    return rc;
}

static void set_answer(struct http_request *request, struct api_answer *answer)
{
    api_answer_free(&request->answer);
    request->answer = *answer;
    *answer = (struct api_answer){0};
    request->answered = true;
}

void http_answer(struct http_request *request, struct api_answer *answer)
{
    struct http *http = request->http;
    pthread_mutex_lock(&http->lock);
    if (!request->answered) {
        set_answer(request, answer);
        if (request->waits) {
            request->waits = false;
            MHD_resume_connection(request->connection);
        }
    }
    pthread_mutex_unlock(&http->lock);
    api_answer_free(answer);
}

static void problem(struct http_request *request, int status, const char *detail)
{
    struct api_answer answer = {0};
    if (status == 503)
        answer.retry_after = 5;
    api_problem(&answer, status, "%s", detail);
    http_answer(request, &answer);
}

/* Suspends until http_answer; false (and answered) if the door is closing. With one hold more. */
static bool wait_for_answer(struct http_request *request, struct MHD_Connection *connection)
{
    struct http *http = request->http;
    pthread_mutex_lock(&http->lock);
    bool open = !http->stopping;
    if (open) {
        request->waits = true;
        http_request_hold(request);
        MHD_suspend_connection(connection);
    }
    pthread_mutex_unlock(&http->lock);
    if (!open)
        problem(request, 503, "This coordinator is stopping; try again in a moment.");
    return open;
}

/* Asking the front */

static void on_asked(void *arg, int code, const char *text, size_t len)
{
    struct http_request *request = arg;
    struct api_answer answer = {0};
    api_asked(request->plan.shape, code, text, len, &answer);
    http_answer(request, &answer);
    http_request_drop(request);
}

static void on_submitted(void *arg, const struct front_outcome *outcome)
{
    struct http_request *request = arg;
    struct api_answer answer = {0};
    api_submitted(request->mail, outcome, &answer);
    http_answer(request, &answer);
    http_request_drop(request);
}

static enum MHD_Result submit(struct http_request *request, struct MHD_Connection *connection)
{
    struct http *http = request->http;
    struct api_answer answer = {0};
    struct mail *mail = NULL;
    struct blob *body = NULL;
    int rc = api_json_mail(&http->api, &request->plan, buffer_bytes(&request->body),
        buffer_len(&request->body), clock_now(), &mail, &body, &answer);
    release_body(request);
    if (rc != 0) {
        http_answer(request, &answer);
        return http_send_answer(request, connection);
    }
    request->mail = mail_hold(mail);
    if (!wait_for_answer(request, connection)) {
        mail_drop(&mail);
        blob_drop(&body);
        return http_send_answer(request, connection);
    }
    http->front.submit(http->front.context, mail, body, on_submitted, request);
    return MHD_YES;
}

static enum MHD_Result ask(struct http_request *request, struct MHD_Connection *connection)
{
    struct http *http = request->http;
    if (!wait_for_answer(request, connection))
        return http_send_answer(request, connection);
    const struct api_plan *plan = &request->plan;
    http->front.ask(
        http->front.context, plan->what, plan->selectors, api_plan_tenant(plan), on_asked, request);
    return MHD_YES;
}

/* It stands in our log, too: nobody has to wait for it. */
static void on_noted(void *arg, int code, const char *text, size_t len)
{
    (void)arg;
    if (code != 200)
        log_warn("audit", "no node could note what an administrator did: %.*s", (int)len, text);
}

static void on_configured(void *arg, struct api_answer *answer)
{
    struct http_request *request = arg;
    const struct front *front = &request->http->front;
    if (buffer_len(&answer->audit) > 0)
        front->ask(front->context, "audit", buffer_text(&answer->audit), NULL, on_noted, NULL);
    http_answer(request, answer);
    http_request_drop(request);
}

/* The body says whom it is about; the rest is a question. */
static enum MHD_Result command(struct http_request *request, struct MHD_Connection *connection)
{
    struct api_answer answer = {0};
    int rc = api_command(&request->http->api, &request->plan, buffer_bytes(&request->body),
        buffer_len(&request->body), &answer);
    release_body(request);
    if (rc == 0)
        return ask(request, connection);
    http_answer(request, &answer);
    return http_send_answer(request, connection);
}

/* The store may answer within the call: then the connection is resumed before we have returned. */
static enum MHD_Result configure(struct http_request *request, struct MHD_Connection *connection)
{
    if (!wait_for_answer(request, connection))
        return http_send_answer(request, connection);
    enum api_kind kind = request->plan.kind;
    (kind == API_CONFIG    ? api_config
        : kind == API_HOLD ? api_hold
                           : api_member)(&request->http->api, &request->plan, buffer_bytes(&request->body),
        buffer_len(&request->body), clock_now(), on_configured, request);
    release_body(request);
    return MHD_YES;
}

/* Reading */

static bool takes_body(const struct http_request *request)
{
    return api_max_body(&request->http->api, &request->plan) > 0;
}

static const char *too_big(const struct http_request *request)
{
    return request->plan.kind == API_SUBMIT   ? "The message is bigger than intake.max_size allows."
           : request->plan.kind == API_CONFIG ? "The text is bigger than 768 KiB."
                                              : "The body is bigger than 16 KiB.";
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* The head is here: finds out what is wanted, and whether the body may come. */
static enum MHD_Result plan(
    struct http_request *request, struct MHD_Connection *connection, const char *method)
{
    struct http *http = request->http;
    struct api_request asked = {
        .method = method,
        .target = request->target,
        .authorization = header(connection, "Authorization"),
        .accept = header(connection, "Accept"),
        .content_type = header(connection, "Content-Type"),
        .host = header(connection, "Host"),
        .idempotency_key = header(connection, "Idempotency-Key"),
        .last_event_id = header(connection, "Last-Event-ID"),
    };
    request->planned = true;
    api_plan(&http->api, &asked, &request->plan);
    const char *said = header(connection, "Content-Length");
    unsigned long long len = said == NULL ? 0 : strtoull(said, NULL, 10);
    if (request->plan.kind == API_ANSWER)
        http_answer(request, &request->plan.answer);
    else if (takes_body(request) && len > api_max_body(&http->api, &request->plan))
        problem(request, 413, too_big(request));
    bool chunked = header(connection, "Transfer-Encoding") != NULL;
    bool early = request->answered && (len > SMALL_BODY || chunked);
    return early ? http_send_answer(request, connection) : MHD_YES;
}

static bool reserve(struct http_request *request, size_t len)
{
    struct http *http = request->http;
    pthread_mutex_lock(&http->lock);
    bool room = http->body_bytes + len <= HTTP_MAX_BODIES;
    if (room) {
        http->body_bytes += len;
        request->reserved += len;
    }
    pthread_mutex_unlock(&http->lock);
    return room;
}

/* An answer cannot be given while the body still comes: what nobody wants is dropped, for a while. */
static enum MHD_Result take(struct http_request *request, const char *bytes, size_t len)
{
    if (takes_body(request) && !request->answered) {
        if (buffer_len(&request->body) + len > api_max_body(&request->http->api, &request->plan))
            problem(request, 413, too_big(request));
        else if (!reserve(request, len))
            problem(request, 503, "Too many big bodies come in at once; try again in a moment.");
        else
            buffer_add(&request->body, bytes, len);
        if (!request->answered)
            return MHD_YES;
        release_body(request);
    }
    request->dropped += len;
    return request->dropped <= PATIENCE ? MHD_YES : MHD_NO;
}

enum MHD_Result http_on_request(void *context, struct MHD_Connection *connection, const char *url,
    const char *method, const char *version, const char *upload, size_t *upload_len, void **request)
{
    (void)context, (void)url, (void)version;
    struct http_request *r = *request;
    if (!r->planned)
        return plan(r, connection, method);
    if (*upload_len > 0) {
        size_t len = *upload_len;
        *upload_len = 0;
        return take(r, upload, len);
    }
    if (r->answered)
        return http_send_answer(r, connection);
    if (r->plan.kind == API_SUBMIT)
        return submit(r, connection);
    if (r->plan.kind == API_EVENTS)
        return http_events_begin(r, connection);
    if (r->plan.kind == API_CONFIG || r->plan.kind == API_HOLD || r->plan.kind == API_MEMBER)
        return configure(r, connection);
    if (r->plan.kind == API_COMMAND)
        return command(r, connection);
    return ask(r, connection);
}
