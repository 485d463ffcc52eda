/* manual - the manual page and the shell completion, made from the table of commands */
#include <stdio.h>
#include <string.h>

#include "cli/options.h"

#ifndef TODOKU_VERSION
#define TODOKU_VERSION "unknown"
#endif

/* Text for roff: a hyphen is a minus, a dot at the start of a line is no request. */
static void roff(const char *text)
{
    if (text[0] == '.' || text[0] == '\'')
        fputs("\\&", stdout);
    for (; *text != '\0'; text++) {
        if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\\')
            fputs("\\e", stdout);
        else
            putchar(*text);
    }
}

static void roff_option(const struct cli_option *option)
{
    fputs(".TP\n", stdout);
    if (option->letter != 0)
        printf("\\fB\\-%c\\fR, ", option->letter);
    fputs("\\fB\\-\\-", stdout);
    roff(option->name);
    fputs("\\fR", stdout);
    if (option->value != NULL)
        printf(" \\fI%s\\fR", option->value);
    putchar('\n');
    roff(option->help);
    putchar('\n');
}

static void roff_command(const struct cli_command *command)
{
    printf(".SS todoku %s ", command->name);
    roff(command->arguments);
    putchar('\n');
    roff(command->summary);
    puts(".");
    if (command->more != NULL) {
        roff(command->more);
        putchar('\n');
    }
    /* The listings share their options: they stand once, below. */
    if (command->options == cli_listing_options)
        return;
    for (size_t i = 0; i < command->option_count; i++)
        roff_option(&command->options[i]);
    if (command->options == NULL && strcmp(command->name, "completion") != 0)
        printf("\\fBtodoku %s \\-\\-help\\fR lists its options.\n", command->name);
}

void cli_manual(void)
{
    size_t count;
    const struct cli_command *commands = cli_commands(&count);
    puts(".TH TODOKU 1 \"\" \"todoku " TODOKU_VERSION "\" \"Todoku\"\n"
         ".SH NAME\ntodoku \\- accepts mail and delivers it\n"
         ".SH SYNOPSIS\n\\fBtodoku\\fR \\fICOMMAND\\fR [\\fIoptions\\fR]\n"
         ".SH COMMANDS");
    for (size_t i = 0; i < count; i++)
        roff_command(&commands[i]);
    puts(".SH OPTIONS OF THE LISTINGS");
    for (size_t i = 0; i < cli_listing_option_count; i++)
        roff_option(&cli_listing_options[i]);
    puts(".SH ENVIRONMENT\n.TP\n\\fBTODOKU_API\\fR\nWhere the API is; else http://127.0.0.1:8025.\n"
         ".TP\n\\fBTODOKU_KEY\\fR\nThe API key.\n.TP\n\\fBNO_COLOR\\fR\nNo colour, whatever stdout is.\n"
         ".SH EXIT STATUS\n0 done, 1 refused or failed (the reason is on stderr), 2 wrong usage or config.\n"
         ".SH SEE ALSO\n.BR todoku.yaml (5)");
}

int cli_completion(int argc, char **argv)
{
    size_t count;
    const struct cli_command *commands = cli_commands(&count);
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        cli_help(cli_command("completion"), stdout);
        return 0;
    }
    if (argc != 2 || strcmp(argv[1], "bash") != 0)
        return cli_wrong(cli_command("completion"), "only bash is known");
    puts("_todoku() {\n    local word=\"${COMP_WORDS[COMP_CWORD]}\" options=\"\"\n    COMPREPLY=()\n"
         "    case \"$([ \"$COMP_CWORD\" -gt 1 ] && echo \"${COMP_WORDS[1]}\")\" in");
    fputs("    \"\") options=\"--help --version", stdout);
    for (size_t i = 0; i < count; i++)
        printf(" %s", commands[i].name);
    puts("\" ;;");
    for (size_t i = 0; i < count; i++) {
        printf("    %s) options=\"--help", commands[i].name);
        for (size_t j = 0; j < commands[i].option_count; j++)
            printf(" --%s", commands[i].options[j].name);
        puts("\" ;;");
    }
    puts("    esac\n    mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n}\n"
         "complete -o default -F _todoku todoku");
    return 0;
}
