/* hold - see hold.h; records are read in hold_record_json.c
 *
 * Each hold is one block: the struct, and its texts behind. It stands in one chain, that of the name by which it
 * is told apart best from others (a domain before a tenant); whoever asks looks at the chains of what he names.
 * So a thousand paused domains cost nothing to mail for another. */
#include "cluster/hold.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "base/map.h"
#include "base/panic.h"

#define FEW 8 /* are looked at one by one */

enum { TENANT, CAMPAIGN, POOL, SOURCE, PROVIDER, DOMAIN }; /* as hold_name() counts them */

struct block {
    struct hold hold;
    struct block *next; /* in its chain */
};

struct holds {
    atomic_uint holders;
    struct block **items;
    size_t count, room;
    struct map chains;      /* "5example.net" -> struct block, the newest first */
    struct block *unnamed;  /* those that name nothing */
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
    map_free(&h->chains);
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

static struct block *copy(const struct hold *hold)
{
    const char *reason = hold->reason == NULL ? "" : hold->reason, *by = hold->by == NULL ? "" : hold->by;
    size_t size = sizeof(struct block) + strlen(reason) + strlen(by) + 2;
    for (size_t i = 0; i < HOLD_NAMES; i++) {
        const char *text = hold_match_get(&hold->match, i);
        size += text == NULL ? 0 : strlen(text) + 1;
    }
    struct block *block = xcalloc(1, size);
    struct hold *mine = &block->hold;
    char *at = (char *)(block + 1);
    *mine = *hold;
    mine->reason = put(&at, reason);
    mine->by = put(&at, by);
    for (size_t i = 0; i < HOLD_NAMES; i++) {
        const char *text = hold_match_get(&hold->match, i);
        hold_match_set(&mine->match, i, text == NULL ? NULL : put(&at, text));
    }
    return block;
}

/* The key of the chain of those that name this text as their name `i`; null: too long for any. */
static const char *chain_key(size_t i, const char *text, char room[HOLD_MAX_NAME + 2])
{
    room[0] = (char)('0' + i);
    size_t len = strlen(text);
    if (len > HOLD_MAX_NAME)
        return NULL;
    memcpy(room + 1, text, len + 1);
    return room;
}

/* Which of its names tells it apart best, or HOLD_NAMES. */
static size_t best_name(const struct hold_match *match)
{
    static const size_t order[HOLD_NAMES] = {DOMAIN, CAMPAIGN, SOURCE, PROVIDER, TENANT, POOL};
    for (size_t i = 0; i < HOLD_NAMES; i++)
        if (hold_match_get(match, order[i]) != NULL)
            return order[i];
    return HOLD_NAMES;
}

static void put_in_chain(struct holds *holds, struct block *block)
{
    char room[HOLD_MAX_NAME + 2];
    size_t name = best_name(&block->hold.match);
    const char *key =
        name == HOLD_NAMES ? NULL : chain_key(name, hold_match_get(&block->hold.match, name), room);
    if (key != NULL) {
        block->next = map_set_text(&holds->chains, key, block);
        return;
    }
    block->next = holds->unnamed;
    holds->unnamed = block;
}

int holds_add(struct holds *holds, const struct hold *hold, struct error *error)
{
    if (holds->count >= HOLD_MAX)
        return error_set(error, "there are %d holds already: no more are kept", HOLD_MAX);
    if (holds->count == holds->room) {
        holds->room = holds->room == 0 ? 8 : 2 * holds->room;
        holds->items = xrealloc(holds->items, holds->room * sizeof(struct block *));
    }
    struct block *block = copy(hold);
    holds->items[holds->count++] = block;
    put_in_chain(holds, block);
    return 0;
}

size_t holds_count(const struct holds *holds)
{
    return holds->count;
}

const struct hold *holds_at(const struct holds *holds, size_t i)
{
    must(i < holds->count);
    return &holds->items[i]->hold;
}

const struct hold *holds_find(const struct holds *holds, const char *id)
{
    for (size_t i = 0; i < holds->count; i++)
        if (strcmp(holds->items[i]->hold.id, id) == 0)
            return &holds->items[i]->hold;
    return NULL;
}

usec_t holds_next_end(const struct holds *holds, usec_t now)
{
    usec_t next = USEC_NEVER;
    for (size_t i = 0; i < holds->count; i++) {
        usec_t until = holds->items[i]->hold.until;
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

struct search {
    const struct hold_match *what;
    usec_t now, last;
    const struct hold *why;
};

static void look_at(struct search *search, const struct hold *hold)
{
    usec_t until = hold->until == 0 ? USEC_NEVER : hold->until;
    if (until <= search->now || until <= search->last || !matches(&hold->match, search->what))
        return;
    search->last = until;
    search->why = hold;
}

static void look_at_chain(struct search *search, const struct block *block)
{
    for (; block != NULL; block = block->next)
        look_at(search, &block->hold);
}

usec_t holds_until(
    const struct holds *holds, const struct hold_match *what, usec_t now, const struct hold **why_r)
{
    struct search search = {.what = what, .now = now};
    char room[HOLD_MAX_NAME + 2];
    for (size_t i = 0; holds->count > FEW && i < HOLD_NAMES; i++) {
        const char *text = hold_match_get(what, i), *key = text == NULL ? NULL : chain_key(i, text, room);
        if (key != NULL)
            look_at_chain(&search, map_get_text(&holds->chains, key));
    }
    look_at_chain(&search, holds->count > FEW ? holds->unnamed : NULL);
    for (size_t i = 0; holds->count <= FEW && i < holds->count; i++)
        look_at(&search, &holds->items[i]->hold);
    if (why_r != NULL)
        *why_r = search.why;
    return search.last;
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
    if (hold->by_tenant)
        json_bool(out, "by_tenant", true);
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
