/* backlog_check - what must always be true of backlogs, for the simulator and tests to ask */
#include "node/backlog_inside.h"

static bool counts_right(const struct backlog *backlog)
{
    uint64_t at_hand = 0, waiting = 0;
    list_each (link, &backlog->queues) {
        const struct queue *queue = list_item(link, struct queue, of_backlog);
        at_hand += queue->ready_count;
        waiting += queue->beyond_count;
    }
    return at_hand == backlog->at_hand && waiting == backlog->waiting_count;
}

/* Something is beyond, nothing at hand: then only its own hunger can bring it on. */
static bool is_forgotten(const struct backlog *backlog)
{
    return (backlog->waiting_count > 0 || backlog->more) && backlog->at_hand == 0 &&
           backlog->turn.campaign == NULL && !list_linked(&backlog->of_paused);
}

bool node_backlogs_sound(const struct node *node)
{
    list_each (link, &node->backlogs.all) {
        const struct backlog *backlog = list_item(link, struct backlog, of_all);
        if (!counts_right(backlog) || is_forgotten(backlog))
            return false;
    }
    return true;
}

bool node_backlog_reads(const struct node *node, uint64_t number, uint64_t order)
{
    list_each (link, &node->backlogs.all) {
        const struct backlog *backlog = list_item(link, struct backlog, of_all);
        if (backlog->number == number)
            return backlog->more && backlog->mark.order <= order;
    }
    return false;
}
