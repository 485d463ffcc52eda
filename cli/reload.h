/* reload - the settings of a running process, read again
 *
 * Threads may still read the former ones, so they are kept to the end of the process: a pointer once given
 * out stays good. What can't change without a restart (ids, addresses of sources) is looked at here. */
#ifndef CLI_RELOAD_H
#define CLI_RELOAD_H

#include <pwd.h>
#include <stdbool.h>

#include "base/clock.h"
#include "cluster/settings.h"
#include "node/keyring.h"

#define RELOAD_KEPT 1000 /* former ones; more than that within RELOAD_AGE are refused */
#define RELOAD_AGE (10 * USEC_MIN)

struct reload {
    const char *file;
    char *data_dir; /* over the file's; or null */
    struct settings *settings;
    struct keyring *keyring; /* their keys; null until reload_keys */
    bool lacks_keys;         /* the last reading came to nothing for want of a key */
    struct settings *first;  /* once they are no more in force */
    struct former {
        struct settings *settings;
        usec_t since;      /* no more in force since */
    } former[RELOAD_KEPT]; /* the oldest first */
    size_t former_count;
};

/* The first reading. 0, or -1: the faults have been said on stderr. */
int reload_first(struct reload *reload);
/* The file again, with the cluster's configuration `number` (0: none) laid over. 0: `settings` are the new
 * ones; -1: they stay as they were, and the log says why. */
int reload_again(struct reload *reload, uint64_t number, const char *text, size_t len, usec_t now);
/* For a process that signs: reads the keys that the settings name, before `user` (or null) is become. From then on
 * each reading reads them anew: one that is not there, and was not before, makes it fail. */
int reload_keys(struct reload *reload, const struct passwd *user, struct error *error);
void reload_free(struct reload *reload);

#endif
