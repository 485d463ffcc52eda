/* dkim_keys - see dkim_keys.h */
#include "cli/dkim_keys.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/map.h"
#include "cli/start.h"
#include "node/keyring.h"

void dkim_keys_each(const struct settings *settings, dkim_keys_visit *visit, void *context)
{
    for (size_t i = 0; i < settings->tenant_count; i++)
        for (size_t j = 0; j < settings->tenants[i].dkim_count; j++)
            visit(context, settings->tenants[i].id, &settings->tenants[i].dkim[j]);
    for (size_t i = 0; i < settings->operator_dkim_count; i++)
        visit(context, NULL, &settings->operator_dkim[i]);
}

size_t dkim_keys_count(const struct settings *settings)
{
    size_t count = settings->operator_dkim_count;
    for (size_t i = 0; i < settings->tenant_count; i++)
        count += settings->tenants[i].dkim_count;
    return count;
}

/* ---- checking ---- */

struct checking {
    const struct settings *settings;
    const struct passwd *user;
    FILE *out;
    struct map seen; /* files */
    size_t faults;
};

/* Read at the start by root; but after that nobody can read it again. */
static void say_unreadable_later(const struct checking *checking, const char *file)
{
    struct stat st;
    const struct passwd *user = checking->user;
    if (user == NULL || stat(file, &st) != 0 || (st.st_uid == user->pw_uid && (st.st_mode & 0400) != 0) ||
        (st.st_gid == user->pw_gid && (st.st_mode & 0040) != 0))
        return;
    const struct group *group = getgrgid(user->pw_gid); /* often, but not always, of the user's name */
    fprintf(checking->out,
        "%s: note: %s can't be read by %s, so a reload keeps the key that was read at the start; to change "
        "keys without a restart: chgrp %s %s && chmod 640 %s\n",
        checking->settings->file, file, user->pw_name, group == NULL ? user->pw_name : group->gr_name, file,
        file);
}

static void check_one(void *context, const char *tenant, const struct setting_dkim *setting)
{
    struct checking *checking = context;
    struct error why;
    if (map_set_text(&checking->seen, setting->key_file, (void *)setting) != NULL)
        return;
    struct signing_key *key = signing_key_load(setting->key_file, &why);
    if (key == NULL) {
        checking->faults++;
        fprintf(checking->out, "%s: dkim of %s, %s._domainkey.%s: %s\n", checking->settings->file,
            tenant == NULL ? "the operator" : tenant, setting->selector, setting->domain, why.text);
        return;
    }
    if (signing_key_kind(key) == SIGNING_RSA && signing_key_bits(key) < KEYRING_ADVISED_BITS)
        fprintf(checking->out, "%s: note: %s is an RSA key of %u bits; %d are advised\n",
            checking->settings->file, setting->key_file, signing_key_bits(key), KEYRING_ADVISED_BITS);
    say_unreadable_later(checking, setting->key_file);
    signing_key_drop(&key);
}

/* Takes on the group of the user who will be become; returns what to go back to. */
static gid_t take_group(const struct passwd *user)
{
    gid_t before = getegid();
    if (user != NULL && setegid(user->pw_gid) != 0)
        return before;
    return before;
}

static void give_group_back(gid_t before)
{
    if (getegid() != before && setegid(before) != 0)
        _exit(1); /* nobody goes on as somebody else */
}

size_t dkim_keys_check(const struct settings *settings, FILE *out)
{
    struct passwd *user = NULL;
    struct error why;
    start_find_user(settings, &user, &why); /* who is not there is said at the start */
    struct checking checking = {.settings = settings, .user = user, .out = out};
    gid_t before = take_group(user);
    dkim_keys_each(settings, check_one, &checking);
    give_group_back(before);
    map_free(&checking.seen);
    return checking.faults;
}

struct keyring *dkim_keys_load(
    const struct settings *settings, const struct passwd *user, struct error *error)
{
    gid_t before = take_group(user);
    struct keyring *keyring = keyring_load(settings, NULL, error);
    give_group_back(before);
    return keyring;
}
