/* intake_uv - SMTP sessions: the server core between a stream and the routing */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/panic.h"
#include "coordinator/coordinator_state_uv.h"
#include "coordinator/intake.h"
#include "proto/smtp_server.h"

/* Input that the core does not want yet, because a message waits for its answer, is kept up to this much;
 * reading stops meanwhile. */
struct session {
    struct intake *intake;
    struct tls_context *tls; /* what was offered, though the door may have another by now */
    struct stream *stream;
    struct smtp_server *server;
    struct list link;
    struct heap_node timer;
    struct buffer input;
    struct waiter *waiter; /* the submission whose answer is awaited; on a work loop: */
    struct handed *handed;
    struct mail_id id;
    bool trusted, closing;
};

static void session_drain(struct session *session, usec_t now);

static const char *tenant_of(const struct session *session)
{
    const char *identity = smtp_server_identity(session->server);
    if (identity[0] != '\0')
        return identity;
    const char *tenant = session->intake->settings->coordinator.default_tenant;
    return session->trusted && tenant != NULL ? tenant : "";
}

static void refuse(struct session *session, const char *text, usec_t now)
{
    smtp_server_answer(session->server, 550, text, now);
}

void session_answered(struct session *session, const struct front_outcome *outcome)
{
    usec_t now = clock_now();
    char id[ID_TEXT_SIZE], text[512];
    session->waiter = NULL;
    session->handed = NULL;
    switch (outcome->verdict) {
    case FRONT_TAKEN:
    case FRONT_REPEATED:
        snprintf(text, sizeof text, "2.0.0 queued as %s", id_format(&session->id, id));
        smtp_server_answer(session->server, 250, text, now);
        break;
    case FRONT_FULL:
        snprintf(text, sizeof text, "4.3.1 %.400s", outcome->text);
        smtp_server_answer(session->server, 451, text, now);
        break;
    case FRONT_LATER:
        snprintf(text, sizeof text, "4.3.0 %.400s", outcome->text);
        smtp_server_answer(session->server, 451, text, now);
        break;
    case FRONT_CONFLICT:
    case FRONT_REFUSED:
        snprintf(text, sizeof text, "5.7.1 %.400s", outcome->text);
        smtp_server_answer(session->server, 550, text, now);
        break;
    }
    session_drain(session, now);
}

static void submitted(void *arg, const struct front_outcome *outcome)
{
    session_answered(arg, outcome);
}

static void submit(struct session *session, struct mail *mail, struct blob *body, usec_t now)
{
    struct intake *intake = session->intake;
    if (intake->work != NULL) {
        session->handed = intake_far_submit(intake, session, mail, body);
        return;
    }
    struct waiter *waiter = coordinator_submit(intake->coordinator, mail, body, submitted, session, now);
    if (waiter != NULL) /* else it was answered at once, and the next message may wait already */
        session->waiter = waiter;
}

static struct mail *mail_from(const struct session *session, struct smtp_server_message *message, usec_t now)
{
    struct mail *mail = mail_new();
    mail->id = message->id;
    mail->created = now;
    mail->eight_bit = message->eight_bit;
    mail_set(&mail->tenant, tenant_of(session));
    mail_set(&mail->from, message->from);
    for (size_t i = 0; i < message->recipient_count; i++)
        mail_add_recipient(mail, message->recipients[i]);
    return mail;
}

static void take_message(struct session *session, usec_t now)
{
    const struct intake *intake = session->intake;
    struct smtp_server_message message;
    struct error why;
    smtp_server_take(session->server, &message);
    struct mail *mail = mail_from(session, &message, now);
    char *bytes = message.body;
    message.body = NULL;
    struct blob *body = NULL;
    if (intake_message(intake->settings, mail, bytes, message.body_len, message.received_len,
            intake->coordinator->host, now, &body, &why) != 0) {
        refuse(session, why.text, now);
        mail_drop(&mail);
    } else {
        session->id = mail->id;
        submit(session, mail, body, now);
    }
    smtp_server_message_clear(&message);
}

