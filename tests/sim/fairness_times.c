/* fairness_times - worlds that show when mail starts: see fairness_world.h
 *
 * That nothing starts before its send-at or after its max_age the oracles of every seed ask (fairness.h). Here is
 * what only a whole cluster shows, and how soon something happens once it may. What is expected is said in the
 * world's own time, not worked out by the code that is asked. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/fairness_world.h"

enum { HELD_BACK = 400, RELEASED = 600, RELEASE_COUNT = 21, INTERVALS = 200 };
#define SOON_ENOUGH USEC_SEC
#define RELEASE_EVERY (10 * USEC_SEC)

#define TENANTS                                                                                              \
    "tenants:\n  - { id: t0, pools: [shared], domains: ['*'] }\n"                                            \
    "  - { id: t1, pools: [shared], domains: ['*'] }\n"
#define PROVIDERS(alpha, others)                                                                             \
    "providers:\n  - { name: default, " others " }\n"                                                        \
    "  - { name: alpha, match: { mx_suffix: [alpha.test] }, " alpha " }\n"                                   \
    "  - { name: beta, match: { mx_suffix: [beta.test] }, " others " }\n"                                    \
    "  - { name: gamma, match: { mx_suffix: [gamma.test] }, " others " }\n"

static double seconds(usec_t time)
{
    return (double)time / USEC_SEC;
}

static void expect_soon(struct sim *sim, usec_t late, const char *what)
{
    if (late > SOON_ENOUGH)
        sim_fail(sim, "late: %s comes %lld ms late", what, (long long)(late / USEC_MS));
}

/* ---- send-at ---- */

static const char plain[] = TENANTS PROVIDERS("connections: 4, rate: none", "connections: 4, rate: none");

static void submit_held_back(struct sim *sim)
{
    fairness_load(sim, &(struct load){.tenant = "t0",
                           .campaign = "later",
                           .class = MAIL_NORMAL,
                           .domains = 13,
                           .count = HELD_BACK,
                           .burst = 20,
                           .begin = USEC_SEC,
                           .hold_back = 10 * USEC_SEC,
                           .hold_back_most = 5 * USEC_MIN});
}

static void judge_held_back(struct sim *sim)
{
    const struct start *starts;
    usec_t late[HELD_BACK] = {0};
    size_t all = fairness_starts(sim, &starts), count = 0, early = 0;
    for (size_t i = 0; i < all; i++) {
        usec_t due = starts[i].message->mail->send_at;
        if (due == 0 || count == HELD_BACK)
            continue;
        early += starts[i].at < due;
        late[count++] = starts[i].at - due;
    }
    usec_t median = fairness_percentile(late, count, 50), p99 = fairness_percentile(late, count, 99);
    printf("%s: of %zu %zu start early; late by %.3f s (median), %.3f s (p99)\n", sim->options->world->name,
        count, early, seconds(median), seconds(p99));
    expect_soon(sim, p99, "what has a send-at");
    if (count != HELD_BACK || early > 0)
        sim_fail(sim, "world: %zu messages had a send-at, %zu of them started early", count, early);
}

/* ---- windows ---- */

/* It is 09:01 in Tokyo and 01:01 in Berlin when the world begins; in Berlin 01:21 becomes 02:21. */
static const char windows[] = TENANTS PROVIDERS("connections: 4, rate: 1/s",
    "rate: none") "schedules:\n"
                  "  - { name: tokyo, match: { tenant: t0 }, timezone: Asia/Tokyo, windows: "
                  "[\"09:06-09:11\"] }\n"
                  "  - { name: berlin, match: { tenant: t1 }, timezone: Europe/Berlin,\n"
                  "      windows: [\"01:16-01:17\", \"01:31-01:36\", \"02:31-02:36\"] }\n";

static const struct window {
    const char *tenant;
    usec_t opens, shuts; /* in the world's time */
    unsigned least;      /* that start in it */
} expected[] = {
    {"t0", 5 * USEC_MIN, 10 * USEC_MIN, 100},
    {"t1", 15 * USEC_MIN, 16 * USEC_MIN, 58},
    {"t1", 30 * USEC_MIN, 35 * USEC_MIN, 40},
};

