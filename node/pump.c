/* pump - gives a provider's turns: which message a lane starts next, over which connection
 *
 * When a lane has room for a message (connections, pace, outcomes still on their way to the disk), the turn is
 * its queue's that turns.h names over all sites of the provider. If that queue's site has an idle connection
 * there, it sends. If it has none, the lane does not wait for it: another site's connection sends the next of
 * its own queues, and who was served so owes that. But a connection makes way, that is, it ends so that the
 * other site may open one,
 *   - at once for a site without any, if that one's mail is more urgent or its own site has nothing to send;
 *   - when it is the other's turn, and it has none, or has more urgent mail and too few: after STAY messages;
 *   - when the other has too few: after STAY messages in a row out of turn.
 * So connections are used for many messages, and yet go to whose turn it is in the long run.
 *
 * Sites say what connections they wish for (site.c); those without any come first, then by class, in turn.
 *
 * A message that must be read from the disk or signed is given to its connection before the lane has room for it;
 * it holds there. How many may, is bounded by what the lane starts in AHEAD, for each class, and one that comes
 * first by then goes before those that hold: nothing urgent waits behind what was fetched ahead.
 *
 * What is blocked is not looked at: lanes are looked at when something has changed for them, and a queue whose
 * gate is found shut leaves the rings. */
#include "base/panic.h"
#include "node/gate.h"
#include "node/node_state.h"

#define STAY 10              /* messages that a connection carries before it makes way for its like */
#define AHEAD (50 * USEC_MS) /* what is read from the disk before the lane has room */
#define SHUT_AT_ONCE 64      /* queues with a shut gate that one look takes out of the rings */
#define LOOK_AGAIN (10 * USEC_MS)
#define WAYS_TRIED 8
#define CONNECT_AHEAD USEC_SEC /* connections are opened so long before their lane's pace lets them send */

/* Whose turn it is: among a lane's stands, or those of one site. */
struct turn {
    struct queue *queue;
    size_t stand; /* index in the lane's */
};

static struct turns *turns_of(const struct site *site, struct stand *stand)
{
    if (site == NULL || !stand->provider->several)
        return &stand->turns;
    struct party *party = site_party(site, stand);
    return party == NULL ? NULL : &party->turns;
}

static struct queue *queue_of(struct turn_flow *flow, const struct turns *turns, const struct stand *stand)
{
    return turns == &stand->turns ? list_item(flow, struct queue, turn)
                                  : list_item(flow, struct queue, site_turn);
}

static unsigned classes_of(const struct dispatch *dispatch, const struct site *site)
{
    unsigned classes = 0;
    for (size_t i = 0; i < dispatch->stand_count; i++) {
        const struct turns *turns = turns_of(site, dispatch->stands[i]);
        for (unsigned j = 0; turns != NULL && j < TURN_CLASSES; j++)
            classes |= turns_has(turns, j) ? 1u << j : 0;
    }
    return classes;
}

/* The stands that have something of the class take turns. */
static size_t choose_stand(const struct dispatch *dispatch, const struct site *site, enum mail_priority class)
{
    for (size_t i = 0; i < dispatch->stand_count; i++) {
        size_t at = (dispatch->turn + i) % dispatch->stand_count;
        const struct turns *turns = turns_of(site, dispatch->stands[at]);
        if (turns != NULL && turns_has(turns, class))
            return at;
    }
    must(!"a stand has something of the class");
    return 0;
}

/* Names the next without changing anything but who is in the rings: what is found shut leaves them. */
static bool name_next(
    struct node *node, struct dispatch *dispatch, const struct site *site, struct turn *turn_r, usec_t now)
{
    for (unsigned shut = 0; shut < SHUT_AT_ONCE; shut++) {
        unsigned classes = classes_of(dispatch, site);
        if (classes == 0)
            return false;
        enum mail_priority class = turn_clock_next(&dispatch->provider->clock, classes);
        turn_r->stand = choose_stand(dispatch, site, class);
        struct stand *stand = dispatch->stands[turn_r->stand];
        struct turns *turns = turns_of(site, stand);
        struct turn_flow *flow = turns_next(turns, class);
        turn_r->queue = queue_of(flow, turns, stand);
        if (gate_opens(node, turn_r->queue, now) > now)
            site_leave(turn_r->queue);
        else if (gate_source_open(node, dispatch->source, turn_r->queue, now))
            return true;
        else
            turns_pass(flow);
    }
    lane_wake(node, dispatch, now + LOOK_AGAIN);
    return false;
}

