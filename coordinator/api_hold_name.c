/* api_hold_name - whom and what a pause or a command names, and whether there is such a thing
 * (api_hold_inside.h) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/config.h"
#include "base/query.h"
#include "coordinator/api_hold_inside.h"
#include "proto/address.h"

enum { TENANT, CAMPAIGN, POOL, SOURCE, PROVIDER, DOMAIN }; /* as hold_name() counts them */

#define refuse(answer, status, ...) (api_problem(answer, status, __VA_ARGS__), -1)

struct hold_match api_wish_match(const struct api_wish *wish)
{
    struct hold_match match = {0};
    for (size_t i = 0; i < HOLD_NAMES; i++)
        if (wish->names[i][0] != '\0')
            hold_match_set(&match, i, wish->names[i]);
    return match;
}

int api_wish_query(const char *query, bool listing, struct api_wish *wish_r, struct api_answer *answer_r)
{
    memset(wish_r, 0, sizeof *wish_r);
    for (size_t len; *query != '\0'; query += len + (query[len] == '&')) {
        len = strcspn(query, "&");
        size_t name = strcspn(query, "=&"), i = 0;
        while (i < HOLD_NAMES && (strlen(hold_name(i)) != name || strncmp(query, hold_name(i), name) != 0))
            i++;
        if (i == HOLD_NAMES && listing && name == 5 && strncmp(query, "limit", 5) == 0)
            continue;
        if (i == HOLD_NAMES)
            return refuse(answer_r, 400,
                "`%.*s` is no selector; there are tenant, campaign, pool, source, provider, domain.",
                name > 60 ? 60 : (int)name, query);
        if (!query_get(query, hold_name(i), wish_r->names[i], sizeof wish_r->names[i]) ||
            wish_r->names[i][0] == '\0')
            return refuse(answer_r, 400, "`%s` is empty, too long, or badly encoded.", hold_name(i));
    }
    return 0;
}

int api_wish_own(const struct api_plan *plan, struct api_wish *wish, struct api_answer *answer_r)
{
    char *tenant = wish->names[TENANT], *domain = wish->names[DOMAIN], clean[256];
    const char *own = api_plan_tenant(plan);
    struct error why;
    if (own != NULL && tenant[0] != '\0' && strcmp(tenant, own) != 0)
        return refuse(answer_r, 403, "This key is tenant %s's; it may not touch what is another's.", own);
    if (own != NULL)
        snprintf(tenant, sizeof wish->names[0], "%s", own);
    if (domain[0] == '\0')
        return 0;
    if (domain_clean(domain, strlen(domain), clean, &why) != 0)
        return refuse(answer_r, 400, "`domain`: %s.", why.text);
    snprintf(domain, sizeof wish->names[0], "%s", clean);
    return 0;
}

/* The first member of each is its name. */
_Static_assert(offsetof(struct setting_tenant, id) == 0, "a tenant's name comes first");
_Static_assert(offsetof(struct setting_pool, name) == 0, "a pool's name comes first");
_Static_assert(offsetof(struct setting_provider, name) == 0, "a provider's name comes first");

/* Names that there are, `count` texts `stride` bytes apart. */
struct names {
    const void *first;
    size_t count, stride;
};

static int unknown(
    struct api_answer *answer, size_t kind, const char *name, const struct names *names, const char *advice)
{
    const char *nearest = NULL, *text;
    for (size_t i = 0; i < names->count && nearest == NULL; i++) {
        memcpy(&text, (const char *)names->first + i * names->stride, sizeof text);
        nearest = text == NULL ? NULL : config_nearest(name, &text, 1);
    }
    if (nearest != NULL)
        return refuse(
            answer, 400, "There is no %s `%.100s`; did you mean `%.100s`?", hold_name(kind), name, nearest);
    return refuse(answer, 400, "There is no %s `%.100s`; %s.", hold_name(kind), name, advice);
}

static int check_source(const struct api *api, const char *address, struct api_answer *answer_r)
{
    struct view *view = api->holds == NULL ? NULL : api->holds->view(api->holds->context);
    size_t count = 0, room = 16;
    const char **known = xmalloc(room * sizeof *known);
    bool found = view == NULL; /* before the first view nobody knows */
    for (size_t i = 0; view != NULL && i < view->node_count && !found; i++)
        for (size_t j = 0; j < view->nodes[i].source_count && !found; j++) {
            if (count == room)
                known = xrealloc(known, (room *= 2) * sizeof *known);
            known[count++] = view->nodes[i].sources[j].address;
            found = strcmp(known[count - 1], address) == 0;
        }
    struct names names = {known, count, sizeof *known};
    int rc = found ? 0 : unknown(answer_r, SOURCE, address, &names, "`todoku sources` lists them");
    free(known);
    view_drop(&view);
    return rc;
}

/* Receivers that the configuration does not name are called by their first mail host, which has a dot. */
static bool may_be_provider(const struct settings *settings, const char *name)
{
    return settings_provider(settings, name) != NULL || strchr(name, '.') != NULL;
}

int api_wish_known(const struct api *api, const struct api_wish *wish, struct api_answer *answer_r)
{
    const struct settings *settings = api->settings;
    const char *tenant = wish->names[TENANT], *pool = wish->names[POOL], *provider = wish->names[PROVIDER];
    struct names tenants = {settings->tenants, settings->tenant_count, sizeof *settings->tenants};
    struct names pools = {settings->pools, settings->pool_count, sizeof *settings->pools};
    struct names providers = {settings->providers, settings->provider_count, sizeof *settings->providers};
    if (tenant[0] != '\0' && settings_tenant(settings, tenant) == NULL)
        return unknown(answer_r, TENANT, tenant, &tenants, "`todoku tenants` lists them");
    if (pool[0] != '\0' && settings_pool(settings, pool) == NULL)
        return unknown(answer_r, POOL, pool, &pools, "the configuration names them (`pools`)");
    if (provider[0] != '\0' && !may_be_provider(settings, provider))
        return unknown(answer_r, PROVIDER, provider, &providers, "`todoku providers` lists those in use");
    if (wish->names[SOURCE][0] != '\0')
        return check_source(api, wish->names[SOURCE], answer_r);
    return 0;
}
