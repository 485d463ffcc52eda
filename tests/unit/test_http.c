/* The HTTP door on a real port of 127.0.0.1, with a front that a thread of the test plays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/digest_ossl.h"
#include "base/tls_ossl.h"
#include "coordinator/http_mhd.h"
#include "tests/unit/certificate_ossl.h"
#include "tests/unit/kv_help.h"

#define MAX_CALLS 64
#define KIB ((size_t)1024)

static const char config[] =
    "coordinator: { default_tenant: acme, intake: { max_size: 300KiB } }\n"
    "node: { sources: [{ address: 127.0.0.1, helo: mx.acme.example, pools: [a] }] }\n"
    "pools: { a: {} }\n"
    "tenants: [{ id: acme, pools: [a], domains: [acme.example] }]\n";

static struct settings *settings;
static struct http *http;
static int port;

/* The front: calls are kept, and a thread answers them while `answering`. */

struct call {
    bool submit;
    char what[40], selectors[300], tenant[40];
    struct mail *mail;
    struct blob *body;
    front_submitted *submitted;
    front_answered *answered;
    void *arg;
};

static struct {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    struct call calls[MAX_CALLS];
    unsigned put, done;
    bool answering, stop;
    enum front_verdict verdict;
    size_t last_body;
    int events;
} front;

static void put(struct call call)
{
    pthread_mutex_lock(&front.lock);
    assert_true(front.put - front.done < MAX_CALLS);
    front.calls[front.put++ % MAX_CALLS] = call;
    pthread_cond_broadcast(&front.change);
    pthread_mutex_unlock(&front.lock);
}

static void on_submit(void *context, struct mail *mail, struct blob *body, front_submitted *done, void *arg)
{
    (void)context;
    put((struct call){.submit = true, .mail = mail, .body = body, .submitted = done, .arg = arg});
}

static void on_ask(void *context, const char *what, const char *selectors, const char *tenant,
    front_answered *done, void *arg)
{
    (void)context;
    struct call call = {.answered = done, .arg = arg};
    snprintf(call.what, sizeof call.what, "%s", what);
    snprintf(call.selectors, sizeof call.selectors, "%s", selectors);
    snprintf(call.tenant, sizeof call.tenant, "%s", tenant == NULL ? "" : tenant);
    put(call);
}

static void answer_events(const struct call *call)
{
    char text[300] = "";
    if (strstr(call->selectors, "cursor=end") != NULL)
        snprintf(text, sizeof text, "{\"next\":\"0\"}\n");
    else if (front.events < 3)
        snprintf(text, sizeof text, "{\"event\":\"delivered\",\"cursor\":\"%d\"}\n", ++front.events);
    call->answered(call->arg, 200, text, strlen(text));
}

static void answer(struct call *call)
{
    char text[400];
    if (call->submit) {
        struct front_outcome outcome = {front.verdict, call->mail->id, "so it is"};
        front.last_body = call->body->len;
        call->submitted(call->arg, &outcome);
        mail_drop(&call->mail);
        blob_drop(&call->body);
    } else if (strcmp(call->what, "events") == 0) {
        answer_events(call);
    } else if (strcmp(call->what, "lanes") == 0) {
        call->answered(call->arg, 400, "no such selector: colour", 24);
    } else {
        int len = snprintf(text, sizeof text,
            "{\"what\":\"%s\",\"selectors\":\"%s\",\"tenant\":\"%s\"}\n{\"n\":2}\n", call->what,
            call->selectors, call->tenant);
        call->answered(call->arg, 200, text, (size_t)len);
    }
}

static void *front_run(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&front.lock);
    while (!front.stop) {
        if (!front.answering || front.done == front.put) {
            pthread_cond_wait(&front.change, &front.lock);
            continue;
        }
        struct call call = front.calls[front.done++ % MAX_CALLS];
        pthread_mutex_unlock(&front.lock);
        answer(&call);
        pthread_mutex_lock(&front.lock);
    }
    pthread_mutex_unlock(&front.lock);
    return NULL;
}

