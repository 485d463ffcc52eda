/* settings_check_sending - cross checks of the ways out: pools, sources, routes (see settings_inside.h) */
#include <string.h>

#include "cluster/settings_inside.h"

#define PER_THING 200 /* pools below one source or tenant that are compared with each other */

static void check_overflow(struct settings_check *check, const struct setting_pool *pool)
{
    const struct settings *settings = &check->block->settings;
    char hint[128];
    if (pool->overflow == NULL)
        return;
    const struct setting_pool *next = map_get_text(&check->block->pools, pool->overflow);
    if (next == NULL) {
        check_hint(pool->overflow, settings->pools, settings->pool_count, sizeof *settings->pools, hint);
        check_fault(check, &pool->overflow, "there is no pool `%s`%s", pool->overflow, hint);
        return;
    }
    /* A ring is said once for each pool on it: the walk ends where it began. */
    for (size_t steps = 0; next != NULL && next != pool && steps <= settings->pool_count; steps++)
        next = next->overflow == NULL ? NULL : map_get_text(&check->block->pools, next->overflow);
    if (next == pool)
        check_fault(check, &pool->overflow, "the overflow of `%s` leads back to itself; end it with `none`",
            pool->name);
}

static void check_pools(struct settings_check *check)
{
    struct settings *settings = &check->block->settings;
    for (size_t i = 0; i < settings->pool_count; i++) {
        struct setting_pool *pool = &settings->pools[i];
        if (pool->name == NULL)
            continue;
        if (strcmp(pool->name, "none") == 0)
            check_fault(check, &pool->name, "a pool cannot be named `none`; that word means no pool");
        if (map_get_text(&check->block->pools, pool->name) == NULL)
            map_set_text(&check->block->pools, pool->name, pool);
    }
    for (size_t i = 0; i < settings->pool_count; i++)
        if (settings->pools[i].name != NULL)
            check_overflow(check, &settings->pools[i]);
}

void check_pool_names(struct settings_check *check, char **names, size_t count)
{
    const struct settings *settings = &check->block->settings;
    char hint[128];
    for (size_t i = 0; i < count; i++) {
        if (names[i] == NULL)
            continue;
        if (map_get_text(&check->block->pools, names[i]) == NULL) {
            check_hint(names[i], settings->pools, settings->pool_count, sizeof *settings->pools, hint);
            check_fault(check, &names[i], "there is no pool `%s`%s", names[i],
                hint[0] != 0 ? hint : "; name it under `pools`");
        }
        for (size_t j = 0; j < i && i < PER_THING; j++)
            if (names[j] != NULL && strcmp(names[i], names[j]) == 0)
                check_fault(check, &names[i], "the pool `%s` is named twice", names[i]);
    }
}

static void check_address_once(
    struct settings_check *check, struct map *seen, const char *const *field, const char *word)
{
    if (*field == NULL)
        return;
    const void *first = map_get_text(seen, *field);
    if (first == NULL) {
        map_set_text(seen, *field, (void *)field);
        return;
    }
    check_fault(check, field, "the %s `%s` is used twice; first in line %u", word, *field,
        check_where(check, first).line);
}

static void check_sources(struct settings_check *check)
{
    const struct settings *settings = &check->block->settings;
    struct map addresses = {0}, publics = {0};
    for (size_t i = 0; i < settings->node.source_count; i++) {
        struct setting_source *source = &settings->node.sources[i];
        check_pool_names(check, source->pools, source->pool_count);
        check_address_once(check, &addresses, (const char *const *)&source->address, "address");
        if (source->address == NULL || !check_given(check, &source->public_address))
            continue;
        if (strcmp(source->address, source->public_address) != 0)
            check_address_once(
                check, &publics, (const char *const *)&source->public_address, "public address");
        if ((strchr(source->address, ':') == NULL) != (strchr(source->public_address, ':') == NULL))
            check_fault(check, &source->public_address,
                "`address` and `public` are of two families; a source has one, so write two sources");
    }
    map_free(&addresses);
    map_free(&publics);
}

static void check_routes(struct settings_check *check)
{
    const struct settings *settings = &check->block->settings;
    struct map domains = {0};
    for (size_t i = 0; i < settings->route_count; i++)
        check_address_once(check, &domains, (const char *const *)&settings->routes[i].domain, "domain");
    map_free(&domains);
}

void settings_check_sending(struct settings_check *check)
{
    check_pools(check);
    check_sources(check);
    check_routes(check);
}
