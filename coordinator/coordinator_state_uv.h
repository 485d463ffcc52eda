/* coordinator_state_uv - what the files of the coordinator's keeper share (coordinator_uv.c, intake_uv.c
 * only) */
#ifndef COORDINATOR_COORDINATOR_STATE_UV_H
#define COORDINATOR_COORDINATOR_STATE_UV_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/random.h"
#include "base/stream_uv.h"
#include "coordinator/asking.h"
#include "coordinator/coordinator_uv.h"
#include "coordinator/route.h"

/* One SMTP address we listen on. */
struct door {
    struct coordinator *coordinator;
    const struct setting_listener *setting;
    struct listener *listener;
    struct tls_context *tls;
};

struct coordinator {
    const struct settings *settings;
    struct keys *keys;
    struct bus_local *bus;
    struct bus bus_face;
    char member[BUS_NAME_SIZE], host[256];
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer;
    uv_prepare_t prepare;
    usec_t armed;
    struct random random;

    struct route *route;
    struct asking *asking;
    struct view *view;
    struct map waiters; /* token -> struct waiter */
    uint64_t last_token;

    struct door *doors;
    size_t door_count;
    struct tls_context **former; /* contexts that sessions may still use: freed at the end */
    size_t former_count;
    struct list sessions;
    struct heap session_timers;
    size_t session_count;
    bool stopping;
    usec_t stop_by;

    pthread_mutex_t lock; /* guards what other threads leave here: */
    struct list calls;    /* struct call */
    struct view *new_view;
    const struct settings *new_settings;
    bool told_to_stop;
    struct view *last_view;
    struct holds *holds; /* or null */
    bool news;           /* of `holds`, and these two: */
    uint64_t config;     /* in force */
    char away[300];      /* why the store does not answer; "" = it does */

    void (*figures)(void *arg, struct buffer *out); /* or null; set before the loop runs */
    void *figures_arg;
};

/* Who is told what became of a submission: a front's caller, or an SMTP session (null once it has gone). */
struct waiter {
    uint64_t token;
    front_submitted *done;
    void *arg;
};

/* Takes over one hold of each; `done` is called on this thread. */
struct waiter *coordinator_submit(struct coordinator *coordinator, struct mail *mail, struct blob *body,
    front_submitted *done, void *arg, usec_t now);

/* intake_uv.c */
int intake_open(struct coordinator *coordinator, struct error *error);
/* Reads the certificates again; one that can't be read stays as it was. */
void intake_reload(struct coordinator *coordinator);
void intake_stop(struct coordinator *coordinator, usec_t now);
void intake_end_all(struct coordinator *coordinator);
void intake_tick(struct coordinator *coordinator, usec_t now);

#endif
