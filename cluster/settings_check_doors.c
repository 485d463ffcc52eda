/* settings_check_doors - cross checks of the ways in: listeners, keys, cluster (see settings_inside.h) */
#include <string.h>

#include "cluster/settings_inside.h"
#include "cluster/settings_read.h"
#include "proto/wire.h"

static bool is_loopback(const char *endpoint)
{
    struct sockaddr_storage address;
    unsigned port;
    return settings_endpoint_split(endpoint, &address, &port) && settings_is_loopback(&address);
}

static bool is_any(const char *endpoint)
{
    return strncmp(endpoint, "0.0.0.0:", 8) == 0 || strncmp(endpoint, "[::]:", 5) == 0;
}

/* Would the second bind fail? The same address, or the same port of one family where one takes every address.
 */
static bool listeners_clash(const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return true;
    return (is_any(a) || is_any(b)) && (a[0] == '[') == (b[0] == '[') &&
           strcmp(strrchr(a, ':'), strrchr(b, ':')) == 0;
}

static void check_tls(struct settings_check *check, const struct setting_listener *listener)
{
    if (listener->tls_cert != NULL && listener->tls_key == NULL)
        check_fault(check, &listener->tls_cert, "`tls_cert` needs `tls_key` beside it");
    if (listener->tls_key != NULL && listener->tls_cert == NULL)
        check_fault(check, &listener->tls_key, "`tls_key` needs `tls_cert` beside it");
}

/* Passwords are taken under TLS or from this machine only, so elsewhere such a listener would serve nobody.
 */
static void check_auth(struct settings_check *check, const struct setting_listener *listener)
{
    const struct settings *settings = &check->block->settings;
    if (!listener->auth_required || listener->listen == NULL)
        return;
    if (listener->tls_cert == NULL && !is_loopback(listener->listen))
        check_fault(check, &listener->auth_required,
            "`auth: required` needs TLS: set `tls_cert` and `tls_key`, or listen on 127.0.0.1");
    if (settings->coordinator.keys_file == NULL)
        check_fault(check, &listener->auth_required,
            "`auth: required` needs `keys_file` under `coordinator`; make a key: todoku key add --tenant T "
            "--keys-file /etc/todoku/keys");
}

static void check_smtp(struct settings_check *check)
{
    const struct settings *settings = &check->block->settings;
    const struct setting_listener *smtp = settings->coordinator.smtp;
    for (size_t i = 0; i < settings->coordinator.smtp_count; i++) {
        check_tls(check, &smtp[i]);
        check_auth(check, &smtp[i]);
        for (size_t j = 0; smtp[i].listen != NULL && j < i; j++) {
            if (smtp[j].listen == NULL || !listeners_clash(smtp[i].listen, smtp[j].listen))
                continue;
            check_fault(check, &smtp[i].listen, "`%s` is taken by the listener `%s`; use another port",
                smtp[i].listen, smtp[j].listen);
            break;
        }
    }
}

static void check_http(struct settings_check *check)
{
    const struct settings *settings = &check->block->settings;
    const struct setting_listener *http = &settings->coordinator.http;
    check_tls(check, http);
    if (http->listen == NULL)
        return;
    for (size_t i = 0; i < settings->coordinator.smtp_count; i++) {
        const struct setting_listener *smtp = &settings->coordinator.smtp[i];
        if (smtp->listen != NULL && listeners_clash(http->listen, smtp->listen))
            check_fault(check, check_given(check, &http->listen) ? &http->listen : &smtp->listen,
                "the HTTP listener `%s` and the SMTP listener `%s` clash; use another port", http->listen,
                smtp->listen);
    }
    if (!is_loopback(http->listen) && settings->coordinator.keys_file == NULL)
        check_fault(check, &http->listen,
            "the API asks for no key without `keys_file`, so it may listen on loopback only; make a key: "
            "todoku "
            "key add --admin --keys-file /etc/todoku/keys");
}

