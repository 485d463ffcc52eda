/* layout - the world outside: recipient domains, the MX sets behind them, the hosts
 *
 * A site is one set of MX hosts. Sites 0 and 1 are different sets of the same configured provider (alpha), 2
 * and 3 are configured providers of their own, the others have the limits of the default. */
#ifndef SIM_LAYOUT_H
#define SIM_LAYOUT_H

#include "node/resolve.h"
#include "tests/sim/sim.h"

enum { SITE_HOSTS = 3, LAYOUT_DOMAINS = 16, DOMAIN_NULL_MX = -1, DOMAIN_MISSING = -2 };

struct host {
    char name[48];
    struct mx_address address;
    int site;
    bool pipelining, eight_bit, starttls, size;
    usec_t refuse_until, hang_until;
};

struct site {
    const char *name;
    int provider; /* index of the lane's provider: the lowest site with the same limits and name */
    int host_count;
    struct host hosts[SITE_HOSTS];
};

struct layout {
    struct site sites[SIM_PROVIDERS];
    struct {
        char name[32];
        int site; /* or DOMAIN_... */
        usec_t broken_until;
    } domains[LAYOUT_DOMAINS];
};

struct layout *layout_new(struct sim *sim);
void layout_free(struct layout **layout);
struct host *layout_host(struct layout *layout, const struct mx_address *address);
/* Index of a domain, or -1. */
int layout_domain(const struct sim *sim, const char *name);

#endif
