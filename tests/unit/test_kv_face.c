/* What every store must do (kv_suite), asked of a real etcd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "cluster/kv_etcd_grpc.h"
#include "tests/unit/etcd_process.h"
#include "tests/unit/kv_suite.h"

static struct etcd_cluster etcd;
static struct kv_etcd *client;

static void open_etcd(struct kv_suite *suite)
{
    struct error why;
    etcd_start(&etcd, 1, NULL);
    client = kv_etcd_open(&etcd.settings, &why);
    if (client == NULL)
        fail_msg("%s", why.text);
    suite->kv = kv_etcd_face(client);
}

static void close_etcd(struct kv_suite *suite)
{
    (void)suite;
    kv_etcd_close(&client);
    etcd_end(&etcd);
}

int main(void)
{
    struct kv_suite suite = {.name = "etcd", .open = open_etcd, .close = close_etcd, .pass = kv_suite_sleep};
    if (etcd_there())
        return kv_suite_run(&suite);
    printf("skipped: no /usr/bin/etcd here; install etcd-server and etcd-client\n");
    return 77;
}
