/* member - see member.h */
#include "cli/member.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "cli/start.h"
#include "cluster/settings_member.h"

/* ---- what control tells, from its threads ---- */

static void poke(void)
{
    kill(getpid(), START_POKE);
}

static void on_view(void *context, struct view *view)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    view_drop(&member->view);
    member->view = view_hold(view);
    if (member->attached)
        member->part.view(member->part.context, view);
    pthread_mutex_unlock(&member->lock);
}

static void on_holds(void *context, struct holds *holds)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    bool first = member->holds == NULL;
    holds_drop(&member->holds);
    member->holds = holds_hold(holds);
    if (member->attached)
        member->part.holds(member->part.context, holds);
    pthread_mutex_unlock(&member->lock);
    if (first)
        poke();
}

static void on_config(void *context, uint64_t number, const char *text, size_t len)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    free(member->config_text);
    member->config_text = xmalloc(len + 1);
    if (len > 0)
        memcpy(member->config_text, text, len);
    member->config_len = len;
    member->config_fresh = member->config_fresh || number != 0 || member->config_told;
    member->config_number = number;
    member->config_told = true;
    pthread_mutex_unlock(&member->lock);
    poke();
}

/* To be let in, or moved, may take a while, and who fell silent meanwhile is not called so again. */
static void remember_silent(struct member *member, const char *name, bool silent)
{
    if (silent)
        free(map_set_text(&member->silent, name, xstrdup(name)));
    else
        free(map_remove_text(&member->silent, name));
}

static void on_silent(void *context, const char *name, bool silent)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    remember_silent(member, name, silent);
    if (member->attached && member->part.silent != NULL)
        member->part.silent(member->part.context, name, silent);
    pthread_mutex_unlock(&member->lock);
}

static void on_away(void *context, const char *why)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    if (member->attached && member->part.away != NULL)
        member->part.away(member->part.context, why);
    member->away = why != NULL;
    pthread_mutex_unlock(&member->lock);
    if (why != NULL)
        poke(); /* nobody waits for the holds any longer */
}

static void on_registered(void *context, const struct spool_home *home)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    member->home = *home;
    bool anew = member->attached && member->part.bound;
    member->moves = member->moves || anew;
    pthread_mutex_unlock(&member->lock);
    if (anew)
        poke();
}

static void on_elsewhere(void *context, const struct spool_home *home, const char *why)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    member->elsewhere = true;
    member->home = *home;
    snprintf(member->why, sizeof member->why, "%s", why);
    pthread_mutex_unlock(&member->lock);
    poke();
}

static void on_joined(void *context, uint64_t incarnation)
{
    struct member *member = context;
    (void)incarnation;
    pthread_mutex_lock(&member->lock);
    member->joined = true;
    pthread_mutex_unlock(&member->lock);
    poke();
}

static void on_ended(void *context, const char *why)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    member->ended = true;
    snprintf(member->why, sizeof member->why, "%s", why);
    pthread_mutex_unlock(&member->lock);
    poke();
}

/* ---- the main thread ---- */

int member_open(
    /* NOLINTNEXTLINE(readability-non-const-parameter): `files` keeps it, and the settings are given it */
    struct member *member, const char *file, char *data_dir, enum member_role role, struct error *error)
{
    *member = (struct member){.files = {.file = file, .data_dir = data_dir}, .role = role};
    pthread_mutex_init(&member->lock, NULL);
    if (reload_first(&member->files) != 0)
        return 2;
    member->settings = member->files.settings;
    struct fault *faults;
    size_t count;
    if (settings_check_member(member->settings, role, &faults, &count) != 0) {
        start_say_faults(faults, count);
        return 2;
    }
    struct control_listener listener = {.context = member,
        .view = on_view,
        .config = on_config,
        .holds = on_holds,
        .silent = on_silent,
        .away = on_away,
        .registered = on_registered,
        .joined = on_joined,
        .elsewhere = on_elsewhere,
        .ended = on_ended};
    member->bus = bus_local_new();
    member->control = control_open(member->settings, role, member->bus, &listener, error);
    return member->control == NULL ? 1 : 0;
}

static void tell_silent(const struct member *member, const struct member_part *part)
{
    struct map_entry *at = NULL;
    for (const char *name; part->silent != NULL && (name = map_next(&member->silent, &at)) != NULL;)
        part->silent(part->context, name, true);
}

