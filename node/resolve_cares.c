/* resolve_cares - see resolve_cares.h
 *
 * c-ares opens and closes its own sockets and tells us which to watch; each gets a uv_poll. One uv_timer does
 * the rest: it stands at c-ares' next deadline, or at "now" when new questions wait. Questions are only ever
 * put from that timer or after a poll's work, since c-ares may answer at once from within ares_query, and the
 * core must not be called from within its own call.
 *
 * Pace: a server's socket buffer holds some 250 small datagrams, and what doesn't fit is lost until the next
 * round. So questions are put by the dozen, a millisecond apart.
 *
 * Time: c-ares gives each server T on the first round, 2 T on the second, 4 T on the third, so
 * T = timeout / (7 servers) makes the rounds last `timeout`. Memory: one small block a question; the core
 * bounds how many there are. Errors: what c-ares says goes to the core as a sentence; a packet that came with
 * a "no" goes there as a packet, for its TTL. */
#include "node/resolve_cares.h"

#include <ares.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/list.h"
#include "base/panic.h"

enum {
    IN_FLIGHT = 512,
    A_TURN = 64, /* questions put at once */
    ROUNDS = 3,
    LEAST_TIMEOUT_MS = 50,
    CLASS_IN = 1,
    EDNS_SIZE = 1232, /* what crosses every path unfragmented */
};

struct resolver_cares {
    uv_loop_t *loop;
    ares_channel channel;
    struct resolve *core;
    uv_timer_t timer;
    bool kicked;
    bool stopping;
    usec_t timeout;
    size_t in_flight;
    size_t handles; /* not yet closed, the timer among them */
    struct list waiting;
    struct list sockets;
};

struct question {
    struct list link; /* in waiting */
    struct resolver_cares *door;
    enum dns_type type;
    char name[];
};

struct watched {
    struct list link;
    struct resolver_cares *door;
    uv_poll_t poll;
    ares_socket_t fd;
};

static void handle_closed(struct resolver_cares *door)
{
    if (--door->handles == 0)
        free(door);
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct watched *watched = handle->data;
    struct resolver_cares *door = watched->door;
    free(watched);
    handle_closed(door);
}

static void on_timer(uv_timer_t *timer);

