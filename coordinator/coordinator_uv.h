/* coordinator_uv - the coordinator's keeper: its loop, its doors, its cores wired together
 *
 * Opens its SMTP listeners, and runs the routing core, the operators' questions and the SMTP sessions on one
 * libuv loop in one thread. Messages from the bus and calls through the front come from other threads by
 * locked queues and one wake-up.
 *
 * Life: coordinator_open (binds; the caller may then drop privileges) -> coordinator_run in its thread ->
 * coordinator_stop from any -> coordinator_close. Stopping: no new connection; sessions are told 421; what
 * waits for its acknowledgement is awaited up to a limit. */
#ifndef COORDINATOR_COORDINATOR_UV_H
#define COORDINATOR_COORDINATOR_UV_H

#include "base/buffer.h"
#include "base/error.h"
#include "cluster/balance.h"
#include "cluster/bus.h"
#include "cluster/hold.h"
#include "cluster/settings.h"
#include "cluster/view.h"
#include "coordinator/front.h"
#include "coordinator/keys.h"

struct coordinator;
/* `keys` may be null (nobody may log in). All pointers are lent and must outlive it; `settings` until
 * coordinator_set_settings. */
struct coordinator *coordinator_open(
    const struct settings *settings, struct keys *keys, struct bus_local *bus, struct error *error);
void coordinator_close(struct coordinator **coordinator);
struct front coordinator_front(struct coordinator *coordinator);
void coordinator_run(struct coordinator *coordinator);
/* From any thread. */
void coordinator_stop(struct coordinator *coordinator);
void coordinator_set_view(struct coordinator *coordinator, struct view *view);
/* A node that does not answer just now, or does again: new mail avoids it (route.h). */
void coordinator_set_silent(struct coordinator *coordinator, const char *member, bool silent);
void coordinator_set_settings(struct coordinator *coordinator, const struct settings *settings);
/* The holds there are, at the start and whenever they change (lent). */
void coordinator_set_holds(struct coordinator *coordinator, struct holds *holds);
/* Those, held once for the caller; null before the first. */
struct holds *coordinator_holds(struct coordinator *coordinator);
/* The newest view, held once for the caller; null before the first. */
struct view *coordinator_view(struct coordinator *coordinator);
/* For "nodes" and "alerts": which version of config/ is in force (0: none; what this process works by stands
 * in its settings), and why the store does not answer (null: it does). */
void coordinator_set_config(struct coordinator *coordinator, uint64_t in_force);
void coordinator_set_away(struct coordinator *coordinator, const char *why);
/* Adds figures of the process to "metrics" (Prometheus' text format). Before coordinator_run; called in its
 * thread. */
void coordinator_set_figures(
    struct coordinator *coordinator, void (*figures)(void *arg, struct buffer *out), void *arg);
/* Takes over what this coordinator, as the head, decided on hot domains and shares (balancing.h); without it none is made.
 * Before coordinator_run; called in its thread. */
void coordinator_set_balanced(
    struct coordinator *coordinator, void (*balanced)(void *arg, struct balance_plan *plan), void *arg);

#endif
