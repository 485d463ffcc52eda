/* From a domain to its mail hosts: each rule of node/resolve.h, with packets made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dns_packet.h"
#include "node/resolve.h"

enum { ASKED_MAX = 256 };

/* The owner: remembers what was asked for and keeps the last answer. */
static struct world {
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

static void on_ask(void *context, const char *name, enum dns_type type)
{
    assert_ptr_equal(context, &w);
    w.asked_total++;
    if (w.asked_count == ASKED_MAX)
        return;
    snprintf(w.asked[w.asked_count].name, DNS_NAME_SIZE, "%s", name);
    w.asked[w.asked_count++].type = type;
}

static void on_answered(void *context, const char *domain, struct mx_answer *answer)
{
    assert_ptr_equal(context, &w);
    w.answered_count++;
    snprintf(w.domain, sizeof w.domain, "%s", domain);
    mx_answer_drop(&w.answer);
    w.answer = mx_answer_hold(answer);
    const char *then = w.then;
    w.then = NULL;
    if (then != NULL)
        resolve_domain(w.resolve, then, w.now);
}

static int set_up(void **state)
{
    (void)state;
    static const char *const own[] = {"mx1.us.test", "mx2.us.test"};
    const struct resolve_ports ports = {&w, on_ask, on_answered};
    w = (struct world){.now = USEC_DAY};
    w.resolve = resolve_new(&ports, own, 2);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    resolve_free(&w.resolve);
    mx_answer_drop(&w.answer);
    return 0;
}

/* Takes the question out of what was asked; false if it wasn't. */
static bool asked(const char *name, enum dns_type type)
{
    for (size_t i = 0; i < w.asked_count; i++)
        if (w.asked[i].type == type && strcmp(w.asked[i].name, name) == 0) {
            w.asked[i] = w.asked[--w.asked_count];
            return true;
        }
    return false;
}

static void want(const char *domain)
{
    resolve_domain(w.resolve, domain, w.now);
}

static void give(const char *name, enum dns_type type, const struct dns_packet *p)
{
    assert_true(asked(name, type));
    resolve_packet(w.resolve, name, type, p->bytes, p->len, w.now);
}

/* One MX or address record for each text ("10 mx.test", "192.0.2.1"), up to a null; none = NODATA. */
static void give_records(const char *name, enum dns_type type, uint32_t ttl, const char *const *records)
{
    struct dns_packet p = dns_packet_answer(name, type, DNS_NOERROR);
    if (records[0] == NULL)
        dns_packet_soa(&p, "test", ttl, ttl);
    for (; *records != NULL; records++) {
        const char *space = strchr(*records, ' ');
        if (type == DNS_MX)
            dns_packet_mx(&p, name, ttl, (unsigned)atoi(*records), space + 1);
        else
            dns_packet_address(&p, name, ttl, *records);
    }
    give(name, type, &p);
}

#define GIVE(name, type, ttl, ...)                                                                           \
    give_records((name), (type), (ttl), (const char *const[]){__VA_ARGS__, NULL})
#define NODATA NULL

static void give_code(const char *name, enum dns_type type, int rcode)
{
    struct dns_packet p = dns_packet_answer(name, type, rcode);
    if (rcode == DNS_NXDOMAIN)
        dns_packet_soa(&p, "test", 300, 300);
    give(name, type, &p);
}

static void give_failure(const char *name, enum dns_type type)
{
    assert_true(asked(name, type));
    resolve_failed(w.resolve, name, type, "no DNS server answered", w.now);
}

/* A host with one address of one family. */
static void give_host(const char *name, uint32_t ttl, const char *v4)
{
    GIVE(name, DNS_A, ttl, v4);
    GIVE(name, DNS_AAAA, ttl, NODATA);
}

static void expect_status(enum mx_status status)
{
    assert_int_equal(w.answered_count, 1);
    w.answered_count = 0;
    assert_non_null(w.answer);
    if (w.answer->status != status)
        print_message("why: %s\n", w.answer->why);
    assert_int_equal(w.answer->status, status);
    assert_true((w.answer->why[0] == '\0') == (status == MX_OK));
    assert_true((w.answer->host_count > 0) == (status == MX_OK));
}

/* The answer's hosts as "mx1/1 mx2/2": the names and how many addresses each has. */
static void expect_hosts(const char *hosts)
{
    char text[2048] = "";
    expect_status(MX_OK);
    for (size_t i = 0; i < w.answer->host_count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s/%zu", i > 0 ? " " : "",
            w.answer->hosts[i].name, w.answer->hosts[i].address_count);
    assert_string_equal(text, hosts);
}

static usec_t life(void)
{
    return (w.answer->expires - w.now) / USEC_SEC;
}

static void hosts_come_by_preference(void **state)
{
    (void)state;
    want("d.test");
    assert_int_equal(w.asked_count, 1);
    GIVE("d.test", DNS_MX, 300, "30 c.test", "10 b.test", "10 a.test", "20 e.test");
    assert_int_equal(w.asked_count, 8);
    give_host("c.test", 300, "192.0.2.3");
    give_host("b.test", 300, "192.0.2.2");
    GIVE("a.test", DNS_A, 300, "192.0.2.1", "192.0.2.11");
    GIVE("a.test", DNS_AAAA, 300, "2001:db8::1");
    assert_int_equal(w.answered_count, 0);
    give_host("e.test", 300, "192.0.2.5");
    expect_hosts("b.test/1 a.test/3 e.test/1 c.test/1");
    assert_string_equal(w.domain, "d.test");
    assert_false(w.answer->implicit);
    assert_int_equal(w.answer->hosts[0].preference, 10);
    assert_int_equal(w.answer->hosts[3].preference, 30);
    const struct mx_address *addresses = w.answer->hosts[1].addresses;
    assert_int_equal(addresses[0].family, AF_INET);
    assert_memory_equal(addresses[0].bytes, "\xc0\x00\x02\x01", 4);
    assert_int_equal(addresses[2].family, AF_INET6);
    assert_int_equal(addresses[2].bytes[15], 1);
}

static void a_host_named_twice_stands_at_its_best_place(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, "20 a.test", "10 a.test", "15 b.test");
    assert_int_equal(w.asked_count, 4);
    give_host("a.test", 300, "192.0.2.1");
    give_host("b.test", 300, "192.0.2.2");
    expect_hosts("a.test/1 b.test/1");
    assert_int_equal(w.answer->hosts[0].preference, 10);
}