static void submit_windows(struct sim *sim)
{
    for (int i = 0; i < 2; i++)
        fairness_load(sim, &(struct load){.tenant = i == 0 ? "t0" : "t1",
                               .campaign = "k",
                               .class = MAIL_NORMAL,
                               .count = 100,
                               .burst = 20});
}

static void judge_windows(struct sim *sim)
{
    const struct start *starts;
    size_t all = fairness_starts(sim, &starts), inside = 0;
    for (size_t w = 0; w < sizeof expected / sizeof expected[0]; w++) {
        const struct window *window = &expected[w];
        unsigned count = 0;
        usec_t first = 0;
        for (size_t i = 0; i < all; i++) {
            usec_t at = starts[i].at - FAIRNESS_BEGIN;
            if (strcmp(starts[i].message->mail->tenant, window->tenant) != 0 || at < window->opens ||
                at >= window->shuts)
                continue;
            first = count++ == 0 ? at : first;
        }
        inside += count;
        printf("%s: %u start in the %lld minutes of window %zu, the first %.3f s after it opens\n",
            sim->options->world->name, count, (long long)((window->shuts - window->opens) / USEC_MIN), w + 1,
            seconds(first - window->opens));
        if (count < window->least)
            sim_fail(sim, "window: only %u messages start in number %zu", count, w + 1);
        expect_soon(sim, first - window->opens, "the first message of a window");
    }
    printf("%s: %zu start outside\n", sim->options->world->name, all - inside);
    if (inside != all)
        sim_fail(sim, "window: %zu messages start outside of theirs", all - inside);
}

/* ---- release ---- */

static const char release[] = TENANTS PROVIDERS("connections: 4, rate: none",
    "connections: 4, rate: none") "schedules:\n  - { name: drops, match: { campaign: k }, release: { count: "
                                  "21, every: 10s } }\n";

static void submit_release(struct sim *sim)
{
    fairness_load(sim, &(struct load){.tenant = "t0",
                           .campaign = "k",
                           .class = MAIL_NORMAL,
                           .domains = 13,
                           .count = RELEASED,
                           .burst = 100});
}

static void judge_release(struct sim *sim)
{
    const struct start *starts;
    unsigned counts[INTERVALS] = {0}, most = 0, sum = 0;
    size_t all = fairness_starts(sim, &starts), used = 0;
    usec_t latest = 0;
    for (size_t i = 0; i < all; i++) {
        usec_t at = starts[i].at - FAIRNESS_BEGIN;
        size_t interval = (size_t)(at / RELEASE_EVERY);
        if (interval >= INTERVALS)
            continue;
        used += counts[interval] == 0;
        most = ++counts[interval] > most ? counts[interval] : most;
        usec_t late = starts[i].at % RELEASE_EVERY;
        latest = interval > 0 && counts[interval] == 1 && late > latest ? late : latest;
    }
    for (size_t i = 1; i <= 10; i++)
        sum += counts[i];
    printf("%s: %zu starts of all nodes in %zu intervals, at most %u in one (of %d), %u in ten when all have "
           "some; "
           "the first comes %.3f s after the interval's begin at worst\n",
        sim->options->world->name, all, used, most, RELEASE_COUNT, sum, seconds(latest));
    if (most > RELEASE_COUNT)
        sim_fail(sim, "release: %u of a campaign start in one interval, on all nodes; at most %d may", most,
            RELEASE_COUNT);
    if (sum < 9 * RELEASE_COUNT)
        sim_fail(sim, "release: only %u start in ten intervals", sum);
    expect_soon(sim, latest, "the first message of an interval");
}

/* ---- pause and resume ---- */

#define PAUSED (20 * USEC_SEC)
#define RESUMED (60 * USEC_SEC)

static const char steady[] = TENANTS PROVIDERS("connections: 2, rate: 5/s", "connections: 2, rate: 5/s");

