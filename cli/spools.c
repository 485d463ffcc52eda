/* spools - `todoku spools`, `todoku spools revive`: who serves which spool, and a last resort
 *
 * Talks to etcd itself, as `todoku members` does, so it works when no coordinator answers. The work is in spools.h. */
#include "cli/spools.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/at_store.h"
#include "cli/options.h"

#define PATIENCE 40 /* quarters of a second, for the node to take it */

const struct cli_option cli_spools_options[] = {
    {'c', "config", "FILE", "whose `cluster` says where etcd is (else " AT_STORE_CONFIG ")"},
    {0, "from", "NODE", "revive: the node with the copy that is to be served"},
    {0, "disk", "ID", "revive: which copy, if the register does not name it (its file `disk`)"},
    {'j', "json", NULL, "one JSON object a line"},
    {'y', "yes", NULL, "revive: do not ask"},
};
const size_t cli_spools_option_count = sizeof cli_spools_options / sizeof *cli_spools_options;

static int list(const struct members *members, bool json, struct error *error)
{
    struct buffer lines = {0};
    int rc = spools_list(members, &lines, error);
    if (rc == 0)
        rc =
            at_store_print(&lines, json, "spool state epoch node node_is mirror mirror_is old old_is revived",
                "there are no spools yet: each node makes its own at its first start", error);
    buffer_free(&lines);
    return rc;
}

/* ---- revive ---- */

static int confirm(const struct spools_plan *plan, bool yes, struct error *error)
{
    struct buffer said = {0};
    char line[16] = "";
    spools_warn(plan, &said);
    fputs(buffer_text(&said), stderr);
    buffer_free(&said);
    if (yes)
        return 0;
    if (isatty(STDIN_FILENO) != 1)
        return error_set(error, "there is nobody to ask: say --yes if that is what you want");
    fprintf(stderr, "Serve spool %s from this copy? [y/N] ", plan->spool);
    if (fgets(line, sizeof line, stdin) == NULL || (line[0] != 'y' && line[0] != 'Y'))
        return error_set(error, "nothing was changed");
    return 0;
}

static int wait_for_it(const struct members *members, const struct spools_plan *plan, struct error *error)
{
    const struct timespec quarter = {0, 250000000};
    for (int i = 0; i < PATIENCE; i++) {
        int serves = spools_serves(members, plan, error);
        if (serves < 0)
            return -1;
        if (serves > 0) {
            printf("node %s serves spool %s; `todoku nodes` shows what is left in it (taken_over_queued)\n",
                plan->node, plan->spool);
            return 0;
        }
        nanosleep(&quarter, NULL);
    }
    return error_set(error,
        "spool %s is node %s's from now on, but that has not begun to serve it: has it a copy on disk %s, in "
        "copies/%s of its data_dir? Its log says what keeps it",
        plan->spool, plan->node, plan->disk, plan->spool);
}

static int revive(const struct members *members, const struct cli_args *args, struct error *error)
{
    struct spools_plan plan;
    char by[AT_STORE_BY_SIZE];
    at_store_who(by);
    if (spools_find(members, args->rest[1], cli_value(args, "from"), cli_value(args, "disk"), &plan, error) !=
            0 ||
        confirm(&plan, cli_value(args, "yes") != NULL, error) != 0 ||
        spools_revive(members, &plan, by, error) != 0)
        return -1;
    return wait_for_it(members, &plan, error);
}

/* ---- the command ---- */

static int check_usage(const struct cli_args *args)
{
    bool revives = args->rest_count > 0 && strcmp(args->rest[0], "revive") == 0;
    if (args->rest_count > 0 && !revives)
        return cli_wrong(args->command, "say nothing, for a list, or revive SPOOL --from NODE");
    if (!revives) {
        static const char *const names[] = {"from", "disk", "yes"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (cli_value(args, names[i]) != NULL)
                return cli_wrong(args->command, "--%s belongs to `spools revive`", names[i]);
        return 0;
    }
    if (args->rest_count != 2 || !member_name_good(args->rest[1]))
        return cli_wrong(args->command, "`spools revive` takes the name of a spool, such as n1.0");
    const char *from = cli_value(args, "from");
    if (from == NULL || !member_name_good(from))
        return cli_wrong(args->command, "say which node has the copy: --from NODE");
    return 0;
}

static int work(const struct members *members, void *with, struct error *error)
{
    const struct cli_args *args = with;
    return args->rest_count == 0 ? list(members, cli_value(args, "json") != NULL, error)
                                 : revive(members, args, error);
}

int cli_spools(int argc, char **argv)
{
    struct cli_args args;
    int code = cli_parse(argc, argv, &args);
    if (code >= 0)
        return code;
    code = check_usage(&args);
    return code != 0 ? code : at_store("spools", cli_value(&args, "config"), work, &args);
}
