/* talk_server - plays a script against proto/smtp_server: C is said to it, S is what it must answer */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "proto/smtp_server.h"
#include "tests/talk/talk.h"

#define START (1790000000 * USEC_SEC)

struct play {
    const struct talk_script *script;
    const struct talk_line *line;
    bool trickle;
    struct smtp_server *server;
    usec_t now;
    struct buffer packet; /* C lines the server hasn't taken */
    bool fresh;           /* the last line was a C line: its packet is still growing */
    struct buffer heard;  /* what the server said and no S line has asked for */
    struct smtp_server_message message;
    size_t body_at; /* the next byte of the body to be asked for */
    bool body_asked;
};

#define wrong(play, ...) talk_wrong((play)->script, (play)->line, __VA_ARGS__)

static void listen_to(struct play *play)
{
    struct buffer *output = smtp_server_output(play->server);
    buffer_add(&play->heard, buffer_bytes(output), buffer_len(output));
    buffer_eat(output, buffer_len(output));
}

/* Gives the server what it wants to take. */
static void deliver(struct play *play)
{
    listen_to(play);
    while (buffer_len(&play->packet) > 0 && smtp_server_wants_input(play->server)) {
        size_t step = play->trickle ? 1 : buffer_len(&play->packet);
        /* A block of its own size, so that a read past its end is seen. */
        char *exact = xmemdup(buffer_bytes(&play->packet), step);
        size_t taken = smtp_server_receive(play->server, exact, step, play->now);
        free(exact);
        buffer_eat(&play->packet, taken);
        listen_to(play);
        if (taken == 0)
            break;
    }
}

static bool quiet(struct play *play)
{
    char shown[400];
    if (buffer_len(&play->heard) > 0)
        return wrong(play, "before this the server said: %s",
            talk_show(buffer_bytes(&play->heard), buffer_len(&play->heard), shown));
    enum smtp_server_event event = smtp_server_next(play->server);
    return event == SMTP_SERVER_NOTHING || wrong(play, "before this came event %d", (int)event);
}

static bool expect_event(struct play *play, enum smtp_server_event wanted)
{
    enum smtp_server_event event = smtp_server_next(play->server);
    return event == wanted || wrong(play, "event %d came and not %d", (int)event, (int)wanted);
}

/* A line with a * in it stands for every line of that shape. */
static bool expect_line(struct play *play)
{
    struct buffer wanted = {0};
    char shown[400];
    const char *end = memchr(buffer_bytes(&play->heard), '\n', buffer_len(&play->heard));
    size_t len = end == NULL ? buffer_len(&play->heard) : (size_t)(end + 1 - buffer_bytes(&play->heard));
    char *line = xstrndup(buffer_bytes(&play->heard), len);
    bool good = talk_bytes(play->line, &wanted) || wrong(play, "this makes no sense");
    if (good && fnmatch(buffer_text(&wanted), line, FNM_NOESCAPE) != 0)
        good = wrong(play, "the server said: %s", talk_show(line, len, shown));
    buffer_eat(&play->heard, len);
    buffer_free(&wanted);
    free(line);
    return good;
}

/* LOGIN user secret ok|wrong */
static bool do_login(struct play *play)
{
    const char *words = play->line->rest, *user, *secret;
    if (!expect_event(play, SMTP_SERVER_LOGIN))
        return false;
    char *wanted_user = talk_word(&words), *wanted_secret = talk_word(&words), *outcome = talk_word(&words);
    smtp_server_login(play->server, &user, &secret);
    bool good = outcome != NULL && strcmp(user, wanted_user) == 0 && strcmp(secret, wanted_secret) == 0;
    if (good) {
        char *identity = xstrdup(user);
        smtp_server_login_done(play->server, strcmp(outcome, "ok") == 0, identity, play->now);
        free(identity);
    } else {
        wrong(play, "it was: %s %s", user, secret);
    }
    free(wanted_user);
    free(wanted_secret);
    free(outcome);
    return good;
}

static bool do_tls(struct play *play)
{
    if (!expect_event(play, SMTP_SERVER_START_TLS))
        return false;
    smtp_server_tls_done(play->server, strcmp(play->line->rest, "ok") == 0, play->now);
    return true;
}

static bool same_envelope(const struct smtp_server_message *message, const char *words)
{
    char *from = talk_value(words, "from"), *to = talk_value(words, "to");
    struct buffer is_from = {0}, is_to = {0};
    buffer_printf(&is_from, "<%s>", message->from);
    for (size_t i = 0; i < message->recipient_count; i++)
        buffer_printf(&is_to, "%s<%s>", i == 0 ? "" : ",", message->recipients[i]);
    bool same = from != NULL && to != NULL && strcmp(from, buffer_text(&is_from)) == 0 &&
                strcmp(to, buffer_text(&is_to)) == 0;
    buffer_free(&is_from);
    buffer_free(&is_to);
    free(from);
    free(to);
    return same && message->eight_bit == (strstr(words, " 8bit") != NULL);
}

/* MESSAGE from=<a@b> to=<c@d>,<e@f> [8bit] */
static bool do_message(struct play *play)
{
    if (!expect_event(play, SMTP_SERVER_MESSAGE))
        return false;
    smtp_server_message_clear(&play->message);
    smtp_server_take(play->server, &play->message);
    play->body_at = play->message.received_len;
    play->body_asked = false;
    if (play->message.body[play->message.body_len] != '\0')
        return wrong(play, "no zero behind the body");
    return same_envelope(&play->message, play->line->rest) || wrong(play, "it was another envelope");
}

