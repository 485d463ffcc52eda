/* lost_spools - see lost_spools.h */
#include "node/lost_spools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/map.h"

struct lost_spool {
    usec_t since;
    bool answered;
};

struct lost_spools {
    char member[MEMBER_ID_SIZE];
    struct view *view;
    struct map spools; /* by name */
};

struct lost_spools *lost_spools_new(const char *member)
{
    struct lost_spools *lost = xcalloc(1, sizeof *lost);
    snprintf(lost->member, sizeof lost->member, "%s", member);
    return lost;
}

static bool is_ours(const struct lost_spools *lost, const char *spool)
{
    for (size_t i = 0; lost->view != NULL && i < lost->view->taken_count; i++)
        if (strcmp(lost->view->taken[i].spool, spool) == 0)
            return strcmp(lost->view->taken[i].node, lost->member) == 0;
    return false;
}

void lost_spools_free(struct lost_spools **lost)
{
    struct lost_spools *l = *lost;
    struct map_entry *at = NULL;
    *lost = NULL;
    if (l == NULL)
        return;
    view_drop(&l->view);
    for (struct lost_spool *spool; (spool = map_next(&l->spools, &at)) != NULL;)
        free(spool);
    map_free(&l->spools);
    free(l);
}

void lost_spools_view(struct lost_spools *lost, struct view *view)
{
    view_drop(&lost->view);
    lost->view = view_hold(view);
}

/* Its words as the spool's own (cluster/custody_settle.c). */
static struct bus_msg *settled(const struct bus_msg *msg)
{
    struct bus_msg *answer = bus_msg_new(BUS_SETTLED, msg->to, msg->from);
    memcpy(answer->spool, msg->from_spool, sizeof answer->spool);
    memcpy(answer->from_spool, msg->spool, sizeof answer->from_spool);
    answer->id = msg->id;
    return answer;
}

static struct bus_msg *answer_of(const struct bus_msg *msg)
{
    bool asks = msg->type == BUS_SETTLED_ASK;
    struct bus_msg *answer = asks ? settled(msg) : bus_msg_answer(msg, BUS_MOVE_ANSWER);
    answer->items = xmemdup(msg->items, msg->item_count * sizeof *msg->items);
    answer->item_count = msg->item_count;
    for (uint32_t i = 0; i < answer->item_count && !asks; i++)
        answer->items[i].verdict = BUS_GONE;
    return answer;
}

struct bus_msg *lost_spools_message(
    struct lost_spools *lost, const struct bus_msg *msg, usec_t now, bool *first_r)
{
    *first_r = false;
    if ((!bus_is_move(msg) && msg->type != BUS_SETTLED_ASK) || msg->item_count == 0)
        return NULL;
    struct lost_spool *spool = map_get_text(&lost->spools, msg->spool);
    if (!is_ours(lost, msg->spool)) {
        free(map_remove_text(&lost->spools, msg->spool));
        return NULL;
    }
    if (spool == NULL) {
        spool = xcalloc(1, sizeof *spool);
        spool->since = now;
        map_set_text(&lost->spools, msg->spool, spool);
    }
    if (now < spool->since + LOST_AFTER)
        return NULL;
    *first_r = !spool->answered;
    spool->answered = true;
    return answer_of(msg);
}