static void without_mx_the_domain_itself_is_meant(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, NODATA);
    give_host("d.test", 300, "192.0.2.1");
    expect_hosts("d.test/1");
    assert_true(w.answer->implicit);
    assert_int_equal(life(), 300);
}

static void neither_mx_nor_address_is_no_domain(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, NODATA);
    GIVE("d.test", DNS_A, 200, NODATA);
    GIVE("d.test", DNS_AAAA, 300, NODATA);
    expect_status(MX_NO_DOMAIN);
    assert_int_equal(life(), 200);
}

static void a_null_mx_alone_takes_no_mail(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 7200, "0 ");
    expect_status(MX_NULL);
    assert_int_equal(w.asked_count, 0);
    assert_int_equal(life(), 7200);
}

static void a_null_mx_among_others_is_ignored(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, "0 ", "10 a.test");
    give_host("a.test", 300, "192.0.2.1");
    expect_hosts("a.test/1");
}

static void a_cname_at_the_domain_is_followed(void **state)
{
    (void)state;
    want("d.test");
    struct dns_packet p = dns_packet_answer("d.test", DNS_MX, DNS_NOERROR);
    dns_packet_cname(&p, "d.test", 100, "e.test");
    dns_packet_mx(&p, "e.test", 500, 10, "a.test");
    give("d.test", DNS_MX, &p);
    give_host("a.test", 300, "192.0.2.1");
    expect_hosts("a.test/1");
    assert_int_equal(life(), 100);
}

static void an_mx_that_is_a_cname_is_tolerated(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, "10 alias.test");
    struct dns_packet p = dns_packet_answer("alias.test", DNS_A, DNS_NOERROR);
    dns_packet_cname(&p, "alias.test", 300, "real.test");
    dns_packet_address(&p, "real.test", 300, "192.0.2.9");
    give("alias.test", DNS_A, &p);
    GIVE("alias.test", DNS_AAAA, 300, NODATA);
    expect_hosts("alias.test/1");
}

static void hosts_not_better_than_ourselves_are_cut(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, "10 a.test", "20 b.test", "20 mx1.us.test", "30 c.test");
    give_host("a.test", 300, "192.0.2.1");
    expect_hosts("a.test/1");
}

