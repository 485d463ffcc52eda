/* link_uv - the core's sessions on real connections, of the core's own loop; link_far_uv.c has the others
 *
 * The core's calls only note what is wanted; links_flush does it after the core has returned, so that nothing
 * calls back in. While bytes are with the kernel by reference, nothing is read: the core then can't let go of
 * what is still being sent. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/keeper_state_uv.h"

enum { SEGMENTS = 32 };

static struct link *link_of(struct keeper *keeper, uint32_t session)
{
    return session == 0 || session > keeper->link_room ? NULL : keeper->links[session - 1];
}

void link_dirty(struct link *link)
{
    if (!list_linked(&link->dirty))
        list_push_back(&link->keeper->dirty, &link->dirty);
}

static void on_connected(void *context)
{
    struct link *link = context;
    node_connected(link->keeper->node, link->session, clock_now());
    links_flush(link->keeper);
}

static void on_received(void *context, const char *bytes, size_t len)
{
    struct link *link = context;
    node_received(link->keeper->node, link->session, bytes, len, clock_now());
    links_flush(link->keeper);
}

static void on_writable(void *context)
{
    struct link *link = context;
    link_dirty(link);
    links_flush(link->keeper);
}

static void on_secured(void *context, bool ok, const char *detail)
{
    struct link *link = context;
    node_secured(link->keeper->node, link->session, ok, detail, clock_now());
    links_flush(link->keeper);
}

void link_gone(struct link *link, const char *why)
{
    struct keeper *keeper = link->keeper;
    uint32_t session = link->session;
    list_remove(&link->dirty);
    keeper->links[session - 1] = NULL;
    free(link);
    node_closed(keeper->node, session, why, clock_now());
    links_flush(keeper);
}

static void on_closed(void *context, const char *why)
{
    link_gone(context, why[0] == '\0' ? "closed by the peer" : why);
}

static const struct stream_calls calls = {.connected = on_connected,
    .received = on_received,
    .writable = on_writable,
    .secured = on_secured,
    .closed = on_closed};

static void socket_address(const struct mx_address *address, uint16_t port, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    out->ss_family = (sa_family_t)address->family;
    if (address->family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_port = htons(port);
        memcpy(&v4->sin_addr, address->bytes, 4);
    } else {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
        v6->sin6_port = htons(port);
        memcpy(&v6->sin6_addr, address->bytes, 16);
    }
}

static void keep_link(struct keeper *keeper, struct link *link)
{
    if (link->session > keeper->link_room) {
        size_t room = 2 * (size_t)link->session;
        keeper->links = xrealloc(keeper->links, room * sizeof(struct link *));
        memset(keeper->links + keeper->link_room, 0, (room - keeper->link_room) * sizeof(struct link *));
        keeper->link_room = room;
    }
    must(keeper->links[link->session - 1] == NULL);
    keeper->links[link->session - 1] = link;
}

static void port_connect(
    void *context, uint32_t session, const char *source, const struct mx_address *address, uint16_t port)
{
    struct keeper *keeper = context;
    struct sockaddr_storage from, to;
    socklen_t len;
    struct error error = {.text = "the source address can't be read"};
    struct link *link = xcalloc(1, sizeof *link);
    link->keeper = keeper;
    link->session = session;
    keep_link(keeper, link);
    socket_address(address, port, &to);
    bool known = stream_parse_address(source, 0, &from, &len, &error) == 0;
    if (known && keeper->crew != NULL)
        far_connect(link, &from, &to);
    else if (known)
        link->stream = stream_connect(&keeper->loop, (struct sockaddr *)&from, (struct sockaddr *)&to,
            keeper->settings->delivery.connect_timeout, &calls, link, &error);
    if (link->stream == NULL && link->far == NULL) { /* told when the core has returned */
        snprintf(link->why, sizeof link->why, "%.250s", error.text);
        link_dirty(link);
    }
}

static void port_output(void *context, uint32_t session)
{
    struct link *link = link_of(context, session);
    if (link != NULL)
        link_dirty(link);
}

static void port_start_tls(void *context, uint32_t session, const char *host)
{
    struct link *link = link_of(context, session);
    must(link != NULL);
    link->wants_tls = true;
    snprintf(link->host, sizeof link->host, "%s", host);
    link_dirty(link);
}

static void port_close(void *context, uint32_t session, bool gently)
{
    struct link *link = link_of(context, session);
    if (link == NULL)
        return;
    link->ending = true;
    link->gently = gently;
    link_dirty(link);
}

void link_ports(struct node_ports *ports)
{
    ports->connect = port_connect;
    ports->output = port_output;
    ports->start_tls = port_start_tls;
    ports->close = port_close;
}

static void send_output(struct link *link)
{
    struct iovec segments[SEGMENTS];
    struct node *node = link->keeper->node;
    for (size_t count; !stream_writing(link->stream) &&
                       (count = node_output(node, link->session, segments, SEGMENTS)) > 0;) {
        size_t taken = stream_write(link->stream, segments, count);
        if (taken == 0)
            return;
        node_sent(node, link->session, taken, clock_now());
    }
}

static void flush(struct link *link)
{
    if (link->far != NULL) {
        far_flush(link);
        return;
    }
    if (link->stream == NULL) {
        char why[sizeof link->why];
        memcpy(why, link->why, sizeof why);
        link_gone(link, why);
        return;
    }
    send_output(link);
    bool busy = stream_writing(link->stream);
    if (busy != link->held_back && !link->ending) {
        link->held_back = busy;
        stream_pause(link->stream, busy);
    }
    if (link->wants_tls && !busy) {
        link->wants_tls = false;
        stream_start_tls(link->stream, link->keeper->tls, false, link->host);
    }
    if (link->ending)
        stream_close(link->stream, link->gently);
}

/* What a flush brings about is done by the same loop: a thousand connections that can't even start must not
 * pile up on the stack. */
void links_flush(struct keeper *keeper)
{
    if (keeper->flushing)
        return;
    keeper->flushing = true;
    for (struct list *at; (at = list_pop(&keeper->dirty)) != NULL;)
        flush(list_item(at, struct link, dirty));
    keeper->flushing = false;
}

void links_end_all(struct keeper *keeper)
{
    for (size_t i = 0; i < keeper->link_room; i++)
        if (keeper->links[i] != NULL && keeper->links[i]->stream != NULL)
            stream_close(keeper->links[i]->stream, false);
        else if (keeper->links[i] != NULL && keeper->links[i]->far != NULL)
            far_end(keeper->links[i], false);
}