/* Lets the timer stand at c-ares' next deadline. */
static void set_timer(struct resolver_cares *door)
{
    struct timeval space;
    struct timeval *next = ares_timeout(door->channel, NULL, &space);
    if (next == NULL) {
        uv_timer_stop(&door->timer);
        return;
    }
    uint64_t ms = (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1;
    uv_timer_start(&door->timer, on_timer, ms, 0);
}

/* The words for an operator. */
static void say_why(char *out, size_t size, int status, usec_t timeout)
{
    if (status == ARES_ETIMEOUT)
        snprintf(out, size, "no DNS server answered within %lld ms", (long long)(timeout / USEC_MS));
    else if (status == ARES_ECONNREFUSED)
        snprintf(out, size, "no DNS server could be reached (see `resolver.servers`)");
    else if (status == ARES_ESERVFAIL || status == ARES_EREFUSED || status == ARES_ENOTIMP)
        snprintf(out, size, "the DNS servers answer with an error (%s)", ares_strerror(status));
    else
        snprintf(out, size, "the DNS question failed: %s", ares_strerror(status));
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *packet, int len)
{
    (void)timeouts;
    struct question *question = arg;
    struct resolver_cares *door = question->door;
    door->in_flight--;
    if (door->stopping || door->core == NULL) {
        free(question);
        return;
    }
    if (packet != NULL && len > 0) {
        resolve_packet(door->core, question->name, question->type, packet, (size_t)len, clock_now());
    } else {
        char why[128];
        say_why(why, sizeof why, status, door->timeout);
        resolve_failed(door->core, question->name, question->type, why, clock_now());
    }
    free(question);
}

static void put_questions(struct resolver_cares *door)
{
    for (int put = 0; put < A_TURN && door->in_flight < IN_FLIGHT; put++) {
        struct list *link = list_pop(&door->waiting);
        if (link == NULL)
            break;
        struct question *question = list_item(link, struct question, link);
        door->in_flight++;
        ares_query(door->channel, question->name, CLASS_IN, (int)question->type, on_answer, question);
    }
}

/* Comes after every piece of work: the next turn for questions, or c-ares' next deadline. */
static void plan_next(struct resolver_cares *door)
{
    door->kicked = !list_empty(&door->waiting) && door->in_flight < IN_FLIGHT;
    if (door->kicked)
        uv_timer_start(&door->timer, on_timer, 1, 0);
    else
        set_timer(door);
}

static void on_timer(uv_timer_t *timer)
{
    struct resolver_cares *door = timer->data;
    door->kicked = true; /* what is asked by answers meanwhile is seen below */
    ares_process_fd(door->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    put_questions(door);
    plan_next(door);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct watched *watched = poll->data;
    bool broken = status < 0;
    struct resolver_cares *door = watched->door;
    bool kicked = door->kicked;
    door->kicked = true;
    ares_process_fd(door->channel, broken || (events & UV_READABLE) != 0 ? watched->fd : ARES_SOCKET_BAD,
        broken || (events & UV_WRITABLE) != 0 ? watched->fd : ARES_SOCKET_BAD);
    door->kicked = kicked;
    if (!kicked)
        plan_next(door);
}

static struct watched *watched_find(struct resolver_cares *door, ares_socket_t fd)
{
    list_each (link, &door->sockets) {
        struct watched *watched = list_item(link, struct watched, link);
        if (watched->fd == fd)
            return watched;
    }
    return NULL;
}

static struct watched *watched_new(struct resolver_cares *door, ares_socket_t fd)
{
    struct watched *watched = xcalloc(1, sizeof *watched);
    watched->door = door;
    watched->fd = fd;
    watched->poll.data = watched;
    if (uv_poll_init(door->loop, &watched->poll, fd) != 0) {
        /* Not watchable: the question runs into its timeout. */
        free(watched);
        return NULL;
    }
    door->handles++;
    list_push_back(&door->sockets, &watched->link);
    return watched;
}

/* Called by c-ares when it wants to be told of a socket, and before it closes one. */
static void on_socket(void *context, ares_socket_t fd, int readable, int writable)
{
    struct resolver_cares *door = context;
    struct watched *watched = watched_find(door, fd);
    int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    if (watched == NULL && events != 0)
        watched = watched_new(door, fd);
    if (watched == NULL)
        return;
    if (events != 0) {
        uv_poll_start(&watched->poll, events, on_poll);
        return;
    }
    uv_poll_stop(&watched->poll);
    list_remove(&watched->link);
    uv_close((uv_handle_t *)&watched->poll, on_poll_closed);
}

static int open_channel(
    ares_channel *channel_r, int timeout_ms, struct resolver_cares *door, struct error *error)
{
    struct ares_options options = {
        .flags = ARES_FLAG_EDNS,
        .ednspsz = EDNS_SIZE,
        .timeout = timeout_ms,
        .tries = ROUNDS,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = door,
    };
    int status = ares_init_options(channel_r, &options,
        ARES_OPT_FLAGS | ARES_OPT_EDNSPSZ | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status == ARES_SUCCESS)
        return 0;
    return error_set(
        error, "the DNS client could not start: %s; check /etc/resolv.conf", ares_strerror(status));
}

static int system_server_count(struct resolver_cares *door, size_t *count_r, struct error *error)
{
    ares_channel channel;
    struct ares_addr_port_node *servers = NULL;
    if (open_channel(&channel, 1000, door, error) != 0)
        return -1;
    *count_r = 0;
    if (ares_get_servers_ports(channel, &servers) == ARES_SUCCESS)
        for (struct ares_addr_port_node *s = servers; s != NULL; s = s->next)
            ++*count_r;
    if (servers != NULL)
        ares_free_data(servers);
    ares_destroy(channel);
    return 0;
}

static int set_servers(
    ares_channel channel, const char *const *servers, size_t server_count, struct error *error)
{
    struct buffer list = {0};
    for (size_t i = 0; i < server_count; i++) {
        bool lone = servers[i][0] != '\0' && strpbrk(servers[i], ", \t") == NULL;
        buffer_printf(&list, "%s%s", i == 0 ? "" : ",", lone ? servers[i] : "?");
    }
    int status = ares_set_servers_ports_csv(channel, buffer_text(&list));
    if (status != ARES_SUCCESS)
        error_set(error,
            "resolver.servers: \"%.200s\" can't be used (%s); write addresses like \"127.0.0.53:5353\" or "
            "\"[::1]:53\"",
            buffer_text(&list), ares_strerror(status));
    buffer_free(&list);
    return status == ARES_SUCCESS ? 0 : -1;
}

static int set_up(
    struct resolver_cares *door, const char *const *servers, size_t server_count, struct error *error)
{
    size_t count = server_count;
    if (count == 0 && system_server_count(door, &count, error) != 0)
        return -1;
    usec_t rounds = (usec_t)(count == 0 ? 1 : count) * ((1 << ROUNDS) - 1);
    usec_t ms = door->timeout / USEC_MS / rounds;
    ms = ms < LEAST_TIMEOUT_MS ? LEAST_TIMEOUT_MS : ms;
    ms = ms > 60000 ? 60000 : ms;
    if (open_channel(&door->channel, (int)ms, door, error) != 0)
        return -1;
    if (server_count == 0 || set_servers(door->channel, servers, server_count, error) == 0)
        return 0;
    ares_destroy(door->channel);
    return -1;
}

struct resolver_cares *resolver_cares_start(struct uv_loop_s *loop, const char *const *servers,
    size_t server_count, usec_t timeout, struct error *error)
{
    int status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status != ARES_SUCCESS) {
        error_set(error, "the DNS client could not start: %s", ares_strerror(status));
        return NULL;
    }
    struct resolver_cares *door = xcalloc(1, sizeof *door);
    door->loop = loop;
    door->timeout = timeout;
    list_init(&door->waiting);
    list_init(&door->sockets);
    if (set_up(door, servers, server_count, error) != 0) {
        free(door);
        ares_library_cleanup();
        return NULL;
    }
    uv_timer_init(loop, &door->timer);
    door->timer.data = door;
    door->handles = 1;
    return door;
}

void resolver_cares_attach(struct resolver_cares *door, struct resolve *core)
{
    door->core = core;
}

void resolver_cares_ask(void *context, const char *name, enum dns_type type)
{
    struct resolver_cares *door = context;
    size_t len = strlen(name);
    struct question *question = xcalloc(1, sizeof *question + len + 1);
    must(!door->stopping);
    question->door = door;
    question->type = type;
    memcpy(question->name, name, len);
    list_push_back(&door->waiting, &question->link);
    if (door->kicked || door->in_flight >= IN_FLIGHT)
        return;
    door->kicked = true;
    uv_timer_start(&door->timer, on_timer, 0, 0);
}

void resolver_cares_stop(struct resolver_cares **door)
{
    struct resolver_cares *d = *door;
    *door = NULL;
    if (d == NULL)
        return;
    d->stopping = true;
    ares_destroy(d->channel);
    list_each_safe (link, &d->waiting)
        free(list_item(link, struct question, link));
    uv_close((uv_handle_t *)&d->timer, on_timer_closed);
    ares_library_cleanup();
}
