/* fuzz: any text as the operator's file: settings or faults, never both, never a crash */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/panic.h"
#include "cluster/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fault *faults;
    size_t count;
    struct settings *settings = settings_parse((const char *)data, size, "fuzz.yaml", &faults, &count);
    must((settings == NULL) == (count > 0));
    for (size_t i = 0; i < count; i++)
        must(
            memchr(faults[i].text, 0, sizeof faults[i].text) != NULL && strchr(faults[i].text, '\n') == NULL);
    free(faults);
    if (settings == NULL)
        return 0;
    must(settings->provider_count > 0 && strcmp(settings->providers[0].name, "default") == 0);
    must(settings->delivery.retry_count > 0 && settings->cluster.copies >= settings->cluster.min_copies);
    for (size_t i = 0; i < settings->tenant_count; i++)
        must(settings_tenant(settings, settings->tenants[i].id) == &settings->tenants[i] &&
             settings_pool(settings, settings->tenants[i].pools[0]) != NULL);
    settings_free(&settings);
    return 0;
}
