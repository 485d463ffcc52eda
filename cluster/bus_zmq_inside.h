/* bus_zmq_inside - what the files of the ZeroMQ door share
 *
 * bus_zmq.c: the door itself. bus_guard_zmq.c: whose keys are let in. bus_dealer_zmq.c: the sockets to the
 * peers. bus_quiet_zmq.c: what is told in the log not too often. */
#ifndef CLUSTER_BUS_ZMQ_INSIDE_H
#define CLUSTER_BUS_ZMQ_INSIDE_H

#include "base/map.h"
#include "cluster/bus_link.h"
#include "cluster/bus_zmq.h"

/* bus_quiet: true at most once a minute for each subject; of more subjects than it can remember, for all
 * others together. */
#define BUS_QUIET_SUBJECTS 256
struct bus_quiet {
    struct map told;
    usec_t others;
};
bool bus_quiet_tell(struct bus_quiet *quiet, const char *subject, usec_t now);
void bus_quiet_free(struct bus_quiet *quiet);

/* bus_guard: answers ZeroMQ's question whether a key is let in (ZAP, RFC 27). The connection's user id is its
 * key, so that each frame can be held against what is allowed now. */
struct bus_guard;
struct bus_guard *bus_guard_open(void *context, struct error *error);
void bus_guard_close(struct bus_guard **guard);
void bus_guard_set(struct bus_guard *guard, const struct bus_allowed *allowed, size_t count);
/* Whose key this is, or null. */
const char *bus_guard_owner(const struct bus_guard *guard, const char *public_key);
/* A member's key, or null. */
const char *bus_guard_key(const struct bus_guard *guard, const char *member);
void *bus_guard_socket(struct bus_guard *guard);
/* Answers all that wait. */
void bus_guard_answer(struct bus_guard *guard, usec_t now);

/* bus_dealers: a socket to each peer whose endpoint and key are known. */
struct bus_dealers;
/* All lent; `link` is told who may be tried again. */
struct bus_dealers *bus_dealers_new(void *context, const struct bus_zmq_settings *settings,
    const struct bus_guard *guard, struct bus_link *link);
void bus_dealers_free(struct bus_dealers **dealers);
void bus_dealers_set_peers(
    struct bus_dealers *dealers, const struct bus_peer *peers, size_t count, usec_t now);
/* Opens and closes what the guard's new table asks for. */
void bus_dealers_keys_changed(struct bus_dealers *dealers, usec_t now);
/* bus_link_ports.send, with the dealers as its context. */
bool bus_dealers_send(struct bus_dealers *dealers, const char *member, const struct bus_envelope *envelope,
    const struct buffer *payload, struct blob *body, usec_t now);
/* Those that wait to become writable. */
size_t bus_dealers_waiting(const struct bus_dealers *dealers);
/* Sets `sockets` (room for `bus_dealers_waiting`) ... */
void bus_dealers_list(const struct bus_dealers *dealers, void **sockets);
/* ... and this one is writable. */
void bus_dealers_writable(struct bus_dealers *dealers, void *socket);
/* Opens anew what could not connect for long. */
void bus_dealers_tick(struct bus_dealers *dealers, usec_t now);

/* A socket with what all of ours have: nothing lingers, both IP versions, bounds. Null with the sentence. */
void *bus_socket(void *context, int type, struct error *error);
void bus_socket_int(void *socket, int option, int value);

#endif
