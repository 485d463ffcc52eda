/* etcd behind TLS: what a right certificate opens, and what is said of a wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "cluster/kv_etcd_grpc.h"
#include "tests/unit/etcd_process.h"
#include "tests/unit/kv_suite.h"

static struct etcd_cluster etcd;

static int right_name(void **state)
{
    (void)state;
    etcd_start(&etcd, 1, "127.0.0.1");
    return 0;
}

static int wrong_name(void **state)
{
    (void)state;
    etcd_start(&etcd, 1, "elsewhere.example");
    return 0;
}

static int end(void **state)
{
    (void)state;
    etcd_end(&etcd);
    return 0;
}

/* Asks once; the sentence must hold `wants`, and come before all patience is used up. */
static void expect(enum kv_outcome outcome, const char *want, const char *want_too)
{
    struct error why;
    struct answer answer;
    struct kv_suite suite = {.name = "etcd", .pass = kv_suite_sleep};
    usec_t start = clock_now();
    struct kv_etcd *client = kv_etcd_open(&etcd.settings, &why);
    if (client == NULL)
        fail_msg("%s", why.text);
    suite.kv = kv_etcd_face(client);
    kv_ask(&suite, &(struct kv_request){.verb = KV_RANGE, .key = "/suite/a"}, &answer);
    print_message(
        "%d after %lld ms: %s\n", (int)answer.outcome, (long long)(clock_now() - start) / 1000, answer.why);
    assert_int_equal(answer.outcome, outcome);
    if (outcome != KV_DONE)
        assert_non_null(strstr(answer.why, etcd.endpoints[0]));
    assert_non_null(strstr(answer.why, want));
    assert_non_null(strstr(answer.why, want_too));
    answer_free(&answer);
    kv_etcd_close(&client);
}

static void test_certificates(void **state)
{
    (void)state;
    char other[128];
    struct settings *settings = &etcd.settings;
    expect(KV_DONE, "", "");
    etcd_make_authority(&etcd, "other", other);
    settings->cluster.etcd_ca = other;
    expect(KV_REFUSED, "was not signed by", "`ca`");
    settings->cluster.etcd_ca = etcd.ca;
    settings->cluster.etcd_cert = NULL; /* etcd wants one */
    settings->cluster.etcd_key = NULL;
    expect(KV_REFUSED, "`cert`", "--trusted-ca-file");
    settings->cluster.etcd_cert = etcd.client_cert;
    settings->cluster.etcd_key = etcd.server_key; /* not the certificate's */
    expect(KV_REFUSED, "is `key` the key of `cert`", "");
    settings->cluster.etcd_key = etcd.client_key;
    expect(KV_DONE, "", "");
}

static void test_wrong_name(void **state)
{
    (void)state;
    expect(KV_REFUSED, "for another name", "127.0.0.1");
}

/* http to a member that wants TLS is only a connection that ends. */
static void test_plain(void **state)
{
    (void)state;
    char endpoint[64];
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u", etcd.members[0].port);
    etcd.endpoints[0] = endpoint;
    etcd.settings.cluster.etcd_ca = etcd.settings.cluster.etcd_cert = NULL;
    expect(KV_UNKNOWN, "nobody answers", "https");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_certificates, right_name, end),
        cmocka_unit_test_setup_teardown(test_wrong_name, wrong_name, end),
        cmocka_unit_test_setup_teardown(test_plain, right_name, end),
    };
    if (etcd_there())
        return cmocka_run_group_tests(tests, NULL, NULL);
    printf("skipped: no /usr/bin/etcd here; install etcd-server and etcd-client\n");
    return 77;
}
