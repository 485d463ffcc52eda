/* settings_providers - the shipped receivers, with the file's laid over them by name (see settings_inside.h)
 *
 * A provider of the file that has a shipped one's name or alias changes what it says and keeps the rest; any
 * other one is new and takes what it doesn't say from `default`. `default` comes first in the result.
 *
 * Errors: faults for names and suffixes that two providers of the file claim. A suffix that the file gives to
 * another provider than the shipped one simply moves. */
#include <stdio.h>
#include <string.h>

#include "base/panic.h"
#include "cluster/settings_inside.h"
#include "cluster/settings_rows.h"

/* Made by CMake from providers.yaml. */
extern const char providers_yaml[];
extern const size_t providers_yaml_len;

static void shipped_read(struct settings *shipped, struct arena *arena)
{
    struct config *config = config_open(providers_yaml, providers_yaml_len, "providers.yaml");
    config_read(config, settings_shipped_rows, shipped, arena);
    if (config_fault_count(config) > 0)
        panic("providers.yaml:%u: %s", config_faults(config)->line, config_faults(config)->text);
    must(shipped->provider_count > 0 && strcmp(shipped->providers[0].name, "default") == 0);
    for (size_t i = 0; i < shipped->provider_count; i++)
        shipped->providers[i].has_tls = config_given(config, &shipped->providers[i].tls);
    config_close(&config);
}

/* `over` says what the file says; `base` fills in the rest. */
static struct setting_provider provider_merge(
    struct settings_check *check, const struct setting_provider *base, const struct setting_provider *over)
{
    struct setting_provider merged = *base;
    if (check_given(check, &over->aliases)) {
        merged.aliases = over->aliases;
        merged.alias_count = over->alias_count;
    }
    if (check_given(check, &over->mx_suffixes)) {
        merged.mx_suffixes = over->mx_suffixes;
        merged.mx_suffix_count = over->mx_suffix_count;
    }
    if (check_given(check, &over->connections))
        merged.connections = over->connections;
    if (check_given(check, &over->messages_per_connection))
        merged.messages_per_connection = over->messages_per_connection;
    if (check_given(check, &over->rate))
        merged.rate = over->rate;
    if (check_given(check, &over->tls)) {
        merged.tls = over->tls;
        merged.has_tls = true;
    }
    return merged;
}

/* The place of the provider called so among `count`; count if there is none. */
static size_t provider_index(const struct setting_provider *providers, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(providers[i].name, name) == 0)
            return i;
        for (size_t j = 0; j < providers[i].alias_count; j++)
            if (strcmp(providers[i].aliases[j], name) == 0)
                return i;
    }
    return count;
}

static bool provider_is_complete(const struct setting_provider *provider)
{
    bool complete = provider->name != NULL;
    for (size_t i = 0; i < provider->alias_count; i++)
        complete = complete && provider->aliases[i] != NULL;
    for (size_t i = 0; i < provider->mx_suffix_count; i++)
        complete = complete && provider->mx_suffixes[i] != NULL;
    return complete;
}

/* Notes who claims a word (a name, alias or suffix); a word of two providers of the file is a fault. */
static void claim(struct settings_check *check, struct map *claims, char **field, const char *what)
{
    char **first = map_get_text(claims, *field);
    if (first == NULL)
        map_set_text(claims, *field, field);
    else
        check_fault(check, field, "the %s `%s` is given twice; first in line %u", what, *field,
            check_where(check, first).line);
}

static void check_claims(struct settings_check *check, struct setting_provider *providers, size_t count)
{
    struct map names = {0}, suffixes = {0};
    for (size_t i = 0; i < count; i++) {
        struct setting_provider *provider = &providers[i];
        if (!provider_is_complete(provider))
            continue;
        claim(check, &names, &provider->name, "provider");
        for (size_t j = 0; j < provider->alias_count; j++)
            claim(check, &names, &provider->aliases[j], "provider");
        for (size_t j = 0; j < provider->mx_suffix_count; j++)
            claim(check, &suffixes, &provider->mx_suffixes[j], "suffix");
        if (strcmp(provider->name, "default") == 0 && provider->mx_suffix_count + provider->alias_count > 0)
            check_fault(
                check, &provider->name, "`default` stands for everybody else; give it no match or alias");
    }
    map_free(&names);
    map_free(&suffixes);
}

/* Later ones win: the shipped first, the file's over them. */
static void providers_index(struct settings_block *block, size_t shipped_count, const bool *touched)
{
    struct setting_provider *providers = block->settings.providers;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < block->settings.provider_count; i++) {
            bool ours = i < shipped_count && !touched[i];
            if (ours != (round == 0))
                continue;
            map_set_text(&block->providers, providers[i].name, &providers[i]);
            for (size_t j = 0; j < providers[i].alias_count; j++)
                map_set_text(&block->providers, providers[i].aliases[j], &providers[i]);
            for (size_t j = 0; j < providers[i].mx_suffix_count; j++)
                map_set_text(&block->suffixes, providers[i].mx_suffixes[j], &providers[i]);
        }
    }
}

void settings_providers(struct settings_check *check)
{
    struct settings_block *block = check->block;
    struct settings *settings = &block->settings, shipped = {0};
    struct setting_provider *over = settings->providers;
    size_t over_count = settings->provider_count;
    shipped_read(&shipped, &block->arena);
    check_claims(check, over, over_count);

    size_t count = shipped.provider_count;
    struct setting_provider *all = arena_take(&block->arena, (count + over_count) * sizeof *all);
    bool *touched = arena_take(&block->arena, count);
    memcpy(all, shipped.providers, count * sizeof *all);
    for (size_t i = 0; i < over_count; i++)
        if (over[i].name != NULL && provider_is_complete(&over[i]) && strcmp(over[i].name, "default") == 0)
            all[0] = provider_merge(check, &all[0], &over[i]);
    for (size_t i = 0; i < over_count; i++) {
        if (over[i].name == NULL || !provider_is_complete(&over[i]) || strcmp(over[i].name, "default") == 0)
            continue;
        size_t at = provider_index(all, shipped.provider_count, over[i].name);
        bool is_new = at == shipped.provider_count;
        if (is_new)
            at = count++;
        else
            touched[at] = true;
        all[at] = provider_merge(check, is_new ? &all[0] : &all[at], &over[i]);
        if (is_new)
            all[at].name = over[i].name;
    }
    settings->providers = all;
    settings->provider_count = count;
    providers_index(block, shipped.provider_count, touched);
}
