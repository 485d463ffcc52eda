/* commands - the subcommands of `todoku`, one row each
 *
 * main.c holds the table; help, the manual page and shell completion are made from it. A command gets its own
 * arguments (argv[0] is the subcommand's name), writes what it found to stdout and why it refused to stderr,
 * and returns the exit code: 0 done, 1 refused or failed, 2 wrong usage or config. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include <stddef.h>

struct cli_option {
    char letter;       /* or 0 */
    const char *name;  /* without the dashes */
    const char *value; /* what its argument is called; null = it takes none */
    const char *help;
};

struct cli_command {
    const char *name;
    const char *arguments;            /* "ADDRESS", "[FILE]"; "" = none */
    const char *summary;              /* one line, without a stop at its end */
    const char *more;                 /* sentences for --help, or null */
    const struct cli_option *options; /* null: the command reads its arguments (and --help) itself */
    size_t option_count;
    int (*run)(int argc, char **argv);
};

/* The row of a subcommand, or null; and the whole table. */
const struct cli_command *cli_command(const char *name);
const struct cli_command *cli_commands(size_t *count_r);

int cli_act(int argc, char **argv); /* retry, bounce, delete: whatever argv[0] says */
int cli_check(int argc, char **argv);
int cli_completion(int argc, char **argv);
int cli_config(int argc, char **argv); /* the cluster's */
int cli_coordinator(int argc, char **argv);
int cli_dkim(int argc, char **argv);
int cli_drain(int argc, char **argv); /* drain, undrain: whatever argv[0] says */
int cli_key(int argc, char **argv);
int cli_keygen(int argc, char **argv);
int cli_listing(int argc, char **argv); /* status, queues ... whatever argv[0] says */
int cli_members(int argc, char **argv);
int cli_node(int argc, char **argv);
int cli_pause(int argc, char **argv);
int cli_resume(int argc, char **argv);
int cli_send(int argc, char **argv);
int cli_spools(int argc, char **argv);
int cli_up(int argc, char **argv);

/* The tables of options that stand in the commands' own files. */
extern const struct cli_option cli_act_options[], cli_config_options[], cli_keygen_options[],
    cli_listing_options[], cli_members_options[], cli_pause_options[], cli_resume_options[],
    cli_send_options[], cli_spools_options[];
extern const size_t cli_act_option_count, cli_config_option_count, cli_keygen_option_count,
    cli_listing_option_count, cli_members_option_count, cli_pause_option_count, cli_resume_option_count,
    cli_send_option_count, cli_spools_option_count;

/* manual.c: the whole program as a manual page (roff) on stdout. */
void cli_manual(void);

/* drain.c */
extern const struct cli_option cli_drain_options[], cli_undrain_options[];
extern const size_t cli_drain_option_count, cli_undrain_option_count;

/* dkim.c */
extern const struct cli_option cli_dkim_options[];
extern const size_t cli_dkim_option_count;

#endif
