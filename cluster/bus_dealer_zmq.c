/* bus_dealer_zmq - the sockets to the peers; see bus_zmq_inside.h
 *
 * One DEALER a peer, open while both its endpoint (from the view) and its key (from spec/) are known.
 * IMMEDIATE: it takes nothing while there is no connection, so nothing is kept for a process that is gone.
 * Nothing ever comes in on it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "base/alloc.h"
#include "base/log.h"
#include "cluster/bus_zmq_inside.h"

#define CONNECT_MS 2000 /* the kernel asks again after 1 s, but then after 3, 7, 15 */
#define RECONNECT_FIRST_MS 100
#define RECONNECT_LAST_MS 2000
/* ZeroMQ's own heartbeats, besides ours: they end a connection that the other machine has forgotten. Patient ones:
 * what they end loses what was under way, and an answer may wait behind a large body. */
#define ZMTP_HEARTBEAT_MS 5000
#define ZMTP_DEAD_MS 15000
/* A socket that takes nothing for this long is opened anew: libzmq gives up for good after some errors. */
#define BLOCKED_MAX (10 * USEC_SEC)

struct dealer {
    char member[MEMBER_ID_SIZE];
    uint64_t process;
    char *endpoint;
    char key[MEMBER_KEY_SIZE]; /* of the open socket */
    void *socket;              /* null: no key, or it could not be opened */
    bool waits, named;
    usec_t since; /* it waits */
};

struct bus_dealers {
    void *context;
    const struct bus_guard *guard;
    struct bus_link *link;
    struct bus_key own;
    char routing_id[MEMBER_ID_SIZE + 20];
    struct map dealers;
    struct bus_quiet quiet;
    struct buffer scratch;
    size_t waiting;
};

struct bus_dealers *bus_dealers_new(void *context, const struct bus_zmq_settings *settings,
    const struct bus_guard *guard, struct bus_link *link)
{
    struct bus_dealers *dealers = xcalloc(1, sizeof *dealers);
    dealers->context = context;
    dealers->guard = guard;
    dealers->link = link;
    dealers->own = settings->key;
    snprintf(dealers->routing_id, sizeof dealers->routing_id, "%s/%016" PRIx64, settings->member,
        settings->process);
    return dealers;
}

static void set_waits(struct bus_dealers *dealers, struct dealer *dealer, bool waits, usec_t now)
{
    if (dealer->waits == waits)
        return;
    dealer->waits = waits;
    dealer->since = now;
    dealers->waiting += waits ? 1 : (size_t)-1;
}

static void dealer_shut(struct bus_dealers *dealers, struct dealer *dealer)
{
    set_waits(dealers, dealer, false, 0);
    if (dealer->socket != NULL)
        zmq_close(dealer->socket);
    dealer->socket = NULL;
}

static void dealer_free(struct bus_dealers *dealers, struct dealer *dealer)
{
    dealer_shut(dealers, dealer);
    map_remove_text(&dealers->dealers, dealer->member);
    free(dealer->endpoint);
    free(dealer);
}

void bus_dealers_free(struct bus_dealers **dealers)
{
    struct bus_dealers *d = *dealers;
    struct map_entry *at = NULL;
    *dealers = NULL;
    if (d == NULL)
        return;
    for (struct dealer *dealer; (dealer = map_next(&d->dealers, &at)) != NULL;)
        dealer_free(d, dealer);
    map_free(&d->dealers);
    bus_quiet_free(&d->quiet);
    buffer_free(&d->scratch);
    explicit_bzero(&d->own, sizeof d->own);
    free(d);
}

static void set_options(const struct bus_dealers *dealers, const struct dealer *dealer)
{
    void *socket = dealer->socket;
    bus_socket_int(socket, ZMQ_IMMEDIATE, 1);
    bus_socket_int(socket, ZMQ_CONNECT_TIMEOUT, CONNECT_MS);
    bus_socket_int(socket, ZMQ_RECONNECT_IVL, RECONNECT_FIRST_MS);
    bus_socket_int(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_LAST_MS);
    bus_socket_int(socket, ZMQ_HEARTBEAT_IVL, ZMTP_HEARTBEAT_MS);
    bus_socket_int(socket, ZMQ_HEARTBEAT_TIMEOUT, ZMTP_DEAD_MS);
    zmq_setsockopt(socket, ZMQ_ROUTING_ID, dealers->routing_id, strlen(dealers->routing_id));
    zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, dealer->key, sizeof dealer->key);
    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, dealers->own.public_key, sizeof dealers->own.public_key);
    zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, dealers->own.secret_key, sizeof dealers->own.secret_key);
}

static int dealer_connect(struct bus_dealers *dealers, struct dealer *dealer, struct error *error)
{
    dealer->socket = bus_socket(dealers->context, ZMQ_DEALER, error);
    if (dealer->socket == NULL)
        return -1;
    set_options(dealers, dealer);
    if (zmq_connect(dealer->socket, dealer->endpoint) == 0)
        return 0;
    return error_set(error, "cannot connect to %s: %s", dealer->endpoint, zmq_strerror(zmq_errno()));
}

