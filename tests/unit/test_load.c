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
    assert_true(rate_of(&report, "some.test") > 0.8); /* what the sketch had */
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rates), cmocka_unit_test(test_hot)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
