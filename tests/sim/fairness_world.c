/* fairness_world - see fairness_world.h: making a world, and keeping what starts in it */
#include "tests/sim/fairness_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/hold.h"
#include "node/node.h"
#include "tests/sim/layout.h"

enum { MOST_LOADS = 64, WORLDS = 32, MOST_NODES = 4, BODY_LINES = 3 };
#define BURST_EVERY (50 * USEC_MS)
#define AT_MOST (12 * USEC_HOUR)
/* Berlin's clocks go forward here, in this world. */
#define CLOCKS_CHANGE (FAIRNESS_BEGIN + 20 * USEC_MIN)

struct fairness {
    struct load loads[MOST_LOADS];
    size_t load_count, submitting; /* of them so many are not through */
    struct start *starts;
    size_t count, size;
    char paused[32]; /* campaign; "" = none */
    usec_t latest_end;
    unsigned expired, pauses;
};

/* ---- which there are ---- */

const struct fairness_world *fairness_next(const char *group, const struct fairness_world *before)
{
    const struct fairness_world *const lists[] = {fairness_turns, fairness_times};
    bool passed = before == NULL;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (const struct fairness_world *world = lists[i]; world->name != NULL; world++) {
            if (passed && strcmp(world->group, group) == 0)
                return world;
            passed = passed || world == before;
        }
    return NULL;
}

unsigned fairness_scale(const struct sim *sim)
{
    return sim->options->messages;
}

/* ---- the cluster ---- */

static struct settings *parse(const struct fairness_world *world, int node)
{
    struct buffer text = {0};
    struct fault *faults = NULL;
    size_t fault_count = 0;
    buffer_printf(&text,
        "node:\n  id: n%d\n  data_dir: /nowhere\n  sources:\n"
        "    - { address: 10.1.%d.1, helo: mx.n%d.sender.example, pools: [shared] }\n"
        "delivery: { port: 25, tls: none, dsn: none, max_age: 2h, retry: [5s] }\n"
        "pools: { shared: { overflow: none } }\n%s",
        node + 1, node + 1, node + 1, world->settings);
    struct settings *settings =
        settings_parse(buffer_bytes(&text), buffer_len(&text), world->name, &faults, &fault_count);
    if (settings == NULL)
        panic("the settings of the world \"%s\" are wrong: %s", world->name,
            fault_count > 0 ? faults[0].text : "?");
    free(faults);
    buffer_free(&text);
    return settings;
}

/* Once a process: nodes only lend theirs. */
static const struct settings *settings_of(const struct fairness_world *world, int node)
{
    static struct {
        const struct fairness_world *world;
        struct settings *settings[MOST_NODES];
    } made[WORLDS];
    size_t at = 0;
    must(world != NULL && node < MOST_NODES);
    while (at < WORLDS - 1 && made[at].world != NULL && made[at].world != world)
        at++;
    made[at].world = world;
    if (made[at].settings[node] == NULL)
        made[at].settings[node] = parse(world, node);
    return made[at].settings[node];
}

static void make_hosts_alike(struct layout *layout)
{
    for (int i = 0; i < SIM_PROVIDERS; i++)
        for (int j = 0; j < layout->sites[i].host_count; j++) {
            struct host *host = &layout->sites[i].hosts[j];
            host->pipelining = host->eight_bit = host->size = true;
            host->starttls = false;
        }
}

void fairness_plan(struct sim *sim)
{
    const struct fairness_world *world = sim->options->world;
    sim->fairness = xcalloc(1, sizeof *sim->fairness);
    sim->phase = PHASE_CALM;
    sim->steady = true;
    sim->profile = 0;
    sim->slow = false;
    sim->weather = sim->calm;
    sim->park_ahead = 5 * USEC_SEC;
    sim->checkpoint_every = 10 * USEC_SEC;
    make_hosts_alike(sim->layout);
    for (int i = 0; i < sim->members_count; i++) {
        struct member *member = &sim->members[i];
        member->skew = 0;
        member->absent = false;
        member->weight = 1;
        if (i < sim->nodes) {
            member->settings = settings_of(world, i);
            member->disk->segment = 2000;
        }
    }
}

static usec_t zone_ahead(void *context, const char *zone, usec_t when, usec_t *until_r)
{
    (void)context;
    *until_r = USEC_NEVER;
    if (strcmp(zone, "Asia/Tokyo") == 0)
        return 9 * USEC_HOUR;
    if (strcmp(zone, "Europe/Berlin") != 0)
        return 0;
    if (when < CLOCKS_CHANGE)
        *until_r = CLOCKS_CHANGE;
    return when < CLOCKS_CHANGE ? USEC_HOUR : 2 * USEC_HOUR;
}

struct zone_face fairness_zones(void)
{
    return (struct zone_face){.ahead = zone_ahead};
}

/* ---- clients ---- */

static struct blob *make_body(unsigned number)
{
    struct buffer text = {0};
    size_t len;
    buffer_printf(&text, "From: s%u@sender.test\r\nSubject: m%u\r\n\r\n", number, number);
    for (int i = 0; i < BODY_LINES; i++)
        buffer_add_text(&text, "a line like any other\r\n");
    char *bytes = buffer_steal(&text, &len);
    return blob_take(bytes, len);
}

