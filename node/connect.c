/* connect - which site gets a connection, and which gives one up for it
 *
 * Sites say what connections they wish for (site.c): one that has made way comes first, then those for sites
 * without any, then those that would be of use; each by class, in turn. A lane that has none to spare may have
 * an idle one of another site. That makes way, that is, it ends and the other site opens one in its place,
 *   - at once for a site without any, if that one's mail is more urgent or its own site has nothing to send;
 *   - when it is the other's turn, and it has none, or has more urgent mail and too few: after STAY messages;
 *   - when the other has too few: after STAY messages in a row out of turn.
 * So connections are used for many messages, and yet go to whose turn it is in the long run. */
#include "node/gate.h"
#include "node/pump_inside.h"

#define STAY 10                /* messages that a connection carries before it makes way for its like */
#define THIN_LOOKS 64          /* at sessions, for each connection that is opened among many */
#define THIN_AT_ONCE 2         /* of them that end */
#define CONNECT_AHEAD USEC_SEC /* connections are opened so long before their lane's pace lets them send */

/* ---- making way ---- */

/* What the idle session's site would send over it: a class, or TURN_CLASSES for nothing. */
static unsigned offer_of(
    struct node *node, struct dispatch *dispatch, const struct session *session, usec_t now)
{
    struct turn turn;
    return name_next(node, dispatch, session->site, &turn, now) ? turn.queue->class : TURN_CLASSES;
}

static bool opens_one(const struct party *party)
{
    for (size_t i = 0; i < party->stand->source_count; i++)
        if (party->site->ways[party->stand->sources[i]].opening > 0)
            return true;
    return false;
}

/* Somebody else's idle connection is all that stands in the way. */
static bool in_the_way(const struct session *session, const struct party *party)
{
    return !lane_may_open(session_lane(session)) && list_linked(&party->wish) && !party->promised &&
           session->site != party->site;
}

/* For a site without any connection, if more urgent, or if this one's site has nothing to send anyway. */
static bool makes_way_at_once(const struct session *session, unsigned offer, const struct party *party)
{
    uint32_t wishes = 0;
    for (unsigned i = 0; i <= party->class; i++)
        wishes += party->stand->wish_count[WISH_PROMISED][i] + party->stand->wish_count[WISH_FIRST][i];
    return in_the_way(session, party) && party->rank == WISH_FIRST && party->class < offer &&
           session_dispatch(session)->leaving < wishes;
}

/* For the site whose turn it is. */
bool makes_way_in_turn(const struct session *session, unsigned offer, const struct party *party)
{
    if (makes_way_at_once(session, offer, party))
        return true;
    if (!in_the_way(session, party) || session_dispatch(session)->leaving > 0)
        return false;
    return session->detours >= STAY ||
           (session->messages >= STAY &&
               (party->rank == WISH_FIRST || (party->class < offer && !opens_one(party))));
}

void make_way(struct node *node, struct session *session, struct party *party, usec_t now)
{
    party->promised = true;
    party_look(node, party);
    session_end_idle(node, session, now);
}

static struct party *first_without(const struct dispatch *dispatch)
{
    for (unsigned class = 0; class < TURN_CLASSES; class ++)
        for (size_t i = 0; i < dispatch->stand_count; i++) {
            const struct list *wishes = &dispatch->stands[i]->wishes[WISH_FIRST][class];
            if (!list_empty(wishes))
                return list_item(wishes->next, struct party, wish);
        }
    return NULL;
}

/* The one that is idle for longest has perhaps nothing to send, and stands in the way of a site's first. */
void idle_makes_way(struct node *node, struct dispatch *dispatch, usec_t now)
{
    if (list_empty(&dispatch->idle) || lane_may_open(&dispatch->provider->lanes[dispatch->source]))
        return;
    struct session *session = list_item(dispatch->idle.next, struct session, of_lane);
    struct party *party = first_without(dispatch);
    if (party != NULL && makes_way_at_once(session, offer_of(node, dispatch, session, now), party))
        make_way(node, session, party, now);
}

/* ---- opening connections ---- */

static bool lighter(const struct lane *a, const struct lane *b)
{
    return a->open != b->open ? a->open < b->open : a->messages < b->messages;
}

/* The queue may use this source; or else another one of the site may, whose turn comes later. */
static bool is_of_use(
    struct node *node, size_t source, const struct party *party, const struct queue *queue, usec_t now)
{
    struct turn turn;
    return gate_source_open(node, source, queue, now) ||
           name_next(node, &party->stand->provider->dispatch[source], party->site, &turn, now);
}

/* The source with the least to do that may open a connection for this queue, or -1. */
static int choose_source(struct node *node, const struct party *party, const struct queue *queue, usec_t now)
{
    const struct stand *stand = party->stand;
    const struct lane *lanes = stand->provider->lanes;
    int best = -1;
    for (size_t i = 0; i < stand->source_count; i++) {
        size_t at = stand->sources[i];
        if (!lane_may_open(&lanes[at]) || !is_of_use(node, at, party, queue, now))
            continue;
        if (lanes[at].next > now + CONNECT_AHEAD)
            lane_wake(node, &stand->provider->dispatch[at], lanes[at].next - CONNECT_AHEAD);
        else if (best < 0 || lighter(&lanes[at], &lanes[best]))
            best = (int)at;
    }
    return best;
}

/* No source of the queue's pool has an address of a family that the hosts have too: that is said, and tried
 * again as DNS may change. */
