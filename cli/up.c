/* up - `todoku up`: coordinator and node in one process, membership embedded
 *
 * Three threads of ours beside the HTTP door's: the coordinator's loop, the node's loop, the spool's writer.
 * The order of a start: settings, keys, ports (which may need root), then the user is changed, then the data.
 * SIGTERM and SIGINT stop in order, a second one at once; SIGHUP reads settings and keys again. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/panic.h"
#include "cli/commands.h"
#include "cli/ids.h"
#include "cli/not_yet.h"
#include "cli/reload.h"
#include "cli/start.h"
#include "cluster/hold_store.h"
#include "cluster/kv.h"
#include "cluster/settings_member.h"
#include "cluster/spool_register.h"
#include "coordinator/api_keys.h"
#include "coordinator/coordinator_uv.h"
#include "coordinator/http_mhd.h"
#include "node/keeper_uv.h"

struct up {
    struct reload files;
    const struct settings *settings; /* those of `files` in force */
    struct keys *keys;
    struct bus_local *bus;
    struct kv_file *store;
    struct kv kv;
    struct hold_watch *watch;
    struct api_holds holds;
    struct view *view;
    struct coordinator *coordinator;
    struct keeper *keeper;
    struct http *http;
    struct ids ids;
    pthread_t coordinator_thread, node_thread;
};

static int usage(void)
{
    fprintf(stderr, "usage: todoku up [-c FILE] [-d DIR]\n");
    return 2;
}

static int read_settings(struct up *up)
{
    if (reload_first(&up->files) != 0)
        return -1;
    up->settings = up->files.settings;
    struct fault *faults;
    size_t count;
    return settings_check_alone(up->settings, &faults, &count) == 0 ? 0 : start_say_faults(faults, count);
}

/* ---- what is embedded ---- */

/* One machine with one copy: a spool that is on another disk is nowhere else, so nothing begins without it. */
static int claim_spool(
    void *context, const struct spool_wish *wish, struct spool_home *home_r, struct error *error)
{
    const struct up *up = context;
    char key[256];
    snprintf(key, sizeof key, "/todoku/%s/spool/%s", up->settings->cluster.name, wish->spool);
    *home_r = (struct spool_home){.revision = 0};
    return spool_register_resume(&up->kv, key, up->settings->node.id, wish->disk, &home_r->reg, error);
}

static void on_holds(void *context, struct holds *holds)
{
    const struct up *up = context;
    keeper_set_holds(up->keeper, holds);
    coordinator_set_holds(up->coordinator, holds);
}

static void first_holds(void *arg, enum kv_outcome outcome, struct holds *holds, const char *why)
{
    if (outcome == KV_DONE)
        on_holds(arg, holds);
    else
        log_error("holds", "they can't be read: %s", why);
}

/* The embedded store answers at once: nothing is sent before the holds are known. */
static void follow_holds(struct up *up)
{
    const char *cluster = up->settings->cluster.name;
    hold_store_list(&up->kv, cluster, first_holds, up);
    up->watch = hold_watch_open(&up->kv, cluster, on_holds, up);
    up->holds.kv = &up->kv;
}

static struct holds *known_holds(void *context)
{
    const struct up *up = context;
    return coordinator_holds(up->coordinator);
}

static struct view *newest_view(void *context)
{
    const struct up *up = context;
    return coordinator_view(up->coordinator);
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
    up->holds.cluster = settings->cluster.name;
    up->holds.known = known_holds;
    up->holds.view = newest_view;
    up->holds.context = up;
    struct api api = {.settings = settings,
        .holds = &up->holds,
        .verify = up->keys == NULL ? NULL : api_keys_verify,
        .keys = up->keys,
        .make_id = ids_make,
        .ids = &up->ids};
    struct front front = coordinator_front(up->coordinator);
    up->http = http_start(&api, &front, &settings->coordinator.http, error);
    return up->http == NULL ? -1 : 0;
}

