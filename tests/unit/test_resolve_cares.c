/* The door to DNS against a real server on 127.0.0.1 that answers, is silent, babbles and cuts.
 *
 * The server is a thread of this test with one UDP and one TCP socket on the same port; what it does is said
 * by the first label of the name asked for. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include <cmocka.h>

#include "dns_packet.h"
#include "node/resolve_cares.h"

/* ---- the server ---- */

static struct server {
    pthread_t thread;
    int udp, tcp, port;
    atomic_bool stop;
    atomic_int udp_questions, tcp_questions;
} server;

/* The packet for a question; its length 0 = stay silent. */
static struct dns_packet make_answer(const uint8_t *question, size_t len, bool tcp)
{
    char name[DNS_NAME_SIZE] = "";
    size_t at = 12, used = 0;
    while (at < len && question[at] != 0 && at + question[at] + 1 < len) {
        used += (size_t)snprintf(name + used, sizeof name - used, "%s%.*s", used > 0 ? "." : "", question[at],
            (const char *)question + at + 1);
        at += question[at] + 1u;
    }
    enum dns_type type = (enum dns_type)question[at + 2];
    struct dns_packet p =
        dns_packet_answer(name, type, strncmp(name, "servfail", 8) == 0 ? DNS_SERVFAIL : DNS_NOERROR);
    if (strncmp(name, "nodata", 6) == 0)
        dns_packet_soa(&p, "test", 77, 77);
    else if (strncmp(name, "nx", 2) == 0)
        p = dns_packet_answer(name, type, DNS_NXDOMAIN);
    else if (type == DNS_MX)
        for (int i = 0; i < (strncmp(name, "cut", 3) == 0 ? 40 : 1); i++)
            dns_packet_mx(&p, name, 300, (unsigned)i, "mx.test");
    else if (type == DNS_A)
        dns_packet_address(&p, name, 300, "127.0.0.9");
    memcpy(p.bytes, question, 2);
    if (strncmp(name, "cut", 3) == 0 && !tcp) {
        p.bytes[2] |= 2;
        p.len = 100;
    }
    if (strncmp(name, "garbage", 7) == 0)
        memset(p.bytes + 2, 0xff, p.len - 2);
    if (strncmp(name, "silent", 6) == 0)
        p.len = 0;
    return p;
}

static void serve_udp(void)
{
    uint8_t question[1500];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    ssize_t n = recvfrom(server.udp, question, sizeof question, 0, (struct sockaddr *)&from, &from_len);
    if (n < 17)
        return;
    server.udp_questions++;
    struct dns_packet p = make_answer(question, (size_t)n, false);
    if (p.len > 0)
        sendto(server.udp, p.bytes, p.len, 0, (struct sockaddr *)&from, from_len);
}

static void serve_tcp(void)
{
    uint8_t question[1500], front[2];
    int fd = accept(server.tcp, NULL, NULL);
    struct timeval second = {.tv_sec = 1};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    if (fd < 0)
        return;
    size_t got = 0;
    for (ssize_t n = 1; n > 0 && (got < 2 || got < 2 + (size_t)(question[0] << 8 | question[1]));) {
        n = recv(fd, question + got, sizeof question - got, 0);
        got += n > 0 ? (size_t)n : 0;
    }
    if (got > 19) {
        server.tcp_questions++;
        struct dns_packet p = make_answer(question + 2, got - 2, true);
        front[0] = (uint8_t)(p.len >> 8);
        front[1] = (uint8_t)p.len;
        send(fd, front, 2, MSG_NOSIGNAL);
        send(fd, p.bytes, p.len, MSG_NOSIGNAL);
    }
    close(fd);
}

static void *serve(void *unused)
{
    (void)unused;
    while (!server.stop) {
        struct pollfd fds[2] = {{server.udp, POLLIN, 0}, {server.tcp, POLLIN, 0}};
        poll(fds, 2, 20);
        if (fds[0].revents != 0)
            serve_udp();
        if (fds[1].revents != 0)
            serve_tcp();
    }
    return NULL;
}

