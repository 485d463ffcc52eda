/* load - see load.h */
#include "node/load.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"

#define FADE (15.0 / 16)
#define FORGOTTEN 400 /* steps after which nothing is left */

struct counted {
    char *domain;
    uint64_t hash;
    double count;
    uint32_t parts; /* a hot one: as the view has it */
    double span;    /* of a hot one: s, fading like the count */
};

struct load {
    uint64_t key;
    struct counted top[LOAD_TOP];
    size_t top_count;
    struct counted *hot; /* by name */
    size_t hot_count;
    double rest, span; /* deliveries of domains that are not hot, seconds; both fade alike */
    uint64_t nodes;    /* a hash of who gets mail */
    usec_t since;      /* of the step that runs */
};

struct load *load_new(void)
{
    struct load *load = xcalloc(1, sizeof *load);
    load->key = hash_process_key();
    return load;
}

static void free_counted(struct counted *all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(all[i].domain);
}

void load_free(struct load **load)
{
    struct load *l = *load;
    *load = NULL;
    if (l == NULL)
        return;
    free_counted(l->top, l->top_count);
    free_counted(l->hot, l->hot_count);
    free(l->hot);
    free(l);
}

static void fade(struct load *load, double by)
{
    load->rest *= by;
    load->span *= by;
    for (size_t i = 0; i < load->top_count; i++)
        load->top[i].count *= by;
    for (size_t i = 0; i < load->hot_count; i++) {
        load->hot[i].count *= by;
        load->hot[i].span *= by;
    }
}

static void step(struct load *load, usec_t now)
{
    if (load->since == 0)
        load->since = now;
    for (unsigned i = 0; now - load->since >= LOAD_STEP; i++) {
        load->since += LOAD_STEP;
        load->span += (double)LOAD_STEP / USEC_SEC;
        for (size_t j = 0; j < load->hot_count; j++)
            load->hot[j].span += (double)LOAD_STEP / USEC_SEC;
        fade(load, FADE);
        if (i == FORGOTTEN)
            load->since = now;
    }
}

static int by_domain(const void *domain, const void *counted)
{
    return strcmp(domain, ((const struct counted *)counted)->domain);
}

static struct counted *find_hot(const struct load *load, const char *domain)
{
    return load->hot_count == 0 ? NULL
                                : bsearch(domain, load->hot, load->hot_count, sizeof *load->hot, by_domain);
}

static struct counted *find_top(struct load *load, const char *domain, uint64_t hash)
{
    for (size_t i = 0; i < load->top_count; i++)
        if (load->top[i].hash == hash && strcmp(load->top[i].domain, domain) == 0)
            return &load->top[i];
    return NULL;
}

static void take_out(struct load *load, struct counted *counted)
{
    free(counted->domain);
    *counted = load->top[--load->top_count];
}

/* The same for the same set of nodes that get mail. */
static uint64_t who_gets_mail(const struct load *load, const struct view *view)
{
    uint64_t all = 0;
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *node = &view->nodes[i];
        if (view_node_gets_mail(node))
            all += hash64(load->key, node->id, strlen(node->id));
    }
    return all;
}

/* Nothing of before counts any more. */
static void begin_anew(struct load *load, usec_t now)
{
    fade(load, 0);
    free_counted(load->top, load->top_count);
    load->top_count = 0;
    load->since = now;
}

/* A domain that is split otherwise from now on has other places: what was counted of it here says nothing. */
static struct counted hot_one(struct load *load, const struct view_hot *hot, double begun)
{
    uint64_t hash = hash64(load->key, hot->domain, strlen(hot->domain));
    const struct counted *was = find_hot(load, hot->domain);
    struct counted *top = find_top(load, hot->domain, hash);
    if (top != NULL) {
        load->rest = load->rest > top->count ? load->rest - top->count : 0;
        take_out(load, top);
    }
    bool same = was != NULL && was->parts == hot->parts;
    return (struct counted){
        xstrdup(hot->domain), hash, same ? was->count : 0, hot->parts, same ? was->span : -begun};
}

void load_set_view(struct load *load, const struct view *view, usec_t now)
{
    step(load, now);
    uint64_t nodes = who_gets_mail(load, view);
    if (load->nodes != 0 && nodes != load->nodes)
        begin_anew(load, now);
    load->nodes = nodes;
    struct counted *hot = xcalloc(view->hot_count, sizeof *hot);
    for (size_t i = 0; i < view->hot_count; i++)
        hot[i] = hot_one(load, &view->hot[i], (double)(now - load->since) / USEC_SEC);
    free_counted(load->hot, load->hot_count);
    free(load->hot);
    load->hot = hot;
    load->hot_count = view->hot_count;
}

/* A new one takes the place of the smallest, and what that had: so nobody large is missed. */
static struct counted *make_room(struct load *load)
{
    if (load->top_count < LOAD_TOP) {
        struct counted *added = &load->top[load->top_count++];
        *added = (struct counted){0};
        return added;
    }
    struct counted *least = &load->top[0];
    for (size_t i = 1; i < load->top_count; i++)
        if (load->top[i].count < least->count)
            least = &load->top[i];
    free(least->domain);
    return least;
}

void load_count(struct load *load, const char *domain, usec_t now)
{
    step(load, now);
    struct counted *counted = find_hot(load, domain);
    if (counted == NULL) {
        load->rest++;
        uint64_t hash = hash64(load->key, domain, strlen(domain));
        counted = find_top(load, domain, hash);
        if (counted == NULL) {
            counted = make_room(load);
            counted->domain = xstrdup(domain);
            counted->hash = hash;
        }
    }
    counted->count++;
}

/* Of so many seconds since the step began. */
static size_t tell_hot(
    const struct load *load, double begun, struct balance_report *report, struct balance_domain *domains)
{
    size_t told = 0;
    for (size_t i = 0; i < load->hot_count; i++) {
        const struct counted *hot = &load->hot[i];
        double span = hot->span + begun;
        if (hot->count <= 0 || span <= 0)
            continue;
        domains[told++] = (struct balance_domain){hot->domain, hot->count / span};
        report->rate += hot->count / span;
    }
    return told;
}

void load_report(
    struct load *load, struct balance_domain *domains, struct balance_report *report_r, usec_t now)
{
    step(load, now);
    double begun = (double)(now - load->since) / USEC_SEC, span = load->span + begun;
    *report_r = (struct balance_report){.span = span, .domains = domains};
    if (span <= 0)
        return;
    report_r->rate = load->rest / span;
    report_r->domain_count = tell_hot(load, begun, report_r, domains);
    for (size_t i = 0; i < load->top_count; i++)
        if (load->top[i].count > 0)
            domains[report_r->domain_count++] =
                (struct balance_domain){load->top[i].domain, load->top[i].count / span};
}
