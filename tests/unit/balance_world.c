/* balance_world - see balance_world.h */
#include "tests/unit/balance_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/panic.h"
#include "base/random.h"
#include "cluster/placement_inside.h"

#define TOLD 0.004 /* of the mean: smaller domains are not reported, which changes nothing */

static const char *const pools[] = {"main"};

static const char *node_name(unsigned node, char name[32])
{
    snprintf(name, 32, "n%u", node);
    return name;
}

static unsigned number_of(const struct view_node *node)
{
    return (unsigned)strtoul(node->id + 1, NULL, 10);
}

unsigned world_nodes(const struct world *world)
{
    return (unsigned)world->view->node_count;
}

/* ---- places ---- */

static void offer(struct world_piece *piece, uint32_t node, uint64_t hash)
{
    if (hash > piece->hash[0]) {
        piece->hash[1] = piece->hash[0];
        piece->node[1] = piece->node[0];
        piece->hash[0] = hash;
        piece->node[0] = node;
    } else if (hash > piece->hash[1]) {
        piece->hash[1] = hash;
        piece->node[1] = node;
    }
}

static void rank(const struct world *world, struct world_piece *piece)
{
    memset(piece->hash, 0, sizeof piece->hash);
    for (size_t i = 0; i < world->view->node_count; i++) {
        const char *id = world->view->nodes[i].id;
        offer(piece, number_of(&world->view->nodes[i]), hash64(piece->key, id, strlen(id)));
    }
}

/* As the view says. */
static void split(const struct world *world, struct world_domain *domain)
{
    const struct view_hot *hot = view_hot(world->view, domain->name);
    size_t len = strlen(domain->name);
    domain->parts = hot == NULL ? 1 : hot->parts;
    free(domain->pieces);
    domain->pieces = xcalloc(domain->parts, sizeof *domain->pieces);
    for (uint32_t i = 0; i < domain->parts; i++) {
        domain->pieces[i].key = placement_key(domain->name, len, hot == NULL ? 0 : i + 1);
        rank(world, &domain->pieces[i]);
    }
}

static void set_shares(struct world *world)
{
    double sum = 0;
    memset(world->shares, 0, world->room * sizeof *world->shares);
    for (size_t i = 0; i < world->view->node_count; i++)
        sum += (double)placement_shared_weight(&world->view->nodes[i]);
    for (size_t i = 0; i < world->view->node_count; i++)
        world->shares[number_of(&world->view->nodes[i])] =
            (double)placement_shared_weight(&world->view->nodes[i]) / sum;
}

static void set_loads(struct world *world)
{
    double by_message = 0;
    memset(world->loads, 0, world->room * sizeof *world->loads);
    for (unsigned i = 0; i < world->domain_count; i++) {
        const struct world_domain *domain = &world->domains[i];
        for (uint32_t j = 0; j < domain->parts; j++)
            world->loads[domain->pieces[j].node[0]] += domain->rate / domain->parts;
        by_message += domain->parts == 0 ? domain->rate : 0;
    }
    for (unsigned i = 0; i < world->room; i++)
        world->loads[i] += by_message * world->shares[i];
}

/* A view of those that are here, with what the plan says. */
static void set_view(struct world *world, const struct balance_plan *plan)
{
    struct view *view = view_new(world->view == NULL ? 1 : world->view->epoch + 1);
    struct error error;
    for (unsigned i = 0; i < world->room; i++) {
        char id[32], spool[40];
        if (!world->here[i])
            continue;
        snprintf(spool, sizeof spool, "%s.0", node_name(i, id));
        view_add_source(view_add_node(view, id, spool, 1, 100), "192.0.2.1", "mta.test", pools, 1);
    }
    if (plan != NULL)
        balance_plan_apply(plan, view);
    must(view_seal(view, &error) == 0);
    view_drop(&world->view);
    world->view = view;
    balance_see(world->balance, view, world->now);
    set_shares(world);
}

/* ---- life ---- */

