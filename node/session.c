/* session - one connection of ours: opening it, giving it work, its end
 *
 * CONNECTING -> OPENING (greeting, EHLO, TLS) -> IDLE -> FETCHING (body from the disk) -> SIGNING -> HOLDING (the
 * lane's pace) -> BUSY -> IDLE ... -> ENDING -> gone. What needs no waiting is passed over. A connection that failed before the peer took us in is followed by one to the next address (RFC 5321
 * section 5.1: at least two are tried); when all have failed the site has. The lane counts a connection from
 * before connecting until its socket is gone. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/panic.h"
#include "node/node_state.h"

struct session *session_find(const struct node *node, uint32_t number)
{
    return number == 0 || number > node->session_room ? NULL : node->sessions[number - 1];
}

struct lane *session_lane(const struct session *session)
{
    return &session->site->provider->lanes[session->source];
}

const struct mx_host *session_host(const struct session *session)
{
    size_t host = session->attempts[session->attempt].host;
    const struct mx_answer *answer = session->site->answer;
    return host < answer->host_count ? &answer->hosts[host] : NULL;
}

static struct way *session_way(const struct session *session)
{
    return &session->site->ways[session->source];
}

static uint32_t is_opening(enum session_state state)
{
    return state == SESSION_CONNECTING || state == SESSION_OPENING;
}

static uint32_t is_leaving(enum session_state state)
{
    return state == SESSION_QUITTING || state == SESSION_ENDING;
}

static uint32_t is_ahead(enum session_state state)
{
    return state == SESSION_FETCHING || state == SESSION_SIGNING || state == SESSION_HOLDING;
}

void session_set_state(struct session *session, enum session_state state)
{
    struct dispatch *dispatch = session_dispatch(session);
    struct way *way = session_way(session);
    way->opening += is_opening(state) - is_opening(session->state);
    dispatch->leaving += is_leaving(state) - is_leaving(session->state);
    dispatch->ahead[session->class] += is_ahead(state) - is_ahead(session->state);
    list_remove(&session->of_lane);
    list_remove(&session->of_way);
    if (state == SESSION_IDLE) {
        list_push_back(&dispatch->idle, &session->of_lane);
        list_push_back(&way->idle, &session->of_way);
        if (!list_linked(&way->able))
            list_push_back(&dispatch->able, &way->able);
    } else if (state == SESSION_HOLDING)
        list_push_back(&dispatch->holding, &session->of_lane);
    session->state = state;
}

static uint32_t free_number(struct node *node)
{
    for (size_t i = 0; i < node->session_room; i++) {
        size_t at = (node->session_turn + i) % node->session_room;
        if (node->sessions[at] == NULL) {
            node->session_turn = at + 1;
            return (uint32_t)at + 1;
        }
    }
    size_t room = node->session_room == 0 ? 16 : 2 * node->session_room;
    node->sessions = xrealloc(node->sessions, room * sizeof(struct session *));
    memset(node->sessions + node->session_room, 0, (room - node->session_room) * sizeof(struct session *));
    node->session_turn = node->session_room + 1;
    node->session_room = room;
    return (uint32_t)node->session_turn;
}

/* Hosts by preference, equal ones shuffled (RFC 5321 5.1), addresses of the source's family. */
static void plan_attempts(struct node *node, struct session *session)
{
    const struct mx_answer *answer = session->site->answer;
    uint8_t order[MX_MAX_HOSTS];
    size_t count = answer->host_count < MX_MAX_HOSTS ? answer->host_count : MX_MAX_HOSTS;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint8_t)i;
    for (size_t i = 1; i < count; i++) {
        size_t first = i;
        while (first > 0 && answer->hosts[order[first - 1]].preference == answer->hosts[order[i]].preference)
            first--;
        size_t other = first + random_below(&node->random, i - first + 1);
        uint8_t swap = order[i];
        order[i] = order[other];
        order[other] = swap;
    }
    for (size_t i = 0; i < count; i++) {
        const struct mx_host *host = &answer->hosts[order[i]];
        for (size_t j = 0; j < host->address_count && session->attempt_count < SESSION_MAX_ADDRESSES; j++)
            if (host->addresses[j].family == node->sources[session->source].family) {
                session->attempts[session->attempt_count].host = order[i];
                session->attempts[session->attempt_count++].address = (uint8_t)j;
            }
    }
}

/* The site's hosts may have been looked up anew since the attempts were planned. */
static bool attempt_stands(const struct session *session)
{
    const struct mx_host *host = session->attempt < session->attempt_count ? session_host(session) : NULL;
    return host != NULL && session->attempts[session->attempt].address < host->address_count;
}

static void connect_next(struct node *node, struct session *session, usec_t now)
{
    const struct mx_host *host = session_host(session);
    session_set_state(session, SESSION_CONNECTING);
    session->again = session->socket_gone = false;
    session->plain = session->plain || session->site->no_tls_until > now;
    node->ports.connect(node->ports.context, session->number, node->sources[session->source].setting->address,
        &host->addresses[session->attempts[session->attempt].address], session->site->port);
}

