/* smtp_client_transaction - one message: MAIL, RCPT, DATA, the dot, and everybody's result
 *
 * All commands of a transaction are written at once. With PIPELINING they leave at once; without, each line
 * is held back until the one before it is answered. So the replies come in the same order either way, and are
 * counted the same way: MAIL, then each RCPT that was said, then DATA.
 *
 * A message the server can't take (too large, eight bits, an address no command may carry) fails here, before
 * a byte is sent. Results are given as soon as they are certain. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "proto/smtp_client_state.h"

static void give(struct smtp_client *client, size_t recipient, enum smtp_stage stage, const struct told *told,
    bool later_now)
{
    struct client_transaction *t = &client->transaction;
    must((t->fates[recipient] & RCPT_OVER) == 0);
    t->fates[recipient] |= RCPT_OVER;
    t->over++;
    client_result(client, recipient, stage, told, later_now);
}

/* Everybody without a result gets this one. */
static void give_all(struct smtp_client *client, enum smtp_stage stage, const struct reply *reply)
{
    struct client_transaction *t = &client->transaction;
    if (t->over == t->count)
        return;
    struct told told = client_tell(client, reply);
    for (size_t i = 0; i < t->count; i++)
        if ((t->fates[i] & RCPT_OVER) == 0)
            give(client, i, stage, &told, false);
}

static void give_local(struct smtp_client *client, size_t recipient, enum smtp_stage stage,
    const char *enhanced, const char *text, bool later_now)
{
    struct reply reply;
    reply_local(&reply, enhanced, "%s", text);
    struct told told = client_tell(client, &reply);
    give(client, recipient, stage, &told, later_now);
}

void client_transaction_end(struct smtp_client *client, enum smtp_stage stage, const struct reply *reply)
{
    if (!client->transaction.active)
        return;
    give_all(client, stage, reply);
    client->transaction.active = false;
    client_happened(client, SMTP_CLIENT_SENT);
}

/* The transaction is over and the session goes on. RFC 5321 3.3: a server that took MAIL and got no dot still
 * has its sender, and would answer the next MAIL with 503. */
static void finish(struct smtp_client *client, usec_t now)
{
    struct client_transaction *t = &client->transaction;
    must(t->over == t->count);
    t->active = false;
    client_output_end_message(&client->output);
    client_happened(client, SMTP_CLIENT_SENT);
    if (!t->server_open) {
        client_ready(client, now);
        return;
    }
    buffer_add_text(&client->output.commands, "RSET\r\n");
    client_move(client, CLIENT_RSET, now, client->command_timeout);
}

/* What an address may hold: no control byte ever, and outside of quotes nothing that would end the path. The
 * intake saw to it; but here is where a line break would become a command. Null = fine, else what is wrong.
 */
static const char *address_fault(const char *address)
{
    bool quoted = false;
    for (const char *p = address; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;
        if (c >= 0x80)
            return "5.6.7";
        if (c < 0x20 || c == 0x7f || (!quoted && strchr("<> ", c) != NULL))
            return "5.1.3";
        if (quoted && c == '\\' && p[1] >= 0x20 && p[1] < 0x7f)
            p++;
        else if (c == '"')
            quoted = !quoted;
    }
    return quoted ? "5.1.3" : NULL;
}

/* The message's size as RFC 1870 counts it: with every line's end, without dots added. */
static uint64_t message_size(const struct smtp_transaction *transaction)
{
    const struct blob *head = transaction->head, *body = transaction->body;
    uint64_t size = (head == NULL ? 0 : head->len) + (body == NULL ? 0 : body->len);
    const struct blob *last = body != NULL && body->len > 0 ? body : head;
    bool ended = last == NULL || last->len == 0 || last->bytes[last->len - 1] == '\n';
    return ended ? size : size + 2;
}

