/* listing - `todoku status`, `queues`, `message ID` ...: asks the API and shows rows
 *
 * One row a listing: where its rows are and which columns a person wants. Every listing takes the same
 * selectors; what a selector means is the server's affair. --json passes the server's lines through, chosen and in
 * order, but unchanged. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "cli/client_curl.h"
#include "cli/options.h"
#include "cli/rows_json.h"
#include "cli/table.h"

#define NDJSON "application/x-ndjson"

const struct cli_option cli_listing_options[] = {
    {0, "tenant", "T", "only this tenant"},
    {0, "campaign", "C", "only this campaign"},
    {0, "pool", "P", "only this pool"},
    {0, "source", "IP", "only this source address"},
    {0, "provider", "P", "only this provider"},
    {0, "domain", "D", "only this recipients' domain"},
    {0, "node", "N", "only this node"},
    {0, "from", "ADDRESS", "only from this address"},
    {0, "to", "ADDRESS", "only to this address"},
    {0, "event", "NAME", "only this kind of event: delivered, bounced ..."},
    {0, "since", "TIME", "only what is younger: 2h, 3d, or 2027-01-31T08:00:00Z"},
    {'f', "follow", NULL, "events: go on with what happens, until Ctrl-C"},
    {'s', "sort", "COLUMN", "sort by a column; -COLUMN turns it round"},
    {'n', "limit", "N", "at most so many rows; of events and messages the newest"},
    {'j', "json", NULL, "one JSON object a line, as the server gave it"},
    {0, "api", "URL", "where the API is ($TODOKU_API, else http://127.0.0.1:8025)"},
    {'k', "key", "KEY", "the API key ($TODOKU_KEY)"},
};
const size_t cli_listing_option_count = sizeof cli_listing_options / sizeof *cli_listing_options;

/* These become the query; the others are ours. */
static const char *const selectors[] = {
    "tenant", "campaign", "pool", "source", "provider", "domain", "node", "from", "to", "event", "since"};

static const struct listing {
    const char *name, *path;
    const char *columns;  /* null = every member, upright */
    const char *empty;    /* said when there is nothing */
    const char *argument; /* the selector its argument becomes; "" = part of the path; null = it takes none */
} listings[] = {
    {"status", "/v1/status", NULL, "no node answers", NULL},
    {"nodes", "/v1/nodes",
        "role node coordinator state doing mirror mirror_lag_ms unacked_bytes copies_kept taken_over "
        "taken_over_queued in_doubt epoch config "
        "weight sources queued "
        "drain_per_second empty_in_ms to_move moves_per_second moved_in_ms taken_over_per_second "
        "taken_over_empty_in_ms ready sending connections accepted "
        "delivered deferred bounced rack endpoint",
        "no nodes", NULL},
    {"sources", "/v1/sources", "address source public helo pools node state connections messages",
        "no sources", NULL},
    {"lanes", "/v1/lanes",
        "source provider node state connections max_connections messages delivered deferred bounced",
        "no lane has been used yet", NULL},
    {"queues", "/v1/queues", "tenant campaign pool domain priority provider node queued ready state trouble",
        "nothing is queued", NULL},
    {"providers", "/v1/providers", "provider node sites connections delivered deferred bounced",
        "no provider has been used yet", NULL},
    {"tenants", "/v1/tenants", "tenant pool node queued", "no tenants", NULL},
    {"alerts", "/v1/alerts", NULL, "nothing needs a person", NULL},
    {"pauses", "/v1/pauses", "id tenant campaign pool source provider domain since until by reason",
        "nothing is paused", NULL},
    {"events", "/v1/events",
        "time event action member tenant campaign from to domain node source mx code reply config hold by "
        "moved refused queued reason",
        "no events", NULL},
    {"messages", "/v1/messages", "time id tenant campaign from to event state code reply", "no message fits",
        NULL},
    {"message", "/v1/messages/", "time event to state attempt attempts code reply source mx node due",
        "nothing is known of this message", ""},
    {"explain", "/v1/explain", NULL, "nothing is known of this address", "address"},
};

static const struct listing *find(const char *name)
{
    size_t i = 0;
    while (strcmp(listings[i].name, name) != 0)
        i++;
    return &listings[i];
}

static void add_selector(struct buffer *path, const char *name, const char *value)
{
    buffer_add(path, memchr(buffer_bytes(path), '?', buffer_len(path)) == NULL ? "?" : "&", 1);
    buffer_add_text(path, name);
    buffer_add(path, "=", 1);
    client_escape(path, value);
}

static void make_path(const struct cli_args *args, const struct listing *listing, struct buffer *path)
{
    buffer_add_text(path, listing->path);
    if (listing->argument != NULL && listing->argument[0] == '\0')
        client_escape(path, args->rest[0]);
    else if (listing->argument != NULL)
        add_selector(path, listing->argument, args->rest[0]);
    for (size_t i = 0; i < sizeof selectors / sizeof *selectors; i++) {
        const char *value = cli_value(args, selectors[i]);
        if (value != NULL)
            add_selector(path, selectors[i], value);
    }
    /* Sorted rows must all be here before some are left out. */
    if (cli_value(args, "limit") != NULL && cli_value(args, "sort") == NULL)
        add_selector(path, "limit", cli_value(args, "limit"));
}

