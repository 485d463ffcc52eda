/* kv_etcd_inside_grpc - what the files of the etcd client share (kv_etcd*_grpc.c only)
 *
 * One lock guards everything. Calls are started under it from any thread; one thread, the poller, takes their
 * completions out of gRPC's queue and is the only one that ends calls, requests and watches. `done` and
 * `told` are called by the poller without the lock; meanwhile others may only add (requests, watches, calls),
 * so the poller's lists stay walkable.
 *
 * kv_etcd_age_grpc.c       whether it is the store that this member knows
 * kv_etcd_call_grpc.c      one call, unary or a stream, from its start to its status
 * kv_etcd_endpoint_grpc.c  the members: channels, probes, which one is used, what to say when none answers
 * kv_etcd_login_grpc.c     the user's token
 * kv_etcd_read_grpc.c      what a request asks for: checked, encoded
 * kv_etcd_request_grpc.c   requests: pages, tries, outcomes
 * kv_etcd_watch_grpc.c     watches: list, stream, gaps
 * kv_etcd_grpc.c           opening, closing, the poller */
#ifndef CLUSTER_KV_ETCD_INSIDE_GRPC_H
#define CLUSTER_KV_ETCD_INSIDE_GRPC_H

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <pthread.h>

#include "base/arena.h"
#include "base/list.h"
#include "cluster/kv_etcd_grpc.h"
#include "proto/etcd_wire.h"

#define PROBE_EVERY USEC_SEC               /* an endpoint that has not answered for so long is asked */
#define PROBE_PATIENCE (1500 * USEC_MS)    /* ... and has so long for it */
#define PROBE_PAUSE (200 * USEC_MS)        /* between two probes of one that does not answer */
#define AWAY_AFTER (3 * USEC_SEC)          /* watches are told */
#define TICK (100 * USEC_MS)               /* how late the poller may notice that something is due */
#define LOGIN_PAUSE USEC_SEC               /* between two tries with a password that was refused */
#define WATCH_PAUSE (200 * USEC_MS)        /* before a broken stream is opened again */
#define WATCH_REFUSED_PAUSE (1 * USEC_SEC) /* before one is that etcd refused */

struct endpoint {
    char *text; /* "http://127.0.0.1:2379", as the operator wrote it */
    char *name; /* "127.0.0.1:2379" */
    grpc_channel *channel;
    struct call *probe;
    usec_t probe_at;  /* not before */
    struct error why; /* "" = no failure since it answered last */
    bool bad_tls;
};

struct call;
typedef void call_over(struct call *call);
typedef void call_heard(struct call *call, const void *bytes, size_t len);

struct call_tag {
    struct call *call;
    bool receives;
};

/* `over` is called once, by the poller, under the lock, with status, details and (a unary one) the answer;
 * then the call is freed. `heard` is called for each message of a stream. A null owner: the caller has
 * forgotten it. */
struct call {
    struct list link;
    struct kv_etcd *etcd;
    struct endpoint *endpoint;
    void *owner;
    call_over *over;
    call_heard *heard; /* streams only */
    uint64_t token;    /* the number of the token that it carried */
    grpc_call *call;
    grpc_byte_buffer *sent, *received;
    grpc_metadata metadata[2];
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
    struct call_tag plain, receiving;
    unsigned batches; /* in flight */
    bool cancelled;
};

struct call_wish {
    const char *method;
    struct buffer *message;
    usec_t patience; /* 0 = as long as it lives */
    bool bare;       /* without token, and also from a member that knows of no leader */
    void *owner;
    call_over *over;
    call_heard *heard;
};

struct request {
    struct list link; /* etcd->waiting or etcd->running */
    struct kv_etcd *etcd;
    struct call *call;
    enum kv_verb verb;
    kv_done *done;
    void *arg;
    usec_t until;
    bool tried;    /* an attempt may have reached etcd */
    bool relogged; /* it has had its new token */
    struct buffer message;
    struct kv_result result;
    struct error why;
    /* KV_RANGE: what was asked for, where the next page begins, and what came */
    char *key, *end;
    size_t key_len, end_len;
    struct arena memory;
    struct kv_pair *pairs;
    size_t pair_count, pair_size, bytes;
    const char *cursor;
    uint64_t at;      /* the revision of all pages */
    uint64_t floor;   /* the highest revision that was seen when it was sent */
    uint64_t history; /* whose pages these are */
};

enum watch_state { WATCH_TO_LIST, WATCH_LISTING, WATCH_TO_OPEN, WATCH_OPENING, WATCH_OPEN };

/* TO_LIST -> LISTING -> TO_OPEN -> OPENING -> OPEN; a broken stream goes back to TO_OPEN, a compaction or a
 * silence to TO_LIST. */
struct kv_watch {
    struct list link;
    struct kv_etcd *etcd;
    char *prefix;
    kv_told *told;
    void *arg;
    enum watch_state state;
    struct call *call;
    uint64_t next;  /* the first revision that was not told yet */
    usec_t try_at;  /* TO_LIST, TO_OPEN: not before */
    usec_t well_at; /* when it was OPEN last */
    bool away;      /* told so; a list comes next */
    bool relogged, dead;
    struct error why;
};

enum look_step { LOOK_WORD, LOOK_VIEW, LOOK_REGISTER, LOOK_STEPS };

