/* settings_dkim - whose keys sign a message, and the cross checks of that (see settings.h, settings_inside.h)
 *
 * Key files are not opened here: they lie on each node's own disk, and a text may be read where they are not.
 * What DNS can't tell apart, or would never be used, is a fault. */
#include <string.h>

#include "base/buffer.h"
#include "cluster/settings_inside.h"

/* How long a name in DNS may be, as text (RFC 1035 section 2.3.4). */
#define NAME_MOST 253

/* `domain` itself, or a name above it. */
static bool is_above(const char *above, const char *domain)
{
    size_t len = strlen(above), whole = strlen(domain);
    return len <= whole && strcmp(domain + whole - len, above) == 0 &&
           (len == whole || domain[whole - len - 1] == '.');
}

/* The longest of the tenant's domains with keys that is, or is above, `from`; or null. */
static const char *closest(const struct setting_tenant *tenant, const char *from)
{
    const char *best = NULL;
    for (size_t i = 0; i < tenant->dkim_count; i++)
        if (is_above(tenant->dkim[i].domain, from) &&
            (best == NULL || strlen(tenant->dkim[i].domain) > strlen(best)))
            best = tenant->dkim[i].domain;
    return best;
}

size_t settings_dkim_for(const struct settings *settings, const char *tenant_id, const char *from_domain,
    const struct setting_dkim *out[SETTINGS_DKIM_MOST])
{
    size_t count = 0;
    const struct setting_tenant *tenant = settings_tenant(settings, tenant_id);
    const char *domain = tenant == NULL ? NULL : closest(tenant, from_domain);
    for (size_t i = 0; domain != NULL && i < tenant->dkim_count && count < SETTINGS_DKIM_EACH; i++)
        if (strcmp(tenant->dkim[i].domain, domain) == 0)
            out[count++] = &tenant->dkim[i];
    for (size_t i = 0; i < settings->operator_dkim_count && i < SETTINGS_DKIM_EACH; i++)
        out[count++] = &settings->operator_dkim[i];
    return count;
}

bool settings_dkim_asks_from(const struct settings *settings, const char *tenant_id)
{
    const struct setting_tenant *tenant = settings_tenant(settings, tenant_id);
    return tenant != NULL && tenant->dkim_count > 0;
}

const char *setting_canon_name(enum setting_canon canon)
{
    static const char *const names[] = {
        "relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"};
    return names[canon];
}

/* ---- cross checks ---- */

/* Who was the first to name a selector of a domain. */
struct dkim_names {
    struct settings_check *check;
    struct map names; /* "selector._domainkey.domain" -> struct setting_dkim */
    struct buffer name;
};

/* Two keys under one name in DNS: verifiers would find one of them. One key that two tenants share is fine. */
static void check_name(struct dkim_names *names, const struct setting_dkim *list,
    const struct setting_dkim *dkim, bool operators)
{
    buffer_clear(&names->name);
    buffer_printf(&names->name, "%s._domainkey.%s", dkim->selector, dkim->domain);
    if (buffer_len(&names->name) > NAME_MOST)
        check_fault(names->check, &dkim->selector, "`%.80s._domainkey.%.120s` is too long for a name in DNS",
            dkim->selector, dkim->domain);
    const struct setting_dkim *first = map_get_text(&names->names, buffer_text(&names->name));
    if (first == NULL) {
        map_set_text(&names->names, buffer_text(&names->name), (void *)dkim);
        return;
    }
    if (first >= list && first < dkim)
        check_fault(names->check, &dkim->selector, "the selector `%s` of `%s` is given twice", dkim->selector,
            dkim->domain);
    else if (operators)
        check_fault(names->check, &dkim->selector,
            "the selector `%s` of `%s` is a tenant's too, in line %u: its mail would carry the signature "
            "twice",
            dkim->selector, dkim->domain, check_where(names->check, &first->selector).line);
    else if (first->key_file != NULL && dkim->key_file != NULL &&
             strcmp(first->key_file, dkim->key_file) != 0)
        check_fault(names->check, &dkim->selector,
            "the selector `%s` of `%s` has another key_file in line %u; DNS can tell only one key",
            dkim->selector, dkim->domain, check_where(names->check, &first->selector).line);
}

/* Of one list: a tenant's, or the operator's, all of which sign everything. */
static void check_list(
    struct dkim_names *names, const struct setting_dkim *list, size_t count, bool operators)
{
    for (size_t i = 0; i < count; i++) {
        size_t same = 0;
        if (list[i].domain == NULL || list[i].selector == NULL)
            continue;
        check_name(names, list, &list[i], operators);
        for (size_t j = 0; j < i; j++)
            same += list[j].domain != NULL && strcmp(list[j].domain, list[i].domain) == 0;
        if (same == SETTINGS_DKIM_EACH)
            check_fault(names->check, &list[i].domain,
                "`%s` has more than %d keys, and each signs every message; take old ones away",
                list[i].domain, SETTINGS_DKIM_EACH);
    }
}

static bool signs_something(const struct setting_tenant *tenant, const char *domain)
{
    for (size_t i = 0; i < tenant->domain_count; i++)
        if (tenant->domains[i] == NULL || strcmp(tenant->domains[i], "*") == 0 ||
            is_above(domain, tenant->domains[i]))
            return true;
    return false;
}

static void check_domains(struct settings_check *check, const struct setting_tenant *tenant)
{
    for (size_t i = 0; i < tenant->dkim_count; i++)
        if (tenant->dkim[i].domain != NULL && !signs_something(tenant, tenant->dkim[i].domain))
            check_fault(check, &tenant->dkim[i].domain,
                "`%s` would never sign: it is none of the tenant's domains, nor above one; add it to "
                "`domains`",
                tenant->dkim[i].domain);
}

void settings_check_dkim(struct settings_check *check)
{
    const struct settings *settings = &check->block->settings;
    struct dkim_names names = {.check = check};
    for (size_t i = 0; i < settings->tenant_count; i++) {
        const struct setting_tenant *tenant = &settings->tenants[i];
        check_list(&names, tenant->dkim, tenant->dkim_count, false);
        check_domains(check, tenant);
    }
    check_list(&names, settings->operator_dkim, settings->operator_dkim_count, true);
    map_free(&names.names);
    buffer_free(&names.name);
}
