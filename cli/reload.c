/* reload - see reload.h */
#include "cli/reload.h"

#include <string.h>

#include "base/log.h"
#include "cli/dkim_keys.h"
#include "cli/start.h"

int reload_first(struct reload *reload)
{
    return start_read_settings(reload->file, reload->data_dir, &reload->settings);
}

int reload_keys(struct reload *reload, const struct passwd *user, struct error *error)
{
    reload->keyring = dkim_keys_load(reload->settings, user, error);
    return reload->keyring == NULL ? -1 : 0;
}

static bool same_sources(const struct settings *a, const struct settings *b)
{
    bool same = a->node.source_count == b->node.source_count;
    for (size_t i = 0; same && i < a->node.source_count; i++)
        same = strcmp(a->node.sources[i].address, b->node.sources[i].address) == 0;
    return same;
}

static bool same_members(const struct settings *a, const struct settings *b)
{
    return strcmp(a->node.id, b->node.id) == 0 && strcmp(a->coordinator.id, b->coordinator.id) == 0 &&
           strcmp(a->cluster.name, b->cluster.name) == 0;
}

/* Frees what nobody reads any more; whether there is a place for the ones in force to go to. */
static bool make_place(struct reload *reload, usec_t now)
{
    size_t old = 0;
    while (old < reload->former_count && now - reload->former[old].since >= RELOAD_AGE)
        settings_free(&reload->former[old++].settings);
    reload->former_count -= old;
    memmove(&reload->former[0], &reload->former[old], reload->former_count * sizeof reload->former[0]);
    return reload->former_count < RELOAD_KEPT;
}

static void replace(struct reload *reload, struct settings *fresh, usec_t now)
{
    if (reload->first == NULL)
        reload->first = reload->settings;
    else
        reload->former[reload->former_count++] = (struct former){reload->settings, now};
    reload->settings = fresh;
}

/* In a process that signs: the keys of the fresh settings. */
static int take_keys(struct reload *reload, const struct settings *fresh)
{
    struct error error;
    if (reload->keyring == NULL)
        return 0;
    struct keyring *keyring = keyring_load(fresh, reload->keyring, &error);
    reload->lacks_keys = keyring == NULL;
    if (keyring == NULL) {
        log_error(reload->file, "%s; everything stays as it was, the keys too", error.text);
        return -1;
    }
    keyring_drop(&reload->keyring);
    reload->keyring = keyring;
    return 0;
}

int reload_again(struct reload *reload, uint64_t number, const char *text, size_t len, usec_t now)
{
    struct settings *fresh;
    if (!make_place(reload, now)) {
        log_error(reload->file, "was read again %d times within ten minutes: this time it is not; try later",
            RELOAD_KEPT);
        return -1;
    }
    if (start_read_settings_over(reload->file, reload->data_dir, number, text, len, &fresh) != 0) {
        log_error(reload->file, "the faults above: everything stays as it was");
        return -1;
    }
    if (!same_sources(fresh, reload->settings) || !same_members(fresh, reload->settings)) {
        log_error(reload->file,
            "the cluster's name, an id or the addresses of node.sources changed: that needs a restart; "
            "everything stays as it was");
        settings_free(&fresh);
        return -1;
    }
    if (take_keys(reload, fresh) != 0) {
        settings_free(&fresh);
        return -1;
    }
    replace(reload, fresh, now);
    if (number == 0)
        log_info(reload->file, "read again");
    else
        log_info(
            reload->file, "read again, with configuration %llu of the cluster", (unsigned long long)number);
    return 0;
}

void reload_free(struct reload *reload)
{
    for (size_t i = 0; i < reload->former_count; i++)
        settings_free(&reload->former[i].settings);
    settings_free(&reload->first);
    settings_free(&reload->settings);
    keyring_drop(&reload->keyring);
}
