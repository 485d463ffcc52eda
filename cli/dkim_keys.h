/* dkim_keys - the keys that a configuration names, one after the other */
#ifndef CLI_DKIM_KEYS_H
#define CLI_DKIM_KEYS_H

#include <stdio.h>

#include "cluster/settings.h"

/* `tenant` null: the operator's. */
typedef void dkim_keys_visit(void *context, const char *tenant, const struct setting_dkim *setting);
void dkim_keys_each(const struct settings *settings, dkim_keys_visit *visit, void *context);
size_t dkim_keys_count(const struct settings *settings);
/* Reads each of the files, as the node will: with the group of `user`, if that is to be become. Says on `out` what
 * can't be used, and what is weak; returns how many can't. */
size_t dkim_keys_check(const struct settings *settings, FILE *out);

struct passwd;
struct keyring;
struct error;
/* Reads all of them on the way up, before `user` (or null) is become: files that only root may read, and files
 * that belong to the group of the user, are both fine. */
struct keyring *dkim_keys_load(
    const struct settings *settings, const struct passwd *user, struct error *error);

#endif