static void being_the_best_host_ourselves_is_a_loop(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, "10 b.test", "10 mx2.us.test", "30 c.test");
    expect_status(MX_LOOP);
    assert_non_null(strstr(w.answer->why, "mx2.us.test"));
    want("mx1.us.test");
    GIVE("mx1.us.test", DNS_MX, 300, NODATA);
    expect_status(MX_LOOP);
    assert_int_equal(w.asked_count, 0);
}

static void mx_without_addresses_do_not_fall_back(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, "10 a.test", "20 b.test");
    give_code("a.test", DNS_A, DNS_NXDOMAIN);
    give_code("a.test", DNS_AAAA, DNS_NXDOMAIN);
    GIVE("b.test", DNS_A, 300, NODATA);
    GIVE("b.test", DNS_AAAA, 300, NODATA);
    expect_status(MX_NO_ADDRESS);
    assert_false(asked("d.test", DNS_A));
}

static void mx_with_impossible_names_have_no_address(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, "10 not a host.test");
    expect_status(MX_NO_ADDRESS);
    assert_int_equal(w.asked_count, 0);
}

static void a_host_without_address_is_left_out(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, "10 a.test", "20 b.test");
    GIVE("a.test", DNS_A, 300, NODATA);
    GIVE("a.test", DNS_AAAA, 300, NODATA);
    give_host("b.test", 300, "192.0.2.1");
    expect_hosts("b.test/1");
}

static void nxdomain_is_no_domain(void **state)
{
    (void)state;
    want("d.test");
    give_code("d.test", DNS_MX, DNS_NXDOMAIN);
    expect_status(MX_NO_DOMAIN);
    assert_non_null(strstr(w.answer->why, "d.test does not exist"));
    assert_int_equal(life(), 300);
}

static void trouble_with_dns_is_temporary(void **state)
{
    (void)state;
    static const int codes[] = {DNS_SERVFAIL, DNS_REFUSED, DNS_FORMERR, 4, 9};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        want("d.test");
        give_code("d.test", DNS_MX, codes[i]);
        expect_status(MX_TEMPORARY);
        assert_int_equal(life(), 15);
        w.now += 15 * USEC_SEC;
    }
    want("d.test");
    give_failure("d.test", DNS_MX);
    expect_status(MX_TEMPORARY);
    w.now += 15 * USEC_SEC;

    want("d.test");
    assert_true(asked("d.test", DNS_MX));
    resolve_packet(w.resolve, "d.test", DNS_MX, (const uint8_t *)"garbage", 7, w.now);
    expect_status(MX_TEMPORARY);
    w.now += 15 * USEC_SEC;

    want("d.test");
    struct dns_packet p = dns_packet_answer("d.test", DNS_MX, DNS_NOERROR);
    p.bytes[2] |= 2; /* still truncated */
    give("d.test", DNS_MX, &p);
    expect_status(MX_TEMPORARY);
}

static void one_family_that_fails_does_no_harm(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, "10 a.test", "20 b.test");
    GIVE("a.test", DNS_A, 300, "192.0.2.1");
    give_failure("a.test", DNS_AAAA);
    give_failure("b.test", DNS_A);
    GIVE("b.test", DNS_AAAA, 300, "2001:db8::1");
    expect_hosts("a.test/1 b.test/1");
    assert_int_equal(life(), 300);
}

static void addresses_that_cannot_be_asked_are_temporary(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, "10 a.test");
    GIVE("a.test", DNS_A, 300, NODATA);
    give_code("a.test", DNS_AAAA, DNS_SERVFAIL);
    expect_status(MX_TEMPORARY);
    assert_non_null(strstr(w.answer->why, "SERVFAIL"));
    want("d.test");
    expect_status(MX_TEMPORARY);
    w.now += 15 * USEC_SEC;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, "10 a.test");
    assert_false(asked("a.test", DNS_A)); /* that is known */
    GIVE("a.test", DNS_AAAA, 300, "2001:db8::1");
    expect_hosts("a.test/1");
}

/* A better host may come back any moment: look again soon. */
static void an_answer_without_a_failed_host_is_short(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 3600, "10 a.test", "20 b.test");
    give_failure("a.test", DNS_A);
    give_failure("a.test", DNS_AAAA);
    give_host("b.test", 3600, "192.0.2.1");
    expect_hosts("b.test/1");
    assert_int_equal(life(), 60);
}

