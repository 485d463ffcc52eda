/* desk_help - a node's core on virtual time, with everything around it played by the test
 *
 * The disk is at once, every domain D has the host mx.D (or the one that desk->host says), and every host takes
 * every message the moment it comes. What starts is noted: a transaction's recipients, with their time.
 *
 *     desk_open(&desk, "schedules: [...]\n"); desk_inject(&desk, "acme", "news", "a.test", 1);
 *     desk_run(&desk, USEC_SEC); assert_int_equal(desk.started, 1); desk_close(&desk); */
#ifndef UNIT_DESK_HELP_H
#define UNIT_DESK_HELP_H

#include "base/list.h"
#include "cluster/hold.h"
#include "node/node.h"

enum { DESK_SESSIONS = 8192 };

/* A connection as the receiver sees it. */
struct desk_line {
    bool open, connect, output, closing, in_data, first_line;
    struct buffer in;
};

struct desk {
    struct settings *settings;
    struct node *node;
    usec_t now;
    uint64_t newest;
    const char *host;                /* null: a host for each domain */
    usec_t answer_after;             /* until the final dot is answered; 0 = at once */
    unsigned defer;                  /* so many recipients are told 451 */
    bool defer_data;                 /* their transaction ends at DATA */
    bool keep_bodies;                /* bodies that are asked for are not read yet */
    bool keep_frames;                /* nothing gets to the disk */
    bool keep_unsigned;              /* nor are messages signed */
    bool cannot_sign;                /* or that comes to nothing */
    bool seven_bit;                  /* receivers don't offer 8BITMIME */
    bool no_domain;                  /* DNS says that there is none */
    uint8_t addresses;               /* of each host; 0: one */
    bool refuse;                     /* connections */
    bool keep_connecting;            /* they come to nothing yet */
    const char *message;             /* null: a plain small one */
    const enum mail_priority *class; /* of what is injected; null: normal */
    struct desk_line lines[DESK_SESSIONS];
    uint32_t highest;    /* session so far */
    struct list asked;   /* domains */
    struct list reading; /* frames */
    struct list late;    /* answers */
    struct list signing; /* tickets */
    uint64_t started;    /* recipients named to a host */
    usec_t last_start;
    char last_to[256];         /* the last one named */
    unsigned jobs;             /* asked to be signed */
    bool job_converted;        /* of the last one */
    char job_keys[200];        /* its selectors, a space behind each */
    uint64_t taken, sealed;    /* messages; those that begin with a signature */
    char first_line[200];      /* of the last one */
    uint64_t connects_from[2]; /* each source */
    uint64_t accepted, delivered, deferred, bounced, expired, cancelled, reports;
    char last_event[2000];
    uint64_t answers;
    int answer_code;
    char answer[2000]; /* the last ANSWER of the node */
    unsigned steps;    /* ticks done */
};

/* One node n1 with the sources 10.0.0.1 (pools main) and 10.0.0.2 (main, side), tenants acme, zen and keyed (with keys), no limits; `more`
 * is added to the configuration. */
void desk_open(struct desk *desk, const char *more);
void desk_close(struct desk *desk);
void desk_configure(struct desk *desk, const char *more);
/* Message `number` of this tenant and campaign, to a@DOMAIN; max_age is a day unless desk_inject_until. */
void desk_inject(
    struct desk *desk, const char *tenant, const char *campaign, const char *domain, unsigned number);
void desk_inject_until(struct desk *desk, const char *tenant, const char *campaign, const char *domain,
    unsigned number, usec_t send_at, usec_t expires, unsigned recipients);
/* Lets `time` pass. */
void desk_run(struct desk *desk, usec_t time);
/* Only what is due at this moment; how many ticks that took. */
unsigned desk_settle(struct desk *desk);
void desk_read_bodies(struct desk *desk); /* those that were asked for */
void desk_sign(struct desk *desk);
/* Another view: of n1 and so many others, which have no source. */
void desk_view(struct desk *desk, uint64_t epoch, unsigned others);
/* One hold on what this names; a null is "any". Replaces all there were. Null: none. */
void desk_hold(struct desk *desk, const struct hold_match *match, usec_t until);
/* An operator's question by the bus: "delete?tenant=acme". */
void desk_ask(struct desk *desk, const char *text);
uint64_t desk_queued(const struct desk *desk);
/* Connections as the hosts see them. */
unsigned desk_connections(const struct desk *desk);

#endif
