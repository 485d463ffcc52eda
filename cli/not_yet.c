/* not_yet - see not_yet.h */
#include "cli/not_yet.h"

#include "base/log.h"

static void warn(const struct settings *settings, const char *what, const char *effect)
{
    log_warn(settings->file, "%s has no effect in this version: %s", what, effect);
}

static bool any_overflow(const struct settings *settings)
{
    for (size_t i = 0; i < settings->pool_count; i++)
        if (settings->pools[i].overflow != NULL)
            return true;
    return false;
}

void not_yet_warn(const struct settings *settings)
{
    if (settings->limit_count > 0)
        warn(settings, "limits", "only the providers' limits of each source hold");
    if (any_overflow(settings))
        warn(settings, "pools: overflow", "a pool without a usable source holds its mail");
    if (settings->rules_file != NULL)
        warn(settings, "rules_file", "replies are judged by stage, code and enhanced code");
}
