/* Streams on real sockets of 127.0.0.0/8: both ends are ours, on one loop. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/stream_inside_uv.h"
#include "tests/unit/certificate_ossl.h"

#define LIMIT_MS 20000

/* One end, and everything it was told. */
struct end {
    struct stream *stream; /* null after `closed` */
    struct buffer got;
    size_t got_len; /* where `got` is not kept */
    bool keep;
    int connected, writable, secured, secured_ok, closed;
    char why[200], detail[200];
    bool close_on_connect, echo;
    uv_loop_t *loop;
};

static uv_loop_t loop;
static uv_timer_t limit;
static struct end server, client;
static struct listener *listener;
static struct tls_context *client_tls, *server_tls;
static char folder[64], cert[80], key[80];
static bool refuse;
static char seen_peer[64];

static void on_connected(void *context)
{
    struct end *end = context;
    end->connected++;
    if (end->close_on_connect)
        stream_close(end->stream, false);
}

static void on_received(void *context, const char *bytes, size_t len)
{
    struct end *end = context;
    assert_int_equal(end->closed, 0);
    end->got_len += len;
    if (end->keep)
        buffer_add(&end->got, bytes, len);
    if (end->echo)
        assert_true(stream_write_copy(end->stream, bytes, len));
}

static void on_writable(void *context)
{
    struct end *end = context;
    end->writable++;
    assert_false(stream_writing(end->stream));
}

static void on_secured(void *context, bool ok, const char *detail)
{
    struct end *end = context;
    end->secured++;
    end->secured_ok += ok;
    snprintf(end->detail, sizeof end->detail, "%s", detail);
}

static void on_closed(void *context, const char *why)
{
    struct end *end = context;
    end->closed++;
    end->stream = NULL;
    snprintf(end->why, sizeof end->why, "%s", why);
}

static const struct stream_calls calls = {on_connected, on_received, on_writable, on_secured, on_closed};

static bool on_accepted(void *context, struct stream *stream, const char *peer,
    const struct sockaddr *peer_address, const struct stream_calls **calls_r, void **context_r,
    const char **refusal_r)
{
    (void)context;
    assert_int_equal(peer_address->sa_family, AF_INET);
    snprintf(seen_peer, sizeof seen_peer, "%s", peer);
    *refusal_r = "421 too many\r\n";
    if (refuse)
        return false;
    server.stream = stream;
    *calls_r = &calls;
    *context_r = &server;
    return true;
}

static const struct listener_calls listener_calls = {on_accepted};

static void on_nothing(uv_timer_t *timer)
{
    (void)timer;
}

static void on_limit(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing happened for %d ms", LIMIT_MS);
}

/* Runs the loop until `condition` holds. */
#define until(condition)                                                                                     \
    do {                                                                                                     \
        while (!(condition))                                                                                 \
            uv_run(&loop, UV_RUN_ONCE);                                                                      \
    } while (0)

static struct sockaddr_in address(const char *text, int port)
{
    struct sockaddr_in out = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, text, &out.sin_addr);
    return out;
}

static void start_client(const char *source, int port, usec_t timeout)
{
    struct sockaddr_in from = address(source, 0), to = address("127.0.0.1", port);
    struct error error = {0};
    client.stream = stream_connect(
        &loop, (struct sockaddr *)&from, (struct sockaddr *)&to, timeout, &calls, &client, &error);
    assert_string_equal(error.text, "");
    assert_non_null(client.stream);
}

static void meet(void)
{
    start_client("127.0.0.1", listener_port(listener), 5 * USEC_SEC);
    until(client.connected == 1 && server.stream != NULL);
}

static void secure(void)
{
    stream_start_tls(server.stream, server_tls, true, NULL);
    stream_start_tls(client.stream, client_tls, false, "mx.receiver.example");
    until(client.secured == 1 && server.secured == 1);
    assert_int_equal(client.secured_ok + server.secured_ok, 2);
}

