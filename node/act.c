/* act - see act.h: going through what is held */
#include "node/act.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/act_inside.h"
#include "node/gate.h"

#define ACT_ROWS 16

/* ---- does it fit? ---- */

static bool fits_text(const char *wanted, const char *is)
{
    return wanted == NULL || strcmp(wanted, is) == 0;
}

static bool message_fits(const struct act *act, const struct mail *mail)
{
    const struct hold_match *match = &act->match;
    return fits_text(match->tenant, mail->tenant) && fits_text(match->campaign, mail->campaign) &&
           fits_text(match->pool, mail->pool);
}

static bool provider_fits(const struct node *node, const struct act *act, const char *name)
{
    if (act->match.provider == NULL)
        return true;
    const struct domain *domain = map_get_text(&node->domains, name);
    return domain != NULL && domain->site != NULL &&
           strcmp(domain->site->provider->name, act->match.provider) == 0;
}

static bool delivery_fits(const struct node *node, const struct act *act, const struct delivery *delivery)
{
    const char *recipient = delivery->held->mail->recipients[delivery->index];
    return (act->index < 0 || delivery->index == (uint32_t)act->index) &&
           (act->recipient[0] == '\0' || strcmp(act->recipient, recipient) == 0) &&
           fits_text(act->match.domain, mail_domain(recipient)) &&
           provider_fits(node, act, mail_domain(recipient));
}

/* ---- what is done ---- */

static void retry_now(struct node *node, struct act *act, struct delivery *delivery, usec_t now)
{
    struct domain *domain =
        map_get_text(&node->domains, mail_domain(delivery->held->mail->recipients[delivery->index]));
    if (delivery->held->mail->send_at > now)
        return;
    act->matched++;
    act->done++;
    if (domain != NULL && domain->site != NULL)
        site_up(node, domain->site);
    if (delivery->mood != MOOD_WAITING)
        return;
    delivery->due = now;
    delivery_leave_mood(node, delivery);
    delivery_place(node, delivery, now);
}

static void end_one(struct node *node, struct act *act, struct delivery *delivery, usec_t now)
{
    act->matched++;
    if (delivery->mood == MOOD_SENDING) {
        act->in_flight++;
        return;
    }
    delivery_leave_mood(node, delivery);
    outcome_ordered(node, delivery, act->kind == ACT_BOUNCE, act->reason, now);
    act->done++;
    act->seq = delivery->held->last_seq;
}

static void look_at(struct node *node, struct act *act, struct held *held, usec_t now)
{
    if (held->open == 0 || !message_fits(act, held->mail))
        return;
    for (uint32_t i = 0; i < held->count; i++) {
        struct delivery *delivery = held->deliveries[i];
        if (delivery->state != CUSTODY_HELD || !delivery->committed || !delivery_fits(node, act, delivery))
            continue;
        if (act->kind == ACT_RETRY)
            retry_now(node, act, delivery, now);
        else
            end_one(node, act, delivery, now);
    }
    if (held->pins == 0)
        body_rest(node, held);
}

/* ---- one step after the other ---- */

static bool has_resident(const struct act *act)
{
    return act->next != NULL && act->next->number <= act->upto;
}

static bool has_more(const struct act *act)
{
    return act->rows_left || has_resident(act);
}

/* The disk is not outrun: what is under way to it takes memory. */
static bool may_go_on(const struct node *node, const struct act *act)
{
    return act->seq <= custody_on_disk(node->custody) + ACT_UNSYNCED;
}

/* What was in memory when the act began, and still is, has its turn later: it is not parked meanwhile. */
static bool had_been_parked(const struct act *act, const struct held *held)
{
    return held->number > act->upto && held->count > 0 && held->deliveries[0]->made_seq <= act->row_upto;
}

static uint32_t look_at_rows(struct node *node, struct act *act, usec_t now)
{
    struct mail_id ids[ACT_ROWS];
    uint32_t seen = 0;
    size_t count = rest_rows(node, &act->row_seq, ids, ACT_ROWS);
    act->rows_left = act->row_seq != 0;
    for (size_t i = 0; i < count; i++) {
        struct held *held = custody_find(node->custody, &ids[i]);
        if (held == NULL) /* the census takes fewer in a step than an act does, and till then none may rest */
            held = rest_bring(node, &ids[i], now);
        if (held == NULL || !had_been_parked(act, held))
            continue;
        seen += held->count;
        look_at(node, act, held, now);
    }
    node->rest.look_at = now; /* what it is not about may rest again */
    return seen + 1;
}

static void step(struct node *node, struct act *act, usec_t now)
{
    uint32_t seen = 0;
    while (act->rows_left && seen < ACT_STEP && may_go_on(node, act))
        seen += look_at_rows(node, act, now);
    if (act->rows_left)
        return;
    while (seen < ACT_STEP && has_resident(act) && may_go_on(node, act)) {
        struct held *held = act->next;
        act->next = custody_after(node->custody, held);
        seen += held->count;
        look_at(node, act, held, now);
    }
}

static void finish(struct node *node, struct act *act, usec_t now)
{
    act_answer(node, act, false);
    list_remove(&act->link);
    node->act_count--;
    if (act->ordered)
        gate_order_over(node, &act->match, now);
    act_free(act);
}

void act_tick(struct node *node, usec_t now)
{
    list_each_safe (link, &node->acts) {
        struct act *act = list_item(link, struct act, link);
        step(node, act, now);
        if (!has_more(act))
            finish(node, act, now);
        else if (act->answer != NULL && now >= act->answer_by)
            act_answer(node, act, true);
    }
}

usec_t act_deadline(const struct node *node)
{
    usec_t first = USEC_NEVER;
    list_each (link, &node->acts) {
        const struct act *act = list_item(link, struct act, link);
        if (!has_more(act) || may_go_on(node, act))
            return node->now;
        if (act->answer != NULL && act->answer_by < first)
            first = act->answer_by;
    }
    return first;
}

/* ---- begin and end ---- */

/* One message is found at once, and then all is over. */
static void do_one(struct node *node, struct act *act, usec_t now)
{
    struct held *held;
    if (!custody_fetch(node->custody, &act->id, &held) || held == NULL || !message_fits(act, held->mail))
        return;
    if (act->kind != ACT_RETRY)
        batches_withdraw(node, held, now);
    look_at(node, act, held, now);
}

void act_begin(struct node *node, struct act *act, usec_t now)
{
    list_push_back(&node->acts, &act->link);
    node->act_count++;
    if (act->by_id) {
        do_one(node, act, now);
        finish(node, act, now);
        return;
    }
    act->next = custody_after(node->custody, NULL);
    act->upto = custody_newest(node->custody);
    act->rows_left = custody_parked(node->custody) > 0;
    act->row_upto = custody_on_disk(node->custody);
    act->answer_by = now + ACT_PATIENCE;
    if (act->kind != ACT_RETRY) {
        act->ordered = true;
        gate_order(node, &act->match, now);
    }
}

void act_forgotten(struct node *node, const struct held *held)
{
    list_each (link, &node->acts) {
        struct act *act = list_item(link, struct act, link);
        if (act->next == held)
            act->next = custody_after(node->custody, held);
    }
}

uint64_t act_upto(const struct node *node)
{
    uint64_t upto = 0;
    list_each (link, &node->acts) {
        const struct act *act = list_item(link, struct act, link);
        upto = act->upto > upto ? act->upto : upto;
    }
    return upto;
}

void acts_free(struct node *node)
{
    for (struct list *link; (link = list_pop(&node->acts)) != NULL;)
        act_free(list_item(link, struct act, link));
    node->act_count = 0;
}
