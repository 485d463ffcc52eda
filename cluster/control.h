/* control - a process as a member of its cluster: one thread that runs join, election, watches and the bus
 *
 * The keeper behind `todoku coordinator` and `todoku node`: opens etcd and the bus, joins, follows spec/
 * (whose keys the bus lets in), the view (who there is to talk to) and config/; a coordinator also stands for
 * election. What it learns it tells its listener, from its own thread.
 *
 * Life: control_open (binds the bus; nothing waits) -> control_start (its thread) -> control_join (waits
 * until claimed, or refused; says in the log what it waits for) -> control_ready -> control_stop (gives
 * everything back) -> control_close. */
#ifndef CLUSTER_CONTROL_H
#define CLUSTER_CONTROL_H

#include "cluster/bus.h"
#include "cluster/kv.h"
#include "cluster/member_record.h"
#include "cluster/settings.h"

struct control_listener {
    void *context;
    void (*view)(void *context, struct view *view); /* lent; newer ones only */
    /* The cluster-wide configuration in force; number 0: none was applied, the file's own goes. Lent. */
    void (*config)(void *context, uint64_t number, const char *text, size_t len);
    void (*silent)(void *context, const char *member, bool silent);
    void (*ended)(void *context, const char *why); /* no member any more: the process must stop */
};

struct control;
struct control *control_open(const struct settings *settings, enum member_role role, struct bus_local *bus,
    const struct control_listener *listener, struct error *error);
int control_start(struct control *control, struct error *error);
/* `disk` and `spool`: of a node, else null. Sets the incarnation. -1: refused (or `control_stop`), with the
 * sentence. From another thread than its own. */
int control_join(struct control *control, const char *disk, const char *spool, uint64_t *incarnation_r,
    struct error *error);
void control_ready(struct control *control);
/* What this member says of itself changed: weight, sources, config version. */
void control_set_settings(struct control *control, const struct settings *settings, uint64_t config);
void control_stop(struct control *control);
void control_close(struct control **control);
/* The store, for the admin API; any thread. */
struct kv control_kv(struct control *control);

#endif
