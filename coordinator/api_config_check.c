/* api_config_check - whether a text may become the configuration in force (api_config_inside.h)
 *
 * First by itself, as `todoku check` reads a file; then against what works by it just now: a pool that a
 * source is in, and this coordinator's default_tenant, must not go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "coordinator/api_config_inside.h"

#define MAX_FAULTS 100

struct faults {
    struct buffer text;
    size_t count;
};

static void add(struct faults *faults, const char *text)
{
    if (faults->count++ < MAX_FAULTS)
        buffer_printf(&faults->text, "\n%s", text);
}

static void check_view(
    const struct settings *settings, const struct view *view, const char *origin, struct faults *faults)
{
    char text[512];
    for (size_t i = 0; i < view->node_count; i++) {
        const struct view_node *node = &view->nodes[i];
        for (size_t j = 0; j < node->source_count; j++)
            for (size_t k = 0; k < node->sources[j].pool_count; k++) {
                if (settings_pool(settings, node->sources[j].pools[k]) != NULL)
                    continue;
                snprintf(text, sizeof text,
                    "%s: the pool `%s` is missing, and the source %s of the node %s is in it: keep the pool, "
                    "or "
                    "take the source out of it first (node.sources in the node's file)",
                    origin, node->sources[j].pools[k], node->sources[j].address, node->id);
                add(faults, text);
            }
    }
}

static void check_own(
    const struct api *api, const struct settings *settings, const char *origin, struct faults *faults)
{
    const struct settings *own = api->settings;
    const char *tenant = own->coordinator.default_tenant;
    char text[512];
    if (tenant == NULL || settings_tenant(settings, tenant) != NULL)
        return;
    snprintf(text, sizeof text,
        "%s: the tenant `%s` is missing, and the coordinator %s takes mail as it "
        "(coordinator.default_tenant)",
        origin, tenant, own->coordinator.id);
    add(faults, text);
}

int api_config_check(
    const struct api *api, const char *text, size_t len, const char *origin, struct api_answer *answer_r)
{
    struct fault *list;
    size_t count;
    struct faults faults = {0};
    struct settings *settings = settings_parse_shared(text, len, origin, &list, &count);
    for (size_t i = 0; i < count; i++)
        add(&faults, list[i].text);
    free(list);
    if (settings != NULL) {
        const struct api_admin *admin = api->admin;
        struct view *view = admin->view == NULL ? NULL : admin->view(admin->context);
        if (view != NULL)
            check_view(settings, view, origin, &faults);
        view_drop(&view);
        check_own(api, settings, origin, &faults);
        settings_free(&settings);
    }
    if (faults.count > 0)
        api_problem(answer_r, 422, "%zu fault%s; everything stays as it was:%s", faults.count,
            faults.count == 1 ? "" : "s", buffer_text(&faults.text));
    buffer_free(&faults.text);
    return faults.count == 0 ? 0 : -1;
}
