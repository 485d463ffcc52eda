/* settings - what the operators of the modelled nodes wrote
 *
 * A node's settings are the same in every run of a profile, so they are parsed once a process. Limits are
 * small, so that a few messages already press against them. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/panic.h"
#include "tests/sim/scale.h"
#include "tests/sim/sim.h"

static const char *const retries[SIM_PROFILE_WIDE + 1] = {
    "[1s, 3s, 10s, 30s]", "[5s, 20s, 1m, 5m]", "[2s, 2s, 2s, 1m]", "[30s, 2m, 10m]", "[1s]"};
static const char *const limits[SIM_PROFILE_WIDE + 1] = {
    "  - { name: default, connections: 2, messages_per_connection: 3, rate: 20/s }\n"
    "  - { name: alpha, match: { mx_suffix: [alpha.test] }, connections: 1, messages_per_connection: 2, "
    "rate: 5/s }\n"
    "  - { name: beta, match: { mx_suffix: [beta.test] }, connections: 2, messages_per_connection: 5, rate: "
    "2/s }\n"
    "  - { name: gamma, match: { mx_suffix: [gamma.test] }, connections: 1, messages_per_connection: 1, "
    "rate: 60/m }\n",
    "  - { name: default, connections: 4, messages_per_connection: 10, rate: none }\n"
    "  - { name: alpha, match: { mx_suffix: [alpha.test] }, connections: 2, messages_per_connection: 1, "
    "rate: 10/s }\n"
    "  - { name: beta, match: { mx_suffix: [beta.test] }, connections: 1, messages_per_connection: 0, rate: "
    "50/s }\n"
    "  - { name: gamma, match: { mx_suffix: [gamma.test] }, connections: 3, messages_per_connection: 4, "
    "rate: 1/s }\n",
    "  - { name: default, connections: 1, messages_per_connection: 2, rate: 3/s }\n"
    "  - { name: alpha, match: { mx_suffix: [alpha.test] }, connections: 1, messages_per_connection: 3, "
    "rate: 30/m }\n"
    "  - { name: beta, match: { mx_suffix: [beta.test] }, connections: 3, messages_per_connection: 3, rate: "
    "none }\n"
    "  - { name: gamma, match: { mx_suffix: [gamma.test] }, connections: 2, messages_per_connection: 2, "
    "rate: 7/s }\n",
    "  - { name: default, connections: 10, messages_per_connection: 100, rate: 100/s }\n"
    "  - { name: alpha, match: { mx_suffix: [alpha.test] }, connections: 5, messages_per_connection: 50, "
    "rate: 100/s }\n"
    "  - { name: beta, match: { mx_suffix: [beta.test] }, connections: 2, messages_per_connection: 2, rate: "
    "100/s }\n"
    "  - { name: gamma, match: { mx_suffix: [gamma.test] }, connections: 1, messages_per_connection: 1, "
    "rate: 100/s }\n",
    "  - { name: default, connections: 100, messages_per_connection: 1000, rate: none }\n"
    "  - { name: alpha, match: { mx_suffix: [alpha.test] }, connections: 100, messages_per_connection: 1000, "
    "rate: none }\n"
    "  - { name: beta, match: { mx_suffix: [beta.test] }, connections: 100, messages_per_connection: 1000, "
    "rate: none }\n"
    "  - { name: gamma, match: { mx_suffix: [gamma.test] }, connections: 100, messages_per_connection: 1000, "
    "rate: none }\n",
};

/* Pools: everybody has `shared`; `fast` every second node, `bulk` every third; 1 to 3 sources a node. */
static void write_sources(struct buffer *out, int node)
{
    int count = 1 + node % 3;
    for (int i = 0; i < count; i++) {
        const char *pools = "shared";
        if (i == count - 1 && node % 2 == 0)
            pools = "shared, fast";
        if (i == 0 && node % 3 == 0)
            pools = node % 2 == 0 && count == 1 ? "shared, fast, bulk" : "shared, bulk";
        buffer_printf(out, "    - { address: 10.%d.%d.%d, helo: mx%d.n%d.sender.example, pools: [%s] }\n",
            1 + node / 250, node % 250 + 1, i + 1, i + 1, node + 1, pools);
    }
}

