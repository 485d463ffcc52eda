/* What the resolver keeps: lives, refreshes, lookups shared and under way, and what goes when it is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "resolve_help.h"

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
        TEST(a_domain_is_looked_up_once_for_all),
        TEST(domains_share_their_hosts),
        TEST(answers_are_kept_for_their_ttl),
        TEST(lives_are_clamped),
        TEST(an_entry_in_use_is_refreshed_before_it_ends),
        TEST(a_failed_refresh_keeps_what_is_there),
        TEST(a_failing_host_keeps_the_addresses_it_had),
        TEST(a_slow_refresh_gets_its_asker),
        TEST(answers_nobody_asked_for_are_ignored),
        TEST(the_owner_may_ask_from_within_an_answer),
        TEST(a_flush_forgets_but_ends_what_is_under_way),
        TEST(the_least_recently_used_goes_first),
        TEST(hosts_no_longer_used_make_room),
        TEST(lookups_beyond_the_bounds_wait_or_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
