/* key - `todoku key add|list|revoke`: API keys and SMTP passwords in a file of hashes
 *
 * Works on the file alone and asks no server; a running coordinator reads it again on SIGHUP. The secret is
 * written to stdout once, by `add`. Exit: 0 done, 1 refused or failed, 2 wrong usage or config. */
#include <getopt.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/start.h"
#include "cluster/settings.h"
#include "cluster/settings_read.h"
#include "coordinator/keys.h"

#define DEFAULT_CONFIG "/etc/todoku/todoku.yaml"

static const char USAGE[] =
    "usage: todoku key add    --tenant T | --admin   makes a key and shows its secret, once\n"
    "       todoku key list   [--tenant T | --admin]\n"
    "       todoku key revoke ID | --tenant T | --admin\n"
    "  -t, --tenant T         a tenant's keys: they see and touch that tenant only\n"
    "  -a, --admin            keys that may do everything\n"
    "  -c, --config FILE      the configuration that names keys_file (default: " DEFAULT_CONFIG ")\n"
    "  -k, --keys-file FILE   the file of keys itself\n"
    "  -j, --json             one object a line\n"
    "  -h, --help             this text\n"
    "A key is the password of SMTP AUTH and the bearer token of the API. A running\n"
    "coordinator reads the file again on SIGHUP.\n";

struct request {
    const char *verb, *id;
    const char *tenant; /* null: not said; "": admin */
    const char *config;
    char *keys_file;
    char *user; /* whom the coordinator becomes, or null */
    bool json;
};

static int usage_wrong(const char *why)
{
    fprintf(stderr, "todoku key: %s\n%s", why, USAGE);
    return 2;
}

/* 0 go on, 1 help was asked for, 2 wrong usage. */
static int request_read(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {{"tenant", required_argument, NULL, 't'},
        {"admin", no_argument, NULL, 'a'}, {"config", required_argument, NULL, 'c'},
        {"keys-file", required_argument, NULL, 'k'}, {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    bool tenant_twice = false;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "t:ac:k:jh", options, NULL)) != -1;) {
        switch (option) {
        case 't':
        case 'a':
            tenant_twice = tenant_twice || request->tenant != NULL;
            request->tenant = option == 'a' ? "" : optarg;
            break;
        case 'c':
            request->config = optarg;
            break;
        case 'k':
            free(request->keys_file);
            request->keys_file = xstrdup(optarg);
            break;
        case 'j':
            request->json = true;
            break;
        case 'h':
            fputs(USAGE, stdout);
            return 1;
        default:
            fputs(USAGE, stderr);
            return 2;
        }
        if (option == 't' && !settings_name_ok(optarg))
            return usage_wrong("that is no tenant's name");
    }
    if (tenant_twice)
        return usage_wrong("--tenant and --admin exclude each other, and each is said once");
    if (optind < argc)
        request->verb = argv[optind++];
    if (optind < argc)
        request->id = argv[optind++];
    return optind < argc || request->verb == NULL ? usage_wrong("say add, list or revoke") : 0;
}

/* The keys file from the configuration, which then also says which tenants there are. 0, or the exit code. */
static int config_read_keys(struct request *request)
{
    const char *config = request->config != NULL ? request->config : DEFAULT_CONFIG;
    struct settings *settings;
    if (request->config == NULL && request->keys_file != NULL)
        return 0;
    if (start_read_settings(config, NULL, &settings) != 0) {
        if (request->config == NULL)
            fprintf(stderr,
                "todoku key: name the file with --keys-file FILE, or the configuration with -c FILE\n");
        return 2;
    }
    int code = 0;
    bool adds_tenant =
        strcmp(request->verb, "add") == 0 && request->tenant != NULL && request->tenant[0] != 0;
    if (adds_tenant && settings_tenant(settings, request->tenant) == NULL) {
        fprintf(stderr, "todoku key: %s has no tenant `%s`; add it under `tenants` first\n", config,
            request->tenant);
        code = 1;
    } else if (request->keys_file == NULL && settings->coordinator.keys_file == NULL) {
        fprintf(stderr,
            "todoku key: %s has no `keys_file` under `coordinator`; set it, or name the file with "
            "--keys-file\n",
            config);
        code = 2;
    } else if (request->keys_file == NULL) {
        request->keys_file = xstrdup(settings->coordinator.keys_file);
    }
    if (code == 0 && settings->user != NULL)
        request->user = xstrdup(settings->user);
    settings_free(&settings);
    return code;
}

