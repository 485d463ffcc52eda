/* smtp_server_command - one function a command (RFC 5321 section 4.1)
 *
 * A command is looked up in the table at the end; its function gets the text behind the verb without spaces
 * around it. Parameters of MAIL: SIZE (RFC 1870), BODY (RFC 6152), AUTH (RFC 4954 section 5, read and not
 * used). RCPT has none, since DSN is not offered. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "proto/mail.h"
#include "proto/smtp_server_state.h"

/* --- EHLO and its like --- */

static bool take_helo(struct smtp_server *server, const char *argument, const char *verb)
{
    size_t len = strcspn(argument, " \t");
    if (len == 0 || len > SMTP_SERVER_MAX_HELO) {
        smtp_server_refuse(server, 501, "5.5.4 %s needs your host name", verb);
        return false;
    }
    smtp_server_reset(server);
    memcpy(server->helo, argument, len);
    server->helo[len] = '\0';
    return true;
}

static void say_ehlo(struct smtp_server *server, const char *argument)
{
    const struct smtp_server_settings *s = &server->settings;
    if (!take_helo(server, argument, "EHLO"))
        return;
    server->esmtp = true;
    smtp_server_reply_more(server, 250, "%s", s->host);
    smtp_server_reply_more(server, 250, "PIPELINING");
    smtp_server_reply_more(server, 250, "SIZE %llu", (unsigned long long)s->max_size);
    smtp_server_reply_more(server, 250, "8BITMIME");
    if (s->tls_offered && !server->tls)
        smtp_server_reply_more(server, 250, "STARTTLS");
    if (smtp_server_auth_allowed(server))
        smtp_server_reply_more(server, 250, "AUTH PLAIN LOGIN");
    smtp_server_reply(server, 250, "ENHANCEDSTATUSCODES");
}

static void say_helo(struct smtp_server *server, const char *argument)
{
    if (!take_helo(server, argument, "HELO"))
        return;
    server->esmtp = false;
    smtp_server_reply(server, 250, "%s", server->settings.host);
}

static void say_starttls(struct smtp_server *server, const char *argument)
{
    if (*argument != '\0') {
        smtp_server_refuse(server, 501, "5.5.4 STARTTLS takes nothing behind it");
    } else if (server->tls) {
        smtp_server_refuse(server, 503, "5.5.1 the session is encrypted already");
    } else if (!server->settings.tls_offered) {
        smtp_server_refuse(server, 502, "5.5.1 there is no TLS here");
    } else {
        smtp_server_reply(server, 220, "2.0.0 start the handshake");
        smtp_server_move(server, SMTP_SERVER_IN_TLS);
        server->event = SMTP_SERVER_START_TLS;
    }
}

/* --- MAIL --- */

bool smtp_server_may_send(const struct smtp_server *server)
{
    return server->identity != NULL || (server->settings.trusted && !server->settings.auth_required);
}

static bool mail_possible(struct smtp_server *server)
{
    if (!smtp_server_may_send(server)) {
        if (server->settings.auth_offered && !smtp_server_auth_allowed(server))
            smtp_server_refuse(server, 530, "5.7.0 log in first: say STARTTLS, then AUTH");
        else
            smtp_server_refuse(server, 530, "5.7.0 log in first, this is no open relay");
    } else if (server->helo[0] == '\0') {
        smtp_server_refuse(server, 503, "5.5.1 say EHLO first");
    } else if (server->has_mail) {
        smtp_server_refuse(server, 503, "5.5.1 there is a MAIL FROM already");
    } else {
        return true;
    }
    return false;
}

/* SIZE=: 0 if it is no number, and answered. */
static bool take_size(struct smtp_server *server, const char *value, size_t len)
{
    unsigned long long size = 0;
    if (len == 0 || len > 20 || strspn(value, "0123456789") < len) {
        smtp_server_refuse(server, 501, "5.5.4 SIZE= takes a number");
        return false;
    }
    for (size_t i = 0; i < len; i++)
        if (__builtin_mul_overflow(size, 10ULL, &size) ||
            __builtin_add_overflow(size, (unsigned long long)(value[i] - '0'), &size))
            size = UINT64_MAX / 10 + 1; /* stays too large from here on */
    if (size > server->settings.max_size) {
        smtp_server_refuse(server, 552, "5.3.4 a message has at most %llu octets here",
            (unsigned long long)server->settings.max_size);
        return false;
    }
    server->size_hint = size;
    return true;
}