static void set_answering(bool answering)
{
    pthread_mutex_lock(&front.lock);
    front.answering = answering;
    pthread_cond_broadcast(&front.change);
    pthread_mutex_unlock(&front.lock);
}

static void wait_for_calls(unsigned count)
{
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&front.lock);
        bool there = front.put - front.done >= count;
        pthread_mutex_unlock(&front.lock);
        if (there)
            return;
        usleep(10000);
    }
    fail_msg("the front was not called %u times", count);
}

static bool verify(void *keys, const char *key, struct api_identity *who_r)
{
    (void)keys;
    who_r->admin = strcmp(key, "adminkey") == 0;
    strcpy(who_r->tenant, "acme");
    return who_r->admin || strcmp(key, "acmekey") == 0;
}

static struct mail_id make_id(void *ids, const char *tenant, const char *key)
{
    (void)ids, (void)tenant;
    struct mail_id id = {{key == NULL ? 1 : (uint8_t)key[0]}};
    return id;
}

static const struct front face = {NULL, on_submit, on_ask};

static const struct api_admin *api_admin;

static void open_door(bool keys)
{
    struct api api = {
        .settings = settings, .make_id = make_id, .verify = keys ? verify : NULL, .admin = api_admin};
    struct setting_listener listener = {.listen = (char *)"127.0.0.1:0"};
    struct error error = {0};
    http = http_start(&api, &face, &listener, &error);
    assert_string_equal(error.text, "");
    assert_non_null(http);
    port = http_port(http);
}

static int set_up(void **state)
{
    (void)state;
    front.put = front.done = 0;
    front.answering = true;
    front.stop = false;
    front.verdict = FRONT_TAKEN;
    front.events = 0;
    pthread_mutex_init(&front.lock, NULL);
    pthread_cond_init(&front.change, NULL);
    return pthread_create(&front.thread, NULL, front_run, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    http_stop(&http);
    pthread_mutex_lock(&front.lock);
    front.stop = true;
    pthread_cond_broadcast(&front.change);
    pthread_mutex_unlock(&front.lock);
    pthread_join(front.thread, NULL);
    /* What was asked and never answered: the door was closed meanwhile, and must still take it. */
    while (front.done < front.put)
        answer(&front.calls[front.done++ % MAX_CALLS]);
    return 0;
}

/* A client by hand */

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {10, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        bytes += n;
        len -= (size_t)n;
    }
}

/* Reads to the end, or until `until` has come. */
static char *hear(int fd, const char *until)
{
    struct buffer all = {0};
    for (ssize_t n = 1; n > 0 && (until == NULL || strstr(buffer_text(&all), until) == NULL);) {
        n = recv(fd, buffer_room(&all, 4 * KIB), 4 * KIB, 0);
        if (n > 0)
            buffer_added(&all, (size_t)n);
    }
    buffer_text(&all);
    return buffer_steal(&all, NULL);
}

