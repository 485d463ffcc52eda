/* scale - see scale.h: the cluster, its clients, and what happens when */
#include "tests/sim/scale.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "tests/sim/agree.h"
#include "tests/sim/control.h"
#include "tests/sim/ledger.h"
#include "tests/sim/store_link.h"

enum { JOINING, BALANCING, STEADY, JOINS, LEAVES, FAULTS, RATE, OVER };
#define STAGE_LOOKS (250 * USEC_MS)
#define BALANCES (5 * BALANCE_PACE)
#define STEADY_FOR USEC_MIN
#define CHANGE_FOR (3 * BALANCE_PACE + 5 * USEC_SEC) /* what comes or goes, and what the head then decides */
#define LEAVE_AT_MOST (5 * USEC_MIN)
#define FAULT_EVERY (8 * USEC_SEC)
#define HANDED_IN_FOR (BALANCES + STEADY_FOR + 2 * CHANGE_FOR + USEC_MIN)

static const uint8_t faults[] = {FAULT_CRASH, FAULT_CRASH, FAULT_CRASH, FAULT_FREEZE, FAULT_HANG, FAULT_STOP,
    FAULT_CUT, FAULT_CUT_ONE_WAY, FAULT_LOSSY, FAULT_SLOW_DISK, FAULT_STORE_LEADER, FAULT_STORE_CUT,
    FAULT_STORE_REVOKE, FAULT_FRONT_CRASH, FAULT_DISK_LOST, FAULT_TABLE};

/* ---- the cluster ---- */

static void shuffle_faults(struct sim *sim)
{
    struct scale *scale = sim->scale;
    memcpy(scale->order, faults, sizeof faults);
    for (size_t i = sizeof faults; i > 1; i--) {
        size_t other = sim_draw(sim, i);
        uint8_t was = scale->order[i - 1];
        scale->order[i - 1] = scale->order[other];
        scale->order[other] = was;
    }
}

void scale_plan(struct sim *sim)
{
    struct scale *scale = sim->scale;
    scale->messages = sim->options->messages;
    scale->traffic = traffic_new(sim->options->domains, sim->seed);
    scale->figures = figures_new();
    shuffle_faults(sim);
    if (sim->options->throughput)
        sim->phase = PHASE_CALM;
    for (int i = 0; i < sim->members_count; i++) {
        struct member *member = &sim->members[i];
        member->skew = 0;
        member->weight = 1;
        member->absent = !sim->options->throughput && i == sim->nodes - 1;
        if (i < sim->nodes)
            member->disk->segment = 2000;
    }
}

void scale_free(struct sim *sim)
{
    struct scale *scale = sim->scale;
    sim->scale = NULL;
    if (scale == NULL)
        return;
    traffic_free(&scale->traffic);
    figures_free(&scale->figures);
    view_drop(&scale->before);
    free(scale);
}

/* All alike; which addresses are whose, their names say. Once a process. */
const struct settings *scale_settings(const struct sim *sim, int node)
{
    static struct settings *made[SIM_NODES];
    if (made[node] == NULL) {
        struct buffer sources = {0};
        for (int i = 0; i < SCALE_SOURCES; i++)
            buffer_printf(&sources,
                "    - { address: 10.%d.%d.%d, helo: mx%d.n%d.sender.example, pools: [shared] }\n",
                1 + node / 250, node % 250 + 1, i + 1, i + 1, node + 1);
        made[node] =
            sim_settings_with(sim->options->throughput ? SIM_PROFILE_WIDE : 0, node, buffer_text(&sources));
        buffer_free(&sources);
    }
    made[node]->cluster.copies = sim->copies;
    made[node]->cluster.min_copies = sim->min_copies;
    return made[node];
}

int scale_domain(const struct sim *sim, const char *name)
{
    char *end;
    unsigned long number = name[0] == 'x' ? strtoul(name + 1, &end, 10) : 0;
    bool known = name[0] == 'x' && strcmp(end, ".test") == 0 && number < sim->options->domains;
    return known ? (int)number : -1;
}

