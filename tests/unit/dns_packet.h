/* dns_packet - DNS answers made by hand, for the tests
 *
 *     struct dns_packet p = dns_packet_answer("example.com", DNS_MX, DNS_NOERROR);
 *     dns_packet_mx(&p, "example.com", 300, 10, "mx.example.com");
 *     ... p.bytes, p.len
 * Names are written uncompressed unless they repeat the question's, then as a pointer to it. Records go into
 * the answer section in the order of the calls; dns_packet_soa() and dns_packet_ns() into the authority
 * section, so they come last. */
#ifndef TESTS_UNIT_DNS_PACKET_H
#define TESTS_UNIT_DNS_PACKET_H

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "proto/dns_answer.h"

struct dns_packet {
    uint8_t bytes[65535];
    size_t len;
    char question[DNS_NAME_SIZE];
};

static inline void dns_packet_u16(struct dns_packet *p, unsigned value)
{
    assert(p->len + 2 <= sizeof p->bytes);
    p->bytes[p->len++] = (uint8_t)(value >> 8);
    p->bytes[p->len++] = (uint8_t)value;
}

static inline void dns_packet_u32(struct dns_packet *p, uint32_t value)
{
    dns_packet_u16(p, value >> 16);
    dns_packet_u16(p, value & 0xffff);
}

static inline void dns_packet_name(struct dns_packet *p, const char *name)
{
    if (p->question[0] != '\0' && strcmp(name, p->question) == 0) {
        dns_packet_u16(p, 0xc00c);
        return;
    }
    while (*name != '\0') {
        size_t len = strcspn(name, ".");
        assert(len < 64 && p->len + len + 2 <= sizeof p->bytes);
        p->bytes[p->len++] = (uint8_t)len;
        memcpy(p->bytes + p->len, name, len);
        p->len += len;
        name += len + (name[len] == '.');
    }
    p->bytes[p->len++] = 0;
}

static inline void dns_packet_bump(struct dns_packet *p, size_t counter_at)
{
    unsigned n = (unsigned)(p->bytes[counter_at] << 8 | p->bytes[counter_at + 1]) + 1;
    p->bytes[counter_at] = (uint8_t)(n >> 8);
    p->bytes[counter_at + 1] = (uint8_t)n;
}

static inline struct dns_packet dns_packet_answer(const char *name, enum dns_type type, int rcode)
{
    struct dns_packet p = {.len = 0};
    dns_packet_u16(&p, 0x1234);
    dns_packet_u16(&p, 0x8180u | (unsigned)rcode);
    dns_packet_u16(&p, 1);
    dns_packet_u16(&p, 0);
    dns_packet_u16(&p, 0);
    dns_packet_u16(&p, 0);
    dns_packet_name(&p, name);
    dns_packet_u16(&p, (unsigned)type);
    dns_packet_u16(&p, 1);
    snprintf(p.question, sizeof p.question, "%s", name);
    return p;
}

/* The front of a record; returns where its length stands, for dns_packet_end. */
static inline size_t dns_packet_begin(
    struct dns_packet *p, const char *owner, unsigned type, uint32_t ttl, size_t counter_at)
{
    dns_packet_name(p, owner);
    dns_packet_u16(p, type);
    dns_packet_u16(p, 1);
    dns_packet_u32(p, ttl);
    dns_packet_u16(p, 0);
    dns_packet_bump(p, counter_at);
    return p->len - 2;
}

static inline void dns_packet_end(struct dns_packet *p, size_t at)
{
    size_t len = p->len - at - 2;
    p->bytes[at] = (uint8_t)(len >> 8);
    p->bytes[at + 1] = (uint8_t)len;
}

static inline void dns_packet_mx(
    struct dns_packet *p, const char *owner, uint32_t ttl, unsigned preference, const char *exchange)
{
    size_t at = dns_packet_begin(p, owner, DNS_MX, ttl, 6);
    dns_packet_u16(p, preference);
    dns_packet_name(p, exchange);
    dns_packet_end(p, at);
}

static inline void dns_packet_cname(struct dns_packet *p, const char *owner, uint32_t ttl, const char *target)
{
    size_t at = dns_packet_begin(p, owner, DNS_CNAME, ttl, 6);
    dns_packet_name(p, target);
    dns_packet_end(p, at);
}

/* An A or AAAA record, by the look of the address. */
static inline void dns_packet_address(
    struct dns_packet *p, const char *owner, uint32_t ttl, const char *address)
{
    int v6 = strchr(address, ':') != NULL;
    size_t at = dns_packet_begin(p, owner, v6 ? DNS_AAAA : DNS_A, ttl, 6);
    int ok = inet_pton(v6 ? AF_INET6 : AF_INET, address, p->bytes + p->len);
    assert(ok == 1);
    (void)ok;
    p->len += v6 ? 16 : 4;
    dns_packet_end(p, at);
}

static inline void dns_packet_soa(struct dns_packet *p, const char *zone, uint32_t ttl, uint32_t minimum)
{
    size_t at = dns_packet_begin(p, zone, DNS_SOA, ttl, 8);
    dns_packet_name(p, "ns.invalid");
    dns_packet_name(p, "root.invalid");
    for (uint32_t i = 1; i <= 4; i++)
        dns_packet_u32(p, i * 1000);
    dns_packet_u32(p, minimum);
    dns_packet_end(p, at);
}

static inline void dns_packet_ns(struct dns_packet *p, const char *zone, const char *server)
{
    size_t at = dns_packet_begin(p, zone, 2, 3600, 8);
    dns_packet_name(p, server);
    dns_packet_end(p, at);
}

#endif