static int status_of(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

/* One request on a connection of its own; returns the status, *answer_r the whole answer. */
static int request(const char *line, const char *headers, const char *body, size_t len, char **answer_r)
{
    struct buffer out = {0};
    int fd = dial();
    buffer_printf(&out, "%s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s", line, headers);
    if (body != NULL)
        buffer_printf(&out, "Content-Length: %zu\r\n", len);
    buffer_add_text(&out, "\r\n");
    buffer_add(&out, body == NULL ? "" : body, len);
    say(fd, buffer_bytes(&out), buffer_len(&out));
    buffer_free(&out);
    *answer_r = hear(fd, NULL);
    close(fd);
    return status_of(*answer_r);
}

#define JSON "Content-Type: application/json\r\n"
#define GOOD                                                                                                 \
    "{\"from\":\"a@acme.example\",\"to\":[\"b@c.test\"],\"raw\":\"From: a@acme.example\\n\\nhello\\n\"}"

/* Tests */

static void pages_and_listings(void **state)
{
    (void)state;
    static const struct {
        const char *line, *headers;
        int status;
        const char *type, *says;
    } rows[] = {
        {"GET /", "", 200, "text/html", "<title>Todoku</title>"},
        {"GET /healthz", "", 200, "text/plain", "ok\n"},
        {"GET /readyz", "", 200, "text/plain", "\"what\":\"ready\""},
        {"GET /v1/queues?pool=a%20b", "", 200, "application/json",
            "[{\"what\":\"queues\",\"selectors\":\"pool=a%20b\",\"tenant\":\"\"},\n{\"n\":2}]\n"},
        {"GET /v1/queues", "Accept: application/x-ndjson\r\n", 200, "application/x-ndjson", "}\n{\"n\":2}\n"},
        {"GET /metrics", "", 200, "text/plain; version=0.0.4", "\"what\":\"metrics\""},
        {"GET /v1/lanes?colour=blue", "", 400, "application/problem+json", "no such selector: colour"},
        {"GET /v1/nothing", "", 404, "application/problem+json", "nothing at /v1/nothing"},
        {"GET /%00%ff/../..", "", 404, "application/problem+json", "detail"},
        {"PUT /v1/messages", "", 405, "application/problem+json", "Allow: GET, HEAD, POST\r\n"},
        {"GET /v1/messages/00000000000000000000000000000000", "", 200, "application/json",
            "id=00000000000000000000000000000000"},
    };
    open_door(false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *answer, type[80];
        int status = request(rows[i].line, rows[i].headers, NULL, 0, &answer);
        snprintf(type, sizeof type, "Content-Type: %s", rows[i].type);
        if (status != rows[i].status || strstr(answer, type) == NULL || strstr(answer, rows[i].says) == NULL)
            fail_msg("%s: %d\n%s", rows[i].line, status, answer);
        free(answer);
    }
}

static void messages_are_taken_after_the_front_said_so(void **state)
{
    (void)state;
    static const struct {
        enum front_verdict verdict;
        int status;
        const char *says;
    } rows[] = {
        {FRONT_TAKEN, 202,
            "{\"id\":\"6b000000000000000000000000000000\",\"recipients\":[{\"address\":\"b@c.test\""},
        {FRONT_REPEATED, 202, "6b000000000000000000000000000000-0"},
        {FRONT_CONFLICT, 422, "so it is"},
        {FRONT_LATER, 503, "Retry-After: 5\r\n"},
        {FRONT_FULL, 429, "so it is"},
        {FRONT_REFUSED, 403, "so it is"},
    };
    open_door(false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *answer;
        front.verdict = rows[i].verdict;
        int status =
            request("POST /v1/messages", JSON "Idempotency-Key: k\r\n", GOOD, sizeof GOOD - 1, &answer);
        if (status != rows[i].status || strstr(answer, rows[i].says) == NULL)
            fail_msg("%d: %d\n%s", (int)rows[i].verdict, status, answer);
        free(answer);
    }
    assert_int_equal(front.last_body, strlen("From: a@acme.example\r\n\r\nhello\r\n"));
    /* As long as the front says nothing, nothing is said. */
    set_answering(false);
    int fd = dial();
    const char head[] = "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n" JSON "Content-Length: ";
    char text[400];
    int len = snprintf(text, sizeof text, "%s%zu\r\n\r\n%s", head, sizeof GOOD - 1, GOOD);
    say(fd, text, (size_t)len);
    wait_for_calls(1);
    struct pollfd wait = {fd, POLLIN, 0};
    assert_int_equal(poll(&wait, 1, 300), 0);
    front.verdict = FRONT_TAKEN;
    set_answering(true);
    char *answer = hear(fd, "\r\n\r\n");
    assert_int_equal(status_of(answer), 202);
    free(answer);
    close(fd);
}

static void keys_open_what_is_theirs(void **state)
{
    (void)state;
    static const struct {
        const char *line, *headers;
        int status;
        const char *says;
    } rows[] = {
        {"GET /v1/queues", "", 401, "WWW-Authenticate: Bearer"},
        {"GET /v1/queues", "Authorization: Bearer nokey\r\n", 401, "not known"},
        {"GET /v1/queues", "Authorization: Basic YTpi\r\n", 401, "A key is needed"},
        {"GET /v1/queues", "Authorization: Bearer acmekey\r\n", 200, "\"tenant\":\"acme\""},
        {"GET /v1/queues", "Authorization: Bearer adminkey\r\n", 200, "\"tenant\":\"\""},
        {"GET /v1/nodes", "Authorization: Bearer acmekey\r\n", 403, "administrator"},
        {"GET /healthz", "", 200, "ok"},
        {"GET /", "", 200, "<!doctype html>"},
    };
    open_door(true);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *answer;
        int status = request(rows[i].line, rows[i].headers, NULL, 0, &answer);
        if (status != rows[i].status || strstr(answer, rows[i].says) == NULL)
            fail_msg("%s: %d\n%s", rows[i].line, status, answer);
        free(answer);
    }
}

