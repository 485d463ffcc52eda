/* up - `todoku up`: coordinator and node in one process, membership embedded
 *
 * Three threads of ours beside the HTTP door's: the coordinator's loop, the node's loop, the spool's writer.
 * The order of a start: settings, keys, ports (which may need root), then the user is changed, then the data.
 * SIGTERM and SIGINT stop in order, a second one at once; SIGHUP reads settings and keys again. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/digest_ossl.h"
#include "base/log.h"
#include "base/panic.h"
#include "base/random.h"
#include "cli/commands.h"
#include "cli/not_yet.h"
#include "cluster/kv.h"
#include "coordinator/api_keys.h"
#include "coordinator/coordinator_uv.h"
#include "coordinator/http_mhd.h"
#include "node/keeper_uv.h"

#define SECRET_SIZE 32
#define MAX_RELOADS 1000

struct up {
    const char *file;
    char *data_dir;
    struct settings *settings;
    struct settings
        *former[MAX_RELOADS]; /* still read by threads that have not looked yet: freed at the end */
    size_t former_count;
    struct keys *keys;
    struct bus_local *bus;
    struct kv_file *store;
    struct view *view;
    struct coordinator *coordinator;
    struct keeper *keeper;
    struct http *http;
    uint8_t secret[SECRET_SIZE];
    pthread_t coordinator_thread, node_thread;
};

static int usage(void)
{
    fprintf(stderr, "usage: todoku up [-c FILE] [-d DIR]\n");
    return 2;
}

static int read_settings(const char *file, char *data_dir, struct settings **settings_r)
{
    struct fault *faults = NULL;
    size_t count = 0;
    *settings_r = settings_load(file, &faults, &count);
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%s\n", faults[i].text);
    free(faults);
    if (*settings_r == NULL)
        return -1;
    if (data_dir != NULL)
        (*settings_r)->node.data_dir = data_dir;
    if ((*settings_r)->node.source_count > 0)
        return 0;
    fprintf(stderr, "%s: node.sources is empty: a node needs at least one address to send from\n", file);
    return -1;
}

/* ---- who we are ---- */

static int find_user(const struct settings *settings, struct passwd **user_r, struct error *error)
{
    *user_r = NULL;
    if (settings->user == NULL || geteuid() != 0)
        return 0;
    *user_r = getpwnam(settings->user);
    return *user_r != NULL ? 0
                           : error_set(error,
                                 "user: there is no user \"%s\"; make one (useradd -r) or leave the line out",
                                 settings->user);
}

static int make_data_dir(const char *dir, const struct passwd *user, struct error *error)
{
    if (mkdir(dir, 0750) != 0 && errno != EEXIST)
        return error_set(error, "node.data_dir: %s can't be made: %s", dir, strerror(errno));
    struct stat st;
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
        return error_set(error, "node.data_dir: %s is no folder", dir);
    if (user != NULL && st.st_uid == 0 && chown(dir, user->pw_uid, user->pw_gid) != 0)
        return error_set(
            error, "node.data_dir: %s can't be given to %s: %s", dir, user->pw_name, strerror(errno));
    return 0;
}

static int become(const struct passwd *user, struct error *error)
{
    if (user == NULL)
        return 0;
    if (initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0)
        return error_set(error, "user: can't become %s: %s", user->pw_name, strerror(errno));
    return 0;
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* ---- what is embedded ---- */

/* Ids of messages with an idempotency key are a keyed hash; the key is made once and stays with the data. */
static int load_secret(const char *dir, uint8_t secret[SECRET_SIZE], struct error *error)
{
    char path[4096];
    snprintf(path, sizeof path, "%.4000s/secret", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t got = read(fd, secret, SECRET_SIZE);
        close(fd);
        return got == SECRET_SIZE ? 0
                                  : error_set(error,
                                        "%s is damaged; without it idempotency keys of the last day are "
                                        "forgotten: delete it to go on",
                                        path);
    }
    random_secret(secret, SECRET_SIZE);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, secret, SECRET_SIZE) == SECRET_SIZE && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return good ? 0 : error_set(error, "%s can't be written: %s", path, strerror(errno));
}

