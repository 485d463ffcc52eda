/* bus_local - the bus of one process; see bus.h */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/log.h"
#include "base/panic.h"
#include "cluster/bus.h"

enum { MAX_MEMBERS = 8 };

struct parcel {
    struct list link;
    struct bus_msg *msg;
    uint64_t cost;
};

struct inbox {
    char member[BUS_NAME_SIZE];
    void (*wake)(void *context);
    void *context;
    pthread_mutex_t lock;
    struct list parcels;
    size_t count;
    uint64_t bytes, dropped;
    _Atomic usec_t beat; /* 0 = none yet */
    atomic_bool away;    /* it has left, and has not beaten since */
};

struct bus_local {
    struct inbox inboxes[MAX_MEMBERS], gateway;
    size_t count;
    atomic_uint_fast64_t backlog;
};

static void inbox_open(struct inbox *inbox, const char *member, void (*wake)(void *context), void *context)
{
    must(strlen(member) < BUS_NAME_SIZE);
    snprintf(inbox->member, sizeof inbox->member, "%s", member);
    inbox->wake = wake;
    inbox->context = context;
    pthread_mutex_init(&inbox->lock, NULL);
    list_init(&inbox->parcels);
}

struct bus_local *bus_local_new(void)
{
    struct bus_local *bus = xcalloc(1, sizeof *bus);
    inbox_open(&bus->gateway, "", NULL, NULL);
    return bus;
}

static struct bus_msg *take(struct bus_local *bus, struct inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    struct list *link = list_pop(&inbox->parcels);
    struct parcel *parcel = link == NULL ? NULL : list_item(link, struct parcel, link);
    if (parcel != NULL) {
        inbox->count--;
        inbox->bytes -= parcel->cost;
    }
    pthread_mutex_unlock(&inbox->lock);
    if (parcel == NULL)
        return NULL;
    if (inbox != &bus->gateway)
        atomic_fetch_sub_explicit(&bus->backlog, parcel->cost, memory_order_relaxed);
    struct bus_msg *msg = parcel->msg;
    free(parcel);
    return msg;
}

static void inbox_close(struct bus_local *bus, struct inbox *inbox)
{
    for (struct bus_msg *msg; (msg = take(bus, inbox)) != NULL;)
        bus_msg_free(&msg);
    pthread_mutex_destroy(&inbox->lock);
}

void bus_local_free(struct bus_local **bus)
{
    struct bus_local *b = *bus;
    *bus = NULL;
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->count; i++)
        inbox_close(b, &b->inboxes[i]);
    inbox_close(b, &b->gateway);
    free(b);
}

void bus_local_set_gateway(struct bus_local *bus, void (*wake)(void *context), void *context)
{
    pthread_mutex_lock(&bus->gateway.lock);
    bus->gateway.wake = wake;
    bus->gateway.context = context;
    pthread_mutex_unlock(&bus->gateway.lock);
}

static struct inbox *find(struct bus_local *bus, const char *member)
{
    for (size_t i = 0; i < bus->count; i++)
        if (strcmp(bus->inboxes[i].member, member) == 0)
            return &bus->inboxes[i];
    return NULL;
}

void bus_local_join(struct bus_local *bus, const char *member, void (*wake)(void *context), void *context)
{
    struct inbox *inbox = find(bus, member);
    if (inbox == NULL) {
        must(bus->count < MAX_MEMBERS);
        inbox_open(&bus->inboxes[bus->count], member, wake, context);
        bus->count++;
        return;
    }
    pthread_mutex_lock(&inbox->lock);
    must(inbox->wake == NULL);
    inbox->wake = wake;
    inbox->context = context;
    pthread_mutex_unlock(&inbox->lock);
}

void bus_local_leave(struct bus_local *bus, const char *member)
{
    struct inbox *inbox = find(bus, member);
    must(inbox != NULL);
    pthread_mutex_lock(&inbox->lock);
    inbox->wake = NULL;
    pthread_mutex_unlock(&inbox->lock);
    for (struct bus_msg *msg; (msg = take(bus, inbox)) != NULL;)
        bus_msg_free(&msg);
    atomic_store_explicit(&inbox->beat, 0, memory_order_relaxed);
    atomic_store_explicit(&inbox->away, true, memory_order_relaxed);
}

/* About what the message takes in memory, without walking its texts. */
static uint64_t cost_of(const struct bus_msg *msg)
{
    uint64_t cost = BUS_MSG_OVERHEAD + msg->text_len + msg->item_count * sizeof *msg->items;
    if (msg->body != NULL)
        cost += msg->body->len;
    return msg->mail == NULL ? cost : cost + (uint64_t)msg->mail->recipient_count * 64;
}

