/* at_store - see at_store.h */
#include "cli/at_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/rows_json.h"
#include "cli/start.h"
#include "cli/table.h"
#include "cluster/kv_etcd_grpc.h"
#include "cluster/settings.h"

static struct settings *read_settings(const char *command, const char *file)
{
    struct settings *settings = NULL;
    if (start_read_settings(file, NULL, &settings) == 0 && !settings->cluster.has_etcd) {
        fprintf(stderr,
            "todoku %s: it works in etcd itself; %s has no cluster.etcd. Name the file of a member with -c "
            "FILE\n",
            command, file);
        settings_free(&settings);
    }
    return settings;
}

int at_store(const char *command, const char *file, at_store_work *work, void *with)
{
    struct error error = {0};
    struct settings *settings = read_settings(command, file != NULL ? file : AT_STORE_CONFIG);
    if (settings == NULL)
        return 2;
    log_set_level(LOG_LEVEL_WARN); /* that etcd answers is no news here */
    struct kv_etcd *etcd = kv_etcd_open(settings, &error);
    struct members members = {.cluster = settings->cluster.name};
    int rc = -1;
    if (etcd != NULL) {
        members.kv = kv_etcd_face(etcd);
        rc = work(&members, with, &error);
        kv_etcd_close(&etcd);
    }
    if (rc != 0)
        fprintf(stderr, "todoku %s: %s\n", command, error.text);
    settings_free(&settings);
    return rc == 0 ? 0 : 1;
}

int at_store_print(
    struct buffer *lines, bool json, const char *columns, const char *none, struct error *error)
{
    struct table table;
    if (json) {
        fwrite(buffer_bytes(lines), 1, buffer_len(lines), stdout);
        return 0;
    }
    if (rows_read(buffer_text(lines), buffer_len(lines), columns, &table, NULL, error) != 0)
        return -1;
    if (table.rows == 0)
        puts(none);
    else
        table_print(&table, 0, table_colour(stdout), stdout);
    table_free(&table);
    return 0;
}

void at_store_who(char by[AT_STORE_BY_SIZE])
{
    const char *user = getenv("USER");
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    snprintf(by, AT_STORE_BY_SIZE, "%.60s at %.60s", user == NULL ? "somebody" : user, host);
}
