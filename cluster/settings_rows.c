/* settings_rows - see settings_rows.h */
#include "cluster/settings_rows.h"

#include "cluster/settings.h"
#include "cluster/settings_read.h"

#define END                                                                                                  \
    {                                                                                                        \
        .name = NULL                                                                                         \
    }
#define MANY 100000
#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

static const struct config_word TLS_WORDS[] = {{"none", TLS_WISH_NONE},
    {"opportunistic", TLS_WISH_OPPORTUNISTIC}, {"required", TLS_WISH_REQUIRED}, {NULL, 0}};
static const struct config_word DSN_WORDS[] = {
    {"none", MAIL_DSN_NONE}, {"failure", MAIL_DSN_FAILURE}, {NULL, 0}};
static const struct config_word PRIORITY_WORDS[] = {
    {"transactional", MAIL_TRANSACTIONAL}, {"normal", MAIL_NORMAL}, {"bulk", MAIL_BULK}, {NULL, 0}};
static const struct config_word CANON_WORDS[] = {{"relaxed/relaxed", CANON_RELAXED_RELAXED},
    {"relaxed/simple", CANON_RELAXED_SIMPLE}, {"simple/relaxed", CANON_SIMPLE_RELAXED},
    {"simple/simple", CANON_SIMPLE_SIMPLE}, {NULL, 0}};
static const struct config_word AUTH_WORDS[] = {{"optional", 0}, {"required", 1}, {NULL, 0}};

/* A value read by settings_read_<how>; a list or mapping of at most `most` items. */
#define READ(how) .type = CONFIG_CUSTOM, .reader = settings_read_##how
#define LIST(type_, list, count, most, item)                                                                 \
    .type = CONFIG_LIST, CONFIG_LIST_AT(type_, list, count), .max = (most), .rows = &(item)
#define NAMED(type_, list, count, most, item)                                                                \
    .type = CONFIG_NAMED, CONFIG_LIST_AT(type_, list, count), .max = (most), .rows = &(item)

/* Items of plain lists. */
static const struct config_row NAME_ITEM = {.name = "a name", READ(name), .size = sizeof(char *)};
static const struct config_row DOMAIN_ITEM = {
    .name = "a domain", READ(domain_or_any), .size = sizeof(char *)};
static const struct config_row SUFFIX_ITEM = {.name = "a suffix", READ(suffix), .size = sizeof(char *)};
static const struct config_row URL_ITEM = {.name = "an endpoint", READ(url), .size = sizeof(char *)};
static const struct config_row PEER_ITEM = {.name = "a server", READ(peer), .size = sizeof(char *)};
static const struct config_row NETWORK_ITEM = {
    .name = "a network", READ(network), .size = sizeof(struct network)};
static const struct config_row RATE_ITEM = {.name = "a rate", READ(rate), .size = sizeof(struct rate)};
static const struct config_row RETRY_ITEM = {.name = "a pause",
    .type = CONFIG_DURATION,
    .size = sizeof(usec_t),
    .min = USEC_SEC,
    .max = 30 * USEC_DAY};

static const struct config_row LISTENER_ROWS[] = {
    {.name = "listen", READ(endpoint), .required = true, CONFIG_AT(struct setting_listener, listen)},
    {.name = "tls_cert", .type = CONFIG_PATH, CONFIG_AT(struct setting_listener, tls_cert)},
    {.name = "tls_key", .type = CONFIG_PATH, CONFIG_AT(struct setting_listener, tls_key)},
    {.name = "auth",
        .type = CONFIG_WORD,
        CONFIG_AT(struct setting_listener, auth_required),
        .words = AUTH_WORDS},
    END,
};
static const struct config_row LISTENER_ITEM = {.name = "smtp",
    .type = CONFIG_MAP,
    .size = sizeof(struct setting_listener),
    .bare = "listen",
    .rows = LISTENER_ROWS};

