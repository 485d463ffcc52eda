/* tcp_relay - see tcp_relay.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/tcp_relay.h"

static int tcp_socket(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void drop(int ends[2])
{
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
        ends[i] = -1;
    }
}

static void take(struct tcp_relay *relay)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)relay->server_port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int client = accept4(relay->listener, NULL, NULL, SOCK_CLOEXEC);
    int server = tcp_socket();
    for (int i = 0; relay->mode == RELAY_PASSES && i < RELAY_MAX; i++)
        if (relay->ends[i][0] < 0 && connect(server, (struct sockaddr *)&to, sizeof to) == 0) {
            relay->ends[i][0] = client;
            relay->ends[i][1] = server;
            return;
        }
    close(client);
    close(server);
}

static void move(int ends[2], int from)
{
    char bytes[16384];
    ssize_t got = read(ends[from], bytes, sizeof bytes);
    for (ssize_t sent = 0, now; got > 0 && sent < got; sent += now) {
        now = send(ends[1 - from], bytes + sent, (size_t)(got - sent), MSG_NOSIGNAL);
        if (now <= 0)
            got = 0;
    }
    if (got <= 0)
        drop(ends);
}

static void turn(struct tcp_relay *relay, struct pollfd *polled)
{
    if (relay->mode == RELAY_HOLDS)
        return;
    if (polled[0].revents != 0)
        take(relay);
    for (int i = 0; i < RELAY_MAX; i++)
        for (int side = 0; side < 2; side++)
            if (polled[1 + 2 * i + side].revents != 0 &&
                relay->ends[i][side] == polled[1 + 2 * i + side].fd && relay->ends[i][side] >= 0)
                move(relay->ends[i], side);
}

static void *run(void *context)
{
    struct tcp_relay *relay = context;
    struct pollfd polled[1 + 2 * RELAY_MAX];
    pthread_mutex_lock(&relay->lock);
    while (!relay->ending) {
        bool holds = relay->mode == RELAY_HOLDS;
        polled[0] = (struct pollfd){.fd = holds ? -1 : relay->listener, .events = POLLIN};
        for (int i = 0; i < RELAY_MAX; i++)
            for (int side = 0; side < 2; side++)
                polled[1 + 2 * i + side] =
                    (struct pollfd){.fd = holds ? -1 : relay->ends[i][side], .events = POLLIN};
        pthread_mutex_unlock(&relay->lock);
        poll(polled, 1 + 2 * RELAY_MAX, 10);
        pthread_mutex_lock(&relay->lock);
        turn(relay, polled);
    }
    pthread_mutex_unlock(&relay->lock);
    return NULL;
}

void tcp_relay_start(struct tcp_relay *relay, unsigned server_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    *relay = (struct tcp_relay){.server_port = server_port, .listener = tcp_socket()};
    for (int i = 0; i < RELAY_MAX; i++)
        relay->ends[i][0] = relay->ends[i][1] = -1;
    assert_int_equal(bind(relay->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(relay->listener, 16), 0);
    assert_int_equal(getsockname(relay->listener, (struct sockaddr *)&address, &len), 0);
    relay->port = ntohs(address.sin_port);
    pthread_mutex_init(&relay->lock, NULL);
    assert_int_equal(pthread_create(&relay->thread, NULL, run, relay), 0);
}

void tcp_relay_set(struct tcp_relay *relay, enum relay_mode mode)
{
    pthread_mutex_lock(&relay->lock);
    relay->mode = mode;
    for (int i = 0; mode == RELAY_CUTS && i < RELAY_MAX; i++)
        drop(relay->ends[i]);
    pthread_mutex_unlock(&relay->lock);
}

void tcp_relay_end(struct tcp_relay *relay)
{
    pthread_mutex_lock(&relay->lock);
    relay->ending = true;
    pthread_mutex_unlock(&relay->lock);
    pthread_join(relay->thread, NULL);
    for (int i = 0; i < RELAY_MAX; i++)
        drop(relay->ends[i]);
    close(relay->listener);
    pthread_mutex_destroy(&relay->lock);
}