static int set_up(void **state)
{
    (void)state;
    struct error error = {0};
    uv_loop_init(&loop);
    loop.data = NULL;
    uv_timer_init(&loop, &limit);
    uv_timer_start(&limit, on_limit, LIMIT_MS, 0);
    uv_unref((uv_handle_t *)&limit);
    memset(&server, 0, sizeof server);
    memset(&client, 0, sizeof client);
    server.keep = client.keep = true;
    refuse = false;
    listener = listener_start(&loop, "127.0.0.1:0", &listener_calls, NULL, &error);
    client_tls = tls_context_client(&error);
    server_tls = tls_context_server(cert, key, &error);
    return listener == NULL || client_tls == NULL || server_tls == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (client.stream != NULL)
        stream_close(client.stream, false);
    if (server.stream != NULL)
        stream_close(server.stream, false);
    listener_stop(&listener);
    uv_close((uv_handle_t *)&limit, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    tls_context_free(&client_tls);
    tls_context_free(&server_tls);
    buffer_free(&server.got);
    buffer_free(&client.got);
    return uv_loop_close(&loop) == 0 && client.closed <= 1 && server.closed <= 1 ? 0 : -1;
}

static void the_peer_sees_the_source(void **state)
{
    (void)state;
    start_client("127.0.0.7", listener_port(listener), 5 * USEC_SEC);
    until(client.connected == 1 && server.stream != NULL);
    assert_string_equal(seen_peer, "127.0.0.7");
    assert_string_equal(stream_peer(server.stream), "127.0.0.7");
    assert_string_equal(stream_peer(client.stream), "127.0.0.1");
    assert_int_equal(stream_peer_port(client.stream), listener_port(listener));
    assert_true(stream_write_copy(client.stream, "EHLO a\r\n", 8));
    until(server.got_len == 8);
    assert_string_equal(buffer_text(&server.got), "EHLO a\r\n");
}

static void a_foreign_source_is_no_start(void **state)
{
    (void)state;
    struct sockaddr_in from = address("192.0.2.55", 0), to = address("127.0.0.1", listener_port(listener));
    struct error error = {0};
    assert_null(
        stream_connect(&loop, (struct sockaddr *)&from, (struct sockaddr *)&to, 0, &calls, &client, &error));
    assert_non_null(strstr(error.text, "cannot send from 192.0.2.55: address not available"));
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(client.closed, 0);
}

static void nobody_listens(void **state)
{
    (void)state;
    int port = listener_port(listener);
    listener_stop(&listener);
    uv_run(&loop, UV_RUN_NOWAIT);
    start_client("127.0.0.1", port, 5 * USEC_SEC);
    assert_int_equal(client.closed, 0);
    until(client.closed == 1);
    assert_int_equal(client.connected, 0);
    assert_string_equal(client.why, "connection refused");
}

/* A socket that listens with a backlog of nothing and never accepts: what comes after the first few gets no
 * answer. */
static void a_peer_that_does_not_answer(void **state)
{
    (void)state;
    struct sockaddr_in own = address("127.0.0.1", 0);
    socklen_t len = sizeof own;
    int deaf = socket(AF_INET, SOCK_STREAM, 0), fill[4];
    assert_int_equal(bind(deaf, (struct sockaddr *)&own, len), 0);
    assert_int_equal(listen(deaf, 0), 0);
    assert_int_equal(getsockname(deaf, (struct sockaddr *)&own, &len), 0);
    for (int i = 0; i < 4; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fill[i], (struct sockaddr *)&own, len);
    }
    start_client("127.0.0.1", ntohs(own.sin_port), 200 * USEC_MS);
    uint64_t before = uv_now(&loop);
    until(client.closed == 1);
    assert_string_equal(client.why, "connection timed out after 0.2 s");
    assert_in_range(uv_now(&loop) - before, 150, 2000);
    for (int i = 0; i < 4; i++)
        close(fill[i]);
    close(deaf);
}