static void big_bodies(void **state)
{
    (void)state;
    open_door(false);
    char *answer, *json = malloc(4u << 20);
    int head = sprintf(
        json, "{\"from\":\"a@acme.example\",\"to\":[\"b@c.test\"],\"raw\":\"From: a@acme.example\\n\\n");
    memset(json + head, 'x', 290 * KIB);
    memcpy(json + head + 290 * KIB, "\"}", 3);
    assert_int_equal(request("POST /v1/messages", JSON, json, strlen(json), &answer), 202);
    assert_int_equal(front.last_body, 290 * KIB + strlen("From: a@acme.example\r\n\r\n"));
    free(answer);
    /* Too big by its own word: refused before it is read (or cut off while it is sent). */
    memset(json + head, 'x', 2u << 20);
    int status = request("POST /v1/messages", JSON, json, 2u << 20, &answer);
    assert_true(status == 413 || status == 0);
    free(answer);
    /* The same without a word, in chunks. */
    int fd = dial();
    const char chunked[] =
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n" JSON "Transfer-Encoding: chunked\r\n\r\n";
    say(fd, chunked, sizeof chunked - 1);
    for (int i = 0; i < 9; i++) {
        say(fd, "10000\r\n", 7);
        say(fd, json + head, 64 * KIB);
        say(fd, "\r\n", 2);
    }
    say(fd, "0\r\n\r\n", 5);
    answer = hear(fd, "\r\n\r\n");
    assert_int_equal(status_of(answer), 413);
    free(answer);
    close(fd);
    free(json);
    assert_int_equal(request("GET /healthz", "", NULL, 0, &answer), 200);
    free(answer);
}

static void broken_requests_do_no_harm(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "GET",
        "GET /v1/queues HTTP/1.1\r\nHost: local",
        "GET /v1/queues HTTP/1.1\r\nHost localhost\r\n\r\n",
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n" JSON "Content-Length: 100\r\n\r\n{\"from\"",
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n" JSON "Content-Length: x\r\n\r\n{}",
        "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n" JSON "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "\x16\x03\x01\x02",
    };
    open_door(false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fd = dial();
        say(fd, rows[i], strlen(rows[i]));
        usleep(20000);
        close(fd);
    }
    char *answer;
    assert_int_equal(request("POST /v1/messages", JSON, "{", 1, &answer), 400);
    assert_non_null(strstr(answer, "application/problem+json"));
    free(answer);
    /* A client that leaves while the front thinks. */
    set_answering(false);
    int fd = dial();
    const char ask[] = "GET /v1/queues HTTP/1.1\r\nHost: localhost\r\n\r\n";
    say(fd, ask, sizeof ask - 1);
    wait_for_calls(1);
    close(fd);
    set_answering(true);
    assert_int_equal(request("GET /v1/queues", "", NULL, 0, &answer), 200);
    free(answer);
}

static void connections_are_kept(void **state)
{
    (void)state;
    open_door(false);
    int fd = dial();
    for (int i = 0; i < 20; i++) {
        const char ask[] = "GET /v1/queues HTTP/1.1\r\nHost: localhost\r\n\r\n";
        say(fd, ask, sizeof ask - 1);
        char *answer = hear(fd, "{\"n\":2}]\n");
        assert_int_equal(status_of(answer), 200);
        free(answer);
    }
    close(fd);
}

