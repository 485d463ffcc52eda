/* From a domain to its mail hosts: each rule of node/resolve.h about MX and addresses, with packets made by
 * hand. What is kept, and how long: test_resolve_cache.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "resolve_help.h"

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
        TEST(literals_need_no_dns),
        TEST(what_is_no_domain_is_not_asked_for),
        TEST(more_hosts_than_fit_are_left_out_from_the_worst),
        TEST(both_families_find_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
