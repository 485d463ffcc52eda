/* route - see route.h */
#include "coordinator/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/heap.h"
#include "base/map.h"
#include "base/panic.h"
#include "cluster/placement.h"

#define ASK_AGAIN USEC_SEC
#define GIVE_UP USEC_MIN
#define SLOWEST USEC_SEC /* an answer's delay under the highest pressure */
#define WITHOUT_VIEW (5 * USEC_SEC)
#define MAX_RANK PLACEMENT_MAX_RANKS

struct submission {
    uint64_t token;
    struct mail *mail;
    struct blob *body;
    usec_t since;
    struct heap_node timer;
    char spool[MEMBER_ID_SIZE]; /* the only one asked, until it refuses; "" = there was no view yet */
    uint64_t incarnation;       /* the newest of it that was asked */
    char refused[MAX_RANK][MEMBER_ID_SIZE];
    size_t refused_count;
    enum bus_verdict why; /* of the last refusal */
    bool taken;           /* the node has it: its client is answered a little later */
    enum front_verdict verdict;
#ifdef TODOKU_WITHOUT_ONE_SPOOL
    unsigned asked; /* times, of this spool */
#endif
};

struct route {
    char member[BUS_NAME_SIZE];
    struct route_ports ports;
    struct view *view;
    struct placement *placement;
    struct map silent;  /* member -> something: gets nothing new just now */
    struct map waiting; /* token -> struct submission */
    struct heap timers;
};

struct route *route_new(const char *member, const struct route_ports *ports)
{
    struct route *route = xcalloc(1, sizeof *route);
    snprintf(route->member, sizeof route->member, "%s", member);
    route->ports = *ports;
    route->placement = placement_new();
    return route;
}

static void submission_free(struct submission *submission)
{
    mail_drop(&submission->mail);
    blob_drop(&submission->body);
    free(submission);
}

void route_free(struct route **route)
{
    struct route *r = *route;
    *route = NULL;
    if (r == NULL)
        return;
    struct map_entry *at = NULL;
    for (struct submission *submission; (submission = map_next(&r->waiting, &at)) != NULL;)
        submission_free(submission);
    map_free(&r->waiting);
    heap_free(&r->timers);
    map_free(&r->silent);
    placement_free(&r->placement);
    view_drop(&r->view);
    free(r);
}

/* What came before there was any view is looked at by the next turn of the clock, which is due at once. */
static void wake_all(struct route *route)
{
    struct map_entry *at = NULL;
    for (struct submission *submission; (submission = map_next(&route->waiting, &at)) != NULL;)
        heap_put(&route->timers, &submission->timer, submission->since);
}

void route_set_view(struct route *route, struct view *view)
{
    if (route->view != NULL && view->epoch <= route->view->epoch)
        return;
    if (route->view == NULL)
        wake_all(route);
    view_drop(&route->view);
    route->view = view_hold(view);
    placement_set_view(route->placement, view);
}

void route_set_silent(struct route *route, const char *member, bool silent)
{
    if (!silent)
        map_remove_text(&route->silent, member);
    else if (map_count(&route->silent) < VIEW_MAX_NODES)
        map_set_text(&route->silent, member, route);
}

static bool is_silent(const struct route *route, const struct view_node *node)
{
    return map_count(&route->silent) > 0 && map_get_text(&route->silent, node->id) != NULL;
}

static void settle(
    struct route *route, struct submission *submission, enum front_verdict verdict, const char *text)
{
    struct front_outcome outcome = {.verdict = verdict, .id = submission->mail->id, .text = text};
    map_remove(&route->waiting, &submission->token, sizeof submission->token);
    heap_remove(&route->timers, &submission->timer);
    route->ports.submitted(route->ports.context, submission->token, &outcome);
    submission_free(submission);
}

static bool has_refused(const struct submission *submission, const char *spool)
{
    for (size_t i = 0; i < submission->refused_count; i++)
        if (strcmp(submission->refused[i], spool) == 0)
            return true;
    return false;
}

/* The best that has not refused and is not silent; if all are silent, the best of them; null if there is
 * none. */
static const struct view_node *best_left(struct route *route, const struct submission *submission)
{
    const struct view_node *ranked[MAX_RANK], *silent = NULL;
    const char *pool = submission->mail->pool, *domain = mail_domain(submission->mail->recipients[0]);
    size_t count =
        placement_rank(route->placement, pool, NULL, domain, &submission->mail->id, ranked, MAX_RANK);
    for (size_t i = 0; i < count; i++) {
        if (has_refused(submission, ranked[i]->spool))
            continue;
        if (!is_silent(route, ranked[i]))
            return ranked[i];
        if (silent == NULL)
            silent = ranked[i];
    }
    return silent;
}

/* The spool that is asked from now on; false if there is none. Whoever calls it again for a submission that
 * was sent must know that the spool it was sent to will never take it. */
static bool choose(struct route *route, struct submission *submission)
{
    const char *pool = submission->mail->pool, *domain = mail_domain(submission->mail->recipients[0]);
    const struct view_node *node = NULL;
    if (submission->refused_count == 0)
        node = placement_owner(route->placement, pool, NULL, domain, &submission->mail->id);
    if (node == NULL || is_silent(route, node))
        node = best_left(route, submission);
    if (node == NULL)
        return false;
    memcpy(submission->spool, node->spool, sizeof submission->spool);
    return true;
}