/* What was dropped is told at the first, second, fourth, ... time: a full inbox has better things to do. */
static void tell_dropped(struct inbox *inbox, const struct bus_msg *msg, uint64_t times)
{
    if ((times & (times - 1)) != 0)
        return;
    if (inbox->member[0] == '\0')
        log_warn("bus", "%s for %s was dropped: %s (%llu times now)", bus_type_name(msg->type), msg->to,
            inbox->wake == NULL ? "no such member" : "too much waits to leave this process",
            (unsigned long long)times);
    else
        log_warn("bus", "%s for %s was dropped: %s (%llu times now)", bus_type_name(msg->type), msg->to,
            inbox->wake == NULL ? "it is being opened again" : "its inbox is full",
            (unsigned long long)times);
}

static bool has_room(const struct inbox *inbox, uint64_t cost, bool gateway)
{
    return inbox->wake != NULL && inbox->count < BUS_INBOX &&
           (!gateway || inbox->count == 0 || inbox->bytes + cost <= BUS_GATEWAY_BYTES);
}

/* False: dropped. Who has the inbox is woken under its lock, so that he can leave while others send. */
static bool put(struct bus_local *bus, struct inbox *inbox, struct bus_msg *msg)
{
    bool gateway = inbox == &bus->gateway;
    struct parcel *parcel = xcalloc(1, sizeof *parcel);
    parcel->msg = msg;
    parcel->cost = cost_of(msg);
    if (!gateway)
        atomic_fetch_add_explicit(&bus->backlog, parcel->cost, memory_order_relaxed);
    pthread_mutex_lock(&inbox->lock);
    bool taken = has_room(inbox, parcel->cost, gateway);
    if (taken) {
        inbox->bytes += parcel->cost;
        list_push_back(&inbox->parcels, &parcel->link);
        if (inbox->count++ == 0)
            inbox->wake(inbox->context);
    } else
        tell_dropped(inbox, msg, ++inbox->dropped);
    pthread_mutex_unlock(&inbox->lock);
    if (!taken) {
        if (!gateway)
            atomic_fetch_sub_explicit(&bus->backlog, parcel->cost, memory_order_relaxed);
        free(parcel);
        bus_msg_free(&msg);
    }
    return taken;
}

static void bus_local_send(void *context, struct bus_msg *msg)
{
    struct bus_local *bus = context;
    struct inbox *inbox = find(bus, msg->to);
    put(bus, inbox == NULL ? &bus->gateway : inbox, msg);
}

bool bus_local_deliver(struct bus_local *bus, struct bus_msg *msg)
{
    struct inbox *inbox = find(bus, msg->to);
    if (inbox != NULL)
        return put(bus, inbox, msg);
    bus_msg_free(&msg);
    return false;
}

struct bus bus_local_face(struct bus_local *bus)
{
    return (struct bus){.context = bus, .send = bus_local_send};
}

struct bus_msg *bus_local_receive(struct bus_local *bus, const char *member)
{
    struct inbox *inbox = member == NULL ? &bus->gateway : find(bus, member);
    must(inbox != NULL);
    return take(bus, inbox);
}

uint64_t bus_local_backlog(const struct bus_local *bus)
{
    return atomic_load_explicit(&bus->backlog, memory_order_relaxed);
}

void bus_local_beat(struct bus_local *bus, const char *member, usec_t now)
{
    struct inbox *inbox = find(bus, member);
    must(inbox != NULL);
    atomic_store_explicit(&inbox->beat, now, memory_order_relaxed);
    atomic_store_explicit(&inbox->away, false, memory_order_relaxed);
}

usec_t bus_local_last_beat(const struct bus_local *bus)
{
    usec_t last = 0;
    for (size_t i = 0; i < bus->count; i++) {
        usec_t beat = atomic_load_explicit(&bus->inboxes[i].beat, memory_order_relaxed);
        if (beat != 0 && (last == 0 || beat < last))
            last = beat;
    }
    return last;
}

bool bus_local_beats(const struct bus_local *bus, usec_t now)
{
    usec_t last = bus_local_last_beat(bus);
    for (size_t i = 0; i < bus->count; i++)
        if (atomic_load_explicit(&bus->inboxes[i].away, memory_order_relaxed))
            return false;
    return last == 0 || now - last <= BUS_BEAT_OLD;
}
