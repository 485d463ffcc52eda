/* Raw DNS answers: what is read, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dns_packet.h"

static struct dns_answer answer;
static struct error error;

static int read_answer(const struct dns_packet *p, const char *name, enum dns_type type)
{
    /* An exact copy, so that the sanitizer sees a read past the end. */
    uint8_t *exact = malloc(p->len > 0 ? p->len : 1);
    assert_non_null(exact);
    memcpy(exact, p->bytes, p->len);
    error.text[0] = '\0';
    int result = dns_answer_read(exact, p->len, name, type, &answer, &error);
    free(exact);
    assert_true(result == 0 || error.text[0] != '\0');
    return result;
}

static void mx_records_are_read_with_their_smallest_ttl(void **state)
{
    (void)state;
    struct dns_packet p = dns_packet_answer("example.com", DNS_MX, DNS_NOERROR);
    dns_packet_mx(&p, "example.com", 600, 20, "b.example.com");
    dns_packet_mx(&p, "example.com", 300, 10, "A.Example.COM");
    dns_packet_address(&p, "a.example.com", 5, "192.0.2.1");
    assert_int_equal(read_answer(&p, "example.com", DNS_MX), 0);
    assert_int_equal(answer.rcode, DNS_NOERROR);
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.records[0].preference, 20);
    assert_string_equal(answer.records[0].name, "b.example.com");
    assert_int_equal(answer.records[1].preference, 10);
    assert_string_equal(answer.records[1].name, "a.example.com");
    assert_int_equal(answer.ttl, 300);
    assert_false(answer.truncated || answer.authentic || answer.cut);
}

static void addresses_of_both_families_are_read(void **state)
{
    (void)state;
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 9};
    struct dns_packet p = dns_packet_answer("mx.example.com", DNS_AAAA, DNS_NOERROR);
    p.bytes[3] |= 0x20; /* AD */
    dns_packet_address(&p, "mx.example.com", 60, "2001:db8::9");
    dns_packet_address(&p, "mx.example.com", 60, "192.0.2.1"); /* not asked for */
    assert_int_equal(read_answer(&p, "mx.example.com", DNS_AAAA), 0);
    assert_int_equal(answer.count, 1);
    assert_memory_equal(answer.records[0].address, v6, 16);
    assert_true(answer.authentic);

    p = dns_packet_answer("mx.example.com", DNS_A, DNS_NOERROR);
    dns_packet_address(&p, "mx.example.com", 60, "192.0.2.7");
    dns_packet_address(&p, "other.example.com", 60, "192.0.2.8");
    assert_int_equal(read_answer(&p, "mx.example.com", DNS_A), 0);
    assert_int_equal(answer.count, 1);
    assert_memory_equal(answer.records[0].address, "\xc0\x00\x02\x07", 4);
}

static void a_cname_chain_is_followed_in_any_order(void **state)
{
    (void)state;
    struct dns_packet p = dns_packet_answer("www.example.com", DNS_A, DNS_NOERROR);
    dns_packet_address(&p, "c.example.net", 900, "192.0.2.3");
    dns_packet_cname(&p, "b.example.net", 50, "c.example.net");
    dns_packet_cname(&p, "www.example.com", 700, "B.example.net");
    assert_int_equal(read_answer(&p, "www.example.com", DNS_A), 0);
    assert_int_equal(answer.count, 1);
    assert_int_equal(answer.ttl, 50);
}

static struct dns_packet chain_of(int links)
{
    struct dns_packet p = dns_packet_answer("n0.test", DNS_A, DNS_NOERROR);
    char from[16], to[16];
    for (int i = 0; i < links; i++) {
        snprintf(from, sizeof from, "n%d.test", i);
        snprintf(to, sizeof to, "n%d.test", i + 1);
        dns_packet_cname(&p, from, 60, to);
    }
    snprintf(to, sizeof to, "n%d.test", links);
    dns_packet_address(&p, to, 60, "192.0.2.1");
    return p;
}

