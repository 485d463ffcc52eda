/* settings_check_tenants - cross checks of tenants and the shared limits (see settings_inside.h) */
#include <stdio.h>
#include <string.h>

#include "cluster/settings_inside.h"

static void check_tenants(struct settings_check *check)
{
    struct settings *settings = &check->block->settings;
    for (size_t i = 0; i < settings->tenant_count; i++) {
        struct setting_tenant *tenant = &settings->tenants[i];
        check_pool_names(check, tenant->pools, tenant->pool_count);
        if (tenant->id == NULL)
            continue;
        if (tenant->sandbox && settings->delivery.sink == NULL)
            check_fault(check, &tenant->id,
                "the tenant `%s` is in the sandbox, but delivery.sink is not set: his mail would really be "
                "sent",
                tenant->id);
        const struct setting_tenant *first = map_get_text(&check->block->tenants, tenant->id);
        if (first != NULL)
            check_fault(check, &tenant->id, "the tenant `%s` is given twice; first in line %u", tenant->id,
                check_where(check, &first->id).line);
        else
            map_set_text(&check->block->tenants, tenant->id, tenant);
    }
}

void check_match(struct settings_check *check, char *const *tenant, char *const *pool, char *const *provider)
{
    const struct settings *settings = &check->block->settings;
    char hint[128];
    if (*tenant != NULL && map_get_text(&check->block->tenants, *tenant) == NULL) {
        check_hint(*tenant, settings->tenants, settings->tenant_count, sizeof *settings->tenants, hint);
        check_fault(check, tenant, "there is no tenant `%s`%s", *tenant, hint);
    }
    if (*pool != NULL && map_get_text(&check->block->pools, *pool) == NULL) {
        check_hint(*pool, settings->pools, settings->pool_count, sizeof *settings->pools, hint);
        check_fault(check, pool, "there is no pool `%s`%s", *pool, hint);
    }
    if (*provider != NULL && map_get_text(&check->block->providers, *provider) == NULL) {
        check_hint(
            *provider, settings->providers, settings->provider_count, sizeof *settings->providers, hint);
        check_fault(check, provider, "there is no provider `%s`%s", *provider, hint);
    }
}

static void check_limits(struct settings_check *check)
{
    struct settings *settings = &check->block->settings;
    struct map names = {0};
    for (size_t i = 0; i < settings->limit_count; i++) {
        struct setting_limit *limit = &settings->limits[i];
        check_match(check, &limit->tenant, &limit->pool, &limit->provider);
        if (limit->name == NULL)
            continue;
        const struct setting_limit *first = map_get_text(&names, limit->name);
        if (first != NULL)
            check_fault(check, &limit->name, "the limit `%s` is given twice; first in line %u", limit->name,
                check_where(check, &first->name).line);
        else
            map_set_text(&names, limit->name, limit);
    }
    map_free(&names);
}

void settings_check_tenants(struct settings_check *check)
{
    check_tenants(check);
    check_limits(check);
    settings_check_dkim(check);
}
