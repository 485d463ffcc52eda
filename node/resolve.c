/* resolve - see resolve.h
 *
 * A domain's lookup goes: (waiting its turn ->) asking for MX -> asking for addresses -> idle. Only
 * resolve_domain starts it; only finish() ends it. Addresses are asked for per host, and lookups that want
 * the same host wait for the same two questions.
 *
 * The owner's `answered` may call back into resolve_domain, so nothing is touched after it was called but
 * what is looked up anew; lookups that became ready stand in a row and are finished one by one. */
#include "node/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/resolve_inner.h"

enum stage { IDLE, WAITING, ASKING_MX, ASKING_HOSTS };

struct lookup {
    struct mx_plan plan;
    size_t pending; /* hosts still asked for */
    struct host *hosts[MX_MAX_HOSTS];
    struct want {
        struct list link; /* in host->waiting */
        struct domain *domain;
    } wants[MX_MAX_HOSTS];
};

struct domain {
    struct cached cached;
    enum stage stage;
    bool wanted; /* somebody waits for the answer; else it is a refresh */
    usec_t refresh;
    struct mx_answer *answer;
    struct lookup *lookup; /* while ASKING_* */
    struct list turn;      /* in resolve->waiting or ->ready */
};

struct resolve {
    struct resolve_ports ports;
    struct map own_names;
    struct cache domains, hosts;
    size_t running;
    struct list waiting; /* lookups whose turn has not come */
    struct list ready;   /* lookups that know all they asked for */
};

static void domain_free(struct cached *cached)
{
    struct domain *domain = list_item(cached, struct domain, cached);
    mx_answer_drop(&domain->answer);
    free(domain->lookup);
    free(domain);
}

struct resolve *resolve_new(const struct resolve_ports *ports, const char *const *own_names, size_t own_count)
{
    static char own;
    struct resolve *resolve = xcalloc(1, sizeof *resolve);
    resolve->ports = *ports;
    for (size_t i = 0; i < own_count; i++)
        map_set_text(&resolve->own_names, own_names[i], &own);
    cache_init(&resolve->domains, MAX_DOMAINS, domain_free);
    cache_init(&resolve->hosts, MAX_HOSTS, host_free);
    list_init(&resolve->waiting);
    list_init(&resolve->ready);
    return resolve;
}

void resolve_free(struct resolve **resolve)
{
    struct resolve *r = *resolve;
    *resolve = NULL;
    if (r == NULL)
        return;
    cache_free(&r->domains);
    cache_free(&r->hosts);
    map_free(&r->own_names);
    free(r);
}

/* Answers once and gives the answer back. */
static void answer_now(struct resolve *resolve, const char *domain, struct mx_answer *answer)
{
    resolve->ports.answered(resolve->ports.context, domain, answer);
    mx_answer_drop(&answer);
}

static void ask_mx(struct resolve *resolve, struct domain *domain)
{
    resolve->running++;
    domain->stage = ASKING_MX;
    domain->lookup = xcalloc(1, sizeof *domain->lookup);
    resolve->ports.ask(resolve->ports.context, domain->cached.name, DNS_MX);
}

static void start(struct resolve *resolve, struct domain *domain)
{
    cached_busy(&domain->cached);
    if (resolve->running < LOOKUPS_AT_ONCE) {
        ask_mx(resolve, domain);
        return;
    }
    domain->stage = WAITING;
    list_push_back(&resolve->waiting, &domain->turn);
}

static void start_waiting(struct resolve *resolve)
{
    while (resolve->running < LOOKUPS_AT_ONCE) {
        struct list *link = list_pop(&resolve->waiting);
        if (link == NULL)
            return;
        ask_mx(resolve, list_item(link, struct domain, turn));
    }
}

static void release_hosts(struct resolve *resolve, struct lookup *lookup)
{
    for (size_t i = 0; i < MX_MAX_HOSTS && lookup->hosts[i] != NULL; i++) {
        struct host *host = lookup->hosts[i];
        must(host->users > 0);
        if (--host->users == 0 && !host_asking(host))
            cached_idle(&resolve->hosts, &host->cached);
    }
}

/* Keeps the better of what is there and what came: a failure does not push a good answer out. */
static void keep_answer(struct domain *domain, struct mx_answer *answer, usec_t now)
{
    bool still_good = domain->answer != NULL && now < domain->answer->expires;
    if (answer->status == MX_TEMPORARY && still_good) {
        domain->refresh = now + FAILED_TTL;
        mx_answer_drop(&answer);
        return;
    }
    mx_answer_drop(&domain->answer);
    domain->answer = answer;
    domain->refresh = life_refresh(answer->expires, now);
}

