/* provider - who receives: its limits, its lanes (one a source), and its stands (one a pool)
 *
 * All sites of a provider share its lanes. A stand gathers what the very same lanes may carry, so that it has one
 * order of turns; it lives as long as its provider. Lanes remember when the next message may start, so a
 * provider outlives its last site; once that is past it is forgotten. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "node/node_state.h"

static enum smtp_tls tls_of(enum tls_wish wish)
{
    return wish == TLS_WISH_REQUIRED ? SMTP_TLS_REQUIRED
           : wish == TLS_WISH_NONE   ? SMTP_TLS_NONE
                                     : SMTP_TLS_OPPORTUNISTIC;
}

static void set_limits(struct node *node, struct provider *provider, usec_t now)
{
    const struct settings *settings = node->settings;
    const struct setting_provider *setting = settings_provider(settings, provider->name);
    if (setting == NULL)
        setting = &settings->providers[0];
    provider->limits =
        (struct lane_limits){setting->connections, setting->messages_per_connection, setting->rate};
    provider->tls = tls_of(setting->has_tls ? setting->tls : settings->delivery.tls);
    for (size_t i = 0; i < node->source_count; i++)
        lane_set_limits(&provider->lanes[i], &provider->limits, now);
}

static void make_lanes(struct node *node, struct provider *provider)
{
    provider->lanes = xcalloc(node->source_count, sizeof *provider->lanes);
    provider->dispatch = xcalloc(node->source_count, sizeof *provider->dispatch);
    set_limits(node, provider, 0);
    for (size_t i = 0; i < node->source_count; i++) {
        struct dispatch *dispatch = &provider->dispatch[i];
        dispatch->provider = provider;
        dispatch->source = i;
        list_init(&dispatch->idle);
        list_init(&dispatch->holding);
        list_init(&dispatch->able);
        /* What the process before us sent is not known: every lane's pace starts one step after our start. */
        if (provider->limits.rate.count > 0)
            lane_start_later(&provider->lanes[i], node->started);
    }
}

struct provider *provider_get(struct node *node, const char *name)
{
    struct provider *provider = map_get_text(&node->providers, name);
    if (provider != NULL)
        return provider;
    provider = xcalloc(1, sizeof *provider);
    provider->name = xstrdup(name);
    list_init(&provider->sites);
    list_init(&provider->dirty);
    list_init(&provider->seeking);
    make_lanes(node, provider);
    map_set_text(&node->providers, name, provider);
    return provider;
}

/* ---- stands ---- */

static bool source_serves(const struct node *node, size_t source, const struct stand *stand)
{
    unsigned family = node->sources[source].family == AF_INET6 ? FAMILY_INET6 : FAMILY_INET;
    return (stand->families & family) != 0 && source_has_pool(node, source, stand->pool);
}

static void add_sources(struct node *node, struct stand *stand)
{
    stand->source_count = 0;
    for (size_t i = 0; i < node->source_count; i++) {
        if (!source_serves(node, i, stand))
            continue;
        struct dispatch *dispatch = &stand->provider->dispatch[i];
        dispatch->stands = xrealloc(dispatch->stands, (dispatch->stand_count + 1) * sizeof(struct stand *));
        dispatch->stands[dispatch->stand_count++] = stand;
        stand->sources[stand->source_count++] = i;
    }
}

static struct stand *stand_new(
    struct node *node, struct provider *provider, const char *pool, unsigned families)
{
    struct stand *stand = xcalloc(1, sizeof *stand);
    stand->provider = provider;
    stand->pool = xstrdup(pool);
    stand->families = families;
    stand->sources = xcalloc(node->source_count, sizeof *stand->sources);
    turns_init(&stand->turns, &node->turns_book);
    for (size_t i = 0; i < WISHES; i++)
        for (size_t j = 0; j < TURN_CLASSES; j++)
            list_init(&stand->wishes[i][j]);
    stand->index = provider->stand_count++;
    provider->stands = xrealloc(provider->stands, provider->stand_count * sizeof(struct stand *));
    provider->stands[stand->index] = stand;
    add_sources(node, stand);
    return stand;
}

static const char *stand_key(
    struct node *node, const struct provider *provider, const char *pool, unsigned families)
{
    buffer_clear(&node->scratch);
    buffer_add(&node->scratch, &provider, sizeof provider);
    buffer_add(&node->scratch, &families, sizeof families);
    buffer_add_text(&node->scratch, pool);
    return buffer_bytes(&node->scratch);
}

struct stand *stand_get(struct node *node, struct provider *provider, const char *pool, unsigned families)
{
    const char *key = stand_key(node, provider, pool, families);
    struct stand *stand = map_get(&node->stands, key, buffer_len(&node->scratch));
    if (stand == NULL) {
        stand = stand_new(node, provider, pool, families);
        map_set(&node->stands, key, buffer_len(&node->scratch), stand);
    }
    return stand;
}