static void a_chain_ends_at_sixteen_links(void **state)
{
    (void)state;
    struct dns_packet p = chain_of(16);
    assert_int_equal(read_answer(&p, "n0.test", DNS_A), 0);
    assert_int_equal(answer.count, 1);
    p = chain_of(17);
    assert_int_equal(read_answer(&p, "n0.test", DNS_A), -1);
    p = dns_packet_answer("a.test", DNS_A, DNS_NOERROR);
    dns_packet_cname(&p, "a.test", 60, "b.test");
    dns_packet_cname(&p, "b.test", 60, "a.test");
    assert_int_equal(read_answer(&p, "a.test", DNS_A), -1);
}

static void negative_answers_live_by_their_soa(void **state)
{
    (void)state;
    struct dns_packet p = dns_packet_answer("no.example.com", DNS_MX, DNS_NXDOMAIN);
    dns_packet_soa(&p, "example.com", 1000, 400);
    assert_int_equal(read_answer(&p, "no.example.com", DNS_MX), 0);
    assert_int_equal(answer.rcode, DNS_NXDOMAIN);
    assert_int_equal(answer.ttl, 400);

    p = dns_packet_answer("no.example.com", DNS_MX, DNS_NOERROR);
    dns_packet_soa(&p, "example.com", 100, 400);
    assert_int_equal(read_answer(&p, "no.example.com", DNS_MX), 0);
    assert_int_equal(answer.count, 0);
    assert_int_equal(answer.ttl, 100);

    p = dns_packet_answer("no.example.com", DNS_MX, DNS_NOERROR);
    assert_int_equal(read_answer(&p, "no.example.com", DNS_MX), 0);
    assert_int_equal(answer.ttl, 0);

    p = dns_packet_answer("no.example.com", DNS_MX, DNS_NOERROR);
    dns_packet_cname(&p, "no.example.com", 30, "else.example.net");
    dns_packet_soa(&p, "example.net", 100, 400);
    assert_int_equal(read_answer(&p, "no.example.com", DNS_MX), 0);
    assert_int_equal(answer.ttl, 30);
}

/* RFC 2181 section 8. */
static void a_ttl_with_the_top_bit_is_zero(void **state)
{
    (void)state;
    struct dns_packet p = dns_packet_answer("a.test", DNS_A, DNS_NOERROR);
    dns_packet_address(&p, "a.test", 0x80000001u, "192.0.2.1");
    assert_int_equal(read_answer(&p, "a.test", DNS_A), 0);
    assert_int_equal(answer.ttl, 0);
}

static void a_referral_is_no_answer(void **state)
{
    (void)state;
    struct dns_packet p = dns_packet_answer("example.com", DNS_MX, DNS_NOERROR);
    dns_packet_ns(&p, "com", "a.gtld.test");
    assert_int_equal(read_answer(&p, "example.com", DNS_MX), -1);
    assert_non_null(strstr(error.text, "resolver.servers"));
    dns_packet_soa(&p, "example.com", 100, 100);
    assert_int_equal(read_answer(&p, "example.com", DNS_MX), 0);
}

static void failures_keep_their_code(void **state)
{
    (void)state;
    struct dns_packet p = dns_packet_answer("a.test", DNS_A, DNS_SERVFAIL);
    assert_int_equal(read_answer(&p, "a.test", DNS_A), 0);
    assert_int_equal(answer.rcode, DNS_SERVFAIL);
}

static void a_truncated_answer_says_so_and_holds_nothing(void **state)
{
    (void)state;
    struct dns_packet p = dns_packet_answer("a.test", DNS_MX, DNS_NOERROR);
    dns_packet_mx(&p, "a.test", 60, 10, "mx.a.test");
    p.bytes[2] |= 2;
    p.len -= 3;
    assert_int_equal(read_answer(&p, "a.test", DNS_MX), 0);
    assert_true(answer.truncated);
    assert_int_equal(answer.count, 0);
}