static void check_login(struct session *session, usec_t now)
{
    const char *user, *secret;
    struct key_owner owner;
    struct keys *keys = session->intake->coordinator->keys;
    smtp_server_login(session->server, &user, &secret);
    char tenant[KEY_TENANT_SIZE];
    snprintf(tenant, sizeof tenant, "%s", user);
    bool ok = keys != NULL && keys_verify(keys, secret, strlen(secret), &owner) &&
              (owner.admin || strcmp(owner.tenant, tenant) == 0) &&
              settings_tenant(session->intake->settings, tenant) != NULL;
    if (!ok)
        log_warn(stream_peer(session->stream), "a login as \"%s\" was refused", tenant);
    smtp_server_login_done(session->server, ok, tenant, now);
}

static void send_output(struct session *session)
{
    struct buffer *out = smtp_server_output(session->server);
    if (buffer_len(out) == 0)
        return;
    /* A client that lets a MiB of replies pile up does not read them. */
    if (!stream_write_copy(session->stream, buffer_bytes(out), buffer_len(out))) {
        session->closing = true;
        stream_close(session->stream, false);
    }
    buffer_eat(out, buffer_len(out));
}

static bool one_event(struct session *session, usec_t now)
{
    switch (smtp_server_next(session->server)) {
    case SMTP_SERVER_NOTHING:
        return false;
    case SMTP_SERVER_LOGIN:
        check_login(session, now);
        break;
    case SMTP_SERVER_START_TLS:
        send_output(session);
        stream_start_tls(session->stream, session->tls, true, NULL);
        break;
    case SMTP_SERVER_MESSAGE:
        take_message(session, now);
        break;
    case SMTP_SERVER_CLOSED:
        send_output(session);
        session->closing = true;
        stream_close(session->stream, true);
        break;
    }
    return true;
}

static void feed(struct session *session, usec_t now)
{
    while (buffer_len(&session->input) > 0 && smtp_server_wants_input(session->server)) {
        size_t used = smtp_server_receive(
            session->server, buffer_bytes(&session->input), buffer_len(&session->input), now);
        buffer_eat(&session->input, used);
        if (used == 0)
            break;
        while (!session->closing && one_event(session, now))
            ;
    }
}

static void session_drain(struct session *session, usec_t now)
{
    if (session->closing)
        return;
    while (!session->closing && one_event(session, now))
        ;
    if (!session->closing)
        feed(session, now);
    if (session->closing)
        return;
    send_output(session);
    if (session->closing)
        return;
    stream_pause(
        session->stream, buffer_len(&session->input) > 0 || !smtp_server_wants_input(session->server));
    usec_t deadline = smtp_server_deadline(session->server);
    if (deadline == USEC_NEVER)
        heap_remove(&session->intake->timers, &session->timer);
    else if (!heap_has(&session->timer) || session->timer.key != deadline)
        heap_put(&session->intake->timers, &session->timer, deadline);
}

static void on_received(void *context, const char *bytes, size_t len)
{
    struct session *session = context;
    usec_t now = clock_now();
    if (session->closing)
        return;
    size_t used = 0;
    if (buffer_len(&session->input) == 0)
        used = smtp_server_receive(session->server, bytes, len, now);
    buffer_add(&session->input, bytes + used, len - used);
    session_drain(session, now);
}

static void on_secured(void *context, bool ok, const char *detail)
{
    struct session *session = context;
    if (!ok)
        log_info(stream_peer(session->stream), "the TLS handshake failed: %s", detail);
    usec_t now = clock_now();
    smtp_server_tls_done(session->server, ok, now);
    session_drain(session, now);
}

static void on_writable(void *context)
{
    (void)context;
}

