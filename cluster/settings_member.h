/* settings_member - what a process that is to be a member of a cluster needs in its file
 *
 * settings_load() checks what holds for everybody; a file with `cluster.etcd` may be for the tools alone
 * (`todoku members`), for a coordinator, a node, or both. `todoku coordinator` and `todoku node` ask here
 * before they open anything, `todoku check` for the roles that the file has.
 *
 * Memory: faults_r is free()d by the caller. */
#ifndef CLUSTER_SETTINGS_MEMBER_H
#define CLUSTER_SETTINGS_MEMBER_H

#include "cluster/member_record.h"
#include "cluster/settings.h"

/* 0, or -1 with every fault: no etcd, no key, no bus or one that nobody else can reach, a node without
 * sources. MEMBER_ANY: the roles whose `bus` is set; a file with none of them passes. */
int settings_check_member(
    const struct settings *settings, enum member_role role, struct fault **faults_r, size_t *fault_count_r);
/* For `todoku up`: the whole on one machine takes no etcd. */
int settings_check_alone(const struct settings *settings, struct fault **faults_r, size_t *fault_count_r);

#endif