static void strange_names_are_escaped(void **state)
{
    (void)state;
    struct dns_packet p = dns_packet_answer("a.test", DNS_MX, DNS_NOERROR);
    dns_packet_mx(&p, "a.test", 60, 0, "");
    dns_packet_mx(&p, "a.test", 60, 1, "sp ace.\xe3\x81.test");
    dns_packet_mx(&p, "a.test", 60, 2, "_ok-1.test");
    size_t at = dns_packet_begin(&p, "a.test", DNS_MX, 60, 6);
    dns_packet_u16(&p, 3);
    memcpy(p.bytes + p.len, "\003x.y\004test", 10);
    p.len += 10;
    dns_packet_end(&p, at);
    assert_int_equal(read_answer(&p, "a.test", DNS_MX), 0);
    assert_string_equal(answer.records[0].name, "");
    assert_string_equal(answer.records[1].name, "sp\\032ace.\\227\\129.test");
    assert_string_equal(answer.records[2].name, "_ok-1.test");
    assert_string_equal(answer.records[3].name, "x\\046y.test");
}

/* Three labels of 63 and one of 61 bytes are the longest name there is: 255 bytes on the wire. */
static void the_longest_names_fit(void **state)
{
    (void)state;
    char longest[DNS_NAME_SIZE] = "", longer[DNS_NAME_SIZE + 1] = "";
    for (int i = 0; i < 253; i++)
        longest[i] = i % 64 == 63 ? '.' : 'a';
    for (int i = 0; i < 254; i++)
        longer[i] = i % 64 == 63 ? '.' : 'a';
    struct dns_packet p = dns_packet_answer("a.test", DNS_MX, DNS_NOERROR);
    dns_packet_mx(&p, "a.test", 60, 0, longest);
    assert_int_equal(read_answer(&p, "a.test", DNS_MX), 0);
    assert_string_equal(answer.records[0].name, longest);
    dns_packet_mx(&p, "a.test", 60, 0, longer);
    assert_int_equal(read_answer(&p, "a.test", DNS_MX), -1);

    /* The same length in escapes doesn't fit, and must not become somebody's name by being cut. */
    memset(longest + 250, '%', 3);
    p = dns_packet_answer("a.test", DNS_MX, DNS_NOERROR);
    dns_packet_mx(&p, "a.test", 60, 0, longest);
    assert_int_equal(read_answer(&p, "a.test", DNS_MX), 0);
    assert_string_equal(answer.records[0].name, "\\000");
}

static void more_records_than_fit_are_cut(void **state)
{
    (void)state;
    struct dns_packet p = dns_packet_answer("a.test", DNS_A, DNS_NOERROR);
    for (int i = 0; i < DNS_MAX_RECORDS; i++)
        dns_packet_address(&p, "a.test", 60, "192.0.2.1");
    assert_int_equal(read_answer(&p, "a.test", DNS_A), 0);
    assert_int_equal(answer.count, DNS_MAX_RECORDS);
    assert_false(answer.cut);
    for (int i = 0; i < 3000; i++)
        dns_packet_address(&p, "a.test", 60, "192.0.2.1");
    assert_int_equal(read_answer(&p, "a.test", DNS_A), 0);
    assert_int_equal(answer.count, DNS_MAX_RECORDS);
    assert_true(answer.cut);
}

static void another_question_is_refused(void **state)
{
    (void)state;
    struct dns_packet p = dns_packet_answer("a.test", DNS_A, DNS_NOERROR);
    assert_int_equal(read_answer(&p, "b.test", DNS_A), -1);
    assert_int_equal(read_answer(&p, "a.test", DNS_AAAA), -1);
    assert_int_equal(read_answer(&p, "a.test", DNS_A), 0);
    p.bytes[5] = 0; /* no question at all */
    assert_int_equal(read_answer(&p, "a.test", DNS_A), -1);
    p.bytes[5] = 2;
    assert_int_equal(read_answer(&p, "a.test", DNS_A), -1);
    p.bytes[5] = 1;
    p.bytes[2] &= 0x7f; /* a query */
    assert_int_equal(read_answer(&p, "a.test", DNS_A), -1);
}

