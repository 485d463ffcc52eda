/* resolve_mx - which hosts take a domain's mail, and in which order
 *
 * The rules of RFC 5321 section 5.1 and RFC 7505 as two steps without state: an MX answer becomes a plan (the
 * hosts whose addresses are needed), a plan and its hosts' addresses become the domain's answer.
 *
 * Time: `now` comes in. Memory: an answer is one block, held by count. Errors: in the status, and a sentence
 * in `why`. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "node/resolve_inner.h"

/* Names are cut to this many bytes inside of sentences. */
#define NAME "%.90s"

struct mx_answer *mx_answer_hold(struct mx_answer *answer)
{
    answer->holders++;
    return answer;
}

void mx_answer_drop(struct mx_answer **answer)
{
    struct mx_answer *a = *answer;
    *answer = NULL;
    if (a == NULL)
        return;
    must(a->holders > 0);
    if (--a->holders == 0)
        free(a);
}

static struct mx_answer *answer_new(enum mx_status status, size_t host_count, usec_t expires)
{
    struct mx_answer *answer = xcalloc(1, sizeof *answer + host_count * sizeof answer->hosts[0]);
    answer->holders = 1;
    answer->status = status;
    answer->expires = expires;
    return answer;
}

struct mx_answer *mx_answer_bad(enum mx_status status, const char *why, usec_t expires)
{
    struct mx_answer *answer = answer_new(status, 0, expires);
    snprintf(answer->why, sizeof answer->why, "%s", why);
    return answer;
}

/* RFC 1035 section 2.3.4 for the lengths; letters, digits, '-' and '_' only, since anything else would reach
 * the DNS as another name. ".onion" never belongs into the DNS (RFC 7686). */
bool mx_domain_valid(const char *domain)
{
    size_t len = strlen(domain), label = 0;
    if (len == 0 || len > 253)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = domain[i];
        if (c == '.' && label == 0)
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63 || (c != '.' && strchr("abcdefghijklmnopqrstuvwxyz0123456789-_", c) == NULL))
            return false;
    }
    bool onion = strcmp(domain, "onion") == 0 || (len > 6 && strcmp(domain + len - 6, ".onion") == 0);
    return label > 0 && !onion;
}

/* RFC 5321 section 4.1.3: "[192.0.2.1]", "[IPv6:2001:db8::1]". */
struct mx_answer *mx_answer_literal(const char *domain, usec_t now)
{
    char text[64] = "";
    struct mx_address address = {0};
    size_t len = strlen(domain);
    bool v6 = strncasecmp(domain, "[ipv6:", 6) == 0;
    size_t front = v6 ? 6 : 1;
    if (len > front && domain[len - 1] == ']' && len - front - 1 < sizeof text)
        memcpy(text, domain + front, len - front - 1);
    address.family = v6 ? AF_INET6 : AF_INET;
    if (inet_pton(address.family, text, address.bytes) != 1) {
        char why[256];
        snprintf(
            why, sizeof why, NAME " is no address literal (\"[192.0.2.1]\", \"[IPv6:2001:db8::1]\")", domain);
        return mx_answer_bad(MX_NO_DOMAIN, why, now + POSITIVE_MAX);
    }
    struct mx_answer *answer = answer_new(MX_OK, 1, now + POSITIVE_MAX);
    answer->implicit = true;
    answer->host_count = 1;
    snprintf(answer->hosts[0].name, sizeof answer->hosts[0].name, "%s", domain);
    answer->hosts[0].address_count = 1;
    answer->hosts[0].addresses[0] = address;
    return answer;
}

struct exchange {
    const char *name;
    uint16_t preference;
};

/* The answer's exchanges by preference, equal ones in their order, each name once; a null MX among others is
 * left out (RFC 7505 section 3 allows it alone only). */
static size_t sort_exchanges(const struct dns_answer *answer, struct exchange sorted[DNS_MAX_RECORDS])
{
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < answer->count; i++) {
        const struct dns_record *record = &answer->records[i];
        size_t at = count;
        if (record->name[0] == '\0')
            continue;
        for (; at > 0 && sorted[at - 1].preference > record->preference; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = (struct exchange){record->name, record->preference};
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        bool seen = false;
        for (size_t k = 0; k < kept && !seen; k++)
            seen = strcmp(sorted[k].name, sorted[i].name) == 0;
        if (!seen)
            sorted[kept++] = sorted[i];
    }
    return kept;
}

static void plan_add(struct mx_plan *plan, const char *name, uint16_t preference)
{
    /* An escaped name is no host's, and asked for it would be another name. */
    if (plan->count == MX_MAX_HOSTS || strchr(name, '\\') != NULL)
        return;
    struct mx_plan_host *host = &plan->hosts[plan->count++];
    host->preference = preference;
    snprintf(host->name, sizeof host->name, "%s", name);
}

static void plan_bad(struct mx_plan *plan, enum mx_status status)
{
    plan->status = status;
}

static void plan_exchanges(struct mx_plan *plan, const char *domain, const struct exchange *sorted,
    size_t count, const struct map *own_names)
{
    const struct exchange *own = NULL;
    for (size_t i = 0; i < count && own == NULL; i++)
        if (map_get_text(own_names, sorted[i].name) != NULL)
            own = &sorted[i];
    /* RFC 5321 section 5.1: hosts as bad as ourselves or worse must not be tried. */
    for (size_t i = 0; i < count && (own == NULL || sorted[i].preference < own->preference); i++)
        plan_add(plan, sorted[i].name, sorted[i].preference);
    if (plan->count > 0)
        return;
    plan_bad(plan, own != NULL ? MX_LOOP : MX_NO_ADDRESS);
    if (own != NULL)
        snprintf(plan->why, sizeof plan->why,
            "the best mail host of " NAME " is this sender itself (" NAME "): its mail would loop", domain,
            own->name);
    else
        snprintf(plan->why, sizeof plan->why, "the mail hosts of " NAME " have no valid names", domain);
}