static struct mail_id make_id(void *ids, const char *tenant, const char *key)
{
    const struct up *up = ids;
    struct mail_id id;
    if (key == NULL) {
        struct random random;
        random_secret(&random.state, sizeof random.state);
        return id_make(clock_now(), &random);
    }
    uint8_t digest[DIGEST_SIZE];
    struct buffer text = {0};
    buffer_add(&text, tenant, strlen(tenant) + 1);
    buffer_add_text(&text, key);
    digest_hmac(up->secret, SECRET_SIZE, buffer_bytes(&text), buffer_len(&text), digest);
    buffer_free(&text);
    memcpy(id.bytes, digest, sizeof id.bytes);
    return id;
}

/* The cluster of one: what a leader would publish. */
static struct view *one_node(const struct settings *settings, const struct keeper *keeper, uint64_t epoch)
{
    struct view *view = view_new(epoch);
    struct view_node *node = view_add_node(
        view, settings->node.id, keeper_spool(keeper), keeper_incarnation(keeper), settings->node.weight);
    for (size_t i = 0; i < settings->node.source_count; i++) {
        const struct setting_source *source = &settings->node.sources[i];
        view_add_source(
            node, source->address, source->helo, (const char *const *)source->pools, source->pool_count);
    }
    return view;
}

/* ---- start, run, stop ---- */

static int open_doors(struct up *up, struct error *error)
{
    const struct settings *settings = up->settings;
    if (settings->coordinator.keys_file != NULL) {
        up->keys = keys_load(settings->coordinator.keys_file, error);
        if (up->keys == NULL)
            return -1;
    }
    up->coordinator = coordinator_open(settings, up->keys, up->bus, error);
    if (up->coordinator == NULL)
        return -1;
    struct api api = {.settings = settings,
        .verify = up->keys == NULL ? NULL : api_keys_verify,
        .keys = up->keys,
        .make_id = make_id,
        .ids = up};
    struct front front = coordinator_front(up->coordinator);
    up->http = http_start(&api, &front, &settings->coordinator.http, error);
    return up->http == NULL ? -1 : 0;
}

static int open_data(struct up *up, struct error *error)
{
    char store[4096];
    const char *dir = up->settings->node.data_dir;
    snprintf(store, sizeof store, "%.4000s/members.json", dir);
    if (load_secret(dir, up->secret, error) != 0)
        return -1;
    up->store = kv_file_open(store, error);
    if (up->store == NULL)
        return -1;
    struct kv kv = kv_file_face(up->store);
    up->keeper = keeper_open(up->settings, up->bus, &kv, error);
    if (up->keeper == NULL)
        return -1;
    up->view = one_node(up->settings, up->keeper, keeper_incarnation(up->keeper));
    keeper_set_view(up->keeper, up->view);
    coordinator_set_view(up->coordinator, up->view);
    return 0;
}

static int start(struct up *up, struct error *error)
{
    struct passwd *user;
    raise_file_limit();
    up->bus = bus_local_new();
    if (find_user(up->settings, &user, error) != 0 ||
        make_data_dir(up->settings->node.data_dir, user, error) != 0)
        return -1;
    if (open_doors(up, error) != 0 || become(user, error) != 0)
        return -1;
    return open_data(up, error);
}

static void *run_coordinator(void *arg)
{
    coordinator_run(arg);
    return NULL;
}

static void *run_node(void *arg)
{
    keeper_run(arg);
    return NULL;
}

static bool same_sources(const struct settings *a, const struct settings *b)
{
    bool same = a->node.source_count == b->node.source_count;
    for (size_t i = 0; same && i < a->node.source_count; i++)
        same = strcmp(a->node.sources[i].address, b->node.sources[i].address) == 0;
    return same;
}