static int open_data(struct up *up, struct error *error)
{
    char store[4096];
    const char *dir = up->settings->node.data_dir;
    snprintf(store, sizeof store, "%.4000s/members.json", dir);
    if (ids_load(&up->ids, dir, error) != 0)
        return -1;
    up->store = kv_file_open(store, error);
    if (up->store == NULL)
        return -1;
    up->kv = kv_file_face(up->store);
    struct keeper_claim claim = {.context = up, .claim = claim_spool};
    up->keeper = keeper_open(up->settings, up->files.keyring, up->bus, &claim, error);
    if (up->keeper == NULL)
        return -1;
    follow_holds(up);
    up->view = one_node(up->settings, up->keeper, keeper_incarnation(up->keeper));
    keeper_set_view(up->keeper, up->view);
    coordinator_set_view(up->coordinator, up->view);
    return 0;
}

static int start(struct up *up, struct error *error)
{
    struct passwd *user;
    start_raise_file_limit();
    up->bus = bus_local_new();
    if (start_find_user(up->settings, &user, error) != 0 || reload_keys(&up->files, user, error) != 0 ||
        start_make_data_dir(up->settings->node.data_dir, user, error) != 0)
        return -1;
    if (open_doors(up, error) != 0 || start_become(user, error) != 0)
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
    struct error error;
    if (reload_again(&up->files, 0, NULL, 0, clock_now()) != 0)
        return;
    if (up->keys != NULL && keys_reload(up->keys, &error) != 0)
        log_error("keys", "%s; the keys stay as they were", error.text);
    up->settings = up->files.settings;
    coordinator_set_settings(up->coordinator, up->settings);
    keeper_set_settings(up->keeper, up->settings, up->files.keyring);
    http_set_settings(up->http, up->settings);
    publish(up);
}

static void wait_for_signals(struct up *up)
{
    for (int signal; (signal = start_wait()) == SIGHUP || signal == START_POKE;)
        if (signal == SIGHUP)
            reload(up);
}

static void run(struct up *up)
{
    not_yet_warn(up->settings);
    must(pthread_create(&up->node_thread, NULL, run_node, up->keeper) == 0);
    must(pthread_create(&up->coordinator_thread, NULL, run_coordinator, up->coordinator) == 0);
    log_info("todoku", "node %s is up: %zu sources, API at %s", up->settings->node.id,
        up->settings->node.source_count, up->settings->coordinator.http.listen);
    wait_for_signals(up);
    start_end_hard();
    coordinator_stop(up->coordinator);
    pthread_join(up->coordinator_thread, NULL);
    keeper_stop(up->keeper);
    pthread_join(up->node_thread, NULL);
}

static void end(struct up *up)
{
    if (up->http != NULL)
        http_stop(&up->http);
    hold_watch_close(&up->watch); /* it tells the next two */
    coordinator_close(&up->coordinator);
    keeper_close(&up->keeper);
    kv_file_close(&up->store);
    view_drop(&up->view);
    bus_local_free(&up->bus);
    keys_free(&up->keys);
    reload_free(&up->files);
}

int cli_up(int argc, char **argv)
{
    struct up up = {.files.file = "/etc/todoku/todoku.yaml"};
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        printf(
            "usage: todoku up [-c FILE] [-d DIR]\n\nRuns coordinator and node in one process. FILE: "
            "/etc/todoku/todoku.yaml; DIR: node.data_dir.\n"
            "SIGTERM stops in order, SIGHUP reads FILE, keys and certificates again. See todoku.yaml(5).\n");
        return 0;
    }
    for (int option; (option = getopt(argc, argv, "c:d:")) != -1;) {
        if (option == 'c')
            up.files.file = optarg;
        else if (option == 'd')
            up.files.data_dir = optarg;
        else
            return usage();
    }
    if (optind != argc)
        return usage();
    if (read_settings(&up) != 0)
        return 2;
    start_block_signals();
    struct error error = {.text = "unknown"};
    int status = start(&up, &error);
    if (status == 0)
        run(&up);
    else
        fprintf(stderr, "todoku: %s\n", error.text);
    end(&up);
    return status == 0 ? 0 : 1;
}
