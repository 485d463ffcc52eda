/* config - `todoku config apply|history|show|rollback`: the cluster-wide configuration, over the API
 *
 *     todoku config apply new.yaml --comment "a pool for acme"
 *     todoku config history
 *     todoku config show 3 > old.yaml
 *     todoku config rollback 3
 * The server judges the text; its faults come back with the file's name, line and column. On one machine
 * there is no such thing: the file wins. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/client_curl.h"
#include "cli/options.h"
#include "cli/rows_json.h"
#include "cli/table.h"
#include "cluster/config_store.h"

const struct cli_option cli_config_options[] = {
    {'m', "comment", "TEXT", "apply: why; shown in the history"},
    {0, "expected", "VERSION", "apply: only if this version is still in force"},
    {'n', "limit", "N", "history: at most so many rows"},
    {'j', "json", NULL, "the server's answer as it is"},
    {0, "api", "URL", "where the API is ($TODOKU_API, else http://127.0.0.1:8025)"},
    {'k', "key", "KEY", "the API key ($TODOKU_KEY)"},
};
const size_t cli_config_option_count = sizeof cli_config_options / sizeof *cli_config_options;

/* Says why it failed; the server's whole sentence, which may be a list of faults. */
static int fail(struct buffer *answer, const struct error *error)
{
    char *detail = rows_member_text(buffer_text(answer), "detail");
    fprintf(stderr, "todoku config: %s\n", detail != NULL ? detail : error->text);
    free(detail);
    return 1;
}

static int read_file(const char *name, struct buffer *out, struct error *error)
{
    bool from_stdin = strcmp(name, "-") == 0;
    FILE *file = from_stdin ? stdin : fopen(name, "rb");
    if (file == NULL)
        return error_set(error, "cannot read %s: %s", name, strerror(errno));
    for (size_t n = 1; n > 0 && buffer_len(out) <= CONFIG_MAX_VERSION;) {
        n = fread(buffer_room(out, 65536), 1, 65536, file);
        buffer_added(out, n);
    }
    bool broken = ferror(file) != 0;
    if (!from_stdin)
        fclose(file);
    if (broken)
        return error_set(error, "cannot read %s: %s", name, strerror(errno));
    if (buffer_len(out) > CONFIG_MAX_VERSION)
        return error_set(error, "%s is bigger than 768 KiB", name);
    return 0;
}

static void add_parameter(struct buffer *path, const char *name, const char *value)
{
    if (value == NULL)
        return;
    bool first = strchr(buffer_text(path), '?') == NULL;
    buffer_printf(path, "%s%s=", first ? "?" : "&", name);
    client_escape(path, value);
}

static void tell_version(const struct cli_args *args, struct buffer *answer)
{
    long long version;
    if (cli_value(args, "json") != NULL || rows_member_number(buffer_text(answer), "version", &version) != 0)
        fputs(buffer_text(answer), stdout);
    else
        printf("version %lld is in force\n", version);
}

static int apply(const struct cli_args *args, const struct client *client)
{
    struct buffer text = {0}, path = {0}, answer = {0};
    struct error error = {0};
    const char *name = args->rest[1], *slash = strrchr(name, '/');
    buffer_add_text(&path, "/v1/config");
    add_parameter(&path, "comment", cli_value(args, "comment"));
    add_parameter(&path, "expected", cli_value(args, "expected"));
    if (strlen(slash == NULL ? name : slash + 1) < 100)
        add_parameter(&path, "file", strcmp(name, "-") == 0 ? "stdin" : slash == NULL ? name : slash + 1);
    int code = 0;
    if (read_file(name, &text, &error) != 0 ||
        client_post_as(client, buffer_text(&path), "application/yaml", buffer_bytes(&text), buffer_len(&text),
            &answer, &error) != 0)
        code = fail(&answer, &error);
    else
        tell_version(args, &answer);
    buffer_free(&text);
    buffer_free(&path);
    buffer_free(&answer);
    return code;
}