static void forget_silent(struct member *member)
{
    struct map_entry *at = NULL;
    for (char *name; (name = map_next(&member->silent, &at)) != NULL;)
        free(name);
    map_free(&member->silent);
}

/* All under the lock: what comes meanwhile is newer, and must come behind. */
void member_attach(struct member *member, const struct member_part *part)
{
    pthread_mutex_lock(&member->lock);
    member->part = *part;
    member->attached = true;
    if (member->view != NULL)
        part->view(part->context, member->view);
    if (member->holds != NULL)
        part->holds(part->context, member->holds);
    tell_silent(member, part);
    pthread_mutex_unlock(&member->lock);
}

void member_detach(struct member *member)
{
    pthread_mutex_lock(&member->lock);
    member->attached = false;
    pthread_mutex_unlock(&member->lock);
}

/* SIGHUP: the file again, under the configuration in force. */
static void want_files(struct member *member)
{
    pthread_mutex_lock(&member->lock);
    member->config_fresh = true;
    pthread_mutex_unlock(&member->lock);
}

enum { WAIT_ON, LET_IN, NOT_HERE };

/* One of those, or -1: refused, or told to stop. */
static int look_at_join(struct member *member, int signal, struct spool_home *home_r, struct error *error)
{
    if (signal == SIGTERM || signal == SIGINT)
        return error_set(error, "%s", "");
    if (signal == SIGHUP)
        want_files(member);
    pthread_mutex_lock(&member->lock);
    bool told = member->config_told && (member->holds != NULL || member->away);
    int result = member->joined && told ? LET_IN : member->elsewhere ? NOT_HERE : WAIT_ON;
    if (member->ended || result == NOT_HERE)
        error_set(error, "%s", member->why);
    if (member->ended)
        result = -1;
    if (home_r != NULL)
        *home_r = member->home;
    pthread_mutex_unlock(&member->lock);
    return result;
}

int member_join(
    struct member *member, const struct spool_wish *wish, struct spool_home *home_r, struct error *error)
{
    int in = WAIT_ON;
    pthread_mutex_lock(&member->lock);
    member->joined = member->elsewhere = member->moves = false;
    pthread_mutex_unlock(&member->lock);
    control_start(member->control);
    control_join(member->control, wish);
    while (in == WAIT_ON)
        in = look_at_join(member, start_wait(), home_r, error);
    if (in < 0) /* whoever receives here is about to be closed */
        control_stop(member->control);
    return in < 0 ? -1 : in == NOT_HERE ? SPOOL_ELSEWHERE : 0;
}

static void take_settings(struct member *member, uint64_t number, const char *text, size_t len)
{
    if (member->part.config != NULL)
        member->part.config(member->part.context, number);
    if (reload_again(&member->files, number, text, len, clock_now()) != 0)
        return;
    member->settings = member->files.settings;
    member->part.settings(member->part.context, member->settings);
    control_set_settings(member->control, member->settings, number);
}

void member_take_config(struct member *member)
{
    pthread_mutex_lock(&member->lock);
    bool fresh = member->config_fresh;
    char *text = xmalloc(member->config_len + 1);
    size_t len = member->config_len;
    uint64_t number = member->config_number;
    if (len > 0)
        memcpy(text, member->config_text, len);
    member->config_fresh = false;
    pthread_mutex_unlock(&member->lock);
    if (fresh)
        take_settings(member, number, text, len);
    free(text);
}

int member_run(struct member *member)
{
    for (;;) {
        int signal = start_wait();
        if (signal == SIGTERM || signal == SIGINT)
            return 0;
        if (signal == SIGHUP)
            want_files(member);
        pthread_mutex_lock(&member->lock);
        bool ended = member->ended, moves = member->moves || member->elsewhere;
        pthread_mutex_unlock(&member->lock);
        if (ended) {
            log_error("todoku", "stopping: %s", member->why);
            return 1;
        }
        if (moves)
            return MEMBER_MOVES;
        member_take_config(member);
    }
}

void member_move(struct member *member)
{
    pthread_mutex_lock(&member->lock);
    member->moves = true;
    pthread_mutex_unlock(&member->lock);
    poke();
}

void member_stop(struct member *member)
{
    if (member->control != NULL)
        control_stop(member->control);
}

void member_close(struct member *member)
{
    control_close(&member->control);
    bus_local_free(&member->bus);
    view_drop(&member->view);
    holds_drop(&member->holds);
    forget_silent(member);
    free(member->config_text);
    reload_free(&member->files);
    pthread_mutex_destroy(&member->lock);
}
