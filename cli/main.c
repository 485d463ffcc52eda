/* main - `todoku`: one program, every role and every tool a subcommand
 *
 * The table below is the source of the help, the manual page (`todoku --man`) and the completion of the
 * shell (`todoku completion bash`). */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"

#ifndef TODOKU_VERSION
#define TODOKU_VERSION "unknown"
#endif

#define LISTING(name, arguments, summary, more)                                                              \
    {                                                                                                        \
        name, arguments, summary, more, cli_listing_options, 0, cli_listing                                  \
    }

static struct cli_command commands[] = {
#ifdef TODOKU_UP
    {"up", "[-c FILE] [-d DIR]", "Run everything on one machine: coordinator and node in one process", NULL,
        NULL, 0, cli_up},
#endif
    {"coordinator", "-c FILE", "Run a front door of a cluster; one of them is the head", NULL, NULL, 0,
        cli_coordinator},
    {"node", "-c FILE [-d DIR]", "Run a sender of a cluster", NULL, NULL, 0, cli_node},
    {"check", "-c FILE", "Read a configuration file and say every fault with file:line:column", NULL, NULL, 0,
        cli_check},
    {"keygen", "FILE", "Make a member's secret key in FILE, and print its public key",
        "Never writes over a file. The public key is what `todoku members add` takes.", cli_keygen_options, 0,
        cli_keygen},
    {"members", "add NAME KEY|remove NAME|set NAME|list|adopt", "Who may join the cluster; asks etcd itself",
        "A name is the coordinator.id or node.id of a file; a key is what `todoku keygen` has printed (in "
        "single quotes).\n"
        "add: lets a member in; the same again does nothing. remove: its process stops; mail on its disk "
        "waits there.\n"
        "set: a node's share, whether it gets new mail, that it is dead. list: who may join, and who is "
        "there.\n"
        "adopt: goes on with the etcd there is although members have seen a newer one (it was restored from "
        "a "
        "backup) or another.",
        cli_members_options, 0, cli_members},
    {"spools", "[revive SPOOL --from NODE]", "Who has which spool, and its second copy; asks etcd itself",
        "revive: where the disk of a spool's node is lost, and its mirror too, serves it from a copy that is "
        "not up to date.\n"
        "What came since is lost, what was sent since may be sent again. Refused while somebody is there who "
        "has all of it.",
        cli_spools_options, 0, cli_spools},
    {"dkim", "", "The keys that sign mail and the DNS records for them; makes new keys",
        "Without --generate: every key of the configuration, with the TXT record to publish.",
        cli_dkim_options, 0, cli_dkim},
    {"key", "add|list|revoke", "Make, list and revoke API keys and SMTP passwords", NULL, NULL, 0, cli_key},
    {"send", "[FILE.eml|-]", "Hand in a message over the HTTP API",
        "The message is read from the file, or from stdin. Prints its id; `todoku message ID` tells the "
        "rest.",
        cli_send_options, 0, cli_send},
    {"config", "apply FILE | history | show [VERSION] | rollback VERSION",
        "The cluster-wide configuration: apply a file, list, show and go back to versions",
        "pools, tenants, providers, limits, routes, delivery, operator_dkim and rules_file of FILE become a "
        "new "
        "version, which all members take without a restart; what else stands in it is passed over.",
        cli_config_options, 0, cli_config},
    LISTING("status", "", "How the whole is doing", NULL),
    LISTING("nodes", "", "The nodes and coordinators, and what each is doing", NULL),
    {"drain", "NODE", "Make a node empty: it gets no new mail, and hands what it holds to the others",
        "It stays drained until `todoku undrain`, also over restarts. Mail of a pool that no other node has "
        "a "
        "source of stays,\nand is sent from there. --wait ends with 0 when nothing is left; Ctrl-C ends the "
        "waiting only.",
        cli_drain_options, 0, cli_drain},
    {"undrain", "NODE", "Give a node new mail again", NULL, cli_undrain_options, 0, cli_drain},
    LISTING("sources", "", "The egress addresses: helo name, pools, connections", NULL),
    LISTING("lanes", "", "Each source towards each provider: limits, connections, results", NULL),
    LISTING("queues", "", "What waits, by tenant, campaign and domain", NULL),
    LISTING("providers", "", "The receivers as groups of mail hosts", NULL),
    LISTING("tenants", "", "The tenants, and what they have queued", NULL),
    LISTING("alerts", "", "What needs a person: since when, how bad, what to do", NULL),
    LISTING("events", "", "What happened; --follow goes on with what happens",
        "Without --follow: the events kept, narrowed by the selectors."),
    LISTING("messages", "", "Search messages: where is the mail to bob?",
        "Like: todoku messages --to bob@example.net"),
    LISTING("message", "ID", "A message's whole history",
        "The id is in the answer to the message: `250 2.0.0 queued as ID`."),
    LISTING(
        "explain", "ADDRESS", "Where mail to an address would go, by which limits and rules, and why", NULL),
    {"pause", "", "Send nothing of a tenant, a campaign, to a domain ... for a while",
        "It holds on all nodes within a second, also for mail that is queued; what is being sent just then "
        "is "
        "finished. Mail\nthat reaches its greatest age meanwhile expires. Selectors are joined by \"and\".",
        cli_pause_options, 0, cli_pause},
    {"resume", "[ID]", "Lift pauses: one by its id, or those that name exactly this", NULL,
        cli_resume_options, 0, cli_resume},
    LISTING("pauses", "", "What is paused: since when, until when, by whom and why", NULL),
    {"retry", "", "Try queued mail at once, whatever it waits for", "A pause goes before it.",
        cli_act_options, 0, cli_act},
    {"bounce", "", "Give queued mail up: its senders are told",
        "What is being sent just then is not touched.", cli_act_options, 0, cli_act},
    {"delete", "", "Take queued mail away: nobody is told, the events say `cancelled`",
        "What is being sent just then is not touched.", cli_act_options, 0, cli_act},
    {"completion", "bash", "Print the completion for the shell",
        "Use it like this: source <(todoku completion bash)", NULL, 0, cli_completion},
};
#define COMMANDS (sizeof commands / sizeof *commands)