/* One tenant's mail starts in the first minutes of every quarter of an hour only, one campaign's trickles. */
static void write_schedules(struct buffer *out)
{
    buffer_add_text(out, "schedules:\n  - name: quarters\n    match: { tenant: zen }\n    windows:\n");
    for (int minute = 0; minute < 24 * 60; minute += SIM_QUARTER)
        buffer_printf(out, "      - \"%02d:%02d-%02d:%02d\"\n", minute / 60, minute % 60,
            (minute + SIM_QUARTER_OPEN) / 60, (minute + SIM_QUARTER_OPEN) % 60);
    buffer_printf(out, "  - { name: drops, match: { campaign: k1 }, release: { count: %d, every: %ds } }\n",
        SIM_RELEASE_COUNT, SIM_RELEASE_SECONDS);
}

static void write_settings(struct buffer *out, int profile, int node, const char *sources)
{
    buffer_printf(out, "node:\n  id: n%d\n  data_dir: /nowhere\n  window: %s\n  sources:\n", node + 1,
        profile == 1 ? "1MiB" : "16MiB");
    if (sources == NULL)
        write_sources(out, node);
    else
        buffer_add_text(out, sources);
    if (profile == 2)
        buffer_add_text(out, "cluster: { move_rate: 64KiB }\n");
    buffer_printf(out,
        "delivery:\n  port: 25\n  tls: %s\n  max_age: %s\n  retry: %s\n  dsn: %s\n"
        "  timeouts: { connect: 30s, greeting: 1m, command: 1m, data: 1m, block: 1m, dot: 2m }\n",
        profile % 2 == 0 ? "none" : "opportunistic", profile == 2 ? "10m" : "2h", retries[profile],
        profile == 1 ? "failure" : "none");
    buffer_add_text(
        out, "pools: { shared: { overflow: none }, fast: { overflow: none }, bulk: { overflow: none } }\n");
    buffer_printf(out,
        "tenants:\n"
        "  - { id: acme, pools: [shared, fast], domains: [\"*\"]%s }\n"
        "  - { id: zen, pools: [bulk, shared], domains: [\"*\"] }\n",
        profile % SIM_PROFILE_WIDE == 0 ? ""
                                        : ", dkim: [{ domain: sender.test, selector: a, key_file: a },"
                                          " { domain: sender.test, selector: b, key_file: b }]");
    if (profile == 3)
        buffer_add_text(out, "operator_dkim: [{ domain: op.test, selector: o, key_file: o }]\n");
    buffer_printf(out, "providers:\n%s", limits[profile]);
    if (profile == SIM_PROFILE_SCHEDULES)
        write_schedules(out);
}

struct settings *sim_settings_with(int profile, int node, const char *sources)
{
    struct buffer text = {0};
    write_settings(&text, profile, node, sources);
    struct fault *faults = NULL;
    size_t fault_count = 0;
    struct settings *settings =
        settings_parse(buffer_bytes(&text), buffer_len(&text), "sim", &faults, &fault_count);
    if (settings == NULL) {
        fprintf(stderr, "%s", buffer_text(&text));
        panic("the simulator's own settings are wrong: %s", fault_count > 0 ? faults[0].text : "?");
    }
    free(faults);
    buffer_free(&text);
    return settings;
}

const struct settings *sim_settings(const struct sim *sim, int node)
{
    if (sim->scale != NULL)
        return scale_settings(sim, node);
    static struct settings *made[SIM_PROFILES][SIM_NODES][2][2];
    struct settings **at = &made[sim->profile][node][sim->copies - 1][sim->min_copies - 1];
    if (*at == NULL) {
        *at = sim_settings_with(sim->profile, node, NULL);
        (*at)->cluster.copies = sim->copies;
        (*at)->cluster.min_copies = sim->min_copies;
    }
    return *at;
}

const struct setting_provider *sim_limits(const struct settings *settings, int site)
{
    static const char *const names[SIM_PROVIDERS] = {"alpha", "alpha", "beta", "gamma"};
    return settings_provider(settings, site < 4 ? names[site] : "default");
}

int sim_source_index(const struct settings *settings, const char *address)
{
    for (size_t i = 0; i < settings->node.source_count; i++)
        if (strcmp(settings->node.sources[i].address, address) == 0)
            return (int)i;
    return -1;
}
