/* The bus between processes, over real sockets of this machine: what is sent arrives, and who may not, can
 * not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster/bus_link.h"
#include "tests/unit/bus_help.h"

#define NOTHING_COMES (300 * USEC_MS)

static void expect_ref(struct house *house, const char *from, uint64_t ref)
{
    struct bus_msg *msg = house_receive(house, HELP_PATIENCE);
    assert_non_null(msg);
    assert_string_equal(msg->from, from);
    assert_string_equal(msg->to, house->member);
    assert_int_equal(msg->ref, ref);
    bus_msg_free(&msg);
}

static void expect_nothing(struct house *house)
{
    assert_null(house_receive(house, NOTHING_COMES));
}

static void expect_body(struct house *house, uint64_t ref, size_t len)
{
    struct bus_msg *msg = house_receive(house, HELP_PATIENCE);
    assert_non_null(msg);
    assert_int_equal(msg->type, BUS_INJECT);
    assert_int_equal(msg->ref, ref);
    assert_int_equal(msg->body->len, len);
    for (size_t i = 0; i < len; i += 997)
        assert_int_equal(msg->body->bytes[i], (char)ref);
    assert_int_equal(msg->body->bytes[len], '\0');
    assert_string_equal(msg->mail->recipients[0], "rcpt@receiver.example");
    bus_msg_free(&msg);
}

static void test_both_ways(void **state)
{
    (void)state;
    struct house a, b, *both[] = {&a, &b};
    house_open(&a, "a", NULL, NULL);
    house_open(&b, "b", NULL, NULL);
    house_acquaint(both, 2);
    for (uint64_t i = 0; i < 100; i++) {
        house_send_ask(&a, "b", i);
        house_send_ask(&b, "a", 1000 + i);
    }
    for (uint64_t i = 0; i < 100; i++) {
        expect_ref(&b, "a", i);
        expect_ref(&a, "b", 1000 + i);
    }
    house_send_body(&a, "b", 7, 0);
    expect_body(&b, 7, 0);
    house_send_body(&a, "b", 8, 10240);
    expect_body(&b, 8, 10240);
    house_send_ask(&a, "nobody", 1);
    assert_true(help_until(bus_zmq_figures(a.door).dropped_unknown == 1));
    house_close(&a);
    house_close(&b);
}

/* Each larger than a window. */
static void test_large_bodies(void **state)
{
    (void)state;
    struct bus_zmq_settings settings = {.window = 1 << 20};
    struct house a, b, *both[] = {&a, &b};
    house_open(&a, "a", &settings, NULL);
    house_open(&b, "b", &settings, NULL);
    house_acquaint(both, 2);
    for (uint64_t i = 0; i < 2; i++)
        house_send_body(&a, "b", i, (size_t)25 << 20);
    house_send_body(&b, "a", 9, (size_t)25 << 20);
    for (uint64_t i = 0; i < 2; i++)
        expect_body(&b, i, (size_t)25 << 20);
    expect_body(&a, 9, (size_t)25 << 20);
    house_close(&a);
    house_close(&b);
}

/* 20,000 messages through a window of 1 MiB: none is lost, and they stay in order. */
static void test_small_window(void **state)
{
    (void)state;
    enum { MESSAGES = 20000 };
    struct bus_zmq_settings settings = {.window = 1 << 20};
    struct house a, b, *both[] = {&a, &b};
    house_open(&a, "a", &settings, NULL);
    house_open(&b, "b", &settings, NULL);
    house_acquaint(both, 2);
    for (uint64_t sent = 0, got = 0; got < MESSAGES;) {
        while (sent < MESSAGES && sent < got + 1000)
            house_send_body(&a, "b", sent++, 2000);
        struct bus_msg *msg = house_receive(&b, HELP_PATIENCE);
        assert_non_null(msg);
        assert_int_equal(msg->ref, got++);
        bus_msg_free(&msg);
    }
    assert_int_equal(bus_zmq_figures(b.door).lost, 0);
    house_close(&a);
    house_close(&b);
}

/* A key that nobody allowed gets nothing in; allowed, it does, without being opened anew; withdrawn, no more,
 * although its connection lives. */
