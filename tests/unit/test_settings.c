/* The operator's file: what may be said is stored, what may not is named with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <netinet/in.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/config.h"
#include "cluster/settings.h"

static const char *data_path(const char *name)
{
    static char path[1024];
    const char *source = getenv("TODOKU_SOURCE");
    snprintf(path, sizeof path, "%s/tests/data/config/%s", source == NULL ? "." : source, name);
    return path;
}

static struct buffer file_read(const char *path)
{
    struct buffer buffer = {0};
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("cannot open %s", path);
    while (!feof(file) && !ferror(file))
        buffer_added(&buffer, fread(buffer_room(&buffer, 4096), 1, 4096, file));
    fclose(file);
    return buffer;
}

/* The settings of a text that has no faults. */
static struct settings *parsed(const char *text, const char *origin)
{
    struct fault *faults;
    size_t count;
    struct settings *settings = settings_parse(text, strlen(text), origin, &faults, &count);
    if (settings == NULL)
        fail_msg("%zu faults; %s", count, faults[0].text);
    assert_null(faults);
    assert_int_equal(count, 0);
    return settings;
}

static struct settings *loaded(const char *name, const char *origin)
{
    struct buffer text = file_read(data_path(name));
    struct settings *settings = parsed(buffer_text(&text), origin);
    buffer_free(&text);
    return settings;
}

/* The first fault of a text that must have one. */
static void faulty(const char *text, const char *expected)
{
    struct fault *faults;
    size_t count;
    struct settings *settings = settings_parse(text, strlen(text), "t", &faults, &count);
    assert_null(settings);
    assert_true(count > 0);
    assert_string_equal(faults[0].text, expected);
    free(faults);
}

static void assert_texts(char **texts, size_t count, const char *expected)
{
    char joined[512] = "";
    for (size_t i = 0; i < count; i++)
        snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s%s", i > 0 ? " " : "", texts[i]);
    assert_string_equal(joined, expected);
}

static void the_full_example_names_the_cluster_and_the_doors(void **state)
{
    (void)state;
    struct settings *s = loaded("full.yaml", "/etc/todoku/todoku.yaml");
    assert_string_equal(s->file, "/etc/todoku/todoku.yaml");
    assert_string_equal(s->cluster.name, "prod");
    assert_true(s->cluster.has_etcd);
    assert_texts(s->cluster.etcd_endpoints, s->cluster.etcd_endpoint_count, "https://10.0.0.9:2379");
    assert_string_equal(s->cluster.etcd_ca, "/etc/todoku/ca.pem");
    assert_string_equal(s->cluster.etcd_cert, "/etc/todoku/node.pem");
    assert_string_equal(s->cluster.etcd_key, "/etc/todoku/node.key");
    assert_null(s->cluster.etcd_user);
    assert_null(s->cluster.etcd_password);
    assert_int_equal(s->cluster.copies, 2);
    assert_int_equal(s->cluster.min_copies, 2);
    assert_int_equal(s->cluster.move_rate, 20 << 20);
    assert_int_equal(s->cluster.takeover_rate, 100 << 20);
    assert_int_equal(s->cluster.wire, 1);
    assert_string_equal(s->cluster.curve_secret_file, "/etc/todoku/node.key");
    assert_string_equal(s->coordinator.id, "c1");
    assert_string_equal(s->coordinator.bus, "tcp://10.0.0.1:7100");
    assert_int_equal(s->coordinator.smtp_count, 2);
    assert_string_equal(s->coordinator.smtp[0].listen, "0.0.0.0:2525");
    assert_null(s->coordinator.smtp[0].tls_cert);
    assert_null(s->coordinator.smtp[0].tls_key);
    assert_false(s->coordinator.smtp[0].auth_required);
    assert_string_equal(s->coordinator.smtp[1].listen, "0.0.0.0:587");
    assert_string_equal(s->coordinator.smtp[1].tls_cert, "/etc/todoku/c.pem");
    assert_string_equal(s->coordinator.smtp[1].tls_key, "/etc/todoku/c.key");
    assert_true(s->coordinator.smtp[1].auth_required);
    assert_string_equal(s->coordinator.http.listen, "127.0.0.1:8025");
    assert_null(s->coordinator.http.tls_cert);
    assert_string_equal(s->coordinator.keys_file, "/etc/todoku/keys");
    assert_int_equal(s->coordinator.trusted_count, 1);
    assert_int_equal(s->coordinator.trusted[0].family, AF_INET);
    assert_int_equal(s->coordinator.trusted[0].bits, 8);
    assert_memory_equal(s->coordinator.trusted[0].bytes, "\x7f\0\0\0", 4);
    assert_string_equal(s->coordinator.default_tenant, "acme");
    assert_int_equal(s->coordinator.max_size, 25 << 20);
    assert_int_equal(s->coordinator.max_recipients, 1000);
    assert_int_equal(s->coordinator.max_line, 998);
    assert_int_equal(s->coordinator.max_sessions, 1000);
    settings_free(&s);
    assert_null(s);
}