#define HTTP(member) CONFIG_AT(struct settings, coordinator.http.member)
static const struct config_row HTTP_ROWS[] = {
    {.name = "listen", READ(endpoint), .required = true, HTTP(listen)},
    {.name = "tls_cert", .type = CONFIG_PATH, HTTP(tls_cert)},
    {.name = "tls_key", .type = CONFIG_PATH, HTTP(tls_key)},
    END,
};

#define CLUSTER(member) CONFIG_AT(struct settings, cluster.member)
static const struct config_row ETCD_ROWS[] = {
    {.name = "endpoints",
        LIST(struct settings, cluster.etcd_endpoints, cluster.etcd_endpoint_count, 16, URL_ITEM),
        .required = true,
        .min = 1},
    {.name = "ca", .type = CONFIG_PATH, CLUSTER(etcd_ca)},
    {.name = "cert", .type = CONFIG_PATH, CLUSTER(etcd_cert)},
    {.name = "key", .type = CONFIG_PATH, CLUSTER(etcd_key)},
    {.name = "user", .type = CONFIG_TEXT, CLUSTER(etcd_user), .max = 256},
    {.name = "password", .type = CONFIG_TEXT, CLUSTER(etcd_password), .max = 256},
    END,
};

static const struct config_row CLUSTER_ROWS[] = {
    {.name = "name", READ(name), CLUSTER(name), .initial = "todoku"},
    {.name = "etcd", .type = CONFIG_MAP, CLUSTER(has_etcd), .rows = ETCD_ROWS},
    {.name = "copies", .type = CONFIG_NUMBER, CLUSTER(copies), .min = 1, .max = 2},
    {.name = "min_copies", .type = CONFIG_NUMBER, CLUSTER(min_copies), .min = 1, .max = 2},
    {.name = "move_rate", .type = CONFIG_SIZE, CLUSTER(move_rate), .min = 64 * KIB},
    {.name = "takeover_rate", .type = CONFIG_SIZE, CLUSTER(takeover_rate), .min = 64 * KIB},
    {.name = "wire", .type = CONFIG_NUMBER, CLUSTER(wire), .min = 1, .max = 1000},
    {.name = "curve_secret_file", .type = CONFIG_PATH, CLUSTER(curve_secret_file)},
    END,
};

#define COORDINATOR(member) CONFIG_AT(struct settings, coordinator.member)
static const struct config_row INTAKE_ROWS[] = {
    {.name = "max_size",
        .type = CONFIG_SIZE,
        COORDINATOR(max_size),
        .initial = "25MiB",
        .min = 64 * KIB,
        .max = 1024 * MIB},
    {.name = "max_recipients",
        .type = CONFIG_NUMBER,
        COORDINATOR(max_recipients),
        .initial = "1000",
        .min = 1,
        .max = MAIL_MAX_RECIPIENTS},
    {.name = "max_line",
        .type = CONFIG_NUMBER,
        COORDINATOR(max_line),
        .initial = "998",
        .min = 78,
        .max = 1000000},
    {.name = "max_sessions",
        .type = CONFIG_NUMBER,
        COORDINATOR(max_sessions),
        .initial = "1000",
        .min = 1,
        .max = MANY},
    END,
};

static const struct config_row COORDINATOR_ROWS[] = {
    {.name = "id", READ(name), COORDINATOR(id), .initial = "c1"},
    {.name = "bus", READ(bus), COORDINATOR(bus)},
    {.name = "smtp",
        LIST(struct settings, coordinator.smtp, coordinator.smtp_count, 64, LISTENER_ITEM),
        .initial = "127.0.0.1:2525"},
    {.name = "http", .type = CONFIG_MAP, .initial = "127.0.0.1:8025", .bare = "listen", .rows = HTTP_ROWS},
    {.name = "keys_file", .type = CONFIG_PATH, COORDINATOR(keys_file)},
    {.name = "trusted",
        LIST(struct settings, coordinator.trusted, coordinator.trusted_count, 1000, NETWORK_ITEM)},
    {.name = "default_tenant", READ(name), COORDINATOR(default_tenant)},
    {.name = "loops", .type = CONFIG_NUMBER, COORDINATOR(loops), .min = 1, .max = 64},
    {.name = "intake", .type = CONFIG_MAP, .rows = INTAKE_ROWS},
    END,
};

