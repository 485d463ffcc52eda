/* bench_bus - what the bus between processes costs beside the bus within one
 *
 * bench_bus [SECONDS [BODY [OUTSTANDING]]]: for SECONDS (default 3) a thread that plays coordinator injects
 * messages with bodies of BODY octets (default 10240), OUTSTANDING of them (default 256) at a time, and a
 * thread that plays node answers each: first over bus_local, then over two ZeroMQ doors on 127.0.0.1 with
 * CURVE, each door with its thread. Prints messages a second (each is a message and its answer), CPU time of
 * the whole process a message, and the ratio. Trust the ratio, and the microseconds as an order of magnitude.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cluster/bus_zmq.h"
#include "tests/bench/bench_help.h"

struct side {
    const char *member;
    struct bus_local *local;
    struct bus bus;
    struct bus_zmq *door;
    struct bus_key key;
    int wake_fd;
    pthread_t door_thread;
    atomic_bool shut;
};

struct bench {
    struct side coordinator, node;
    struct mail *mail;
    struct blob *body;
    uint64_t outstanding, done;
    usec_t until;
    atomic_bool stop;
};

static void wake(void *context)
{
    const struct side *side = context;
    eventfd_write(side->wake_fd, 1);
}

/* The next message for this side, waiting for it; null when `stop` was set meanwhile. */
static struct bus_msg *next(struct side *side, const atomic_bool *stop)
{
    struct bus_msg *msg;
    eventfd_t wakes;
    while ((msg = bus_local_receive(side->local, side->member)) == NULL && !atomic_load(stop))
        eventfd_read(side->wake_fd, &wakes);
    return msg;
}

static void *play_node(void *arg)
{
    struct bench *bench = arg;
    for (struct bus_msg *msg; (msg = next(&bench->node, &bench->stop)) != NULL; bus_msg_free(&msg)) {
        struct bus_msg *answer = bus_msg_answer(msg, BUS_INJECT_ANSWER);
        answer->verdict = BUS_TAKEN;
        bench->node.bus.send(bench->node.bus.context, answer);
    }
    return NULL;
}

static void inject(struct bench *bench)
{
    struct bus_msg *msg = bus_msg_new(BUS_INJECT, "c", "n");
    msg->mail = mail_hold(bench->mail);
    msg->id = bench->mail->id;
    msg->body = blob_hold(bench->body);
    snprintf(msg->spool, sizeof msg->spool, "spool-n");
    bench->coordinator.bus.send(bench->coordinator.bus.context, msg);
}

static void *play_coordinator(void *arg)
{
    struct bench *bench = arg;
    for (uint64_t i = 0; i < bench->outstanding; i++)
        inject(bench);
    for (uint64_t left = bench->outstanding; left > 0; left--) {
        struct bus_msg *answer = next(&bench->coordinator, &bench->stop);
        bus_msg_free(&answer);
        bench->done++;
        if (clock_now() < bench->until) {
            inject(bench);
            left++;
        }
    }
    atomic_store(&bench->stop, true);
    wake(&bench->node);
    return NULL;
}

static double run(struct bench *bench, const char *what, usec_t seconds, double local)
{
    pthread_t node, coordinator;
    usec_t start = clock_now(), cpu = bench_cpu();
    bench->done = 0;
    bench->until = start + seconds * USEC_SEC;
    atomic_store(&bench->stop, false);
    pthread_create(&node, NULL, play_node, bench);
    pthread_create(&coordinator, NULL, play_coordinator, bench);
    pthread_join(coordinator, NULL);
    pthread_join(node, NULL);
    double rate = (double)bench->done * 1e6 / (double)(clock_now() - start);
    printf("%-10s %8.0f messages/s %6.2f x local %7.1f us CPU/message\n", what, rate,
        local > 0 ? rate / local : 1.0, (double)(bench_cpu() - cpu) / (double)bench->done);
    return rate;
}

static void *turn_door(void *arg)
{
    struct side *side = arg;
    while (!atomic_load(&side->shut))
        bus_zmq_wait(side->door, clock_now() + USEC_SEC);
    return NULL;
}

static void open_door(struct side *side, uint64_t process)
{
    struct error error;
    struct bus_zmq_settings settings = {
        .cluster = "bench", .member = side->member, .process = process, .endpoint = "tcp://127.0.0.1:*"};
    bus_key_make(&side->key);
    settings.key = side->key;
    side->door = bus_zmq_open(&settings, side->local, NULL, &error);
    if (side->door == NULL) {
        fprintf(stderr, "bench_bus: %s\n", error.text);
        exit(1);
    }
}

static void acquaint(struct side *side, const struct side *other, uint64_t process)
{
    struct bus_allowed allowed = {0};
    struct bus_peer peer = {.process = process, .endpoint = bus_zmq_endpoint(other->door)};
    snprintf(allowed.member, sizeof allowed.member, "%s", other->member);
    snprintf(peer.member, sizeof peer.member, "%s", other->member);
    memcpy(allowed.public_key, other->key.public_key, sizeof allowed.public_key);
    bus_zmq_set_allowed(side->door, &allowed, 1);
    bus_zmq_set_peers(side->door, &peer, 1);
    pthread_create(&side->door_thread, NULL, turn_door, side);
}

static void close_door(struct side *side)
{
    atomic_store(&side->shut, true);
    bus_zmq_wake(side->door);
    pthread_join(side->door_thread, NULL);
    bus_zmq_close(&side->door);
    bus_local_free(&side->local);
}

static void join(struct side *side, struct bus_local *local)
{
    side->local = local;
    side->bus = bus_local_face(local);
    bus_local_join(local, side->member, wake, side);
}

int main(int argc, char **argv)
{
    usec_t seconds = argc > 1 ? atoi(argv[1]) : 3;
    size_t len = argc > 2 ? (size_t)atol(argv[2]) : 10240;
    struct bench bench = {.coordinator.member = "c", .node.member = "n"};
    bench.outstanding = argc > 3 ? (uint64_t)atol(argv[3]) : 256;
    bench.coordinator.wake_fd = eventfd(0, 0);
    bench.node.wake_fd = eventfd(0, 0);
    bench.body = blob_take(xcalloc(len + 1, 1), len);
    bench.mail = mail_new();
    bench.mail->body_len = len;
    mail_add_recipient(bench.mail, "somebody@receiver.example");

    struct bus_local *local = bus_local_new();
    join(&bench.coordinator, local);
    join(&bench.node, local);
    double rate = run(&bench, "bus_local", seconds, 0);
    bus_local_free(&local);

    join(&bench.coordinator, bus_local_new());
    join(&bench.node, bus_local_new());
    open_door(&bench.coordinator, 1);
    open_door(&bench.node, 2);
    acquaint(&bench.coordinator, &bench.node, 2);
    acquaint(&bench.node, &bench.coordinator, 1);
    usleep(300000); /* the handshake is not what is measured */
    run(&bench, "bus_zmq", seconds, rate);
    close_door(&bench.coordinator);
    close_door(&bench.node);
    mail_drop(&bench.mail);
    blob_drop(&bench.body);
    close(bench.coordinator.wake_fd);
    close(bench.node.wake_fd);
    return 0;
}