static int no_such_column(const struct cli_args *args, const char *sort)
{
    return cli_wrong(args->command, "there is no column `%s`", sort + (sort[0] == '-'));
}

static size_t limit_of(const struct cli_args *args)
{
    const char *limit = cli_value(args, "limit");
    return limit == NULL ? 0 : strtoul(limit, NULL, 10);
}

/* For programs. */
static int show_json(const struct cli_args *args, const struct listing *listing, struct buffer *lines)
{
    struct error error = {0};
    struct buffer chosen = {0};
    const char *sort = cli_value(args, "sort");
    bool known;
    int code = 0;
    if (sort == NULL && limit_of(args) == 0) {
        fwrite(buffer_bytes(lines), 1, buffer_len(lines), stdout);
    } else if (rows_choose(buffer_text(lines), buffer_len(lines), sort, limit_of(args), &known, &chosen,
                   &error) != 0) {
        fprintf(stderr, "todoku %s: %s\n", listing->name, error.text);
        code = 1;
    } else if (sort != NULL && !known) {
        code = no_such_column(args, sort);
    } else {
        fwrite(buffer_bytes(&chosen), 1, buffer_len(&chosen), stdout);
    }
    buffer_free(&chosen);
    return code;
}

static int show(const struct cli_args *args, const struct listing *listing, struct buffer *lines)
{
    struct table table;
    struct error error = {0};
    char missing[200];
    const char *sort = cli_value(args, "sort");
    if (rows_read(buffer_text(lines), buffer_len(lines), listing->columns, &table, missing, &error) != 0) {
        fprintf(stderr, "todoku %s: %s\n", listing->name, error.text);
        return 1;
    }
    int code = 0;
    if (table.rows == 0)
        printf("%s\n", listing->empty);
    else if (sort != NULL && !table_sort(&table, sort))
        code = no_such_column(args, sort);
    else if (listing->columns == NULL)
        table_print_upright(&table, limit_of(args), table_colour(stdout), stdout);
    else
        table_print(&table, limit_of(args), table_colour(stdout), stdout);
    if (missing[0] != '\0')
        fprintf(stderr, "todoku %s: not all could be asked; missing: %s\n", listing->name, missing);
    table_free(&table);
    return code;
}

/* An event while it happens: one line, in the columns' order. */
static void show_event(void *context, const char *data)
{
    const struct cli_args *args = context;
    struct table table;
    if (cli_value(args, "json") != NULL) {
        puts(data);
    } else if (rows_read(data, strlen(data), find("events")->columns, &table, NULL, NULL) == 0) {
        for (size_t i = 0; i < table.columns && table.rows > 0; i++) {
            for (const char *at = table.cells[i]; *at != '\0'; at++)
                putchar((unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at);
            putchar(i + 1 < table.columns ? ' ' : '\n');
        }
        table_free(&table);
    }
    fflush(stdout);
}

static int follow(struct cli_args *args, const struct client *client, const char *path)
{
    struct error error = {0};
    struct buffer cursor = {0};
    bool lasting = true, said = false, ever = false;
    for (;;) {
        client_follow(client, path, &cursor, show_event, args, &lasting, &error);
        ever = ever || lasting;
        if (!ever || ferror(stdout))
            break;
        if (lasting || !said)
            fprintf(stderr, "todoku events: %s; trying again every 2 s\n", error.text);
        said = true;
        sleep(2);
    }
    fprintf(stderr, "todoku events: %s\n", error.text);
    buffer_free(&cursor);
    return 1;
}

static int check_args(const struct cli_args *args, const struct listing *listing)
{
    int wanted = listing->argument == NULL ? 0 : 1;
    const char *limit = cli_value(args, "limit");
    if (args->rest_count < wanted)
        return cli_wrong(args->command, "%s is missing", args->command->arguments);
    if (args->rest_count > wanted)
        return cli_wrong(args->command, "`%s` is too much", args->rest[wanted]);
    if (limit != NULL && (limit[0] < '1' || limit[0] > '9' || strspn(limit, "0123456789") != strlen(limit)))
        return cli_wrong(args->command, "--limit takes a number, not `%s`", limit);
    if (cli_value(args, "follow") != NULL && strcmp(listing->name, "events") != 0)
        return cli_wrong(args->command, "only `todoku events` can --follow");
    return 0;
}

static int ask(struct cli_args *args, const struct listing *listing, const char *path)
{
    struct client client = {cli_value(args, "api"), cli_value(args, "key")};
    struct error error = {0};
    struct buffer lines = {0};
    int code = 0;
    if (cli_value(args, "follow") != NULL)
        return follow(args, &client, path);
    if (client_get(&client, path, NDJSON, &lines, &error) != 0) {
        fprintf(stderr, "todoku %s: %s\n", listing->name, error.text);
        code = 1;
    } else if (cli_value(args, "json") != NULL) {
        code = show_json(args, listing, &lines);
    } else {
        code = show(args, listing, &lines);
    }
    buffer_free(&lines);
    return code;
}

int cli_listing(int argc, char **argv)
{
    struct cli_args args;
    struct buffer path = {0};
    int code = cli_parse(argc, argv, &args);
    if (code >= 0)
        return code;
    const struct listing *listing = find(argv[0]);
    code = check_args(&args, listing);
    if (code != 0)
        return code;
    make_path(&args, listing, &path);
    code = ask(&args, listing, buffer_text(&path));
    buffer_free(&path);
    return code;
}