static void on_closed(void *context, const char *why)
{
    struct session *session = context;
    struct intake *intake = session->intake;
    (void)why;
    if (session->waiter != NULL) /* taken all the same: the client will hand it in again or not */
        session->waiter->done = NULL;
    if (session->handed != NULL)
        intake_far_forget(session->handed);
    heap_remove(&intake->timers, &session->timer);
    list_remove(&session->link);
    if (intake->work != NULL)
        intake_far_gone(intake);
    else
        intake->coordinator->session_count--;
    smtp_server_free(&session->server);
    buffer_free(&session->input);
    tls_context_free(&session->tls);
    free(session);
}

static bool is_loopback(const struct sockaddr *address)
{
    struct network v4 = {.family = AF_INET, .bytes = {127}, .bits = 8};
    struct network v6 = {.family = AF_INET6, .bytes = {[15] = 1}, .bits = 128};
    return network_holds(&v4, address) || network_holds(&v6, address);
}

static bool is_trusted(const struct settings *settings, const struct sockaddr *address)
{
    for (size_t i = 0; i < settings->coordinator.trusted_count; i++)
        if (network_holds(&settings->coordinator.trusted[i], address))
            return true;
    return false;
}

static struct smtp_server *new_server(struct session *session, const struct offer *offer, uint64_t seed,
    const char *peer, const struct sockaddr *address, usec_t now)
{
    const struct coordinator *c = session->intake->coordinator;
    const struct settings *settings = session->intake->settings;
    session->trusted = is_trusted(settings, address) && settings->coordinator.default_tenant != NULL;
    struct smtp_server_settings server = {
        .host = c->host,
        .peer = peer,
        .tls_offered = session->tls != NULL,
        .trusted = session->trusted,
        .auth_offered = c->keys != NULL,
        .auth_required = offer->auth_required,
        .allow_plain_auth = is_loopback(address),
        .max_size = settings->coordinator.max_size,
        .max_recipients = settings->coordinator.max_recipients,
        .max_line = settings->coordinator.max_line,
        .seed = seed,
    };
    return smtp_server_new(&server, now);
}

bool intake_take(struct intake *intake, size_t door, uint64_t seed, struct stream *stream, const char *peer,
    const struct sockaddr *address, const struct stream_calls **calls_r, void **context_r)
{
    static const struct stream_calls calls = {
        .received = on_received, .writable = on_writable, .secured = on_secured, .closed = on_closed};
    struct session *session = xcalloc(1, sizeof *session);
    usec_t now = clock_now();
    session->intake = intake;
    session->tls = tls_context_hold(intake->offers[door].tls);
    session->stream = stream;
    session->server = new_server(session, &intake->offers[door], seed, peer, address, now);
    list_push_back(&intake->sessions, &session->link);
    *calls_r = &calls;
    *context_r = session;
    /* The stream takes no output before it has its calls: the greeting goes out by the next tick. */
    heap_put(&intake->timers, &session->timer, now);
    return true;
}

void intake_tick(struct intake *intake, usec_t now)
{
    for (struct heap_node *timer; (timer = heap_pop(&intake->timers, now)) != NULL;) {
        struct session *session = heap_item(timer, struct session, timer);
        smtp_server_tick(session->server, now);
        session_drain(session, now);
    }
}

usec_t intake_deadline(const struct intake *intake)
{
    const struct heap_node *first = heap_first(&intake->timers);
    return first == NULL ? USEC_NEVER : first->key;
}

void intake_say_stop(struct intake *intake, usec_t now)
{
    list_each_safe (link, &intake->sessions) {
        struct session *session = list_item(link, struct session, link);
        if (session->closing)
            continue;
        smtp_server_shutdown(session->server, "4.3.2 the server is stopping", now);
        session_drain(session, now);
    }
}

void intake_end_sessions(struct intake *intake)
{
    list_each (link, &intake->sessions) {
        struct session *session = list_item(link, struct session, link);
        session->closing = true;
        stream_close(session->stream, false);
    }
}