static void the_full_example_names_the_node_and_its_ways_out(void **state)
{
    (void)state;
    struct settings *s = loaded("full.yaml", "/etc/todoku/todoku.yaml");
    assert_string_equal(s->node.id, "n1");
    assert_string_equal(s->node.rack, "a");
    assert_string_equal(s->node.data_dir, "/var/lib/todoku");
    assert_string_equal(s->node.bus, "tcp://10.0.0.2:7101");
    assert_int_equal(s->node.weight, 1);
    assert_int_equal(s->node.window, 128 << 20);
    assert_int_equal(s->node.spool_reserve, 64 << 20);
    assert_int_equal(s->node.spool_segment, 256 << 20);
    assert_int_equal(s->node.source_count, 2);
    const struct setting_source *source = s->node.sources;
    assert_string_equal(source[0].address, "192.0.2.10");
    assert_string_equal(source[0].public_address, "192.0.2.10");
    assert_string_equal(source[0].helo, "mx1.example.net");
    assert_texts(source[0].pools, source[0].pool_count, "shared");
    assert_string_equal(source[1].address, "10.0.0.11");
    assert_string_equal(source[1].public_address, "192.0.2.11");
    assert_string_equal(source[1].helo, "mx2.example.net");
    assert_texts(source[1].pools, source[1].pool_count, "acme");
    assert_string_equal(s->user, "todoku");
    assert_texts(s->resolver.servers, s->resolver.server_count, "127.0.0.1:5353");
    assert_int_equal(s->resolver.timeout, 5 * USEC_SEC);
    assert_int_equal(s->delivery.port, 25);
    assert_int_equal(s->delivery.tls, TLS_WISH_OPPORTUNISTIC);
    assert_int_equal(s->delivery.max_age, 4 * USEC_DAY);
    assert_int_equal(s->delivery.retry_count, 4);
    assert_int_equal(s->delivery.retry[0], 5 * USEC_MIN);
    assert_int_equal(s->delivery.retry[3], 4 * USEC_HOUR);
    assert_int_equal(s->delivery.dsn, MAIL_DSN_FAILURE);
    assert_null(s->delivery.sink);
    assert_int_equal(s->route_count, 1);
    assert_string_equal(s->routes[0].domain, "internal.example");
    assert_string_equal(s->routes[0].host, "10.1.1.1:2525");
    assert_int_equal(s->events.keep, 30 * USEC_DAY);
    assert_int_equal(s->events.max_size, (uint64_t)20 << 30);
    settings_free(&s);
}