static const struct config_row SOURCE_ROWS[] = {
    {.name = "address", READ(address), .required = true, CONFIG_AT(struct setting_source, address)},
    {.name = "public", READ(address), CONFIG_AT(struct setting_source, public_address)},
    {.name = "helo", READ(domain), .required = true, CONFIG_AT(struct setting_source, helo)},
    {.name = "pools",
        LIST(struct setting_source, pools, pool_count, 1000, NAME_ITEM),
        .required = true,
        .min = 1},
    END,
};
static const struct config_row SOURCE_ITEM = {
    .name = "sources", .type = CONFIG_MAP, .size = sizeof(struct setting_source), .rows = SOURCE_ROWS};

#define NODE(member) CONFIG_AT(struct settings, node.member)
static const struct config_row SPOOL_ROWS[] = {
    {.name = "reserve", .type = CONFIG_SIZE, NODE(spool_reserve), .initial = "64MiB"},
    {.name = "segment",
        .type = CONFIG_SIZE,
        NODE(spool_segment),
        .initial = "256MiB",
        .min = MIB,
        .max = 16384 * MIB},
    END,
};

static const struct config_row NODE_ROWS[] = {
    {.name = "id", READ(name), NODE(id), .initial = "n1"},
    {.name = "rack", READ(name), NODE(rack)},
    {.name = "data_dir", .type = CONFIG_PATH, NODE(data_dir), .initial = "/var/lib/todoku"},
    {.name = "bus", READ(bus), NODE(bus)},
    {.name = "weight", .type = CONFIG_NUMBER, NODE(weight), .initial = "1", .min = 1, .max = 1000},
    {.name = "window", .type = CONFIG_SIZE, NODE(window), .initial = "128MiB", .min = MIB},
    {.name = "memory", .type = CONFIG_SIZE, NODE(memory), .min = 64 * MIB},
    {.name = "max_queued",
        .type = CONFIG_NUMBER,
        NODE(max_queued),
        .initial = "20000000",
        .min = 1,
        .max = 1000000000},
    {.name = "loops", .type = CONFIG_NUMBER, NODE(loops), .min = 1, .max = 64},
    {.name = "spool", .type = CONFIG_MAP, .rows = SPOOL_ROWS},
    {.name = "sources", LIST(struct settings, node.sources, node.source_count, 1000, SOURCE_ITEM)},
    END,
};

static const struct config_row RESOLVER_ROWS[] = {
    {.name = "servers", LIST(struct settings, resolver.servers, resolver.server_count, 16, PEER_ITEM)},
    {.name = "timeout",
        .type = CONFIG_DURATION,
        CONFIG_AT(struct settings, resolver.timeout),
        .initial = "5s",
        .min = 10 * USEC_MS,
        .max = 5 * USEC_MIN},
    END,
};

#define DELIVERY(member) CONFIG_AT(struct settings, delivery.member)
#define TIMEOUT(key, member, default)                                                                        \
    {                                                                                                        \
        .name = (key), .type = CONFIG_DURATION, DELIVERY(member), .initial = (default), .min = 10 * USEC_MS, \
        .max = USEC_HOUR                                                                                     \
    }
/* RFC 5321 section 4.5.3.2 names what a client must be willing to wait. */
static const struct config_row TIMEOUT_ROWS[] = {
    TIMEOUT("connect", connect_timeout, "30s"),
    TIMEOUT("greeting", greeting_timeout, "5m"),
    TIMEOUT("command", command_timeout, "5m"),
    TIMEOUT("data", data_timeout, "2m"),
    TIMEOUT("block", block_timeout, "3m"),
    TIMEOUT("dot", dot_timeout, "10m"),
    END,
};

