/* bus_zmq - see bus_zmq.h; here: the ROUTER, what comes in on it, and the turning wheel */
#include "cluster/bus_zmq.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <zmq.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "cluster/bus_zmq_inside.h"

/* Credit is the limit of what is under way; this only bounds what a broken peer can pile up. */
#define HIGH_WATER 8192
/* A frame and what CURVE puts around it (https://rfc.zeromq.org/spec/26/: 33 octets). */
#define FRAME_MAX ((int64_t)BUS_MAX_BODY + 64)
#define SOCKETS_MAX 8192
#define HANDSHAKE_MS 5000
/* What is sent and not acknowledged for so long ends the connection (TCP_USER_TIMEOUT): TCP would try again ever later, and after a
 * cut of 7 s it would be 6 s more until it does. */
#define UNHEARD_MS 4000
#define CLOSED_FD (-1)
/* Messages in one direction before the other has its turn. */
#define BATCH 1024
#define LONGEST_WAIT USEC_MIN

struct bus_zmq {
    char cluster[BUS_NAME_SIZE], member[BUS_NAME_SIZE];
    char endpoint[MEMBER_ENDPOINT_SIZE];
    struct bus_local *local;
    struct bus_zmq_listener listener;
    void *context, *router;
    struct bus_guard *guard;
    struct bus_dealers *dealers;
    struct bus_link *link;
    int wake_fd;
    usec_t now;     /* of this turn: for what the link's ports call */
    bool new_table; /* it is being told of one */
    struct bus_quiet quiet;
    zmq_pollitem_t *items;
    void **sockets;
    size_t items_room;
    uint64_t bad, foreign;
    pthread_mutex_t lock; /* of what follows */
    struct bus_zmq_figures figures;
};

/* Sockets */