void session_open(struct node *node, struct site *site, size_t source, usec_t now)
{
    struct session *session = xcalloc(1, sizeof *session);
    session->number = free_number(node);
    session->site = site;
    session->source = source;
    node->sessions[session->number - 1] = session;
    node->session_count++;
    list_push_back(&site->sessions, &session->of_site);
    session_lane(session)->open++;
    session_way(session)->sessions++;
    plan_attempts(node, session);
    connect_next(node, session, now);
}

void session_free(struct node *node, struct session *session)
{
    heap_remove(&node->session_timers, &session->timer);
    session_set_state(session, SESSION_NEW);
    session_way(session)->sessions--;
    list_remove(&session->of_site);
    smtp_client_free(&session->client);
    list_remove(&session->of_signing);
    list_remove(&session->attempting);
    blob_drop(&session->head);
    blob_drop(&session->body);
    node->sessions[session->number - 1] = NULL;
    node->session_count--;
    free(session);
}

static void end(struct node *node, struct session *session, bool gently, usec_t now)
{
    if (session->state == SESSION_ENDING)
        return;
    batch_return(node, session, now);
    session_set_state(session, SESSION_ENDING);
    heap_remove(&node->session_timers, &session->timer);
    if (!session->socket_gone)
        node->ports.close(node->ports.context, session->number, gently);
}

static void quit(struct session *session, usec_t now)
{
    session_set_state(session, SESSION_QUITTING);
    smtp_client_quit(session->client, now);
}

void session_end_idle(struct node *node, struct session *session, usec_t now)
{
    if (session->state == SESSION_HOLDING) {
        batch_return(node, session, now);
        session_set_state(session, SESSION_IDLE);
    }
    if (session->state == SESSION_CONNECTING)
        end(node, session, false, now);
    else if (session->state == SESSION_IDLE) {
        quit(session, now);
        session_drain_client(node, session, now);
    }
}

/* Before the peer took us in: what went wrong concerns this address, or TLS with it. */
static void opening_failed(struct session *session, const struct smtp_client_report *report, usec_t now)
{
    session->last = report->reply;
    session->last_stage = report->stage;
    /* Not so after injected plaintext (4.7.0): somebody is in between, and would only be helped. */
    bool handshake = report->stage == SMTP_STARTTLS && report->reply.code == 0 &&
                     strcmp(report->reply.enhanced, "4.7.0") != 0;
    if (handshake && !session->plain && session->site->provider->tls == SMTP_TLS_OPPORTUNISTIC) {
        session->site->no_tls_until = now + NO_TLS_AFTER_FAILURE;
        session->plain = true;
        session->again = true;
    } else if (session->attempt + 1 < session->attempt_count) {
        session->attempt++;
        session->again = true;
    }
}

static void closed_by_client(
    struct node *node, struct session *session, const struct smtp_client_report *report, usec_t now)
{
    bool failed = !session->was_ready && !node->quiescing;
    if (failed)
        opening_failed(session, report, now);
    if (failed && !session->again)
        site_failed(node, session, now);
    end(node, session, true, now);
}

static void ready(struct node *node, struct session *session, usec_t now)
{
    if (!session->was_ready)
        site_worked(node, session->site);
    session->was_ready = true;
    session_set_state(session, SESSION_IDLE);
    if (node->quiescing || session_used_up(session))
        quit(session, now);
    else
        session_look(node, session);
}

static bool one_report(struct node *node, struct session *session, usec_t now)
{
    struct smtp_client_report report;
    switch (smtp_client_next(session->client, &report)) {
    case SMTP_CLIENT_NOTHING:
        return false;
    case SMTP_CLIENT_START_TLS:
        node->ports.start_tls(node->ports.context, session->number, session_host(session)->name);
        break;
    case SMTP_CLIENT_READY:
        ready(node, session, now);
        break;
    case SMTP_CLIENT_RESULT:
        batch_result(node, session, &report, now);
        break;
    case SMTP_CLIENT_SENT:
        batch_over(node, session, now);
        break;
    case SMTP_CLIENT_CLOSED:
        closed_by_client(node, session, &report, now);
        break;
    }
    return true;
}

static void set_timer(struct node *node, struct session *session, usec_t now)
{
    usec_t deadline = smtp_client_deadline(session->client);
    if (session->state == SESSION_IDLE && now + node->settings->delivery.idle < deadline)
        deadline = now + node->settings->delivery.idle;
    if (attempt_deadline(session) < deadline)
        deadline = attempt_deadline(session);
    if (deadline == USEC_NEVER)
        heap_remove(&node->session_timers, &session->timer);
    else
        heap_put(&node->session_timers, &session->timer, deadline);
}

void session_drain_client(struct node *node, struct session *session, usec_t now)
{
    while (one_report(node, session, now))
        ;
    struct iovec segment;
    if (smtp_client_output(session->client, &segment, 1) > 0)
        node->ports.output(node->ports.context, session->number);
    if (session->state != SESSION_ENDING && session->state != SESSION_HOLDING)
        set_timer(node, session, now);
}