/* B: line, B! bytes: the body's next bytes, behind the Received block. */
static bool expect_body(struct play *play)
{
    struct buffer wanted = {0};
    char shown[400];
    size_t left = play->message.body == NULL ? 0 : play->message.body_len - play->body_at;
    bool good = talk_bytes(play->line, &wanted) && play->message.body != NULL;
    play->body_asked = true;
    if (good && (left < buffer_len(&wanted) || memcmp(play->message.body + play->body_at,
                                                   buffer_bytes(&wanted), buffer_len(&wanted)) != 0))
        good =
            wrong(play, "the body goes on: %s", talk_show(play->message.body + play->body_at, left, shown));
    play->body_at += buffer_len(&wanted);
    buffer_free(&wanted);
    return good;
}

/* ANSWER code text */
static bool do_answer(struct play *play)
{
    char *text;
    long code = strtol(play->line->rest, &text, 10);
    if (play->body_asked && play->body_at != play->message.body_len)
        return wrong(play, "the body has %zu bytes more", play->message.body_len - play->body_at);
    smtp_server_answer(play->server, (int)code, text + (*text == ' '), play->now);
    deliver(play);
    return true;
}

static bool do_time(struct play *play)
{
    usec_t length = talk_duration(play->line->rest);
    if (length < 0)
        return wrong(play, "a duration belongs here: 30s, 5m");
    usec_t until = play->now + length;
    for (int i = 0; i < 100 && smtp_server_deadline(play->server) <= until; i++) {
        play->now = smtp_server_deadline(play->server);
        smtp_server_tick(play->server, play->now);
    }
    play->now = until;
    smtp_server_tick(play->server, play->now);
    return true;
}

static bool do_shutdown(struct play *play)
{
    smtp_server_shutdown(play->server, play->line->rest, play->now);
    return true;
}

static bool expect_closed(struct play *play)
{
    return expect_event(play, SMTP_SERVER_CLOSED);
}

static bool expect_identity(struct play *play)
{
    const char *identity = smtp_server_identity(play->server);
    return strcmp(identity, play->line->rest) == 0 || wrong(play, "it is: %s", identity);
}

static bool step(struct play *play)
{
    static const struct {
        const char *word;
        bool (*run)(struct play *play);
    } words[] = {{"LOGIN", do_login}, {"TLS", do_tls}, {"MESSAGE", do_message}, {"ANSWER", do_answer},
        {"TIME", do_time}, {"SHUTDOWN", do_shutdown}, {"CLOSED", expect_closed},
        {"IDENTITY", expect_identity}};
    if (talk_is_bytes(play->line, 'C')) {
        if (!play->fresh && !quiet(play))
            return false;
        play->fresh = true;
        return talk_bytes(play->line, &play->packet) || wrong(play, "this makes no sense");
    }
    play->fresh = false;
    deliver(play);
    if (talk_is_bytes(play->line, 'S'))
        return expect_line(play);
    if (talk_is_bytes(play->line, 'B'))
        return expect_body(play);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].word, play->line->word) == 0)
            return words[i].run(play);
    return wrong(play, "what is \"%s\"?", play->line->word);
}

static void set_one(struct smtp_server_settings *set, const char *name, const char *value)
{
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"tls_offered", &set->tls_offered}, {"tls_from_start", &set->tls_from_start},
        {"trusted", &set->trusted}, {"auth_offered", &set->auth_offered},
        {"auth_required", &set->auth_required}, {"allow_plain_auth", &set->allow_plain_auth}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (strcmp(flags[i].name, name) == 0)
            *flags[i].flag = strcmp(value, "yes") == 0;
    if (strcmp(name, "max_size") == 0)
        set->max_size = strtoull(value, NULL, 10);
    else if (strcmp(name, "max_recipients") == 0)
        set->max_recipients = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "max_line") == 0)
        set->max_line = (uint32_t)strtoul(value, NULL, 10);
    else if (strcmp(name, "command_timeout") == 0)
        set->command_timeout = talk_duration(value);
    else if (strcmp(name, "data_timeout") == 0)
        set->data_timeout = talk_duration(value);
}

/* SET name=value ... lines at the head. Returns how many there are. */
static size_t settings(const struct talk_script *script, struct smtp_server_settings *set)
{
    size_t i = 0;
    for (; i < script->count && strcmp(script->lines[i].word, "SET") == 0; i++) {
        const char *words = script->lines[i].rest;
        for (char *word; (word = talk_word(&words)) != NULL; free(word)) {
            char *equals = strchr(word, '=');
            if (equals == NULL)
                continue;
            *equals = '\0';
            set_one(set, word, equals + 1);
        }
    }
    return i;
}

bool talk_server(const struct talk_script *script, bool trickle)
{
    struct smtp_server_settings set = {.host = "in.example",
        .peer = "192.0.2.7",
        .max_size = 1000000,
        .max_recipients = 100,
        .max_line = 998,
        .seed = 1};
    struct play play = {.script = script, .trickle = trickle, .now = START};
    size_t i = settings(script, &set);
    play.server = smtp_server_new(&set, play.now);
    bool good = i < script->count;
    for (; good && i < script->count; i++) {
        play.line = &script->lines[i];
        good = step(&play);
    }
    deliver(&play);
    good = good && quiet(&play);
    smtp_server_free(&play.server);
    smtp_server_message_clear(&play.message);
    buffer_free(&play.packet);
    buffer_free(&play.heard);
    return good;
}