static void the_full_example_names_tenants_limits_and_providers(void **state)
{
    (void)state;
    struct settings *s = loaded("full.yaml", "todoku.yaml");
    assert_int_equal(s->pool_count, 2);
    assert_string_equal(s->pools[0].name, "shared");
    assert_null(s->pools[0].overflow);
    assert_string_equal(s->pools[1].overflow, "shared");
    assert_ptr_equal(settings_pool(s, "acme"), &s->pools[1]);
    assert_null(settings_pool(s, "none"));
    const struct setting_tenant *acme = settings_tenant(s, "acme");
    assert_int_equal(s->tenant_count, 1);
    assert_ptr_equal(acme, s->tenants);
    assert_texts(acme->pools, acme->pool_count, "acme shared");
    assert_texts(acme->domains, acme->domain_count, "acme.example");
    assert_string_equal(acme->bounce_domain, "b.acme.example");
    assert_int_equal(acme->priority, MAIL_BULK);
    assert_false(acme->sandbox);
    assert_int_equal(acme->dsn, MAIL_DSN_FAILURE);
    assert_int_equal(acme->max_age, 4 * USEC_DAY);
    assert_int_equal(acme->dkim_count, 1);
    assert_string_equal(acme->dkim[0].domain, "acme.example");
    assert_string_equal(acme->dkim[0].selector, "s1");
    assert_string_equal(acme->dkim[0].key_file, "/etc/todoku/acme.pem");
    assert_int_equal(s->operator_dkim_count, 1);
    assert_string_equal(s->operator_dkim[0].domain, "todoku.example");
    assert_string_equal(s->operator_dkim[0].selector, "o1");
    assert_string_equal(s->operator_dkim[0].key_file, "/etc/todoku/op.pem");
    assert_int_equal(s->limit_count, 1);
    assert_string_equal(s->limits[0].name, "acme-total");
    assert_string_equal(s->limits[0].tenant, "acme");
    assert_null(s->limits[0].pool);
    assert_null(s->limits[0].provider);
    assert_null(s->limits[0].campaign);
    assert_int_equal(s->limits[0].rate_count, 2);
    assert_int_equal(s->limits[0].rates[0].count, 500);
    assert_int_equal(s->limits[0].rates[0].per, USEC_SEC);
    assert_int_equal(s->limits[0].rates[1].count, 100000);
    assert_int_equal(s->limits[0].rates[1].per, USEC_DAY);
    assert_int_equal(s->limits[0].burst, 50);
    const struct setting_provider *google = settings_provider(s, "gmail");
    assert_string_equal(s->providers[0].name, "default");
    assert_int_equal(s->providers[0].connections, 10);
    assert_int_equal(s->providers[0].messages_per_connection, 100);
    assert_int_equal(s->providers[0].rate.count, 100);
    assert_string_equal(google->name, "google");
    assert_texts(google->aliases, google->alias_count, "gmail");
    assert_texts(google->mx_suffixes, google->mx_suffix_count, "google.com googlemail.com");
    assert_int_equal(google->connections, 5);
    assert_int_equal(google->messages_per_connection, 50);
    assert_true(google->has_tls);
    assert_int_equal(google->tls, TLS_WISH_REQUIRED);
    assert_string_equal(s->rules_file, "/etc/todoku/rules.yaml");
    settings_free(&s);
}

static void what_is_not_said_has_its_default(void **state)
{
    (void)state;
    struct settings *s = loaded("good/minimal.yaml", "minimal.yaml");
    assert_string_equal(s->cluster.name, "todoku");
    assert_false(s->cluster.has_etcd);
    assert_int_equal(s->cluster.copies, 1);
    assert_int_equal(s->cluster.min_copies, 1);
    assert_int_equal(s->coordinator.smtp_count, 1);
    assert_string_equal(s->coordinator.smtp[0].listen, "127.0.0.1:2525");
    assert_false(s->coordinator.smtp[0].auth_required);
    assert_string_equal(s->coordinator.http.listen, "127.0.0.1:8025");
    assert_null(s->coordinator.keys_file);
    assert_int_equal(s->coordinator.trusted_count, 0);
    assert_string_equal(s->node.data_dir, "/var/lib/todoku");
    assert_int_equal(s->delivery.retry_count, 4);
    assert_int_equal(s->delivery.retry[1], 15 * USEC_MIN);
    assert_int_equal(s->delivery.connect_timeout, 30 * USEC_SEC);
    assert_int_equal(s->delivery.greeting_timeout, 5 * USEC_MIN);
    assert_int_equal(s->delivery.command_timeout, 5 * USEC_MIN);
    assert_int_equal(s->delivery.data_timeout, 2 * USEC_MIN);
    assert_int_equal(s->delivery.block_timeout, 3 * USEC_MIN);
    assert_int_equal(s->delivery.dot_timeout, 10 * USEC_MIN);
    assert_int_equal(s->delivery.idle, 5 * USEC_SEC);
    assert_null(s->user);
    assert_int_equal(s->tenant_count, 0);
    assert_true(s->provider_count > 10);
    settings_free(&s);
}