static void closing_while_connecting(void **state)
{
    (void)state;
    start_client("127.0.0.1", listener_port(listener), 5 * USEC_SEC);
    stream_close(client.stream, true);
    stream_close(client.stream, false);
    assert_int_equal(client.closed, 0);
    until(client.closed == 1);
    assert_int_equal(client.connected, 0);
    assert_string_equal(client.why, "");
}

static void closing_from_within_a_call(void **state)
{
    (void)state;
    client.close_on_connect = true;
    start_client("127.0.0.1", listener_port(listener), 5 * USEC_SEC);
    until(client.closed == 1 && server.closed == 1);
    assert_int_equal(client.connected, 1);
    assert_string_equal(client.why, "");
    assert_string_equal(server.why, "the peer closed the connection");
}

/* Writes `len` bytes in uneven segments to a reader that pauses now and then; all must come, in order. */
static void write_much(size_t len)
{
    char *sent = xmalloc(len);
    for (size_t i = 0; i < len; i++)
        sent[i] = (char)((i * 2654435761u) >> 13);
    stream_pause(server.stream, true);
    size_t at = 0, most = 0;
    int writables = 0, pauses = 0;
    while (at < len || server.got_len < len) {
        if (at < len && !stream_writing(client.stream)) {
            struct iovec segments[6];
            size_t sizes[6] = {300, 0, 40000, 17, 1500000, 5}, count = 0, next = at;
            for (; count < 6 && next < len; count++) {
                size_t n = sizes[count] < len - next ? sizes[count] : len - next;
                segments[count] = (struct iovec){sent + next, n};
                next += n;
            }
            at += stream_write(client.stream, segments, count);
            if (stream_writing(client.stream)) {
                most = len - server.got_len;
                writables++;
            }
        } else if (stream_writing(client.stream)) {
            /* Nothing is taken while the queue is full. */
            struct iovec more = {sent + at, STREAM_MAX_QUEUED};
            if (at + STREAM_MAX_QUEUED <= len)
                at += stream_write(client.stream, &more, 1);
            struct iovec again = {sent + at, at < len ? 1 : 0};
            size_t took = at < len ? stream_write(client.stream, &again, 1) : 0;
            assert_true(took <= 1);
            at += took;
            stream_pause(server.stream, pauses++ % 3 == 0);
        }
        if (at == len)
            stream_pause(server.stream, false);
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(server.got_len, len);
    assert_memory_equal(buffer_bytes(&server.got), sent, len);
    assert_true(writables > 0 && client.writable > 0 && most > 0);
    free(sent);
}

/* The loop must sleep, too, while a paused stream has something to read. */
static void a_paused_stream_hears_nothing(void **state)
{
    (void)state;
    meet();
    for (int i = 1; i <= 3; i++) {
        stream_pause(server.stream, true);
        assert_true(stream_write_copy(client.stream, "more", 4));
        uint64_t before = uv_now(&loop);
        int turns = 0;
        uv_timer_t timer;
        uv_timer_init(&loop, &timer);
        uv_timer_start(&timer, on_nothing, 50, 0);
        for (; uv_now(&loop) - before < 50; turns++)
            uv_run(&loop, UV_RUN_ONCE);
        uv_close((uv_handle_t *)&timer, NULL);
        uv_run(&loop, UV_RUN_NOWAIT);
        assert_true(turns < 10);
        assert_int_equal(server.got_len, 4 * (i - 1));
        stream_pause(server.stream, false);
        until(server.got_len == 4 * (size_t)i);
        /* A pause that nobody talks into. */
        stream_pause(server.stream, true);
        stream_pause(server.stream, false);
    }
}

static void big_writes_to_a_slow_reader(void **state)
{
    (void)state;
    meet();
    write_much(30u << 20);
}

static void big_writes_under_tls(void **state)
{
    (void)state;
    meet();
    secure();
    write_much(30u << 20);
}

static void a_full_queue_takes_no_more(void **state)
{
    (void)state;
    meet();
    stream_pause(server.stream, true);
    size_t len = 16u << 20, took = 0;
    char *bytes = xcalloc(1, len);
    struct iovec all = {bytes, len};
    for (size_t n; (n = stream_write(client.stream, &all, 1)) > 0;)
        took += n;
    assert_true(stream_writing(client.stream));
    assert_false(stream_write_copy(client.stream, bytes, 1000));
    assert_true(took >= STREAM_MAX_QUEUED - 4096);
    server.keep = false;
    stream_pause(server.stream, false);
    until(server.got_len == took && client.writable == 1);
    assert_true(stream_write_copy(client.stream, bytes, 1000));
    until(server.got_len == took + 1000);
    stream_close(client.stream, false);
    until(client.closed == 1);
    free(bytes);
}

static void a_gentle_close_sends_all(void **state)
{
    (void)state;
    for (int tls = 0; tls <= 1; tls++) {
        server.got_len = 0;
        meet();
        if (tls)
            secure();
        size_t len = 4u << 20, took;
        char *bytes = xcalloc(1, len);
        struct iovec all = {bytes, len};
        stream_pause(server.stream, true);
        server.keep = false;
        took = stream_write(client.stream, &all, 1);
        assert_true(took > 0 && stream_writing(client.stream));
        stream_close(client.stream, true);
        assert_int_equal(stream_write(client.stream, &all, 1), 0);
        assert_false(stream_write_copy(client.stream, "x", 1));
        stream_pause(server.stream, false);
        until(client.closed == 1 && server.closed == 1);
        assert_int_equal(server.got_len, took);
        assert_string_equal(client.why, "");
        assert_string_equal(server.why, "the peer closed the connection");
        free(bytes);
        memset(&client, 0, sizeof client);
        buffer_free(&server.got);
        memset(&server, 0, sizeof server);
    }
}

/* The last words must not be overtaken by the reset that unread input would cause. */
static void a_gentle_close_while_the_peer_talks(void **state)
{
    (void)state;
    meet();
    char noise[30000] = {0};
    assert_true(stream_write_copy(client.stream, noise, sizeof noise));
    assert_true(stream_write_copy(server.stream, "421 bye\r\n", 9));
    stream_close(server.stream, true);
    until(client.closed == 1 && server.closed == 1);
    assert_string_equal(buffer_text(&client.got), "421 bye\r\n");
    assert_string_equal(server.why, "");
    assert_int_equal(server.got_len, 0);
}

static void a_gentle_close_does_not_wait_for_ever(void **state)
{
    (void)state;
    meet();
    stream_pause(server.stream, true);
    uint64_t before = uv_now(&loop);
    stream_close(client.stream, true);
    until(client.closed == 1);
    assert_in_range(uv_now(&loop) - before, 4900, 8000);
}

/* A peer that shuts down its side still gets what is queued for it. */
static void a_half_closed_peer_gets_the_rest(void **state)
{
    (void)state;
    struct sockaddr_in to = address("127.0.0.1", listener_port(listener));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    until(server.stream != NULL);
    size_t len = 16u << 20, got = 0;
    char *bytes = xcalloc(1, len);
    struct iovec all = {bytes, len};
    size_t took = stream_write(server.stream, &all, 1);
    assert_true(stream_writing(server.stream));
    shutdown(fd, SHUT_WR);
    for (ssize_t n = 1; n != 0;) {
        uv_run(&loop, UV_RUN_NOWAIT);
        n = recv(fd, bytes, len, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
    }
    assert_int_equal(got, took);
    until(server.closed == 1);
    assert_string_equal(server.why, "the peer closed the connection");
    close(fd);
    free(bytes);
}

static void a_reset_is_told(void **state)
{
    (void)state;
    struct sockaddr_in to = address("127.0.0.1", listener_port(listener));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    until(server.stream != NULL);
    struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
    until(server.closed == 1);
    assert_string_equal(server.why, "connection reset by peer");
}

/* Words for a peer that is gone break the stream, once, and nothing else. */
static void writing_to_a_peer_that_is_gone(void **state)
{
    (void)state;
    struct sockaddr_in to = address("127.0.0.1", listener_port(listener));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    until(server.stream != NULL);
    struct linger now = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
    usleep(20000);
    assert_false(stream_write_copy(server.stream, "250 ok\r\n", 8));
    assert_false(stream_write_copy(server.stream, "250 ok\r\n", 8));
    struct iovec more = {(char *)"x", 1};
    assert_int_equal(stream_write(server.stream, &more, 1), 0);
    assert_int_equal(server.closed, 0);
    stream_close(server.stream, true);
    until(server.closed == 1);
    assert_string_equal(server.why, "connection reset by peer");
}

static void a_refused_peer_is_told_why(void **state)
{
    (void)state;
    refuse = true;
    start_client("127.0.0.1", listener_port(listener), 5 * USEC_SEC);
    until(client.closed == 1);
    assert_string_equal(buffer_text(&client.got), "421 too many\r\n");
    assert_null(server.stream);
}

static void tls_after_plain_words(void **state)
{
    (void)state;
    meet();
    assert_true(stream_write_copy(client.stream, "STARTTLS\r\n", 10));
    until(server.got_len == 10);
    assert_true(stream_write_copy(server.stream, "220 go\r\n", 8));
    stream_start_tls(server.stream, server_tls, true, NULL);
    assert_null(stream_tls(server.stream));
    until(client.got_len == 8);
    stream_start_tls(client.stream, client_tls, false, "mx.receiver.example");
    assert_false(stream_write_copy(client.stream, "too early", 9));
    until(client.secured == 1 && server.secured == 1);
    assert_int_equal(strncmp(client.detail, "TLSv1.3", 7), 0);
    assert_non_null(stream_tls(client.stream));
    server.echo = true;
    assert_true(stream_write_copy(client.stream, "EHLO again\r\n", 12));
    until(client.got_len == 20);
    assert_string_equal(buffer_text(&client.got), "220 go\r\nEHLO again\r\n");
}

/* A record costs 22 bytes (RFC 8446 section 5.2), and time: what fits into one goes in one. Seen by what has come
 * and was not read. */
static void small_segments_share_a_record(void **state)
{
    (void)state;
    static const size_t rows[][3] = {{30, 10, 1}, {600, 10240, 1}, {600, 15784, 1}, {600, 15785, 2}};
    static char sent[16384];
    meet();
    secure();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct iovec segments[] = {{sent, rows[i][0]}, {sent, rows[i][1]}};
        size_t all = rows[i][0] + rows[i][1], got = server.got_len;
        uv_os_fd_t fd;
        int unread = 0;
        assert_int_equal(uv_fileno((const uv_handle_t *)&server.stream->tcp, &fd), 0);
        stream_pause(server.stream, true);
        assert_int_equal(stream_write(client.stream, segments, 2), all);
        until(ioctl(fd, FIONREAD, &unread) != 0 || (size_t)unread > all);
        assert_int_equal(unread, all + 22 * rows[i][2]);
        stream_pause(server.stream, false);
        until(server.got_len == got + all);
    }
}

static void a_handshake_that_fails(void **state)
{
    (void)state;
    meet();
    stream_start_tls(client.stream, client_tls, false, "mx.receiver.example");
    until(server.got_len > 0);
    assert_true(stream_write_copy(server.stream, "454 no\r\n", 8));
    until(client.closed == 1);
    assert_int_equal(client.secured, 1);
    assert_int_equal(client.secured_ok, 0);
    assert_non_null(strstr(client.detail, "TLS handshake failed"));
    assert_non_null(strstr(client.why, "TLS handshake failed"));
}

static void a_handshake_cut_off(void **state)
{
    (void)state;
    meet();
    stream_start_tls(client.stream, client_tls, false, "mx.receiver.example");
    until(server.got_len > 0);
    stream_close(server.stream, false);
    until(client.closed == 1);
    assert_int_equal(client.secured, 1);
    assert_int_equal(client.secured_ok, 0);
}

static void a_port_in_use_is_explained(void **state)
{
    (void)state;
    char text[40];
    struct error error = {0};
    snprintf(text, sizeof text, "127.0.0.1:%d", listener_port(listener));
    assert_null(listener_start(&loop, text, &listener_calls, NULL, &error));
    assert_non_null(strstr(error.text, text));
    assert_non_null(strstr(error.text, "another program has this port"));
    assert_null(listener_start(&loop, "localhost:25", &listener_calls, NULL, &error));
    assert_non_null(strstr(error.text, "\"localhost:25\" is no address"));
}

static void addresses_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host;
        int port;
    } rows[] = {
        {"192.0.2.1:25", "192.0.2.1", 25},
        {"192.0.2.1", "192.0.2.1", 2525},
        {"[::1]:8025", "::1", 8025},
        {"[2001:DB8::1]", "2001:db8::1", 2525},
        {"2001:db8::2", "2001:db8::2", 2525},
        {"0.0.0.0:0", "0.0.0.0", 0},
        {"192.0.2.1:65536", NULL, 0},
        {"192.0.2.1:", NULL, 0},
        {"192.0.2.1:+5", NULL, 0},
        {"192.0.2.1: 5", NULL, 0},
        {"192.0.2.1:25x", NULL, 0},
        {"192.0.2.256:25", NULL, 0},
        {"[192.0.2.1]:25", NULL, 0},
        {"[::1", NULL, 0},
        {"[::1]25", NULL, 0},
        {":25", NULL, 0},
        {"", NULL, 0},
        {"host.example:25", NULL, 0},
        {"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111", NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sockaddr_storage out;
        socklen_t len;
        struct error error = {0};
        char host[46];
        int rc = stream_parse_address(rows[i].text, 2525, &out, &len, &error);
        if (rows[i].host == NULL) {
            assert_int_equal(rc, -1);
            assert_non_null(strstr(error.text, "write it like"));
            continue;
        }
        assert_int_equal(rc, 0);
        assert_int_equal(stream_format_address((struct sockaddr *)&out, host), rows[i].port);
        assert_string_equal(host, rows[i].host);
    }
}

