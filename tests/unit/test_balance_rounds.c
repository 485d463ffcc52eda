/* Nodes that count what comes to them, a head that asks them every half minute, and a node that leaves: what moves in the
 * minutes after it, with figures that lag behind, is its own part and little more, and nothing moves twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/random.h"
#include "cluster/placement.h"
#include "coordinator/balancing.h"
#include "node/load.h"

enum {
    NODES = 24,
    DOMAINS = 2000,
    RATE = 46, /* deliveries a second and node */
    SAMPLE = 40000,
    MOST_VIEWS = 200,
};
#define TOP 0.38

static const char *const pools[] = {"main"};

struct rounds {
    struct balancing *balancing;
    struct balance_plan *plan;
    struct load *loads[NODES];
    struct view *view;
    struct placement *placement;
    bool gone[NODES];
    double until[DOMAINS]; /* so much of all mail is for this domain or one before */
    struct random random;
    usec_t now;
    struct buffer rows;
    unsigned views; /* published since it was last set */
};

static unsigned number_of(const struct view_node *node)
{
    return (unsigned)strtoul(node->id + 1, NULL, 10);
}

static void publish(struct rounds *rounds)
{
    struct view *view = view_new(rounds->view == NULL ? 1 : rounds->view->epoch + 1);
    struct error error;
    snprintf(view->leader, sizeof view->leader, "c1");
    for (unsigned i = 0; i < NODES; i++) {
        char id[16], spool[16];
        snprintf(id, sizeof id, "n%u", i);
        snprintf(spool, sizeof spool, "n%u.0", i);
        if (!rounds->gone[i])
            view_add_source(view_add_node(view, id, spool, 1, 100), "192.0.2.1", "mta.test", pools, 1);
    }
    struct balance_plan *was =
        rounds->plan == NULL && rounds->view != NULL ? balance_plan_of(rounds->view) : NULL;
    if (rounds->plan != NULL || was != NULL)
        balance_plan_apply(rounds->plan != NULL ? rounds->plan : was, view);
    balance_plan_free(&was);
    balance_plan_free(&rounds->plan);
    assert_int_equal(view_seal(view, &error), 0);
    placement_set_view(rounds->placement, view);
    for (unsigned i = 0; i < NODES; i++)
        load_set_view(rounds->loads[i], view, rounds->now);
    balancing_set_view(rounds->balancing, view, rounds->now);
    view_drop(&rounds->view);
    rounds->view = view;
    rounds->views++;
}

/* As node/answer.c says it. */
static void ask(void *context, front_answered *done, void *arg)
{
    struct rounds *rounds = context;
    struct balance_domain domains[LOAD_TOP + VIEW_MAX_HOT];
    struct balance_report report;
    buffer_clear(&rounds->rows);
    for (unsigned i = 0; i < NODES; i++) {
        if (rounds->gone[i])
            continue;
        load_report(rounds->loads[i], domains, &report, rounds->now);
        buffer_printf(&rounds->rows, "{\"node\":\"n%u\",\"rate\":%.3f,\"span\":%.3f,\"domains\":\"", i,
            report.rate, report.span);
        for (size_t j = 0; j < report.domain_count; j++)
            buffer_printf(&rounds->rows, "%s%s %.4g", j == 0 ? "" : " ", domains[j].domain, domains[j].rate);
        buffer_printf(&rounds->rows, "\"}\n");
    }
    done(arg, 200, buffer_text(&rounds->rows), buffer_len(&rounds->rows));
}

static void decided(void *context, struct balance_plan *plan)
{
    struct rounds *rounds = context;
    balance_plan_free(&rounds->plan);
    rounds->plan = plan;
}