static void every_other_way_to_write_is_read_too(void **state)
{
    (void)state;
    struct settings *s = loaded("good/other.yaml", "conf/other.yaml");
    assert_texts(s->cluster.etcd_endpoints, s->cluster.etcd_endpoint_count,
        "http://etcd.example:2379 http://[::1]:2379");
    assert_string_equal(s->cluster.etcd_user, "todoku");
    assert_string_equal(s->cluster.etcd_password, "it's a secret");
    assert_int_equal(s->cluster.copies, 2);
    assert_int_equal(s->cluster.min_copies, 1);
    assert_string_equal(s->coordinator.smtp[1].listen, "[::1]:2525");
    assert_string_equal(s->coordinator.http.listen, "0.0.0.0:8443");
    assert_string_equal(s->coordinator.http.tls_cert, "conf/c.pem");
    assert_string_equal(s->coordinator.http.tls_key, "/etc/ssl/c.key");
    assert_string_equal(s->coordinator.keys_file, "conf/keys");
    assert_int_equal(s->coordinator.trusted_count, 3);
    assert_int_equal(s->coordinator.trusted[1].family, AF_INET6);
    assert_int_equal(s->coordinator.trusted[2].bits, 32);
    assert_int_equal(s->coordinator.max_sessions, 20);
    assert_int_equal(s->coordinator.max_line, 998);
    assert_int_equal(s->node.spool_reserve, 1 << 30);
    assert_int_equal(s->node.spool_segment, 16 << 20);
    assert_string_equal(s->node.data_dir, "conf/data");
    assert_string_equal(s->node.sources[0].address, "2001:db8::10");
    assert_string_equal(s->node.sources[0].helo, "mx6.example.net");
    assert_texts(s->node.sources[0].pools, s->node.sources[0].pool_count, "a b");
    assert_string_equal(s->delivery.sink, "[::1]:2600");
    assert_int_equal(s->delivery.retry_count, 1);
    assert_int_equal(s->delivery.retry[0], 90 * USEC_SEC);
    assert_int_equal(s->delivery.tls, TLS_WISH_REQUIRED);
    assert_int_equal(s->delivery.connect_timeout, 1 * USEC_SEC);
    assert_int_equal(s->delivery.greeting_timeout, 2 * USEC_SEC);
    assert_int_equal(s->delivery.command_timeout, 3 * USEC_SEC);
    assert_int_equal(s->delivery.data_timeout, 4 * USEC_SEC);
    assert_int_equal(s->delivery.block_timeout, 5 * USEC_SEC);
    assert_int_equal(s->delivery.dot_timeout, 6 * USEC_SEC);
    assert_int_equal(s->delivery.idle, 0);
    assert_string_equal(s->routes[0].host, "::1");
    assert_string_equal(s->routes[1].host, "10.0.0.1");
    const struct setting_tenant *one = settings_tenant(s, "one"), *two = settings_tenant(s, "two");
    assert_texts(one->pools, one->pool_count, "a b");
    assert_texts(one->domains, one->domain_count, "*");
    assert_true(one->sandbox);
    assert_int_equal(one->priority, MAIL_TRANSACTIONAL);
    assert_int_equal(one->dsn, MAIL_DSN_NONE);
    assert_int_equal(one->max_age, 12 * USEC_HOUR);
    assert_texts(two->domains, two->domain_count, "xn--bcher-kva.example two.example");
    assert_int_equal(two->priority, MAIL_NORMAL);
    assert_int_equal(two->dsn, MAIL_DSN_FAILURE);
    assert_int_equal(two->max_age, USEC_HOUR);
    assert_string_equal(s->limits[0].provider, "gmail");
    assert_string_equal(s->limits[0].pool, "a");
    assert_string_equal(s->limits[0].campaign, "spring sale");
    assert_int_equal(s->limits[0].rates[0].per, USEC_MIN);
    settings_free(&s);
}

static void schedules_say_when_and_how_much(void **state)
{
    (void)state;
    struct settings *s = loaded("good/other.yaml", "other.yaml");
    assert_int_equal(s->schedule_count, 2);
    const struct setting_schedule *nights = &s->schedules[0], *days = &s->schedules[1];
    assert_string_equal(nights->name, "nights");
    assert_string_equal(nights->tenant, "one");
    assert_string_equal(nights->campaign, "spring sale");
    assert_string_equal(nights->pool, "a");
    assert_string_equal(nights->provider, "gmail");
    assert_string_equal(nights->domain, "xn--bcher-kva.example");
    assert_string_equal(nights->timezone, "Asia/Tokyo");
    assert_int_equal(nights->window_count, 2);
    assert_int_equal(nights->windows[0].days, 0x1f);
    assert_int_equal(nights->windows[0].from, 20 * 60);
    assert_int_equal(nights->windows[0].to, 8 * 60);
    assert_int_equal(nights->windows[1].days, 0x60);
    assert_int_equal(nights->windows[1].to, 24 * 60);
    assert_int_equal(nights->release_count, 1000);
    assert_int_equal(nights->release_every, 10 * USEC_MIN);
    assert_null(days->tenant);
    assert_string_equal(days->timezone, "UTC");
    assert_int_equal(days->window_count, 1);
    assert_int_equal(days->windows[0].days, 0x7f);
    assert_int_equal(days->release_count, 0);
    settings_free(&s);
}

