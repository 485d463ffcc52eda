/* member - what `todoku coordinator` and `todoku node` have in common: a process that belongs to a cluster
 *
 * Holds the settings (the file's, with the cluster's configuration laid over), the control thread, and the
 * wait in the main thread for whatever ends or changes the process. What control tells comes from other
 * threads: a view goes on to the process' own part at once, the rest pokes the main thread.
 *
 * Life: member_open -> member_attach (when there is somebody to tell) -> member_join -> member_run ->
 * member_stop
 * -> member_close. */
#ifndef CLI_MEMBER_H
#define CLI_MEMBER_H

#include <pthread.h>

#include "base/map.h"
#include "cli/reload.h"
#include "cluster/control.h"

/* The process' own part: coordinator or node. What any thread calls is called under the member's lock: it must
 * only leave the news behind and wake. */
struct member_part {
    void *context;
    void (*view)(void *context, struct view *view);                   /* lent; any thread */
    void (*holds)(void *context, struct holds *holds);                /* lent; any thread */
    void (*settings)(void *context, const struct settings *settings); /* the main thread */
    /* Bound to the register as it was claimed: claimed anew, for an operator put another store in its place, the part is
     * to be closed and opened again. */
    bool bound;
    /* These may be null. */
    void (*silent)(void *context, const char *member, bool silent); /* any thread */
    void (*away)(void *context, const char *why);                   /* any thread; null = etcd is back */
    void (*config)(void *context, uint64_t in_force);               /* the main thread, before `settings` */
};

struct member {
    struct reload files;
    enum member_role role;
    const struct settings *settings; /* those of `files` in force */
    struct bus_local *bus;
    struct control *control;
    struct member_part part;

    pthread_mutex_t lock; /* guards what control leaves here: */
    bool attached, joined, ended, config_told, config_fresh;
    bool elsewhere; /* the home spool is another disk's */
    bool moves;     /* the process' own part wants to be closed and opened again */
    struct spool_home home;
    uint64_t config_number;
    char *config_text;
    size_t config_len;
    struct view *view;   /* the newest */
    struct holds *holds; /* the newest; null: none were told yet */
    bool away;           /* the store does not answer */
    struct map silent;   /* names of those that nothing is heard of */
    char why[512];       /* ended, or elsewhere */
};

/* Reads the file and opens the bus and the way to etcd. 0; 1 with the reason in `error`; 2: faults in the
 * file, said on stderr. */
int member_open(
    struct member *member, const char *file, char *data_dir, enum member_role role, struct error *error);
void member_attach(struct member *member, const struct member_part *part);
/* Before the part is closed: nothing is told to it any more, but kept for the next. */
void member_detach(struct member *member);
/* Waits until let in and the cluster's configuration is known, and the holds too, unless the store is away by then. -1: refused, or told to stop ("" then); control
 * has stopped too, so nothing comes over the bus any more. A node (`wish`, `home_r`; else null) may be told
 * SPOOL_ELSEWHERE, and then asks again for another spool; it may do so, too, when it has been a member for long. */
int member_join(
    struct member *member, const struct spool_wish *wish, struct spool_home *home_r, struct error *error);
/* Waits for the end: 0 after a signal, 1 when no member any more, MEMBER_MOVES when the home spool is another disk's by
 * now. Takes new configurations meanwhile. */
#define MEMBER_MOVES 2
int member_run(struct member *member);
/* From any thread: member_run shall return MEMBER_MOVES. */
void member_move(struct member *member);
/* Takes the configuration that came meanwhile, if one did. */
void member_take_config(struct member *member);
void member_stop(struct member *member);
void member_close(struct member *member);

#endif