static void draw(struct random *random, const struct rounds *rounds, char name[32], struct mail_id *id)
{
    double at = (double)(random_next(random) >> 11) / (double)(1ULL << 53);
    unsigned low = 0, high = DOMAINS - 1;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (rounds->until[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    snprintf(name, 32, "d%u.test", low);
    for (size_t i = 0; i < 2; i++) {
        uint64_t half = random_next(random);
        memcpy(id->bytes + 8 * i, &half, 8);
    }
}

/* Mail comes, and the head asks whenever it wants to. */
static void play(struct rounds *rounds, usec_t until)
{
    usec_t pace = USEC_SEC / ((usec_t)RATE * NODES);
    char name[32];
    struct mail_id id;
    for (; rounds->now < until; rounds->now += pace) {
        draw(&rounds->random, rounds, name, &id);
        const struct view_node *owner = placement_owner(rounds->placement, "main", NULL, name, &id);
        load_count(rounds->loads[number_of(owner)], name, rounds->now);
        if (rounds->now < balancing_deadline(rounds->balancing))
            continue;
        balancing_tick(rounds->balancing, rounds->now);
        if (rounds->plan != NULL)
            publish(rounds);
    }
}

/* Where a sample of all mail belongs; always the same one. */
static void sample(const struct rounds *rounds, uint8_t *owners)
{
    struct random random = {99};
    char name[32];
    struct mail_id id;
    for (unsigned i = 0; i < SAMPLE; i++) {
        draw(&random, rounds, name, &id);
        owners[i] = (uint8_t)number_of(placement_owner(rounds->placement, "main", NULL, name, &id));
    }
}

/* In loads of a node. */
static double differ(const uint8_t *a, const uint8_t *b)
{
    unsigned away = 0;
    for (unsigned i = 0; i < SAMPLE; i++)
        away += a[i] != b[i];
    return (double)away / SAMPLE * NODES;
}

static double worst(const uint8_t *owners)
{
    unsigned counts[NODES] = {0}, most = 0, nodes = 0;
    for (unsigned i = 0; i < SAMPLE; i++)
        counts[owners[i]]++;
    for (unsigned i = 0; i < NODES; i++) {
        most = counts[i] > most ? counts[i] : most;
        nodes += counts[i] > 0;
    }
    return (double)most / SAMPLE * nodes;
}

static void begin(struct rounds *rounds, uint64_t seed)
{
    *rounds = (struct rounds){.random = {seed}, .now = USEC_SEC};
    struct balancing_ports ports = {rounds, ask, decided};
    double sum = 0, at = TOP;
    for (unsigned i = 1; i < DOMAINS; i++)
        sum += 1.0 / i;
    rounds->until[0] = at;
    for (unsigned i = 1; i < DOMAINS; i++)
        rounds->until[i] = at += (1 - TOP) / i / sum;
    rounds->balancing = balancing_new("c1", &ports);
    rounds->placement = placement_new();
    for (unsigned i = 0; i < NODES; i++)
        rounds->loads[i] = load_new();
    publish(rounds);
}

static void end(struct rounds *rounds)
{
    for (unsigned i = 0; i < NODES; i++)
        load_free(&rounds->loads[i]);
    balance_plan_free(&rounds->plan);
    balancing_free(&rounds->balancing);
    placement_free(&rounds->placement);
    view_drop(&rounds->view);
    buffer_free(&rounds->rows);
}

static void one_leaves(unsigned node, uint64_t seed)
{
    struct rounds rounds;
    static uint8_t before[SAMPLE], last[SAMPLE], now[SAMPLE];
    begin(&rounds, seed);
    play(&rounds, 12 * USEC_MIN);
    sample(&rounds, before);
    unsigned had = 0;
    for (unsigned i = 0; i < SAMPLE; i++)
        had += before[i] == node;
    double settled = worst(before);
    rounds.gone[node] = true;
    rounds.views = 0;
    publish(&rounds);
    sample(&rounds, last);
    double path = differ(before, last);
    usec_t left = rounds.now;
    for (unsigned round = 1; round <= 20; round++) { /* ten minutes */
        play(&rounds, left + round * BALANCE_PACE);
        sample(&rounds, now);
        double step = differ(last, now);
        path += step;
        if (step > 0)
            print_message(
                "  after %3u s: %.3f moved, %.3f from before\n", round * 30, step, differ(before, now));
        memcpy(last, now, sizeof last);
    }
    double moved = differ(before, now);
    print_message(
        "n%u of %u leaves (max/mean %.3f, it had %.3f): moved %.3f/n, in steps %.3f/n, max/mean %.3f, "
        "%u views\n",
        node, NODES, settled, (double)had / SAMPLE * NODES, moved, path, worst(now), rounds.views);
    assert_true(moved <= 1.1);
    assert_true(path <= 1.1 + 0.15);
    assert_true(rounds.views <= 4);
    end(&rounds);
}

static void test_leaves(void **state)
{
    (void)state;
    one_leaves(3, 1);
    one_leaves(11, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_leaves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