void session_tick(struct node *node, usec_t now)
{
    for (struct heap_node *timer; (timer = heap_pop(&node->session_timers, now)) != NULL;) {
        struct session *session = heap_item(timer, struct session, timer);
        if (smtp_client_deadline(session->client) > now && session->state == SESSION_IDLE)
            quit(session, now);
        else {
            attempt_tick(node, session, now);
            smtp_client_tick(session->client, now);
        }
        session_drain_client(node, session, now);
    }
}

void node_connected(struct node *node, uint32_t number, usec_t now)
{
    struct session *session = session_find(node, number);
    if (session == NULL || session->state != SESSION_CONNECTING)
        return;
    const struct settings *settings = node->settings;
    struct smtp_client_settings client = {
        .helo = node->sources[session->source].setting->helo,
        .tls = session->plain && session->site->provider->tls != SMTP_TLS_REQUIRED
                   ? SMTP_TLS_NONE
                   : session->site->provider->tls,
        .greeting_timeout = settings->delivery.greeting_timeout,
        .command_timeout = settings->delivery.command_timeout,
        .data_timeout = settings->delivery.data_timeout,
        .block_timeout = settings->delivery.block_timeout,
        .dot_timeout = settings->delivery.dot_timeout,
    };
    smtp_client_free(&session->client);
    session->client = smtp_client_new(&client, now);
    session_set_state(session, SESSION_OPENING);
    session_drain_client(node, session, now);
    node_settle(node, now);
}

void node_received(struct node *node, uint32_t number, const char *bytes, size_t len, usec_t now)
{
    struct session *session = session_find(node, number);
    if (session == NULL || session->client == NULL || session->state == SESSION_ENDING)
        return;
    smtp_client_receive(session->client, bytes, len, now);
    session_drain_client(node, session, now);
    node_settle(node, now);
}

void node_secured(struct node *node, uint32_t number, bool ok, const char *detail, usec_t now)
{
    struct session *session = session_find(node, number);
    if (session == NULL || session->client == NULL || session->state == SESSION_ENDING)
        return;
    smtp_client_tls_done(session->client, ok, detail, now);
    session_drain_client(node, session, now);
    node_settle(node, now);
}

static void connect_failed(struct node *node, struct session *session, const char *why, usec_t now)
{
    struct smtp_client_report report = {.stage = SMTP_CONNECT};
    const struct mx_host *host = session_host(session);
    reply_local(&report.reply, "4.4.1", "connecting to %s: %s", host == NULL ? "the host" : host->name, why);
    session->last = report.reply;
    session->last_stage = report.stage;
    session->again = session->attempt + 1 < session->attempt_count;
    session->attempt += session->again;
    if (!session->again && !node->quiescing)
        site_failed(node, session, now);
}

/* The socket is gone: the lane has room again. */
static void gone(struct node *node, struct session *session)
{
    struct site *site = session->site;
    size_t source = session->source;
    session_lane(session)->open--;
    session_free(node, session);
    lane_freed(node, site->provider, source);
    site_lost_session(node, site, source);
    crowd_thinned(node);
    if (site->domains == 0)
        site_drop(node, site);
}

void node_closed(struct node *node, uint32_t number, const char *why, usec_t now)
{
    struct session *session = session_find(node, number);
    if (session == NULL)
        return;
    session->socket_gone = true;
    if (session->state == SESSION_CONNECTING)
        connect_failed(node, session, why, now);
    else if (session->state != SESSION_ENDING) {
        smtp_client_lost(session->client, why, now);
        while (one_report(node, session, now))
            ;
        batch_return(node, session, now);
    }
    session_set_state(session, SESSION_ENDING);
    heap_remove(&node->session_timers, &session->timer);
    if (session->again && !node->quiescing && attempt_stands(session))
        connect_next(node, session, now);
    else
        gone(node, session);
    node_settle(node, now);
}

size_t node_output(struct node *node, uint32_t number, struct iovec *segments, size_t max)
{
    struct session *session = session_find(node, number);
    return session == NULL || session->client == NULL ? 0
                                                      : smtp_client_output(session->client, segments, max);
}

void node_sent(struct node *node, uint32_t number, size_t bytes, usec_t now)
{
    struct session *session = session_find(node, number);
    if (session == NULL || session->client == NULL)
        return;
    smtp_client_output_sent(session->client, bytes, now);
    if (session->state != SESSION_ENDING)
        session_drain_client(node, session, now);
    node_settle(node, now);
}

void node_parts(struct node *node, uint32_t number, struct blob *parts_r[2])
{
    struct session *session = session_find(node, number);
    parts_r[0] = parts_r[1] = NULL;
    if (session != NULL && session->client != NULL)
        smtp_client_parts(session->client, parts_r);
}

uint64_t node_lane(const struct node *node, uint32_t number)
{
    const struct session *session = session_find(node, number);
    if (session == NULL)
        return 0;
    const char *provider = session->site->provider->name;
    return hash64(session->source, provider, strlen(provider));
}
