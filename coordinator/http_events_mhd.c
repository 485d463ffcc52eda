/* http_events_mhd - server-sent events out of the HTTP door (http_mhd.h)
 *
 * A stream that has nothing to send is suspended; one thread of the door asks the front for each of them
 * twice a second, from where the stream stands ("cursor=..."; where the log ends is asked before a new stream
 * is answered). A question is put only when the last answer has been read, so a slow reader holds one answer
 * at most. A line with "event" becomes an event, with its "cursor" as id, so that a client that comes back
 * goes on there; a line with "next" instead only moves the cursor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/panic.h"
#include "coordinator/api_json.h"
#include "coordinator/http_inside_mhd.h"

#define POLL_MS 500
#define AT_ONCE 500 /* events an answer */
#define HEARTBEAT (15 * USEC_SEC)
#define BLOCK ((size_t)16 << 10)

/* libmicrohttpd wants bytes. */
static ssize_t on_read(void *context, uint64_t position, char *to, size_t size)
{
    (void)position;
    struct http_request *request = context;
    struct http *http = request->http;
    struct http_stream *stream = &request->stream;
    ssize_t got = 0;
    pthread_mutex_lock(&http->lock);
    size_t len = buffer_len(&stream->pending);
    if (len > 0) {
        got = (ssize_t)(len < size ? len : size);
        memcpy(to, buffer_bytes(&stream->pending), (size_t)got);
        buffer_eat(&stream->pending, (size_t)got);
    } else if (http->stopping || stream->ended) {
        got = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        stream->waiting = true;
        MHD_suspend_connection(request->connection);
    }
    pthread_mutex_unlock(&http->lock);
    return got;
}

static bool count_in(struct http_request *request)
{
    struct http *http = request->http;
    struct http_stream *stream = &request->stream;
    pthread_mutex_lock(&http->lock);
    stream->open = http->streams < HTTP_MAX_STREAMS && !http->stopping;
    if (stream->open)
        http->streams++;
    pthread_mutex_unlock(&http->lock);
    return stream->open;
}

/* Takes `cursor` over; null leaves all as it is. */
static void set_cursor(struct http_stream *stream, char *cursor)
{
    if (cursor == NULL)
        return;
    free(stream->cursor);
    stream->cursor = cursor;
}

static size_t first_line(const char *text, size_t len)
{
    const char *stop = memchr(text, '\n', len);
    return stop == NULL ? len : (size_t)(stop - text);
}

/* The last line there is now: the stream begins behind it. */
static void on_placed(void *arg, int code, const char *text, size_t len)
{
    struct http_request *request = arg;
    struct http *http = request->http;
    bool event;
    pthread_mutex_lock(&http->lock);
    if (code == 200 && !request->stream.ended)
        set_cursor(&request->stream, api_json_cursor(text, first_line(text, len), &event));
    if (request->waits) { /* else the door is closing and has answered */
        request->waits = false;
        MHD_resume_connection(request->connection);
    }
    pthread_mutex_unlock(&http->lock);
    http_request_drop(request);
}

/* "From now on" means from before the client reads our answer: where the log ends is asked first. */
static enum MHD_Result place(struct http_request *request, struct MHD_Connection *connection)
{
    struct http *http = request->http;
    pthread_mutex_lock(&http->lock);
    bool open = !http->stopping;
    request->stream.placed = true;
    request->waits = open;
    if (open) {
        http_request_hold(request);
        MHD_suspend_connection(connection);
    }
    pthread_mutex_unlock(&http->lock);
    if (!open)
        return http_events_begin(request, connection);
    struct buffer selectors = {0};
    const char *own = request->plan.selectors; /* which node, if one is named */
    buffer_printf(&selectors, "cursor=end&limit=1%s%s", own[0] != '\0' ? "&" : "", own);
    http->front.ask(http->front.context, "events", buffer_text(&selectors), api_plan_tenant(&request->plan),
        on_placed, request);
    buffer_free(&selectors);
    return MHD_YES;
}

enum MHD_Result http_events_begin(struct http_request *request, struct MHD_Connection *connection)
{
    struct http_stream *stream = &request->stream;
    if (request->plan.cursor[0] == '\0' && !stream->placed)
        return place(request, connection);
    if (!count_in(request)) {
        struct api_answer answer = {.retry_after = 10};
        api_problem(
            &answer, 503, "There are %u event streams already; close one, or try later.", HTTP_MAX_STREAMS);
        http_answer(request, &answer);
        return http_send_answer(request, connection);
    }
    if (!stream->placed)
        set_cursor(stream, xstrdup(request->plan.cursor));
    stream->spoke = clock_now();
    buffer_add_text(&stream->pending, "retry: 2000\n\n");
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_read, request, NULL);
    if (response == NULL)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "text/event-stream");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "X-Accel-Buffering", "no");
    enum MHD_Result rc = MHD_queue_response(connection, 200, response);
    MHD_destroy_response(response);
    return rc;
}

