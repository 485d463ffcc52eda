/* bus_help - see bus_help.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "tests/unit/bus_help.h"

/* These were built without the thread sanitizer, which then does not see how libzmq's threads hand over. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libzmq.so\ncalled_from_lib:libsodium.so\ncalled_from_lib:libprotobuf-c.so\n"
           "race:drop_body\n";
}

static void on_wake(void *context)
{
    struct house *house = context;
    atomic_fetch_add(&house->wakes, 1);
}

static void on_silent(void *context, const char *member, bool silent)
{
    struct house *house = context;
    (void)member;
    atomic_fetch_add(silent ? &house->silent : &house->back, 1);
}

static void set_what_is_new(struct house *house)
{
    int asked = atomic_load(&house->asked);
    pthread_mutex_lock(&house->lock);
    struct bus_peer *peers = house->peers;
    struct bus_allowed *allowed = house->allowed;
    size_t peer_count = house->peer_count, allowed_count = house->allowed_count;
    house->peers = NULL;
    house->allowed = NULL;
    pthread_mutex_unlock(&house->lock);
    if (allowed != NULL)
        bus_zmq_set_allowed(house->door, allowed, allowed_count);
    if (peers != NULL) {
        bus_zmq_set_peers(house->door, peers, peer_count);
        for (size_t i = 0; i < peer_count; i++)
            free((char *)peers[i].endpoint);
    }
    free(peers);
    free(allowed);
    atomic_store(&house->set, asked);
}

static void wait_for_it(struct house *house)
{
    int asked = atomic_fetch_add(&house->asked, 1) + 1;
    bus_zmq_wake(house->door);
    assert_true(help_until(atomic_load(&house->set) >= asked));
}

static void *run(void *arg)
{
    struct house *house = arg;
    while (!atomic_load(&house->stop)) {
        set_what_is_new(house);
        bus_zmq_wait(house->door, clock_now() + USEC_SEC);
    }
    return NULL;
}

void house_open(
    struct house *house, const char *member, const struct bus_zmq_settings *settings, const char *endpoint)
{
    static atomic_uint_fast64_t processes = 1000;
    struct bus_zmq_settings s = settings == NULL ? (struct bus_zmq_settings){0} : *settings;
    struct bus_zmq_listener listener = {.context = house, .silent = on_silent};
    struct error error = {""};
    *house = (struct house){0};
    pthread_mutex_init(&house->lock, NULL);
    snprintf(house->member, sizeof house->member, "%s", member);
    snprintf(house->cluster, sizeof house->cluster, "%s", s.cluster == NULL ? "test" : s.cluster);
    if (s.key.secret_key[0] == '\0')
        bus_key_make(&s.key);
    house->key = s.key;
    s.cluster = house->cluster;
    s.member = house->member;
    s.process = house->process = atomic_fetch_add(&processes, 1);
    s.endpoint = endpoint == NULL ? "tcp://127.0.0.1:*" : endpoint;
    house->local = bus_local_new();
    house->bus = bus_local_face(house->local);
    bus_local_join(house->local, house->member, on_wake, house);
    house->door = bus_zmq_open(&s, house->local, &listener, &error);
    assert_string_equal(error.text, "");
    assert_non_null(house->door);
    snprintf(house->endpoint, sizeof house->endpoint, "%s", bus_zmq_endpoint(house->door));
    assert_int_equal(pthread_create(&house->thread, NULL, run, house), 0);
}

void house_close(struct house *house)
{
    atomic_store(&house->stop, true);
    bus_zmq_wake(house->door);
    pthread_join(house->thread, NULL);
    set_what_is_new(house);
    bus_zmq_close(&house->door);
    bus_local_free(&house->local);
    pthread_mutex_destroy(&house->lock);
}

void house_set_peers(struct house *house, const struct bus_peer *peers, size_t count)
{
    struct bus_peer *copy = xcalloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        copy[i] = peers[i];
        copy[i].endpoint = xstrdup(peers[i].endpoint);
    }
    pthread_mutex_lock(&house->lock);
    house->peers = copy;
    house->peer_count = count;
    pthread_mutex_unlock(&house->lock);
    wait_for_it(house);
}

void house_set_allowed(struct house *house, const struct bus_allowed *allowed, size_t count)
{
    struct bus_allowed *copy = xcalloc(count + 1, sizeof *copy);
    if (count > 0)
        memcpy(copy, allowed, count * sizeof *copy);
    pthread_mutex_lock(&house->lock);
    free(house->allowed);
    house->allowed = copy;
    house->allowed_count = count;
    pthread_mutex_unlock(&house->lock);
    wait_for_it(house);
}

void house_acquaint(struct house **houses, size_t count)
{
    struct bus_allowed *allowed = xcalloc(count, sizeof *allowed);
    struct bus_peer *peers = xcalloc(count, sizeof *peers);
    for (size_t i = 0; i < count; i++) {
        memcpy(allowed[i].member, houses[i]->member, sizeof allowed[i].member);
        memcpy(allowed[i].public_key, houses[i]->key.public_key, sizeof allowed[i].public_key);
        memcpy(peers[i].member, houses[i]->member, sizeof peers[i].member);
        peers[i].process = houses[i]->process;
        peers[i].endpoint = houses[i]->endpoint;
    }
    for (size_t i = 0; i < count; i++)
        house_set_allowed(houses[i], allowed, count);
    for (size_t i = 0; i < count; i++)
        house_set_peers(houses[i], peers, count);
    free(allowed);
    free(peers);
}

struct bus_msg *house_receive(struct house *house, usec_t patience)
{
    struct bus_msg *msg = NULL;
    (void)help_wait(
        (msg = msg != NULL ? msg : bus_local_receive(house->local, house->member)) != NULL, patience);
    return msg;
}

struct mail *help_mail(uint64_t number, size_t body_len)
{
    struct mail *mail = mail_new();
    memcpy(mail->id.bytes, &number, sizeof number);
    mail->created = USEC_SEC;
    mail->expires = 2 * USEC_SEC;
    mail->body_len = body_len;
    mail_set(&mail->tenant, "acme");
    mail_set(&mail->pool, "main");
    mail_set(&mail->from, "sender@acme.example");
    mail_add_recipient(mail, "rcpt@receiver.example");
    return mail;
}

void house_send_body(struct house *house, const char *to, uint64_t ref, size_t len)
{
    struct bus_msg *msg = bus_msg_new(BUS_INJECT, house->member, to);
    char *bytes = xmalloc(len + 1);
    memset(bytes, (char)ref, len);
    bytes[len] = '\0';
    msg->ref = ref;
    msg->mail = help_mail(ref, len);
    msg->id = msg->mail->id;
    msg->body = blob_take(bytes, len);
    house->bus.send(house->bus.context, msg);
}

void house_send_ask(struct house *house, const char *to, uint64_t ref)
{
    struct bus_msg *msg = bus_msg_new(BUS_ASK, house->member, to);
    msg->ref = ref;
    bus_msg_set_text(msg, "lanes?pool=a", strlen("lanes?pool=a"));
    house->bus.send(house->bus.context, msg);
}
