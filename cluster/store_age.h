/* store_age - whether the store is still the one it was, or older than what a member has seen of it
 *
 * etcd restored from a backup, made anew, or another cluster's: registers with old incarnations would be believed,
 * watches would ask on from a revision that is still to come and hear nothing, epochs would be given twice. So a
 * member remembers the highest it has seen (`seen`), on its disk if it has one, looks at the store whenever it has
 * reached it anew, and takes nothing from one that is older, or another, until an operator says that this one goes
 * (`todoku members adopt`: a word in the store itself, so that it reaches everybody, each when it looks).
 *
 *     store_age_fits(age, etcd, revision, floor)   does one answer fit? If not: look
 *     store_age_look(age, &look, &why)             SAME, ADOPTED (once for each word), or OTHER and why
 *
 * What is compared: the id of etcd's cluster, which never changes in one history; the revision of reads that etcd
 * orders after all that was answered before (linearizable), which never goes back; view/current's epoch and the own
 * register, which only grow, and catch a backup that was restored with its revisions raised. A read is compared
 * with what was known when it was *asked* (`floor`): answers overtake each other. What a member of etcd says by
 * itself (status, watches, leases) may lag behind, and is a reason to look, never a verdict. A key that is not there
 * is no sign: operators take some away by hand.
 *
 * `most` is the highest of all histories: what is made anew after an operator's word has to be above it.
 *
 * Pure; a plain value. Not thread-safe. Sources: etcd's docs "KV API guarantees", and of disaster recovery "restoring
 * a cluster" (--bump-revision). */
#ifndef CLUSTER_STORE_AGE_H
#define CLUSTER_STORE_AGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "cluster/view.h"

#define STORE_WORDS 16

struct store_spot { /* a point in a store's history; 0: not known, or not there */
    uint64_t etcd;  /* the id of etcd's cluster */
    uint64_t revision;
    uint64_t epoch;       /* of view/current */
    uint64_t change;      /* the epoch of the member's own register spool/<home> */
    uint64_t incarnation; /* ... and what it says of its primary */
};

struct store_age {
    struct store_spot seen; /* the highest of the history that is followed; etcd 0: no store was seen yet */
    struct store_spot most; /* epoch, change, incarnation: the highest of all histories */
    uint64_t words[STORE_WORDS]; /* of operators, the newest first: what was said once is not said again */
    size_t word_count;
};

/* An operator's word, as it stands in the key `adopted`: this store, as it is, is the cluster's from now on. */
#define STORE_BY_SIZE 128
struct store_word {
    uint64_t id; /* random; 0: nobody has said anything */
    uint64_t etcd, revision;
    int64_t at; /* seconds since 1970 */
    char by[STORE_BY_SIZE];
};

struct store_look {          /* what linearizable reads found */
    struct store_spot floor; /* `seen`, when the first of them was asked */
    struct store_spot found;
    struct store_word word;
};

/* Whether the answer to a linearizable request fits; `floor`: seen.revision when it was asked. Notes its revision. */
bool store_age_fits(struct store_age *age, uint64_t etcd, uint64_t revision, uint64_t floor);
/* Whether what a member of etcd says by itself is a reason to look. Notes its revision. */
bool store_age_doubts(struct store_age *age, uint64_t etcd, uint64_t revision);

enum store_verdict {
    STORE_SAME,
    STORE_ADOPTED, /* an operator's word that was not known yet: another history, nothing told before counts */
    STORE_OTHER,   /* `why` is a sentence's beginning: what was seen and what is there */
};
enum store_verdict store_age_look(struct store_age *age, const struct store_look *look, struct error *why);

/* What the member itself has heard of or swapped in, in the history that it follows. */
void store_age_view(struct store_age *age, uint64_t epoch);
void store_age_register(struct store_age *age, uint64_t change, uint64_t incarnation);

/* ---- as JSON text (store_age_json.c); readers check every bound ---- */

/* The member serves another spool from now on, whose register it knows nothing of. */
void store_age_forget_register(struct store_age *age);

/* The file of a member: what it knows of cluster `cluster`, and as the server of `spool` ("" = none). */
void store_age_write(const struct store_age *age, const char *cluster, const char *spool, struct buffer *out);
/* What the file says of another cluster is not taken. `spool_r`: whose register it knows, "" if nobody's. */
int store_age_read(const char *text, size_t len, const char *cluster, char spool_r[MEMBER_ID_SIZE],
    struct store_age *age_r, struct error *error);
/* The file itself, durable when written. One that is not there: nothing was seen yet. */
int store_age_save(const struct store_age *age, const char *cluster, const char *spool, const char *file,
    struct error *error);
int store_age_load(const char *file, const char *cluster, char spool_r[MEMBER_ID_SIZE],
    struct store_age *age_r, struct error *error);

void store_word_write(const struct store_word *word, struct buffer *out);
int store_word_read(const char *text, size_t len, struct store_word *word_r, struct error *error);

#endif