/* Names, hex digits and times need no escaping. */
static void key_print(const struct key *key, const char *secret, bool json)
{
    const char *tenant = key->tenant;
    if (!json) {
        printf("%-12s  %-24s  %s\n", key->id, key->created, tenant[0] == 0 ? "admin" : tenant);
        return;
    }
    printf("{\"id\":\"%s\",\"created\":\"%s\",\"admin\":%s", key->id, key->created,
        tenant[0] == 0 ? "true" : "false");
    if (tenant[0] != 0)
        printf(",\"tenant\":\"%s\"", tenant);
    if (secret != NULL)
        printf(",\"secret\":\"%s\"", secret);
    printf("}\n");
}

/* A file that root just made must be readable for the coordinator after it gave root up, or no reload works.
 * Later changes keep the owner. */
static void file_give(const struct request *request)
{
    const struct passwd *user = getpwnam(request->user);
    if (user == NULL || chown(request->keys_file, user->pw_uid, user->pw_gid) != 0)
        fprintf(stderr,
            "todoku key: %s cannot be given to the user `%s`; do it before the coordinator starts\n",
            request->keys_file, request->user);
}

static int failed(const struct error *error)
{
    fprintf(stderr, "todoku key: %s\n", error->text);
    return 1;
}

static int run_add(const struct request *request)
{
    char secret[KEY_SECRET_SIZE];
    struct key key;
    struct error error;
    if (request->tenant == NULL || request->id != NULL)
        return usage_wrong("a new key is for --tenant T or --admin");
    bool is_new = access(request->keys_file, F_OK) != 0;
    if (key_add(request->keys_file, request->tenant, clock_now(), secret, &key, &error) != 0)
        return failed(&error);
    if (is_new && request->user != NULL && geteuid() == 0)
        file_give(request);
    if (request->json) {
        key_print(&key, secret, true);
    } else {
        printf("%s\n", secret);
        fprintf(stderr,
            "This is the key %s for %s%s. It is shown this once: keep it now. A running coordinator "
            "takes it after SIGHUP.\n",
            key.id, key.tenant[0] == 0 ? "administration" : "tenant ", key.tenant);
    }
    return 0;
}

static int run_list(const struct request *request)
{
    struct key_table table;
    struct error error;
    if (request->id != NULL)
        return usage_wrong("`list` takes no id");
    if (key_table_read(request->keys_file, &table, &error) != 0)
        return failed(&error);
    if (!request->json)
        printf("%-12s  %-24s  %s\n", "ID", "CREATED", "FOR");
    for (size_t i = 0; i < table.count; i++)
        if (request->tenant == NULL || strcmp(request->tenant, table.items[i].tenant) == 0)
            key_print(&table.items[i], NULL, request->json);
    key_table_free(&table);
    return 0;
}

static int run_revoke(const struct request *request)
{
    struct error error;
    size_t count;
    if (request->id == NULL && request->tenant == NULL)
        return usage_wrong("say which: an ID, --tenant T (all of the tenant's) or --admin (all of those)");
    if (key_revoke(request->keys_file, request->id, request->tenant, &count, &error) != 0)
        return failed(&error);
    if (request->json)
        printf("{\"revoked\":%zu}\n", count);
    else
        printf(
            "%zu key%s revoked; a running coordinator forgets after SIGHUP\n", count, count == 1 ? "" : "s");
    return 0;
}

int cli_key(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct request *request);
    } verbs[] = {{"add", run_add}, {"list", run_list}, {"revoke", run_revoke}};
    struct request request = {0};
    int code = request_read(argc, argv, &request);
    if (code == 0) {
        code = 2;
        size_t i = 0;
        while (i < 3 && strcmp(verbs[i].name, request.verb) != 0)
            i++;
        if (i == 3)
            usage_wrong("say add, list or revoke");
        else if ((code = config_read_keys(&request)) == 0)
            code = verbs[i].run(&request);
    } else if (code == 1) {
        code = 0; /* help was shown */
    }
    free(request.keys_file);
    free(request.user);
    return code;
}
