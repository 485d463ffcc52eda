/* commands - one function a subcommand of `todoku`
 *
 * Each gets its own arguments (argv[0] is the subcommand's name), writes what it found to stdout and why it
 * refused to stderr, and returns the exit code: 0 done, 1 refused or failed, 2 wrong usage or config. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

int cli_check(int argc, char **argv);
int cli_key(int argc, char **argv);

#endif