int scale_site(int domain)
{
    return domain == 0 ? 0 : 1 + domain % (SIM_PROVIDERS - 1);
}

/* ---- clients ---- */

void scale_hand_in(struct sim *sim)
{
    struct scale *scale = sim->scale;
    unsigned number = ledger_messages(sim->ledger);
    char text[80];
    struct mail *mail = mail_new();
    int len = snprintf(text, sizeof text, "Subject: m%u\r\n\r\nthe end of m%u\r\n", number, number);
    struct blob *body = blob_take(xstrdup(text), (size_t)len);
    mail->id = id_make(sim->now, &sim->random);
    mail->keyed = false;
    mail->created = sim->now;
    mail->expires = sim->now + 2 * USEC_HOUR;
    mail->body_len = body->len;
    memcpy(mail->digest, &number, sizeof number);
    mail_set(&mail->pool, "shared");
    mail_set(&mail->tenant, "acme");
    mail_set(&mail->campaign, "k");
    snprintf(text, sizeof text, "s%u@sender.test", number);
    mail_set(&mail->from, text);
    unsigned recipients = sim_chance(sim, 100) && !sim->options->throughput ? 3 : 1;
    for (unsigned i = 0; i < recipients; i++) {
        snprintf(text, sizeof text, "m%u-%u@x%u.test", number, i, traffic_draw_domain(sim, scale->traffic));
        mail_add_recipient(mail, text);
    }
    scale->handed_in++;
    clients_submit(sim, mail, body);
    mail_drop(&mail);
    blob_drop(&body);
}

/* Over all stages but the last. */
static void stream(struct sim *sim, struct sim_event *event)
{
    (void)event;
    struct scale *scale = sim->scale;
    if (scale->handed_in >= scale->messages || sim->phase != PHASE_LOAD)
        return;
    scale_hand_in(sim);
    usec_t every = HANDED_IN_FOR / (usec_t)scale->messages;
    sim_after(sim, sim_between(sim, 0, 2 * every), stream, NULL);
}

/* ---- stages ---- */

static void enter(struct sim *sim, int stage, usec_t lasts)
{
    static const char *const names[] = {
        "joining", "balancing", "steady", "joins", "leaves", "faults", "rate", "over"};
    trace_line(sim, "world", "stage", "%s", names[stage]);
    sim->scale->stage = stage;
    sim->scale->since = sim->now;
    sim->scale->until = sim->now + lasts;
}

static struct member *draw_up(struct sim *sim)
{
    struct member *member = NULL;
    for (int i = 0; i < 20 && (member == NULL || !member->up); i++)
        member = &sim->members[sim_draw(sim, (uint64_t)sim->nodes)];
    return member;
}

/* What the last change has moved, and how even it is now. */
static void note_change(struct sim *sim, int which)
{
    struct scale *scale = sim->scale;
    double n = (double)scale->before->node_count;
    scale->moved[which] = n * traffic_moved(scale->traffic, scale->before, sim->view);
    scale->even[1 + which] = traffic_worst(scale->traffic, sim->view, false);
    view_drop(&scale->before);
}

static void begin_leaving(struct sim *sim)
{
    struct scale *scale = sim->scale;
    scale->before = view_hold(sim->view);
    do
        scale->leaver = draw_up(sim);
    while (scale->leaver->index < 4 || !scale->leaver->up);
    faults_strike(sim, FAULT_LEAVE, scale->leaver);
    enter(sim, LEAVES, CHANGE_FOR);
}

