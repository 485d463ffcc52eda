/* pump - gives a provider's turns: which message a lane starts next, over which connection
 *
 * When a lane has room for a message (connections, pace, outcomes still on their way to the disk), the turn is
 * its queue's that turns.h names over all sites of the provider. If that queue's site has an idle connection
 * there, it sends. If it has none, the lane does not wait for it: another site's connection sends the next of
 * its own queues, and who was served so owes that; or it makes way (connect.c).
 *
 * A message that must be read from the disk or signed is given to its connection before the lane has room for it;
 * it holds there. How many may, is bounded by what the lane starts in AHEAD, for each class, and one that comes
 * first by then goes before those that hold: nothing urgent waits behind what was fetched ahead.
 *
 * What is blocked is not looked at: lanes are looked at when something has changed for them, and a queue whose
 * gate is found shut leaves the rings. */
#include "base/panic.h"
#include "node/gate.h"
#include "node/pump_inside.h"

#define AHEAD (50 * USEC_MS)      /* what is read from the disk before the lane has room */
#define CLOSED_AT_ONCE 16         /* queues of a class, not for this source, that one look passes over */
#define LOOK_AGAIN (10 * USEC_MS) /* when it has seen no others; */
#define LOOK_SELDOM USEC_SEC      /* growing to this */
#define WAYS_TRIED 8

struct turns *turns_of(const struct site *site, struct stand *stand)
{
    if (site == NULL || !stand->provider->several)
        return &stand->turns;
    struct party *party = site_party(site, stand);
    return party == NULL ? NULL : &party->turns;
}

struct queue *queue_of(struct turn_flow *flow, const struct turns *turns, const struct stand *stand)
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

/* What may be behind those that were looked at is looked at later; that something changes is told anyway. */
static void look_later(struct node *node, struct dispatch *dispatch, usec_t now)
{
    usec_t patience = 2 * dispatch->patience;
    if (heap_has(&dispatch->timer))
        return;
    dispatch->patience = patience < LOOK_AGAIN ? LOOK_AGAIN : patience > LOOK_SELDOM ? LOOK_SELDOM : patience;
    lane_wake(node, dispatch, now + dispatch->patience);
}

bool name_next(
    struct node *node, struct dispatch *dispatch, const struct site *site, struct turn *turn_r, usec_t now)
{
    unsigned closed[TURN_CLASSES] = {0}, passed_over = 0, shut = 0;
    for (unsigned i = 0; i < SHUT_AT_ONCE; i++) {
        unsigned classes = classes_of(dispatch, site) & ~passed_over;
        if (classes == 0 && passed_over == 0)
            return false;
        if (classes == 0)
            break;
        enum mail_priority class = turn_clock_next(&dispatch->clock, classes);
        turn_r->stand = choose_stand(dispatch, site, class);
        struct stand *stand = dispatch->stands[turn_r->stand];
        struct turns *turns = turns_of(site, stand);
        struct turn_flow *flow = turns_next(turns, class);
        turn_r->queue = queue_of(flow, turns, stand);
        if (gate_opens(node, turn_r->queue, now) > now) {
            turns_pass(flow); /* who has many such queues does not hold up the others meanwhile */
            site_leave(turn_r->queue);
            shut++;
        } else if (gate_source_open(node, dispatch->source, turn_r->queue, now)) {
            dispatch->patience = 0;
            return true;
        } else {
            turns_pass(flow);
            passed_over |= ++closed[class] == CLOSED_AT_ONCE ? 1u << class : 0;
        }
    }
    if (shut > 0)
        lane_wake(node, dispatch, now);
    else
        look_later(node, dispatch, now);
    return false;
}

struct queue *pump_next(struct node *node, struct site *site, size_t source, usec_t now)
{
    struct turn turn;
    struct dispatch *dispatch = &site->provider->dispatch[source];
    return name_next(node, dispatch, site, &turn, now) ? turn.queue : NULL;
}

/* ---- starting messages ---- */

/* Of two that were given their turns: a more urgent one goes first if its class stood no further then. The clock
 * had run on by what was given before, so one message of a class that had nothing goes before all that was read
 * ahead, and the next behind it. */
static bool starts_before(const struct session *a, const struct session *b)
{
    if (a->class == b->class)
        return a->tag < b->tag;
    return a->class < b->class ? a->stood <= b->tag : b->stood > a->tag;
}

static struct session *first_holding(const struct dispatch *dispatch)
{
    struct session *first = NULL;
    list_each (link, &dispatch->holding) {
        struct session *session = list_item(link, struct session, of_lane);
        if (first == NULL || starts_before(session, first))
            first = session;
    }
    return first;
}

/* The same for one that is given its turn only now. */
static bool goes_before(
    const struct dispatch *dispatch, enum mail_priority class, const struct session *holding)
{
    return class < holding->class && dispatch->clock.tags[class] <= holding->tag;
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

/* On a lane with a pace only some messages are fetched and signed before they may start. */
static bool may_give(const struct dispatch *dispatch, const struct queue *queue)
{
    const struct rate *rate = &dispatch->provider->lanes[dispatch->source].limits.rate;
    if (rate->count == 0)
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
    session->stood = dispatch->clock.tags[queue->class];
    session->tag = turn_clock_served(&dispatch->clock, queue->class, cost);
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
        bool named = !list_empty(&way->idle) && name_next(node, dispatch, way->site, &turn, now);
        if (!named && (list_empty(&way->idle) || classes_of(dispatch, way->site) == 0))
            continue; /* it comes back when that changes */
        list_push_back(&dispatch->able, &way->able);
        if (!named)
            continue;
        if (way == best)
            break;
        uint64_t tag = turn_clock_tag(&dispatch->clock, turn.queue->class);
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
    struct turn turn = {0};
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
    if (session == NULL && holding != NULL && may_give(dispatch, turn.queue))
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
    while (node->quiescing && !list_empty(&dispatch->idle))
        session_end_idle(node, list_item(dispatch->idle.next, struct session, of_lane), now);
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
