/* resolve_help - see resolve_help.h */
#include "resolve_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct world w;

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

int set_up(void **state)
{
    (void)state;
    static const char *const own[] = {"mx1.us.test", "mx2.us.test"};
    const struct resolve_ports ports = {&w, on_ask, on_answered};
    w = (struct world){.now = USEC_DAY};
    w.resolve = resolve_new(&ports, own, 2);
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    resolve_free(&w.resolve);
    mx_answer_drop(&w.answer);
    return 0;
}

bool asked(const char *name, enum dns_type type)
{
    for (size_t i = 0; i < w.asked_count; i++)
        if (w.asked[i].type == type && strcmp(w.asked[i].name, name) == 0) {
            w.asked[i] = w.asked[--w.asked_count];
            return true;
        }
    return false;
}

void want(const char *domain)
{
    resolve_domain(w.resolve, domain, w.now);
}

void give(const char *name, enum dns_type type, const struct dns_packet *p)
{
    assert_true(asked(name, type));
    resolve_packet(w.resolve, name, type, p->bytes, p->len, w.now);
}

void give_records(const char *name, enum dns_type type, uint32_t ttl, const char *const *records)
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

void give_code(const char *name, enum dns_type type, int rcode)
{
    struct dns_packet p = dns_packet_answer(name, type, rcode);
    if (rcode == DNS_NXDOMAIN)
        dns_packet_soa(&p, "test", 300, 300);
    give(name, type, &p);
}

void give_failure(const char *name, enum dns_type type)
{
    assert_true(asked(name, type));
    resolve_failed(w.resolve, name, type, "no DNS server answered", w.now);
}

void give_host(const char *name, uint32_t ttl, const char *v4)
{
    GIVE(name, DNS_A, ttl, v4);
    GIVE(name, DNS_AAAA, ttl, NODATA);
}

void expect_status(enum mx_status status)
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

void expect_hosts(const char *hosts)
{
    char text[2048] = "";
    expect_status(MX_OK);
    for (size_t i = 0; i < w.answer->host_count; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s/%zu", i > 0 ? " " : "",
            w.answer->hosts[i].name, w.answer->hosts[i].address_count);
    assert_string_equal(text, hosts);
}

usec_t life(void)
{
    return (w.answer->expires - w.now) / USEC_SEC;
}
