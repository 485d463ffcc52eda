/* options - see options.h */
#include "cli/options.h"

#include <getopt.h>
#include <stdarg.h>
#include <string.h>

#include "base/panic.h"

int cli_wrong(const struct cli_command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "todoku %s: ", command->name);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\nusage: todoku %s%s%s; `todoku %s --help` says more\n", command->name,
        command->arguments[0] != '\0' ? " " : "", command->arguments, command->name);
    va_end(args);
    return 2;
}

void cli_help(const struct cli_command *command, FILE *out)
{
    fprintf(out, "usage: todoku %s [options]%s%s\n%s.\n", command->name,
        command->arguments[0] != '\0' ? " " : "", command->arguments, command->summary);
    if (command->more != NULL)
        fprintf(out, "%s\n", command->more);
    for (size_t i = 0; i < command->option_count; i++) {
        const struct cli_option *option = &command->options[i];
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", option->name, option->value == NULL ? "" : " ",
            option->value == NULL ? "" : option->value);
        if (option->letter != 0)
            fprintf(out, "  -%c, %-22s %s\n", option->letter, left, option->help);
        else
            fprintf(out, "      %-22s %s\n", left, option->help);
    }
    fputs("  -h, --help                 this text\n"
          "Exit: 0 done, 1 refused or failed, 2 wrong usage.\n",
        out);
}

/* The rows as getopt wants them. */
struct forms {
    struct option longs[CLI_MAX_OPTIONS + 2];
    char letters[2 * CLI_MAX_OPTIONS + 3];
};

static void make_forms(const struct cli_command *command, struct forms *forms)
{
    size_t used = 0;
    must(command->option_count <= CLI_MAX_OPTIONS);
    memset(forms, 0, sizeof *forms);
    forms->letters[used++] = 'h';
    for (size_t i = 0; i < command->option_count; i++) {
        const struct cli_option *option = &command->options[i];
        int takes = option->value == NULL ? no_argument : required_argument;
        forms->longs[i] = (struct option){option->name, takes, NULL, 1000 + (int)i};
        if (option->letter == 0)
            continue;
        forms->letters[used++] = option->letter;
        if (option->value != NULL)
            forms->letters[used++] = ':';
    }
    forms->longs[command->option_count] = (struct option){"help", no_argument, NULL, 'h'};
}

static size_t row_of(const struct cli_command *command, int found)
{
    if (found >= 1000)
        return (size_t)found - 1000;
    for (size_t i = 0; i < command->option_count; i++)
        if (command->options[i].letter == found)
            return i;
    panic("getopt gave the letter %d", found);
}

int cli_parse(int argc, char **argv, struct cli_args *args_r)
{
    const struct cli_command *command = cli_command(argv[0]);
    struct forms forms;
    must(command != NULL);
    memset(args_r, 0, sizeof *args_r);
    args_r->command = command;
    make_forms(command, &forms);
    optind = 0;
    for (int found; (found = getopt_long(argc, argv, forms.letters, forms.longs, NULL)) != -1;) {
        if (found == 'h') {
            cli_help(command, stdout);
            return 0;
        }
        if (found == '?') {
            fprintf(stderr, "`todoku %s --help` lists the options\n", command->name);
            return 2;
        }
        args_r->values[row_of(command, found)] = optarg == NULL ? "" : optarg;
    }
    args_r->rest = argv + optind;
    args_r->rest_count = argc - optind;
    return -1;
}

const char *cli_value(const struct cli_args *args, const char *name)
{
    for (size_t i = 0; i < args->command->option_count; i++)
        if (strcmp(args->command->options[i].name, name) == 0)
            return args->values[i];
    return NULL;
}
