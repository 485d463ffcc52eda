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
#define HOLD_MAX 10000 /* in one set */

/* Null = any. Names are compared whole; domains as lower-case A-labels. */
struct hold_match {
    const char *tenant, *campaign, *pool, *source, *provider, *domain;
};

struct hold {
    char id[HOLD_ID_SIZE]; /* hexadecimal, from the kv key */
    struct hold_match match;
    usec_t since, until; /* until 0: until it is lifted */
    const char *reason, *by;
};

struct holds;

struct holds *holds_new(void); /* empty, held once */
struct holds *holds_hold(struct holds *holds);
void holds_drop(struct holds **holds);
/* Only while nobody else sees it. Texts are copied. -1: too many. */
int holds_add(struct holds *holds, const struct hold *hold, struct error *error);
size_t holds_count(const struct holds *holds);
const struct hold *holds_at(const struct holds *holds, size_t i);

/* Until when something is on hold: 0 = it is not; USEC_NEVER = until it is lifted. A null in `what` is not
 * known (yet) or does not apply: a hold that names it does not match. The hold that ends last is told in
 * *why_r (may be null). Fast when nothing is on hold; else it walks the set. */
usec_t holds_until(
    const struct holds *holds, const struct hold_match *what, usec_t now, const struct hold **why_r);

/* One record: JSON. */
void hold_write(const struct hold *hold, struct buffer *out);
/* Reads it and adds it. */
int holds_read(struct holds *holds, const char *id, const char *text, size_t len, struct error *error);

#endif
