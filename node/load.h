/* load - how much a node has to do, and for which domains most
 *
 * What it counts (deliveries that came in, and those that come again after a failed attempt) fades with time: rates are
 * those of the last four minutes or so. Of the domains it keeps the LOAD_TOP largest, as the space-saving sketch does
 * (Metwally, Agrawal, El Abbadi 2005): whatever has more than 1/LOAD_TOP of the whole is among them, and is told too high
 * by less than that. Domains that the view calls hot are counted apart and exactly, since a split one is small
 * everywhere.
 *
 * What was counted before something came to be elsewhere would be taken for overload by whoever balances, and moved again.
 * So all counts begin anew when a view has other nodes that get mail (balance_step then waits for BALANCE_SPAN), and that of
 * a domain when it is split otherwise.
 *
 * Pure; time comes in and never goes back. Memory: LOAD_TOP names and those of VIEW_MAX_HOT, at most. */
#ifndef NODE_LOAD_H
#define NODE_LOAD_H

#include "cluster/balance.h"

#define LOAD_TOP 64
#define LOAD_STEP (15 * USEC_SEC) /* then all counts fade by 1/16 */

struct load;
struct load *load_new(void); /* counts from the first call on */
void load_free(struct load **load);
/* Which domains are hot from now on. */
void load_set_view(struct load *load, const struct view *view, usec_t now);
void load_count(struct load *load, const char *domain, usec_t now);
/* Fills in all but the node's name. `domains`: room for LOAD_TOP + VIEW_MAX_HOT; the names are the load's, until it is
 * called again. */
void load_report(
    struct load *load, struct balance_domain *domains, struct balance_report *report_r, usec_t now);

#endif