static void the_files_providers_lie_over_the_shipped_ones(void **state)
{
    (void)state;
    struct settings *s = loaded("good/other.yaml", "other.yaml");
    const struct setting_provider *microsoft = settings_provider(s, "hotmail");
    const struct setting_provider *mine = settings_provider(s, "ours");
    assert_int_equal(s->providers[0].connections, 3);
    assert_int_equal(s->providers[0].messages_per_connection, 100);
    assert_int_equal(s->providers[0].rate.count, 0);
    assert_string_equal(microsoft->name, "microsoft");
    assert_int_equal(microsoft->rate.count, 7);
    assert_int_equal(microsoft->rate.per, USEC_HOUR);
    assert_int_equal(microsoft->connections, 5);
    assert_false(microsoft->has_tls);
    assert_string_equal(mine->name, "mine");
    assert_int_equal(mine->connections, 3);
    assert_int_equal(mine->messages_per_connection, 0);
    assert_int_equal(mine->rate.count, 0);
    assert_true(mine->has_tls);
    assert_int_equal(mine->tls, TLS_WISH_NONE);
    assert_ptr_equal(settings_provider_of(s, "mx1.mail.mine.example"), mine);
    /* The longest suffix wins. */
    assert_ptr_equal(settings_provider_of(s, "a.mail.protection.outlook.com"), microsoft);
    assert_string_equal(settings_provider_of(s, "a.eu.protection.outlook.com")->name, "hosted");
    settings_free(&s);
}

static void an_mx_belongs_to_the_provider_whose_suffix_it_ends_with(void **state)
{
    (void)state;
    static const char *cases[][2] = {{"gmail-smtp-in.l.google.com", "google"},
        {"ASPMX2.GoogleMail.com.", "google"}, {"google.com", "google"}, {"notgoogle.com", NULL},
        {"google.com.example", NULL}, {"hotmail-com.olc.protection.outlook.com", "microsoft"},
        {"x-example.mail.protection.outlook.com", "microsoft"}, {"mx-aol.mail.gm0.yahoodns.net", "yahoo"},
        {"mx01.mail.icloud.com", "apple"}, {"mfsmax.docomo.ne.jp", "docomo"}, {"lsean.ezweb.ne.jp", "au"},
        {"mx.softbank.ne.jp", "softbank"}, {"mx1.mail.yahoo.co.jp", "yahoo-japan"},
        {"smtp-in.orange.fr", "orange"}, {"mx00.gmx.net", "webde-gmx"}, {"mx3.qq.com", "qq"},
        {"163mx01.mxmail.netease.com", "163"}, {"com", NULL}, {"", NULL}, {".", NULL}, {"...", NULL}};
    struct settings *s = parsed("{}", "t");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct setting_provider *provider = settings_provider_of(s, cases[i][0]);
        const char *name = provider == NULL ? "nobody" : provider->name;
        assert_string_equal(name, cases[i][1] == NULL ? "nobody" : cases[i][1]);
    }
    assert_null(settings_provider(s, "nobody"));
    settings_free(&s);
}

static bool holds(const char *network, int family, const char *address)
{
    char text[200];
    struct sockaddr_storage to = {.ss_family = (sa_family_t)family};
    snprintf(text, sizeof text,
        "{coordinator: {trusted: ['%s'], default_tenant: t}, pools: {p: {}}, tenants: [{id: "
        "t, pools: [p], domains: ['*']}]}",
        network);
    struct settings *s = parsed(text, "t");
    void *bytes = family == AF_INET ? (void *)&((struct sockaddr_in *)&to)->sin_addr
                                    : (void *)&((struct sockaddr_in6 *)&to)->sin6_addr;
    assert_int_equal(inet_pton(family, address, bytes), 1);
    bool held = network_holds(s->coordinator.trusted, (struct sockaddr *)&to);
    settings_free(&s);
    return held;
}

