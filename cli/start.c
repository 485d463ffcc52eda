/* start - see start.h */
#include "cli/start.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

int start_say_faults(struct fault *faults, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%s\n", faults[i].text);
    free(faults);
    return -1;
}

int start_read_settings_over(const char *file, char *data_dir, uint64_t number, const char *text, size_t len,
    struct settings **settings_r)
{
    struct fault *faults = NULL;
    size_t count = 0;
    *settings_r = number == 0 ? settings_load(file, &faults, &count)
                              : settings_load_over(file, number, text, len, &faults, &count);
    if (*settings_r == NULL)
        return start_say_faults(faults, count);
    free(faults);
    if (data_dir != NULL)
        (*settings_r)->node.data_dir = data_dir;
    return 0;
}

int start_read_settings(const char *file, char *data_dir, struct settings **settings_r)
{
    return start_read_settings_over(file, data_dir, 0, NULL, 0, settings_r);
}

int start_find_user(const struct settings *settings, struct passwd **user_r, struct error *error)
{
    *user_r = NULL;
    if (settings->user == NULL || geteuid() != 0)
        return 0;
    *user_r = getpwnam(settings->user);
    return *user_r != NULL ? 0
                           : error_set(error,
                                 "user: there is no user \"%s\"; make one (useradd -r) or leave the line out",
                                 settings->user);
}

int start_make_data_dir(const char *dir, const struct passwd *user, struct error *error)
{
    if (mkdir(dir, 0750) != 0 && errno != EEXIST)
        return error_set(error, "node.data_dir: %s can't be made: %s", dir, strerror(errno));
    struct stat st;
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
        return error_set(error, "node.data_dir: %s is no folder", dir);
    if (user != NULL && st.st_uid == 0 && chown(dir, user->pw_uid, user->pw_gid) != 0)
        return error_set(
            error, "node.data_dir: %s can't be given to %s: %s", dir, user->pw_name, strerror(errno));
    return 0;
}

int start_become(const struct passwd *user, struct error *error)
{
    if (user == NULL)
        return 0;
    if (initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
        setuid(user->pw_uid) != 0)
        return error_set(error, "user: can't become %s: %s", user->pw_name, strerror(errno));
    return 0;
}

void start_raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* ---- signals ---- */

static void awaited(sigset_t *signals_r)
{
    sigemptyset(signals_r);
    sigaddset(signals_r, SIGTERM);
    sigaddset(signals_r, SIGINT);
    sigaddset(signals_r, SIGHUP);
    sigaddset(signals_r, START_POKE);
}

void start_block_signals(void)
{
    sigset_t signals;
    awaited(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int start_wait(void)
{
    sigset_t signals;
    int got = SIGTERM;
    awaited(&signals);
    if (sigwait(&signals, &got) != 0)
        return SIGTERM;
    if (got == SIGTERM || got == SIGINT)
        log_info("todoku", "stopping: what is in flight is finished");
    return got;
}

bool start_is_ended(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

static void on_second_signal(int signal)
{
    (void)signal;
    _exit(1);
}

void start_end_hard(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    signal(SIGTERM, on_second_signal);
    signal(SIGINT, on_second_signal);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}
