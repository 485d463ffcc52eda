/* copies_help - a primary's end of a spool, with a store (store_help.h) and copies that do as they are told */
#ifndef TESTS_UNIT_COPIES_HELP_H
#define TESTS_UNIT_COPIES_HELP_H

#include "cluster/copies.h"
#include "store_help.h"

#define SPOOL_KEY "/todoku/prod/spool/n1.0"
#define AT(epoch, n) (((uint64_t)(epoch) << COPY_EPOCH_SHIFT) | (uint64_t)(n))
#define HELP_MOST 2048

/* Somebody who has a copy: takes what is next, and is honest as far as it was not told otherwise. */
struct peer {
    char member[8], disk[8];
    uint64_t copy_process, last_seq;
    uint64_t epoch, process, stream, taken, durable;
    bool mute;     /* hears, does not answer */
    bool deaf;     /* what is for it is lost */
    bool unsynced; /* takes, but nothing gets to its disk */
    bool stays;    /* in the epoch of its stream's beginning */
    enum copy_state state;
    struct copy_header opened; /* the last one */
    unsigned anew;             /* so often it was told to begin another copy, of its disk */
    struct {
        enum copy_kind kind;
        uint64_t seq;
    } row[HELP_MOST]; /* entries, in their order; LIVING: how many live */
    size_t count, messages;
};

struct copies_world {
    struct copies *copies;
    struct fake_store *store;
    struct fake_client client;
    usec_t now;
    struct peer peers[2];            /* n2 with disk b, n3 with disk c */
    struct bus_msg *sent[HELP_MOST]; /* not delivered yet */
    size_t sent_count;
    uint64_t epoch, incarnation; /* as told */
    uint64_t living[HELP_MOST], log[HELP_MOST];
    size_t living_count, log_count, reads;
    uint64_t read_after, gone; /* gone: what the log has tidied away */
    bool reading, slow;        /* slow: what was asked of the log does not come by itself */
    int deposed;
    char heir[MEMBER_ID_SIZE], said[512];
};

/* The register as given; n1 with disk a, process 7 is primary. */
struct copies_world *copies_world(const struct spool_register *reg, unsigned min_copies);
void copies_world_free(struct copies_world *w);
/* What is on its way arrives, and what answers it; nothing else happens. */
void deliver(struct copies_world *w);
void serve(struct copies_world *w, enum fate fate); /* all that was asked of the store */
void say(struct copies_world *w, struct peer *peer);
/* Time passes; messages arrive, the store does not answer. */
void pass(struct copies_world *w, usec_t how_long);
void append(struct copies_world *w, uint64_t seq);
void append_synced(struct copies_world *w, uint64_t seq);
void put_register(struct copies_world *w, const struct spool_register *reg); /* and its news */
struct spool_register stands(struct copies_world *w);
bool is_committed(struct copies_world *w, uint64_t seq);

#endif