struct queue *pump_next(struct node *node, struct site *site, size_t source, usec_t now)
{
    struct turn turn;
    struct dispatch *dispatch = &site->provider->dispatch[source];
    return name_next(node, dispatch, site, &turn, now) ? turn.queue : NULL;
}

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
static bool makes_way_in_turn(const struct session *session, unsigned offer, const struct party *party)
{
    if (makes_way_at_once(session, offer, party))
        return true;
    if (!in_the_way(session, party) || session_dispatch(session)->leaving > 0)
        return false;
    return session->detours >= STAY ||
           (session->messages >= STAY &&
               (party->rank == WISH_FIRST || (party->class < offer && !opens_one(party))));
}

static void make_way(struct node *node, struct session *session, struct party *party, usec_t now)
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
static void idle_makes_way(struct node *node, struct dispatch *dispatch, usec_t now)
{
    if (list_empty(&dispatch->idle) || lane_may_open(&dispatch->provider->lanes[dispatch->source]))
        return;
    struct session *session = list_item(dispatch->idle.next, struct session, of_lane);
    struct party *party = first_without(dispatch);
    if (party != NULL && makes_way_at_once(session, offer_of(node, dispatch, session, now), party))
        make_way(node, session, party, now);
}

/* ---- starting messages ---- */

/* Of those that hold a message, the one that was given its turn first. */
static struct session *first_holding(const struct dispatch *dispatch)
{
    struct session *first = NULL;
    list_each (link, &dispatch->holding) {
        struct session *session = list_item(link, struct session, of_lane);
        if (first == NULL || session->tag < first->tag ||
            (session->tag == first->tag && session->class < first->class))
            first = session;
    }
    return first;
}

static bool goes_before(
    const struct dispatch *dispatch, enum mail_priority class, const struct session *holding)
{
    uint64_t tag = turn_clock_tag(&dispatch->provider->clock, class);
    return tag < holding->tag || (tag == holding->tag && class < holding->class);
}

static struct session *idle_session(const struct site *site, size_t source)
{
    const struct list *idle = &site->ways[source].idle;
    return list_empty(idle) ? NULL : list_item(idle->next, struct session, of_way);
}

static void put_back(struct node *node, struct session *session, usec_t now)
{
    batch_return(node, session, now);
    session_set_state(session, SESSION_IDLE);
}

/* One that holds a less urgent message, of this site or (null) of any. */
static struct session *take_over(struct node *node, struct dispatch *dispatch, const struct site *site,
    enum mail_priority class, usec_t now)
{
    list_each (link, &dispatch->holding) {
        struct session *session = list_item(link, struct session, of_lane);
        if ((site == NULL || session->site == site) && session->class > class) {
            put_back(node, session, now);
            return session;
        }
    }
    return NULL;
}

/* On a lane with a pace only some messages are fetched before they may start. */
static bool may_give(const struct dispatch *dispatch, const struct queue *queue)
{
    const struct rate *rate = &dispatch->provider->lanes[dispatch->source].limits.rate;
    const struct delivery *first = list_item(queue->ready.next, struct delivery, link);
    if (rate->count == 0 || first->held->body != NULL)
        return true;
    uint64_t most = (uint64_t)AHEAD * rate->count / (uint64_t)rate->per;
    return dispatch->ahead[queue->class] < 1 + most;
}

static void give(struct node *node, struct dispatch *dispatch, struct session *session,
    const struct turn *turn, bool in_turn, usec_t now)
{
    struct queue *queue = turn->queue;
    uint32_t cost = queue->turn.cost;
    session->class = queue->class;
    session->tag = turn_clock_served(&dispatch->provider->clock, queue->class, cost);
    session->detours = in_turn ? 0 : session->detours + 1;
    turns_served(&queue->turn, cost);
    if (queue->site_turn.campaign != NULL)
        turns_served(&queue->site_turn, cost);
    dispatch->turn = turn->stand + 1;
    session_give(node, session, queue, now);
}

/* The most urgent of what the other sites' idle sessions could send. */
static struct way *choose_way(struct node *node, struct dispatch *dispatch, struct turn *turn_r, usec_t now)
{
    struct way *best = NULL;
    uint64_t best_tag = 0;
    for (unsigned tried = 0; tried < WAYS_TRIED && !list_empty(&dispatch->able); tried++) {
        struct way *way = list_item(dispatch->able.next, struct way, able);
        list_remove(&way->able);
        struct turn turn;
        if (list_empty(&way->idle) || !name_next(node, dispatch, way->site, &turn, now))
            continue;
        list_push_back(&dispatch->able, &way->able);
        if (way == best)
            break;
        uint64_t tag = turn_clock_tag(&dispatch->provider->clock, turn.queue->class);
        if (best == NULL || tag < best_tag || (tag == best_tag && turn.queue->class < turn_r->queue->class)) {
            best = way;
            best_tag = tag;
            *turn_r = turn;
        }
    }
    return best;
}