/* Reasons for which nobody can get it here. */
static bool message_refused(struct smtp_client *client, const struct smtp_transaction *transaction)
{
    struct reply reply;
    uint64_t size = message_size(transaction);
    const char *fault = address_fault(transaction->from);
    if (fault != NULL)
        reply_local(&reply, strcmp(fault, "5.6.7") == 0 ? fault : "5.1.7",
            "the sender's address can't be said in SMTP");
    else if (client->ehlo.max_size > 0 && size > client->ehlo.max_size)
        reply_local(&reply, "5.3.4", "the message has %llu bytes, the server takes %llu",
            (unsigned long long)size, (unsigned long long)client->ehlo.max_size);
    else if (transaction->eight_bit && !client->ehlo.eight_bit)
        reply_local(&reply, "5.6.3", "the message has eight-bit bytes, the server doesn't offer 8BITMIME");
    else
        return false;
    give_all(client, SMTP_MAIL, &reply);
    return true;
}

static void say_mail(struct smtp_client *client, const struct smtp_transaction *transaction)
{
    struct buffer *commands = &client->output.commands;
    buffer_add_text(commands, "MAIL FROM:<");
    buffer_add_text(commands, transaction->from);
    buffer_add_text(commands, ">");
    if (client->ehlo.size)
        buffer_printf(commands, " SIZE=%llu", (unsigned long long)message_size(transaction));
    if (transaction->eight_bit)
        buffer_add_text(commands, " BODY=8BITMIME");
    buffer_add_text(commands, "\r\n");
}

/* Says RCPT for those for whom that is possible. */
static void say_recipients(struct smtp_client *client, const struct smtp_transaction *transaction)
{
    struct client_transaction *t = &client->transaction;
    struct buffer *commands = &client->output.commands;
    uint64_t said = 0, most = client->ehlo.rcpt_max > 0 ? client->ehlo.rcpt_max : UINT64_MAX;
    for (size_t i = 0; i < t->count; i++) {
        const char *address = transaction->recipients[i];
        const char *fault = *address == '\0' ? "5.1.3" : address_fault(address);
        if (fault != NULL) {
            give_local(client, i, SMTP_RCPT, fault, "the address can't be said in SMTP", false);
        } else if (said == most) {
            give_local(client, i, SMTP_RCPT, "4.5.3", "the server takes no more recipients at once", true);
        } else {
            buffer_add_text(commands, "RCPT TO:<");
            buffer_add_text(commands, address);
            buffer_add_text(commands, ">\r\n");
            t->fates[i] = RCPT_SAID;
            said++;
        }
    }
}

static void next_said(struct client_transaction *t)
{
    while (t->next < t->count && (t->fates[t->next] & RCPT_SAID) == 0)
        t->next++;
}

static void begin(struct smtp_client *client, size_t count)
{
    struct client_transaction *t = &client->transaction;
    if (t->fates_room < count) {
        t->fates = xrealloc(t->fates, count);
        t->fates_room = count;
    }
    memset(t->fates, 0, count);
    t->active = true;
    t->pipelined = client->ehlo.pipelining;
    t->mail_answered = t->server_open = false;
    t->count = count;
    t->next = t->taken = t->over = 0;
}

int smtp_client_send(struct smtp_client *client, const struct smtp_transaction *transaction, usec_t now)
{
    struct client_output *output = &client->output;
    if (client->state != CLIENT_READY)
        return -1;
    must(transaction->recipient_count >= 1 && transaction->recipient_count <= 1000);
    client_unhappen(client, SMTP_CLIENT_READY);
    begin(client, transaction->recipient_count);
    if (message_refused(client, transaction)) {
        finish(client, now);
        return 0;
    }
    size_t before = buffer_len(&output->commands);
    say_mail(client, transaction);
    size_t mail = buffer_len(&output->commands) - before;
    say_recipients(client, transaction);
    buffer_add_text(&output->commands, "DATA\r\n");
    output->held = buffer_len(&output->commands) - before;
    if (client->transaction.over == client->transaction.count) {
        client_output_drop_held(output);
        finish(client, now);
        return 0;
    }
    output->held = client->transaction.pipelined ? 0 : output->held - mail;
    client->mails++;
    next_said(&client->transaction);
    client_output_message(output, transaction->head, transaction->body);
    client_move(client, CLIENT_ENVELOPE, now, client->command_timeout);
    return 0;
}

