/* coordinator_state_uv - what the files of the coordinator's keeper share (coordinator_uv.c, intake*_uv.c
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
#include "base/work_loop_uv.h"
#include "coordinator/asking.h"
#include "coordinator/balancing.h"
#include "coordinator/coordinator_uv.h"
#include "coordinator/route.h"

/* What a door's contexts seal session tickets with, so that a client may come back on any loop. */
struct ticket_secret {
    uint8_t bytes[TLS_TICKET_SECRET];
};

/* One SMTP address we listen on. */
struct door {
    struct coordinator *coordinator;
    struct listener *listener;
    size_t index;
};

/* What a session that comes in at a door gets. Its own words: a reload may pass over it, and settings do not last. */
struct offer {
    char *listen;
    bool auth_required;
    struct tls_context *tls;
};

/* The SMTP sessions of one loop: the coordinator's own, or with coordinator.loops above 1 a work loop's. A work loop
 * touches nothing of the coordinator but what never changes (host, keys, tickets); the rest goes by errands
 * (intake_far_uv.c). */
struct intake {
    struct coordinator *coordinator;
    size_t number;
    const struct settings *settings;
    struct offer *offers; /* one a door */
    size_t offer_count;
    struct list sessions;
    struct heap timers;

    struct work_loop *work; /* null: the coordinator's own loop */
    struct outbox orders;   /* the coordinator's */
    size_t given;           /* sessions, as the coordinator counts them */
    uv_timer_t timer;       /* these two: the work loop's */
    usec_t armed;
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
    struct balancing *balancing;
    struct view *view;
    struct map waiters; /* token -> struct waiter */
    uint64_t last_token;

    struct door *doors;
    size_t door_count;
    struct ticket_secret *tickets; /* one a door; they never change */
    struct intake *intakes;
    size_t intake_count;
    struct inbox *inbox; /* of errands from work loops; null: there are none */
    size_t session_count;
    bool alone; /* the work loops have ended */
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
    void (*balanced)(void *arg, struct balance_plan *plan); /* the same */
    void *balanced_arg;
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

/* intake_uv.c: sessions */
bool intake_take(struct intake *intake, size_t door, uint64_t seed, struct stream *stream, const char *peer,
    const struct sockaddr *address, const struct stream_calls **calls_r, void **context_r);
void intake_tick(struct intake *intake, usec_t now);
usec_t intake_deadline(const struct intake *intake);
void intake_say_stop(struct intake *intake, usec_t now);
void intake_end_sessions(struct intake *intake);
struct session;
void session_answered(struct session *session, const struct front_outcome *outcome);

/* intake_doors_uv.c: where they come in */
int intake_open(struct coordinator *coordinator, struct error *error);
/* Reads the certificates again; one that can't be read stays as it was. */
void intake_reload(struct coordinator *coordinator);
void intake_stop(struct coordinator *coordinator, usec_t now);
void intake_end_all(struct coordinator *coordinator);
/* Work loops end, with all their sessions; what they still had for the coordinator is done. */
void intake_join(struct coordinator *coordinator);
void intake_close(struct coordinator *coordinator);
void intake_take_settings(struct intake *intake, const struct settings *settings);

/* intake_far_uv.c: sessions on work loops */
int intake_far_open(struct intake *intake, struct error *error);
/* A connection for it. False: it can't be given. */
bool intake_far_give(struct intake *intake, size_t door, uint64_t seed, const struct stream *stream);
void intake_far_gone(struct intake *intake); /* a session, on its loop */
struct handed;
/* Takes over one hold of each. */
struct handed *intake_far_submit(
    struct intake *intake, struct session *session, struct mail *mail, struct blob *body);
void intake_far_forget(struct handed *handed); /* the session has gone: nobody is to be told */
void intake_far_reload(struct intake *intake, const struct settings *settings);
void intake_far_stop(struct intake *intake);
void intake_far_end(struct intake *intake);
/* Hands over what was asked of the work loops. */
void intake_far_flush(struct coordinator *coordinator);

#endif
