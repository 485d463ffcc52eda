/* join_state - what a join knows, and what it asks for next; inside of join*.c
 *
 * Two tracks run side by side, each with at most one request under way: keeping the lease, and claiming.
 * Claiming has no fixed script: from what is known it picks the first thing that is missing (join_claim.c).
 * Whatever may have changed unseen - no answer, a compare that failed, a lease that is gone - only makes
 * something unknown again, and is then read again. */
#ifndef CLUSTER_JOIN_STATE_H
#define CLUSTER_JOIN_STATE_H

#include "base/map.h"
#include "cluster/join.h"

#define JOIN_RETRY (USEC_SEC / 2)   /* after no answer */
#define JOIN_AGAIN (USEC_SEC / 10)  /* after a compare that failed */
#define JOIN_REFUSED (5 * USEC_SEC) /* after a refusal, once a member */
#define JOIN_LOOK USEC_SEC          /* at what another one holds */
#define JOIN_HELD_FOR (2 * JOIN_LEASE)
#define JOIN_TELL (5 * USEC_SEC)
#define JOIN_AUDIT USEC_MIN /* a member looks whether its name still stands in live/, as it left it */

enum join_ask {
    ASK_NOTHING,
    ASK_SPEC,
    ASK_VIEW,
    ASK_GRANT,
    ASK_LIVE,      /* who holds my name? */
    ASK_TAKE_OVER, /* end the lease of my own dead process */
    ASK_PUT_LIVE,
    ASK_CLAIM,  /* addresses that I never looked at, many at once */
    ASK_SOURCE, /* who holds this address? */
    ASK_TAKE,   /* this address, which I looked at */
    ASK_RELEASE,
    ASK_REGISTER,
    ASK_SWAP,
};

enum claim_state {
    CLAIM_OPEN, /* never asked for under this lease */
    CLAIM_LOOK, /* unknown: to be read */
    CLAIM_TAKE, /* it was as `revision` says: free (0), or held by a process of mine that is gone */
    CLAIM_HELD, /* mine since `revision` */
};

struct claim { /* of source/<address> */
    char *address;
    enum claim_state state;
    bool wanted, asked; /* asked: part of the request that is under way */
    bool denied;        /* somebody else has it: not announced */
    uint64_t revision;
    usec_t since, again; /* held by another one since; looked at again at */
};

struct join {
    char cluster[MEMBER_PATH_SIZE / 4];
    char spec_key[MEMBER_PATH_SIZE], view_key[MEMBER_PATH_SIZE], live_key[MEMBER_PATH_SIZE],
        spool_key[MEMBER_PATH_SIZE];
    char what[512]; /* what is waited for, "" = nothing */
    struct join_ports ports;
    struct member_live live; /* as it is to be; incarnation: once known */
    struct map claims;       /* address -> struct claim */
    bool started, joined, ready, ended, leaving, gone;
    bool let_in, view_read, registered;
    bool unwell;     /* the lease is not kept */
    bool elsewhere;  /* the home spool is another disk's: waits for another home */
    bool lapsed;     /* `lease_ends` is over, and nobody said whether the lease is */
    bool live_known; /* live/<me> is as `live_revision` says: 0 = free, else mine to change */
    bool away;       /* the store, as of the last answer */

    enum join_ask ask;
    uint64_t refs, ask_ref, farewell_ref, leave_ref, keep_ref;
    usec_t ask_sent, keep_sent;
    usec_t pause_until, next_at; /* next_at: something is due then, if nothing is under way */
    usec_t keep_at, audit_at, tell_at;

    uint64_t lease;
    usec_t lease_ends;  /* by our own clock: no key of ours outlives it unseen */
    uint64_t spec_seen; /* the store's revision of the newest word on spec/<me> */
    uint64_t live_revision;
    uint64_t wanted_version, stored_version, asked_version; /* of what live/<me> is to say, says */
    usec_t held_since;                                      /* the name, by somebody else; 0 = it is not */
    uint64_t took_from;                                     /* the process whose lease was ended */
    struct spool_register asked_register;
    uint64_t floor_change, floor_incarnation; /* the register's highest numbers so far */
    uint64_t least_incarnation;               /* that is to be registered: it was opened again. 0: any */
};

uint64_t join_send(struct join *join, const struct kv_request *request);
/* Says in live/ that the member leaves; returns the request's number. */
uint64_t join_put_farewell(struct join *join);
void join_ask(struct join *join, enum join_ask ask, const struct kv_request *request, usec_t now);
void join_wait(struct join *join, usec_t now, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The store did not answer, or refused; it answered. */
void join_store_away(struct join *join, const char *why, usec_t now);
void join_store_back(struct join *join, usec_t now);
void join_end(struct join *join, const char *why);
/* What stands in spec/<me> (null: nothing); ends the join if that is no leave to be here. */
void join_judge_spec(struct join *join, const struct kv_pair *pair);
/* The lease is no more, nor is what was claimed under it. */
void join_lease_gone(struct join *join, usec_t now);

/* join_claim.c: the next request, if none is under way and one is due. */
void join_next(struct join *join, usec_t now);
void join_answered(struct join *join, enum join_ask ask, const struct kv_result *result, usec_t now);

/* join_register.c: the same for the register. */
void join_on_register(struct join *join, const struct kv_result *result, usec_t now);
void join_on_swap(struct join *join, const struct kv_result *result, usec_t now);

/* join_source.c: the same for the addresses. */
/* Whether it asked for something; if not, it makes `next_at` the time of the next look. */
bool join_next_source(struct join *join, usec_t now);
void join_source_answered(struct join *join, enum join_ask ask, const struct kv_result *result, usec_t now);
bool join_holds_all(const struct join *join);
void join_want_sources(struct join *join);
/* Nothing is known of any address. */
void join_forget_sources(struct join *join);
/* Whether somebody else has that address. */
bool join_denied(const struct join *join, const char *address);
void join_free_sources(struct join *join);

#endif