/* Which source serves which pool stands in the view, which routing goes by. */
static void publish(struct up *up)
{
    struct view *view = one_node(up->settings, up->keeper, up->view->epoch + 1);
    view_drop(&up->view);
    up->view = view;
    keeper_set_view(up->keeper, view);
    coordinator_set_view(up->coordinator, view);
}

static void reload(struct up *up)
{
    struct settings *fresh;
    struct error error;
    if (up->former_count == MAX_RELOADS) {
        log_error(up->file, "read again too often; restart to take further changes");
        return;
    }
    if (read_settings(up->file, up->data_dir, &fresh) != 0) {
        log_error(up->file, "the faults above: everything stays as it was");
        return;
    }
    if (!same_sources(fresh, up->settings) || strcmp(fresh->node.id, up->settings->node.id) != 0) {
        log_error(up->file,
            "node.id or the addresses of node.sources changed: that needs a restart; everything stays as it "
            "was");
        settings_free(&fresh);
        return;
    }
    if (up->keys != NULL && keys_reload(up->keys, &error) != 0)
        log_error("keys", "%s; the keys stay as they were", error.text);
    up->former[up->former_count++] = up->settings;
    up->settings = fresh;
    coordinator_set_settings(up->coordinator, fresh);
    keeper_set_settings(up->keeper, fresh);
    http_set_settings(up->http, fresh);
    publish(up);
    log_info(up->file, "read again");
}

static void wait_for_signals(struct up *up, const sigset_t *signals)
{
    for (int signal; sigwait(signals, &signal) == 0;) {
        if (signal == SIGHUP)
            reload(up);
        else {
            log_info("todoku", "stopping: what is in flight is finished");
            return;
        }
    }
}

static void on_second_signal(int signal)
{
    (void)signal;
    _exit(1);
}

static void run(struct up *up, const sigset_t *signals)
{
    not_yet_warn(up->settings);
    must(pthread_create(&up->node_thread, NULL, run_node, up->keeper) == 0);
    must(pthread_create(&up->coordinator_thread, NULL, run_coordinator, up->coordinator) == 0);
    log_info("todoku", "node %s is up: %zu sources, API at %s", up->settings->node.id,
        up->settings->node.source_count, up->settings->coordinator.http.listen);
    wait_for_signals(up, signals);
    signal(SIGTERM, on_second_signal);
    signal(SIGINT, on_second_signal);
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    coordinator_stop(up->coordinator);
    pthread_join(up->coordinator_thread, NULL);
    keeper_stop(up->keeper);
    pthread_join(up->node_thread, NULL);
}

static void end(struct up *up)
{
    if (up->http != NULL)
        http_stop(&up->http);
    coordinator_close(&up->coordinator);
    keeper_close(&up->keeper);
    kv_file_close(&up->store);
    view_drop(&up->view);
    bus_local_free(&up->bus);
    keys_free(&up->keys);
    for (size_t i = 0; i < up->former_count; i++)
        settings_free(&up->former[i]);
    settings_free(&up->settings);
}

int cli_up(int argc, char **argv)
{
    struct up up = {.file = "/etc/todoku/todoku.yaml"};
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        printf(
            "usage: todoku up [-c FILE] [-d DIR]\n\nRuns coordinator and node in one process. FILE: "
            "/etc/todoku/todoku.yaml; DIR: node.data_dir.\n"
            "SIGTERM stops in order, SIGHUP reads FILE, keys and certificates again. See todoku.yaml(5).\n");
        return 0;
    }
    for (int option; (option = getopt(argc, argv, "c:d:")) != -1;) {
        if (option == 'c')
            up.file = optarg;
        else if (option == 'd')
            up.data_dir = optarg;
        else
            return usage();
    }
    if (optind != argc)
        return usage();
    if (read_settings(up.file, up.data_dir, &up.settings) != 0)
        return 2;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct error error = {.text = "unknown"};
    int status = start(&up, &error);
    if (status == 0)
        run(&up, &signals);
    else
        fprintf(stderr, "todoku: %s\n", error.text);
    end(&up);
    return status == 0 ? 0 : 1;
}
