/* smtp_client_dialogue - the session around the messages: greeting, EHLO, STARTTLS, RSET, QUIT
 *
 * client_reply() is the runner: one reply in, by state to the function that knows what it answers. Replies
 * are judged by their first digit where the standard says so (RFC 5321 4.3.2). */
#include "base/panic.h"
#include "proto/smtp_client_state.h"

/* Nobody's mail hangs on the reply to QUIT: it is not worth five minutes of a connection. */
#define QUIT_PATIENCE (10 * USEC_SEC)

static int kind(const struct reply *reply)
{
    return reply->code / 100;
}

/* The server doesn't want us: say goodbye, and don't wait for the answer. Behind half a command, refused
 * before it was said, a QUIT would not be one. */
static void refused(struct smtp_client *client, enum smtp_stage stage, const struct reply *reply)
{
    bool all_said = buffer_len(&client->output.commands) == 0;
    client_fail(client, stage, reply);
    if (all_said)
        buffer_add_text(&client->output.commands, "QUIT\r\n");
}

void client_out_of_turn(struct smtp_client *client, const struct reply *reply)
{
    client_fail_local(
        client, "4.5.0", "a reply that makes no sense here: %d %.200s", reply->code, reply->text);
}

void client_say_ehlo(struct smtp_client *client, usec_t now)
{
    client->ehlo = (struct smtp_ehlo){0};
    buffer_printf(&client->output.commands, "EHLO %s\r\n", client->helo);
    client_move(client, CLIENT_EHLO, now, client->command_timeout);
}

void client_say_quit(struct smtp_client *client, usec_t now)
{
    client_unhappen(client, SMTP_CLIENT_READY);
    buffer_add_text(&client->output.commands, "QUIT\r\n");
    usec_t patience = client->command_timeout < QUIT_PATIENCE ? client->command_timeout : QUIT_PATIENCE;
    client_move(client, CLIENT_QUIT, now, patience);
}

void client_ready(struct smtp_client *client, usec_t now)
{
    bool used_up = client->ehlo.mail_max > 0 && client->mails >= client->ehlo.mail_max;
    if (client->quit_wanted || used_up) {
        client_say_quit(client, now);
        return;
    }
    client_move(client, CLIENT_READY, now, USEC_NEVER);
    client_happened(client, SMTP_CLIENT_READY);
}

static void greeting(struct smtp_client *client, const struct reply *reply, usec_t now)
{
    if (kind(reply) == 2)
        client_say_ehlo(client, now);
    else if (kind(reply) == 3)
        client_out_of_turn(client, reply);
    else
        refused(client, SMTP_CONNECT, reply);
}

/* EHLO or HELO was taken: TLS now, or go. */
static void introduced(struct smtp_client *client, usec_t now)
{
    if (!client->secure && client->tls != SMTP_TLS_NONE && client->ehlo.starttls) {
        buffer_add_text(&client->output.commands, "STARTTLS\r\n");
        client_move(client, CLIENT_STARTTLS, now, client->command_timeout);
    } else if (!client->secure && client->tls == SMTP_TLS_REQUIRED) {
        struct reply reply;
        reply_local(&reply, "4.7.4", "TLS is required here, and the server doesn't offer STARTTLS");
        refused(client, SMTP_STARTTLS, &reply);
    } else {
        client_ready(client, now);
    }
}

static void ehlo(struct smtp_client *client, const struct reply *reply, usec_t now)
{
    if (kind(reply) == 2) {
        introduced(client, now);
    } else if (kind(reply) == 5 && client->state == CLIENT_EHLO) {
        /* RFC 5321 3.2: a server without extensions. */
        client->ehlo = (struct smtp_ehlo){0};
        buffer_printf(&client->output.commands, "HELO %s\r\n", client->helo);
        client_move(client, CLIENT_HELO, now, client->command_timeout);
    } else if (kind(reply) == 3) {
        client_out_of_turn(client, reply);
    } else {
        refused(client, SMTP_EHLO, reply);
    }
}

/* RFC 3207. A 220 before we asked is no server's; what comes in plaintext behind it ends the session at once
 * (smtp_client_receive). */
static void starttls(struct smtp_client *client, const struct reply *reply, usec_t now)
{
    bool unasked = buffer_len(&client->output.commands) > 0;
    if (reply->code == 220 && unasked) {
        client_fail_local(client, "4.7.0", "plaintext before STARTTLS (response injection)");
    } else if (reply->code == 220) {
        client_move(client, CLIENT_HANDSHAKE, now, client->command_timeout);
        client_happened(client, SMTP_CLIENT_START_TLS);
    } else if (client->tls == SMTP_TLS_REQUIRED) {
        refused(client, SMTP_STARTTLS, reply);
    } else {
        client_ready(client, now);
    }
}

static void rset(struct smtp_client *client, const struct reply *reply, usec_t now)
{
    if (kind(reply) == 2)
        client_ready(client, now);
    else
        refused(client, SMTP_MAIL, reply);
}

void client_reply(struct smtp_client *client, const struct reply *reply, usec_t now)
{
    /* RFC 5321 3.8: a server may end it at any time. */
    if (reply->code == 421 || client->state == CLIENT_QUIT) {
        client_fail(client, client_stage(client), reply);
        return;
    }
    switch (client->state) {
    case CLIENT_GREETING:
        greeting(client, reply, now);
        break;
    case CLIENT_EHLO:
    case CLIENT_HELO:
        ehlo(client, reply, now);
        break;
    case CLIENT_STARTTLS:
        starttls(client, reply, now);
        break;
    case CLIENT_READY:
        client_out_of_turn(client, reply);
        break;
    case CLIENT_ENVELOPE:
        client_envelope_reply(client, reply, now);
        break;
    case CLIENT_BODY:
        client_body_reply(client, reply);
        break;
    case CLIENT_DOT:
        client_dot_reply(client, reply, now);
        break;
    case CLIENT_RSET:
        rset(client, reply, now);
        break;
    case CLIENT_HANDSHAKE:
    case CLIENT_QUIT:
    case CLIENT_CLOSED:
        panic("a reply in a state that reads none");
    }
}
