/* The bus of one process: in order, nothing lost below its bound, one wake-up for an empty inbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include "cluster/bus.h"

enum { SENDERS = 3, MESSAGES = 20000 };

static void count_wake(void *context)
{
    atomic_fetch_add((atomic_int *)context, 1);
}

static void send_number(const struct bus *bus, const char *from, const char *to, uint64_t number)
{
    struct bus_msg *msg = bus_msg_new(BUS_ASK, from, to);
    msg->ref = number;
    bus->send(bus->context, msg);
}

static void test_one_thread(void **state)
{
    (void)state;
    atomic_int wakes = 0;
    struct bus_local *local = bus_local_new();
    struct bus bus = bus_local_face(local);
    bus_local_join(local, "a", count_wake, &wakes);
    bus_local_join(local, "b", count_wake, &wakes);
    for (uint64_t i = 0; i < 3; i++)
        send_number(&bus, "a", "b", i);
    assert_int_equal(wakes, 1); /* only an empty inbox wakes */
    assert_null(bus_local_receive(local, "a"));
    for (uint64_t i = 0; i < 3; i++) {
        struct bus_msg *msg = bus_local_receive(local, "b");
        assert_int_equal(msg->ref, i);
        bus_msg_free(&msg);
    }
    assert_null(bus_local_receive(local, "b"));
    send_number(&bus, "a", "b", 3);
    assert_int_equal(wakes, 2);
    send_number(&bus, "a", "nobody", 4); /* dropped and freed */
    bus_local_free(&local);              /* what was not received goes too */
    assert_null(local);
}

/* A member that is closed and opened again in its process: nothing of before comes, and nobody is woken meanwhile. */
static void test_leaves_and_joins(void **state)
{
    (void)state;
    atomic_int before = 0, after = 0;
    struct bus_local *local = bus_local_new();
    struct bus bus = bus_local_face(local);
    bus_local_join(local, "a", count_wake, &before);
    bus_local_beat(local, "a", 1);
    send_number(&bus, "b", "a", 1);
    assert_int_equal(before, 1);
    bus_local_leave(local, "a");
    assert_false(bus_local_beats(local, 2));         /* who asks it is to ask another */
    assert_int_equal(bus_local_last_beat(local), 0); /* it does not hang */
    send_number(&bus, "b", "a", 2);
    assert_int_equal(bus_local_backlog(local), 0);
    bus_local_join(local, "a", count_wake, &after);
    assert_null(bus_local_receive(local, "a"));
    send_number(&bus, "b", "a", 3);
    assert_int_equal(before, 1);
    assert_int_equal(after, 1);
    struct bus_msg *msg = bus_local_receive(local, "a");
    assert_int_equal(msg->ref, 3);
    bus_msg_free(&msg);
    assert_false(bus_local_beats(local, 2)); /* it is being opened */
    bus_local_beat(local, "a", 3);
    assert_true(bus_local_beats(local, 3));
    bus_local_free(&local);
}

static void test_bounded(void **state)
{
    (void)state;
    atomic_int wakes = 0;
    struct bus_local *local = bus_local_new();
    struct bus bus = bus_local_face(local);
    bus_local_join(local, "a", count_wake, &wakes);
    for (uint64_t i = 0; i < BUS_INBOX + 3; i++)
        send_number(&bus, "a", "a", i);
    uint64_t got = 0;
    for (struct bus_msg *msg; (msg = bus_local_receive(local, "a")) != NULL; bus_msg_free(&msg))
        assert_int_equal(msg->ref, got++);
    assert_int_equal(got, BUS_INBOX);
    bus_local_free(&local);
}

struct inbox {
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool wake;
};

static void wake(void *context)
{
    struct inbox *inbox = context;
    pthread_mutex_lock(&inbox->lock);
    inbox->wake = true;
    pthread_cond_signal(&inbox->woken);
    pthread_mutex_unlock(&inbox->lock);
}

static void *send_many(void *arg)
{
    const struct bus *bus = arg;
    static atomic_int count = 0;
    char name[16];
    snprintf(name, sizeof name, "s%d", atomic_fetch_add(&count, 1));
    for (uint64_t i = 0; i < MESSAGES; i++)
        send_number(bus, name, "a", i);
    return NULL;
}

/* A receiver that sleeps until it is woken, and then empties its inbox, misses nothing. */
static void test_threads(void **state)
{
    (void)state;
    struct inbox inbox = {.lock = PTHREAD_MUTEX_INITIALIZER, .woken = PTHREAD_COND_INITIALIZER};
    struct bus_local *local = bus_local_new();
    struct bus bus = bus_local_face(local);
    pthread_t senders[SENDERS];
    uint64_t next[SENDERS] = {0}, all = 0;
    bus_local_join(local, "a", wake, &inbox);
    for (int i = 0; i < SENDERS; i++)
        assert_int_equal(pthread_create(&senders[i], NULL, send_many, &bus), 0);
    while (all < (uint64_t)SENDERS * MESSAGES) {
        pthread_mutex_lock(&inbox.lock);
        while (!inbox.wake)
            pthread_cond_wait(&inbox.woken, &inbox.lock);
        inbox.wake = false;
        pthread_mutex_unlock(&inbox.lock);
        for (struct bus_msg *msg; (msg = bus_local_receive(local, "a")) != NULL; bus_msg_free(&msg), all++)
            assert_int_equal(msg->ref, next[msg->from[1] - '0']++); /* in order, by sender */
    }
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i], NULL);
    bus_local_free(&local);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_thread),
        cmocka_unit_test(test_leaves_and_joins),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