static void submit_pause(struct sim *sim)
{
    fairness_load(sim, &(struct load){.tenant = "t0",
                           .campaign = "k",
                           .class = MAIL_NORMAL,
                           .domains = 13,
                           .count = 3000,
                           .burst = 100});
    fairness_pause(sim, PAUSED, "k");
    fairness_pause(sim, RESUMED, NULL);
}

static void judge_pause(struct sim *sim)
{
    const struct start *starts;
    size_t all = fairness_starts(sim, &starts), before = 0;
    usec_t last = 0, first = 0;
    for (size_t i = 0; i < all; i++) {
        usec_t at = starts[i].at - FAIRNESS_BEGIN;
        before += at < PAUSED;
        last = at < RESUMED ? at : last;
        if (at >= RESUMED && first == 0)
            first = at;
    }
    printf("%s: %zu starts before; the last comes %.3f s after the pause, the first %.3f s after the resume; "
           "%zu "
           "in all\n",
        sim->options->world->name, before, seconds(last - PAUSED), seconds(first - RESUMED), all);
    expect_soon(sim, last - PAUSED, "the last message before a pause");
    expect_soon(sim, first - RESUMED, "the first message after a pause");
    if (before == 0 || all < 3000)
        sim_fail(sim, "pause: %zu messages started before it, %zu in all", before, all);
}

/* ---- max_age ---- */

/* Several are signed at a time, of three classes, and all but one then wait for their lane. */
static const char aging[] =
    "tenants:\n  - { id: t0, pools: [shared], domains: ['*'], dkim: [{ domain: sender.test, selector: a, "
    "key_file: a }] }\n"
    "  - { id: t1, pools: [shared], domains: ['*'] }\n" PROVIDERS("connections: 4, rate: 6/m",
        "rate: none") "schedules:\n"
                      "  - { name: shut, match: { campaign: window }, windows: [\"12:00-13:00\"] }\n"
                      "  - { name: drops, match: { campaign: release }, release: { count: 1, every: 60s } "
                      "}\n";

static void submit_aging(struct sim *sim)
{
    static const char *const campaigns[] = {"pace", "pace", "pace", "window", "release", "paused", "later"};
    fairness_pause(sim, 0, "paused");
    for (unsigned i = 0; i < 7; i++)
        fairness_load(sim, &(struct load){.tenant = i < 3 ? "t0" : "t1",
                               .campaign = campaigns[i],
                               .class = i < 3 ? (enum mail_priority)i : MAIL_NORMAL,
                               .domain = i < 3 ? 0 : 1 + i,
                               .count = 50,
                               .burst = 1,
                               .begin = USEC_SEC,
                               .hold_back = i == 6 ? 10 * USEC_MIN : 0,
                               .hold_back_most = i == 6 ? 20 * USEC_MIN : 0,
                               .max_age = 95 * USEC_SEC});
}

static void judge_aging(struct sim *sim)
{
    const struct start *starts;
    unsigned expired;
    size_t late = 0, all = fairness_starts(sim, &starts);
    usec_t end = fairness_latest_end(sim, &expired);
    for (size_t i = 0; i < all; i++)
        late += starts[i].at >= starts[i].message->mail->expires;
    printf("%s: %zu started, %zu of them too late; %u expired, the last %.3f s after its max_age\n",
        sim->options->world->name, all, late, expired, seconds(end));
    expect_soon(sim, end, "the end of what is too old");
    if (late > 0 || expired < 330)
        sim_fail(sim, "world: %u expired, and %zu started although they were too old", expired, late);
}

const struct fairness_world fairness_times[] = {
    {"scheduling", "send-at", 4, plain, submit_held_back, judge_held_back},
    {"scheduling", "windows", 1, windows, submit_windows, judge_windows},
    {"scheduling", "release", 4, release, submit_release, judge_release},
    {"scheduling", "pause", 4, steady, submit_pause, judge_pause},
    {"scheduling", "max_age", 1, aging, submit_aging, judge_aging},
    {0},
};
