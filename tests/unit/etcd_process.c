/* etcd_process - see etcd_process.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/etcd_process.h"

#define ETCD "/usr/bin/etcd"
#define ETCDCTL "/usr/bin/etcdctl"
#define MAX_ARGUMENTS 40

bool etcd_there(void)
{
    return access(ETCD, X_OK) == 0 && access(ETCDCTL, X_OK) == 0;
}

/* ---- processes ---- */

/* Between fork and exec only what is safe there: gRPC has threads. */
static pid_t launch(const char *const *arguments, const char *log)
{
    pid_t parent = getpid();
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(127);
        dup2(out, 1);
        dup2(out, 2);
        execv(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    close(out);
    if (pid < 0)
        fail_msg("fork: %m");
    return pid;
}

int etcd_run(const char *const *arguments, bool quiet)
{
    int status = 0;
    pid_t pid = launch(arguments, quiet ? "/dev/null" : "/dev/stderr");
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static void run_or_fail(const char *const *arguments)
{
    if (etcd_run(arguments, true) != 0)
        fail_msg("%s %s %s failed", arguments[0], arguments[1], arguments[2]);
}

/* ---- certificates, by openssl's own program ---- */

static void write_text(const char *file, const char *text)
{
    FILE *out = fopen(file, "we");
    if (out == NULL)
        fail_msg("%s: %m", file);
    if (out == NULL || fputs(text, out) < 0 || fclose(out) != 0)
        fail_msg("%s can't be written", file);
}

void etcd_make_authority(struct etcd_cluster *etcd, const char *name, char ca_file[128])
{
    char key[128], subject[64];
    snprintf(ca_file, 128, "%s/%s.pem", etcd->dir, name);
    snprintf(key, sizeof key, "%s/%s.key", etcd->dir, name);
    snprintf(subject, sizeof subject, "/CN=%s", name);
    run_or_fail((const char *const[]){"/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", subject, "-keyout", key, "-out", ca_file,
        NULL});
}

static void make_certificate(
    struct etcd_cluster *etcd, const char *who, const char *name, char cert[128], char key[128])
{
    char request[128], extra[128], ca_key[128], text[200], subject[64];
    bool is_address = strspn(name, "0123456789.") == strlen(name);
    snprintf(cert, 128, "%s/%s.pem", etcd->dir, who);
    snprintf(key, 128, "%s/%s.key", etcd->dir, who);
    snprintf(request, sizeof request, "%s/%s.csr", etcd->dir, who);
    snprintf(extra, sizeof extra, "%s/%s.ext", etcd->dir, who);
    snprintf(ca_key, sizeof ca_key, "%s/authority.key", etcd->dir);
    snprintf(subject, sizeof subject, "/CN=%s", name);
    snprintf(text, sizeof text, "subjectAltName=%s:%s\nextendedKeyUsage=serverAuth,clientAuth\n",
        is_address ? "IP" : "DNS", name);
    write_text(extra, text);
    run_or_fail((const char *const[]){"/usr/bin/openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout", key, "-out", request, NULL});
    run_or_fail((const char *const[]){"/usr/bin/openssl", "x509", "-req", "-in", request, "-CA", etcd->ca,
        "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", extra, "-out", cert, NULL});
}

/* ---- members ---- */

static unsigned free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void write_initial(const struct etcd_cluster *etcd, char *out, size_t size)
{
    size_t at = 0;
    for (size_t i = 0; i < etcd->count; i++)
        at += (size_t)snprintf(out + at, size - at, "%sm%zu=http://127.0.0.1:%u", i > 0 ? "," : "", i,
            etcd->members[i].peer_port);
}

/* A single member may be quicker than one that has others to hear from on a loaded machine. */
void etcd_launch(struct etcd_cluster *etcd, size_t member)
{
    struct etcd_member *m = &etcd->members[member];
    char name[16], data[96], log[96], peer[64], initial[256];
    snprintf(name, sizeof name, "m%zu", member);
    snprintf(data, sizeof data, "%s/%s", etcd->dir, name);
    snprintf(log, sizeof log, "%s/%s.log", etcd->dir, name);
    snprintf(peer, sizeof peer, "http://127.0.0.1:%u", m->peer_port);
    write_initial(etcd, initial, sizeof initial);
    const char *arguments[MAX_ARGUMENTS] = {ETCD, "--name", name, "--data-dir", data, "--listen-client-urls",
        m->endpoint, "--advertise-client-urls", m->endpoint, "--listen-peer-urls", peer,
        "--initial-advertise-peer-urls", peer, "--initial-cluster", initial, "--initial-cluster-token",
        etcd->dir, "--heartbeat-interval", etcd->count > 1 ? "100" : "50", "--election-timeout",
        etcd->count > 1 ? "1000" : "500", "--logger", "zap", "--log-level", "error"};
    size_t count = 0;
    while (arguments[count] != NULL)
        count++;
    const char *const tls[] = {"--cert-file", etcd->server_cert, "--key-file", etcd->server_key,
        "--trusted-ca-file", etcd->ca, "--client-cert-auth"};
    for (size_t i = 0; etcd->tls && i < sizeof tls / sizeof *tls; i++)
        arguments[count++] = tls[i];
    m->pid = launch(arguments, log);
}

void etcd_kill(struct etcd_cluster *etcd, size_t member)
{
    struct etcd_member *m = &etcd->members[member];
    if (m->pid <= 0)
        return;
    kill(m->pid, SIGKILL);
    waitpid(m->pid, NULL, 0);
    m->pid = 0;
}

void etcd_freeze(struct etcd_cluster *etcd, size_t member, bool frozen)
{
    pid_t pid = etcd->members[member].pid;
    int status = 0;
    assert_int_equal(kill(pid, frozen ? SIGSTOP : SIGCONT), 0);
    if (frozen) /* it may answer until it really stands */
        assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
}

static int ctl(struct etcd_cluster *etcd, const char *endpoints, const char *const *more)
{
    const char *arguments[MAX_ARGUMENTS] = {
        ETCDCTL, "--endpoints", endpoints, "--command-timeout", "5s", "--dial-timeout", "2s"};
    size_t count = 7;
    const char *const tls[] = {"--cacert", etcd->ca, "--cert", etcd->client_cert, "--key", etcd->client_key,
        "--insecure-skip-tls-verify"};
    for (size_t i = 0; etcd->tls && i < sizeof tls / sizeof *tls; i++)
        arguments[count++] = tls[i];
    for (size_t i = 0; more[i] != NULL && count < MAX_ARGUMENTS - 1; i++)
        arguments[count++] = more[i];
    return etcd_run(arguments, true);
}

int etcd_ctl(struct etcd_cluster *etcd, const char *const *arguments)
{
    size_t i = 0;
    while (etcd->members[i].pid == 0 && i + 1 < etcd->count)
        i++;
    return ctl(etcd, etcd->members[i].endpoint, arguments);
}

/* `endpoint status` needs no password, but a leader; health does. */
void etcd_await(struct etcd_cluster *etcd)
{
    static const char *const health[] = {"endpoint", "health", NULL};
    for (size_t i = 0; i < etcd->count; i++)
        for (int tries = 0; etcd->members[i].pid > 0 && ctl(etcd, etcd->members[i].endpoint, health) != 0;
             tries++) {
            if (tries == 100)
                fail_msg("etcd at %s doesn't answer; its log is in %s", etcd->members[i].endpoint, etcd->dir);
            usleep(100000);
        }
}

static void fill_settings(struct etcd_cluster *etcd)
{
    struct settings *settings = &etcd->settings;
    for (size_t i = 0; i < etcd->count; i++)
        etcd->endpoints[i] = etcd->members[i].endpoint;
    settings->cluster.has_etcd = true;
    settings->cluster.etcd_endpoints = etcd->endpoints;
    settings->cluster.etcd_endpoint_count = etcd->count;
    if (etcd->tls) {
        settings->cluster.etcd_ca = etcd->ca;
        settings->cluster.etcd_cert = etcd->client_cert;
        settings->cluster.etcd_key = etcd->client_key;
    }
}

void etcd_start(struct etcd_cluster *etcd, size_t count, const char *server_name)
{
    *etcd =
        (struct etcd_cluster){.dir = "/tmp/todoku-etcd-XXXXXX", .count = count, .tls = server_name != NULL};
    assert_non_null(mkdtemp(etcd->dir));
    if (server_name != NULL) {
        etcd_make_authority(etcd, "authority", etcd->ca);
        make_certificate(etcd, "server", server_name, etcd->server_cert, etcd->server_key);
        make_certificate(etcd, "client", "127.0.0.1", etcd->client_cert, etcd->client_key);
    }
    for (size_t i = 0; i < count; i++) {
        struct etcd_member *m = &etcd->members[i];
        m->port = free_port();
        m->peer_port = free_port();
        snprintf(m->endpoint, sizeof m->endpoint, "%s://127.0.0.1:%u", etcd->tls ? "https" : "http", m->port);
    }
    for (size_t i = 0; i < count; i++)
        etcd_launch(etcd, i);
    fill_settings(etcd);
    etcd_await(etcd);
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)stat;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void etcd_end(struct etcd_cluster *etcd)
{
    for (size_t i = 0; i < etcd->count; i++)
        etcd_kill(etcd, i);
    if (etcd->dir[0] != '\0')
        nftw(etcd->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
