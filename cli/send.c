/* send - `todoku send`: hands in a message over the HTTP API
 *
 * The file goes as it is ("raw"); only its line ends may be bare, the server completes them. JSON carries
 * UTF-8, so a message with other bytes must come by SMTP, or with its parts encoded. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/json_out.h"
#include "cli/client_curl.h"
#include "cli/options.h"
#include "cli/rows_json.h"

#define MAX_MESSAGE ((size_t)100 << 20)
#define MAX_TO 10000

const struct cli_option cli_send_options[] = {
    {'f', "from", "ADDRESS", "the sender (MAIL FROM)"},
    {'t', "to", "ADDRESSES", "the recipients, with commas between them"},
    {0, "tenant", "T", "whose message it is (for administrators; else the key's or the default tenant)"},
    {0, "campaign", "C", "the campaign it belongs to"},
    {0, "pool", "P", "the pool of sources to send from"},
    {0, "priority", "P", "transactional, normal or bulk"},
    {0, "send-at", "TIME", "not before, like 2027-01-31T08:00:00Z"},
    {0, "max-age", "AGE", "give up after: 4h, 2d"},
    {0, "idempotency-key", "KEY", "the same key hands in the same message once only"},
    {'j', "json", NULL, "the server's answer as it is"},
    {0, "api", "URL", "where the API is ($TODOKU_API, else http://127.0.0.1:8025)"},
    {'k', "key", "KEY", "the API key ($TODOKU_KEY)"},
};
const size_t cli_send_option_count = sizeof cli_send_options / sizeof *cli_send_options;

static int read_message(const char *name, struct buffer *out, struct error *error)
{
    bool from_stdin = strcmp(name, "-") == 0;
    FILE *file = from_stdin ? stdin : fopen(name, "rb");
    if (file == NULL)
        return error_set(error, "cannot read %s: %s", name, strerror(errno));
    if (from_stdin && isatty(STDIN_FILENO))
        fputs("reading the message from the terminal; Ctrl-D ends it\n", stderr);
    for (size_t n = 1; n > 0 && buffer_len(out) <= MAX_MESSAGE;) {
        n = fread(buffer_room(out, 65536), 1, 65536, file);
        buffer_added(out, n);
    }
    bool broken = ferror(file) != 0;
    if (!from_stdin)
        fclose(file);
    if (broken)
        return error_set(error, "cannot read %s: %s", name, strerror(errno));
    if (buffer_len(out) == 0)
        return error_set(error, "%s is empty", name);
    if (buffer_len(out) > MAX_MESSAGE)
        return error_set(error, "%s is bigger than 100 MiB", name);
    return 0;
}

/* Whether the bytes are UTF-8 without a zero (RFC 3629 section 4), so that JSON carries them unchanged. */
static bool is_utf8(const unsigned char *at, size_t len)
{
    for (const unsigned char *end = at + len; at < end;) {
        unsigned char c = *at;
        size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : 3;
        if (c == 0 || (c >= 0x80 && c < 0xc2) || c > 0xf4 || (size_t)(end - at) <= more)
            return false;
        for (size_t i = 1; i <= more; i++)
            if ((at[i] & 0xc0) != 0x80)
                return false;
        if ((c == 0xe0 && at[1] < 0xa0) || (c == 0xed && at[1] > 0x9f) || (c == 0xf0 && at[1] < 0x90) ||
            (c == 0xf4 && at[1] > 0x8f))
            return false;
        at += more + 1;
    }
    return true;
}

/* "a@b, c@d"; a comma inside quotes or brackets separates nothing. */
static size_t add_recipients(struct buffer *out, const char *list)
{
    size_t count = 0;
    bool quoted = false;
    for (const char *start = list, *at = list;; at++) {
        quoted ^= *at == '"';
        if (*at != '\0' && (*at != ',' || quoted))
            continue;
        size_t len = (size_t)(at - start), skip = strspn(start, " ");
        if (len > skip && count < MAX_TO) {
            json_text_len(out, NULL, start + skip, len - skip);
            count++;
        }
        if (*at == '\0')
            return count;
        start = at + 1;
    }
}

static size_t make_json(const struct cli_args *args, struct buffer *message, struct buffer *out)
{
    static const struct {
        const char *option, *member;
    } rows[] = {{"tenant", "tenant"}, {"campaign", "campaign"}, {"pool", "pool"}, {"priority", "priority"},
        {"send-at", "send_at"}, {"max-age", "max_age"}};
    json_begin(out, '{');
    json_text(out, "from", cli_value(args, "from"));
    json_begin_named(out, "to", '[');
    size_t count = add_recipients(out, cli_value(args, "to"));
    json_end(out, ']');
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (cli_value(args, rows[i].option) != NULL)
            json_text(out, rows[i].member, cli_value(args, rows[i].option));
    json_text_len(out, "raw", buffer_bytes(message), buffer_len(message));
    json_end(out, '}');
    return count;
}

static int hand_in(const struct cli_args *args, const struct buffer *json, struct error *error)
{
    struct client client = {cli_value(args, "api"), cli_value(args, "key")};
    struct buffer answer = {0};
    char id[64];
    size_t recipients;
    int rc = client_post(&client, "/v1/messages", cli_value(args, "idempotency-key"), buffer_bytes(json),
        buffer_len(json), &answer, error);
    if (rc == 0 && cli_value(args, "json") != NULL)
        fwrite(buffer_bytes(&answer), 1, buffer_len(&answer), stdout);
    else if (rc == 0 && rows_receipt(buffer_text(&answer), id, &recipients) == 0)
        printf("queued as %s for %zu recipient%s\n", id, recipients, recipients == 1 ? "" : "s");
    else if (rc == 0)
        rc = error_set(error, "the answer names no id; is this the API of Todoku?");
    buffer_free(&answer);
    return rc;
}

int cli_send(int argc, char **argv)
{
    struct cli_args args;
    struct error error = {0};
    struct buffer message = {0}, json = {0};
    int code = cli_parse(argc, argv, &args);
    if (code >= 0)
        return code;
    if (cli_value(&args, "from") == NULL || cli_value(&args, "to") == NULL)
        return cli_wrong(args.command, "--from and --to are needed");
    if (args.rest_count > 1)
        return cli_wrong(args.command, "one message at a time; `%s` is too much", args.rest[1]);
    const char *name = args.rest_count == 1 ? args.rest[0] : "-";
    code = read_message(name, &message, &error) == 0 ? 0 : 1;
    if (code == 0 && !is_utf8((const unsigned char *)buffer_bytes(&message), buffer_len(&message))) {
        error_set(&error, "%s holds bytes that are no UTF-8: hand it in by SMTP", name);
        code = 1;
    }
    if (code == 0 && make_json(&args, &message, &json) == 0)
        code = cli_wrong(args.command, "--to names nobody");
    else if (code == 0)
        code = hand_in(&args, &json, &error) == 0 ? 0 : 1;
    if (error.text[0] != '\0')
        fprintf(stderr, "todoku send: %s\n", error.text);
    buffer_free(&message);
    buffer_free(&json);
    return code;
}
