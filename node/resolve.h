/* resolve - from a recipient's domain to the hosts that take its mail
 *
 * A core: asked for a domain it answers from its cache or says which DNS questions to put; answers come back
 * as raw packets. RFC 5321 section 5.1: MX by preference; no MX at all = the domain itself (implicit MX); MX
 * to a CNAME is tolerated; a CNAME at the domain is followed. RFC 7505: "MX 0 ." alone = the domain takes no
 * mail. MX present but none with an address = no fallback to A. An MX that names one of our own hosts cuts
 * the list at that preference (loop guard, RFC 5321 5.1); nothing left = loop. Both families are asked for;
 * each host keeps its addresses of both. SERVFAIL, timeouts and garbage are temporary. One lookup a name in
 * flight whatever the number of askers, who share its one answer. Positive answers are kept for their TTL
 * (clamped to 60 s .. 1 day), negative ones for theirs (30 s .. 15 min), temporary failures 15 s. An entry in
 * use is refreshed before it ends (from 90 % of its life on).
 *
 * Time: `now` comes in. Memory: at most RESOLVE_CACHE entries, the least recently used goes first; answers
 * are held by count. Errors: in the answer's status and its sentence (`why`), ready for an operator or a DSN.
 */
#ifndef NODE_RESOLVE_H
#define NODE_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "proto/dns_answer.h"

#define RESOLVE_CACHE 65536
#define MX_MAX_HOSTS 20
#define MX_MAX_ADDRESSES 16

enum mx_status {
    MX_OK,
    MX_NULL,       /* RFC 7505: 556 5.1.10, permanent */
    MX_NO_DOMAIN,  /* NXDOMAIN, or neither MX nor address: permanent 5.1.2 */
    MX_NO_ADDRESS, /* MX hosts without any address: retried as 4.4.4, permanent only by age */
    MX_LOOP,       /* we are the best MX ourselves: permanent 5.4.6 */
    MX_TEMPORARY,  /* DNS could not be asked: 4.4.3 */
};

struct mx_host {
    char name[DNS_NAME_SIZE];
    uint16_t preference;
    size_t address_count;
    struct mx_address {
        int family; /* AF_INET, AF_INET6 */
        uint8_t bytes[16];
    } addresses[MX_MAX_ADDRESSES];
};

/* Constant once given out. */
struct mx_answer {
    unsigned holders;
    enum mx_status status;
    bool implicit; /* no MX records, the domain's own address is used */
    usec_t expires;
    char why[256];     /* for all but MX_OK: a sentence */
    size_t host_count; /* hosts with at least one address, by preference (equal ones in the order of the
                          answer) */
    struct mx_host hosts[];
};

struct mx_answer *mx_answer_hold(struct mx_answer *answer);
void mx_answer_drop(struct mx_answer **answer);

/* What the owner is asked to do; set once at the start. */
struct resolve_ports {
    void *context;
    /* Put this question to a DNS server; the answer (or failure) comes back by resolve_packet /
     * resolve_failed with the same name and type. */
    void (*ask)(void *context, const char *name, enum dns_type type);
    /* A domain's answer; called from within resolve_* calls (also from resolve_domain itself on a cache hit).
     * `answer` is only lent. */
    void (*answered)(void *context, const char *domain, struct mx_answer *answer);
};

struct resolve;
/* `own_names`: our HELO names and host names, lower-case, for the loop guard; copied. */
struct resolve *resolve_new(
    const struct resolve_ports *ports, const char *const *own_names, size_t own_count);
void resolve_free(struct resolve **resolve);
/* Wants the MX answer for a lower-case A-label domain; an address literal "[192.0.2.1]" / "[IPv6:...]" is
 * answered without DNS. */
void resolve_domain(struct resolve *resolve, const char *domain, usec_t now);
void resolve_packet(struct resolve *resolve, const char *name, enum dns_type type, const uint8_t *packet,
    size_t len, usec_t now);
void resolve_failed(
    struct resolve *resolve, const char *name, enum dns_type type, const char *why, usec_t now);
/* Forgets everything kept (not what is under way). */
void resolve_flush(struct resolve *resolve);

#endif
