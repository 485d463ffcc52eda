/* settings_inside - what the files of the settings share among themselves (cluster/settings*.c only) */
#ifndef CLUSTER_SETTINGS_INSIDE_H
#define CLUSTER_SETTINGS_INSIDE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/config.h"
#include "base/map.h"
#include "cluster/settings.h"

/* The one block that owns everything; `settings` is its first member. */
struct settings_block {
    struct settings settings;
    struct arena arena;
    struct map tenants, pools; /* by id, by name */
    struct map providers;      /* by name and alias */
    struct map suffixes;       /* providers by MX suffix */
};

struct settings_check {
    struct config *config;
    struct config *over; /* the cluster-wide part comes from here; or null */
    struct settings_block *block;
};

/* The text that said a field. */
static inline struct config *check_config(struct settings_check *check, const void *field)
{
    return check->over != NULL && config_given(check->over, field) ? check->over : check->config;
}
static inline bool check_given(struct settings_check *check, const void *field)
{
    return config_given(check_config(check, field), field);
}
static inline struct config_mark check_where(struct settings_check *check, const void *field)
{
    return config_where(check_config(check, field), field);
}

/* Fills in what depends on other keys: copies, public addresses, tenants' defaults. */
void settings_complete(struct settings_check *check);
/* Cross checks; all of them, each fault at its place. Run before the shipped providers are laid under. */
void settings_check_doors(
    struct settings_check *check); /* settings_check_doors.c: listeners, cluster, keys */
void settings_check_sending(
    struct settings_check *check); /* settings_check_sending.c: sources, pools, routes */
void settings_check_tenants(
    struct settings_check *check);                      /* settings_check_tenants.c: tenants, limits, dkim */
void settings_check_dkim(struct settings_check *check); /* settings_dkim.c: whose signatures are made */
void settings_check_schedules(struct settings_check *check); /* settings_check_schedules.c */
/* Lays the file's providers over the shipped ones, checks names and suffixes, fills `providers` and
 * `suffixes`. */
void settings_providers(struct settings_check *check);

/* Faults for names in a list of pools that don't exist or come twice. */
void check_pool_names(struct settings_check *check, char **names, size_t count);

/* Faults for names in a `match` that don't exist; tenants, pools and providers are known by then. */
void check_match(struct settings_check *check, char *const *tenant, char *const *pool, char *const *provider);

/* Completes what was read and judges it; `doors`: also what belongs to one process. */
void settings_judge(struct settings_check *check, bool doors);
/* Settings from those rows of a text. */
struct settings *settings_parse_rows(const struct config_row *rows, bool doors, const char *text, size_t len,
    const char *origin, struct fault **faults_r, size_t *fault_count_r);
/* The whole of a file; -1 with the one fault. */
int settings_read_file(
    const char *file, struct buffer *text_r, struct fault **faults_r, size_t *fault_count_r);
/* Adds every fault as one line with its place; `origin` names the text. */
void settings_tell_faults(
    struct config *config, const char *origin, struct fault **faults_r, size_t *fault_count_r);

/* A fault at the place of `field`. */
#define check_fault(check, field, ...)                                                                       \
    config_fault(check_config(check, field), check_where(check, field), __VA_ARGS__)
/* "; did you mean `x`?" for a name that is unknown, out of `count` texts `stride` bytes apart; or "". */
const char *check_hint(const char *text, const void *names, size_t count, size_t stride, char out[128]);

#endif
