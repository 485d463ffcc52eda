/* hold - operators' pauses: what is not to be sent for now
 *
 * A hold names tenant, campaign, pool, source, provider, domain, any of them; what matches all that it names
 * is not sent until `until`. The set is a value that is replaced as a whole, and constant once made: threads
 * share it. Stored as records under block/ (hold_store.h).
 *
 * Pure. Memory: a set is held and dropped; texts belong to it. Errors: a sentence about a record. */
#ifndef CLUSTER_HOLD_H
#define CLUSTER_HOLD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"

#define HOLD_ID_SIZE 33
#define HOLD_MAX 10000    /* in one set */
#define HOLD_MAX_NAME 255 /* bytes of each text of a match */
#define HOLD_MAX_REASON 200
#define HOLD_MAX_BY 160
#define HOLD_LIFTS 60 /* lifted at once */

/* Null = any. Names are compared whole; domains as lower-case A-labels. */
struct hold_match {
    const char *tenant, *campaign, *pool, *source, *provider, *domain;
};

struct hold {
    char id[HOLD_ID_SIZE]; /* hexadecimal, from the kv key */
    struct hold_match match;
    usec_t since, until;     /* until 0: until it is lifted */
    const char *reason, *by; /* never null in a set */
    bool by_tenant;          /* set with a key of match.tenant's, which may lift it again */
};

/* Who took the last holds away. */
struct hold_lift {
    char by[HOLD_MAX_BY + 1];
    size_t count;
    char ids[HOLD_LIFTS][HOLD_ID_SIZE];
};

struct holds;

struct holds *holds_new(void); /* empty, held once */
struct holds *holds_hold(struct holds *holds);
void holds_drop(struct holds **holds);
/* Only while nobody else sees it. Texts are copied. -1: too many. */
int holds_add(struct holds *holds, const struct hold *hold, struct error *error);
size_t holds_count(const struct holds *holds);
const struct hold *holds_at(const struct holds *holds, size_t i);
const struct hold *holds_find(const struct holds *holds, const char *id); /* or null */
/* The first end of one that is on at `now`; USEC_NEVER: none ends by itself. */
usec_t holds_next_end(const struct holds *holds, usec_t now);
/* Who lifted this one, if that is known; else null. */
const char *holds_lifted_by(const struct holds *holds, const char *id);
void holds_set_lift(struct holds *holds, const struct hold_lift *lift); /* as holds_add */

/* 32 hexadecimal digits or fewer, in lower case. */
bool hold_id_good(const char *id);
/* One that names nothing would be everything: it is none. */
bool hold_match_names(const struct hold_match *match);
bool hold_match_same(const struct hold_match *a, const struct hold_match *b);
/* The texts of a match in their order, for whoever goes through all of them. */
#define HOLD_NAMES 6
const char *hold_name(size_t i); /* "tenant", "campaign" ... */
const char *hold_match_get(const struct hold_match *match, size_t i);
void hold_match_set(struct hold_match *match, size_t i, const char *text);

/* Until when something is on hold: 0 = it is not; USEC_NEVER = until it is lifted. A null in `what` is not
 * known (yet) or does not apply: a hold that names it does not match. The hold that ends last is told in
 * *why_r (may be null). Fast, unless very many name the same domain, campaign, or whatever
 * they name. */
usec_t holds_until(
    const struct holds *holds, const struct hold_match *what, usec_t now, const struct hold **why_r);

/* One record: JSON, {"tenant", ..., "domain", "since", "until", "reason", "by", "by_tenant"}, times as microseconds
 * since 1970. */
void hold_write(const struct hold *hold, struct buffer *out);
/* Reads it and adds it. */
int holds_read(struct holds *holds, const char *id, const char *text, size_t len, struct error *error);
void hold_lift_write(const struct hold_lift *lift, struct buffer *out);
int hold_lift_read(const char *text, size_t len, struct hold_lift *lift_r, struct error *error);

#endif