static int start_server(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    for (int tries = 0; tries < 20; tries++) {
        server.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        server.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        address.sin_port = 0;
        assert_int_equal(bind(server.udp, (struct sockaddr *)&address, len), 0);
        assert_int_equal(getsockname(server.udp, (struct sockaddr *)&address, &len), 0);
        server.port = ntohs(address.sin_port);
        if (bind(server.tcp, (struct sockaddr *)&address, len) == 0 && listen(server.tcp, 16) == 0)
            return pthread_create(&server.thread, NULL, serve, NULL);
        close(server.udp);
        close(server.tcp);
    }
    return -1;
}

static int stop_server(void **state)
{
    (void)state;
    server.stop = true;
    pthread_join(server.thread, NULL);
    close(server.udp);
    close(server.tcp);
    return 0;
}

/* ---- the owner ---- */

static struct owner {
    uv_loop_t loop;
    struct resolver_cares *door;
    struct resolve *core;
    bool asking, late; /* within resolver_cares_ask; the loop's guard has fired */
    int answered, by_status[MX_TEMPORARY + 1];
    char why[256], host[DNS_NAME_SIZE];
    usec_t life;
    uv_timer_t guard;
} o;

static void on_ask(void *context, const char *name, enum dns_type type)
{
    (void)context;
    o.asking = true;
    resolver_cares_ask(o.door, name, type);
    o.asking = false;
}

static void on_answered(void *context, const char *domain, struct mx_answer *answer)
{
    (void)context;
    (void)domain;
    assert_false(o.asking);
    o.answered++;
    o.by_status[answer->status]++;
    o.life = answer->expires - clock_now();
    snprintf(o.why, sizeof o.why, "%s", answer->why);
    if (answer->host_count > 0)
        snprintf(o.host, sizeof o.host, "%s", answer->hosts[0].name);
}

static void on_guard(uv_timer_t *timer)
{
    (void)timer;
    o.late = true;
}

static void start_door(int port, usec_t timeout)
{
    char text[32];
    const char *servers[] = {text};
    struct error error;
    const struct resolve_ports ports = {&o, on_ask, on_answered};
    snprintf(text, sizeof text, "127.0.0.1:%d", port);
    o = (struct owner){.door = NULL};
    assert_int_equal(uv_loop_init(&o.loop), 0);
    o.door = resolver_cares_start(&o.loop, servers, 1, timeout, &error);
    assert_non_null(o.door);
    o.core = resolve_new(&ports, NULL, 0);
    resolver_cares_attach(o.door, o.core);
    uv_timer_init(&o.loop, &o.guard);
}

static void run_until_answered(int count, uint64_t most_ms)
{
    uv_timer_start(&o.guard, on_guard, most_ms, 0);
    while (o.answered < count && !o.late)
        uv_run(&o.loop, UV_RUN_ONCE);
    uv_timer_stop(&o.guard);
    assert_int_equal(o.answered, count);
}

/* The loop must end by itself: every handle is closed. */
static void stop_door(void)
{
    resolver_cares_stop(&o.door);
    assert_null(o.door);
    uv_close((uv_handle_t *)&o.guard, NULL);
    for (int turns = 0; uv_run(&o.loop, UV_RUN_NOWAIT) != 0; turns++)
        assert_true(turns < 100);
    assert_int_equal(uv_loop_close(&o.loop), 0);
    resolve_free(&o.core);
}

static void answers_come_back(void **state)
{
    (void)state;
    start_door(server.port, 5 * USEC_SEC);
    resolve_domain(o.core, "good.test", clock_now());
    assert_int_equal(o.answered, 0);
    run_until_answered(1, 5000);
    assert_int_equal(o.by_status[MX_OK], 1);
    assert_string_equal(o.host, "mx.test");
    stop_door();
}

static void a_no_comes_with_its_ttl(void **state)
{
    (void)state;
    start_door(server.port, 5 * USEC_SEC);
    resolve_domain(o.core, "nodata.test", clock_now());
    run_until_answered(1, 5000);
    assert_int_equal(o.by_status[MX_NO_DOMAIN], 1);
    assert_true(o.life > 70 * USEC_SEC && o.life <= 77 * USEC_SEC);
    resolve_domain(o.core, "nx.test", clock_now());
    run_until_answered(2, 5000);
    assert_int_equal(o.by_status[MX_NO_DOMAIN], 2);
    stop_door();
}

