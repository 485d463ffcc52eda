/* What a node tells of its load: rates of the last minutes, the largest domains, and the hot ones exactly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "node/load.h"

static struct balance_domain domains[LOAD_TOP + VIEW_MAX_HOT];

static double rate_of(const struct balance_report *report, const char *domain)
{
    for (size_t i = 0; i < report->domain_count; i++)
        if (strcmp(report->domains[i].domain, domain) == 0)
            return report->domains[i].rate;
    return 0;
}

/* Ten a second: half to one domain, a tenth to another, the rest to as many as there are. */
static usec_t play(struct load *load, usec_t now, usec_t until, struct random *random)
{
    for (; now < until; now += USEC_SEC / 10) {
        char name[40];
        uint64_t die = random_below(random, 10);
        snprintf(name, sizeof name, "d%u.test", (unsigned)random_below(random, 1000000));
        load_count(load, die < 5 ? "large.test" : die == 5 ? "some.test" : name, now);
    }
    return now;
}

static void test_rates(void **state)
{
    (void)state;
    struct random random = {1};
    struct load *load = load_new();
    struct balance_report report;
    load_report(load, domains, &report, USEC_SEC);
    assert_true(report.rate == 0 && report.span == 0 && report.domain_count == 0);
    usec_t now = play(load, USEC_SEC, 30 * USEC_SEC, &random);
    load_report(load, domains, &report, now);
    assert_true(report.span > 25 && report.span < BALANCE_SPAN && report.rate > 9.9 && report.rate < 10.1);
    now = play(load, now, 20 * USEC_MIN, &random);
    load_report(load, domains, &report, now);
    assert_true(report.span > 200 && report.span < 260 && report.rate > 9.9 && report.rate < 10.1);
    assert_int_equal(report.domain_count, LOAD_TOP);
    assert_true(rate_of(&report, "large.test") > 4.5 && rate_of(&report, "large.test") < 5.6);
    assert_true(rate_of(&report, "some.test") > 0.8 && rate_of(&report, "some.test") < 1.3);
    /* Half an hour of nothing. */
    load_report(load, domains, &report, now + 30 * USEC_MIN);
    assert_true(report.rate < 0.01);
    load_report(load, domains, &report, now + (usec_t)1000 * 24 * 60 * USEC_MIN);
    assert_true(report.rate < 0.01);
    load_free(&load);
}

static void test_hot(void **state)
{
    (void)state;
    struct random random = {2};
    struct load *load = load_new();
    struct view *view = view_new(1), *cool = view_new(2);
    struct balance_report report;
    usec_t now = play(load, USEC_SEC, 10 * USEC_MIN, &random);
    view_add_hot(view, "rare.test", 0);
    view_add_hot(view, "some.test", 16);
    load_set_view(load, view, now);
    load_report(load, domains, &report, now);
    assert_true(rate_of(&report, "some.test") == 0); /* it will be elsewhere */
    assert_true(report.rate > 8.5 && report.rate < 9.5);
    now = play(load, now, now + USEC_MIN, &random);
    load_report(load, domains, &report, now);
    assert_true(rate_of(&report, "some.test") > 0.6 && rate_of(&report, "some.test") < 1.5);
    assert_true(report.rate > 9.5 && report.rate < 10.5);
    load_set_view(load, view, now); /* nothing new */
    load_report(load, domains, &report, now);
    assert_true(rate_of(&report, "some.test") > 0.6);
    assert_true(rate_of(&report, "rare.test") == 0);
    now = play(load, now, now + 10 * USEC_MIN, &random);
    load_count(load, "rare.test", now);
    load_report(load, domains, &report, now);
    assert_true(rate_of(&report, "rare.test") > 0.003 && rate_of(&report, "rare.test") < 0.006);
    assert_true(rate_of(&report, "some.test") > 0.8 && rate_of(&report, "some.test") < 1.2);
    load_set_view(load, cool, now);
    load_report(load, domains, &report, now);
    assert_true(rate_of(&report, "rare.test") == 0);
    view_drop(&view);
    view_drop(&cool);
    load_free(&load);
}

static struct view *view_with(unsigned nodes, bool last_is_down)
{
    static const char *const pools[] = {"main"};
    struct view *view = view_new(1);
    for (unsigned i = 0; i < nodes; i++) {
        char id[16], spool[16];
        snprintf(id, sizeof id, "n%u", i);
        snprintf(spool, sizeof spool, "n%u.0", i);
        struct view_node *node = view_add_node(view, id, spool, 1, 100);
        view_add_source(node, "192.0.2.1", "mta.test", pools, 1);
        node->down = last_is_down && i + 1 == nodes;
    }
    return view;
}

/* When others get mail, what was counted before says nothing of what will be here. */
static void test_other_nodes(void **state)
{
    (void)state;
    struct random random = {3};
    struct load *load = load_new();
    struct view *three = view_with(3, false), *same = view_with(3, false), *down = view_with(3, true);
    struct balance_report report;
    load_set_view(load, three, USEC_SEC);
    usec_t now = play(load, USEC_SEC, 10 * USEC_MIN, &random);
    load_set_view(load, same, now);
    load_report(load, domains, &report, now);
    assert_true(report.span > 200);
    load_set_view(load, down, now);
    load_report(load, domains, &report, now);
    assert_true(report.span < 0.001 && report.domain_count == 0);
    for (unsigned i = 0; i < 900; i++, now += USEC_SEC / 10)
        load_count(load, "other.test", now);
    load_report(load, domains, &report, now);
    assert_true(report.span > 60 && report.span < 91 && report.rate > 9.8 && report.rate < 10.2);
    assert_int_equal(report.domain_count, 1);
    view_drop(&three);
    view_drop(&same);
    view_drop(&down);
    load_free(&load);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates), cmocka_unit_test(test_hot), cmocka_unit_test(test_other_nodes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