static void submit_one(struct sim *sim, const struct load *load)
{
    unsigned number = ledger_messages(sim->ledger);
    char text[80];
    struct mail *mail = mail_new();
    struct blob *body = make_body(number);
    mail->id = id_make(sim->now, &sim->random);
    mail->keyed = true; /* so that it is handed in again until it is taken */
    mail->priority = load->class;
    mail->created = sim->now;
    mail->expires = sim->now + (load->max_age == 0 ? 2 * USEC_HOUR : load->max_age);
    if (load->hold_back_most > 0)
        mail->send_at = sim->now + sim_between(sim, load->hold_back, load->hold_back_most);
    mail->body_len = body->len;
    memcpy(mail->digest, &number, sizeof number);
    mail_set(&mail->pool, "shared");
    mail_set(&mail->tenant, load->tenant);
    mail_set(&mail->campaign, load->campaign);
    snprintf(text, sizeof text, "s%u@sender.test", number);
    mail_set(&mail->from, text);
    unsigned domain = load->domain + (unsigned)sim_draw(sim, load->domains == 0 ? 1 : load->domains);
    snprintf(text, sizeof text, "m%u-0@d%u.test", number, domain);
    mail_add_recipient(mail, text);
    clients_submit(sim, mail, body);
    mail_drop(&mail);
    blob_drop(&body);
}

static void burst(struct sim *sim, struct sim_event *event)
{
    struct load *load = &sim->fairness->loads[event->number];
    for (unsigned i = 0; i < load->burst && load->count > 0; i++, load->count--)
        submit_one(sim, load);
    if (load->count > 0)
        sim_after(sim, BURST_EVERY, burst, NULL)->number = event->number;
    else
        sim->fairness->submitting--;
}

void fairness_load(struct sim *sim, const struct load *load)
{
    struct fairness *fairness = sim->fairness;
    must(fairness->load_count < MOST_LOADS);
    fairness->loads[fairness->load_count] = *load;
    sim_after(sim, FAIRNESS_BEGIN + load->begin - sim->now, burst, NULL)->number = fairness->load_count++;
    fairness->submitting++;
}

void fairness_begin(struct sim *sim)
{
    sim->options->world->submit(sim);
}

bool fairness_over(const struct sim *sim)
{
    return sim->now > SIM_START + AT_MOST || (sim->fairness->submitting == 0 && sim->fairness->pauses == 0 &&
                                                 !clients_waiting(sim) && ledger_open(sim->ledger) == 0);
}

/* ---- operators ---- */

static void hears(struct sim *sim, struct sim_event *event)
{
    struct fairness *fairness = sim->fairness;
    struct holds *holds = holds_new();
    struct hold hold = {
        .id = "1", .match = {.campaign = fairness->paused}, .since = sim->now, .reason = "", .by = ""};
    if (fairness->paused[0] != '\0')
        (void)holds_add(holds, &hold, NULL);
    node_set_holds(event->member->node, holds, member_now(event->member));
    holds_drop(&holds);
    fairness->pauses--;
}

static void pauses(struct sim *sim, struct sim_event *event)
{
    struct fairness *fairness = sim->fairness;
    snprintf(fairness->paused, sizeof fairness->paused, "%s", event->bytes);
    fairness->pauses--;
    for (int i = 0; i < sim->nodes; i++, fairness->pauses++)
        sim_after(sim, sim_between(sim, 0, FAIRNESS_HEARS), hears, &sim->members[i]);
}

void fairness_pause(struct sim *sim, usec_t when, const char *campaign)
{
    struct sim_event *event = sim_after(sim, FAIRNESS_BEGIN + when - sim->now, pauses, NULL);
    event->bytes = xstrdup(campaign == NULL ? "" : campaign);
    sim->fairness->pauses++;
}

/* ---- what happens ---- */

void fairness_note_start(struct sim *sim, const struct wire *wire, const struct truth *truth)
{
    struct fairness *fairness = sim->fairness;
    if (fairness == NULL)
        return;
    if (fairness->count == fairness->size) {
        fairness->size = fairness->size == 0 ? 1024 : 2 * fairness->size;
        fairness->starts = xrealloc(fairness->starts, fairness->size * sizeof *fairness->starts);
    }
    fairness->starts[fairness->count++] = (struct start){.at = wire->mail_since, .message = truth->message};
}

void fairness_note_end(struct sim *sim, const struct truth *truth, enum delivery_result result)
{
    struct fairness *fairness = sim->fairness;
    if (fairness == NULL || result != RESULT_EXPIRED)
        return;
    usec_t late = sim->now - truth->message->mail->expires;
    fairness->expired++;
    fairness->latest_end = late > fairness->latest_end ? late : fairness->latest_end;
}

/* ---- for judges ---- */

static int by_time(const void *a, const void *b)
{
    const struct start *first = a, *second = b;
    return first->at < second->at ? -1 : first->at > second->at;
}

size_t fairness_starts(const struct sim *sim, const struct start **starts_r)
{
    struct fairness *fairness = sim->fairness;
    if (fairness->count > 0)
        qsort(fairness->starts, fairness->count, sizeof *fairness->starts, by_time);
    *starts_r = fairness->starts;
    return fairness->count;
}

usec_t fairness_latest_end(const struct sim *sim, unsigned *count_r)
{
    *count_r = sim->fairness->expired;
    return sim->fairness->latest_end;
}

static int by_value(const void *a, const void *b)
{
    const usec_t *first = a, *second = b;
    return *first < *second ? -1 : *first > *second;
}

usec_t fairness_percentile(usec_t *values, size_t count, unsigned percent)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof *values, by_value);
    return values[(count - 1) * percent / 100];
}

void fairness_judge(struct sim *sim)
{
    size_t at = 0;
    uint32_t index = 0;
    for (const struct truth *truth; (truth = ledger_next(sim->ledger, &at, &index)) != NULL;)
        if (!truth->message->answered)
            sim_fail(sim, "world: m%u was never taken", truth->message->number);
    if (!sim->failed)
        sim->options->world->judge(sim);
}

void fairness_free(struct sim *sim)
{
    if (sim->fairness != NULL)
        free(sim->fairness->starts);
    free(sim->fairness);
    sim->fairness = NULL;
}