/* RFC 5321 4.5.3.1.10. Only behind one that was taken: else the next transaction would fare no better. */
static bool too_many(const struct client_transaction *t, const struct reply *reply)
{
    if (reply->code != 452 || t->taken == 0)
        return false;
    if (reply->enhanced[0] != '\0')
        return strcmp(reply->enhanced, "4.5.3") == 0;
    return strcasestr(reply->text, "too many recipients") != NULL;
}

static void mail_reply(struct smtp_client *client, const struct reply *reply)
{
    client->transaction.mail_answered = true;
    if (reply->code < 300)
        client->transaction.server_open = true;
    else
        give_all(client, SMTP_MAIL, reply);
}

static void rcpt_reply(struct smtp_client *client, const struct reply *reply)
{
    struct client_transaction *t = &client->transaction;
    size_t i = t->next++;
    next_said(t);
    if (reply->code < 300)
        t->server_open = true;
    if ((t->fates[i] & RCPT_OVER) != 0)
        return; /* MAIL was refused */
    if (reply->code < 300) {
        t->fates[i] |= RCPT_TAKEN;
        t->taken++;
        return;
    }
    struct told told = client_tell(client, reply);
    give(client, i, SMTP_RCPT, &told, too_many(t, reply));
}

static void data_reply(struct smtp_client *client, const struct reply *reply, usec_t now)
{
    struct client_transaction *t = &client->transaction;
    if (reply->code >= 400) {
        give_all(client, SMTP_DATA, reply);
        finish(client, now);
        return;
    }
    /* RFC 2920 3.1: a 354 although nobody is to get it is answered by a lone dot. */
    if (t->over == t->count) {
        client_output_end_message(&client->output);
        client_output_message(&client->output, NULL, NULL);
    }
    client->output.cutting = true;
    client_move(client, CLIENT_BODY, now, client->block_timeout);
}

void client_envelope_reply(struct smtp_client *client, const struct reply *reply, usec_t now)
{
    struct client_transaction *t = &client->transaction;
    enum smtp_stage stage = client_stage(client);
    int kind = reply->code / 100;
    /* A 2xx to DATA or a 3xx to anything else: replies and commands are out of step, and a message could be
     * taken for delivered that is not. */
    if (stage == SMTP_DATA ? kind == 2 : kind == 3) {
        client_out_of_turn(client, reply);
        return;
    }
    if (stage == SMTP_DATA) {
        data_reply(client, reply, now);
        return;
    }
    if (stage == SMTP_MAIL)
        mail_reply(client, reply);
    else
        rcpt_reply(client, reply);
    bool data_next = client_stage(client) == SMTP_DATA;
    if (!t->pipelined && t->over == t->count && (data_next || stage == SMTP_MAIL)) {
        client_output_drop_held(&client->output);
        finish(client, now);
        return;
    }
    client_output_release(&client->output);
    client_move(client, CLIENT_ENVELOPE, now, data_next ? client->data_timeout : client->command_timeout);
}

/* A reply before all of the message was sent. The rest must not follow: it would be read as commands. */
void client_body_reply(struct smtp_client *client, const struct reply *reply)
{
    if (reply->code >= 400)
        client_fail(client, client_stage(client), reply);
    else
        client_out_of_turn(client, reply);
}

void client_dot_reply(struct smtp_client *client, const struct reply *reply, usec_t now)
{
    if (reply->code / 100 == 3) {
        client_out_of_turn(client, reply);
        return;
    }
    client->transaction.server_open = false;
    give_all(client, SMTP_DOT, reply);
    finish(client, now);
}