static int show_history(const struct cli_args *args, struct buffer *lines)
{
    struct table table;
    struct error error = {0};
    const char *limit = cli_value(args, "limit");
    if (rows_read(buffer_text(lines), buffer_len(lines), "version current at by comment", &table, NULL,
            &error) != 0) {
        fprintf(stderr, "todoku config: %s\n", error.text);
        return 1;
    }
    if (table.rows == 0)
        puts("no version has been applied yet: each process goes by its own file");
    else
        table_print(&table, limit == NULL ? 0 : strtoul(limit, NULL, 10), table_colour(stdout), stdout);
    table_free(&table);
    return 0;
}

static int history(const struct cli_args *args, const struct client *client)
{
    struct buffer lines = {0};
    struct error error = {0};
    int code = 0;
    if (client_get(client, "/v1/config/history", "application/x-ndjson", &lines, &error) != 0)
        code = fail(&lines, &error);
    else if (cli_value(args, "json") != NULL)
        fputs(buffer_text(&lines), stdout);
    else
        code = show_history(args, &lines);
    buffer_free(&lines);
    return code;
}

static int show(const struct cli_args *args, const struct client *client)
{
    struct buffer path = {0}, text = {0};
    struct error error = {0};
    int code = 0;
    buffer_printf(
        &path, "/v1/config%s%s", args->rest_count > 1 ? "/" : "", args->rest_count > 1 ? args->rest[1] : "");
    const char *accept = cli_value(args, "json") != NULL ? "application/json" : "application/yaml";
    if (client_get(client, buffer_text(&path), accept, &text, &error) != 0)
        code = fail(&text, &error);
    else
        fwrite(buffer_bytes(&text), 1, buffer_len(&text), stdout);
    buffer_free(&path);
    buffer_free(&text);
    return code;
}

static int roll_back(const struct cli_args *args, const struct client *client)
{
    struct buffer answer = {0};
    struct error error = {0};
    char json[64];
    int len = snprintf(json, sizeof json, "{\"version\":%.20s}", args->rest[1]), code = 0;
    if (client_post_as(
            client, "/v1/config/rollback", "application/json", json, (size_t)len, &answer, &error) != 0)
        code = fail(&answer, &error);
    else
        tell_version(args, &answer);
    buffer_free(&answer);
    return code;
}

static bool is_number(const char *text)
{
    return text == NULL || (text[0] >= '1' && text[0] <= '9' && strspn(text, "0123456789") == strlen(text));
}

int cli_config(int argc, char **argv)
{
    static const struct {
        const char *verb;
        int least, most; /* of arguments, with the verb */
        bool version;    /* the second is a version */
        int (*run)(const struct cli_args *args, const struct client *client);
    } verbs[] = {
        {"apply", 2, 2, false, apply},
        {"history", 1, 1, false, history},
        {"show", 1, 2, true, show},
        {"rollback", 2, 2, true, roll_back},
    };
    struct cli_args args;
    int code = cli_parse(argc, argv, &args);
    if (code >= 0)
        return code;
    if (args.rest_count == 0)
        return cli_wrong(args.command, "say what to do: apply, history, show or rollback");
    if (!is_number(cli_value(&args, "expected")) || !is_number(cli_value(&args, "limit")))
        return cli_wrong(args.command, "--expected and --limit take a number");
    struct client client = {cli_value(&args, "api"), cli_value(&args, "key")};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(args.rest[0], verbs[i].verb) != 0)
            continue;
        if (args.rest_count < verbs[i].least)
            return cli_wrong(
                args.command, "%s needs %s", verbs[i].verb, verbs[i].version ? "a VERSION" : "a FILE");
        if (args.rest_count > verbs[i].most)
            return cli_wrong(args.command, "`%s` is too much", args.rest[verbs[i].most]);
        if (verbs[i].version && args.rest_count > 1 && !is_number(args.rest[1]))
            return cli_wrong(args.command,
                "a version is a number, as `todoku config history` lists them, not `%s`", args.rest[1]);
        return verbs[i].run(&args, &client);
    }
    return cli_wrong(args.command, "there is no `%s` here", args.rest[0]);
}
