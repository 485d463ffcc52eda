/* bus_local - the bus of one process; see bus.h */
#include <pthread.h>
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
};

struct inbox {
    char member[BUS_NAME_SIZE];
    void (*wake)(void *context);
    void *context;
    pthread_mutex_t lock;
    struct list parcels;
    size_t count;
};

struct bus_local {
    struct inbox inboxes[MAX_MEMBERS];
    size_t count;
};

struct bus_local *bus_local_new(void)
{
    return xcalloc(1, sizeof(struct bus_local));
}

void bus_local_free(struct bus_local **bus)
{
    struct bus_local *b = *bus;
    *bus = NULL;
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->count; i++) {
        for (struct bus_msg *msg; (msg = bus_local_receive(b, b->inboxes[i].member)) != NULL;)
            bus_msg_free(&msg);
        pthread_mutex_destroy(&b->inboxes[i].lock);
    }
    free(b);
}

void bus_local_join(struct bus_local *bus, const char *member, void (*wake)(void *context), void *context)
{
    must(bus->count < MAX_MEMBERS && strlen(member) < BUS_NAME_SIZE);
    struct inbox *inbox = &bus->inboxes[bus->count++];
    snprintf(inbox->member, sizeof inbox->member, "%s", member);
    inbox->wake = wake;
    inbox->context = context;
    pthread_mutex_init(&inbox->lock, NULL);
    list_init(&inbox->parcels);
}

static struct inbox *find(struct bus_local *bus, const char *member)
{
    for (size_t i = 0; i < bus->count; i++)
        if (strcmp(bus->inboxes[i].member, member) == 0)
            return &bus->inboxes[i];
    return NULL;
}

static void bus_local_send(void *context, struct bus_msg *msg)
{
    struct inbox *inbox = find(context, msg->to);
    struct parcel *parcel = inbox == NULL ? NULL : xcalloc(1, sizeof *parcel);
    bool first = false, taken = false;
    if (parcel != NULL) {
        parcel->msg = msg;
        pthread_mutex_lock(&inbox->lock);
        taken = inbox->count < BUS_INBOX;
        if (taken) {
            first = inbox->count++ == 0;
            list_push_back(&inbox->parcels, &parcel->link);
        }
        pthread_mutex_unlock(&inbox->lock);
    }
    if (!taken) {
        log_warn("bus", "a %s for %s was dropped: %s", bus_type_name(msg->type), msg->to,
            inbox == NULL ? "no such member" : "its inbox is full");
        free(parcel);
        bus_msg_free(&msg);
    } else if (first)
        inbox->wake(inbox->context);
}

struct bus bus_local_face(struct bus_local *bus)
{
    return (struct bus){.context = bus, .send = bus_local_send};
}

struct bus_msg *bus_local_receive(struct bus_local *bus, const char *member)
{
    struct inbox *inbox = find(bus, member);
    must(inbox != NULL);
    pthread_mutex_lock(&inbox->lock);
    struct list *link = list_pop(&inbox->parcels);
    if (link != NULL)
        inbox->count--;
    pthread_mutex_unlock(&inbox->lock);
    if (link == NULL)
        return NULL;
    struct parcel *parcel = list_item(link, struct parcel, link);
    struct bus_msg *msg = parcel->msg;
    free(parcel);
    return msg;
}