/* Asks whoever serves the spool now. */
static void ask(struct route *route, struct submission *submission, usec_t now)
{
    uint64_t incarnation;
    const struct view_node *primary =
        route->view == NULL ? NULL : view_spool(route->view, submission->spool, &incarnation);
    heap_put(&route->timers, &submission->timer, now + ASK_AGAIN);
    if (primary == NULL)
        return;
#ifdef TODOKU_WITHOUT_ONE_SPOOL
    submission->asked++;
#endif
    struct bus_msg *msg = bus_msg_new(BUS_INJECT, route->member, primary->id);
    submission->incarnation = msg->to_incarnation = incarnation;
    msg->ref = submission->token;
    memcpy(msg->spool, submission->spool, sizeof msg->spool);
    msg->id = submission->mail->id;
    msg->mail = mail_hold(submission->mail);
    msg->body = blob_hold(submission->body);
    route->ports.send(route->ports.context, msg);
}

static void begin(struct route *route, struct submission *submission, usec_t now)
{
    if (choose(route, submission))
        ask(route, submission, now);
    else
        settle(route, submission, FRONT_LATER,
            "no node has a source of this message's pool; the operator has been told");
}

void route_submit(struct route *route, uint64_t token, struct mail *mail, struct blob *body, usec_t now)
{
    must(mail->recipient_count > 0);
    struct submission *submission = xcalloc(1, sizeof *submission);
    submission->token = token;
    submission->mail = mail;
    submission->body = body;
    submission->since = now;
    bool full = map_count(&route->waiting) >= ROUTE_MAX;
    must(map_set(&route->waiting, &submission->token, sizeof submission->token, submission) == NULL);
    if (full)
        settle(route, submission, FRONT_LATER, "too many messages wait to be taken; try again soon");
    else if (route->view == NULL)
        heap_put(&route->timers, &submission->timer, now + WITHOUT_VIEW);
    else
        begin(route, submission, now);
}

static void refused(struct route *route, struct submission *submission, const struct bus_msg *msg, usec_t now)
{
    /* Only the newest incarnation asked speaks for its spool: an older one's refusal may come after a newer
     * one took the message. */
    if (strcmp(submission->spool, msg->spool) != 0 || submission->incarnation != msg->to_incarnation)
        return;
    submission->why = msg->verdict;
    if (submission->refused_count < MAX_RANK)
        memcpy(submission->refused[submission->refused_count++], msg->spool, sizeof msg->spool);
    if (submission->refused_count < MAX_RANK && choose(route, submission))
        ask(route, submission, now);
    else
        settle(route, submission, submission->why == BUS_FULL ? FRONT_FULL : FRONT_LATER,
            msg->text == NULL ? "no node takes it just now" : msg->text);
}

/* A client that waits for its answer sends no more meanwhile: so who sends to a node that is pressed is slowed, and
 * nobody else. The square leaves the lower half nearly free. */
static usec_t delay_under(unsigned pressure)
{
    return SLOWEST * pressure * pressure / 100 / 100;
}

static void taken(struct route *route, struct submission *submission, enum front_verdict verdict,
    unsigned pressure, usec_t now)
{
    if (pressure == 0) {
        settle(route, submission, verdict, "queued");
        return;
    }
    submission->taken = true;
    submission->verdict = verdict;
    blob_drop(&submission->body);
    heap_put(&route->timers, &submission->timer, now + delay_under(pressure));
}

void route_message(struct route *route, const struct bus_msg *msg, usec_t now)
{
    struct submission *submission = map_get(&route->waiting, &msg->ref, sizeof msg->ref);
    if (msg->type != BUS_INJECT_ANSWER || submission == NULL || submission->taken ||
        !id_equal(&msg->id, &submission->mail->id))
        return;
    switch (msg->verdict) {
    case BUS_TAKEN:
        taken(route, submission, FRONT_TAKEN, msg->pressure, now);
        break;
    case BUS_REPEATED: /* of our own asking, or of an earlier message with the same key */
        taken(route, submission, submission->mail->keyed ? FRONT_REPEATED : FRONT_TAKEN, msg->pressure, now);
        break;
    case BUS_CONFLICT:
        settle(route, submission, FRONT_CONFLICT, "this idempotency key was used for another message");
        break;
    case BUS_FULL:
    case BUS_REFUSED:
        refused(route, submission, msg, now);
        break;
    case BUS_GONE: /* of moves */
        break;
    }
}

/* One spool a message: what was sent is asked of the spool it was sent to, whatever becomes of that one. */
static void ask_again(struct route *route, struct submission *submission, usec_t now)
{
#ifdef TODOKU_WITHOUT_ONE_SPOOL
    if (submission->asked >= 3 && submission->refused_count < MAX_RANK) {
        submission->asked = 0;
        memcpy(submission->refused[submission->refused_count++], submission->spool, MEMBER_ID_SIZE);
        choose(route, submission);
    }
#endif
    ask(route, submission, now);
}

void route_tick(struct route *route, usec_t now)
{
    for (struct heap_node *timer; (timer = heap_pop(&route->timers, now)) != NULL;) {
        struct submission *submission = heap_item(timer, struct submission, timer);
        if (submission->taken)
            settle(route, submission, submission->verdict, "queued");
        else if (now - submission->since >= GIVE_UP)
            settle(route, submission, FRONT_LATER,
                "the node that this message belongs to did not answer in time; try again later");
        else if (route->view == NULL)
            settle(route, submission, FRONT_LATER,
                "this coordinator has not learned yet which nodes there are; try again soon");
        else if (submission->spool[0] == '\0')
            begin(route, submission, now);
        else
            ask_again(route, submission, now);
    }
}

usec_t route_deadline(const struct route *route)
{
    const struct heap_node *timer = heap_first(&route->timers);
    return timer == NULL ? USEC_NEVER : timer->key;
}

size_t route_waiting(const struct route *route)
{
    return map_count(&route->waiting);
}