static void next_stage(struct sim *sim)
{
    struct scale *scale = sim->scale;
    switch (scale->stage) {
    case JOINING:
        if (agree_wrong_view(sim) != NULL)
            return;
        if (!sim->options->throughput)
            printf("seed %llu: %d nodes with %d addresses each, %u domains, copies %u; all are members after "
                   "%.1f s\n",
                (unsigned long long)sim->seed, sim->nodes, SCALE_SOURCES, sim->options->domains, sim->copies,
                (double)(sim->now - SIM_START) / USEC_SEC);
        enter(sim, BALANCING, BALANCES);
        if (!sim->options->throughput)
            sim_after(sim, 0, stream, NULL);
        break;
    case BALANCING:
        if (sim->options->throughput) {
            scale->even[0] = traffic_worst(scale->traffic, sim->view, true);
            enter(sim, RATE, 0);
            rate_begin(sim);
            return;
        }
        enter(sim, STEADY, STEADY_FOR);
        figures_steady(sim, true);
        break;
    case STEADY:
        figures_steady(sim, false);
        scale->even[0] = traffic_worst(scale->traffic, sim->view, true);
        scale->before = view_hold(sim->view);
        faults_strike(sim, FAULT_JOIN, NULL);
        enter(sim, JOINS, CHANGE_FOR);
        break;
    case JOINS:
        note_change(sim, 0);
        begin_leaving(sim);
        break;
    case LEAVES:
        if (!scale->leaver->absent && sim->now < scale->since + LEAVE_AT_MOST)
            return;
        if (!scale->leaver->absent)
            sim_fail(sim, "leave: %s has not left after %lld s", scale->leaver->name,
                (long long)(LEAVE_AT_MOST / USEC_SEC));
        note_change(sim, 1);
        enter(sim, FAULTS, FAULT_EVERY);
        break;
    case FAULTS:
        if (scale->faults == sizeof faults) {
            enter(sim, OVER, 0);
            return;
        }
        faults_strike(sim, (enum fault_kind)scale->order[scale->faults++], draw_up(sim));
        scale->until = sim->now + sim_between(sim, FAULT_EVERY / 2, FAULT_EVERY * 3 / 2);
        break;
    case RATE:
        if (rate_over(sim))
            enter(sim, OVER, 0);
        break;
    default:
        break;
    }
}

static void look(struct sim *sim, struct sim_event *event)
{
    (void)event;
    if (sim->phase != PHASE_LOAD && !sim->options->throughput)
        return;
    control_wake(sim);
    figures_watch(sim);
    if (sim->now >= sim->scale->until)
        next_stage(sim);
    sim_aside(sim, STAGE_LOOKS, look, NULL);
}

/* ---- the head balances ---- */

static void balance(struct sim *sim, struct sim_event *event)
{
    (void)event;
    struct member *head = agree_head(sim);
    if (sim->phase != PHASE_LOAD && !sim->options->throughput)
        return;
    sim_aside(sim, BALANCE_PACE + USEC_SEC, balance, NULL);
    if (head == NULL || !control_is_head(head) || control_view(head) == NULL || sim->now < head->frozen_until)
        return;
    struct balance_plan *plan =
        traffic_balance(sim->scale->traffic, control_view(head), link_client(head), control_time(head));
    trace_member(head, "balance", "%s", plan == NULL ? "nothing new" : "decided");
    if (plan != NULL)
        control_set_balance(head, plan);
}

void scale_begin(struct sim *sim)
{
    enter(sim, JOINING, 0);
    sim_aside(sim, STAGE_LOOKS, look, NULL);
    sim_aside(sim, 10 * USEC_SEC, balance, NULL);
}

bool scale_loading(const struct sim *sim)
{
    return sim->scale->stage != OVER;
}

void scale_judge(struct sim *sim)
{
    const struct scale *scale = sim->scale;
    if (sim->options->throughput) {
        rate_judge(sim);
        return;
    }
    printf("  load: the largest is %.3f of the mean with all domains; a join moves %.3f/n (then %.3f), a "
           "leave %.3f/n "
           "(then %.3f)\n",
        scale->even[0], scale->moved[0], scale->even[1], scale->moved[1], scale->even[2]);
    figures_print(sim);
    if (scale->even[0] > SCALE_EVEN || scale->even[1] > SCALE_EVEN || scale->even[2] > SCALE_EVEN)
        sim_fail(sim, "P8: the largest load is %.3f, %.3f, %.3f of the mean", scale->even[0], scale->even[1],
            scale->even[2]);
}
