/* bus_guard_zmq - whose keys are let in; see bus_zmq_inside.h
 *
 * ZeroMQ asks on inproc://zeromq.zap.01 (ZAP, https://rfc.zeromq.org/spec/27/) for every handshake: seven
 * frames (version, request id, domain, address, routing id, mechanism, the 32 octets of the key); without
 * somebody bound there it would let everybody in. A key that is unknown is answered 300, "for now": after a
 * 400 the peer's socket would never try again, and the operator may be just adding it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "base/alloc.h"
#include "base/log.h"
#include "cluster/bus_zmq_inside.h"

enum {
    ZAP_VERSION,
    ZAP_REQUEST,
    ZAP_DOMAIN,
    ZAP_ADDRESS,
    ZAP_ROUTING_ID,
    ZAP_MECHANISM,
    ZAP_KEY,
    ZAP_FRAMES
};
#define ZAP_FRAME_MAX 255

struct bus_guard {
    void *socket;
    struct bus_allowed *allowed;
    struct map by_key, by_member;
    bool set; /* at least once: before it nobody is known, and nothing can be said of anybody */
    struct bus_quiet quiet;
};

struct bus_guard *bus_guard_open(void *context, struct error *error)
{
    struct bus_guard *guard = xcalloc(1, sizeof *guard);
    guard->socket = bus_socket(context, ZMQ_REP, error);
    if (guard->socket != NULL && zmq_bind(guard->socket, "inproc://zeromq.zap.01") == 0)
        return guard;
    if (guard->socket != NULL)
        error_set(error, "bus: cannot open the check of keys: %s", zmq_strerror(zmq_errno()));
    bus_guard_close(&guard);
    return NULL;
}

static void forget(struct bus_guard *guard)
{
    map_free(&guard->by_key);
    map_free(&guard->by_member);
    free(guard->allowed);
    guard->allowed = NULL;
}

void bus_guard_close(struct bus_guard **guard)
{
    struct bus_guard *g = *guard;
    *guard = NULL;
    if (g == NULL)
        return;
    if (g->socket != NULL)
        zmq_close(g->socket);
    forget(g);
    bus_quiet_free(&g->quiet);
    free(g);
}

void bus_guard_set(struct bus_guard *guard, const struct bus_allowed *allowed, size_t count)
{
    forget(guard);
    guard->set = true;
    guard->allowed = xcalloc(count + 1, sizeof *allowed);
    if (count > 0)
        memcpy(guard->allowed, allowed, count * sizeof *allowed);
    for (size_t i = 0; i < count; i++) {
        map_set_text(&guard->by_key, guard->allowed[i].public_key, &guard->allowed[i]);
        map_set_text(&guard->by_member, guard->allowed[i].member, &guard->allowed[i]);
    }
}

const char *bus_guard_owner(const struct bus_guard *guard, const char *public_key)
{
    const struct bus_allowed *allowed = map_get_text(&guard->by_key, public_key);
    return allowed == NULL ? NULL : allowed->member;
}

const char *bus_guard_key(const struct bus_guard *guard, const char *member)
{
    const struct bus_allowed *allowed = map_get_text(&guard->by_member, member);
    return allowed == NULL ? NULL : allowed->public_key;
}

void *bus_guard_socket(struct bus_guard *guard)
{
    return guard->socket;
}

struct zap {
    char frames[ZAP_FRAMES][ZAP_FRAME_MAX + 1];
    size_t lens[ZAP_FRAMES];
    bool good;
};

/* False: nothing waits. The question comes from libzmq itself, yet is read with care. */
static bool zap_receive(void *socket, struct zap *zap)
{
    int more = 1;
    size_t count = 0;
    *zap = (struct zap){.good = true};
    for (; more != 0; count++) {
        zmq_msg_t msg;
        zmq_msg_init(&msg);
        if (zmq_msg_recv(&msg, socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&msg);
            return false;
        }
        size_t len = zmq_msg_size(&msg);
        if (count >= ZAP_FRAMES || len > ZAP_FRAME_MAX)
            zap->good = false;
        else {
            memcpy(zap->frames[count], zmq_msg_data(&msg), len);
            zap->lens[count] = len;
        }
        more = zmq_msg_more(&msg);
        zmq_msg_close(&msg);
    }
    zap->good = zap->good && count == ZAP_FRAMES && strcmp(zap->frames[ZAP_VERSION], "1.0") == 0 &&
                strcmp(zap->frames[ZAP_MECHANISM], "CURVE") == 0 && zap->lens[ZAP_KEY] == 32;
    return true;
}

static void zap_answer(
    void *socket, const struct zap *zap, const char *code, const char *text, const char *user)
{
    zmq_send(socket, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(socket, zap->frames[ZAP_REQUEST], zap->lens[ZAP_REQUEST], ZMQ_SNDMORE);
    zmq_send(socket, code, strlen(code), ZMQ_SNDMORE);
    zmq_send(socket, text, strlen(text), ZMQ_SNDMORE);
    zmq_send(socket, user, strlen(user), ZMQ_SNDMORE);
    zmq_send(socket, "", 0, 0);
}

static void judge(struct bus_guard *guard, const struct zap *zap, usec_t now)
{
    char key[MEMBER_KEY_SIZE] = "";
    if (!zap->good || zmq_z85_encode(key, (const uint8_t *)zap->frames[ZAP_KEY], 32) == NULL) {
        zap_answer(guard->socket, zap, "400", "no CURVE key", "");
        return;
    }
    if (bus_guard_owner(guard, key) != NULL) {
        zap_answer(guard->socket, zap, "200", "", key);
        return;
    }
    if (guard->set && bus_quiet_tell(&guard->quiet, key, now))
        log_warn("bus",
            "a connection with the unknown public key %s from %s was refused: if it is a member, run `todoku "
            "members "
            "add NAME '%s'`",
            key, zap->frames[ZAP_ADDRESS], key);
    zap_answer(guard->socket, zap, "300", "not now", "");
}

void bus_guard_answer(struct bus_guard *guard, usec_t now)
{
    for (struct zap zap; zap_receive(guard->socket, &zap);)
        judge(guard, &zap, now);
}