static void events_flow(void **state)
{
    (void)state;
    open_door(false);
    int fd = dial();
    const char ask[] =
        "GET /v1/events?event=delivered HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    say(fd, ask, sizeof ask - 1);
    char *answer = hear(fd, "id: 3\n");
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "text/event-stream"));
    assert_non_null(strstr(answer, "id: 1\ndata: {\"event\":\"delivered\",\"cursor\":\"1\"}\n\n"));
    assert_null(strstr(answer, "\"next\""));
    free(answer);
    close(fd);
    /* One that comes back says where it was. */
    set_answering(false);
    fd = dial();
    const char again[] = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 2\r\n\r\n";
    say(fd, again, sizeof again - 1);
    wait_for_calls(1);
    for (unsigned i = front.done; i < front.put; i++)
        if (strstr(front.calls[i % MAX_CALLS].selectors, "cursor=2&") != NULL)
            set_answering(true);
    assert_true(front.answering);
    close(fd);
}

static void streams_are_counted(void **state)
{
    (void)state;
    int fds[HTTP_MAX_STREAMS];
    open_door(false);
    const char ask[] = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (unsigned i = 0; i < HTTP_MAX_STREAMS; i++) {
        fds[i] = dial();
        say(fds[i], ask, sizeof ask - 1);
        char *answer = hear(fds[i], "retry: ");
        assert_int_equal(status_of(answer), 200);
        free(answer);
    }
    char *answer;
    assert_int_equal(request("GET /v1/events", "", NULL, 0, &answer), 503);
    free(answer);
    for (unsigned i = 0; i < HTTP_MAX_STREAMS; i++)
        close(fds[i]);
}

/* Nobody is left hanging when the door closes: neither who waits for an answer, nor a stream. */
static void closing_answers_who_waits(void **state)
{
    (void)state;
    open_door(false);
    int stream = dial(), waiting = dial();
    const char events[] = "GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    say(stream, events, sizeof events - 1);
    free(hear(stream, "retry: "));
    usleep(700000);
    set_answering(false);
    const char ask[] = "GET /v1/queues HTTP/1.1\r\nHost: localhost\r\n\r\n";
    say(waiting, ask, sizeof ask - 1);
    wait_for_calls(1);
    http_stop(&http);
    char *answer = hear(waiting, NULL);
    assert_true(status_of(answer) == 503 || status_of(answer) == 0);
    free(answer);
    free(hear(stream, NULL));
    close(stream);
    close(waiting);
}

static void the_door_opens_only_where_it_may(void **state)
{
    (void)state;
    static const struct {
        const char *listen, *says;
    } rows[] = {
        {"0.0.0.0:0", "todoku key add --admin"},
        {"[::]:0", "todoku key add --admin"},
        {"192.0.2.77:0", "todoku key add --admin"},
        {"nonsense", "no address"},
        {NULL, "another program has this port"},
    };
    open_door(false);
    char used[40];
    snprintf(used, sizeof used, "127.0.0.1:%d", port);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct api api = {.settings = settings, .make_id = make_id};
        struct setting_listener listener = {.listen = rows[i].listen == NULL ? used : (char *)rows[i].listen};
        struct error error = {0};
        assert_null(http_start(&api, &face, &listener, &error));
        if (strstr(error.text, rows[i].says) == NULL)
            fail_msg("%s: %s", listener.listen, error.text);
    }
}

