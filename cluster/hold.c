/* hold - see hold.h; records are read in hold_record_json.c
 *
 * Each hold is one block: the struct, and its texts behind. */
#include "cluster/hold.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "base/panic.h"

struct holds {
    atomic_uint holders;
    struct hold **items;
    size_t count, room;
    struct hold_lift *lift; /* or null */
};

/* ---- matches ---- */

const char *hold_name(size_t i)
{
    static const char *const names[HOLD_NAMES] = {
        "tenant", "campaign", "pool", "source", "provider", "domain"};
    must(i < HOLD_NAMES);
    return names[i];
}

const char *hold_match_get(const struct hold_match *match, size_t i)
{
    const char *const texts[HOLD_NAMES] = {
        match->tenant, match->campaign, match->pool, match->source, match->provider, match->domain};
    must(i < HOLD_NAMES);
    return texts[i];
}

void hold_match_set(struct hold_match *match, size_t i, const char *text)
{
    const char **const texts[HOLD_NAMES] = {
        &match->tenant, &match->campaign, &match->pool, &match->source, &match->provider, &match->domain};
    must(i < HOLD_NAMES);
    *texts[i] = text;
}

bool hold_match_names(const struct hold_match *match)
{
    for (size_t i = 0; i < HOLD_NAMES; i++)
        if (hold_match_get(match, i) != NULL)
            return true;
    return false;
}

bool hold_match_same(const struct hold_match *a, const struct hold_match *b)
{
    for (size_t i = 0; i < HOLD_NAMES; i++) {
        const char *left = hold_match_get(a, i), *right = hold_match_get(b, i);
        if ((left == NULL) != (right == NULL) || (left != NULL && strcmp(left, right) != 0))
            return false;
    }
    return true;
}

bool hold_id_good(const char *id)
{
    size_t len = strspn(id, "0123456789abcdef");
    return len > 0 && len < HOLD_ID_SIZE && id[len] == '\0';
}

static bool fits(const char *named, const char *what)
{
    return named == NULL || (what != NULL && strcmp(named, what) == 0);
}

/* Domains and tenants first: they tell most holds apart. */
static bool matches(const struct hold_match *match, const struct hold_match *what)
{
    return fits(match->domain, what->domain) && fits(match->tenant, what->tenant) &&
           fits(match->campaign, what->campaign) && fits(match->provider, what->provider) &&
           fits(match->source, what->source) && fits(match->pool, what->pool);
}

/* ---- sets ---- */

struct holds *holds_new(void)
{
    struct holds *holds = xcalloc(1, sizeof *holds);
    atomic_init(&holds->holders, 1);
    return holds;
}

struct holds *holds_hold(struct holds *holds)
{
    atomic_fetch_add_explicit(&holds->holders, 1, memory_order_relaxed);
    return holds;
}

void holds_drop(struct holds **holds)
{
    struct holds *h = *holds;
    *holds = NULL;
    if (h == NULL || atomic_fetch_sub_explicit(&h->holders, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < h->count; i++)
        free(h->items[i]);
    free(h->items);
    free(h->lift);
    free(h);
}

/* Appends the text at *at and moves it on. */
static const char *put(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *place = *at;
    memcpy(place, text, size);
    *at += size;
    return place;
}

static struct hold *copy(const struct hold *hold)
{
    const char *reason = hold->reason == NULL ? "" : hold->reason, *by = hold->by == NULL ? "" : hold->by;
    size_t size = sizeof *hold + strlen(reason) + strlen(by) + 2;
    for (size_t i = 0; i < HOLD_NAMES; i++) {
        const char *text = hold_match_get(&hold->match, i);
        size += text == NULL ? 0 : strlen(text) + 1;
    }
    struct hold *mine = xcalloc(1, size);
    char *at = (char *)(mine + 1);
    *mine = *hold;
    mine->reason = put(&at, reason);
    mine->by = put(&at, by);
    for (size_t i = 0; i < HOLD_NAMES; i++) {
        const char *text = hold_match_get(&hold->match, i);
        hold_match_set(&mine->match, i, text == NULL ? NULL : put(&at, text));
    }
    return mine;
}

int holds_add(struct holds *holds, const struct hold *hold, struct error *error)
{
    if (holds->count >= HOLD_MAX)
        return error_set(error, "there are %d holds already: no more are kept", HOLD_MAX);
    if (holds->count == holds->room) {
        holds->room = holds->room == 0 ? 8 : 2 * holds->room;
        holds->items = xrealloc(holds->items, holds->room * sizeof(struct hold *));
    }
    holds->items[holds->count++] = copy(hold);
    return 0;
}

size_t holds_count(const struct holds *holds)
{
    return holds->count;
}

const struct hold *holds_at(const struct holds *holds, size_t i)
{
    must(i < holds->count);
    return holds->items[i];
}

const struct hold *holds_find(const struct holds *holds, const char *id)
{
    for (size_t i = 0; i < holds->count; i++)
        if (strcmp(holds->items[i]->id, id) == 0)
            return holds->items[i];
    return NULL;
}

usec_t holds_next_end(const struct holds *holds, usec_t now)
{
    usec_t next = USEC_NEVER;
    for (size_t i = 0; i < holds->count; i++) {
        usec_t until = holds->items[i]->until;
        if (until > now && until < next)
            next = until;
    }
    return next;
}

const char *holds_lifted_by(const struct holds *holds, const char *id)
{
    const struct hold_lift *lift = holds->lift;
    for (size_t i = 0; lift != NULL && i < lift->count; i++)
        if (strcmp(lift->ids[i], id) == 0)
            return lift->by;
    return NULL;
}

void holds_set_lift(struct holds *holds, const struct hold_lift *lift)
{
    free(holds->lift);
    holds->lift = xmemdup(lift, sizeof *lift);
}

usec_t holds_until(
    const struct holds *holds, const struct hold_match *what, usec_t now, const struct hold **why_r)
{
    usec_t last = 0;
    if (why_r != NULL)
        *why_r = NULL;
    for (size_t i = 0; i < holds->count; i++) {
        const struct hold *hold = holds->items[i];
        usec_t until = hold->until == 0 ? USEC_NEVER : hold->until;
        if (until <= now || until <= last || !matches(&hold->match, what))
            continue;
        last = until;
        if (why_r != NULL)
            *why_r = hold;
    }
    return last;
}

/* ---- records ---- */

void hold_write(const struct hold *hold, struct buffer *out)
{
    json_begin(out, '{');
    for (size_t i = 0; i < HOLD_NAMES; i++)
        if (hold_match_get(&hold->match, i) != NULL)
            json_text(out, hold_name(i), hold_match_get(&hold->match, i));
    json_number(out, "since", hold->since);
    if (hold->until != 0)
        json_number(out, "until", hold->until);
    json_text(out, "reason", hold->reason == NULL ? "" : hold->reason);
    json_text(out, "by", hold->by == NULL ? "" : hold->by);
    json_end(out, '}');
}

void hold_lift_write(const struct hold_lift *lift, struct buffer *out)
{
    json_begin(out, '{');
    json_text(out, "by", lift->by);
    json_begin_named(out, "ids", '[');
    for (size_t i = 0; i < lift->count; i++)
        json_text(out, NULL, lift->ids[i]);
    json_end(out, ']');
    json_end(out, '}');
}
