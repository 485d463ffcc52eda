/* spool_verdict - see spool_verdict.h */
#include "cluster/spool_verdict.h"

#include <string.h>

bool spool_verdict_dead(struct spool_verdict *verdict, const struct view *view, const char *spool,
    const char *primary, uint64_t process, usec_t now)
{
    const struct view_node *node = view_node(view, primary);
    bool listed = node != NULL && strcmp(node->spool, spool) == 0;
    bool returns = node != NULL && node->down && node->returns;
    if (node == NULL || returns || view_taken(view, spool) != NULL || (listed && !node->down)) {
        verdict->since = 0;
        return false;
    }
    if (verdict->since == 0)
        verdict->since = now;
    bool is_of_it = listed && (process == 0 || node->process == process);
    return is_of_it || now - verdict->since >= SPOOL_GIVEN_UP;
}