/* As it should be now: open with this key, or shut. */
static void dealer_settle(struct bus_dealers *dealers, struct dealer *dealer, usec_t now)
{
    const char *key = bus_guard_key(dealers->guard, dealer->member);
    struct error error;
    if (dealer->socket != NULL && key != NULL && strcmp(key, dealer->key) == 0)
        return;
    dealer_shut(dealers, dealer);
    if (key == NULL || dealer->endpoint[0] == '\0')
        return;
    snprintf(dealer->key, sizeof dealer->key, "%s", key);
    if (dealer_connect(dealers, dealer, &error) < 0) {
        if (bus_quiet_tell(&dealers->quiet, dealer->member, now))
            log_warn(dealer->member, "bus: %s", error.text);
        dealer_shut(dealers, dealer);
        return;
    }
    set_waits(dealers, dealer, true, now);
}

static void name_dealer(struct bus_dealers *dealers, const struct bus_peer *peer, usec_t now)
{
    struct dealer *dealer = map_get_text(&dealers->dealers, peer->member);
    if (dealer != NULL &&
        (dealer->process != peer->process || strcmp(dealer->endpoint, peer->endpoint) != 0)) {
        dealer_free(dealers, dealer);
        dealer = NULL;
    }
    if (dealer == NULL) {
        dealer = xcalloc(1, sizeof *dealer);
        snprintf(dealer->member, sizeof dealer->member, "%s", peer->member);
        dealer->process = peer->process;
        dealer->endpoint = xstrdup(peer->endpoint);
        map_set_text(&dealers->dealers, dealer->member, dealer);
    }
    dealer->named = true;
    dealer_settle(dealers, dealer, now);
}

void bus_dealers_set_peers(
    struct bus_dealers *dealers, const struct bus_peer *peers, size_t count, usec_t now)
{
    struct map_entry *at = NULL;
    for (size_t i = 0; i < count; i++)
        name_dealer(dealers, &peers[i], now);
    for (struct dealer *dealer; (dealer = map_next(&dealers->dealers, &at)) != NULL;) {
        if (!dealer->named)
            dealer_free(dealers, dealer);
        else
            dealer->named = false;
    }
}

void bus_dealers_keys_changed(struct bus_dealers *dealers, usec_t now)
{
    struct map_entry *at = NULL;
    for (struct dealer *dealer; (dealer = map_next(&dealers->dealers, &at)) != NULL;)
        dealer_settle(dealers, dealer, now);
}

/* Sending */

static void drop_body(void *bytes, void *hint)
{
    (void)bytes;
    struct blob *body = hint;
    blob_drop(&body);
}

/* The socket holds the blob until its bytes are encrypted; nothing is copied here. Once the envelope was
 * taken, its second frame is too (or both go with the connection). */
static void send_body(void *socket, struct blob *body)
{
    zmq_msg_t msg;
    if (body->len == 0 || zmq_msg_init_data(&msg, body->bytes, body->len, drop_body, blob_hold(body)) < 0)
        zmq_msg_init(&msg);
    if (zmq_msg_send(&msg, socket, ZMQ_DONTWAIT) < 0)
        zmq_msg_close(&msg);
}

bool bus_dealers_send(struct bus_dealers *dealers, const char *member, const struct bus_envelope *envelope,
    const struct buffer *payload, struct blob *body, usec_t now)
{
    struct dealer *dealer = map_get_text(&dealers->dealers, member);
    if (dealer == NULL || dealer->socket == NULL || dealer->waits)
        return false;
    struct buffer *out = &dealers->scratch;
    buffer_clear(out);
    bus_envelope_encode(envelope, payload == NULL ? NULL : buffer_bytes(payload),
        payload == NULL ? 0 : buffer_len(payload), out);
    if (zmq_send(dealer->socket, buffer_bytes(out), buffer_len(out),
            ZMQ_DONTWAIT | (body == NULL ? 0 : ZMQ_SNDMORE)) < 0) {
        set_waits(dealers, dealer, true, now);
        return false;
    }
    if (body != NULL)
        send_body(dealer->socket, body);
    return true;
}

size_t bus_dealers_waiting(const struct bus_dealers *dealers)
{
    return dealers->waiting;
}

void bus_dealers_list(const struct bus_dealers *dealers, void **sockets)
{
    struct map_entry *at = NULL;
    for (struct dealer *dealer; (dealer = map_next(&dealers->dealers, &at)) != NULL;)
        if (dealer->waits)
            *sockets++ = dealer->socket;
}

void bus_dealers_writable(struct bus_dealers *dealers, void *socket)
{
    struct map_entry *at = NULL;
    for (struct dealer *dealer; (dealer = map_next(&dealers->dealers, &at)) != NULL;)
        if (dealer->waits && dealer->socket == socket) {
            set_waits(dealers, dealer, false, 0);
            bus_link_writable(dealers->link, dealer->member);
            return;
        }
}

void bus_dealers_tick(struct bus_dealers *dealers, usec_t now)
{
    struct map_entry *at = NULL;
    for (struct dealer *dealer; (dealer = map_next(&dealers->dealers, &at)) != NULL;) {
        if (dealer->waits && now - dealer->since > BLOCKED_MAX)
            dealer_shut(dealers, dealer);
        if (dealer->socket == NULL)
            dealer_settle(dealers, dealer, now);
    }
}
