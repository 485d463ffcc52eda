/* layout - see layout.h; and DNS, which answers from it after a while */
#include "tests/sim/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "node/node.h"
#include "tests/sim/fairness_world.h"
#include "tests/sim/scale.h"

static void make_site(struct sim *sim, struct site *site, int index)
{
    static const char *const names[SIM_PROVIDERS] = {
        "alpha", "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta"};
    site->name = names[index];
    site->provider = index == 1 ? 0 : index;
    site->host_count = 1 + (int)sim_draw(sim, SITE_HOSTS);
    for (int i = 0; i < site->host_count; i++) {
        struct host *host = &site->hosts[i];
        snprintf(host->name, sizeof host->name, "mx%d%c.%s.test", i + 1, 'a' + index, site->name);
        host->site = index;
        host->address.family = AF_INET;
        memcpy(host->address.bytes, (uint8_t[]){10, 200, (uint8_t)index, (uint8_t)(i + 1)}, 4);
        host->pipelining = sim_chance(sim, 700);
        host->eight_bit = sim_chance(sim, 900);
        host->starttls = sim_chance(sim, 300);
        host->size = sim_chance(sim, 700);
    }
}

struct layout *layout_new(struct sim *sim)
{
    struct layout *layout = xcalloc(1, sizeof *layout);
    for (int i = 0; i < SIM_PROVIDERS; i++)
        make_site(sim, &layout->sites[i], i);
    for (int i = 0; i < LAYOUT_DOMAINS; i++) {
        snprintf(layout->domains[i].name, sizeof layout->domains[i].name, "d%d.test", i);
        layout->domains[i].site = i < SIM_PROVIDERS ? i : (int)sim_draw(sim, SIM_PROVIDERS);
    }
    layout->domains[LAYOUT_DOMAINS - 1].site = DOMAIN_MISSING;
    layout->domains[LAYOUT_DOMAINS - 2].site = DOMAIN_NULL_MX;
    snprintf(layout->domains[LAYOUT_DOMAINS - 3].name, sizeof layout->domains[0].name, "sender.test");
    return layout;
}

void layout_free(struct layout **layout)
{
    free(*layout);
    *layout = NULL;
}

struct host *layout_host(struct layout *layout, const struct mx_address *address)
{
    int site = address->bytes[2], host = address->bytes[3] - 1;
    if (address->family != AF_INET || site >= SIM_PROVIDERS || host < 0 ||
        host >= layout->sites[site].host_count)
        return NULL;
    return &layout->sites[site].hosts[host];
}

int layout_domain(const struct sim *sim, const char *name)
{
    const struct layout *layout = sim->layout;
    for (int i = 0; i < LAYOUT_DOMAINS; i++)
        if (strcmp(layout->domains[i].name, name) == 0)
            return i;
    int domain = sim->scale == NULL ? -1 : scale_domain(sim, name);
    return domain < 0 ? -1 : LAYOUT_DOMAINS + domain;
}

static struct mx_answer *no_hosts(enum mx_status status, usec_t expires, const char *why)
{
    struct mx_answer *answer = xcalloc(1, sizeof *answer);
    answer->holders = 1;
    answer->status = status;
    answer->expires = expires;
    snprintf(answer->why, sizeof answer->why, "%s", why);
    return answer;
}

static struct mx_answer *hosts_of(const struct site *site, usec_t expires)
{
    size_t count = (size_t)site->host_count;
    struct mx_answer *answer = xcalloc(1, sizeof *answer + count * sizeof answer->hosts[0]);
    answer->holders = 1;
    answer->status = MX_OK;
    answer->expires = expires;
    answer->host_count = count;
    for (size_t i = 0; i < count; i++) {
        snprintf(answer->hosts[i].name, sizeof answer->hosts[i].name, "%s", site->hosts[i].name);
        answer->hosts[i].preference = (uint16_t)(10 * (1 + i / 2));
        answer->hosts[i].address_count = 1;
        answer->hosts[i].addresses[0] = site->hosts[i].address;
    }
    return answer;
}

static struct mx_answer *look_up(struct sim *sim, int index, usec_t now)
{
    struct layout *layout = sim->layout;
    bool load = sim->phase == PHASE_LOAD;
    bool own = index >= LAYOUT_DOMAINS; /* the run's */
    if (index >= 0 && load &&
        ((!own && sim->now < layout->domains[index].broken_until) ||
            sim_chance(sim, sim->weather.dns_temporary)))
        return no_hosts(MX_TEMPORARY, now + 15 * USEC_SEC, "the name servers do not answer");
    int site = index < 0 ? DOMAIN_MISSING
               : own     ? scale_site(index - LAYOUT_DOMAINS)
                         : layout->domains[index].site;
    usec_t expires = now + sim_between(sim, USEC_MIN, USEC_HOUR);
    if (site == DOMAIN_NULL_MX)
        return no_hosts(MX_NULL, expires, "the domain takes no mail (null MX)");
    if (site == DOMAIN_MISSING)
        return no_hosts(MX_NO_DOMAIN, expires, "there is no such domain");
    return hosts_of(&layout->sites[site], expires);
}

static void answer_dns(struct sim *sim, struct sim_event *event)
{
    struct mx_answer *answer = look_up(sim, layout_domain(sim, event->bytes), member_now(event->member));
    trace_member(event->member, "dns", "%s: %s", event->bytes,
        answer->status == MX_OK ? answer->hosts[0].name : answer->why);
    node_resolved(event->member->node, event->bytes, answer, member_now(event->member));
    mx_answer_drop(&answer);
}

void dns_ask(struct member *member, const char *domain)
{
    struct sim *sim = member->sim;
    usec_t delay = sim->fairness != NULL      ? FAIRNESS_LATENCY
                   : sim->options->throughput ? USEC_MS
                   : sim_chance(sim, 50)      ? sim_between(sim, USEC_SEC, 5 * USEC_SEC)
                                              : sim_between(sim, 100, 50 * USEC_MS);
    struct sim_event *event = sim_after(sim, delay, answer_dns, member);
    event->life = member->life;
    event->bytes = xstrdup(domain);
}
