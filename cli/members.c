/* members - `todoku members add|remove|set|list|adopt`: who may join the cluster, and by which store
 *
 * Talks to etcd itself, by the `cluster` part of a configuration, so it works before the first member runs
 * and when none answers. The work is in members.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/units.h"
#include "cli/at_store.h"
#include "cli/options.h"

const struct cli_option cli_members_options[] = {
    {'c', "config", "FILE", "whose `cluster` says where etcd is (else " AT_STORE_CONFIG ")"},
    {'r', "role", "ROLE", "add: may join as coordinator or as node only"},
    {'w', "weight", "N", "add, set: a node's share of the mail, 1 to 1000; 0: as its file says"},
    {0, "drain", NULL, "set: it gets no new mail, and hands on what it holds"},
    {0, "undrain", NULL, "set: it gets new mail again"},
    {0, "dead", NULL,
        "set: it will not come back: it is declared down, wherever the other copy of its mail is"},
    {'j', "json", NULL, "list: one JSON object a line"},
    {'y', "yes", NULL, "adopt: do not ask"},
};
const size_t cli_members_option_count = sizeof cli_members_options / sizeof *cli_members_options;

enum verb_is { ADD, REMOVE, SET, LIST, ADOPT };

struct job {
    enum verb_is verb;
    const char *name;
    struct member_spec spec;
    struct members_change change;
    bool yes, json;
};

/* ---- what is asked ---- */

static const struct verb {
    const char *name;
    const char *options; /* that it takes, besides --config */
    enum verb_is is;
    int words; /* behind it */
} verbs[] = {
    {"add", "role weight", ADD, 2},
    {"remove", "", REMOVE, 1},
    {"set", "weight drain undrain dead", SET, 1},
    {"list", "json", LIST, 0},
    {"adopt", "yes", ADOPT, 0},
};

static const struct verb *verb_of(const struct cli_args *args)
{
    for (size_t i = 0; args->rest_count > 0 && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(verbs[i].name, args->rest[0]) == 0)
            return &verbs[i];
    return NULL;
}

static int read_options(const struct cli_args *args, const struct verb *verb, struct job *job)
{
    const char *role = cli_value(args, "role"), *weight = cli_value(args, "weight");
    uint64_t number = 0;
    for (size_t i = 1; i < cli_members_option_count; i++)
        if (args->values[i] != NULL && strstr(verb->options, cli_members_options[i].name) == NULL)
            return cli_wrong(
                args->command, "`members %s` takes no --%s", verb->name, cli_members_options[i].name);
    if (role != NULL && strcmp(role, "coordinator") != 0 && strcmp(role, "node") != 0)
        return cli_wrong(args->command, "a role is coordinator or node, not `%s`", role);
    if (role != NULL)
        job->spec.role = role[0] == 'c' ? MEMBER_COORDINATOR : MEMBER_NODE;
    if (weight != NULL && units_number(weight, 0, 1000, &number, NULL) != 0)
        return cli_wrong(args->command, "a weight is a number from 0 to 1000, not `%s`", weight);
    job->spec.weight = (uint32_t)number;
    bool drain = cli_value(args, "drain") != NULL, undrain = cli_value(args, "undrain") != NULL;
    job->change = (struct members_change){.set_weight = weight != NULL,
        .weight = (uint32_t)number,
        .set_drain = drain || undrain,
        .drain = drain,
        .set_dead = cli_value(args, "dead") != NULL};
    job->yes = cli_value(args, "yes") != NULL;
    job->json = cli_value(args, "json") != NULL;
    if (drain && undrain)
        return cli_wrong(args->command, "--drain and --undrain exclude each other");
    if (verb->is == SET && !job->change.set_weight && !job->change.set_drain && !job->change.set_dead)
        return cli_wrong(args->command, "say what to set: --weight N, --drain, --undrain or --dead");
    return 0;
}

/* 0 go on, else the exit code. */
static int read_job(const struct cli_args *args, struct job *job)
{
    const struct verb *verb = verb_of(args);
    if (verb == NULL)
        return cli_wrong(args->command, "say add, remove, set, list or adopt");
    if (args->rest_count - 1 != verb->words)
        return cli_wrong(args->command, "`members %s` takes %s", verb->name,
            verb->words == 2   ? "a name and a public key (in quotes: it has characters of the shell's)"
            : verb->words == 1 ? "a name"
                               : "no name");
    job->verb = verb->is;
    if (verb->words > 0) {
        job->name = args->rest[1];
        if (!member_name_good(job->name))
            return cli_wrong(args->command,
                "`%s` is no member's name; use letters, digits, '.', '_' and '-', at most 62, a letter or "
                "digit "
                "first: coordinator.id or node.id of its file",
                job->name);
        snprintf(job->spec.id, sizeof job->spec.id, "%s", job->name);
    }
    if (verb->words == 2) {
        if (!members_key_good(args->rest[2]))
            return cli_wrong(args->command,
                "`%s` is no public key: it has the 40 characters that `todoku keygen FILE` has printed; put "
                "it in "
                "single quotes",
                args->rest[2]);
        memcpy(job->spec.public_key, args->rest[2], MEMBER_KEY_SIZE);
    }
    return read_options(args, verb, job);
}

/* ---- what is done ---- */

/* Whoever answers no has changed nothing. */
static bool confirmed(struct buffer *survey)
{
    fprintf(stderr,
        "%sWhat members have seen since then (who may join, configuration, pauses) is gone. Take this store "
        "as it is? "
        "[y/N] ",
        buffer_text(survey));
    char line[16];
    return fgets(line, sizeof line, stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

static int adopt(const struct members *members, bool yes, struct buffer *out, struct error *error)
{
    if (members_survey(members, out, error) != 0)
        return -1;
    if (!yes && isatty(STDIN_FILENO) != 1)
        return error_set(error, "there is nobody to ask: say --yes if this is the store to go on with: %s",
            buffer_text(out));
    if (!yes && !confirmed(out))
        return error_set(error, "nothing was changed");
    if (!yes) /* it was read */
        buffer_clear(out);
    return members_adopt(members, out, error);
}

static int set(const struct members *members, const struct job *job, struct buffer *out, struct error *error)
{
    struct members_change change = job->change;
    if (change.set_dead && members_find_dead(members, job->name, &change.dead, error) != 0)
        return -1;
    return members_set(members, job->name, &change, out, error);
}

static int work(const struct members *members, void *with, struct error *error)
{
    const struct job *job = with;
    struct buffer out = {0};
    int rc = -1;
    switch (job->verb) {
    case ADD:
        rc = members_add(members, &job->spec, &out, error);
        break;
    case REMOVE:
        rc = members_remove(members, job->name, &out, error);
        break;
    case SET:
        rc = set(members, job, &out, error);
        break;
    case LIST:
        rc = members_list(members, &out, error);
        break;
    case ADOPT:
        rc = adopt(members, job->yes, &out, error);
    }
    if (rc == 0 && job->verb == LIST)
        rc = at_store_print(&out, job->json, "name role state weight drain endpoint key",
            "nobody may join yet; `todoku members add NAME KEY` lets a member in", error);
    else if (rc == 0)
        fputs(buffer_text(&out), stdout);
    buffer_free(&out);
    return rc;
}

int cli_members(int argc, char **argv)
{
    struct cli_args args;
    struct job job = {0};
    int code = cli_parse(argc, argv, &args);
    if (code >= 0)
        return code;
    code = read_job(&args, &job);
    if (code != 0)
        return code;
    return at_store("members", cli_value(&args, "config"), work, &job);
}
