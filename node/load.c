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
};

struct load {
    uint64_t key;
    struct counted top[LOAD_TOP];
    size_t top_count;
    struct counted *hot; /* by name */
    size_t hot_count;
    double all, span; /* deliveries, seconds; both fade alike */
    usec_t since;     /* of the step that runs */
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
    load->all *= by;
    load->span *= by;
    for (size_t i = 0; i < load->top_count; i++)
        load->top[i].count *= by;
    for (size_t i = 0; i < load->hot_count; i++)
        load->hot[i].count *= by;
}

static void step(struct load *load, usec_t now)
{
    if (load->since == 0)
        load->since = now;
    for (unsigned i = 0; now - load->since >= LOAD_STEP; i++) {
        load->since += LOAD_STEP;
        load->span += (double)LOAD_STEP / USEC_SEC;
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

/* What was counted before goes on. */
void load_set_view(struct load *load, const struct view *view, usec_t now)
{
    step(load, now);
    struct counted *hot = xcalloc(view->hot_count, sizeof *hot);
    for (size_t i = 0; i < view->hot_count; i++) {
        const char *domain = view->hot[i].domain;
        uint64_t hash = hash64(load->key, domain, strlen(domain));
        const struct counted *was = find_hot(load, domain);
        struct counted *top = find_top(load, domain, hash);
        hot[i] = (struct counted){xstrdup(domain), hash,
            was != NULL   ? was->count
            : top != NULL ? top->count
                          : 0};
        if (top != NULL)
            take_out(load, top);
    }
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
    load->all++;
    struct counted *counted = find_hot(load, domain);
    if (counted == NULL) {
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

static size_t tell(
    const struct counted *all, size_t count, double span, struct balance_domain *domains, size_t at)
{
    for (size_t i = 0; i < count; i++)
        if (all[i].count > 0)
            domains[at++] = (struct balance_domain){all[i].domain, all[i].count / span};
    return at;
}

void load_report(
    struct load *load, struct balance_domain *domains, struct balance_report *report_r, usec_t now)
{
    step(load, now);
    double span = load->span + (double)(now - load->since) / USEC_SEC;
    *report_r = (struct balance_report){.span = span, .domains = domains};
    if (span <= 0)
        return;
    report_r->rate = load->all / span;
    size_t count = tell(load->hot, load->hot_count, span, domains, 0);
    report_r->domain_count = tell(load->top, load->top_count, span, domains, count);
}