static void a_network_holds_its_addresses_and_no_others(void **state)
{
    (void)state;
    assert_true(holds("127.0.0.0/8", AF_INET, "127.255.0.1"));
    assert_false(holds("127.0.0.0/8", AF_INET, "126.255.255.255"));
    assert_true(holds("10.1.128.0/17", AF_INET, "10.1.200.1"));
    assert_false(holds("10.1.128.0/17", AF_INET, "10.1.127.255"));
    assert_true(holds("192.0.2.7", AF_INET, "192.0.2.7"));
    assert_false(holds("192.0.2.7", AF_INET, "192.0.2.6"));
    assert_true(holds("fc00::/7", AF_INET6, "fd12::1"));
    assert_false(holds("fd00::/8", AF_INET6, "fe80::1"));
    assert_true(holds("::1", AF_INET6, "::1"));
    assert_true(holds("127.0.0.0/8", AF_INET6, "::ffff:127.0.0.1"));
    assert_false(holds("127.0.0.0/8", AF_INET6, "::1"));
    assert_false(holds("::1", AF_INET, "127.0.0.1"));
}

/* Every bad file has its faults written beside it; TODOKU_GOLDEN=write writes them anew. */
static void check_golden(const char *name)
{
    char file[300], golden[300];
    struct fault *faults;
    size_t count;
    snprintf(file, sizeof file, "bad/%s", name);
    snprintf(golden, sizeof golden, "bad/%.*s.faults", (int)(strlen(name) - 5), name);
    struct buffer text = file_read(data_path(file)), said = {0};
    struct settings *settings = settings_parse(buffer_bytes(&text), buffer_len(&text), name, &faults, &count);
    assert_null(settings);
    for (size_t i = 0; i < count; i++)
        buffer_printf(&said, "%s\n", faults[i].text);
    free(faults);
    const char *write = getenv("TODOKU_GOLDEN");
    if (write != NULL && strcmp(write, "write") == 0) {
        FILE *out = fopen(data_path(golden), "wb");
        assert_non_null(out);
        fwrite(buffer_bytes(&said), 1, buffer_len(&said), out);
        fclose(out);
    }
    struct buffer expected = file_read(data_path(golden));
    assert_string_equal(buffer_text(&said), buffer_text(&expected));
    buffer_free(&expected);
    buffer_free(&said);
    buffer_free(&text);
}

static void every_fault_of_a_bad_file_is_named_with_its_place(void **state)
{
    (void)state;
    DIR *dir = opendir(data_path("bad"));
    int count = 0;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        size_t len = strlen(entry->d_name);
        if (len > 5 && strcmp(entry->d_name + len - 5, ".yaml") == 0) {
            check_golden(entry->d_name);
            count++;
        }
    }
    closedir(dir);
    assert_true(count >= 10);
}

static void a_file_that_is_not_there_is_said(void **state)
{
    (void)state;
    struct fault *faults;
    size_t count;
    assert_null(settings_load("/nowhere/todoku.yaml", &faults, &count));
    assert_int_equal(count, 1);
    assert_string_equal(faults[0].text,
        "/nowhere/todoku.yaml: cannot be opened: No such file or directory; check its name and its mode");
    free(faults);
    assert_null(settings_load("/", &faults, &count));
    assert_int_equal(count, 1);
    free(faults);
}

static void a_file_is_loaded_with_paths_of_its_folder(void **state)
{
    (void)state;
    struct fault *faults;
    size_t count;
    struct settings *s = settings_load(data_path("full.yaml"), &faults, &count);
    assert_non_null(s);
    assert_string_equal(s->file, data_path("full.yaml"));
    assert_string_equal(s->cluster.etcd_ca, data_path("ca.pem"));
    settings_free(&s);
}

/* --- bounds: hostile texts end quickly, with a fault --- */

static void hostile(const char *unit, size_t times, const char *before, const char *after)
{
    struct buffer text = {0};
    struct fault *faults;
    size_t count;
    buffer_add_text(&text, before);
    for (size_t i = 0; i < times; i++)
        buffer_add_text(&text, unit);
    buffer_add_text(&text, after);
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    struct settings *s = settings_parse(buffer_bytes(&text), buffer_len(&text), "t", &faults, &count);
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_null(s);
    assert_in_range(count, 1, CONFIG_MAX_FAULTS);
    assert_true(end.tv_sec - start.tv_sec < 20);
    free(faults);
    buffer_free(&text);
}