void bus_socket_int(void *socket, int option, int value)
{
    must(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

void *bus_socket(void *context, int type, struct error *error)
{
    int64_t frame_max = FRAME_MAX;
    void *socket = zmq_socket(context, type);
    if (socket == NULL) {
        error_set(error, "bus: cannot make a socket: %s", zmq_strerror(zmq_errno()));
        return NULL;
    }
    bus_socket_int(socket, ZMQ_LINGER, 0);
    bus_socket_int(socket, ZMQ_IPV6, 1);
    bus_socket_int(socket, ZMQ_SNDHWM, HIGH_WATER);
    bus_socket_int(socket, ZMQ_RCVHWM, HIGH_WATER);
    bus_socket_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    bus_socket_int(socket, ZMQ_TCP_KEEPALIVE, 1);
    bus_socket_int(socket, ZMQ_TCP_MAXRT, UNHEARD_MS);
    must(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max) == 0);
    return socket;
}

static int open_router(struct bus_zmq *bus, const struct bus_zmq_settings *settings, struct error *error)
{
    bus->router = bus_socket(bus->context, ZMQ_ROUTER, error);
    if (bus->router == NULL)
        return -1;
    bus_socket_int(bus->router, ZMQ_ROUTER_MANDATORY, 1);
    bus_socket_int(bus->router, ZMQ_ROUTER_HANDOVER, 1);
    bus_socket_int(bus->router, ZMQ_CURVE_SERVER, 1);
    must(zmq_setsockopt(bus->router, ZMQ_CURVE_SECRETKEY, settings->key.secret_key, MEMBER_KEY_SIZE) == 0);
    must(zmq_setsockopt(bus->router, ZMQ_ZAP_DOMAIN, "todoku", strlen("todoku")) == 0);
    if (zmq_bind(bus->router, settings->endpoint) < 0)
        return error_set(error,
            "bus: cannot listen on %s: %s; set coordinator.bus or node.bus to an address of this machine and "
            "a "
            "free port, like tcp://192.0.2.1:7101",
            settings->endpoint, zmq_strerror(zmq_errno()));
    size_t size = sizeof bus->endpoint;
    must(zmq_getsockopt(bus->router, ZMQ_LAST_ENDPOINT, bus->endpoint, &size) == 0);
    return 0;
}

/* What the link asks for */

static bool port_send(void *context, const char *member, const struct bus_envelope *envelope,
    const struct buffer *payload, struct blob *body)
{
    struct bus_zmq *bus = context;
    return bus_dealers_send(bus->dealers, member, envelope, payload, body, bus->now);
}

static void port_deliver(void *context, struct bus_msg *msg)
{
    struct bus_zmq *bus = context;
    bus_local_deliver(bus->local, msg);
}

static void port_silent(void *context, const char *member, bool silent)
{
    struct bus_zmq *bus = context;
    if (silent)
        log_warn(member, "nothing was heard of it on the bus for three heartbeats");
    else if (!bus->new_table) /* a former process is not: it is gone */
        log_info(member, "is heard on the bus again");
    if (bus->listener.silent != NULL)
        bus->listener.silent(bus->listener.context, member, silent);
}

static void port_leaves(void *context, const char *member)
{
    struct bus_zmq *bus = context;
    log_info(member, "says that it stops");
    if (bus->listener.silent != NULL)
        bus->listener.silent(bus->listener.context, member, true);
}

/* Opening */

static void wake(void *context)
{
    bus_zmq_wake(context);
}

static int open_all(struct bus_zmq *bus, const struct bus_zmq_settings *settings, struct error *error)
{
    bus->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    bus->context = zmq_ctx_new();
    if (bus->wake_fd < 0 || bus->context == NULL)
        return error_set(error, "bus: cannot open ZeroMQ: %s", strerror(errno));
    zmq_ctx_set(bus->context, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
    zmq_ctx_set(bus->context, ZMQ_BLOCKY, 0);
    /* Before the first handshake: without it everybody would be let in. */
    bus->guard = bus_guard_open(bus->context, error);
    if (bus->guard == NULL || open_router(bus, settings, error) < 0)
        return -1;
    struct bus_link_settings link = {
        .cluster = settings->cluster,
        .member = settings->member,
        .process = settings->process,
        .heartbeat = settings->heartbeat,
        .window = settings->window,
    };
    struct bus_link_ports ports = {.context = bus,
        .send = port_send,
        .deliver = port_deliver,
        .silent = port_silent,
        .leaves = port_leaves};
    bus->link = bus_link_new(&link, &ports, clock_now());
    bus->dealers = bus_dealers_new(bus->context, settings, bus->guard, bus->link);
    return 0;
}

static int check_settings(const struct bus_zmq_settings *settings, struct error *error)
{
    if (strlen(settings->key.secret_key) != MEMBER_KEY_SIZE - 1)
        return error_set(error, "bus: a member of a cluster needs a key: run `todoku keygen FILE` and set "
                                "cluster.curve_secret_file "
                                "to that file");
    if (strlen(settings->cluster) >= BUS_NAME_SIZE || strlen(settings->member) >= BUS_NAME_SIZE)
        return error_set(
            error, "bus: the names of cluster and member must be shorter than %d", BUS_NAME_SIZE);
    return 0;
}

struct bus_zmq *bus_zmq_open(const struct bus_zmq_settings *settings, struct bus_local *local,
    const struct bus_zmq_listener *listener, struct error *error)
{
    if (check_settings(settings, error) < 0)
        return NULL;
    struct bus_zmq *bus = xcalloc(1, sizeof *bus);
    snprintf(bus->cluster, sizeof bus->cluster, "%s", settings->cluster);
    snprintf(bus->member, sizeof bus->member, "%s", settings->member);
    bus->local = local;
    bus->wake_fd = CLOSED_FD;
    if (listener != NULL)
        bus->listener = *listener;
    pthread_mutex_init(&bus->lock, NULL);
    if (open_all(bus, settings, error) < 0) {
        bus_zmq_close(&bus);
        return NULL;
    }
    bus_local_set_gateway(local, wake, bus);
    return bus;
}

void bus_zmq_close(struct bus_zmq **bus)
{
    struct bus_zmq *b = *bus;
    *bus = NULL;
    if (b == NULL)
        return;
    if (b->dealers != NULL)
        bus_local_set_gateway(b->local, NULL, NULL);
    bus_dealers_free(&b->dealers);
    bus_link_free(&b->link);
    if (b->router != NULL)
        zmq_close(b->router);
    bus_guard_close(&b->guard);
    if (b->context != NULL)
        while (zmq_ctx_term(b->context) < 0 && zmq_errno() == EINTR)
            ;
    if (b->wake_fd >= 0)
        close(b->wake_fd);
    bus_quiet_free(&b->quiet);
    pthread_mutex_destroy(&b->lock);
    free(b->items);
    free(b->sockets);
    free(b);
}

const char *bus_zmq_endpoint(const struct bus_zmq *bus)
{
    return bus->endpoint;
}

void bus_zmq_set_peers(struct bus_zmq *bus, const struct bus_peer *peers, size_t count)
{
    struct bus_link_peer *known = xcalloc(count + 1, sizeof *known);
    bus->now = clock_now();
    for (size_t i = 0; i < count; i++) {
        snprintf(known[i].member, sizeof known[i].member, "%s", peers[i].member);
        known[i].process = peers[i].process;
    }
    bus->new_table = true;
    bus_link_set_peers(bus->link, known, count, bus->now);
    bus->new_table = false;
    bus_dealers_set_peers(bus->dealers, peers, count, bus->now);
    free(known);
}

void bus_zmq_set_wire(struct bus_zmq *bus, uint32_t wire)
{
    bus_link_set_wire(bus->link, wire);
}

void bus_zmq_set_allowed(struct bus_zmq *bus, const struct bus_allowed *allowed, size_t count)
{
    bus_guard_set(bus->guard, allowed, count);
    bus_dealers_keys_changed(bus->dealers, clock_now());
}

void bus_zmq_leave(struct bus_zmq *bus)
{
    bus_link_leave(bus->link);
}

/* Receiving */

/* A message as it came: routing id, envelope, perhaps a body. */
struct arrival {
    zmq_msg_t frames[3];
    size_t count; /* of frames taken */
    bool whole;   /* there were no more */
};

/* False: nothing waits. */
static bool arrival_receive(void *router, struct arrival *arrival)
{
    *arrival = (struct arrival){.whole = true};
    for (int more = 1; more != 0;) {
        zmq_msg_t extra, *msg = arrival->count < 3 ? &arrival->frames[arrival->count] : &extra;
        zmq_msg_init(msg);
        if (zmq_msg_recv(msg, router, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(msg);
            return arrival->count > 0;
        }
        more = zmq_msg_more(msg);
        if (msg != &extra)
            arrival->count++;
        else {
            arrival->whole = false;
            zmq_msg_close(msg);
        }
    }
    return true;
}

static void arrival_done(struct arrival *arrival)
{
    for (size_t i = 0; i < arrival->count; i++)
        zmq_msg_close(&arrival->frames[i]);
}

static void refuse(struct bus_zmq *bus, const char *subject, const char *why)
{
    bus->bad++;
    if (bus_quiet_tell(&bus->quiet, subject, bus->now))
        log_warn("bus", "a frame from %s was dropped: %s", subject, why);
}

/* Whose connection it came over, by its key; null: nobody's any more. */
static const char *owner_of(struct bus_zmq *bus, const zmq_msg_t *frame)
{
    const char *key = zmq_msg_gets(frame, "User-Id");
    const char *owner = key == NULL ? NULL : bus_guard_owner(bus->guard, key);
    if (owner == NULL)
        refuse(bus, key == NULL ? "a connection without a key" : key, "its key is not allowed any more");
    return owner;
}

static bool is_ours(struct bus_zmq *bus, const struct bus_envelope *envelope, const char *owner)
{
    char why[256];
    if (strcmp(envelope->cluster, bus->cluster) != 0) {
        bus->foreign++;
        if (bus_quiet_tell(&bus->quiet, owner, bus->now))
            log_warn("bus",
                "%s speaks for the cluster \"%s\", this is \"%s\": its file names the wrong cluster or "
                "the wrong machine; its messages are dropped",
                owner, envelope->cluster, bus->cluster);
        return false;
    }
    why[0] = '\0';
    if (strcmp(envelope->from, owner) != 0)
        snprintf(why, sizeof why, "it says it is from %s", envelope->from);
    else if (strcmp(envelope->to, bus->member) != 0)
        snprintf(why, sizeof why, "it is for %s, this is %s", envelope->to, bus->member);
    if (why[0] != '\0')
        refuse(bus, owner, why);
    return why[0] == '\0';
}

static void read_frames(struct bus_zmq *bus, const char *owner, struct arrival *arrival)
{
    zmq_msg_t *frame = &arrival->frames[1], *second = arrival->count > 2 ? &arrival->frames[2] : NULL;
    struct bus_envelope envelope;
    struct error error;
    const void *body = second == NULL ? NULL : zmq_msg_data(second);
    size_t body_len = second == NULL ? 0 : zmq_msg_size(second);
    if (bus_envelope_decode(zmq_msg_data(frame), zmq_msg_size(frame), &envelope, &error) != BUS_WIRE_GOOD) {
        refuse(bus, owner, error.text);
        return;
    }
    if (is_ours(bus, &envelope, owner) &&
        bus_link_take(bus->link, &envelope, body, body_len, bus->now, &error) < 0 &&
        bus_quiet_tell(&bus->quiet, owner, bus->now))
        log_warn("bus", "a message from %s was dropped: %s", owner, error.text);
    bus_envelope_clear(&envelope);
}

static size_t receive_all(struct bus_zmq *bus)
{
    struct arrival arrival;
    size_t count = 0;
    for (; count < BATCH && arrival_receive(bus->router, &arrival); count++) {
        const char *owner = arrival.count < 2 ? NULL : owner_of(bus, &arrival.frames[1]);
        if (owner != NULL && !arrival.whole)
            refuse(bus, owner, "it has too many parts");
        else if (owner != NULL)
            read_frames(bus, owner, &arrival);
        arrival_done(&arrival);
    }
    return count;
}

/* The wheel */

static size_t post_all(struct bus_zmq *bus)
{
    struct error error;
    struct bus_msg *msg;
    size_t count = 0;
    for (; count < BATCH && (msg = bus_local_receive(bus->local, NULL)) != NULL; count++) {
        enum bus_type type = msg->type;
        char to[BUS_NAME_SIZE];
        memcpy(to, msg->to, sizeof to);
        if (!bus_link_post(bus->link, msg, bus->now, &error) && bus_quiet_tell(&bus->quiet, to, bus->now))
            log_warn("bus", "%s for %s was dropped: %s", bus_type_name(type), to, error.text);
    }
    return count;
}

/* True: something was done, so there may be more. What came is taken before it is told who is silent. */
static bool turn(struct bus_zmq *bus)
{
    bus->now = clock_now();
    bus_guard_answer(bus->guard, bus->now);
    size_t done = receive_all(bus) + post_all(bus);
    bus_link_tick(bus->link, bus_local_beats(bus->local, bus->now), bus->now);
    bus_dealers_tick(bus->dealers, bus->now);
    bool more = bus_link_flush(bus->link, bus_local_backlog(bus->local), bus->now);
    return done > 0 || more;
}

static size_t fill_items(struct bus_zmq *bus)
{
    size_t waiting = bus_dealers_waiting(bus->dealers), count = 3 + waiting;
    if (count > bus->items_room) {
        bus->items_room = 2 * count;
        bus->items = xrealloc(bus->items, bus->items_room * sizeof *bus->items);
        bus->sockets = xrealloc(bus->sockets, bus->items_room * sizeof *bus->sockets);
    }
    bus->items[0] = (zmq_pollitem_t){.fd = bus->wake_fd, .events = ZMQ_POLLIN};
    bus->items[1] = (zmq_pollitem_t){.socket = bus->router, .events = ZMQ_POLLIN};
    bus->items[2] = (zmq_pollitem_t){.socket = bus_guard_socket(bus->guard), .events = ZMQ_POLLIN};
    bus_dealers_list(bus->dealers, bus->sockets);
    for (size_t i = 0; i < waiting; i++)
        bus->items[3 + i] = (zmq_pollitem_t){.socket = bus->sockets[i], .events = ZMQ_POLLOUT};
    return count;
}

static void poll_until(struct bus_zmq *bus, usec_t until)
{
    usec_t wait = until - clock_now();
    size_t count = fill_items(bus);
    wait = wait < 0 ? 0 : wait > LONGEST_WAIT ? LONGEST_WAIT : wait;
    if (zmq_poll(bus->items, (int)count, (long)((wait + USEC_MS - 1) / USEC_MS)) <= 0)
        return;
    uint64_t wakes;
    if ((bus->items[0].revents & ZMQ_POLLIN) != 0 && read(bus->wake_fd, &wakes, sizeof wakes) < 0)
        must(errno == EAGAIN || errno == EINTR);
    for (size_t i = 3; i < count; i++)
        if ((bus->items[i].revents & ZMQ_POLLOUT) != 0)
            bus_dealers_writable(bus->dealers, bus->items[i].socket);
}

static void publish_figures(struct bus_zmq *bus)
{
    struct bus_link_figures link = bus_link_figures(bus->link);
    pthread_mutex_lock(&bus->lock);
    bus->figures = (struct bus_zmq_figures){
        .sent = link.sent,
        .received = link.received,
        .bytes_sent = link.bytes_sent,
        .bytes_received = link.bytes_received,
        .dropped_full = link.dropped_full,
        .dropped_unknown = link.dropped_unknown,
        .dropped_gone = link.dropped_gone,
        .dropped_bad = link.dropped_bad + bus->bad,
        .dropped_foreign = bus->foreign,
        .dropped_newer = link.dropped_newer,
        .lost = link.lost,
        .queued_bytes = link.queued_bytes,
    };
    pthread_mutex_unlock(&bus->lock);
}

void bus_zmq_wait(struct bus_zmq *bus, usec_t until)
{
    if (!turn(bus)) {
        usec_t deadline = bus_link_deadline(bus->link, bus->now);
        poll_until(bus, until < deadline ? until : deadline);
        turn(bus);
    }
    publish_figures(bus);
}

void bus_zmq_wake(struct bus_zmq *bus)
{
    uint64_t one = 1;
    if (write(bus->wake_fd, &one, sizeof one) < 0)
        must(errno == EAGAIN || errno == EINTR);
}

struct bus_zmq_figures bus_zmq_figures(const struct bus_zmq *bus)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&bus->lock;
    pthread_mutex_lock(lock);
    struct bus_zmq_figures figures = bus->figures;
    pthread_mutex_unlock(lock);
    return figures;
}