static void pointers_lead_to_the_front_only(void **state)
{
    (void)state;
    struct dns_packet p = dns_packet_answer("a.test", DNS_MX, DNS_NOERROR);
    dns_packet_mx(&p, "a.test", 60, 0, "x");
    struct dns_packet self = p;
    self.bytes[p.len - 3] = 0xc0 | (uint8_t)((p.len - 3) >> 8); /* at itself */
    self.bytes[p.len - 2] = (uint8_t)(p.len - 3);
    self.len = p.len - 1;
    self.bytes[self.len - 5] = 4;
    assert_int_equal(read_answer(&self, "a.test", DNS_MX), -1);
    /* The same with a pointer to the question is fine. */
    self.bytes[self.len - 2] = 0xc0;
    self.bytes[self.len - 1] = 12;
    assert_int_equal(read_answer(&self, "a.test", DNS_MX), 0);
    assert_string_equal(answer.records[0].name, "a.test");
}

static void data_of_the_wrong_size_is_refused(void **state)
{
    (void)state;
    for (unsigned size = 0; size < 8; size++) {
        struct dns_packet p = dns_packet_answer("a.test", DNS_A, DNS_NOERROR);
        size_t at = dns_packet_begin(&p, "a.test", DNS_A, 60, 6);
        p.len += size;
        dns_packet_end(&p, at);
        assert_int_equal(read_answer(&p, "a.test", DNS_A), size == 4 ? 0 : -1);
    }
    struct dns_packet p = dns_packet_answer("a.test", DNS_MX, DNS_NOERROR);
    size_t at = dns_packet_begin(&p, "a.test", DNS_MX, 60, 6);
    dns_packet_u16(&p, 10);
    dns_packet_name(&p, "mx.test");
    p.len++; /* something behind the name */
    dns_packet_end(&p, at);
    assert_int_equal(read_answer(&p, "a.test", DNS_MX), -1);
}

/* Whatever is cut off or flipped, the answer is read or refused, never more than is there. */
static void every_cut_and_flip_is_survived(void **state)
{
    (void)state;
    struct dns_packet p = dns_packet_answer("www.example.com", DNS_MX, DNS_NOERROR);
    dns_packet_cname(&p, "www.example.com", 60, "example.com");
    dns_packet_mx(&p, "example.com", 60, 10, "mx.example.com");
    size_t whole = p.len;
    for (size_t len = 0; len < whole; len++) {
        p.len = len;
        assert_int_equal(read_answer(&p, "www.example.com", DNS_MX), -1);
    }
    p.len = whole;
    for (size_t i = 0; i < whole * 8; i++) {
        p.bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        read_answer(&p, "www.example.com", DNS_MX);
        assert_true(answer.count <= DNS_MAX_RECORDS);
        p.bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mx_records_are_read_with_their_smallest_ttl),
        cmocka_unit_test(addresses_of_both_families_are_read),
        cmocka_unit_test(a_cname_chain_is_followed_in_any_order),
        cmocka_unit_test(a_chain_ends_at_sixteen_links),
        cmocka_unit_test(negative_answers_live_by_their_soa),
        cmocka_unit_test(a_ttl_with_the_top_bit_is_zero),
        cmocka_unit_test(a_referral_is_no_answer),
        cmocka_unit_test(failures_keep_their_code),
        cmocka_unit_test(a_truncated_answer_says_so_and_holds_nothing),
        cmocka_unit_test(strange_names_are_escaped),
        cmocka_unit_test(the_longest_names_fit),
        cmocka_unit_test(more_records_than_fit_are_cut),
        cmocka_unit_test(another_question_is_refused),
        cmocka_unit_test(pointers_lead_to_the_front_only),
        cmocka_unit_test(data_of_the_wrong_size_is_refused),
        cmocka_unit_test(every_cut_and_flip_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