/* The one whose turn it is has no connection to send over: false if nothing else can be done. */
static bool give_another(struct node *node, struct dispatch *dispatch, const struct turn *owed, usec_t now)
{
    struct party *party = owed->queue->party;
    enum mail_priority class = owed->queue->class;
    struct turn turn;
    struct way *way = choose_way(node, dispatch, &turn, now);
    if (way == NULL) {
        bool none = party->rank == WISH_FIRST && list_linked(&party->wish) && dispatch->leaving == 0 &&
                    list_empty(&dispatch->idle) &&
                    !lane_may_open(&dispatch->provider->lanes[dispatch->source]);
        struct session *session = none ? take_over(node, dispatch, NULL, class, now) : NULL;
        if (session != NULL)
            make_way(node, session, party, now);
        return session != NULL;
    }
    struct session *session = idle_session(way->site, dispatch->source);
    if (makes_way_in_turn(session, turn.queue->class, party)) {
        make_way(node, session, party, now);
        return true;
    }
    if (!may_give(dispatch, turn.queue))
        return false;
    give(node, dispatch, session, &turn, false, now);
    return true;
}

/* One message starts, or one session less is idle; false: there is nothing to do. */
static bool give_turn(struct node *node, struct dispatch *dispatch, usec_t now)
{
    struct turn turn;
    struct session *holding = first_holding(dispatch);
    bool named = !node->quiescing && name_next(node, dispatch, NULL, &turn, now);
    if (holding != NULL && (!named || !goes_before(dispatch, turn.queue->class, holding))) {
        batch_begin(node, holding, now);
        return true;
    }
    if (!named)
        return false;
    const struct site *site = turn.queue->domain->site;
    struct session *session = idle_session(site, dispatch->source);
    if (session == NULL && holding != NULL)
        session = take_over(node, dispatch, site, turn.queue->class, now);
    if (session == NULL)
        return give_another(node, dispatch, &turn, now);
    if (!may_give(dispatch, turn.queue))
        return false;
    give(node, dispatch, session, &turn, true, now);
    return true;
}

static void feed(struct node *node, struct dispatch *dispatch, usec_t now)
{
    const struct lane *lane = &dispatch->provider->lanes[dispatch->source];
    while ((!list_empty(&dispatch->idle) || !list_empty(&dispatch->holding)) && !lane_full(lane)) {
        usec_t when = lane_when(lane, now);
        if (when > now)
            lane_wake(node, dispatch, when);
        if (when > now || !give_turn(node, dispatch, now))
            break;
    }
    if (!node->quiescing)
        idle_makes_way(node, dispatch, now);
}

/* ---- opening connections ---- */

static bool lighter(const struct lane *a, const struct lane *b)
{
    return a->open != b->open ? a->open < b->open : a->messages < b->messages;
}

/* The source with the least to do that may open a connection for this queue, or -1. */
static int choose_source(struct node *node, const struct stand *stand, const struct queue *queue, usec_t now)
{
    const struct lane *lanes = stand->provider->lanes;
    int best = -1;
    for (size_t i = 0; i < stand->source_count; i++) {
        size_t at = stand->sources[i];
        if (!lane_may_open(&lanes[at]) || !gate_source_open(node, at, queue, now))
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

/* A queue whose turn it is at the party, by its class; null: those that were asked are shut. */
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
    if (party->stand->source_count > 0)
        lane_wake(node, &party->stand->provider->dispatch[party->stand->sources[0]], now);
    return NULL;
}

static void open_for(struct node *node, struct party *party, usec_t now)
{
    struct stand *stand = party->stand;
    struct queue *queue = first_queue(node, party, now);
    if (queue == NULL) {
        list_remove(&stand->seeking);
        return;
    }
    if (stand->source_count == 0) {
        fail_unreachable(node, queue, now);
        return;
    }
    int source = choose_source(node, stand, queue, now);
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

static void join_crowd(struct node *node, struct provider *provider)
{
    for (struct list *link; (link = list_pop(&provider->seeking)) != NULL;)
        list_push_back(&node->crowd, link);
}

static void open_more(struct node *node, struct provider *provider, usec_t now)
{
    while (!list_empty(&provider->seeking)) {
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

/* ---- */

void pump(struct node *node, usec_t now)
{
    for (struct list *at; (at = list_pop(&node->dirty)) != NULL;) {
        struct provider *provider = list_item(at, struct provider, looked_at);
        for (struct list *link; (link = list_pop(&provider->dirty)) != NULL;)
            feed(node, list_item(link, struct dispatch, dirty), now);
        if (node->quiescing)
            while (list_pop(&provider->seeking) != NULL)
                ;
        open_more(node, provider, now);
    }
}