void http_events_end(struct http_request *request)
{
    request->stream.waiting = false;
    request->stream.ended = true;
    if (request->stream.open)
        request->http->streams--;
    request->stream.open = false;
}

/* What the front says */

static void add_event(struct http_stream *stream, const char *line, size_t len)
{
    struct buffer *out = &stream->pending;
    bool event = false;
    char *at = api_json_cursor(line, len, &event);
    if (event && at != NULL && at[0] != '\0')
        buffer_printf(out, "id: %s\n", at);
    set_cursor(stream, at);
    if (!event)
        return;
    buffer_add_text(out, "data: ");
    buffer_add(out, line, len);
    buffer_add_text(out, "\n\n");
}

static void add_events(struct http_stream *stream, const char *text, size_t len)
{
    for (const char *end = text + len; text < end;) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t line = (size_t)((stop != NULL ? stop : end) - text);
        if (line > 0)
            add_event(stream, text, line);
        text += line + (stop != NULL ? 1 : 0);
    }
}

static void add_error(struct buffer *out, const char *text, size_t len)
{
    const char *stop = memchr(text, '\n', len);
    size_t line = stop == NULL ? len : (size_t)(stop - text);
    buffer_printf(out, "event: error\ndata: %.*s\n\n", line < 500 ? (int)line : 500, text);
}

/* With the lock held. */
static void take_events(struct http_stream *stream, int code, const char *text, size_t len)
{
    usec_t now = clock_now();
    if (code == 200) {
        add_events(stream, text, len);
    } else {
        add_error(&stream->pending, text, len);
        stream->ended = true;
    }
    /* A word now and then, so that a peer that is gone is found out. */
    if (buffer_len(&stream->pending) == 0 && now - stream->spoke >= HEARTBEAT)
        buffer_add_text(&stream->pending, ":\n\n");
    if (buffer_len(&stream->pending) > 0)
        stream->spoke = now;
}

static void on_events(void *arg, int code, const char *text, size_t len)
{
    struct http_request *request = arg;
    struct http *http = request->http;
    struct http_stream *stream = &request->stream;
    pthread_mutex_lock(&http->lock);
    stream->asking = false;
    if (!stream->ended)
        take_events(stream, code, text, len);
    if (stream->waiting && (buffer_len(&stream->pending) > 0 || stream->ended)) {
        stream->waiting = false;
        MHD_resume_connection(request->connection);
    }
    pthread_mutex_unlock(&http->lock);
    http_request_drop(request);
}

/* The pump */

/* The streams that wait and have no question out, each held once more. */
static unsigned collect(struct http *http, struct http_request *out[HTTP_MAX_STREAMS])
{
    unsigned count = 0;
    list_each (at, &http->requests) {
        struct http_request *request = list_item(at, struct http_request, link);
        if (!request->stream.waiting || request->stream.asking)
            continue;
        request->stream.asking = true;
        http_request_hold(request);
        must(count < HTTP_MAX_STREAMS);
        out[count++] = request;
    }
    return count;
}

/* The cursor is read without the lock: only `done` changes it, and none is out. */
static void ask_for(struct http *http, struct http_request *request)
{
    struct buffer selectors = {0};
    const struct api_plan *plan = &request->plan;
    const char *cursor = request->stream.cursor;
    buffer_printf(&selectors, "cursor=%s&limit=%d%s%s", cursor == NULL ? "" : cursor, AT_ONCE,
        plan->selectors[0] != '\0' ? "&" : "", plan->selectors);
    http->front.ask(
        http->front.context, "events", buffer_text(&selectors), api_plan_tenant(plan), on_events, request);
    buffer_free(&selectors);
}

static void sleep_a_poll(struct http *http)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += POLL_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&http->stop, &http->lock, &until);
}

void *http_events_pump(void *context)
{
    struct http *http = context;
    pthread_mutex_lock(&http->lock);
    while (!http->stopping) {
        struct http_request *waiting[HTTP_MAX_STREAMS];
        unsigned count = collect(http, waiting);
        pthread_mutex_unlock(&http->lock);
        for (unsigned i = 0; i < count; i++)
            ask_for(http, waiting[i]);
        pthread_mutex_lock(&http->lock);
        if (!http->stopping)
            sleep_a_poll(http);
    }
    pthread_mutex_unlock(&http->lock);
    return NULL;
}