void world_open(struct world *world, unsigned nodes, unsigned domains, double top, unsigned seed)
{
    *world = (struct world){.domain_count = domains, .room = nodes + 64, .random = seed};
    world->total = WORLD_TRAFFIC * nodes;
    world->domains = xcalloc(domains, sizeof *world->domains);
    world->here = xcalloc(world->room, sizeof *world->here);
    world->shares = xcalloc(world->room, sizeof *world->shares);
    world->loads = xcalloc(world->room, sizeof *world->loads);
    world->balance = balance_new();
    memset(world->here, true, nodes * sizeof *world->here);
    set_view(world, NULL);
    double sum = 0;
    for (unsigned i = 1; i < domains; i++)
        sum += 1.0 / i;
    for (unsigned i = 0; i < domains; i++) {
        struct world_domain *domain = &world->domains[i];
        domain->rate = world->total * (i == 0 ? top : (1 - top) / i / sum);
        snprintf(domain->name, sizeof domain->name, "d%u.s%u.test", i, seed);
        split(world, domain);
    }
    set_loads(world);
}

void world_copy(struct world *to, const struct world *from)
{
    *to = *from;
    view_hold(to->view);
    to->balance = balance_new();
    balance_see(to->balance, to->view, to->now);
    to->domains = xmalloc(to->domain_count * sizeof *to->domains);
    memcpy(to->domains, from->domains, to->domain_count * sizeof *to->domains);
    for (unsigned i = 0; i < to->domain_count; i++) {
        struct world_domain *domain = &to->domains[i];
        domain->pieces = xcalloc(domain->parts, sizeof *domain->pieces);
        if (domain->parts > 0)
            memcpy(domain->pieces, from->domains[i].pieces, domain->parts * sizeof *domain->pieces);
    }
    to->here = xmalloc(to->room * sizeof *to->here);
    memcpy(to->here, from->here, to->room * sizeof *to->here);
    to->shares = xmalloc(to->room * sizeof *to->shares);
    memcpy(to->shares, from->shares, to->room * sizeof *to->shares);
    to->loads = xmalloc(to->room * sizeof *to->loads);
    memcpy(to->loads, from->loads, to->room * sizeof *to->loads);
}

void world_close(struct world *world)
{
    for (unsigned i = 0; i < world->domain_count; i++)
        free(world->domains[i].pieces);
    free(world->domains);
    free(world->here);
    free(world->shares);
    free(world->loads);
    balance_free(&world->balance);
    view_drop(&world->view);
}

/* ---- what happens ---- */

static void change(struct world *world, unsigned node, bool here)
{
    struct balance_plan *plan = balance_plan_of(world->view);
    char id[32];
    size_t len = strlen(node_name(node, id));
    must(node < world->room && world->here[node] != here);
    world->here[node] = here;
    set_view(world, plan);
    balance_plan_free(&plan);
    for (unsigned i = 0; i < world->domain_count; i++)
        for (uint32_t j = 0; j < world->domains[i].parts; j++) {
            struct world_piece *piece = &world->domains[i].pieces[j];
            if (here)
                offer(piece, node, hash64(piece->key, id, len));
            else if (piece->node[0] == node || piece->node[1] == node)
                rank(world, piece);
        }
    set_loads(world);
}

void world_leave(struct world *world, unsigned node)
{
    change(world, node, false);
}

void world_join(struct world *world, unsigned node)
{
    change(world, node, true);
}

void world_end(struct world *world, unsigned domain)
{
    world->total -= world->domains[domain].rate - 0.1;
    world->domains[domain].rate = 0.1;
    set_loads(world);
}

struct told { /* what a node tells of */
    struct balance_domain *domains;
    size_t count, room;
};

static double wrong(struct world *world, double rate)
{
    struct random random = {world->random};
    double by = (double)(random_next(&random) >> 11) / (double)(1ULL << 53);
    world->random = random.state;
    return rate * (1 + world->noise * (2 * by - 1));
}

static void tell(struct world *world, struct told *told, const char *domain, double rate)
{
    if (told->count == told->room)
        told->domains = xrealloc(told->domains, (told->room = 2 * told->room + 32) * sizeof *told->domains);
    told->domains[told->count++] = (struct balance_domain){domain, wrong(world, rate)};
}

/* `of`: room for a rate a node. */
static void tell_domain(struct world *world, const struct world_domain *domain, struct told *told, double *of)
{
    double least = TOLD * world->total / world_nodes(world);
    if (domain->parts == 1 && domain->rate < least)
        return;
    memset(of, 0, world->room * sizeof *of);
    for (uint32_t j = 0; j < domain->parts; j++)
        of[domain->pieces[j].node[0]] += domain->rate / domain->parts;
    for (uint32_t j = 0; j < domain->parts; j++) {
        uint32_t node = domain->pieces[j].node[0];
        if (of[node] > 0)
            tell(world, &told[node], domain->name, of[node]);
        of[node] = 0;
    }
    for (unsigned i = 0; domain->parts == 0 && i < world->room; i++)
        if (world->shares[i] > 0)
            tell(world, &told[i], domain->name, domain->rate * world->shares[i]);
}

