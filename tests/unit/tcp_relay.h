/* tcp_relay - a wire between a client and a server of 127.0.0.1 that a test can cut
 *
 * RELAY_PASSES: bytes go both ways. RELAY_HOLDS: nothing is read or taken any more, connections stay (what a
 * dropped packet looks like). RELAY_CUTS: all connections are closed, and new ones at once. */
#ifndef TESTS_TCP_RELAY_H
#define TESTS_TCP_RELAY_H

#include <pthread.h>
#include <stdbool.h>

#define RELAY_MAX 16

enum relay_mode { RELAY_PASSES, RELAY_HOLDS, RELAY_CUTS };

struct tcp_relay {
    pthread_mutex_t lock;
    pthread_t thread;
    enum relay_mode mode;
    bool ending;
    int listener;
    unsigned port, server_port;
    int ends[RELAY_MAX][2]; /* client, server; -1 = free */
};

/* Listens on a free port, `relay->port`. */
void tcp_relay_start(struct tcp_relay *relay, unsigned server_port);
void tcp_relay_set(struct tcp_relay *relay, enum relay_mode mode);
void tcp_relay_end(struct tcp_relay *relay);

#endif