/* HTTPS: the first answer under TLS, with our own client side. */
static void under_tls(void **state)
{
    (void)state;
    char folder[] = "/tmp/todoku-http-XXXXXX", cert[64], key[64];
    struct error error = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    assert_int_equal(certificate_make("localhost", cert, key), 0);
    struct api api = {.settings = settings, .make_id = make_id};
    struct setting_listener listener = {.listen = (char *)"127.0.0.1:0", .tls_cert = cert, .tls_key = key};
    http = http_start(&api, &face, &listener, &error);
    assert_string_equal(error.text, "");
    port = http_port(http);
    int fd = dial();
    struct tls_context *context = tls_context_client(&error);
    struct tls_session *session = tls_session_new(context, "localhost");
    struct buffer plain = {0}, cipher = {0};
    char bytes[8 * KIB];
    tls_session_receive(session, "", 0, &plain, &cipher);
    const char ask[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (bool asked = false; strstr(buffer_text(&plain), "ok\n") == NULL;) {
        if (!asked && tls_session_status(session) == TLS_UP) {
            assert_int_equal(tls_session_send(session, ask, sizeof ask - 1, &cipher), 0);
            asked = true;
        }
        say(fd, buffer_bytes(&cipher), buffer_len(&cipher));
        buffer_clear(&cipher);
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        assert_true(n > 0);
        assert_int_not_equal(tls_session_receive(session, bytes, (size_t)n, &plain, &cipher), TLS_BROKEN);
    }
    tls_session_free(&session);
    tls_context_free(&context);
    buffer_free(&plain);
    buffer_free(&cipher);
    close(fd);
    unlink(cert);
    unlink(key);
    rmdir(folder);
}

static int read_settings(void **state)
{
    (void)state;
    struct fault *faults = NULL;
    size_t count = 0;
    settings = settings_parse(config, sizeof config - 1, "test.yaml", &faults, &count);
    free(faults);
    return settings == NULL ? -1 : 0;
}

static int drop_settings(void **state)
{
    (void)state;
    settings_free(&settings);
    return 0;
}

/* The store answers within the call here: the connection is resumed before it has been left. */
static void the_configuration_goes_through_the_door(void **state)
{
    (void)state;
    static const char text[] =
        "pools: { a: {} }\ntenants: [{ id: acme, pools: [a], domains: [acme.example] }]\n";
    struct kv_help store = {.revision = 1};
    struct kv kv = kv_help_face(&store);
    struct api_admin admin = {.kv = &kv, .cluster = "prod"};
    char *answer, *big = xcalloc(1, KIB * KIB);
    api_admin = &admin;
    open_door(false);
    api_admin = NULL;
    for (int i = 1; i <= 20; i++) {
        assert_int_equal(
            request("POST /v1/config", "Content-Type: application/yaml\r\n", text, sizeof text - 1, &answer),
            200);
        free(answer);
    }
    assert_int_equal(request("GET /v1/config", "Accept: application/yaml\r\n", NULL, 0, &answer), 200);
    assert_non_null(strstr(answer, "Content-Type: application/yaml"));
    assert_non_null(strstr(answer, text));
    free(answer);
    assert_int_equal(
        request("GET /v1/config/history", "Accept: application/x-ndjson\r\n", NULL, 0, &answer), 200);
    assert_non_null(strstr(answer, "{\"version\":20,"));
    free(answer);
    assert_int_equal(request("POST /v1/config/rollback", JSON, "{\"version\":1}", 13, &answer), 200);
    assert_non_null(strstr(answer, "\"version\":21"));
    free(answer);
    memset(big, '#', KIB * KIB);
    assert_int_equal(
        request("POST /v1/config", "Content-Type: application/yaml\r\n", big, KIB * KIB, &answer), 413);
    assert_non_null(strstr(answer, "768 KiB"));
    free(answer);
    free(big);
    http_stop(&http);
    kv_help_end(&store);
}

#define with_front(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_front(the_configuration_goes_through_the_door),
        with_front(pages_and_listings),
        with_front(messages_are_taken_after_the_front_said_so),
        with_front(keys_open_what_is_theirs),
        with_front(big_bodies),
        with_front(broken_requests_do_no_harm),
        with_front(connections_are_kept),
        with_front(events_flow),
        with_front(streams_are_counted),
        with_front(closing_answers_who_waits),
        with_front(the_door_opens_only_where_it_may),
        with_front(under_tls),
    };
    return cmocka_run_group_tests_name("http", tests, read_settings, drop_settings);
}