/* Ends a domain's lookup with `answer`, which it takes over. */
static void finish(struct resolve *resolve, struct domain *domain, struct mx_answer *answer, usec_t now)
{
    char name[DNS_NAME_SIZE];
    bool wanted = domain->wanted;
    release_hosts(resolve, domain->lookup);
    free(domain->lookup);
    domain->lookup = NULL;
    domain->stage = IDLE;
    domain->wanted = false;
    resolve->running--;
    keep_answer(domain, answer, now);
    cached_idle(&resolve->domains, &domain->cached);
    snprintf(name, sizeof name, "%s", domain->cached.name);
    struct mx_answer *held = mx_answer_hold(domain->answer);
    start_waiting(resolve);
    if (wanted)
        answer_now(resolve, name, held);
    else
        mx_answer_drop(&held);
}

static void finish_ready(struct resolve *resolve, usec_t now)
{
    for (struct list *link; (link = list_pop(&resolve->ready)) != NULL;) {
        struct domain *domain = list_item(link, struct domain, turn);
        struct lookup *lookup = domain->lookup;
        finish(
            resolve, domain, mx_answer_compose(&lookup->plan, domain->cached.name, lookup->hosts, now), now);
    }
}

static struct host *host_use(struct resolve *resolve, const char *name)
{
    struct cached *cached = cache_get(&resolve->hosts, name);
    struct host *host = cached == NULL ? host_new() : list_item(cached, struct host, cached);
    if (cached == NULL) {
        must(cache_make_room(&resolve->hosts));
        cache_put(&resolve->hosts, &host->cached, name);
    }
    cached_busy(&host->cached);
    host->users++;
    return host;
}

static void ask_host(struct resolve *resolve, struct host *host, usec_t now)
{
    static const enum dns_type type[FAMILIES] = {DNS_A, DNS_AAAA};
    for (int f = 0; f < FAMILIES; f++) {
        struct family *family = &host->families[f];
        if (family->asking || !family_stale(family, now))
            continue;
        family->asking = true;
        resolve->ports.ask(resolve->ports.context, host->cached.name, type[f]);
    }
}

static void ask_hosts(struct resolve *resolve, struct domain *domain, usec_t now)
{
    struct lookup *lookup = domain->lookup;
    domain->stage = ASKING_HOSTS;
    for (size_t i = 0; i < lookup->plan.count; i++) {
        struct host *host = lookup->hosts[i] = host_use(resolve, lookup->plan.hosts[i].name);
        ask_host(resolve, host, now);
        if (!host_asking(host))
            continue;
        lookup->wants[i].domain = domain;
        lookup->pending++;
        list_push_back(&host->waiting, &lookup->wants[i].link);
    }
    if (lookup->pending == 0)
        list_push_back(&resolve->ready, &domain->turn);
    finish_ready(resolve, now);
}

static void host_answered(struct resolve *resolve, struct host *host, usec_t now)
{
    if (host_asking(host))
        return;
    for (struct list *link; (link = list_pop(&host->waiting)) != NULL;) {
        struct domain *domain = list_item(link, struct want, link)->domain;
        if (--domain->lookup->pending == 0)
            list_push_back(&resolve->ready, &domain->turn);
    }
    finish_ready(resolve, now);
}

/* The domain whose MX were asked for, or null if they weren't. */
static struct domain *asking_domain(const struct resolve *resolve, const char *name)
{
    struct cached *cached = cache_get(&resolve->domains, name);
    struct domain *domain = cached == NULL ? NULL : list_item(cached, struct domain, cached);
    return domain != NULL && domain->stage == ASKING_MX ? domain : NULL;
}

static struct host *asking_family(
    const struct resolve *resolve, const char *name, enum dns_type type, struct family **family_r)
{
    struct cached *cached = cache_get(&resolve->hosts, name);
    if (cached == NULL || (type != DNS_A && type != DNS_AAAA))
        return NULL;
    struct host *host = list_item(cached, struct host, cached);
    *family_r = &host->families[type == DNS_A ? V4 : V6];
    return (*family_r)->asking ? host : NULL;
}

/* Whether the packet answers; if not, `error` says why: everything but yes and no is a failure. */
static bool read_packet(const uint8_t *packet, size_t len, const char *name, enum dns_type type,
    struct dns_answer *answer_r, struct error *error)
{
    static const char *const word[16] = {"", "FORMERR", "SERVFAIL", "", "NOTIMP", "REFUSED"};
    if (dns_answer_read(packet, len, name, type, answer_r, error) != 0)
        return false;
    if (answer_r->truncated)
        error_set(error, "the DNS server's answer is cut off, over TCP too");
    else if (answer_r->rcode == DNS_NOERROR || answer_r->rcode == DNS_NXDOMAIN)
        return true;
    else
        error_set(error, "the DNS server answers %s (code %d)",
            word[answer_r->rcode] == NULL ? "an error" : word[answer_r->rcode], answer_r->rcode);
    return false;
}

