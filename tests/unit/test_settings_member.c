/* What a file needs before its process can be a member: every lack is named, with what to write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/settings_member.h"

#define ETCD "cluster: { etcd: { endpoints: ['http://127.0.0.1:2379'] }, curve_secret_file: /k }\n"
#define SOURCE "sources: [{ address: 127.0.1.1, helo: a.example, pools: [main] }]"
#define POOL "pools: { main: {} }\n"

typedef int checker(
    const struct settings *settings, enum member_role role, struct fault **faults_r, size_t *fault_count_r);

static int check_alone(
    const struct settings *settings, enum member_role role, struct fault **faults_r, size_t *fault_count_r)
{
    (void)role;
    return settings_check_alone(settings, faults_r, fault_count_r);
}

/* The file is read without a fault; what the check says then, a line each. */
static void said(checker *check, const char *text, enum member_role role, const char *want)
{
    struct fault *faults;
    size_t count;
    char all[4096] = "";
    struct settings *settings = settings_parse(text, strlen(text), "t.yaml", &faults, &count);
    if (settings == NULL)
        fail_msg("%s", faults[0].text);
    int rc = check(settings, role, &faults, &count);
    for (size_t i = 0; i < count; i++)
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s\n", faults[i].text);
    assert_string_equal(all, want);
    assert_int_equal(rc, count == 0 ? 0 : -1);
    free(faults);
    settings_free(&settings);
}

#define MEMBER(text, role, want) said(settings_check_member, text, role, want)

static void a_whole_file_passes_for_each_role(void **state)
{
    (void)state;
    MEMBER(ETCD "coordinator: { bus: tcp://127.0.0.1:7100 }\n", MEMBER_COORDINATOR, "");
    MEMBER(ETCD POOL "node: { bus: 'tcp://[::1]:7101', " SOURCE " }\n", MEMBER_NODE, "");
    MEMBER(ETCD POOL "coordinator: { bus: tcp://127.0.0.1:7100 }\nnode: { bus: 'tcp://[::1]:7101', " SOURCE
                     " }\n",
        MEMBER_ANY, "");
}

static void what_a_coordinator_lacks_is_named_at_once(void **state)
{
    (void)state;
    MEMBER("coordinator: { id: c1 }\n", MEMBER_COORDINATOR,
        "t.yaml: cluster.etcd is not set: members find each other in etcd. One machine alone runs with "
        "`todoku "
        "up`\n"
        "t.yaml: cluster.curve_secret_file is not set: make this member's key with `todoku keygen FILE` and "
        "name "
        "the file there\n"
        "t.yaml: coordinator.bus is not set: the other members reach this one there; write it as in "
        "tcp://10.0.0.1:7100\n");
}

static void a_node_needs_a_source(void **state)
{
    (void)state;
    MEMBER(ETCD "node: { bus: tcp://127.0.0.1:7101 }\n", MEMBER_NODE,
        "t.yaml: node.sources is empty: a node needs at least one address to send from\n");
}

static void every_address_is_none_for_the_others(void **state)
{
    (void)state;
    MEMBER(ETCD "coordinator: { bus: tcp://0.0.0.0:7100 }\n", MEMBER_COORDINATOR,
        "t.yaml: coordinator.bus: `tcp://0.0.0.0:7100` is every address of this machine, and no other "
        "machine "
        "can call it so; name the one that the other members reach\n");
    MEMBER(ETCD POOL "node: { bus: 'tcp://[::]:7101', " SOURCE " }\n", MEMBER_NODE,
        "t.yaml: node.bus: `tcp://[::]:7101` is every address of this machine, and no other machine can call "
        "it "
        "so; name the one that the other members reach\n");
}

static void a_file_for_tools_or_for_one_machine_passes(void **state)
{
    (void)state;
    MEMBER("cluster: { etcd: { endpoints: ['http://127.0.0.1:2379'] } }\n", MEMBER_ANY, "");
    MEMBER("node: { id: n1, bus: tcp://127.0.0.1:7101 }\n", MEMBER_ANY, "");
}

static void any_role_means_those_that_have_a_bus(void **state)
{
    (void)state;
    MEMBER(ETCD "node: { bus: tcp://127.0.0.1:7101 }\n", MEMBER_ANY,
        "t.yaml: node.sources is empty: a node needs at least one address to send from\n");
}

static void up_takes_no_etcd(void **state)
{
    (void)state;
    said(check_alone, POOL "node: { " SOURCE " }\n", MEMBER_ANY, "");
    said(check_alone, ETCD, MEMBER_ANY,
        "t.yaml: cluster.etcd is set, and `todoku up` is one machine alone, with its membership in data_dir; "
        "use "
        "`todoku coordinator` and `todoku node`, or take the line out\n"
        "t.yaml: node.sources is empty: a node needs at least one address to send from\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_passes_for_each_role),
        cmocka_unit_test(what_a_coordinator_lacks_is_named_at_once),
        cmocka_unit_test(a_node_needs_a_source),
        cmocka_unit_test(every_address_is_none_for_the_others),
        cmocka_unit_test(a_file_for_tools_or_for_one_machine_passes),
        cmocka_unit_test(any_role_means_those_that_have_a_bus),
        cmocka_unit_test(up_takes_no_etcd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
