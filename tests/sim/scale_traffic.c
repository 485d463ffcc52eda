/* scale_traffic - the whole traffic of a run at scale, and who has to do how much of it; see scale.h
 *
 * The large provider's domain is number 0, the others follow in falling order (Zipf). Loads are worked out from the
 * view: who owns a domain, or a part of it. The small ones are too many to ask for each every time; together
 * they are spread as evenly as chance does, so all but the largest are taken for even, unless `whole`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/placement.h"
#include "cluster/placement_inside.h"
#include "tests/sim/scale.h"

enum { ASKED = 20000, TOLD = 64, MOST_HOT = 5000, DRAWS = 4000, DRAWS_OF_ALL = 400000 };
#define TRAFFIC 46000.0 /* deliveries a second, of all */
#define TOP 0.38
#define NOISE 0.01 /* by which a figure is wrong */
#define SPAN 240.0

struct told { /* what a node tells of */
    struct balance_domain domains[TOLD + VIEW_MAX_HOT];
    size_t whole, count;
};

struct traffic {
    unsigned domains;
    double sum; /* of 1/i */
    struct random random;
    struct placement *placement;
    double *loads; /* by the view's nodes */
    struct told *told;
    char (*names)[24];
    struct balance *balance;
    uint64_t head; /* whose it is */
};

struct traffic *traffic_new(unsigned domains, uint64_t seed)
{
    struct traffic *traffic = xcalloc(1, sizeof *traffic);
    traffic->domains = domains;
    traffic->random.state = seed;
    for (unsigned i = 1; i < domains; i++)
        traffic->sum += 1.0 / i;
    traffic->placement = placement_new();
    traffic->loads = xcalloc(SIM_NODES, sizeof *traffic->loads);
    traffic->names = xcalloc(domains < ASKED ? domains : ASKED, sizeof *traffic->names);
    for (unsigned i = 0; i < domains && i < ASKED; i++)
        snprintf(traffic->names[i], sizeof traffic->names[i], "x%u.test", i);
    return traffic;
}

void traffic_free(struct traffic **traffic_at)
{
    struct traffic *traffic = *traffic_at;
    *traffic_at = NULL;
    placement_free(&traffic->placement);
    balance_free(&traffic->balance);
    free(traffic->loads);
    free(traffic->told);
    free(traffic->names);
    free(traffic);
}

static double rate_of(const struct traffic *traffic, unsigned domain)
{
    return domain == 0 ? TOP * TRAFFIC : (1 - TOP) * TRAFFIC / domain / traffic->sum;
}

/* 1/i by inversion: near enough, and at once. */
unsigned traffic_draw_domain(struct sim *sim, const struct traffic *traffic)
{
    double u = (double)sim_draw(sim, 1 << 30) / (1 << 30);
    if (u < TOP)
        return 0;
    unsigned domain = (unsigned)exp((u - TOP) / (1 - TOP) * log(traffic->domains));
    return domain < traffic->domains ? domain : traffic->domains - 1;
}

static struct mail_id some_id(struct traffic *traffic)
{
    struct mail_id id;
    for (int i = 0; i < 2; i++) {
        uint64_t half = random_next(&traffic->random);
        memcpy(id.bytes + (size_t)8 * i, &half, 8);
    }
    return id;
}

static size_t index_of(const struct view *view, const struct view_node *node)
{
    return (size_t)(node - view->nodes);
}

static void add(struct traffic *traffic, size_t node, const char *domain, double rate, bool hot)
{
    traffic->loads[node] += rate;
    struct told *told = traffic->told == NULL ? NULL : &traffic->told[node];
    if (told == NULL || domain == NULL || (!hot && told->whole == TOLD))
        return;
    told->whole += !hot;
    for (size_t i = told->count; hot && i-- > 0;)
        if (told->domains[i].domain == domain) {
            told->domains[i].rate += rate;
            return;
        }
    if (told->count < TOLD + VIEW_MAX_HOT)
        told->domains[told->count++] = (struct balance_domain){domain, rate};
}

static void add_parts(
    struct traffic *traffic, const struct view *view, const struct view_hot *hot, double rate)
{
    bool *seen = xcalloc(hot->parts, sizeof *seen);
    const char *name = traffic->names[strtoul(hot->domain + 1, NULL, 10)];
    for (uint32_t left = hot->parts; left > 0;) {
        struct mail_id id = some_id(traffic);
        uint32_t part = placement_what(hot, hot->domain, strlen(hot->domain), &id).part - 1;
        if (seen[part])
            continue;
        seen[part] = true;
        left--;
        add(traffic, index_of(view, placement_owner(traffic->placement, "shared", NULL, hot->domain, &id)),
            name, rate / hot->parts, true);
    }
    free(seen);
}