static void hostile_texts_end_in_faults(void **state)
{
    (void)state;
    hostile("[", 1000000, "tenants: ", "");
    hostile("- ", 100000, "", "");
    hostile("[", 900, "tenants: ", "");
    hostile("{a: ", 900, "tenants: ", "");
    hostile("x", CONFIG_MAX_TEXT, "user: ", "");
    hostile("x", 5000, "user: ", "");
    hostile("a, ", 200000, "tenants: [", "a]");
    hostile("a: b\n", 200000, "", "");
    hostile("? ", 10000, "", "");
    hostile("&a ", 10000, "", "");
    hostile("'", 100001, "user: ", "");
}

static void a_bomb_of_aliases_is_bounded(void **state)
{
    (void)state;
    struct buffer text = {0};
    struct fault *faults;
    size_t count, said = 0;
    buffer_add_text(&text, "pools: {");
    for (int i = 0; i < 999; i++)
        buffer_printf(&text, "%d: {}, ", i);
    buffer_add_text(&text, "a: {}}\nnode: { sources: [{ address: 192.0.2.1, helo: a.example, pools: &all [");
    for (int i = 0; i < 999; i++)
        buffer_printf(&text, "%s%d", i == 0 ? "" : ", ", i);
    buffer_add_text(&text, "] }] }\ntenants:\n");
    for (int i = 0; i < 999; i++)
        buffer_printf(&text, " - { id: %d, domains: ['*'], pools: *all }\n", i);
    assert_null(settings_parse(buffer_bytes(&text), buffer_len(&text), "t", &faults, &count));
    for (size_t i = 0; i < count; i++)
        said += strstr(faults[i].text, "unfold to too much") != NULL;
    assert_int_equal(said, 1);
    assert_int_equal(count, 1);
    free(faults);
    buffer_free(&text);
}

static void the_hundredth_fault_says_how_many_more(void **state)
{
    (void)state;
    struct buffer text = {0};
    struct fault *faults;
    size_t count;
    for (int i = 0; i < 250; i++)
        buffer_printf(&text, "k%d: 1\n", i);
    assert_null(settings_parse(buffer_bytes(&text), buffer_len(&text), "t", &faults, &count));
    assert_int_equal(count, 100);
    assert_string_equal(faults[99].text, "t:100:1: and 151 more faults here and elsewhere");
    free(faults);
    buffer_free(&text);
}

static void many_tenants_are_fine(void **state)
{
    (void)state;
    struct buffer text = {0};
    buffer_add_text(&text, "pools: {p: {}}\ntenants:\n");
    for (int i = 0; i < 50000; i++)
        buffer_printf(&text, "- {id: t%d, pools: [p], domains: [d%d.example]}\n", i, i);
    struct settings *s = parsed(buffer_text(&text), "t");
    assert_int_equal(s->tenant_count, 50000);
    assert_string_equal(settings_tenant(s, "t49999")->domains[0], "d49999.example");
    settings_free(&s);
    buffer_free(&text);
}

static void the_nearest_key_is_named(void **state)
{
    (void)state;
    faulty(
        "user: \"a\\x9bb\"", "t:1:7: `user` holds a control character or a line break; write it on one line");
    faulty("uesr: x", "t:1:1: unknown key `uesr`; did you mean `user`?");
    faulty("provider: []", "t:1:1: unknown key `provider`; did you mean `providers`?");
    faulty("pools: { a: { over: b } }", "t:1:15: unknown key `over`; known here: overflow");
    faulty("tenants: [{ raet: 1, id: x, pools: [a], domains: [a.b] }]\npools: {a: {}}",
        "t:1:13: unknown key `raet`; known here: id, pools, domains, bounce_domain, priority, sandbox, dsn, "
        "max_age, dkim");
}

