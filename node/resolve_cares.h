/* resolve_cares - puts the resolver's questions to DNS servers, by c-ares on a libuv loop
 *
 * Give `resolver_ask` of this door to resolve_ports.ask. Answers and failures go back into the core on the
 * loop's thread, never from within resolver_ask itself. Truncated UDP answers are asked again over TCP
 * (c-ares does). Servers: "127.0.0.53:5353",
 * "[::1]:53" or a bare address; none = the system's (/etc/resolv.conf). `timeout` is for one question over
 * all tries. At most 512 questions are in flight; the rest waits its turn. */
#ifndef NODE_RESOLVE_CARES_H
#define NODE_RESOLVE_CARES_H

#include "base/clock.h"
#include "base/error.h"
#include "node/resolve.h"

struct uv_loop_s;
struct resolver_cares;
struct resolver_cares *resolver_cares_start(struct uv_loop_s *loop, const char *const *servers,
    size_t server_count, usec_t timeout, struct error *error);
/* Which core gets the answers; must be set before the first question. */
void resolver_cares_attach(struct resolver_cares *door, struct resolve *core);
void resolver_cares_ask(void *door, const char *name, enum dns_type type);
/* Cancels all; its handles close during further turns of the loop. */
void resolver_cares_stop(struct resolver_cares **door);

#endif
