/* settings_check_member - see settings_member.h */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/settings_member.h"
#include "cluster/settings_read.h"

#define MAX_FAULTS 16

struct faults {
    const struct settings *settings;
    struct fault *items;
    size_t count;
};

static void fault(struct faults *faults, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void fault(struct faults *faults, const char *format, ...)
{
    char text[400];
    va_list args;
    if (faults->count == MAX_FAULTS)
        return;
    if (faults->items == NULL)
        faults->items = xcalloc(MAX_FAULTS, sizeof *faults->items);
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(faults->items[faults->count].text, sizeof faults->items[0].text, "%.100s: %s",
        faults->settings->file, text);
    faults->count++;
}

/* The address is bound here, and told to all others: it must mean the same to them. */
static void check_bus(struct faults *faults, const char *key, const char *bus, const char *example)
{
    struct sockaddr_storage address;
    unsigned port = 0;
    if (bus == NULL) {
        fault(
            faults, "%s is not set: the other members reach this one there; write it as in %s", key, example);
        return;
    }
    if (strncmp(bus, "tcp://", 6) != 0 || !settings_endpoint_split(bus + 6, &address, &port) || port == 0)
        fault(faults, "%s: `%.80s` has no address and port; write it as in %s", key, bus, example);
    else if (strncmp(bus, "tcp://0.0.0.0:", 14) == 0 || strncmp(bus, "tcp://[::]:", 11) == 0)
        fault(faults,
            "%s: `%.80s` is every address of this machine, and no other machine can call it so; name the one "
            "that the other members reach",
            key, bus);
}

static void check_common(struct faults *faults)
{
    const struct settings *settings = faults->settings;
    if (!settings->cluster.has_etcd)
        fault(faults,
            "cluster.etcd is not set: members find each other in etcd. One machine alone runs with `todoku "
            "up`");
    if (settings->cluster.curve_secret_file == NULL)
        fault(faults,
            "cluster.curve_secret_file is not set: make this member's key with `todoku keygen FILE` and name "
            "the file there");
}

static int faults_end(struct faults *faults, struct fault **faults_r, size_t *fault_count_r)
{
    *faults_r = faults->items;
    *fault_count_r = faults->count;
    return faults->count == 0 ? 0 : -1;
}

int settings_check_member(
    const struct settings *settings, enum member_role role, struct fault **faults_r, size_t *fault_count_r)
{
    struct faults faults = {.settings = settings};
    bool any = role == MEMBER_ANY && settings->cluster.has_etcd;
    bool coordinator = role == MEMBER_COORDINATOR || (any && settings->coordinator.bus != NULL);
    bool node = role == MEMBER_NODE || (any && settings->node.bus != NULL);
    if (coordinator || node)
        check_common(&faults);
    if (coordinator)
        check_bus(&faults, "coordinator.bus", settings->coordinator.bus, "tcp://10.0.0.1:7100");
    if (node)
        check_bus(&faults, "node.bus", settings->node.bus, "tcp://10.0.0.2:7101");
    if (node && settings->node.source_count == 0)
        fault(&faults, "node.sources is empty: a node needs at least one address to send from");
    return faults_end(&faults, faults_r, fault_count_r);
}

int settings_check_alone(const struct settings *settings, struct fault **faults_r, size_t *fault_count_r)
{
    struct faults faults = {.settings = settings};
    if (settings->cluster.has_etcd)
        fault(&faults,
            "cluster.etcd is set, and `todoku up` is one machine alone, with its membership in data_dir; use "
            "`todoku coordinator` and `todoku node`, or take the line out");
    if (settings->node.source_count == 0)
        fault(&faults, "node.sources is empty: a node needs at least one address to send from");
    return faults_end(&faults, faults_r, fault_count_r);
}