static void test_keys_come_and_go(void **state)
{
    (void)state;
    struct house a, b, *both[] = {&a, &b};
    house_open(&a, "a", NULL, NULL);
    house_open(&b, "b", NULL, NULL);
    struct bus_peer peer = {.member = "b", .process = b.process, .endpoint = b.endpoint};
    struct bus_allowed allowed = {.member = "b"};
    memcpy(allowed.public_key, b.key.public_key, sizeof allowed.public_key);
    house_set_allowed(&a, &allowed, 1);
    house_set_peers(&a, &peer, 1);
    house_send_ask(&a, "b", 1);
    expect_nothing(&b);
    house_acquaint(both, 2);
    expect_ref(&b, "a", 1);
    house_set_allowed(&b, NULL, 0);
    house_send_ask(&a, "b", 2);
    expect_nothing(&b);
    assert_true(help_until(bus_zmq_figures(b.door).dropped_bad >= 1));
    house_close(&a);
    house_close(&b);
}

/* Somebody else at a member's endpoint does not get its messages. */
static void test_false_server(void **state)
{
    (void)state;
    struct house a, b, thief, *both[] = {&a, &b};
    house_open(&a, "a", NULL, NULL);
    house_open(&b, "b", NULL, NULL);
    house_open(&thief, "b", NULL, NULL);
    house_acquaint(both, 2);
    struct bus_peer peer = {.member = "b", .process = 77, .endpoint = thief.endpoint};
    house_set_peers(&a, &peer, 1);
    house_send_ask(&a, "b", 1);
    expect_nothing(&thief);
    assert_true(help_until(atomic_load(&a.silent) == 1));
    house_close(&a);
    house_close(&b);
    house_close(&thief);
}

/* What was under way to a process that ended is lost; its successor at the same endpoint is heard and served.
 */
static void test_restarted_peer(void **state)
{
    (void)state;
    char endpoint[MEMBER_ENDPOINT_SIZE];
    struct house a, b, *both[] = {&a, &b};
    house_open(&a, "a", NULL, NULL);
    house_open(&b, "b", NULL, NULL);
    house_acquaint(both, 2);
    house_send_ask(&a, "b", 1);
    expect_ref(&b, "a", 1);
    struct bus_zmq_settings again = {.key = b.key};
    memcpy(endpoint, b.endpoint, sizeof endpoint);
    house_close(&b);
    for (uint64_t i = 0; i < 10; i++)
        house_send_body(&a, "b", i, 100000);
    usleep(200000);
    house_open(&b, "b", &again, endpoint);
    house_acquaint(both, 2);
    for (uint64_t i = 100; i < 200; i++)
        house_send_body(&a, "b", i, 10000);
    struct bus_msg *msg = NULL;
    uint64_t last = 0;
    while (last != 199 && (msg = house_receive(&b, HELP_PATIENCE)) != NULL) {
        last = msg->ref;
        bus_msg_free(&msg);
    }
    assert_int_equal(last, 199);
    house_send_ask(&b, "a", 5);
    expect_ref(&a, "b", 5);
    house_close(&a);
    house_close(&b);
}

/* A receiver that does not read: what waits for it is bounded on both sides, and moves again when it reads.
 */
static void test_no_reader(void **state)
{
    (void)state;
    enum { MESSAGES = 400 };
    struct bus_zmq_settings settings = {.window = 1 << 20};
    struct house a, b, *both[] = {&a, &b};
    house_open(&a, "a", &settings, NULL);
    house_open(&b, "b", &settings, NULL);
    house_acquaint(both, 2);
    for (uint64_t i = 0; i < MESSAGES; i++)
        house_send_body(&a, "b", i, 256 << 10);
    assert_true(help_until(bus_zmq_figures(a.door).dropped_full > 0));
    assert_true(bus_zmq_figures(a.door).queued_bytes <= BUS_LINK_QUEUE);
    assert_true(help_until(bus_local_backlog(b.local) > 1 << 19));
    usleep(300000);
    assert_true(bus_local_backlog(b.local) <= (3 << 20) / 2 + (300 << 10));
    uint64_t dropped = bus_zmq_figures(a.door).dropped_full;
    for (uint64_t got = 0; got < MESSAGES - dropped; got++) {
        struct bus_msg *msg = house_receive(&b, HELP_PATIENCE);
        assert_non_null(msg);
        bus_msg_free(&msg);
    }
    house_close(&a);
    house_close(&b);
}