static void check_trusted(struct settings_check *check)
{
    const struct settings *settings = &check->block->settings;
    const char *tenant = settings->coordinator.default_tenant;
    if (settings->coordinator.trusted_count > 0 && tenant == NULL)
        check_fault(check, &settings->coordinator.trusted,
            "`trusted` peers hand in mail as `default_tenant`; name that tenant");
    for (size_t i = 0; i < settings->coordinator.trusted_count; i++)
        if (settings->coordinator.trusted[i].bits == 0 && settings->coordinator.trusted[i].family != 0)
            check_fault(check, &settings->coordinator.trusted[i],
                "trusting every address makes an open relay; name the networks of your own machines");
    bool found = false;
    for (size_t i = 0; tenant != NULL && i < settings->tenant_count; i++)
        found = found || (settings->tenants[i].id != NULL && strcmp(settings->tenants[i].id, tenant) == 0);
    if (tenant != NULL && !found) {
        char hint[128];
        check_hint(tenant, settings->tenants, settings->tenant_count, sizeof *settings->tenants, hint);
        check_fault(check, &settings->coordinator.default_tenant, "there is no tenant `%s`%s", tenant, hint);
    }
}

static bool is_https(const char *endpoint)
{
    return strncmp(endpoint, "https://", 8) == 0;
}

static void check_etcd(struct settings_check *check)
{
    const struct settings *settings = &check->block->settings;
    char **endpoints = settings->cluster.etcd_endpoints;
    size_t count = settings->cluster.etcd_endpoint_count;
    for (size_t i = 1; i < count; i++)
        if (endpoints[0] != NULL && endpoints[i] != NULL && is_https(endpoints[i]) != is_https(endpoints[0]))
            check_fault(check, &endpoints[i],
                "etcd's endpoints are all http or all https; the first one is `%s`", endpoints[0]);
    bool plain = count > 0 && endpoints[0] != NULL && !is_https(endpoints[0]);
    if (plain && settings->cluster.etcd_ca != NULL)
        check_fault(check, &settings->cluster.etcd_ca, "`ca` is for https, and etcd's endpoints are http");
    if (plain && settings->cluster.etcd_cert != NULL)
        check_fault(
            check, &settings->cluster.etcd_cert, "`cert` is for https, and etcd's endpoints are http");
    if ((settings->cluster.etcd_cert == NULL) != (settings->cluster.etcd_key == NULL))
        check_fault(check,
            settings->cluster.etcd_cert == NULL ? &settings->cluster.etcd_key : &settings->cluster.etcd_cert,
            "etcd's `cert` and `key` go together; give both or none");
    if ((settings->cluster.etcd_user == NULL) != (settings->cluster.etcd_password == NULL))
        check_fault(check,
            settings->cluster.etcd_user == NULL ? &settings->cluster.etcd_password
                                                : &settings->cluster.etcd_user,
            "etcd's `user` and `password` go together; give both or none");
}

/* Names that stand in the keys of the store; a node's spool is called by its name and ".0". */
static void check_ids(struct settings_check *check)
{
    const struct settings *settings = &check->block->settings;
    const struct {
        char *const *name;
        size_t most;
    } names[] = {{&settings->cluster.name, 62}, {&settings->coordinator.id, 62}, {&settings->node.id, 60}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (*names[i].name != NULL && strlen(*names[i].name) > names[i].most)
            check_fault(check, names[i].name, "`%s` is too long; this name may have %zu characters",
                *names[i].name, names[i].most);
}

static void check_cluster(struct settings_check *check)
{
    const struct settings *settings = &check->block->settings;
    if (settings->cluster.copies > 1 && !settings->cluster.has_etcd)
        check_fault(check, &settings->cluster.copies,
            "%u copies need more than one machine: set `etcd`, or `copies: 1`", settings->cluster.copies);
    if (settings->cluster.min_copies > settings->cluster.copies)
        check_fault(check, &settings->cluster.min_copies, "`min_copies` is above `copies`, which is %u",
            settings->cluster.copies);
    char ours[WIRE_TEXT_SIZE];
    if (settings->cluster.wire != 0 && !wire_has(&wire_ours, settings->cluster.wire))
        check_fault(check, &settings->cluster.wire,
            "this program speaks wire version %s, not %u; leave `wire` out", wire_text(&wire_ours, ours),
            settings->cluster.wire);
    if (settings->coordinator.bus != NULL && settings->node.bus != NULL &&
        strcmp(settings->coordinator.bus, settings->node.bus) == 0)
        check_fault(check, &settings->node.bus, "`%s` is the coordinator's bus too; use another port",
            settings->node.bus);
}

void settings_check_doors(struct settings_check *check)
{
    check_smtp(check);
    check_http(check);
    check_trusted(check);
    check_etcd(check);
    check_ids(check);
    check_cluster(check);
}
