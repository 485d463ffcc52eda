/* dns_answer - reads a raw DNS answer
 *
 * c-ares hands out MX answers without their TTL, so the packet itself is read here (RFC 1035 section 4, RFC
 * 2308 for negative answers), with every length checked: the bytes come from strangers. What is read: the
 * answer section's MX, A, AAAA records for the name asked or the end of its CNAME chain (at most 16 links),
 * with TTLs (the smallest along the chain), the response code, TC, AD, and for negative answers the TTL from
 * the SOA. Names come out lower-case, without the last dot; a root name is "". Names with bytes outside LDH
 * and '_' are kept escaped (\DDD), so they never match a real host.
 *
 * Memory: a plain value of bounded size (DNS_MAX_RECORDS); more records are dropped and `cut` says so. */
#ifndef PROTO_DNS_ANSWER_H
#define PROTO_DNS_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define DNS_NAME_SIZE 256
#define DNS_MAX_RECORDS 64

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_SOA = 6, DNS_MX = 15, DNS_AAAA = 28 };
enum dns_rcode { DNS_NOERROR = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_REFUSED = 5 };

struct dns_record {
    enum dns_type type;
    uint16_t preference;      /* MX */
    char name[DNS_NAME_SIZE]; /* MX: the exchange */
    uint8_t address[16];      /* A (4 bytes), AAAA */
};

struct dns_answer {
    int rcode;
    bool truncated, authentic, cut;
    uint32_t ttl; /* seconds: smallest of the records used, or the negative TTL (0 if no SOA) */
    size_t count;
    struct dns_record records[DNS_MAX_RECORDS];
};

/* Reads the answer to a question for (name, type). 0, or -1 with what is wrong with the packet (also: the
 * question section does not repeat the question asked). */
int dns_answer_read(const uint8_t *packet, size_t len, const char *name, enum dns_type type,
    struct dns_answer *answer_r, struct error *error);

#endif
