/* keeper_copies_uv - the copies of other nodes' spools on this node's disk
 *
 * For each directory in `dir` a spool, opened without a table or custody, and the copy's end of the protocol
 * (cluster/mirror.h), which follows the spool's register. A directory is made when the primary of a spool asks for the
 * first time: only for one that the newest view names as the node of that spool, at most KEEPER_COPIES_MOST, and only
 * with room on the disk. What is needed no more is deleted.
 *
 * What can go wrong: a directory that can't be opened is tried again each KEEPER_COPIES_AGAIN; one whose note can't be
 * read is set aside (copy_folder.h), for a copy without its memory must not be used; one whose log is damaged takes
 * nothing, and is set aside when the register names it no more; one that somebody takes away while
 * it is open is given up, the primary is told, and the next question begins another copy on what is then another disk.
 * A disk that is low takes nothing more (COPY_FULL) before the home spool has to refuse mail.
 *
 * Life: keeper_copies_open -> the loop runs -> keeper_copies_close. All on the loop's thread. Logs are opened, notes
 * written and directories deleted in libuv's pool; the loop waits for none of them but at the close.
 * Memory: what spools take, 16 bytes for each of their base frames. */
#ifndef NODE_KEEPER_COPIES_UV_H
#define NODE_KEEPER_COPIES_UV_H

#include <uv.h>

#include "cluster/mirror.h"
#include "cluster/view.h"
#include "node/keeper_store_uv.h"
#include "node/spool.h"

#define KEEPER_COPIES_MOST 64
#define KEEPER_COPIES_AGAIN (60 * USEC_SEC)

struct keeper_copies_settings { /* texts are copied */
    const char *dir;            /* "<data_dir>/copies"; made when it is needed */
    const char *cluster, *member;
    uint64_t process;
    uint64_t segment_size,
        reserve;     /* as the home spool's; 0: its defaults. A quarter more is left free here */
    bool takes_over; /* verdicts count: a dead node's spool is taken over */
};

/* A spool that was taken over. Its log is open: who is told listens to it from now on (spool_listen), and closes it. */
struct copy_taken {
    const char *spool, *dir;
    struct spool_register reg;
    const struct mirror_note *note; /* its `cuts` are never read */
    uint64_t told;                  /* events of frames up to here are surely told */
    struct spool *log;              /* null: only in tests; who is told opens it */
};

struct keeper_copies_ports {
    void *context;
    void (*send)(void *context, struct bus_msg *msg); /* takes it over */
    /* Once a spool, from the loop; lent. Null: nobody takes spools over. */
    void (*serve)(void *context, const struct copy_taken *taken);
};

struct keeper_copies;
/* Opens what is in `dir`, beside the loop. */
struct keeper_copies *keeper_copies_open(uv_loop_t *loop, struct keeper_store *store,
    const struct keeper_copies_settings *settings, const struct keeper_copies_ports *ports);
/* Ends all work, runs the loop until then; the loop must run once more. The heirs have closed what they took. */
void keeper_copies_close(struct keeper_copies **copies);
/* True: it was for a copy (BUS_COPY). Lent. */
bool keeper_copies_message(struct keeper_copies *copies, const struct bus_msg *msg, usec_t now);
/* A directory of it is here, open or not. */
bool keeper_copies_has(const struct keeper_copies *copies, const char *spool);
void keeper_copies_view(struct keeper_copies *copies, struct view *view, usec_t now);
/* What was taken is closed by its heir, and needed no more: its directory goes. */
void keeper_copies_retired(struct keeper_copies *copies, const char *spool);

struct keeper_copies_figures {
    uint64_t count;   /* directories */
    uint64_t bytes;   /* of their logs */
    uint64_t living;  /* base frames in them */
    uint64_t ill;     /* that take nothing: not opened, full or failed */
    uint64_t pending; /* bytes taken and not on the disk yet */
};
struct keeper_copies_figures keeper_copies_figures(const struct keeper_copies *copies);

#endif