static int make_certificate(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    strcpy(folder, "/tmp/todoku-stream-XXXXXX");
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    return certificate_make("mx.receiver.example", cert, key);
}

static int drop_certificate(void **state)
{
    (void)state;
    unlink(cert);
    unlink(key);
    return rmdir(folder);
}

#define on_a_loop(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_loop(the_peer_sees_the_source),
        on_a_loop(a_foreign_source_is_no_start),
        on_a_loop(nobody_listens),
        on_a_loop(a_peer_that_does_not_answer),
        on_a_loop(closing_while_connecting),
        on_a_loop(closing_from_within_a_call),
        on_a_loop(a_paused_stream_hears_nothing),
        on_a_loop(big_writes_to_a_slow_reader),
        on_a_loop(big_writes_under_tls),
        on_a_loop(a_full_queue_takes_no_more),
        on_a_loop(a_gentle_close_sends_all),
        on_a_loop(a_gentle_close_while_the_peer_talks),
        on_a_loop(a_gentle_close_does_not_wait_for_ever),
        on_a_loop(a_half_closed_peer_gets_the_rest),
        on_a_loop(a_reset_is_told),
        on_a_loop(writing_to_a_peer_that_is_gone),
        on_a_loop(a_refused_peer_is_told_why),
        on_a_loop(tls_after_plain_words),
        on_a_loop(small_segments_share_a_record),
        on_a_loop(a_handshake_that_fails),
        on_a_loop(a_handshake_cut_off),
        on_a_loop(a_port_in_use_is_explained),
        cmocka_unit_test(addresses_are_read),
    };
    return cmocka_run_group_tests_name("stream", tests, make_certificate, drop_certificate);
}