static void a_domain_is_looked_up_once_for_all(void **state)
{
    (void)state;
    want("d.test");
    want("d.test");
    want("d.test");
    assert_int_equal(w.asked_total, 1);
    GIVE("d.test", DNS_MX, 300, "10 a.test");
    want("d.test");
    assert_int_equal(w.asked_total, 3);
    give_host("a.test", 300, "192.0.2.1");
    expect_hosts("a.test/1");
}

static void domains_share_their_hosts(void **state)
{
    (void)state;
    want("d.test");
    want("e.test");
    GIVE("d.test", DNS_MX, 300, "10 a.test");
    GIVE("e.test", DNS_MX, 300, "10 a.test");
    assert_int_equal(w.asked_total, 4);
    GIVE("a.test", DNS_A, 300, "192.0.2.1");
    assert_int_equal(w.answered_count, 0);
    GIVE("a.test", DNS_AAAA, 300, NODATA);
    assert_int_equal(w.answered_count, 2);
    w.answered_count = 0;
    want("f.test");
    GIVE("f.test", DNS_MX, 300, "10 a.test");
    expect_hosts("a.test/1");
    assert_int_equal(w.asked_total, 5);
}

static void answers_are_kept_for_their_ttl(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 1000, "10 a.test");
    give_host("a.test", 500, "192.0.2.1");
    expect_hosts("a.test/1");
    assert_int_equal(life(), 500);
    w.now += 449 * USEC_SEC;
    want("d.test");
    expect_hosts("a.test/1");
    assert_int_equal(w.asked_count, 0);
    w.now += 51 * USEC_SEC;
    want("d.test");
    assert_int_equal(w.answered_count, 0);
    assert_int_equal(w.asked_count, 1);
}

static void lives_are_clamped(void **state)
{
    (void)state;
    want("short.test");
    GIVE("short.test", DNS_MX, 1, "10 a.test");
    give_host("a.test", 0, "192.0.2.1");
    expect_hosts("a.test/1");
    assert_int_equal(life(), 60);
    want("long.test");
    GIVE("long.test", DNS_MX, 1000000, "10 b.test");
    give_host("b.test", 1000000, "192.0.2.1");
    expect_hosts("b.test/1");
    assert_int_equal(life(), 86400);
    want("none.test");
    GIVE("none.test", DNS_MX, 1, NODATA);
    GIVE("none.test", DNS_A, 1, NODATA);
    GIVE("none.test", DNS_AAAA, 1, NODATA);
    expect_status(MX_NO_DOMAIN);
    assert_int_equal(life(), 30);
    want("nx.test");
    struct dns_packet p = dns_packet_answer("nx.test", DNS_MX, DNS_NXDOMAIN);
    dns_packet_soa(&p, "test", 86400, 86400);
    give("nx.test", DNS_MX, &p);
    expect_status(MX_NO_DOMAIN);
    assert_int_equal(life(), 900);
}

static void an_entry_in_use_is_refreshed_before_it_ends(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 1000, "10 a.test");
    give_host("a.test", 1000, "192.0.2.1");
    expect_hosts("a.test/1");
    w.now += 900 * USEC_SEC;
    want("d.test");
    expect_hosts("a.test/1");
    assert_int_equal(w.asked_count, 1);
    want("d.test");
    expect_hosts("a.test/1");
    assert_int_equal(w.asked_count, 1);
    GIVE("d.test", DNS_MX, 1000, "10 a.test", "20 b.test");
    give_host("a.test", 1000, "192.0.2.1");
    give_host("b.test", 1000, "192.0.2.2");
    assert_int_equal(w.answered_count, 0); /* nobody waited */
    w.now += 200 * USEC_SEC;
    want("d.test");
    expect_hosts("a.test/1 b.test/1");
    assert_int_equal(life(), 800);
}

