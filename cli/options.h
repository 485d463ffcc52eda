/* options - reads a command's arguments by its row of the table
 *
 *     struct cli_args args;
 *     int code = cli_parse(argc, argv, &args);
 *     if (code >= 0)
 *         return code;                        help was given (0), or the usage was wrong (2)
 *     const char *limit = cli_value(&args, "limit");
 * The command is found by argv[0]. Options may stand anywhere; `--` ends them.
 *
 * Memory: values point into argv. Errors: said on stderr, with where to look. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/commands.h"

#define CLI_MAX_OPTIONS 32

struct cli_args {
    const struct cli_command *command;
    const char *values[CLI_MAX_OPTIONS]; /* by row of the options; the last one given; "" for a bare option */
    char **rest;                         /* what is no option */
    int rest_count;
};

int cli_parse(int argc, char **argv, struct cli_args *args_r);
/* The option's value, or null if it was not given. */
const char *cli_value(const struct cli_args *args, const char *name);
/* Says what is wrong and where help is; returns 2. */
int cli_wrong(const struct cli_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void cli_help(const struct cli_command *command, FILE *out);

#endif