static void fail_unreachable(struct node *node, struct queue *queue, usec_t now)
{
    struct reply reply;
    reply_local(&reply, "4.4.1",
        "no source of the pool \"%s\" has an address of the family (IPv4 or IPv6) that the hosts of %s have",
        queue->pool, queue->domain->name);
    /* The queue, and with it the site, may go with the last one. */
    for (uint64_t left = queue->ready_count; left > 0; left--) {
        struct delivery *delivery = list_item(queue->ready.next, struct delivery, link);
        delivery_leave_mood(node, delivery);
        outcome(node, delivery, NULL, SMTP_CONNECT, &reply, now);
    }
}

static void ask_for_way(struct node *node, struct party *party, usec_t now)
{
    for (size_t i = 0; i < party->stand->source_count; i++) {
        struct dispatch *dispatch = &party->stand->provider->dispatch[party->stand->sources[i]];
        if (list_empty(&dispatch->idle))
            continue;
        struct session *session = list_item(dispatch->idle.next, struct session, of_lane);
        if (makes_way_at_once(session, offer_of(node, dispatch, session, now), party)) {
            make_way(node, session, party, now);
            return;
        }
    }
}

/* A queue whose turn it is at the party, by its class; null: those that were asked are shut. Then the party wishes
 * for something else now, or for nothing; or, with many of them, is asked again soon. */
static struct queue *first_queue(struct node *node, const struct party *party, usec_t now)
{
    struct turns *turns = turns_of(party->site, party->stand);
    for (unsigned shut = 0; shut < SHUT_AT_ONCE; shut++) {
        struct turn_flow *flow = turns_next(turns, party->class);
        if (flow == NULL)
            return NULL;
        struct queue *queue = queue_of(flow, turns, party->stand);
        if (gate_opens(node, queue, now) <= now)
            return queue;
        site_leave(queue);
    }
    list_remove(&party->stand->seeking);
    if (party->stand->source_count > 0)
        lane_wake(node, &party->stand->provider->dispatch[party->stand->sources[0]], now);
    return NULL;
}

static void open_for(struct node *node, struct party *party, usec_t now)
{
    struct stand *stand = party->stand;
    struct queue *queue = first_queue(node, party, now);
    if (queue == NULL)
        return;
    if (stand->source_count == 0 && pool_here(node, stand->pool)) {
        fail_unreachable(node, queue, now);
        return;
    }
    int source = choose_source(node, party, queue, now); /* none: other settings, and the census comes by */
    if (source >= 0) {
        session_open(node, party->site, (size_t)source, now);
        party_unwish(party); /* the next one first, then this one again if it still wants more */
        party_look(node, party);
        return;
    }
    list_remove(&stand->seeking);
    stand->full = true;
    ask_for_way(node, party, now);
}

static struct party *first_of(const struct stand *stand, unsigned *rank_r)
{
    for (*rank_r = 0; *rank_r < WISHES * TURN_CLASSES; ++*rank_r) {
        const struct list *wishes = &stand->wishes[*rank_r / TURN_CLASSES][*rank_r % TURN_CLASSES];
        if (!list_empty(wishes))
            return list_item(wishes->next, struct party, wish);
    }
    return NULL;
}

/* Wishes are as old as the last look at them. */
static struct party *first_wish(struct node *node, const struct stand *stand, unsigned *rank_r)
{
    for (;;) {
        struct party *party = first_of(stand, rank_r);
        if (party == NULL)
            return NULL;
        enum wish rank = party->rank;
        enum mail_priority class = party->class;
        party_look(node, party);
        if (list_linked(&party->wish) && party->rank == rank && party->class == class)
            return party;
    }
}

/* Idle connections end before they stand in everybody's way, since a QUIT takes a while. The hand goes round the
 * numbers, which are given in turn, so what it meets has been there for long. */
void crowd_thin_out(struct node *node, usec_t now)
{
    if (node->session_count < NODE_MANY_SESSIONS)
        return;
    unsigned ended = 0;
    for (unsigned seen = 0; seen < THIN_LOOKS && ended < THIN_AT_ONCE; seen++) {
        node->session_hand = (node->session_hand + 1) % node->session_room;
        struct session *session = node->sessions[node->session_hand];
        if (session == NULL || session->state != SESSION_IDLE || !list_empty(&session->site->queues))
            continue;
        session_end_idle(node, session, now);
        ended++;
    }
}

static void join_crowd(struct node *node, struct provider *provider)
{
    for (struct list *link; (link = list_pop(&provider->seeking)) != NULL;)
        list_push_back(&node->crowd, link);
}

void open_more(struct node *node, struct provider *provider, usec_t now)
{
    while (!list_empty(&provider->seeking)) {
        crowd_thin_out(node, now);
        if (node->session_count >= NODE_MAX_SESSIONS) {
            join_crowd(node, provider);
            return;
        }
        struct party *best = NULL;
        unsigned best_rank = 0;
        list_each_safe (link, &provider->seeking) {
            unsigned rank;
            struct party *party = first_wish(node, list_item(link, struct stand, seeking), &rank);
            if (party == NULL)
                list_remove(link);
            else if (best == NULL || rank < best_rank) {
                best = party;
                best_rank = rank;
            }
        }
        if (best != NULL)
            open_for(node, best, now);
    }
}

/* One connection less in all: one stand that waited for just that. */
void crowd_thinned(struct node *node)
{
    for (struct list *link; (link = list_pop(&node->crowd)) != NULL;) {
        struct stand *stand = list_item(link, struct stand, seeking);
        stand_seek(node, stand);
        if (list_linked(&stand->seeking))
            return;
    }
}
