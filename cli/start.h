/* start - what the long-running commands do on their way up: settings, user, folders, signals */
#ifndef CLI_START_H
#define CLI_START_H

#include <pwd.h>
#include <signal.h>
#include <stdbool.h>

#include "base/error.h"
#include "cluster/settings.h"

/* Says all faults on stderr. 0, or -1. `data_dir` (or null) goes over the file's. */
int start_read_settings(const char *file, char *data_dir, struct settings **settings_r);
/* As above, with the cluster-wide part from version `number` of the cluster's configuration (0: the file's).
 */
int start_read_settings_over(const char *file, char *data_dir, uint64_t number, const char *text, size_t len,
    struct settings **settings_r);
/* Prints and frees them; -1. */
int start_say_faults(struct fault *faults, size_t count);
/* Null where nobody else is to be become. */
int start_find_user(const struct settings *settings, struct passwd **user_r, struct error *error);
int start_make_data_dir(const char *dir, const struct passwd *user, struct error *error);
int start_become(const struct passwd *user, struct error *error);
void start_raise_file_limit(void);
/* Blocks what start_wait waits for, in this thread and all it starts; before any is started. */
void start_block_signals(void);
#define START_POKE SIGUSR1 /* one thread of the process tells the waiting one to look */
/* The next of SIGTERM, SIGINT, SIGHUP, START_POKE. */
int start_wait(void);
/* SIGTERM or SIGINT has come and was not waited for yet: for starts that wait for something else. */
bool start_is_ended(void);
/* From now on a further SIGTERM or SIGINT ends the process at once. */
void start_end_hard(void);

#endif
