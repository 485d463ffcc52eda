/* control - a process as a member of its cluster: one thread that runs join, election, watches and the bus
 *
 * The keeper behind `todoku coordinator` and `todoku node`: opens etcd and the bus, joins, follows spec/
 * (whose keys the bus lets in), the view (who there is to talk to), config/ and the holds; a coordinator also stands for
 * election. What it learns it tells its listener, from its own thread or the store's.
 *
 * Life: control_open (binds the bus, reads keys and certificates; nothing waits for etcd) -> control_start
 * (its thread) -> control_join -> `joined`, `elsewhere` or `ended` is told -> control_ready -> control_stop (gives
 * everything back)
 * -> control_close. What is being waited for stands in the log. */
#ifndef CLUSTER_CONTROL_H
#define CLUSTER_CONTROL_H

#include "cluster/balance.h"
#include "cluster/bus_zmq.h"
#include "cluster/hold.h"
#include "cluster/kv.h"
#include "cluster/member_record.h"
#include "cluster/settings.h"
#include "cluster/spool_claim.h"

struct control_listener {
    void *context;
    void (*view)(void *context, struct view *view); /* lent; newer ones only */
    /* The cluster-wide configuration in force; number 0: none was applied, the file's own goes. Lent. */
    void (*config)(void *context, uint64_t number, const char *text, size_t len);
    void (*holds)(void *context, struct holds *holds); /* at the start and whenever they change; lent */
    void (*silent)(void *context, const char *member, bool silent);
    void (*away)(void *context, const char *why); /* etcd does not answer; null: it does again */
    /* Nodes only: the register is the member's; before `joined`. */
    void (*registered)(void *context, const struct spool_home *home);
    void (*joined)(void *context, uint64_t incarnation); /* at each control_join */
    /* Nodes only: the spool that was asked for is on another disk, as `home->reg` says. The member keeps its name and
     * waits for control_join with another one. */
    void (*elsewhere)(void *context, const struct spool_home *home, const char *why);
    void (*ended)(
        void *context, const char *why); /* not let in, or no member any more: the process must stop */
};

struct control;
/* `settings` and `bus` are lent. */
struct control *control_open(const struct settings *settings, enum member_role role, struct bus_local *bus,
    const struct control_listener *listener, struct error *error);
void control_start(struct control *control); /* once is enough */
/* `wish`: of a node, else null. A node may say it again, with another spool: it is not ready then until it says so. */
void control_join(struct control *control, const struct spool_wish *wish);
/* A node's log has been read: it may be in the view. After `joined`. */
void control_ready(struct control *control);
/* What this member says of itself changed: weight, sources, config version. */
void control_set_settings(struct control *control, const struct settings *settings, uint64_t config);
/* As leader_set_balance; any thread, until control_close. */
void control_set_balance(struct control *control, struct balance_plan *plan);
/* Gives name, addresses and leadership back, for 3 s at most; a node tells the others that it stops, and goes on
 * with the bus until the view has it as down, for 1 s at most. When it returns, its thread has ended and the store
 * with it: nothing is told any more, and whoever asked by control_kv() has been answered. */
void control_stop(struct control *control);
void control_close(struct control **control);
/* The store, for the admin API; any thread. Not to be asked after control_stop. */
struct kv control_kv(struct control *control);
struct bus_zmq_figures control_figures(const struct control *control); /* any thread */

#endif
