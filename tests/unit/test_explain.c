/* What a node says of an address: whose it would be and from where, to nobody else's eyes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "node/node.h"

static const char config[] =
    "pools: { main: {}, other: {} }\n"
    "node: { id: n1, sources: [{ address: 192.0.2.1, helo: m.test, pools: [main] },\n"
    "                          { address: 192.0.2.2, helo: o.test, pools: [other] }] }\n"
    "tenants: [{ id: t, pools: [main], domains: ['*'] }, { id: o, pools: [other], domains: [o.test],\n"
    "            dkim: [{ domain: o.test, selector: s1, key_file: k }] }]\n"
    "operator_dkim: [{ domain: op.test, selector: s2, key_file: k }]\n";

static struct settings *settings;
static struct node *node;

static const char *kind(void *context, const struct setting_dkim *key)
{
    (void)context;
    return strcmp(key->selector, "s1") == 0 ? "rsa-sha256" : "ed25519-sha256";
}

static int set_up(void **state)
{
    (void)state;
    static const struct node_ports ports = {.key_kind = kind}; /* nothing is done by a question */
    struct fault *faults = NULL;
    size_t count = 0;
    settings = settings_parse(config, sizeof config - 1, "test", &faults, &count);
    if (settings == NULL)
        fail_msg("%s", faults[0].text);
    node = node_new("n1", "n1.0", 1, settings, &ports, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    node_free(&node);
    settings_free(&settings);
    return 0;
}

static void ask(const char *selectors, int code, const char *says)
{
    struct buffer out = {0};
    int is = node_answer(node, "explain", selectors, 1000 * USEC_SEC, &out);
    if (is != code || strstr(buffer_text(&out), says) == NULL)
        fail_msg("%s is answered %d: %s", selectors, is, buffer_text(&out));
    buffer_free(&out);
}

static void for_a_tenant_or_a_pool(void **state)
{
    (void)state;
    ask("address=a@b.test&tenant=t", 200, "\"sources\":[\"192.0.2.1\"]");
    ask("address=a@b.test&tenant=t&pool=main", 200, "\"tenant\":\"t\",\"pool\":\"main\"");
    ask("address=a@b.test&pool=other", 200, "\"sources\":[\"192.0.2.2\"]");
    ask("address=a@b.test", 400, "say whose mail it would be");
}

static void pause(struct holds *holds, const char *id, struct hold_match match, usec_t until)
{
    struct hold hold = {.match = match, .until = until, .reason = "why not", .by = "key k"};
    snprintf(hold.id, sizeof hold.id, "%s", id);
    assert_int_equal(holds_add(holds, &hold, NULL), 0);
}

static void with_the_pause_that_stops_it(void **state)
{
    (void)state;
    struct holds *holds = holds_new();
    pause(holds, "a1", (struct hold_match){.tenant = "o"}, 0);
    pause(holds, "a2", (struct hold_match){.tenant = "t", .domain = "b.test"}, 2000 * USEC_SEC);
    pause(holds, "a3", (struct hold_match){.pool = "main", .domain = "b.test"}, 3000 * USEC_SEC);
    pause(holds, "a4", (struct hold_match){.pool = "main"}, 1000 * USEC_SEC); /* has ended */
    pause(holds, "a5", (struct hold_match){.tenant = "t", .campaign = "spring"}, 0);
    pause(holds, "a6", (struct hold_match){.source = "192.0.2.1", .domain = "d.test"}, 0);
    pause(holds, "a7", (struct hold_match){.source = "192.0.2.2"}, 0);
    node_set_holds(node, holds, 1000 * USEC_SEC);
    holds_drop(&holds);
    ask("address=a@b.test&tenant=t", 200,
        "\"paused_until\":\"1970-01-01T00:50:00.000Z\",\"pause\":\"a3\",\"pause_by\":\"key "
        "k\",\"pause_reason\":"
        "\"why not\",\"also_paused\":[\"campaign spring until it is lifted: why not (a5)\"]");
    ask("address=a@c.test&tenant=t&campaign=spring", 200,
        "\"paused_until\":\"it is lifted\",\"pause\":\"a5\"");
    ask("address=a@c.test&tenant=t&campaign=autumn", 200, "\"sources\":[\"192.0.2.1\"],\"signatures\"");
    ask("address=a@d.test&tenant=t&campaign=autumn", 200,
        "\"sources\":[\"192.0.2.1\"],\"also_paused\":[\"from 192.0.2.1 until it is lifted: why not (a6)\"]");
}

/* A tenant's key puts his name in front. */
static void not_of_another_tenants_pool(void **state)
{
    (void)state;
    ask("tenant=t&address=a@b.test&pool=other", 400, "does not send from a pool `other`");
    ask("tenant=t&address=a@b.test&tenant=o", 200, "\"pool\":\"main\"");
    ask("tenant=gone&address=a@b.test&pool=other", 400, "there is no tenant `gone`");
}

static void who_signs(void **state)
{
    (void)state;
    ask("address=a@b.test&tenant=o", 200,
        "\"signatures\":[\"d=o.test s=s1 a=rsa-sha256\",\"d=op.test s=s2 a=ed25519-sha256\"]");
    ask("address=a@b.test&pool=main", 200, "\"signatures\":[\"d=op.test s=s2 a=ed25519-sha256\"]");
}

static void of_an_address(void **state)
{
    (void)state;
    char long_one[2000] = "tenant=t&address=";
    memset(long_one + strlen(long_one), 'a', 1000);
    ask("tenant=t", 400, "give an address");
    ask("tenant=t&address=a@b..test", 400, "domain");
    ask(long_one, 400, "longer than an address can be");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(for_a_tenant_or_a_pool, set_up, tear_down),
        cmocka_unit_test_setup_teardown(with_the_pause_that_stops_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(not_of_another_tenants_pool, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_signs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(of_an_address, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
