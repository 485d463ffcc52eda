/* fairness_turns - worlds that show whose turn it is: see fairness_world.h
 *
 * Urgent mail behind a campaign is compared with the same mail where nobody else sends: what the lane's own limits
 * make it wait is in both. Shares are counted in windows of starts while everybody has something to send. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/fairness_world.h"

enum { URGENT = 100, EACH = 300, MOST_GROUPS = 20 };
#define MORE_AT_MOST USEC_SEC /* that urgent mail waits behind a campaign */
#define OFF_PERCENT 5         /* that a share may be off, in each window */

#define TENANT(name) "  - { id: " name ", pools: [shared], domains: ['*'] }\n"
#define ALPHA(limits)                                                                                        \
    "providers:\n  - { name: default, rate: none }\n"                                                        \
    "  - { name: alpha, match: { mx_suffix: [alpha.test] }, connections: 4, " limits " }\n"
#define TWO "tenants:\n" TENANT("t0") TENANT("t1")

static const char paced[] = TWO ALPHA("rate: 20/s"), unpaced[] = TWO ALPHA("rate: none"),
                  twenty[] = TWO TENANT("t2") TENANT("t3") TENANT("t4") TENANT("t5") TENANT("t6") TENANT("t7")
                      TENANT("t8") TENANT("t9") TENANT("t10") TENANT("t11") TENANT("t12") TENANT("t13")
                          TENANT("t14") TENANT("t15") TENANT("t16") TENANT("t17") TENANT("t18") TENANT("t19")
                              ALPHA("rate: 100/s");

/* ---- urgent mail ---- */

static usec_t last_median, last_p99; /* of the world before */

static void submit_urgent(struct sim *sim)
{
    fairness_load(sim, &(struct load){.tenant = "t1",
                           .campaign = "codes",
                           .class = MAIL_TRANSACTIONAL,
                           .domains = 2,
                           .count = URGENT,
                           .burst = 10,
                           .begin = 30 * USEC_SEC});
}

/* The campaign goes to one of the two sites: it has all the connections. */
static void submit_behind(struct sim *sim)
{
    fairness_load(sim, &(struct load){.tenant = "t0",
                           .campaign = "news",
                           .class = MAIL_BULK,
                           .count = fairness_scale(sim),
                           .burst = 50});
    submit_urgent(sim);
}

static size_t waits_of(const struct sim *sim, const char *campaign, usec_t waits[URGENT], usec_t *last_r)
{
    const struct start *starts;
    size_t all = fairness_starts(sim, &starts), count = 0;
    for (size_t i = 0; i < all; i++) {
        if (strcmp(starts[i].message->mail->campaign, campaign) != 0)
            continue;
        *last_r = starts[i].at;
        if (count < URGENT)
            waits[count++] = starts[i].at - starts[i].message->mail->created;
    }
    return count;
}

static void judge_alone(struct sim *sim)
{
    usec_t waits[URGENT], last;
    size_t count = waits_of(sim, "codes", waits, &last);
    last_median = fairness_percentile(waits, count, 50);
    last_p99 = fairness_percentile(waits, count, 99);
    printf("%s: %zu urgent messages wait %.3f s (median), %.3f s (p99)\n", sim->options->world->name, count,
        (double)last_median / USEC_SEC, (double)last_p99 / USEC_SEC);
}

static void judge_behind(struct sim *sim)
{
    usec_t waits[URGENT], unused[URGENT], last, campaign_last;
    size_t count = waits_of(sim, "codes", waits, &last);
    waits_of(sim, "news", unused, &campaign_last);
    usec_t median = fairness_percentile(waits, count, 50), p99 = fairness_percentile(waits, count, 99);
    printf("%s of %u: they wait %.3f s, %.3f s: %+.3f s, %+.3f s\n", sim->options->world->name,
        fairness_scale(sim), (double)median / USEC_SEC, (double)p99 / USEC_SEC,
        (double)(median - last_median) / USEC_SEC, (double)(p99 - last_p99) / USEC_SEC);
    if (count != URGENT || campaign_last < last)
        sim_fail(sim, "world: the campaign ended before the urgent mail: let it be larger");
    if (p99 > last_p99 + MORE_AT_MOST)
        sim_fail(sim, "urgent: p99 of the wait is %lld ms behind a campaign, %lld ms without",
            (long long)(p99 / USEC_MS), (long long)(last_p99 / USEC_MS));
}

/* ---- shares ---- */

struct shares {
    unsigned groups, window; /* starts */
    unsigned (*group_of)(const struct mail *mail);
    unsigned weights[MOST_GROUPS], total; /* of the groups, and all together */
};

static unsigned by_tenant(const struct mail *mail)
{
    return (unsigned)strtoul(mail->tenant + 1, NULL, 10);
}

static unsigned by_campaign(const struct mail *mail)
{
    return (unsigned)strtoul(mail->campaign + 1, NULL, 10);
}

static unsigned by_class(const struct mail *mail)
{
    return mail->priority;
}

/* The starts while all groups have something to send: from the last message that came in to the last but few starts
 * of the first group that runs dry. */
static size_t all_busy(const struct shares *shares, const struct start *starts, size_t count, size_t *first_r)
{
    usec_t full = 0;
    size_t last[MOST_GROUPS] = {0}, end = count;
    for (size_t i = 0; i < count; i++) {
        usec_t created = starts[i].message->mail->created;
        full = created > full ? created : full;
        last[shares->group_of(starts[i].message->mail)] = i;
    }
    for (unsigned i = 0; i < shares->groups; i++)
        end = last[i] < end ? last[i] : end;
    *first_r = 0;
    while (*first_r < end && starts[*first_r].at <= full + USEC_SEC)
        ++*first_r;
    end -= end < shares->window ? end : shares->window;
    return end > *first_r ? end - *first_r : 0;
}

