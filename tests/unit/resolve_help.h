/* resolve_help - a resolver, whoever asks it and whoever answers it, for the tests
 *
 *     want("d.test");
 *     GIVE("d.test", DNS_MX, 300, "10 a.test", "20 b.test");
 *     give_host("a.test", 300, "192.0.2.1");
 *     GIVE("b.test", DNS_A, 300, NODATA); ...
 *     expect_hosts("a.test/1");
 * Each of the calls that give takes the question out of those asked, and fails if nobody asked it. Each that
 * expects wants exactly one answer since the last time. */
#ifndef TESTS_UNIT_RESOLVE_HELP_H
#define TESTS_UNIT_RESOLVE_HELP_H

#include "dns_packet.h"
#include "node/resolve.h"

enum { ASKED_MAX = 256 };

/* The owner: remembers what was asked for and keeps the last answer. */
extern struct world {
    struct resolve *resolve;
    size_t asked_count, asked_total, answered_count;
    struct {
        char name[DNS_NAME_SIZE];
        enum dns_type type;
    } asked[ASKED_MAX];
    char domain[DNS_NAME_SIZE];
    struct mx_answer *answer;
    const char *then; /* a domain to ask for from within `answered` */
    usec_t now;
} w;

int set_up(void **state);
int tear_down(void **state);

/* Takes the question out of what was asked; false if it wasn't. */
bool asked(const char *name, enum dns_type type);
void want(const char *domain);

void give(const char *name, enum dns_type type, const struct dns_packet *p);
/* One MX or address record for each text ("10 mx.test", "192.0.2.1"), up to a null; none = NODATA. */
void give_records(const char *name, enum dns_type type, uint32_t ttl, const char *const *records);
#define GIVE(name, type, ttl, ...)                                                                           \
    give_records((name), (type), (ttl), (const char *const[]){__VA_ARGS__, NULL})
#define NODATA NULL
void give_code(const char *name, enum dns_type type, int rcode);
void give_failure(const char *name, enum dns_type type);
/* A host with one address of one family. */
void give_host(const char *name, uint32_t ttl, const char *v4);

void expect_status(enum mx_status status);
/* The answer's hosts as "mx1/1 mx2/2": the names and how many addresses each has. */
void expect_hosts(const char *hosts);
/* How long the last answer is good for, in seconds. */
usec_t life(void);

#endif
