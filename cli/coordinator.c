/* coordinator - `todoku coordinator`: a front door; several run side by side, one is elected head
 *
 * The order of a start: settings, keys, the bus and the SMTP doors (which may need root), then the user is
 * changed, then the cluster is joined, and only then the HTTP door is opened and mail is taken. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/panic.h"
#include "cli/commands.h"
#include "cli/ids.h"
#include "cli/member.h"
#include "cli/not_yet.h"
#include "cli/start.h"
#include "coordinator/api_keys.h"
#include "coordinator/coordinator_uv.h"
#include "coordinator/http_mhd.h"

#define SECRET_TRIES 60

struct front_door {
    struct member member;
    struct keys *keys;
    struct coordinator *coordinator;
    struct http *http;
    struct ids ids;
    struct kv kv;
    struct api_admin admin;
    struct api_holds holds;
    pthread_t thread;
};

static void on_view(void *context, struct view *view)
{
    const struct front_door *door = context;
    coordinator_set_view(door->coordinator, view);
}

static void on_holds(void *context, struct holds *holds)
{
    const struct front_door *door = context;
    coordinator_set_holds(door->coordinator, holds);
}

static void on_silent(void *context, const char *member, bool silent)
{
    const struct front_door *door = context;
    coordinator_set_silent(door->coordinator, member, silent);
}

static void on_away(void *context, const char *why)
{
    const struct front_door *door = context;
    coordinator_set_away(door->coordinator, why);
}

static void on_config(void *context, uint64_t in_force)
{
    const struct front_door *door = context;
    coordinator_set_config(door->coordinator, in_force);
}

static void on_settings(void *context, const struct settings *settings)
{
    const struct front_door *door = context;
    struct error error;
    if (door->keys != NULL && keys_reload(door->keys, &error) != 0)
        log_error("keys", "%s; the keys stay as they were", error.text);
    coordinator_set_settings(door->coordinator, settings);
    if (door->http != NULL)
        http_set_settings(door->http, settings);
}

static void on_balanced(void *context, struct balance_plan *plan)
{
    const struct front_door *door = context;
    control_set_balance(door->member.control, plan);
}

/* What the bus did, for "metrics". */
static void add_figures(void *context, struct buffer *out)
{
    const struct front_door *door = context;
    struct bus_zmq_figures f = control_figures(door->member.control);
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"bus_sent_total", "counter", "messages sent to other members", f.sent},
        {"bus_received_total", "counter", "messages that came from other members", f.received},
        {"bus_sent_bytes_total", "counter", "bytes of them", f.bytes_sent},
        {"bus_received_bytes_total", "counter", "bytes of them", f.bytes_received},
        {"bus_dropped_total", "counter", "messages not sent: no room, or nobody of that name",
            f.dropped_full + f.dropped_unknown + f.dropped_gone},
        {"bus_refused_total", "counter", "frames of strangers, other clusters, and broken ones",
            f.dropped_bad + f.dropped_foreign},
        {"bus_newer_total", "counter", "messages of a kind that only a newer Todoku knows: dropped",
            f.dropped_newer},
        {"bus_lost_total", "counter", "messages of other members that did not come", f.lost},
        {"bus_queued_bytes", "gauge", "bytes that wait for credit or a connection", f.queued_bytes},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        buffer_printf(out, "# HELP todoku_%s %s\n# TYPE todoku_%s %s\ntodoku_%s %llu\n", rows[i].name,
            rows[i].help, rows[i].name, rows[i].type, rows[i].name, (unsigned long long)rows[i].value);
}

static int open_doors(struct front_door *door, struct error *error)
{
    const struct settings *settings = door->member.settings;
    struct member_part part = {.context = door,
        .view = on_view,
        .holds = on_holds,
        .settings = on_settings,
        .silent = on_silent,
        .away = on_away,
        .config = on_config};
    if (settings->coordinator.keys_file != NULL) {
        door->keys = keys_load(settings->coordinator.keys_file, error);
        if (door->keys == NULL)
            return -1;
    }
    door->coordinator = coordinator_open(settings, door->keys, door->member.bus, error);
    if (door->coordinator == NULL)
        return -1;
    coordinator_set_figures(door->coordinator, add_figures, door);
    coordinator_set_balanced(door->coordinator, on_balanced, door);
    member_attach(&door->member, &part);
    return 0;
}

