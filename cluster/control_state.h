/* control_state - what the files of control share (control*.c only) */
#ifndef CLUSTER_CONTROL_STATE_H
#define CLUSTER_CONTROL_STATE_H

#include <pthread.h>

#include "base/list.h"
#include "cluster/bus_zmq.h"
#include "cluster/config_store.h"
#include "cluster/control.h"
#include "cluster/hold_store.h"
#include "cluster/join.h"
#include "cluster/kv_etcd_grpc.h"
#include "cluster/leader.h"
#include "cluster/pulse.h"

enum control_core { CONTROL_JOIN, CONTROL_LEADER };

/* The watches that control opens: the leader's topics, of which a member that is no coordinator needs two. */
struct control_topic {
    struct control *control;
    enum leader_topic topic;
    struct kv_watch *watch;
};

struct control {
    struct control_listener listener;
    char cluster[MEMBER_ID_SIZE];
    struct bus_local *local;
    struct kv_etcd *etcd;
    struct kv kv;
    struct bus_zmq *bus;
    struct member_live live;
    struct join *join;
    struct pulse pulse;    /* of the member's own loop */
    struct leader *leader; /* coordinators */
    struct control_topic topics[LEADER_TOPICS];
    struct config_watch *config;
    struct hold_watch *holds;
    pthread_t thread;
    struct bus_allowed *allowed; /* what the bus was told last */
    size_t allowed_count;
    bool running, stopping;
    usec_t stop_by, stay_by;
    uint64_t epoch;   /* of the newest view told */
    uint64_t history; /* of the store (kv.h); what it was told before counts no more */
    bool refused;     /* the store answers, and is another one */
    char *memory;     /* the file that remembers what was seen of the store; null: nobody does */
    usec_t save_at;   /* not before */
    char known_spool[MEMBER_ID_SIZE]; /* whose register it remembers; "": none */
    bool serves;                      /* a node: that view has this process, as up */
    bool away;

    pthread_mutex_t lock; /* guards what other threads leave here: */
    struct list posts;
    bool told_to_stop, told_ready, told_to_join;
    struct member_live *new_live;
    struct balance_plan *new_plan;
    char wish_spool[MEMBER_ID_SIZE], wish_disk[DISK_ID_SIZE];
    uint64_t wish_epoch;
};

/* ---- control_post.c: what the store answers, on its way from the store's thread to ours ---- */

struct control_post {
    struct list link;
    bool is_news;
    enum control_core core; /* a result's */
    uint64_t ref;
    struct kv_result result;
    enum leader_topic topic; /* news' */
    struct kv_news news;
    struct kv_pair *pairs; /* copies; result or news point to them */
    char *why;
};

void control_request(
    struct control *control, enum control_core core, uint64_t ref, const struct kv_request *request);
void control_told(void *topic, const struct kv_news *news); /* a kv_told; `topic` is a struct control_topic */
struct control_post *control_post_take(struct control *control);
void control_post_free(struct control_post **post);

/* ---- control_memory.c: what was seen of the store, over restarts (store_age.h) ---- */

int control_remember(struct control *control, const struct settings *settings, struct error *error);
/* Writes it down if there is something new, and if it is time; `at_once`: if not, too. */
void control_memorise(struct control *control, bool at_once, usec_t now);

/* ---- control_follow.c: hands the cores what came, and follows spec/ and the view ---- */
void control_take_posts(struct control *control, usec_t now);

#endif