/* Sizes of tables in other files are known only now. */
static void fill_counts(void)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (commands[i].options == cli_act_options)
            commands[i].option_count = cli_act_option_count;
        else if (commands[i].options == cli_config_options)
            commands[i].option_count = cli_config_option_count;
        else if (commands[i].options == cli_pause_options)
            commands[i].option_count = cli_pause_option_count;
        else if (commands[i].options == cli_resume_options)
            commands[i].option_count = cli_resume_option_count;
        else if (commands[i].options == cli_keygen_options)
            commands[i].option_count = cli_keygen_option_count;
        else if (commands[i].options == cli_members_options)
            commands[i].option_count = cli_members_option_count;
        else if (commands[i].options == cli_listing_options)
            commands[i].option_count = cli_listing_option_count;
        else if (commands[i].options == cli_send_options)
            commands[i].option_count = cli_send_option_count;
        else if (commands[i].options == cli_spools_options)
            commands[i].option_count = cli_spools_option_count;
        else if (commands[i].options == cli_drain_options)
            commands[i].option_count = cli_drain_option_count;
        else if (commands[i].options == cli_undrain_options)
            commands[i].option_count = cli_undrain_option_count;
        else if (commands[i].options == cli_dkim_options)
            commands[i].option_count = cli_dkim_option_count;
    }
}

const struct cli_command *cli_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

const struct cli_command *cli_commands(size_t *count_r)
{
    *count_r = COMMANDS;
    return commands;
}

static void help(FILE *out)
{
    fputs("usage: todoku COMMAND [options]\n"
          "Todoku accepts mail and delivers it.\n\n",
        out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].summary);
    fputs("\n`todoku COMMAND --help` says more; `todoku --version`; `todoku --man` prints the manual page.\n"
          "Commands that ask a server find it by --api URL ($TODOKU_API, else http://127.0.0.1:8025)\n"
          "and --key KEY ($TODOKU_KEY). Exit: 0 done, 1 refused or failed, 2 wrong usage or config.\n",
        out);
}

static int general(const char *word)
{
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        help(stdout);
    else if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        puts("todoku " TODOKU_VERSION);
    else if (strcmp(word, "--man") == 0)
        cli_manual();
    else
        return -1;
    return 0;
}

int main(int argc, char **argv)
{
    fill_counts();
    if (argc < 2) {
        help(stderr);
        return 2;
    }
    if (general(argv[1]) == 0)
        return 0;
    const struct cli_command *command = cli_command(argv[1]);
    if (command == NULL) {
        fprintf(stderr, "todoku: there is no command `%s`; `todoku --help` lists them\n", argv[1]);
        return 2;
    }
    int code = command->run(argc - 1, argv + 1);
    /* What nobody can read was not done: a full disk or a closed pipe behind stdout. */
    if (fflush(stdout) != 0 && code == 0) {
        perror("todoku: cannot write the answer");
        return 1;
    }
    return code;
}
