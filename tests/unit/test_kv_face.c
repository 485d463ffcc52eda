/* What every store must do (kv_suite), asked of the embedded store and of a real etcd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static char dir[64], file[96];
static struct kv_file *store;

static void open_file(struct kv_suite *suite)
{
    struct error why;
    strcpy(dir, "/tmp/todoku-kv-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/members.json", dir);
    store = kv_file_open(file, &why);
    if (store == NULL)
        fail_msg("%s", why.text);
    suite->kv = kv_file_face(store);
}

static void close_file(struct kv_suite *suite)
{
    (void)suite;
    kv_file_close(&store);
    unlink(file);
    rmdir(dir);
}

int main(void)
{
    struct kv_suite with_file = {
        .name = "kv_file", .open = open_file, .close = close_file, .pass = kv_suite_sleep};
    struct kv_suite with_etcd = {
        .name = "kv_etcd", .open = open_etcd, .close = close_etcd, .pass = kv_suite_sleep};
    int failed = kv_suite_run(&with_file);
    if (etcd_there())
        return failed + kv_suite_run(&with_etcd);
    printf("skipped kv_etcd: no /usr/bin/etcd here; install etcd-server and etcd-client\n");
    return failed;
}