static const struct config_row DELIVERY_ROWS[] = {
    {.name = "port", .type = CONFIG_NUMBER, DELIVERY(port), .initial = "25", .min = 1, .max = 65535},
    {.name = "tls", .type = CONFIG_WORD, DELIVERY(tls), .initial = "opportunistic", .words = TLS_WORDS},
    {.name = "max_age",
        .type = CONFIG_DURATION,
        DELIVERY(max_age),
        .initial = "4d",
        .min = USEC_SEC,
        .max = 30 * USEC_DAY},
    {.name = "retry",
        LIST(struct settings, delivery.retry, delivery.retry_count, 100, RETRY_ITEM),
        .min = 1,
        .initial = "5m 15m 1h 4h"},
    {.name = "dsn", .type = CONFIG_WORD, DELIVERY(dsn), .initial = "failure", .words = DSN_WORDS},
    {.name = "sink", READ(endpoint), DELIVERY(sink)},
    {.name = "timeouts", .type = CONFIG_MAP, .rows = TIMEOUT_ROWS},
    {.name = "idle", .type = CONFIG_DURATION, DELIVERY(idle), .initial = "5s", .max = USEC_HOUR},
    END,
};

static const struct config_row ROUTE_ROWS[] = {
    {.name = "domain", READ(domain), .required = true, CONFIG_AT(struct setting_route, domain)},
    {.name = "host", READ(peer), .required = true, CONFIG_AT(struct setting_route, host)},
    END,
};
static const struct config_row ROUTE_ITEM = {
    .name = "routes", .type = CONFIG_MAP, .size = sizeof(struct setting_route), .rows = ROUTE_ROWS};

static const struct config_row EVENT_ROWS[] = {
    {.name = "keep",
        .type = CONFIG_DURATION,
        CONFIG_AT(struct settings, events.keep),
        .initial = "30d",
        .min = USEC_HOUR},
    {.name = "max_size",
        .type = CONFIG_SIZE,
        CONFIG_AT(struct settings, events.max_size),
        .initial = "20GiB",
        .min = MIB},
    END,
};

static const struct config_row POOL_ROWS[] = {
    {.name = "overflow", READ(overflow), CONFIG_AT(struct setting_pool, overflow)},
    END,
};
static const struct config_row POOL_ITEM = {
    .name = "pools", .type = CONFIG_MAP, .size = sizeof(struct setting_pool), .rows = POOL_ROWS};
static const struct config_row POOL_NAME = {
    .name = "pool name", READ(name), CONFIG_AT(struct setting_pool, name)};

static const struct config_row DKIM_ROWS[] = {
    {.name = "domain", READ(domain), .required = true, CONFIG_AT(struct setting_dkim, domain)},
    {.name = "selector", READ(selector), .required = true, CONFIG_AT(struct setting_dkim, selector)},
    {.name = "key_file", .type = CONFIG_PATH, .required = true, CONFIG_AT(struct setting_dkim, key_file)},
    {.name = "canonicalization",
        .type = CONFIG_WORD,
        CONFIG_AT(struct setting_dkim, canon),
        .initial = "relaxed/relaxed",
        .words = CANON_WORDS},
    {.name = "expire",
        .type = CONFIG_DURATION,
        CONFIG_AT(struct setting_dkim, expire),
        .min = USEC_HOUR,
        .max = 365 * USEC_DAY},
    END,
};
static const struct config_row DKIM_ITEM = {
    .name = "dkim", .type = CONFIG_MAP, .size = sizeof(struct setting_dkim), .rows = DKIM_ROWS};