static bool take_mail_parameter(struct smtp_server *server, const char *text, size_t len)
{
    if (len >= 5 && strncasecmp(text, "SIZE=", 5) == 0)
        return take_size(server, text + 5, len - 5);
    if (len >= 5 && strncasecmp(text, "BODY=", 5) == 0) {
        if ((len == 9 && strncasecmp(text + 5, "7BIT", 4) == 0) ||
            (len == 13 && strncasecmp(text + 5, "8BITMIME", 8) == 0))
            return true;
        smtp_server_refuse(server, 501, "5.5.4 BODY= takes 7BIT or 8BITMIME");
        return false;
    }
    if (len > 5 && strncasecmp(text, "AUTH=", 5) == 0)
        return true;
    smtp_server_refuse(server, 555, "5.5.4 MAIL FROM parameter %.*s is not known here", (int)len, text);
    return false;
}

/* The path behind "FROM:" or "TO:"; returns what follows it, or null when it has answered. */
static const char *take_path(struct smtp_server *server, const char *argument, const char *word,
    const char *bad_code, bool allow_null, char out[ADDRESS_SIZE])
{
    struct error error;
    size_t word_len = strlen(word), used;
    if (strncasecmp(argument, word, word_len) != 0) {
        smtp_server_refuse(server, 501, "5.5.4 %s<address> is expected", word);
        return NULL;
    }
    argument += word_len;
    argument += strspn(argument, " \t");
    if (address_path(argument, strlen(argument), allow_null, out, &used, &error) < 0) {
        smtp_server_refuse(server, 501, "%s %s", bad_code, error.text);
        return NULL;
    }
    argument += used;
    if (*argument != '\0' && *argument != ' ' && *argument != '\t') {
        smtp_server_refuse(server, 501, "%s there is something behind the address", bad_code);
        return NULL;
    }
    return argument + strspn(argument, " \t");
}

static void say_mail(struct smtp_server *server, const char *argument)
{
    char from[ADDRESS_SIZE];
    if (!mail_possible(server))
        return;
    const char *at = take_path(server, argument, "FROM:", "5.1.7", true, from);
    if (at == NULL)
        return;
    while (*at != '\0') {
        size_t len = strcspn(at, " \t");
        if (!take_mail_parameter(server, at, len)) {
            smtp_server_reset(server);
            return;
        }
        at += len;
        at += strspn(at, " \t");
    }
    server->has_mail = true;
    server->from = xstrdup(from);
    smtp_server_reply(server, 250, "2.1.0 ok");
}

/* --- RCPT --- */

static void add_recipient(struct smtp_server *server, const char *address)
{
    if (server->recipient_count == server->recipient_room) {
        server->recipient_room = server->recipient_room == 0 ? 4 : 2 * server->recipient_room;
        server->recipients =
            xrealloc(server->recipients, server->recipient_room * sizeof *server->recipients);
    }
    server->recipients[server->recipient_count++] = xstrdup(address);
}

static void say_rcpt(struct smtp_server *server, const char *argument)
{
    char address[ADDRESS_SIZE];
    if (!server->has_mail) {
        smtp_server_refuse(server, 503, "5.5.1 say MAIL FROM first");
        return;
    }
    const char *rest = take_path(server, argument, "TO:", "5.1.3", false, address);
    if (rest == NULL)
        return;
    if (*rest != '\0') {
        smtp_server_refuse(server, 555, "5.5.4 RCPT TO parameter %.100s is not known here", rest);
    } else if (server->recipient_count >= server->settings.max_recipients ||
               server->recipient_count >= MAIL_MAX_RECIPIENTS) {
        /* No mistake: RFC 5321 section 4.5.3.1.10 has the client send the others in another transaction. */
        smtp_server_reply(
            server, 452, "4.5.3 a message takes at most %u recipients here", server->settings.max_recipients);
    } else {
        add_recipient(server, address);
        smtp_server_reply(server, 250, "2.1.5 ok");
    }
}

