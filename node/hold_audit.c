/* hold_audit - see hold_audit.h */
#include "node/hold_audit.h"

#include <string.h>

#include "base/json_out.h"
#include "base/map.h"

static void tell(
    const struct hold_audit *audit, const char *action, const struct hold *hold, const char *by, usec_t when)
{
    struct buffer out = {0};
    char text[32];
    json_begin(&out, '{');
    json_text(&out, "time", clock_rfc3339(when, text));
    json_text(&out, "event", "audit");
    json_text(&out, "action", action);
    json_text(&out, "hold", hold->id);
    for (size_t i = 0; i < HOLD_NAMES; i++)
        if (hold_match_get(&hold->match, i) != NULL)
            json_text(&out, hold_name(i), hold_match_get(&hold->match, i));
    if (hold->until != 0)
        json_text(&out, "until", clock_rfc3339(hold->until, text));
    if (by != NULL)
        json_text(&out, "by", by);
    json_text(&out, "reason", hold->reason);
    json_text(&out, "node", audit->node);
    json_end(&out, '}');
    audit->tell(audit->context, buffer_text(&out), buffer_len(&out));
    buffer_free(&out);
}

static bool has_ended(const struct hold *hold, usec_t now)
{
    return hold->until != 0 && hold->until <= now;
}

static void index_of(const struct holds *set, struct map *ids)
{
    for (size_t i = 0; i < holds_count(set); i++)
        map_set_text(ids, holds_at(set, i)->id, (void *)holds_at(set, i));
}

void hold_audit_change(const struct hold_audit *audit, const struct holds *former, const struct holds *set,
    usec_t told, usec_t now)
{
    struct map before = {0}, after = {0};
    index_of(former, &before);
    index_of(set, &after);
    for (size_t i = 0; i < holds_count(former); i++) {
        const struct hold *hold = holds_at(former, i);
        if (map_get_text(&after, hold->id) != NULL || has_ended(hold, told))
            continue;
        bool ended = has_ended(hold, now);
        tell(audit, ended ? "expired" : "resume", hold, ended ? NULL : holds_lifted_by(set, hold->id), now);
    }
    for (size_t i = 0; i < holds_count(set); i++) {
        const struct hold *hold = holds_at(set, i);
        if (map_get_text(&before, hold->id) == NULL && !has_ended(hold, now))
            tell(audit, "pause", hold, hold->by, now);
    }
    map_free(&before);
    map_free(&after);
}

void hold_audit_ends(const struct hold_audit *audit, const struct holds *set, usec_t told, usec_t now)
{
    for (size_t i = 0; i < holds_count(set); i++)
        if (has_ended(holds_at(set, i), now) && !has_ended(holds_at(set, i), told))
            tell(audit, "expired", holds_at(set, i), NULL, now);
}