static void a_failing_server_is_temporary(void **state)
{
    (void)state;
    start_door(server.port, 5 * USEC_SEC);
    resolve_domain(o.core, "servfail.test", clock_now());
    run_until_answered(1, 5000);
    assert_int_equal(o.by_status[MX_TEMPORARY], 1);
    stop_door();
}

static void silence_ends_with_the_timeout(void **state)
{
    (void)state;
    static const char *const names[] = {"silent.test", "garbage.test"};
    for (int i = 0; i < 2; i++) {
        start_door(server.port, 600 * USEC_MS);
        usec_t begin = clock_now();
        resolve_domain(o.core, names[i], begin);
        run_until_answered(1, 5000);
        usec_t took = clock_now() - begin;
        assert_int_equal(o.by_status[MX_TEMPORARY], 1);
        if (i == 0) {
            assert_true(took > 400 * USEC_MS);
            assert_non_null(strstr(o.why, "no DNS server answered within 600 ms"));
        }
        assert_true(took < 1500 * USEC_MS);
        stop_door();
    }
}

static void nobody_there_is_temporary(void **state)
{
    (void)state;
    start_door(1, 600 * USEC_MS);
    resolve_domain(o.core, "good.test", clock_now());
    run_until_answered(1, 5000);
    assert_int_equal(o.by_status[MX_TEMPORARY], 1);
    stop_door();
}

static void what_is_cut_is_asked_again_over_tcp(void **state)
{
    (void)state;
    int before = server.tcp_questions;
    start_door(server.port, 5 * USEC_SEC);
    resolve_domain(o.core, "cut.test", clock_now());
    run_until_answered(1, 5000);
    assert_int_equal(o.by_status[MX_OK], 1);
    assert_true(server.tcp_questions > before);
    stop_door();
}

static void thousands_of_questions_take_their_turns(void **state)
{
    (void)state;
    char name[32];
    start_door(server.port, 20 * USEC_SEC);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "many%d.test", i);
        resolve_domain(o.core, name, clock_now());
    }
    run_until_answered(3000, 30000);
    assert_int_equal(o.by_status[MX_OK], 3000);
    stop_door();
}

static void stopping_with_questions_under_way_calls_nobody(void **state)
{
    (void)state;
    char name[32];
    start_door(server.port, 20 * USEC_SEC);
    for (int i = 0; i < 700; i++) {
        snprintf(name, sizeof name, "silent%d.test", i);
        resolve_domain(o.core, name, clock_now());
    }
    for (int i = 0; i < 5; i++)
        uv_run(&o.loop, UV_RUN_NOWAIT);
    stop_door();
    assert_int_equal(o.answered, 0);
}

static void bad_servers_are_told(void **state)
{
    (void)state;
    static const char *const bad[] = {"dns.example", "127.0.0.1:x", "", "127.0.0.1,127.0.0.2"};
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct error error = {""};
        struct resolver_cares *door = resolver_cares_start(&loop, &bad[i], 1, USEC_SEC, &error);
        if (door != NULL)
            print_message("taken: \"%s\"\n", bad[i]);
        assert_null(door);
        assert_non_null(strstr(error.text, "resolver.servers"));
    }
    static const char *const good[] = {"127.0.0.1", "[::1]:5353", "::1", "127.0.0.53:5353"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct resolver_cares *door = resolver_cares_start(&loop, &good[i], 1, USEC_SEC, NULL);
        assert_non_null(door);
        resolver_cares_stop(&door);
    }
    struct resolver_cares *door = resolver_cares_start(&loop, NULL, 0, USEC_SEC, NULL);
    assert_non_null(door);
    resolver_cares_stop(&door);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_come_back),
        cmocka_unit_test(a_no_comes_with_its_ttl),
        cmocka_unit_test(a_failing_server_is_temporary),
        cmocka_unit_test(silence_ends_with_the_timeout),
        cmocka_unit_test(nobody_there_is_temporary),
        cmocka_unit_test(what_is_cut_is_asked_again_over_tcp),
        cmocka_unit_test(thousands_of_questions_take_their_turns),
        cmocka_unit_test(stopping_with_questions_under_way_calls_nobody),
        cmocka_unit_test(bad_servers_are_told),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
