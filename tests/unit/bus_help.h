/* bus_help - processes with a bus between them, for tests: each a bus_local, a ZeroMQ door and the door's
 * thread
 *
 * A house is one process of a cluster: member "a" with its key. Houses are told of each other by
 * house_acquaint(). What a test sends goes through the house's bus as any member would send it; what arrives
 * is taken by house_receive(), which waits for at most HELP_PATIENCE. */
#ifndef TESTS_UNIT_BUS_HELP_H
#define TESTS_UNIT_BUS_HELP_H

#include <pthread.h>
#include <stdatomic.h>

#include "cluster/bus_zmq.h"

#define HELP_PATIENCE (20 * USEC_SEC)

struct house {
    char member[MEMBER_ID_SIZE], cluster[MEMBER_ID_SIZE];
    uint64_t process;
    struct bus_key key;
    char endpoint[MEMBER_ENDPOINT_SIZE];
    struct bus_local *local;
    struct bus bus;
    struct bus_zmq *door;
    pthread_t thread;
    atomic_bool stop;
    atomic_int wakes, silent, back; /* of its inbox; of the listener */
    atomic_int asked, set;          /* times something was to be set; was */
    pthread_mutex_t lock;           /* of what follows: what the door's thread has to set */
    struct bus_peer *peers;
    struct bus_allowed *allowed;
    size_t peer_count, allowed_count;
};

/* Opens it on a free port of 127.0.0.1, or at `endpoint` if that is not null. */
void house_open(
    struct house *house, const char *member, const struct bus_zmq_settings *settings, const char *endpoint);
void house_close(struct house *house);
/* When it returns these know each other, and nobody else. */
void house_acquaint(struct house **houses, size_t count);
void house_set_peers(struct house *house, const struct bus_peer *peers, size_t count);
void house_set_allowed(struct house *house, const struct bus_allowed *allowed, size_t count);
/* What came for this house's member; null when nothing does. */
struct bus_msg *house_receive(struct house *house, usec_t patience);
/* A message with a body of `len` octets, each (char)ref. */
void house_send_body(struct house *house, const char *to, uint64_t ref, size_t len);
void house_send_ask(struct house *house, const char *to, uint64_t ref);
/* Waits until the condition holds; true if it does. */
#define help_until(condition) help_wait(condition, HELP_PATIENCE)
#define help_wait(condition, patience)                                                                       \
    __extension__({                                                                                          \
        usec_t help_end = clock_now() + (patience);                                                          \
        while (!(condition) && clock_now() < help_end)                                                       \
            usleep(1000);                                                                                    \
        (condition);                                                                                         \
    })
struct mail *help_mail(uint64_t number, size_t body_len);

#endif