#define TENANT(member) CONFIG_AT(struct setting_tenant, member)
static const struct config_row TENANT_ROWS[] = {
    {.name = "id", READ(name), .required = true, TENANT(id)},
    {.name = "pools",
        LIST(struct setting_tenant, pools, pool_count, 1000, NAME_ITEM),
        .required = true,
        .min = 1},
    {.name = "domains",
        LIST(struct setting_tenant, domains, domain_count, 10000, DOMAIN_ITEM),
        .required = true,
        .min = 1},
    {.name = "bounce_domain", READ(domain), TENANT(bounce_domain)},
    {.name = "priority", .type = CONFIG_WORD, TENANT(priority), .initial = "normal", .words = PRIORITY_WORDS},
    {.name = "sandbox", .type = CONFIG_BOOL, TENANT(sandbox)},
    {.name = "dsn", .type = CONFIG_WORD, TENANT(dsn), .words = DSN_WORDS},
    {.name = "max_age", .type = CONFIG_DURATION, TENANT(max_age), .min = USEC_SEC, .max = 30 * USEC_DAY},
    {.name = "dkim", LIST(struct setting_tenant, dkim, dkim_count, 100, DKIM_ITEM)},
    END,
};
static const struct config_row TENANT_ITEM = {
    .name = "tenants", .type = CONFIG_MAP, .size = sizeof(struct setting_tenant), .rows = TENANT_ROWS};

#define LIMIT(member) CONFIG_AT(struct setting_limit, member)
static const struct config_row LIMIT_MATCH_ROWS[] = {
    {.name = "tenant", READ(name), LIMIT(tenant)},
    {.name = "pool", READ(name), LIMIT(pool)},
    {.name = "provider", READ(name), LIMIT(provider)},
    {.name = "campaign", READ(campaign), LIMIT(campaign)},
    END,
};
static const struct config_row LIMIT_ROWS[] = {
    {.name = "name", READ(name), .required = true, LIMIT(name)},
    {.name = "match", .type = CONFIG_MAP, .rows = LIMIT_MATCH_ROWS},
    {.name = "rate",
        LIST(struct setting_limit, rates, rate_count, 8, RATE_ITEM),
        .required = true,
        .single = true,
        .min = 1},
    {.name = "burst", .type = CONFIG_NUMBER, LIMIT(burst), .max = 1000000000},
    END,
};
static const struct config_row LIMIT_ITEM = {
    .name = "limits", .type = CONFIG_MAP, .size = sizeof(struct setting_limit), .rows = LIMIT_ROWS};

#define SCHEDULE(member) CONFIG_AT(struct setting_schedule, member)
static const struct config_row WINDOW_ITEM = {
    .name = "a window", READ(window), .size = sizeof(struct setting_window)};
static const struct config_row SCHEDULE_MATCH_ROWS[] = {
    {.name = "tenant", READ(name), SCHEDULE(tenant)},
    {.name = "campaign", READ(campaign), SCHEDULE(campaign)},
    {.name = "pool", READ(name), SCHEDULE(pool)},
    {.name = "provider", READ(name), SCHEDULE(provider)},
    {.name = "domain", READ(domain), SCHEDULE(domain)},
    END,
};
static const struct config_row RELEASE_ROWS[] = {
    {.name = "count",
        .type = CONFIG_NUMBER,
        .required = true,
        SCHEDULE(release_count),
        .min = 1,
        .max = 1000000000},
    {.name = "every",
        .type = CONFIG_DURATION,
        .required = true,
        SCHEDULE(release_every),
        .min = USEC_SEC,
        .max = 30 * USEC_DAY},
    END,
};
static const struct config_row SCHEDULE_ROWS[] = {
    {.name = "name", READ(name), .required = true, SCHEDULE(name)},
    {.name = "match", .type = CONFIG_MAP, .rows = SCHEDULE_MATCH_ROWS},
    {.name = "timezone", READ(zone), SCHEDULE(timezone), .initial = "UTC"},
    {.name = "windows",
        LIST(struct setting_schedule, windows, window_count, 100, WINDOW_ITEM),
        .single = true},
    {.name = "release", .type = CONFIG_MAP, .rows = RELEASE_ROWS},
    END,
};
static const struct config_row SCHEDULE_ITEM = {
    .name = "schedules", .type = CONFIG_MAP, .size = sizeof(struct setting_schedule), .rows = SCHEDULE_ROWS};