/* By weight, or by weight and share, over all who may get mail. */
static void add_everywhere(
    struct traffic *traffic, const struct view *view, const char *name, double rate, bool shares)
{
    double sum = 0;
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < view->node_count; i++) {
            const struct view_node *node = &view->nodes[i];
            double weight = !view_node_gets_mail(node) ? 0
                            : shares                   ? (double)placement_shared_weight(node)
                                                       : node->weight;
            if (round == 0)
                sum += weight;
            else if (weight > 0)
                add(traffic, i, name, rate * weight / sum, name != NULL);
        }
}

static void measure(struct traffic *traffic, struct view *view, bool whole)
{
    unsigned asked = whole || traffic->domains < ASKED ? traffic->domains : ASKED;
    double rest = 0;
    if (placement_view(traffic->placement) != view)
        placement_set_view(traffic->placement, view);
    memset(traffic->loads, 0, SIM_NODES * sizeof *traffic->loads);
    for (unsigned i = 0; i < asked; i++) {
        char text[24];
        const char *name = i < ASKED ? traffic->names[i] : text;
        if (i >= ASKED)
            snprintf(text, sizeof text, "x%u.test", i);
        const struct view_hot *hot = i < MOST_HOT ? view_hot(view, name) : NULL;
        if (hot == NULL) {
            const struct view_node *owner = placement_owner(traffic->placement, "shared", NULL, name, NULL);
            add(traffic, index_of(view, owner), i < ASKED ? name : NULL, rate_of(traffic, i), false);
        } else if (hot->parts == 0) {
            add_everywhere(traffic, view, name, rate_of(traffic, i), true);
        } else {
            add_parts(traffic, view, hot, rate_of(traffic, i));
        }
    }
    for (unsigned i = asked; i < traffic->domains; i++)
        rest += rate_of(traffic, i);
    if (rest > 0)
        add_everywhere(traffic, view, NULL, rest, false);
}

double traffic_worst(struct traffic *traffic, struct view *view, bool whole)
{
    double most = 0, sum = 0;
    size_t count = 0;
    measure(traffic, view, whole);
    for (size_t i = 0; i < view->node_count; i++) {
        most = traffic->loads[i] > most ? traffic->loads[i] : most;
        sum += traffic->loads[i];
        count += view_node_gets_mail(&view->nodes[i]);
    }
    return sum > 0 ? most / sum * (double)count : 0;
}

/* ---- what moves ---- */

struct both {
    struct placement *old, *new;
};

static bool differs(const struct both *both, const char *domain, const struct mail_id *id)
{
    return strcmp(placement_owner(both->old, "shared", NULL, domain, id)->id,
               placement_owner(both->new, "shared", NULL, domain, id)->id) != 0;
}

static double moved_of(struct traffic *traffic, const struct both *both, unsigned domain)
{
    const char *name = traffic->names[domain];
    if (view_hot(placement_view(both->new), name) == NULL &&
        view_hot(placement_view(both->old), name) == NULL)
        return differs(both, name, NULL);
    uint32_t draws = domain == 0 ? DRAWS_OF_ALL : DRAWS, away = 0; /* one in a thousand moves */
    for (uint32_t i = 0; i < draws; i++) {
        struct mail_id id = some_id(traffic);
        away += differs(both, name, &id);
    }
    return (double)away / draws;
}

/* Of the largest domains; the others are taken to move as much. */
double traffic_moved(struct traffic *traffic, struct view *before, struct view *after)
{
    struct both both = {placement_new(), placement_new()};
    placement_set_view(both.old, before);
    placement_set_view(both.new, after);
    double moved = 0, all = 0;
    for (unsigned i = 0; i < traffic->domains && i < ASKED; i++) {
        moved += rate_of(traffic, i) * moved_of(traffic, &both, i);
        all += rate_of(traffic, i);
    }
    placement_free(&both.old);
    placement_free(&both.new);
    return moved / all;
}

/* ---- the head ---- */

static double wrong(struct traffic *traffic, double rate)
{
    double by = (double)(random_next(&traffic->random) >> 11) / (double)(1ULL << 53);
    return rate * (1 + NOISE * (2 * by - 1));
}

struct balance_plan *traffic_balance(struct traffic *traffic, struct view *view, uint64_t head, usec_t now)
{
    if (traffic->balance == NULL || traffic->head != head) {
        balance_free(&traffic->balance);
        traffic->balance = balance_new();
        traffic->head = head;
    }
    traffic->told = xcalloc(view->node_count, sizeof *traffic->told);
    measure(traffic, view, false);
    struct balance_report *reports = xcalloc(view->node_count, sizeof *reports);
    for (size_t i = 0; i < view->node_count; i++) {
        struct told *told = &traffic->told[i];
        for (size_t j = 0; j < told->count; j++)
            told->domains[j].rate = wrong(traffic, told->domains[j].rate);
        reports[i] = (struct balance_report){
            view->nodes[i].id, wrong(traffic, traffic->loads[i]), SPAN, told->domains, told->count};
    }
    balance_step(traffic->balance, view, reports, view->node_count, now);
    free(reports);
    free(traffic->told);
    traffic->told = NULL;
    return balance_take_plan(traffic->balance);
}