static void mx_arrived(
    struct resolve *resolve, struct domain *domain, const struct dns_answer *answer, usec_t now)
{
    struct mx_plan *plan = &domain->lookup->plan;
    mx_plan_make(plan, domain->cached.name, answer, &resolve->own_names, now);
    if (plan->status == MX_OK)
        ask_hosts(resolve, domain, now);
    else
        finish(resolve, domain, mx_answer_bad(plan->status, plan->why, plan->expires), now);
}

void resolve_packet(struct resolve *resolve, const char *name, enum dns_type type, const uint8_t *packet,
    size_t len, usec_t now)
{
    struct dns_answer answer;
    struct error error;
    struct family *family;
    if (!read_packet(packet, len, name, type, &answer, &error)) {
        resolve_failed(resolve, name, type, error.text, now);
        return;
    }
    if (type == DNS_MX) {
        struct domain *domain = asking_domain(resolve, name);
        if (domain != NULL)
            mx_arrived(resolve, domain, &answer, now);
        return;
    }
    struct host *host = asking_family(resolve, name, type, &family);
    if (host == NULL)
        return;
    family_learn(family, &answer, now);
    host_answered(resolve, host, now);
}

void resolve_failed(
    struct resolve *resolve, const char *name, enum dns_type type, const char *why, usec_t now)
{
    struct family *family;
    if (type == DNS_MX) {
        struct domain *domain = asking_domain(resolve, name);
        char text[256];
        if (domain == NULL)
            return;
        snprintf(text, sizeof text, "the MX records of %.100s could not be looked up: %.110s", name, why);
        finish(resolve, domain, mx_answer_bad(MX_TEMPORARY, text, now + FAILED_TTL), now);
        return;
    }
    struct host *host = asking_family(resolve, name, type, &family);
    if (host == NULL)
        return;
    family_fail(family, why, now);
    host_answered(resolve, host, now);
}

static struct domain *domain_make(struct resolve *resolve, const char *name)
{
    if (!cache_make_room(&resolve->domains))
        return NULL;
    struct domain *domain = xcalloc(1, sizeof *domain);
    cache_put(&resolve->domains, &domain->cached, name);
    return domain;
}

/* What needs no DNS: literals and what can't be a domain. Null for the rest. */
static struct mx_answer *answer_without_dns(const char *domain, usec_t now)
{
    char why[256];
    if (domain[0] == '[')
        return mx_answer_literal(domain, now);
    if (mx_domain_valid(domain))
        return NULL;
    snprintf(why, sizeof why, "%.200s is no mail domain", domain[0] == '\0' ? "an empty name" : domain);
    return mx_answer_bad(MX_NO_DOMAIN, why, now + NEGATIVE_MAX);
}

void resolve_domain(struct resolve *resolve, const char *name, usec_t now)
{
    struct mx_answer *quick = answer_without_dns(name, now);
    if (quick != NULL) {
        answer_now(resolve, name, quick);
        return;
    }
    struct cached *cached = cache_get(&resolve->domains, name);
    struct domain *domain =
        cached == NULL ? domain_make(resolve, name) : list_item(cached, struct domain, cached);
    if (domain == NULL) {
        answer_now(resolve, name,
            mx_answer_bad(MX_TEMPORARY, "too many domains are being looked up at once", now + FAILED_TTL));
        return;
    }
    bool good = domain->answer != NULL && now < domain->answer->expires;
    struct mx_answer *held = good ? mx_answer_hold(domain->answer) : NULL;
    domain->wanted = domain->wanted || !good;
    if (domain->stage == IDLE)
        cached_idle(&resolve->domains, &domain->cached);
    if (domain->stage == IDLE && (!good || now >= domain->refresh))
        start(resolve, domain);
    if (good)
        answer_now(resolve, name, held);
}

/* A busy domain loses its answer; a busy host's addresses count as outlived, so they are asked for anew. */
void resolve_flush(struct resolve *resolve)
{
    struct map_entry *at = NULL;
    cache_flush_idle(&resolve->domains);
    cache_flush_idle(&resolve->hosts);
    for (struct cached *cached; (cached = map_next(&resolve->domains.map, &at)) != NULL;)
        mx_answer_drop(&list_item(cached, struct domain, cached)->answer);
    at = NULL;
    for (struct cached *cached; (cached = map_next(&resolve->hosts.map, &at)) != NULL;)
        for (int f = 0; f < FAMILIES; f++) {
            struct family *family = &list_item(cached, struct host, cached)->families[f];
            family->refresh = family->expires = 0;
        }
}
