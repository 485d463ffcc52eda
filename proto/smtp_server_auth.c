/* smtp_server_auth - the AUTH exchange (RFC 4954; PLAIN is RFC 4616, LOGIN the old draft that all clients
 * speak)
 *
 * Ends in the LOGIN event, or in a refusal. Secrets are wiped from every buffer of ours once the owner has
 * answered. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "proto/smtp_server_state.h"

bool smtp_server_auth_allowed(const struct smtp_server *server)
{
    return server->settings.auth_offered && (server->tls || server->settings.allow_plain_auth);
}

static void wipe(char **text)
{
    if (*text != NULL)
        explicit_bzero(*text, strlen(*text));
    free(*text);
    *text = NULL;
}

void smtp_server_auth_forget(struct smtp_server *server)
{
    wipe(&server->user);
    wipe(&server->secret);
    explicit_bzero(server->line, sizeof server->line);
}

static void fail(struct smtp_server *server, int code, const char *text)
{
    smtp_server_auth_forget(server);
    smtp_server_move(server, SMTP_SERVER_IN_COMMAND);
    smtp_server_refuse(server, code, "%s", text);
}

static void ask_owner(struct smtp_server *server)
{
    smtp_server_move(server, SMTP_SERVER_IN_LOGIN);
    server->event = SMTP_SERVER_LOGIN;
}

/* authzid NUL authcid NUL passwd; we let nobody act for somebody else. */
static void take_plain(struct smtp_server *server, const char *bytes, size_t len)
{
    const char *end = bytes + len;
    const char *user = memchr(bytes, '\0', len);
    const char *secret = user == NULL ? NULL : memchr(user + 1, '\0', (size_t)(end - user - 1));
    if (secret == NULL || memchr(secret + 1, '\0', (size_t)(end - secret - 1)) != NULL ||
        secret == user + 1) {
        fail(server, 501, "5.5.2 this is no PLAIN response: [acting-as] NUL user NUL password");
        return;
    }
    if (bytes[0] != '\0' && strcmp(bytes, user + 1) != 0) {
        fail(server, 535, "5.7.8 acting as another user is not possible");
        return;
    }
    server->user = xstrdup(user + 1);
    server->secret = xstrndup(secret + 1, (size_t)(end - secret - 1));
    ask_owner(server);
}

static void take_login(struct smtp_server *server, const char *bytes, size_t len)
{
    if (memchr(bytes, '\0', len) != NULL || (len == 0 && server->auth == SMTP_SERVER_AUTH_USER)) {
        fail(server, 501, "5.5.2 this is no user name or password");
    } else if (server->auth == SMTP_SERVER_AUTH_USER) {
        server->user = xstrndup(bytes, len);
        server->auth = SMTP_SERVER_AUTH_SECRET;
        smtp_server_move(server, SMTP_SERVER_IN_AUTH);
        smtp_server_reply(server, 334, "UGFzc3dvcmQ6");
    } else {
        server->secret = xstrndup(bytes, len);
        ask_owner(server);
    }
}

static void take_response(struct smtp_server *server, const char *text)
{
    char bytes[SMTP_SERVER_MAX_LINE / 4 * 3 + 3];
    ssize_t used = base64_decode(text, strlen(text), bytes);
    if (used < 0)
        fail(server, 501, "5.5.2 this is no base64");
    else if (server->auth == SMTP_SERVER_AUTH_PLAIN)
        take_plain(server, bytes, (size_t)used);
    else
        take_login(server, bytes, (size_t)used);
    explicit_bzero(bytes, sizeof bytes);
}

void smtp_server_auth_line(struct smtp_server *server, const char *line)
{
    if (strcmp(line, "*") == 0)
        fail(server, 501, "5.7.0 login cancelled");
    else
        take_response(server, line);
}

/* True if AUTH makes sense now. */
static bool auth_possible(struct smtp_server *server)
{
    if (!server->settings.auth_offered)
        smtp_server_refuse(server, 502, "5.5.1 there are no logins here");
    else if (!smtp_server_auth_allowed(server))
        smtp_server_refuse(server, 538, "5.7.11 a login needs encryption: say STARTTLS first");
    else if (server->helo[0] == '\0')
        smtp_server_refuse(server, 503, "5.5.1 say EHLO first");
    else if (server->identity != NULL)
        smtp_server_refuse(server, 503, "5.5.1 you are logged in already");
    else if (server->has_mail)
        smtp_server_refuse(server, 503, "5.5.1 no login within a mail transaction");
    else
        return true;
    return false;
}

void smtp_server_auth_begin(struct smtp_server *server, const char *argument)
{
    size_t name_len = strcspn(argument, " ");
    const char *initial = argument + name_len + strspn(argument + name_len, " ");
    bool plain = name_len == 5 && strncasecmp(argument, "PLAIN", 5) == 0;
    bool login = name_len == 5 && strncasecmp(argument, "LOGIN", 5) == 0;
    if (!auth_possible(server))
        return;
    if (name_len == 0) {
        smtp_server_refuse(server, 501, "5.5.4 AUTH needs a mechanism: PLAIN or LOGIN");
        return;
    }
    if (!plain && !login) {
        smtp_server_refuse(server, 504, "5.5.4 only PLAIN and LOGIN are known here");
        return;
    }
    server->auth = plain ? SMTP_SERVER_AUTH_PLAIN : SMTP_SERVER_AUTH_USER;
    if (*initial == '\0') {
        smtp_server_move(server, SMTP_SERVER_IN_AUTH);
        smtp_server_reply(server, 334, "%s", plain ? "" : "VXNlcm5hbWU6");
        return;
    }
    /* "=" is how an empty initial response is written. */
    take_response(server, strcmp(initial, "=") == 0 ? "" : initial);
}