/* Takes what was decided into force. */
static void obey(struct world *world, const struct balance_plan *plan)
{
    struct view *was = view_hold(world->view);
    set_view(world, plan);
    for (unsigned i = 0; i < world->domain_count; i++) {
        const struct view_hot *before = view_hot(was, world->domains[i].name),
                              *after = view_hot(world->view, world->domains[i].name);
        if ((before == NULL) != (after == NULL) || (before != NULL && before->parts != after->parts))
            split(world, &world->domains[i]);
    }
    view_drop(&was);
    set_loads(world);
}

bool world_step(struct world *world)
{
    struct told *told = xcalloc(world->room, sizeof *told);
    struct balance_report *reports = xcalloc(world->room, sizeof *reports);
    double *of = xcalloc(world->room, sizeof *of);
    size_t count = 0;
    for (unsigned i = 0; i < world->domain_count; i++)
        tell_domain(world, &world->domains[i], told, of);
    for (size_t i = 0; i < world->view->node_count; i++) {
        const struct view_node *node = &world->view->nodes[i];
        const struct told *says = &told[number_of(node)];
        reports[count++] = (struct balance_report){
            node->id, wrong(world, world->loads[number_of(node)]), 240, says->domains, says->count};
    }
    world->now += BALANCE_PACE;
    bool changes = balance_step(world->balance, world->view, reports, count, world->now);
    struct balance_plan *plan = balance_take_plan(world->balance);
    must(changes == (plan != NULL));
    if (changes)
        obey(world, plan);
    balance_plan_free(&plan);
    for (unsigned i = 0; i < world->room; i++)
        free(told[i].domains);
    free(told);
    free(reports);
    free(of);
    return changes;
}

unsigned world_settle(struct world *world, unsigned most)
{
    unsigned steps = 0;
    while (steps < most && world_step(world))
        steps++;
    return steps;
}

/* ---- what came of it ---- */

double world_load(const struct world *world, unsigned node)
{
    return world->loads[node] / world->total * world_nodes(world);
}

double world_worst(const struct world *world)
{
    double most = 0;
    for (unsigned i = 0; i < world->room; i++)
        most = world_load(world, i) > most ? world_load(world, i) : most;
    return most;
}

/* Of what is placed by message in both. A node's messages go when its share falls against those of the others; the sum
 * of what would go if it were the only one is not less than what goes. */
static double moved_by_message(const struct world *before, const struct world *after)
{
    double most = 0, sum = 0;
    for (unsigned i = 0; i < before->room; i++)
        if (before->shares[i] > 0 && after->shares[i] > most * before->shares[i])
            most = after->shares[i] / before->shares[i];
    for (unsigned i = 0; i < before->room; i++) {
        double was = before->shares[i], ratio = was > 0 ? after->shares[i] / was / most : 0;
        sum += was > 0 ? was * (1 - ratio / (1 - was + ratio * was)) : after->shares[i];
    }
    return sum;
}

static double moved_into_messages(const struct world_domain *pieces, const double *shares)
{
    double stays = 0;
    for (uint32_t i = 0; i < pieces->parts; i++)
        stays += shares[pieces->pieces[i].node[0]] / pieces->parts;
    return 1 - stays;
}

static double moved_pieces(const struct world_domain *before, const struct world_domain *after)
{
    uint32_t all = before->parts, away = 0;
    while (all % after->parts != 0)
        all += before->parts;
    for (uint32_t i = 0; i < all; i++)
        away += before->pieces[i % before->parts].node[0] != after->pieces[i % after->parts].node[0];
    return (double)away / all;
}

double world_moved(const struct world *before, const struct world *after)
{
    double single = moved_by_message(before, after), sum = 0;
    for (unsigned i = 0; i < before->domain_count; i++) {
        const struct world_domain *was = &before->domains[i], *is = &after->domains[i];
        sum += was->rate * (was->parts == 0 && is->parts == 0 ? single
                               : was->parts == 0              ? moved_into_messages(is, before->shares)
                               : is->parts == 0               ? moved_into_messages(was, after->shares)
                                                              : moved_pieces(was, is));
    }
    return sum / before->total;
}