static void a_failed_refresh_keeps_what_is_there(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 1000, "10 a.test");
    give_host("a.test", 1000, "192.0.2.1");
    expect_hosts("a.test/1");
    w.now += 900 * USEC_SEC;
    want("d.test");
    expect_hosts("a.test/1");
    give_failure("d.test", DNS_MX);
    want("d.test");
    expect_hosts("a.test/1");
    assert_int_equal(w.asked_count, 0);
    w.now += 15 * USEC_SEC;
    want("d.test");
    expect_hosts("a.test/1");
    GIVE("d.test", DNS_MX, 1000, "10 a.test");
    give_failure("a.test", DNS_A); /* still good for 85 s */
    give_failure("a.test", DNS_AAAA);
    w.now += USEC_SEC;
    want("d.test");
    expect_hosts("a.test/1");
    w.now += 90 * USEC_SEC;
    want("d.test");
    give_failure("d.test", DNS_MX);
    expect_status(MX_TEMPORARY);
}

static void a_failing_host_keeps_the_addresses_it_had(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 1000, "10 a.test");
    give_host("a.test", 1000, "192.0.2.1");
    expect_hosts("a.test/1");
    w.now += 950 * USEC_SEC;
    want("e.test");
    GIVE("e.test", DNS_MX, 1000, "10 a.test");
    give_failure("a.test", DNS_A);
    give_failure("a.test", DNS_AAAA);
    expect_hosts("a.test/1");
    w.now += 51 * USEC_SEC;
    want("f.test");
    GIVE("f.test", DNS_MX, 1000, "10 a.test");
    give_failure("a.test", DNS_A);
    give_failure("a.test", DNS_AAAA);
    expect_status(MX_TEMPORARY);
}

/* Outlived while its refresh is under way: then the asker waits. */
static void a_slow_refresh_gets_its_asker(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 1000, "0 ");
    expect_status(MX_NULL);
    w.now += 950 * USEC_SEC;
    want("d.test");
    expect_status(MX_NULL);
    w.now += 51 * USEC_SEC;
    want("d.test");
    assert_int_equal(w.answered_count, 0);
    GIVE("d.test", DNS_MX, 1000, NODATA);
    give_host("d.test", 1000, "192.0.2.1");
    expect_hosts("d.test/1");
}

static void literals_need_no_dns(void **state)
{
    (void)state;
    want("[192.0.2.1]");
    expect_hosts("[192.0.2.1]/1");
    assert_int_equal(w.answer->hosts[0].addresses[0].family, AF_INET);
    assert_memory_equal(w.answer->hosts[0].addresses[0].bytes, "\xc0\x00\x02\x01", 4);
    want("[IPv6:2001:db8::5]");
    expect_hosts("[IPv6:2001:db8::5]/1");
    assert_int_equal(w.answer->hosts[0].addresses[0].family, AF_INET6);
    assert_int_equal(w.answer->hosts[0].addresses[0].bytes[15], 5);
    static const char *const bad[] = {"[", "[]", "[192.0.2]", "[192.0.2.1", "[2001:db8::1]", "[IPv6:]",
        "[IPv6:192.0.2.1]", "[x:y]",
        "[1111111111111111111111111111111111111111111111111111111111111111111111111111111]"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        want(bad[i]);
        expect_status(MX_NO_DOMAIN);
    }
    assert_int_equal(w.asked_total, 0);
}

static void what_is_no_domain_is_not_asked_for(void **state)
{
    (void)state;
    char label[80] = "", longest[300] = "";
    memset(label, 'a', 64);
    for (int i = 0; i < 254; i++)
        longest[i] = i % 2 ? '.' : 'a';
    longest[253] = 'a';
    const char *const bad[] = {"", ".", "a..b", "a.", ".a", "a b.test", "a\\b.test", "\xe3\x81\x82.test",
        "A.test", "a/b.test", "x.onion", "onion", label, longest};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        want(bad[i]);
        expect_status(MX_NO_DOMAIN);
    }
    assert_int_equal(w.asked_total, 0);
    label[63] = '\0';
    want(label);
    assert_int_equal(w.asked_total, 1);
}

static void more_hosts_than_fit_are_left_out_from_the_worst(void **state)
{
    (void)state;
    char name[32];
    struct dns_packet p = dns_packet_answer("d.test", DNS_MX, DNS_NOERROR);
    for (unsigned i = 0; i < 60; i++) {
        snprintf(name, sizeof name, "mx%u.test", 59 - i);
        dns_packet_mx(&p, "d.test", 300, 59 - i, name);
    }
    want("d.test");
    give("d.test", DNS_MX, &p);
    assert_int_equal(w.asked_count, 2 * MX_MAX_HOSTS);
    for (unsigned i = 0; i < MX_MAX_HOSTS; i++) {
        snprintf(name, sizeof name, "mx%u.test", i);
        give_host(name, 300, "192.0.2.1");
    }
    expect_status(MX_OK);
    assert_int_equal(w.answer->host_count, MX_MAX_HOSTS);
    assert_string_equal(w.answer->hosts[19].name, "mx19.test");
}