/* A member whose thread hangs looks dead, though its process still answers. */
static void test_hung_member(void **state)
{
    (void)state;
    struct bus_zmq_settings settings = {.heartbeat = 500 * USEC_MS};
    struct house a, b, *both[] = {&a, &b};
    house_open(&a, "a", &settings, NULL);
    house_open(&b, "b", &settings, NULL);
    bus_local_beat(b.local, "b", clock_now());
    house_acquaint(both, 2);
    house_send_ask(&b, "a", 0);
    expect_ref(&a, "b", 0);
    assert_int_equal(atomic_load(&a.silent), 0);
    assert_true(help_until(atomic_load(&a.silent) == 1)); /* BUS_BEAT_OLD later */
    house_send_ask(&b, "a", 1);
    expect_ref(&a, "b", 1); /* ... and that changes nothing */
    usleep(600000);
    assert_int_equal(atomic_load(&a.back), 0);
    bus_local_beat(b.local, "b", clock_now());
    assert_true(help_until(atomic_load(&a.back) == 1));
    assert_int_equal(atomic_load(&b.silent), 0);
    house_close(&b);
    assert_true(help_until(atomic_load(&a.silent) == 2));
    house_close(&a);
}

/* Three processes, all to all; one of them is not in the others' view yet. */
static void test_stranger(void **state)
{
    (void)state;
    struct house a, b, c, *all[] = {&a, &b, &c};
    house_open(&a, "a", NULL, NULL);
    house_open(&b, "b", NULL, NULL);
    house_open(&c, "c", NULL, NULL);
    house_acquaint(all, 3);
    struct bus_peer only = {.process = a.process, .endpoint = a.endpoint};
    memcpy(only.member, a.member, sizeof only.member);
    house_set_peers(&b, &only, 1);
    usleep(50000);
    house_send_ask(&c, "b", 1);
    expect_ref(&b, "c", 1); /* spec/ vouches for it */
    house_send_ask(&b, "c", 2);
    expect_nothing(&c);
    house_acquaint(all, 3);
    expect_ref(&c, "b", 2); /* it waited until the view knew where to */
    house_send_ask(&c, "a", 3);
    house_send_ask(&b, "a", 4);
    struct bus_msg *first = house_receive(&a, HELP_PATIENCE), *second = house_receive(&a, HELP_PATIENCE);
    assert_non_null(first);
    assert_non_null(second);
    assert_int_equal(first->ref + second->ref, 7);
    bus_msg_free(&first);
    bus_msg_free(&second);
    house_close(&a);
    house_close(&b);
    house_close(&c);
}

static void test_cannot_open(void **state)
{
    (void)state;
    struct house a;
    struct error error;
    struct bus_zmq_settings settings = {.cluster = "test", .member = "x", .process = 1};
    struct bus_local *local = bus_local_new();
    house_open(&a, "a", NULL, NULL);
    settings.endpoint = a.endpoint;
    assert_null(bus_zmq_open(&settings, local, NULL, &error));
    assert_non_null(strstr(error.text, "todoku keygen FILE"));
    bus_key_make(&settings.key);
    assert_null(bus_zmq_open(&settings, local, NULL, &error));
    assert_non_null(strstr(error.text, a.endpoint));
    assert_non_null(strstr(error.text, "Address already in use"));
    settings.endpoint = "tcp://nowhere";
    assert_null(bus_zmq_open(&settings, local, NULL, &error));
    assert_non_null(strstr(error.text, "tcp://nowhere"));
    bus_local_free(&local);
    house_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_large_bodies),
        cmocka_unit_test(test_small_window),
        cmocka_unit_test(test_keys_come_and_go),
        cmocka_unit_test(test_false_server),
        cmocka_unit_test(test_restarted_peer),
        cmocka_unit_test(test_no_reader),
        cmocka_unit_test(test_hung_member),
        cmocka_unit_test(test_stranger),
        cmocka_unit_test(test_cannot_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