/* No MX record: the domain is its own mail host. */
static void plan_implicit(struct mx_plan *plan, const char *domain, const struct map *own_names)
{
    plan->implicit = true;
    if (map_get_text(own_names, domain) == NULL) {
        plan_add(plan, domain, 0);
        return;
    }
    plan_bad(plan, MX_LOOP);
    snprintf(plan->why, sizeof plan->why,
        NAME " is this sender itself and has no MX record: its mail would loop", domain);
}

void mx_plan_make(struct mx_plan *plan_r, const char *domain, const struct dns_answer *answer,
    const struct map *own_names, usec_t now)
{
    struct exchange sorted[DNS_MAX_RECORDS];
    plan_r->status = MX_OK;
    plan_r->implicit = false;
    plan_r->count = 0;
    plan_r->why[0] = '\0';
    plan_r->expires = answer->count > 0 ? life_positive(answer->ttl, now) : life_negative(answer->ttl, now);
    size_t count = sort_exchanges(answer, sorted);
    if (answer->rcode == DNS_NXDOMAIN) {
        plan_bad(plan_r, MX_NO_DOMAIN);
        snprintf(plan_r->why, sizeof plan_r->why, "the domain " NAME " does not exist", domain);
    } else if (answer->count == 0) {
        plan_implicit(plan_r, domain, own_names);
    } else if (count == 0) {
        plan_bad(plan_r, MX_NULL);
        snprintf(plan_r->why, sizeof plan_r->why, NAME " takes no mail (null MX, RFC 7505)", domain);
    } else {
        plan_exchanges(plan_r, domain, sorted, count, own_names);
    }
}

static void add_addresses(struct mx_host *host, const struct family *family, int af)
{
    for (size_t i = 0; i < family->count && host->address_count < MX_MAX_ADDRESSES; i++) {
        struct mx_address *address = &host->addresses[host->address_count++];
        address->family = af;
        memcpy(address->bytes, family->addresses[i], sizeof address->bytes);
    }
}

/* Both families get room: half of it each, more where the other leaves some. */
static void fill_host(struct mx_host *to, const struct mx_plan_host *planned, const struct host *from)
{
    struct family v4 = from->families[V4];
    size_t half = MX_MAX_ADDRESSES / 2, v6 = from->families[V6].count;
    size_t room = v6 < half ? MX_MAX_ADDRESSES - v6 : half;
    snprintf(to->name, sizeof to->name, "%s", planned->name);
    to->preference = planned->preference;
    v4.count = v4.count < room ? v4.count : room;
    add_addresses(to, &v4, AF_INET);
    add_addresses(to, &from->families[V6], AF_INET6);
}

static const struct family *failed_family(const struct host *host)
{
    for (int f = 0; f < FAMILIES; f++)
        if (host->families[f].state == FAMILY_FAILED)
            return &host->families[f];
    return NULL;
}

/* When to ask again: with the first address that ends; soon when a host's addresses could not be asked. */
static usec_t compose_expires(const struct mx_plan *plan, struct host *const *hosts, usec_t now)
{
    usec_t expires = plan->expires;
    for (size_t i = 0; i < plan->count; i++) {
        const struct family *families = hosts[i]->families;
        bool some = families[V4].count + families[V6].count > 0;
        for (int f = 0; f < FAMILIES; f++)
            if ((families[f].count > 0 || !some) && families[f].expires < expires)
                expires = families[f].expires;
    }
    return expires < now + NEGATIVE_MIN ? now + NEGATIVE_MIN : expires;
}

static struct mx_answer *compose_none(
    const struct mx_plan *plan, const char *domain, struct host *const *hosts, usec_t now)
{
    char why[256];
    for (size_t i = 0; i < plan->count; i++) {
        const struct family *failed = failed_family(hosts[i]);
        if (failed == NULL)
            continue;
        snprintf(why, sizeof why, "the addresses of " NAME " could not be looked up: %s", plan->hosts[i].name,
            failed->why);
        return mx_answer_bad(MX_TEMPORARY, why, now + FAILED_TTL);
    }
    usec_t expires = compose_expires(plan, hosts, now);
    if (plan->implicit)
        snprintf(why, sizeof why, "the domain " NAME " has neither MX nor address records", domain);
    else
        snprintf(why, sizeof why, "no mail host of " NAME " has an address (the best is " NAME ")", domain,
            plan->hosts[0].name);
    return mx_answer_bad(plan->implicit ? MX_NO_DOMAIN : MX_NO_ADDRESS, why, expires);
}

struct mx_answer *mx_answer_compose(
    const struct mx_plan *plan, const char *domain, struct host *const *hosts, usec_t now)
{
    size_t usable = 0;
    for (size_t i = 0; i < plan->count; i++)
        usable += hosts[i]->families[V4].count + hosts[i]->families[V6].count > 0;
    if (usable == 0)
        return compose_none(plan, domain, hosts, now);
    usec_t expires = compose_expires(plan, hosts, now);
    if (expires < now + POSITIVE_MIN)
        expires = now + POSITIVE_MIN;
    struct mx_answer *answer = answer_new(MX_OK, usable, expires);
    answer->implicit = plan->implicit;
    for (size_t i = 0; i < plan->count; i++)
        if (hosts[i]->families[V4].count + hosts[i]->families[V6].count > 0)
            fill_host(&answer->hosts[answer->host_count++], &plan->hosts[i], hosts[i]);
    return answer;
}