static void both_families_find_room(void **state)
{
    (void)state;
    char address[32];
    struct dns_packet v4 = dns_packet_answer("a.test", DNS_A, DNS_NOERROR);
    struct dns_packet v6 = dns_packet_answer("a.test", DNS_AAAA, DNS_NOERROR);
    for (int i = 0; i < 30; i++) {
        snprintf(address, sizeof address, "192.0.2.%d", i);
        dns_packet_address(&v4, "a.test", 300, address);
        snprintf(address, sizeof address, "2001:db8::%d", i);
        dns_packet_address(&v6, "a.test", 300, address);
    }
    want("d.test");
    GIVE("d.test", DNS_MX, 300, "10 a.test");
    give("a.test", DNS_A, &v4);
    give("a.test", DNS_AAAA, &v6);
    expect_hosts("a.test/16");
    assert_int_equal(w.answer->hosts[0].addresses[7].family, AF_INET);
    assert_int_equal(w.answer->hosts[0].addresses[8].family, AF_INET6);
}

static void answers_nobody_asked_for_are_ignored(void **state)
{
    (void)state;
    struct dns_packet p = dns_packet_answer("d.test", DNS_MX, DNS_NOERROR);
    dns_packet_mx(&p, "d.test", 300, 0, "");
    resolve_packet(w.resolve, "d.test", DNS_MX, p.bytes, p.len, w.now);
    resolve_failed(w.resolve, "d.test", DNS_A, "no", w.now);
    resolve_failed(w.resolve, "d.test", DNS_SOA, "no", w.now);
    want("d.test");
    GIVE("d.test", DNS_MX, 300, NODATA);
    resolve_packet(w.resolve, "d.test", DNS_MX, p.bytes, p.len, w.now);
    assert_int_equal(w.answered_count, 0);
    give_host("d.test", 300, "192.0.2.1");
    resolve_failed(w.resolve, "d.test", DNS_A, "no", w.now);
    expect_hosts("d.test/1");
}

static void the_owner_may_ask_from_within_an_answer(void **state)
{
    (void)state;
    want("d.test");
    want("e.test");
    GIVE("d.test", DNS_MX, 300, "10 a.test");
    GIVE("e.test", DNS_MX, 300, "10 a.test");
    w.then = "d.test";
    give_host("a.test", 300, "192.0.2.1");
    assert_int_equal(w.answered_count, 3);
}

static void a_flush_forgets_but_ends_what_is_under_way(void **state)
{
    (void)state;
    want("d.test");
    GIVE("d.test", DNS_MX, 300, "10 a.test");
    give_host("a.test", 300, "192.0.2.1");
    expect_hosts("a.test/1");
    want("e.test");
    GIVE("e.test", DNS_MX, 300, "10 a.test", "20 b.test");
    resolve_flush(w.resolve);
    give_host("b.test", 300, "192.0.2.2");
    expect_hosts("a.test/1 b.test/1");
    want("d.test");
    assert_int_equal(w.answered_count, 0);
    GIVE("d.test", DNS_MX, 300, "10 a.test");
    give_host("a.test", 300, "192.0.2.1"); /* asked anew */
    expect_hosts("a.test/1");
}

static void null_mx(const char *name)
{
    static struct dns_packet p;
    p = dns_packet_answer(name, DNS_MX, DNS_NOERROR);
    dns_packet_mx(&p, name, 86400, 0, "");
    resolve_packet(w.resolve, name, DNS_MX, p.bytes, p.len, w.now);
}

static void the_least_recently_used_goes_first(void **state)
{
    (void)state;
    char name[32];
    for (int i = 0; i < RESOLVE_CACHE + 1000; i++) {
        snprintf(name, sizeof name, "d%d.test", i);
        want(name);
        null_mx(name);
        want("d0.test"); /* always in use */
    }
    w.asked_count = w.answered_count = 0;
    want("d0.test");
    snprintf(name, sizeof name, "d%d.test", RESOLVE_CACHE + 900);
    want(name);
    assert_int_equal(w.asked_count, 0);
    assert_int_equal(w.answered_count, 2);
    want("d1.test");
    assert_int_equal(w.asked_count, 1);
}

