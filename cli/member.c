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
    bool attached = member->attached;
    pthread_mutex_unlock(&member->lock);
    if (attached)
        member->part.view(member->part.context, view);
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
    member->config_fresh = number != 0 || member->config_told;
    member->config_number = number;
    member->config_told = true;
    pthread_mutex_unlock(&member->lock);
    poke();
}

static void on_silent(void *context, const char *name, bool silent)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    bool attached = member->attached;
    pthread_mutex_unlock(&member->lock);
    if (attached && member->part.silent != NULL)
        member->part.silent(member->part.context, name, silent);
}

static void on_away(void *context, const char *why)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    bool attached = member->attached;
    pthread_mutex_unlock(&member->lock);
    if (attached && member->part.away != NULL)
        member->part.away(member->part.context, why);
}

static void on_joined(void *context, uint64_t incarnation)
{
    struct member *member = context;
    pthread_mutex_lock(&member->lock);
    member->joined = true;
    member->incarnation = incarnation;
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
        .silent = on_silent,
        .away = on_away,
        .joined = on_joined,
        .ended = on_ended};
    member->bus = bus_local_new();
    member->control = control_open(member->settings, role, member->bus, &listener, error);
    return member->control == NULL ? 1 : 0;
}

void member_attach(struct member *member, const struct member_part *part)
{
    pthread_mutex_lock(&member->lock);
    member->part = *part;
    member->attached = true;
    struct view *view = member->view == NULL ? NULL : view_hold(member->view);
    pthread_mutex_unlock(&member->lock);
    if (view != NULL)
        part->view(part->context, view);
    view_drop(&view);
}

int member_join(
    struct member *member, const char *disk, const char *spool, uint64_t *incarnation_r, struct error *error)
{
    control_start(member->control);
    control_join(member->control, disk, spool);
    for (;;) {
        int signal = start_wait();
        pthread_mutex_lock(&member->lock);
        bool in = member->joined && member->config_told, ended = member->ended;
        *incarnation_r = member->incarnation;
        pthread_mutex_unlock(&member->lock);
        if (signal == SIGTERM || signal == SIGINT)
            return error_set(error, "%s", "");
        if (ended)
            return error_set(error, "%s", member->why);
        if (in)
            return 0;
    }
}

static void take_settings(struct member *member, uint64_t number, const char *text, size_t len)
{
    if (member->part.config != NULL)
        member->part.config(member->part.context, number);
    if (reload_again(&member->files, number, text, len) != 0)
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

/* SIGHUP: the file again, under the configuration in force. */
static void read_again(struct member *member)
{
    pthread_mutex_lock(&member->lock);
    member->config_fresh = true;
    pthread_mutex_unlock(&member->lock);
    member_take_config(member);
}

int member_run(struct member *member)
{
    for (;;) {
        int signal = start_wait();
        if (signal == SIGTERM || signal == SIGINT)
            return 0;
        if (signal == SIGHUP)
            read_again(member);
        pthread_mutex_lock(&member->lock);
        bool ended = member->ended;
        pthread_mutex_unlock(&member->lock);
        if (ended) {
            log_error("todoku", "stopping: %s", member->why);
            return 1;
        }
        member_take_config(member);
    }
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
    free(member->config_text);
    reload_free(&member->files);
    pthread_mutex_destroy(&member->lock);
}
