/* keeper_state_uv - what the files of the node's keeper share (keeper*_uv.c, link*_uv.c, history_uv.c,
 * explain_uv.c, listing_uv.c only) */
#ifndef NODE_KEEPER_STATE_UV_H
#define NODE_KEEPER_STATE_UV_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/list.h"
#include "base/stream_uv.h"
#include "cluster/member_record.h"
#include "node/event_log.h"
#include "node/keeper_copies_uv.h"
#include "node/keeper_heir_uv.h"
#include "node/keeper_store_uv.h"
#include "node/keeper_uv.h"
#include "node/node.h"
#include "node/park_rocks.h"
#include "node/resolve_cares.h"
#include "node/signer_uv.h"
#include "node/spool.h"

/* The connection of one session of the core. What the core asks for while it runs is done when it has
 * returned (links_flush). */
struct link {
    struct keeper *keeper;
    struct list dirty;
    uint32_t session;
    struct stream *stream; /* null: could not even start, or it is on a work loop: */
    struct far *far;       /* link_far_uv.c */
    bool wants_tls, ending, gently, held_back;
    char host[256], why[256];
};

struct keeper {
    const struct settings *settings;
    struct bus_local *bus;
    struct bus bus_face;
    char member[MEMBER_ID_SIZE], spool_name[MEMBER_ID_SIZE];
    char spool_dir[PATH_MAX], log_dir[PATH_MAX], table_dir[PATH_MAX];
    struct spool_home home; /* as claimed */
    struct keeper_claim claim;
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer, pulse;
    uv_prepare_t prepare;
    usec_t armed;

    struct node *node;
    struct spool *spool;
    struct keeper_store *store; /* the cluster's registers; null: one machine */
    char register_key[MEMBER_PATH_SIZE];
    struct store_user register_user; /* for the core's second copy */
    struct store_port register_port;
    usec_t copied_by; /* at the end: so long the other disk is waited for */
    usec_t events_at; /* the newest event's frame was noted, in: */
    uint64_t events_seen;
    struct keeper_copies *others; /* copies of other nodes' spools; null: one machine */
    struct keeper_heirs *heirs;   /* those that were taken over; null: the same */
    struct lost_spools *lost;     /* those that should be here and are not; null: the same */
    struct park_rocks *rocks;     /* messages at rest; null: there is no table */
    uint64_t *living;             /* while the spool is opened: base frames that the table names */
    size_t living_count;
    uint64_t replay_from;
    bool home_said;        /* the directory said whose log it has */
    bool second;           /* the core has a second copy */
    bool table_distrusted; /* it failed while the log was read */
    bool met_newer;        /* the log has a frame that only a newer program understands: */
    struct error newer;
    struct event_log *events;
    struct resolve *resolve;
    struct resolver_cares *resolver;
    struct tls_context *tls;
    struct keyring *keyring; /* of `settings` */
    struct signer *signer;
    usec_t unread_said;   /* when it was told last that a body could not be read back */
    uint64_t unread;      /* how many could not since */
    usec_t unsigned_said; /* when the log was told last that something could not be signed */
    struct link **links;  /* by session - 1 */
    size_t link_room;
    struct crew *crew;      /* the work loops; null: all connections are on this loop */
    struct list dirty;      /* struct link */
    bool flushing;          /* links_flush is at it */
    struct list answered;   /* struct resolved: DNS answers to hand to the core */
    struct list explaining; /* explain_uv.c */
    size_t explaining_count;
    struct list listings; /* listing_uv.c */
    size_t listing_count;
    size_t searching; /* of those, in the event log */
    size_t working;   /* requests in libuv's pool */
    size_t memory;    /* resident, as seen last */
    uint64_t machine_memory, pulses;
    bool stopping, ending, told_room, disk_dead;
    usec_t stop_by, tidy_at;

    char holds_file[PATH_MAX];
    struct holds *holds;  /* those the core goes by */
    usec_t holds_told;    /* ends of holds have been told up to here */
    usec_t holds_end;     /* the next one */
    usec_t holds_written; /* the file, before this start; 0 = never */

    _Atomic uint64_t committed;
    uint64_t committed_told;
    pthread_mutex_t lock; /* guards what other threads leave here: */
    struct view *new_view;
    const struct settings *new_settings;
    struct holds *new_holds;
    bool holds_came;      /* from the store, since the start */
    struct list silences; /* keeper_uv.c */
    bool told_to_quiesce, told_to_stop;
    bool quiet;            /* nothing is in flight any more */
    pthread_cond_t calmed; /* `quiet` is true now */
    char disk_trouble[256];
    struct keyring *new_keyring; /* of new_settings */
};

/* keeper_ports_uv.c */
void keeper_make_node(struct keeper *keeper);
int keeper_open_resolver(struct keeper *keeper, struct error *error);
/* Hands the core the DNS answers that came while it was busy. */
void keeper_take_answers(struct keeper *keeper, usec_t now);
void keeper_forget_answers(struct keeper *keeper);