static void hosts_no_longer_used_make_room(void **state)
{
    (void)state;
    char domain[32], host[48];
    for (int i = 0; i < RESOLVE_CACHE / 2; i++) {
        snprintf(domain, sizeof domain, "d%d.test", i);
        snprintf(host, sizeof host, "10 mx%d.test", i);
        want(domain);
        GIVE(domain, DNS_MX, 86400, host);
        give_host(host + 3, 86400, "192.0.2.1");
    }
    assert_int_equal(w.answered_count, RESOLVE_CACHE / 2);
    assert_int_equal(w.asked_count, 0);
    want("new.test");
    GIVE("new.test", DNS_MX, 300, host, "20 mx0.test");
    assert_false(asked(host + 3, DNS_A)); /* the newest is still known */
    assert_true(asked("mx0.test", DNS_A));
}

/* More lookups than the cache has room for: some run, the rest waits its turn, what is too much is told so.
 */
static void lookups_beyond_the_bounds_wait_or_are_told(void **state)
{
    (void)state;
    char name[32];
    int told = 0;
    for (int i = 0; i < RESOLVE_CACHE + 10; i++) {
        snprintf(name, sizeof name, "d%d.test", i);
        want(name);
        if (w.answered_count > 0) {
            expect_status(MX_TEMPORARY);
            told++;
        }
    }
    assert_true(told >= 10 && told < RESOLVE_CACHE / 2);
    size_t running = w.asked_total;
    assert_true(running < 1000);
    int answered = 0;
    for (int i = 0; i < RESOLVE_CACHE + 10; i++) {
        snprintf(name, sizeof name, "d%d.test", i);
        null_mx(name); /* in the order in which they were asked for */
        answered += (int)w.answered_count;
        w.answered_count = 0;
    }
    assert_int_equal(answered, RESOLVE_CACHE + 10 - told);
    assert_int_equal(w.asked_total, answered);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hosts_come_by_preference),
        TEST(a_host_named_twice_stands_at_its_best_place),
        TEST(without_mx_the_domain_itself_is_meant),
        TEST(neither_mx_nor_address_is_no_domain),
        TEST(a_null_mx_alone_takes_no_mail),
        TEST(a_null_mx_among_others_is_ignored),
        TEST(a_cname_at_the_domain_is_followed),
        TEST(an_mx_that_is_a_cname_is_tolerated),
        TEST(hosts_not_better_than_ourselves_are_cut),
        TEST(being_the_best_host_ourselves_is_a_loop),
        TEST(mx_without_addresses_do_not_fall_back),
        TEST(mx_with_impossible_names_have_no_address),
        TEST(a_host_without_address_is_left_out),
        TEST(nxdomain_is_no_domain),
        TEST(trouble_with_dns_is_temporary),
        TEST(one_family_that_fails_does_no_harm),
        TEST(addresses_that_cannot_be_asked_are_temporary),
        TEST(an_answer_without_a_failed_host_is_short),
        TEST(a_domain_is_looked_up_once_for_all),
        TEST(domains_share_their_hosts),
        TEST(answers_are_kept_for_their_ttl),
        TEST(lives_are_clamped),
        TEST(an_entry_in_use_is_refreshed_before_it_ends),
        TEST(a_failed_refresh_keeps_what_is_there),
        TEST(a_failing_host_keeps_the_addresses_it_had),
        TEST(a_slow_refresh_gets_its_asker),
        TEST(literals_need_no_dns),
        TEST(what_is_no_domain_is_not_asked_for),
        TEST(more_hosts_than_fit_are_left_out_from_the_worst),
        TEST(both_families_find_room),
        TEST(answers_nobody_asked_for_are_ignored),
        TEST(the_owner_may_ask_from_within_an_answer),
        TEST(a_flush_forgets_but_ends_what_is_under_way),
        TEST(the_least_recently_used_goes_first),
        TEST(hosts_no_longer_used_make_room),
        TEST(lookups_beyond_the_bounds_wait_or_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
