/* keeper_heir_uv - spools that were taken over, on this node's disk and loop
 *
 * One heir (node/heir.h) for each copy that became a primary (node/keeper_copies_uv.h), on the loop. Its log is handed over
 * open, and read from its end: libuv's pool reads and decodes a portion of it while the loop replays the one before, a few
 * milliseconds at a time, and the heir moves what it knows. So a deep queue moves at once, and what does not fit into
 * memory stays in the log until there is room.
 *
 * What it moves to this node's own home spool goes by the same bus as all messages, which hands it over within the
 * process: the body is not copied. (That home takes a MOVE from a spool of its own member though it has no mirror.)
 *
 * What can go wrong: a log that can't be opened or read, or that a newer program wrote, is told and tried again each
 * KEEPER_HEIR_AGAIN: nothing of it moves meanwhile. A disk that fails stops its heir: nothing that it would say could be
 * kept; a start of the node with a good disk goes on.
 *
 * Life: keeper_heirs_open -> the loop runs -> keeper_heirs_close, before keeper_copies_close. All on the loop's thread. */
#ifndef NODE_KEEPER_HEIR_UV_H
#define NODE_KEEPER_HEIR_UV_H

#include <uv.h>

#include "node/heir.h"
#include "node/keeper_copies_uv.h"

#define KEEPER_HEIR_AGAIN (60 * USEC_SEC)

struct keeper_heirs_settings { /* texts are copied */
    const char *member, *home, *cluster;
    uint64_t process;
    uint64_t segment_size, reserve; /* as the home spool's */
    usec_t quarantine;              /* 0 = HEIR_QUARANTINE */
    usec_t least;                   /* as heir_settings; tests take less, */
    uint64_t at_hand;               /* and of this */
    uint64_t pace;                  /* of each, as heir_settings */
};

struct keeper_heirs_ports {
    void *context;
    void (*send)(void *context, struct bus_msg *msg); /* takes it over */
    void (*event)(void *context, const char *json, size_t len);
    /* Once a spool, from the loop: it is closed, and its directory needed no more (keeper_copies_retired). */
    void (*retired)(void *context, const char *spool);
};

struct keeper_heirs;
struct keeper_heirs *keeper_heirs_open(uv_loop_t *loop, struct keeper_store *store,
    const struct keeper_heirs_settings *settings, const struct keeper_heirs_ports *ports);
/* Writes out the logs; runs the loop until its work in the pool has ended. The loop must run once more. */
void keeper_heirs_close(struct keeper_heirs **heirs);
/* As keeper_copies' port `serve`: lent, but the log, which is theirs now. */
void keeper_heirs_take(struct keeper_heirs *heirs, const struct copy_taken *taken);
/* True: it was for one of them. Lent. */
bool keeper_heirs_message(struct keeper_heirs *heirs, const struct bus_msg *msg, usec_t now);
void keeper_heirs_view(struct keeper_heirs *heirs, struct view *view, usec_t now); /* held */
void keeper_heirs_silent(struct keeper_heirs *heirs, const char *member, bool silent, usec_t now);
/* As heir_set_paired. */
void keeper_heirs_paired(struct keeper_heirs *heirs, bool paired);

/* Of all of them; state: the least far. */
struct heir_figures keeper_heirs_figures(const struct keeper_heirs *heirs);
size_t keeper_heirs_count(const struct keeper_heirs *heirs);
/* One after the other, `at` from 0 on; false: there are no more. */
bool keeper_heirs_each(
    const struct keeper_heirs *heirs, size_t at, const char **spool_r, struct heir_figures *figures_r);

#endif