/* keeper_open_uv.c: 0, or -1 with the reason */
int keeper_open_data(struct keeper *keeper, struct error *error);
/* The spool and its table, all of it read; and away with them, for another one: the core begins anew, too. */
int keeper_open_spool(struct keeper *keeper, struct error *error);
void keeper_close_spool(struct keeper *keeper);
/* A core that has read nothing yet. */
void keeper_remake_node(struct keeper *keeper);

/* keeper_home_uv.c: opens the spool that is this node's, whatever became of its former one, and claims it. */
int keeper_open_home(struct keeper *keeper, struct error *error);
/* As node_ports.deposed. */
void keeper_deposed(void *keeper, uint64_t epoch, const char *heir);

/* keeper_second_uv.c: the second copy of this node's spool */
void keeper_second_ports(struct keeper *keeper, struct node_ports *ports);
/* The spool was claimed and its log read: begins the copies, or goes on with one. 0, or -1 with the reason. */
int keeper_second_open(struct keeper *keeper, struct error *error);
/* Now and then: which events need not be told by a heir. */
void keeper_second_told(struct keeper *keeper, usec_t now);
/* At the end: all is on the other disk, or was waited for long enough. */
bool keeper_second_done(struct keeper *keeper, usec_t now);
/* New settings, before they are those of the keeper. */
void keeper_second_settings(const struct keeper *keeper, const struct settings *settings);
/* The registers of the cluster's spools; opened when they are wanted first. There is a store (`claim.kv`). */
struct keeper_store *keeper_registers(struct keeper *keeper);
/* The loop must run once more. */
void keeper_second_close(struct keeper *keeper);

/* keeper_others_uv.c: the copies of other nodes' spools */
void keeper_others_open(struct keeper *keeper);
/* True: it was for one of them. Lent. */
bool keeper_others_message(struct keeper *keeper, const struct bus_msg *msg, usec_t now);
void keeper_others_view(struct keeper *keeper, struct view *view, usec_t now); /* lent */
void keeper_others_silent(struct keeper *keeper, const char *member, bool silent, usec_t now);
/* Often: what the heirs need to know of the home spool. */
void keeper_others_look(struct keeper *keeper, usec_t now);
struct keeper_copies_figures keeper_others_figures(const struct keeper *keeper);
void keeper_others_tell(struct keeper *keeper); /* the core, for its answers */
/* Before keeper_second_close. The loop must run once more. */
void keeper_others_close(struct keeper *keeper);

/* keeper_park_uv.c */
/* As spool_recovery.from: opens the table. */
uint64_t keeper_table_open(
    void *keeper, const char *disk, uint64_t log_end, const uint64_t **living_r, size_t *living_count_r);
/* It failed while the log was read: start over without it. */
bool keeper_table_failed_early(const struct keeper *keeper);
/* The log has been read. */
void keeper_table_opened(struct keeper *keeper);
/* After the node, which uses it. */
void keeper_table_close(struct keeper *keeper);
/* When it is closed: it is of a spool that this node has no more. */
void keeper_table_remove(struct keeper *keeper);
void keeper_table_ports(struct node_ports *ports);

/* link_uv.c */
void link_ports(struct node_ports *ports);
/* Does what the core has asked for: output, TLS, closing. */
void links_flush(struct keeper *keeper);
void links_end_all(struct keeper *keeper);
/* Its connection is no more, or never was: tells the core, and frees it. */
void link_gone(struct link *link, const char *why);
void link_dirty(struct link *link); /* links_flush shall look at it */

/* link_crew_uv.c: the work loops for connections */
/* Starts `count` of them. 0, or -1 with the reason. */
int crew_open(struct keeper *keeper, unsigned count, struct error *error);
/* When there is no connection any more. The keeper's loop must run once more. */
void crew_close(struct keeper *keeper);
/* Does what the work loops have left here. */
void crew_run(struct keeper *keeper);
/* Hands over what was asked of the work loops, and lets them wake this loop. */
void crew_doze(struct keeper *keeper);

/* link_far_uv.c: connections on them */
void far_connect(struct link *link, const struct sockaddr_storage *from, const struct sockaddr_storage *to);
void far_flush(struct link *link);
void far_end(struct link *link, bool gently);

/* explain_uv.c: questions that wait for DNS; true if it is one */
bool explain_asked(struct keeper *keeper, const struct bus_msg *msg);
void explain_resolved(struct keeper *keeper, const char *domain, struct mx_answer *answer, usec_t now);
void explain_end(struct keeper *keeper);

/* keeper_holds_uv.c */
void keeper_begin_holds(struct keeper *keeper, usec_t now);
/* Says it if the store has not been heard of. */
void keeper_say_holds(struct keeper *keeper);
void keeper_take_holds(struct keeper *keeper, struct holds *holds, usec_t now); /* takes them over */
/* Tells those that have ended. */
void keeper_end_holds(struct keeper *keeper, usec_t now);

/* listing_uv.c: questions that go through all queues; true if it is one, and will be answered */
bool listing_asked(struct keeper *keeper, const struct bus_msg *msg);
/* Nothing is under way any more: those that wait get no answer. */
void listing_end(struct keeper *keeper);

/* history_uv.c: questions that need the event log; true if it is one and will be answered */
bool history_asked(struct keeper *keeper, const struct bus_msg *msg);

#endif