static void say_data(struct smtp_server *server, const char *argument)
{
    if (*argument != '\0')
        smtp_server_refuse(server, 501, "5.5.4 DATA takes nothing behind it");
    else if (!server->has_mail)
        smtp_server_refuse(server, 503, "5.5.1 say MAIL FROM first");
    else if (server->recipient_count == 0)
        smtp_server_refuse(server, 554, "5.5.1 there is no valid recipient");
    else
        smtp_server_data_begin(server);
}

/* --- the small ones --- */

static void say_auth(struct smtp_server *server, const char *argument)
{
    smtp_server_auth_begin(server, argument);
}

static void say_rset(struct smtp_server *server, const char *argument)
{
    if (*argument != '\0') {
        smtp_server_refuse(server, 501, "5.5.4 RSET takes nothing behind it");
        return;
    }
    smtp_server_reset(server);
    smtp_server_reply(server, 250, "2.0.0 ok");
}

static void say_noop(struct smtp_server *server, const char *argument)
{
    (void)argument;
    smtp_server_reply(server, 250, "2.0.0 ok");
}

static void say_help(struct smtp_server *server, const char *argument)
{
    (void)argument;
    smtp_server_reply(server, 214, "2.0.0 EHLO HELO STARTTLS AUTH MAIL RCPT DATA RSET NOOP VRFY QUIT");
}

static void say_vrfy(struct smtp_server *server, const char *argument)
{
    if (*argument == '\0')
        smtp_server_refuse(server, 501, "5.5.4 VRFY needs an address");
    else
        smtp_server_reply(server, 252, "2.5.0 not looked up; send a message and see");
}

static void say_expn(struct smtp_server *server, const char *argument)
{
    (void)argument;
    smtp_server_refuse(server, 502, "5.5.1 there are no lists here");
}

static void say_quit(struct smtp_server *server, const char *argument)
{
    if (*argument != '\0') {
        smtp_server_refuse(server, 501, "5.5.4 QUIT takes nothing behind it");
        return;
    }
    smtp_server_reply(server, 221, "2.0.0 %s says good-bye", server->settings.host);
    smtp_server_close(server);
}

/* --- the table --- */

static const struct command {
    const char *verb;
    void (*say)(struct smtp_server *server, const char *argument);
    bool idle; /* brings no message forward: only so many of them */
} commands[] = {
    {"MAIL", say_mail, false},
    {"RCPT", say_rcpt, false},
    {"DATA", say_data, false},
    {"EHLO", say_ehlo, true},
    {"HELO", say_helo, true},
    {"STARTTLS", say_starttls, false},
    {"AUTH", say_auth, false},
    {"RSET", say_rset, true},
    {"NOOP", say_noop, true},
    {"VRFY", say_vrfy, true},
    {"EXPN", say_expn, false},
    {"HELP", say_help, true},
    {"QUIT", say_quit, false},
};

void smtp_server_command(struct smtp_server *server, char *line)
{
    size_t verb_len = strcspn(line, " \t"), len = strlen(line);
    while (len > verb_len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        line[--len] = '\0';
    const char *argument = line + verb_len;
    argument += strspn(argument, " \t");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const struct command *c = &commands[i];
        if (verb_len != strlen(c->verb) || strncasecmp(line, c->verb, verb_len) != 0)
            continue;
        if (c->idle && ++server->idle_commands > SMTP_SERVER_MAX_IDLE_COMMANDS)
            smtp_server_refuse(server, 450, "4.7.1 that is enough of %s without a message", c->verb);
        else
            c->say(server, argument);
        return;
    }
    smtp_server_refuse(
        server, 500, "5.5.2 command %.*s is not known here", verb_len > 20 ? 20 : (int)verb_len, line);
}
