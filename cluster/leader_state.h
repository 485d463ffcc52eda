/* leader_state - what a coordinator knows of the cluster, and what it asks for; inside of leader*.c
 *
 * All knowledge comes by the watches, whose order is the store's. An answer to a request of its own counts
 * only if no news overtook it; one that never came needs nothing: the news says what happened. */
#ifndef CLUSTER_LEADER_STATE_H
#define CLUSTER_LEADER_STATE_H

#include "base/map.h"
#include "cluster/join.h"
#include "cluster/leader.h"

#define LEADER_PACE USEC_SEC          /* between two views, between two tries */
#define LEADER_REFUSED (5 * USEC_SEC) /* after a refusal */
#define LEADER_SETTLE (USEC_SEC / 2)  /* a restart takes its live/ away and makes it anew */
#define LEADER_RETURN USEC_MIN /* for who was stopped in order to come back before its spool is taken over, */
#define LEADER_START (10 * USEC_MIN)  /* for a new process to read its log */
#define LEADER_WINDOW (10 * USEC_SEC) /* in which max(1, 10 %) may be declared down */
#define LEADER_VERDICTS (VIEW_MAX_NODES / 10)
#define LEADER_SEEN 64
/* A dead process looks alive until its lease is over, and a store that changes its leader grants it anew. */
#define LEADER_DOUBT (3 * JOIN_LEASE)

struct leader_member { /* named in spec/ or live/ */
    char id[MEMBER_ID_SIZE];
    bool has_spec, has_live, listed; /* listed: by the list that is being read */
    struct member_spec spec;
    struct member_live live;
    usec_t gone_since; /* it does not serve, since */
    usec_t lost_since; /* its last process was lost then, as far as anybody can tell: perhaps later */
    uint64_t told;     /* a hash of the last sentence about it, 0 = none */
    bool left;         /* its last process said that it is stopped in order */
    bool told_alone;   /* that it is not declared down, for nobody has the other copy */
};

enum leader_ask { LEAD_NOTHING, LEAD_ELECT, LEAD_RESIGN, LEAD_PUBLISH };

struct leader {
    char me[MEMBER_ID_SIZE];
    char paths[LEADER_TOPICS][MEMBER_PATH_SIZE]; /* what is watched */
    struct leader_ports ports;
    uint64_t lease, refs;
    bool head, resigned;

    bool known[LEADER_TOPICS];
    uint64_t history[LEADER_TOPICS]; /* of the newest news */
    uint64_t seen[LEADER_TOPICS];    /* the revision of the newest news */
    struct map members;              /* id -> struct leader_member */
    bool told_full, told_spools;
    struct map spools; /* name -> struct leader_spool */
    uint32_t wire;     /* what the view that is being made, or was made last, says */
    struct {
        uint64_t epoch;
        usec_t when;           /* by our clock, whoever published it */
    } seen_views[LEADER_SEEN]; /* a ring: the last views that were adopted */
    size_t seen_count;
    usec_t blind_from, blind_to; /* nothing was heard of live/ in between, the last time */

    bool key_there;
    uint64_t key_made, key_lease;

    uint64_t epoch;         /* the highest that this member has heard of */
    struct view *view;      /* as it stands in the store, or last stood; never null */
    uint64_t view_revision; /* 0: it is not there */
    bool view_bad;          /* and this program can't read it */

    enum leader_ask ask;
    uint64_t ask_ref;
    usec_t ask_sent;
    struct view *asked_view;
    struct balance_plan *plan; /* not in any view yet; null: none */

    usec_t verdicts[LEADER_VERDICTS]; /* when the last ones were seen; a ring */
    size_t verdict_count;

    bool dirty; /* something changed since the last view was made */
    bool told_trouble;
    usec_t later; /* a node may be declared down then that can't be now */
    usec_t quiet_until, publish_at, ask_at, next_at;
};

void leader_notice(struct leader *leader, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same sentence about a member only once; null: nothing is to be said of it. */
void leader_tell_once(struct leader *leader, struct leader_member *member, const char *what);

/* leader_members.c: spec/ and live/ as the news says. */
/* Nothing is heard of live/ any more. */
void leader_members_blind(struct leader *leader, usec_t now);
void leader_members_news(
    struct leader *leader, enum leader_topic topic, const struct kv_news *news, usec_t now);
void leader_members_free(struct leader *leader);
/* Runs in the role and with the key that spec/ says, and is ready; else `why_r`, if somebody must know. */
bool leader_member_serves(
    const struct leader *leader, const struct leader_member *member, struct error *why_r);

/* leader_wire.c: the version that the next view is to say. */
uint32_t leader_choose_wire(const struct leader *leader);
/* Its program does not speak leader->wire. */
bool leader_other_wire(const struct leader *leader, const struct leader_member *member);

/* leader_spools.c: spool/ as the news says. */
void leader_spools_news(struct leader *leader, const struct kv_news *news);
void leader_spools_free(struct leader *leader);
/* Null: there is none. Valid until the next news. */
const struct spool_register *leader_register(const struct leader *leader, const char *spool);
/* Says in a view that has its nodes who serves the spools that were taken over. */
void leader_add_taken(const struct leader *leader, struct view *next);

/* The highest epoch that any member has heard of. */
uint64_t leader_members_epoch(const struct leader *leader);

/* leader_turn.c: completes a view, before it is sealed: the turns of its members, and who tells them. */
void leader_turns(const struct leader *leader, struct view *next, usec_t now);

/* leader_view.c: the view that the head would publish now, sealed; null: none can be made (it was told). */
struct view *leader_make_view(struct leader *leader, usec_t now);
/* What stands in the store from now on; takes `view` over. */
void leader_adopt(struct leader *leader, struct view *view, uint64_t revision, usec_t now);
/* Asks for `view` to be written, if it can be. */
void leader_publish(struct leader *leader, struct view *view, usec_t now);
void leader_ask(struct leader *leader, enum leader_ask ask, const struct kv_request *request, usec_t now);

#endif