/* Bounded by tries, each by the store's patience; a signal ends it. */
static int fetch_secret(struct front_door *door, struct error *error)
{
    enum kv_outcome outcome = KV_UNKNOWN;
    for (int i = 0; i < SECRET_TRIES && outcome == KV_UNKNOWN; i++) {
        if (start_is_ended())
            return error_set(error, "%s", "");
        if (i > 0)
            usleep(200000);
        outcome = ids_fetch(&door->ids, &door->kv, door->member.settings->cluster.name, error);
    }
    return outcome == KV_DONE ? 0 : -1;
}

static struct view *newest_view(void *context)
{
    const struct front_door *door = context;
    return coordinator_view(door->coordinator);
}

static struct holds *known_holds(void *context)
{
    const struct front_door *door = context;
    return coordinator_holds(door->coordinator);
}

static int open_api(struct front_door *door, struct error *error)
{
    const struct settings *settings = door->member.settings;
    door->admin = (struct api_admin){
        .kv = &door->kv, .cluster = settings->cluster.name, .view = newest_view, .context = door};
    door->holds = (struct api_holds){.kv = &door->kv,
        .cluster = settings->cluster.name,
        .known = known_holds,
        .view = newest_view,
        .context = door};
    struct api api = {.settings = settings,
        .holds = &door->holds,
        .verify = door->keys == NULL ? NULL : api_keys_verify,
        .keys = door->keys,
        .make_id = ids_make,
        .ids = &door->ids,
        .admin = &door->admin};
    struct front front = coordinator_front(door->coordinator);
    door->http = http_start(&api, &front, &settings->coordinator.http, error);
    return door->http == NULL ? -1 : 0;
}

static int start(struct front_door *door, struct error *error)
{
    struct passwd *user;
    start_raise_file_limit();
    if (start_find_user(door->member.settings, &user, error) != 0 || open_doors(door, error) != 0 ||
        start_become(user, error) != 0 || member_join(&door->member, NULL, NULL, error) != 0)
        return -1;
    door->kv = control_kv(door->member.control);
    if (fetch_secret(door, error) != 0)
        return -1;
    member_take_config(&door->member);
    return open_api(door, error);
}

static void *run_coordinator(void *arg)
{
    coordinator_run(arg);
    return NULL;
}

static int run(struct front_door *door)
{
    const struct settings *settings = door->member.settings;
    not_yet_warn(settings);
    must(pthread_create(&door->thread, NULL, run_coordinator, door->coordinator) == 0);
    log_info("todoku", "coordinator %s of cluster %s is up: API at %s", settings->coordinator.id,
        settings->cluster.name, settings->coordinator.http.listen);
    int status = member_run(&door->member);
    start_end_hard();
    coordinator_stop(door->coordinator);
    pthread_join(door->thread, NULL);
    return status;
}

static void end(struct front_door *door)
{
    if (door->http != NULL)
        http_stop(&door->http);
    member_stop(&door->member);
    coordinator_close(&door->coordinator);
    member_close(&door->member);
    keys_free(&door->keys);
}

static int usage(void)
{
    fprintf(stderr, "usage: todoku coordinator -c FILE\n");
    return 2;
}

int cli_coordinator(int argc, char **argv)
{
    struct front_door door = {0};
    const char *file = NULL;
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        printf("usage: todoku coordinator -c FILE\n\nRuns a front door of the cluster that FILE names: takes "
               "mail, "
               "routes it to the nodes, answers\noperators; one of all coordinators is the head. SIGTERM "
               "stops in "
               "order, SIGHUP reads FILE, keys\nand certificates again. See todoku.yaml(5).\n");
        return 0;
    }
    for (int option; (option = getopt(argc, argv, "c:")) != -1;) {
        if (option != 'c')
            return usage();
        file = optarg;
    }
    if (file == NULL || optind != argc)
        return usage();
    struct error error = {.text = "unknown"};
    start_block_signals();
    int status = member_open(&door.member, file, NULL, MEMBER_COORDINATOR, &error);
    bool started = false;
    if (status == 0) {
        started = start(&door, &error) == 0;
        status = started ? run(&door) : error.text[0] != '\0'; /* no word: told to stop */
    }
    if (status == 1 && !started)
        fprintf(stderr, "todoku: %s\n", error.text);
    end(&door);
    return status;
}
