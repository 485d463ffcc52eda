/* node - `todoku node`: a sender of a cluster
 *
 * The order of a start: settings, the bus (which may need root), then the user is changed, then the log is
 * read, the cluster is joined with the disk that holds it, and the node is announced as ready. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/panic.h"
#include "cli/commands.h"
#include "cli/member.h"
#include "cli/not_yet.h"
#include "cli/start.h"
#include "node/keeper_uv.h"
#include "node/node.h"

struct sender {
    struct member member;
    struct keeper *keeper;
    pthread_t thread;
    bool runs;    /* the thread */
    struct kv kv; /* the cluster's store */
};

static void on_view(void *context, struct view *view)
{
    const struct sender *sender = context;
    keeper_set_view(sender->keeper, view);
}

static void on_holds(void *context, struct holds *holds)
{
    const struct sender *sender = context;
    keeper_set_holds(sender->keeper, holds);
}

static void on_settings(void *context, const struct settings *settings)
{
    const struct sender *sender = context;
    keeper_set_settings(sender->keeper, settings, sender->member.files.keyring);
}

static void on_silent(void *context, const char *member, bool silent)
{
    const struct sender *sender = context;
    keeper_set_silent(sender->keeper, member, silent);
}

static int claim(void *context, const struct spool_wish *wish, struct spool_home *home_r, struct error *error)
{
    struct sender *sender = context;
    return member_join(&sender->member, wish, home_r, error);
}

static void deposed(void *context)
{
    struct sender *sender = context;
    member_move(&sender->member);
}

static void on_bus(void *context, struct node_bus *bus_r)
{
    const struct sender *sender = context;
    struct bus_zmq_figures figures = control_figures(sender->member.control);
    *bus_r = (struct node_bus){.sent = figures.sent,
        .received = figures.received,
        .bytes_sent = figures.bytes_sent,
        .bytes_received = figures.bytes_received};
}

static int open_keeper(struct sender *sender, struct error *error)
{
    sender->kv = control_kv(sender->member.control);
    struct keeper_claim face = {.context = sender,
        .claim = claim,
        .deposed = deposed,
        .bus = on_bus,
        .kv = &sender->kv,
        .cluster = sender->member.settings->cluster.name};
    sender->keeper =
        keeper_open(sender->member.settings, sender->member.files.keyring, sender->member.bus, &face, error);
    if (sender->keeper == NULL)
        return -1;
    struct member_part part = {.context = sender,
        .view = on_view,
        .holds = on_holds,
        .settings = on_settings,
        .bound = sender->member.settings->cluster.copies > 1,
        .silent = on_silent};
    member_attach(&sender->member, &part);
    member_take_config(&sender->member);
    if (sender->member.files.lacks_keys)
        return error_set(error,
            "the cluster's configuration names a key that this machine lacks (see above); mail "
            "would leave unsigned");
    control_ready(sender->member.control);
    return 0;
}

static int start(struct sender *sender, struct error *error)
{
    struct passwd *user;
    const struct settings *settings = sender->member.settings;
    start_raise_file_limit();
    if (start_find_user(settings, &user, error) != 0 ||
        reload_keys(&sender->member.files, user, error) != 0 ||
        start_make_data_dir(settings->node.data_dir, user, error) != 0 || start_become(user, error) != 0)
        return -1;
    return open_keeper(sender, error);
}

static void *run_node(void *arg)
{
    keeper_run(arg);
    return NULL;
}

static void begin_thread(struct sender *sender)
{
    must(pthread_create(&sender->thread, NULL, run_node, sender->keeper) == 0);
    sender->runs = true;
}

static void end_thread(struct sender *sender)
{
    keeper_stop(sender->keeper);
    pthread_join(sender->thread, NULL);
    sender->runs = false;
}

/* The spool was taken over while this node stood still, say; or an operator put another store in the place of the one
 * that it was registered in. It ends what is in flight, closes all, and opens again as at a start, which sets a spool aside that is another's. The
 * process, its bus and its place in the cluster stay. */
static int reopen(struct sender *sender, struct error *error)
{
    log_warn(sender->member.settings->node.id,
        "its spool %s is registered anew, or was taken over: the node is closed and opened again",
        keeper_spool(sender->keeper));
    keeper_quiesce(sender->keeper);
    member_detach(&sender->member);
    end_thread(sender);
    keeper_close(&sender->keeper);
    return open_keeper(sender, error);
}

/* As long as it is a member: what member_run says, or 1 with the reason when it could not be opened again. */
static int serve(struct sender *sender, struct error *error)
{
    for (;;) {
        begin_thread(sender);
        log_info("todoku", "node %s of cluster %s is up: %zu sources, spool %s",
            sender->member.settings->node.id, sender->member.settings->cluster.name,
            sender->member.settings->node.source_count, keeper_spool(sender->keeper));
        int status = member_run(&sender->member);
        if (status != MEMBER_MOVES)
            return status;
        if (reopen(sender, error) != 0)
            return error->text[0] != '\0'; /* no word: told to stop */
    }
}

static int run(struct sender *sender)
{
    struct error error = {.text = ""};
    not_yet_warn(sender->member.settings);
    int status = serve(sender, &error);
    if (!sender->runs) {
        if (status != 0)
            log_error("todoku", "stopping: %s", error.text);
        return status;
    }
    start_end_hard();
    keeper_quiesce(sender->keeper);
    keeper_part(sender->keeper);
    member_stop(&sender->member); /* meanwhile who asks is told to ask another */
    end_thread(sender);
    return status;
}

static void end(struct sender *sender)
{
    if (sender->keeper != NULL)
        keeper_part(sender->keeper);
    member_stop(&sender->member);
    keeper_close(&sender->keeper);
    member_close(&sender->member);
}

static int usage(void)
{
    fprintf(stderr, "usage: todoku node -c FILE [-d DIR]\n");
    return 2;
}

int cli_node(int argc, char **argv)
{
    struct sender sender = {0};
    const char *file = NULL;
    char *data_dir = NULL;
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        printf(
            "usage: todoku node -c FILE [-d DIR]\n\nRuns a sender of the cluster that FILE names. DIR: "
            "node.data_dir. SIGTERM stops in order: what is\nin flight is finished, what waits stays on the "
            "disk for the next start. SIGHUP reads FILE again.\nSee todoku.yaml(5).\n");
        return 0;
    }
    for (int option; (option = getopt(argc, argv, "c:d:")) != -1;) {
        if (option == 'c')
            file = optarg;
        else if (option == 'd')
            data_dir = optarg;
        else
            return usage();
    }
    if (file == NULL || optind != argc)
        return usage();
    struct error error = {.text = "unknown"};
    bool started = false;
    start_block_signals();
    int status = member_open(&sender.member, file, data_dir, MEMBER_NODE, &error);
    if (status == 0) {
        started = start(&sender, &error) == 0;
        status = started ? run(&sender) : error.text[0] != '\0'; /* no word: told to stop */
    }
    if (status == 1 && !started)
        fprintf(stderr, "todoku: %s\n", error.text);
    end(&sender);
    return status;
}
