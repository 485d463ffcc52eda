/* etcd_process - real etcds for a test, one or three, on free ports of 127.0.0.1, in a folder of their own
 *
 *     struct etcd_cluster etcd;
 *     if (!etcd_there()) skip...
 *     etcd_start(&etcd, 1, NULL);  ...  etcd.settings goes to kv_etcd_open  ...  etcd_end(&etcd);
 *
 * They end with the test, also when it crashes (the kernel kills a child whose parent has ended). Failures
 * end the test by fail_msg(). */
#ifndef TESTS_ETCD_PROCESS_H
#define TESTS_ETCD_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "cluster/settings.h"

#define ETCD_MEMBERS 3

struct etcd_member {
    pid_t pid; /* 0 = is not running */
    unsigned port, peer_port;
    char endpoint[64];
};

struct etcd_cluster {
    char dir[64];
    size_t count;
    bool tls;
    struct etcd_member members[ETCD_MEMBERS];
    char *endpoints[ETCD_MEMBERS];
    char ca[128], server_cert[128], server_key[128], client_cert[128], client_key[128];
    struct settings settings;
};

bool etcd_there(void);
/* Starts `count` and waits until they answer. `server_name`: null = plain http; else https, with a
 * certificate for this name ("127.0.0.1" is right), and clients must show one. */
void etcd_start(struct etcd_cluster *etcd, size_t count, const char *server_name);
/* Ends them and removes the folder. */
void etcd_end(struct etcd_cluster *etcd);
/* A member ends (SIGKILL) and is reaped, or is started again with its data; launching doesn't wait. */
void etcd_kill(struct etcd_cluster *etcd, size_t member);
void etcd_launch(struct etcd_cluster *etcd, size_t member);
/* SIGSTOP, SIGCONT. */
void etcd_freeze(struct etcd_cluster *etcd, size_t member, bool frozen);
/* Waits until every running member answers. */
void etcd_await(struct etcd_cluster *etcd);
/* etcdctl with these arguments, the last one null; returns its exit status. */
int etcd_ctl(struct etcd_cluster *etcd, const char *const *arguments);
#define ETCD_CTL(etcd, ...) etcd_ctl(etcd, (const char *const[]){__VA_ARGS__, NULL})
/* A self-made authority of this name in the folder, as PEM files `NAME.pem` and `NAME.key`. */
void etcd_make_authority(struct etcd_cluster *etcd, const char *name, char ca_file[128]);
/* A program in the foreground; returns its exit status. */
int etcd_run(const char *const *arguments, bool quiet);

#endif