/* A version of config/ over a file: each says its half, and faults name the text that has them. */
static void a_version_lies_over_the_file(void **state)
{
    (void)state;
    static const char file[] =
        "coordinator: { default_tenant: acme, trusted: [127.0.0.0/8] }\n"
        "node: { sources: [{ address: 127.0.0.1, helo: mx.acme.example, pools: [a] }] }\n"
        "pools: { old: { nonsense: 1 } }\n"
        "delivery: { port: 2600 }\n";
    static const char version[] = "cluster: { whatever: 1 }\nnode: 7\n"
                                  "pools: { a: {}, b: {} }\nrules_file: rules.yaml\n"
                                  "tenants: [{ id: acme, pools: [a], domains: [acme.example] }]\n"
                                  "delivery: { dsn: none }\n";
    char path[] = "/tmp/todoku-settings-XXXXXX", rules[] = "/tmp/rules.yaml";
    struct fault *faults;
    size_t count;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, file, sizeof file - 1), (int)sizeof file - 1);
    close(fd);
    struct settings *settings = settings_load_over(path, 7, version, sizeof version - 1, &faults, &count);
    if (settings == NULL) {
        fail_msg("%s", faults[0].text);
        return;
    }
    assert_int_equal(settings->config_version, 7);
    assert_int_equal(settings->pool_count, 2);
    assert_int_equal(settings->node.source_count, 1);
    assert_int_equal(settings->delivery.port, 25); /* the file's is passed over */
    assert_int_equal(settings->tenants[0].dsn, MAIL_DSN_NONE);
    assert_string_equal(settings->rules_file, rules);
    assert_string_equal(settings->coordinator.default_tenant, "acme");
    settings_free(&settings);

    static const char other[] =
        "pools: { b: {} }\ntenants:\n  - { id: else, pools: [c], domains: [x.example] }\n";
    assert_null(settings_load_over(path, 8, other, sizeof other - 1, &faults, &count));
    assert_int_equal(count, 3);
    assert_memory_equal(faults[0].text, path, strlen(path));
    assert_non_null(strstr(faults[0].text, ":1:32: there is no tenant `acme`"));
    assert_non_null(strstr(faults[1].text, "there is no pool `a`"));
    assert_non_null(strstr(faults[2].text, "config 8:3:25: there is no pool `c`"));
    free(faults);
    assert_null(settings_load_over("/nonexistent", 8, other, sizeof other - 1, &faults, &count));
    assert_int_equal(count, 1);
    free(faults);
    unlink(path);
}

/* What is to become a version is judged without a file. */
static void a_version_is_judged_alone(void **state)
{
    (void)state;
    static const char good[] = "coordinator: { smtp: 1 }\npools: { a: {} }\n"
                               "tenants: [{ id: acme, pools: [a], domains: [acme.example] }]\n";
    static const char bad[] =
        "pool: { a: {} }\ntenants: [{ id: acme, pools: [a], domains: [acme.example] }]\n";
    struct fault *faults;
    size_t count;
    struct settings *settings = settings_parse_shared(good, sizeof good - 1, "config", &faults, &count);
    assert_non_null(settings);
    assert_non_null(settings_tenant(settings, "acme"));
    assert_int_equal(settings->node.source_count, 0);
    settings_free(&settings);
    assert_null(settings_parse_shared(bad, sizeof bad - 1, "new.yaml", &faults, &count));
    assert_int_equal(count, 2);
    assert_string_equal(faults[0].text, "new.yaml:1:1: unknown key `pool`; did you mean `pools`?");
    free(faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_lies_over_the_file),
        cmocka_unit_test(a_version_is_judged_alone),
        cmocka_unit_test(the_full_example_names_the_cluster_and_the_doors),
        cmocka_unit_test(the_full_example_names_the_node_and_its_ways_out),
        cmocka_unit_test(the_full_example_names_tenants_limits_and_providers),
        cmocka_unit_test(what_is_not_said_has_its_default),
        cmocka_unit_test(every_other_way_to_write_is_read_too),
        cmocka_unit_test(schedules_say_when_and_how_much),
        cmocka_unit_test(the_files_providers_lie_over_the_shipped_ones),
        cmocka_unit_test(an_mx_belongs_to_the_provider_whose_suffix_it_ends_with),
        cmocka_unit_test(a_network_holds_its_addresses_and_no_others),
        cmocka_unit_test(every_fault_of_a_bad_file_is_named_with_its_place),
        cmocka_unit_test(a_file_that_is_not_there_is_said),
        cmocka_unit_test(a_file_is_loaded_with_paths_of_its_folder),
        cmocka_unit_test(hostile_texts_end_in_faults),
        cmocka_unit_test(a_bomb_of_aliases_is_bounded),
        cmocka_unit_test(the_hundredth_fault_says_how_many_more),
        cmocka_unit_test(many_tenants_are_fine),
        cmocka_unit_test(the_nearest_key_is_named),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
