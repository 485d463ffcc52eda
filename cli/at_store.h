/* at_store - a command that works in the store itself, by the `cluster` part of a member's file: `todoku members`, `todoku
 * spools`. It works when no member runs, and none answers.
 *
 *     return at_store("spools", cli_value(&args, "config"), work, &args);
 *
 * Errors: what is wrong with the file, and what `work` says, goes to stderr with the command's name before it. */
#ifndef CLI_AT_STORE_H
#define CLI_AT_STORE_H

#include "cli/members.h"

#define AT_STORE_CONFIG "/etc/todoku/todoku.yaml"
#define AT_STORE_BY_SIZE 128

/* 0, or -1 and why. */
typedef int at_store_work(const struct members *members, void *with, struct error *error);
/* `file`: null = AT_STORE_CONFIG. The process's exit status: 0; 1: `work` has failed; 2: the file is no member's. */
int at_store(const char *command, const char *file, at_store_work *work, void *with);
/* Lines of JSON as they are, or as a table; `none`: what is said instead of one without rows. */
int at_store_print(
    struct buffer *lines, bool json, const char *columns, const char *none, struct error *error);
/* Whose word it is that is written down: a user at a host. */
void at_store_who(char by[AT_STORE_BY_SIZE]);

#endif