/* How far off its share a group is, in per mille of it. */
static int off(const struct shares *shares, unsigned group, unsigned got)
{
    double due = (double)shares->window * shares->weights[group] / shares->total;
    return (int)((got - due) / due * 1000);
}

static void judge_shares(struct sim *sim, const struct shares *shares)
{
    const struct start *starts;
    size_t first, all = fairness_starts(sim, &starts), count = all_busy(shares, starts, all, &first);
    int least = 0, most = 0;
    for (size_t at = first; at + shares->window <= first + count; at += shares->window) {
        unsigned got[MOST_GROUPS] = {0};
        for (size_t i = at; i < at + shares->window; i++)
            got[shares->group_of(starts[i].message->mail)]++;
        for (unsigned i = 0; i < shares->groups; i++) {
            int by = off(shares, i, got[i]);
            least = by < least ? by : least;
            most = by > most ? by : most;
            if (abs(by) > 10 * OFF_PERCENT)
                sim_fail(sim, "share: in a window of %u starts number %u of %u got %u, its share is %u / %u",
                    shares->window, i, shares->groups, got[i], shares->weights[i], shares->total);
        }
    }
    printf("%s: in %zu windows of %u starts each has its share, at worst %+.1f %% and %+.1f %%\n",
        sim->options->world->name, count / shares->window, shares->window, least / 10.0, most / 10.0);
    if (count < 2 * (size_t)shares->window)
        sim_fail(sim, "world: there are no two windows in which all have something to send");
}

static void judge_equal(struct sim *sim, unsigned groups, unsigned (*group_of)(const struct mail *mail))
{
    struct shares shares = {.groups = groups, .window = 50 * groups, .group_of = group_of, .total = groups};
    for (unsigned i = 0; i < groups; i++)
        shares.weights[i] = 1;
    judge_shares(sim, &shares);
}

/* One has four times as much, and was there first. */
static void submit_two(struct sim *sim)
{
    fairness_load(sim, &(struct load){.tenant = "t0",
                           .campaign = "k",
                           .class = MAIL_NORMAL,
                           .domains = 2,
                           .count = 8 * EACH,
                           .burst = 600});
    fairness_load(sim, &(struct load){.tenant = "t1",
                           .campaign = "k",
                           .class = MAIL_NORMAL,
                           .domains = 2,
                           .count = 2 * EACH,
                           .burst = 150,
                           .begin = USEC_SEC});
}

static void judge_two(struct sim *sim)
{
    judge_equal(sim, 2, by_tenant);
}

/* One after the other. */
static void submit_twenty(struct sim *sim, bool tenants)
{
    static char names[2][20][8];
    for (unsigned i = 0; i < 20; i++) {
        char *name = names[tenants][i];
        snprintf(name, sizeof names[0][0], "%c%u", tenants ? 't' : 'k', i);
        fairness_load(sim, &(struct load){.tenant = tenants ? name : "t0",
                               .campaign = tenants ? "k" : name,
                               .class = MAIL_NORMAL,
                               .domains = 2,
                               .count = EACH,
                               .burst = EACH,
                               .begin = (usec_t)i * 100 * USEC_MS});
    }
}

static void submit_tenants(struct sim *sim)
{
    submit_twenty(sim, true);
}

static void judge_tenants(struct sim *sim)
{
    judge_equal(sim, 20, by_tenant);
}

static void submit_campaigns(struct sim *sim)
{
    submit_twenty(sim, false);
}

static void judge_campaigns(struct sim *sim)
{
    judge_equal(sim, 20, by_campaign);
}

/* The least urgent one was there first, and has the most. */
static void submit_classes(struct sim *sim)
{
    static const unsigned counts[] = {[MAIL_TRANSACTIONAL] = 2400, [MAIL_NORMAL] = 1200, [MAIL_BULK] = 1200};
    for (unsigned i = 0; i < 3; i++)
        fairness_load(sim, &(struct load){.tenant = "t0",
                               .campaign = "k",
                               .class = (enum mail_priority)i,
                               .domains = 2,
                               .count = counts[i],
                               .burst = 600,
                               .begin = (usec_t)(2 - i) * USEC_SEC / 5});
}

static void judge_classes(struct sim *sim)
{
    judge_shares(
        sim, &(struct shares){
                 .groups = 3, .window = 420, .group_of = by_class, .weights = {16, 4, 1}, .total = 21});
}

const struct fairness_world fairness_turns[] = {
    {"fairness", "alone, 20/s", 1, paced, submit_urgent, judge_alone},
    {"fairness", "behind a campaign, 20/s", 1, paced, submit_behind, judge_behind},
    {"fairness", "alone, no pace", 1, unpaced, submit_urgent, judge_alone},
    {"fairness", "behind a campaign, no pace", 1, unpaced, submit_behind, judge_behind},
    {"fairness", "two tenants", 1, twenty, submit_two, judge_two},
    {"fairness", "twenty tenants", 1, twenty, submit_tenants, judge_tenants},
    {"fairness", "twenty campaigns", 1, twenty, submit_campaigns, judge_campaigns},
    {"fairness", "three classes", 1, twenty, submit_classes, judge_classes},
    {0},
};