static void stand_free(struct node *node, struct stand *stand)
{
    const char *key = stand_key(node, stand->provider, stand->pool, stand->families);
    map_remove(&node->stands, key, buffer_len(&node->scratch));
    list_remove(&stand->seeking);
    free(stand->sources);
    free(stand->pool);
    free(stand);
}

static bool has_wishes(const struct stand *stand)
{
    for (size_t i = 0; i < WISHES; i++)
        for (size_t j = 0; j < TURN_CLASSES; j++)
            if (stand->wish_count[i][j] > 0)
                return true;
    return false;
}

/* ---- being looked at ---- */

static void provider_look(struct node *node, struct provider *provider)
{
    if (!list_linked(&provider->looked_at))
        list_push_back(&node->dirty, &provider->looked_at);
}

void stand_seek(struct node *node, struct stand *stand)
{
    stand->full = false;
    if (list_linked(&stand->seeking) || !has_wishes(stand))
        return;
    list_push_back(&stand->provider->seeking, &stand->seeking);
    provider_look(node, stand->provider);
}

void lane_look(struct node *node, struct provider *provider, size_t source)
{
    if (!list_linked(&provider->dispatch[source].dirty))
        list_push_back(&provider->dirty, &provider->dispatch[source].dirty);
    provider_look(node, provider);
}

void lane_wake(struct node *node, struct dispatch *dispatch, usec_t when)
{
    if (!heap_has(&dispatch->timer) || dispatch->timer.key > when)
        heap_put(&node->lane_timers, &dispatch->timer, when);
}

void lane_freed(struct node *node, struct provider *provider, size_t source)
{
    const struct dispatch *dispatch = &provider->dispatch[source];
    for (size_t i = 0; i < dispatch->stand_count; i++)
        stand_seek(node, dispatch->stands[(dispatch->turn + i) % dispatch->stand_count]);
    lane_look(node, provider, source);
}

void provider_freed(struct node *node, struct provider *provider)
{
    for (size_t i = 0; i < node->source_count; i++)
        lane_freed(node, provider, i);
}

/* A connection that made way may not be followed by another now. */
static void forget_promises(struct node *node, struct stand *stand)
{
    for (size_t i = 0; i < TURN_CLASSES; i++)
        while (!list_empty(&stand->wishes[WISH_PROMISED][i])) {
            struct party *party = list_item(stand->wishes[WISH_PROMISED][i].next, struct party, wish);
            party_unwish(party);
            party_look(node, party);
        }
}

/* Limits may be narrower now. */
static void end_surplus(struct node *node, struct dispatch *dispatch, usec_t now)
{
    list_each_safe (link, &dispatch->idle) {
        struct session *session = list_item(link, struct session, of_lane);
        if (session_used_up(session))
            session_end_idle(node, session, now);
    }
}

void provider_settings(struct node *node, struct provider *provider, usec_t now)
{
    set_limits(node, provider, now);
    for (size_t i = 0; i < node->source_count; i++)
        provider->dispatch[i].stand_count = provider->dispatch[i].turn = 0;
    for (size_t i = 0; i < provider->stand_count; i++) {
        add_sources(node, provider->stands[i]);
        forget_promises(node, provider->stands[i]);
        stand_seek(node, provider->stands[i]);
    }
    list_each (link, &provider->sites)
        site_rouse(list_item(link, struct site, of_provider), node->source_count);
    for (size_t i = 0; i < node->source_count; i++)
        end_surplus(node, &provider->dispatch[i], now);
    provider_freed(node, provider);
}

/* ---- the end ---- */

void provider_free(struct node *node, struct provider *provider)
{
    for (size_t i = 0; i < provider->stand_count; i++)
        stand_free(node, provider->stands[i]);
    for (size_t i = 0; i < node->source_count; i++) {
        heap_remove(&node->lane_timers, &provider->dispatch[i].timer);
        free(provider->dispatch[i].stands);
    }
    list_remove(&provider->looked_at);
    free(provider->stands);
    free(provider->dispatch);
    free(provider->lanes);
    free(provider->name);
    free(provider);
}

static bool is_quiet(const struct node *node, const struct provider *provider, usec_t now)
{
    for (size_t i = 0; i < node->source_count; i++)
        if (provider->lanes[i].open > 0 || provider->lanes[i].unsettled > 0 || provider->lanes[i].next > now)
            return false;
    return list_empty(&provider->sites);
}

static void sweep(struct node *node, usec_t now)
{
    struct map_entry *at = NULL;
    for (struct provider *provider; (provider = map_next(&node->providers, &at)) != NULL;) {
        if (!is_quiet(node, provider, now))
            continue;
        map_remove_text(&node->providers, provider->name);
        provider_free(node, provider);
    }
    node->sweep_at = now + PROVIDER_SWEEP;
}

void provider_tick(struct node *node, usec_t now)
{
    for (struct heap_node *timer; (timer = heap_pop(&node->lane_timers, now)) != NULL;) {
        struct dispatch *dispatch = heap_item(timer, struct dispatch, timer);
        lane_freed(node, dispatch->provider, dispatch->source);
    }
    if (now >= node->sweep_at)
        sweep(node, now);
}
