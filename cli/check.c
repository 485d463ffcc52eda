/* check - `todoku check -c FILE`: says every fault of a configuration file
 *
 * Reads the file as every other role would and starts nothing. Faults go to stderr, one a line, with
 * file:line:column. Exit: 0 the file is fine, 2 it is not. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "cli/dkim_keys.h"
#include "cluster/settings_member.h"

static const char USAGE[] =
    "usage: todoku check -c FILE\n"
    "Reads the configuration file and says every fault with file:line:column. In a cluster\n"
    "also what the roles lack whose `bus` is set.\n"
    "  -c, --config FILE   the file to read\n"
    "  -h, --help          this text\n"
    "Exit: 0 no fault, 2 faults or wrong usage.\n";

static int faults_print(struct fault *faults, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fprintf(stderr, "%s\n", faults[i].text);
    fprintf(stderr, "%zu fault%s\n", count, count == 1 ? "" : "s");
    free(faults);
    return 2;
}

static const char *roles_of(const struct settings *settings)
{
    bool coordinator = settings->coordinator.bus != NULL, node = settings->node.bus != NULL;
    return coordinator && node ? "coordinator and node"
           : coordinator       ? "coordinator"
           : node              ? "node"
                               : "tools of a cluster (neither coordinator.bus nor node.bus is set)";
}

static int file_check(const char *file)
{
    struct fault *faults;
    size_t count;
    struct settings *settings = settings_load(file, &faults, &count);
    if (settings == NULL)
        return faults_print(faults, count);
    if (settings_check_member(settings, MEMBER_ANY, &faults, &count) != 0) {
        settings_free(&settings);
        return faults_print(faults, count);
    }
    /* Only who sends has them. */
    bool sends = !settings->cluster.has_etcd || settings->node.bus != NULL;
    size_t bad_keys = sends ? dkim_keys_check(settings, stderr) : 0;
    if (bad_keys > 0) {
        fprintf(stderr, "%zu fault%s\n", bad_keys, bad_keys == 1 ? "" : "s");
        settings_free(&settings);
        return 2;
    }
    if (settings->cluster.has_etcd)
        printf("%s: cluster %s, for %s\n", file, settings->cluster.name, roles_of(settings));
    printf("%s: no fault: %zu sources, %zu pools, %zu tenants, %zu limits, %zu providers, %zu keys\n", file,
        settings->node.source_count, settings->pool_count, settings->tenant_count, settings->limit_count,
        settings->provider_count, dkim_keys_count(settings));
    settings_free(&settings);
    return 0;
}

int cli_check(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *file = NULL;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (option == 'h') {
            fputs(USAGE, stdout);
            return 0;
        }
        if (option != 'c') {
            fputs(USAGE, stderr);
            return 2;
        }
        file = optarg;
    }
    if (file == NULL || optind != argc) {
        fputs(USAGE, stderr);
        return 2;
    }
    return file_check(file);
}