#define PROVIDER(member) CONFIG_AT(struct setting_provider, member)
static const struct config_row PROVIDER_MATCH_ROWS[] = {
    {.name = "mx_suffix",
        LIST(struct setting_provider, mx_suffixes, mx_suffix_count, 1000, SUFFIX_ITEM),
        .single = true},
    END,
};
static const struct config_row PROVIDER_ROWS[] = {
    {.name = "name", READ(name), .required = true, PROVIDER(name)},
    {.name = "aliases", LIST(struct setting_provider, aliases, alias_count, 100, NAME_ITEM)},
    {.name = "match", .type = CONFIG_MAP, .rows = PROVIDER_MATCH_ROWS},
    {.name = "connections",
        .type = CONFIG_NUMBER,
        PROVIDER(connections),
        .initial = "10",
        .min = 1,
        .max = 10000},
    {.name = "messages_per_connection",
        .type = CONFIG_NUMBER,
        PROVIDER(messages_per_connection),
        .initial = "100",
        .max = 1000000},
    {.name = "rate", READ(rate), PROVIDER(rate), .initial = "100/s"},
    {.name = "tls", .type = CONFIG_WORD, PROVIDER(tls), .words = TLS_WORDS},
    END,
};
static const struct config_row PROVIDER_ITEM = {
    .name = "providers", .type = CONFIG_MAP, .size = sizeof(struct setting_provider), .rows = PROVIDER_ROWS};

#define PROVIDERS_ROW                                                                                        \
    {                                                                                                        \
        .name = "providers", .type = CONFIG_LIST,                                                            \
        CONFIG_LIST_AT(struct settings, providers, provider_count), .max = 10000, .rows = &PROVIDER_ITEM     \
    }

const struct config_row settings_rows[] = {
    {.name = "cluster", .type = CONFIG_MAP, .rows = CLUSTER_ROWS},
    {.name = "coordinator", .type = CONFIG_MAP, .rows = COORDINATOR_ROWS},
    {.name = "node", .type = CONFIG_MAP, .rows = NODE_ROWS},
    {.name = "user", READ(name), CONFIG_AT(struct settings, user)},
    {.name = "resolver", .type = CONFIG_MAP, .rows = RESOLVER_ROWS},
    {.name = "delivery", .type = CONFIG_MAP, .rows = DELIVERY_ROWS},
    {.name = "routes", LIST(struct settings, routes, route_count, 10000, ROUTE_ITEM)},
    {.name = "events", .type = CONFIG_MAP, .rows = EVENT_ROWS},
    {.name = "pools", NAMED(struct settings, pools, pool_count, 1000, POOL_ITEM), .name_row = &POOL_NAME},
    {.name = "tenants", LIST(struct settings, tenants, tenant_count, MANY, TENANT_ITEM)},
    {.name = "operator_dkim", LIST(struct settings, operator_dkim, operator_dkim_count, 4, DKIM_ITEM)},
    {.name = "limits", LIST(struct settings, limits, limit_count, 10000, LIMIT_ITEM)},
    {.name = "schedules", LIST(struct settings, schedules, schedule_count, 1000, SCHEDULE_ITEM)},
    PROVIDERS_ROW,
    {.name = "rules_file", .type = CONFIG_PATH, CONFIG_AT(struct settings, rules_file)},
    END,
};

const struct config_row settings_shipped_rows[] = {
    PROVIDERS_ROW,
    END,
};