struct store_guard {
    bool on;
    char keys[LOOK_STEPS][KV_MAX_KEY]; /* "" = not looked at */
    struct store_age age;
    bool fresh;   /* it was looked at, or told something */
    bool checked; /* on this connection: it is the one that is known */
    bool doubted; /* maybe no longer */
    bool other;   /* it is not: `why` */
    struct error why;
    uint64_t history;       /* rises with each word of an operator */
    struct store_look look; /* under way: */
    enum look_step step;
    struct call *call;
    usec_t look_at; /* not before */
};

struct kv_etcd {
    pthread_mutex_t lock;
    pthread_cond_t told; /* `telling` has changed */
    pthread_t poller;
    grpc_completion_queue *queue;
    grpc_channel_credentials *credentials;
    struct endpoint *endpoints;
    size_t endpoint_count;
    struct endpoint *current, *answered;
    bool well;      /* `current` answers */
    bool ever_well; /* one has answered since the opening */
    bool closing;
    usec_t answered_at;
    char *user, *password; /* null = none */
    struct buffer token;
    uint64_t token_number;
    struct call *login;
    usec_t login_at; /* not before */
    bool no_auth;    /* this etcd knows no passwords */
    struct store_guard guard;
    struct list calls, waiting, running, watches;
    struct kv_watch *telling;
};

/* ---- calls ---- */

struct call *call_start(struct kv_etcd *etcd, struct endpoint *endpoint, const struct call_wish *wish);
/* Its `over` still comes. */
void call_cancel(struct call *call);
/* A completion from the queue; the lock is held. */
void call_event(const grpc_event *event);
/* The answer of a unary call; call_answer_free() when read. Length 0 and null when there is none. */
grpc_slice call_answer(struct call *call);
/* Its status and details as text: `out` takes `size`. */
void call_details(const struct call *call, char *out, size_t size);
bool call_says(const struct call *call, const char *text);
/* etcd (or gRPC before it) says no, and nothing was changed. */
bool call_is_refusal(const struct call *call);

/* ---- endpoints ---- */

int endpoints_open(struct kv_etcd *etcd, const struct settings *settings, struct error *error);
void endpoints_close(struct kv_etcd *etcd);
void endpoints_tick(struct kv_etcd *etcd, usec_t now);
void endpoint_answered(struct endpoint *endpoint, struct kv_etcd *etcd, usec_t now);
/* What ended this call throws doubt on its endpoint: it is probed before anything else is asked of it. */
void endpoint_doubt(struct call *call);
/* One sentence on why nothing can be asked just now; true if asking again won't help. */
bool endpoints_why(const struct kv_etcd *etcd, struct error *why);
void endpoints_log(void); /* gRPC's own lines go to our log */

/* ---- login ---- */

/* A member answers, and the token is there if one is needed. Starts what is missing. */
bool login_has_token(struct kv_etcd *etcd, usec_t now);
/* ... and it is the store that is known: requests can be started. */
bool login_ready(struct kv_etcd *etcd, usec_t now);
/* If the call was refused because of its token (or the lack of one), forgets the token. */
bool login_forget(const struct call *call);

/* ---- whose store it is ---- */

/* Starts a look if one is due. */
void guard_tick(struct kv_etcd *etcd, usec_t now);
/* The connection is gone: whatever comes next is looked at first. */
void guard_leave(struct kv_etcd *etcd);
bool guard_passes(const struct kv_etcd *etcd);
/* Null, or the sentence with which everything is answered. */
const char *guard_refuses(const struct kv_etcd *etcd);
/* The header of a linearizable answer, and seen.revision as it was when that was asked; false: nothing of it may be
 * used, and a look is due. */
bool guard_fits(struct kv_etcd *etcd, const struct etcd_header *header, uint64_t floor);
/* The header of any other answer. */
void guard_hint(struct kv_etcd *etcd, const struct etcd_header *header);

/* ---- requests ---- */

void kv_etcd_request(void *context, const struct kv_request *request, kv_done *done, void *arg);
/* Checks and encodes what is asked; -1 with the reason in the request's `why`. */
int request_read(struct request *request, const struct kv_request *asked);
void requests_tick(struct kv_etcd *etcd, usec_t now);
/* What waits ends with `why`: refused, or at the closing unknown. */
void requests_end_waiting(struct kv_etcd *etcd, enum kv_outcome outcome, const char *why);
/* What runs on this endpoint ends: a transaction in doubt, all else is asked again elsewhere. */
void requests_leave(struct kv_etcd *etcd, const struct endpoint *endpoint);
/* A copy of etcd's pair in `memory`; false for one whose key is none of ours (a zero octet, too long). */
bool request_copy_pair(struct arena *memory, const struct etcd_pair *from, struct kv_pair *to);

/* ---- watches ---- */

struct kv_watch *kv_etcd_watch(void *context, const char *prefix, kv_told *told, void *arg);
void kv_etcd_unwatch(void *context, struct kv_watch *watch);
void watches_tick(struct kv_etcd *etcd, usec_t now);
void watches_leave(struct kv_etcd *etcd, const struct endpoint *endpoint);
/* All are told KV_AWAY, and list anew when they may. */
void watches_refuse(struct kv_etcd *etcd, const char *why);
void watches_free(struct kv_etcd *etcd);

#endif
