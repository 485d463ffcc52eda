/* answer_holds - which pauses an explained address meets (node/answer.h)
 *
 * "paused_until", "pause", "pause_by", "pause_reason": of the one that ends last among those that stop all of this
 * mail. "also_paused": those that stop a part of it: one campaign, where none was asked for; one of the sources. */
#include <string.h>

#include "node/answer.h"

#define MAX_PARTS 20

enum fit { FITS_NOT, FITS_PART, FITS_ALL };

static bool is_alias(const struct settings *settings, const char *provider, const char *name)
{
    const struct setting_provider *setting = settings_provider(settings, provider);
    for (size_t i = 0; setting != NULL && i < setting->alias_count; i++)
        if (strcmp(setting->aliases[i], name) == 0)
            return true;
    return false;
}

static bool same(const char *named, const char *what)
{
    return named == NULL || (what != NULL && strcmp(named, what) == 0);
}

/* Whether mail of this pool may leave from this address here. */
static bool sends_from(const struct node *node, const char *address, const char *pool)
{
    for (size_t i = 0; i < node->source_count; i++) {
        const struct setting_source *setting = node->sources[i].setting;
        for (size_t j = 0; strcmp(setting->address, address) == 0 && j < setting->pool_count; j++)
            if (strcmp(setting->pools[j], pool) == 0)
                return true;
    }
    return false;
}

static enum fit fit_of(const struct node *node, const struct hold_match *match, const struct hold_match *what)
{
    bool part = match->source != NULL || (match->campaign != NULL && what->campaign == NULL);
    if (!same(match->tenant, what->tenant) || !same(match->pool, what->pool) ||
        !same(match->domain, what->domain))
        return FITS_NOT;
    if (!same(match->provider, what->provider) &&
        (what->provider == NULL || !is_alias(node->settings, what->provider, match->provider)))
        return FITS_NOT;
    if (what->campaign != NULL && !same(match->campaign, what->campaign))
        return FITS_NOT;
    if (match->source != NULL && !sends_from(node, match->source, what->pool))
        return FITS_NOT;
    return part ? FITS_PART : FITS_ALL;
}

static bool is_over(const struct hold *hold, usec_t now)
{
    return hold->until != 0 && hold->until <= now;
}

static bool ends_later(const struct hold *hold, const struct hold *than)
{
    return than == NULL || (than->until != 0 && (hold->until == 0 || hold->until > than->until));
}

static const char *end_of(const struct hold *hold, char room[32])
{
    return hold->until == 0 ? "it is lifted" : clock_rfc3339(hold->until, room);
}

/* "campaign spring until it is lifted: wrong link (3f2a...)" */
static void explain_part(struct asked *asked, const struct hold *hold)
{
    struct buffer text = {0};
    char room[32];
    if (hold->match.campaign != NULL)
        buffer_printf(&text, "campaign %s ", hold->match.campaign);
    if (hold->match.source != NULL)
        buffer_printf(&text, "from %s ", hold->match.source);
    buffer_printf(&text, "until %s%s%s (%s)", end_of(hold, room), hold->reason[0] == '\0' ? "" : ": ",
        hold->reason, hold->id);
    json_text(asked->out, NULL, buffer_text(&text));
    buffer_free(&text);
}

static void explain_parts(struct asked *asked, const struct hold_match *what)
{
    const struct holds *holds = asked->node->holds;
    size_t told = 0;
    for (size_t i = 0; i < holds_count(holds) && told < MAX_PARTS; i++) {
        const struct hold *hold = holds_at(holds, i);
        if (is_over(hold, asked->now) || fit_of(asked->node, &hold->match, what) != FITS_PART)
            continue;
        if (told++ == 0)
            json_begin_named(asked->out, "also_paused", '[');
        explain_part(asked, hold);
    }
    if (told > 0)
        json_end(asked->out, ']');
}

void explain_holds(struct asked *asked, const struct hold_match *what)
{
    const struct holds *holds = asked->node->holds;
    const struct hold *last = NULL;
    char room[32];
    for (size_t i = 0; i < holds_count(holds); i++) {
        const struct hold *hold = holds_at(holds, i);
        if (!is_over(hold, asked->now) && fit_of(asked->node, &hold->match, what) == FITS_ALL &&
            ends_later(hold, last))
            last = hold;
    }
    if (last != NULL) {
        json_text(asked->out, "paused_until", end_of(last, room));
        json_text(asked->out, "pause", last->id);
        json_text(asked->out, "pause_by", last->by);
        json_text(asked->out, "pause_reason", last->reason);
    }
    explain_parts(asked, what);
}
