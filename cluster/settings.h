/* settings - what the operator's file says, checked and typed
 *
 * The whole of the YAML file as one value (docs: INTERFACES in the manual page todoku.yaml(5)); defaults
 * filled in; the shipped providers.yaml read first and the file's `providers` laid over it by name. Every
 * fault of the file is reported in one pass, each with file:line:column and what to write instead; unknown
 * and duplicate keys and an empty document are faults. Cross checks too: a tenant's pools exist, a source's
 * pools exist, default_tenant exists, addresses are addresses and used once, two listeners differ, a pool's
 * overflow exists and makes no ring.
 *
 * Memory: one block of settings owns all texts; settings_free() ends it. After loading it is constant:
 * threads share it. */
#ifndef CLUSTER_SETTINGS_H
#define CLUSTER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"
#include "proto/mail.h"

/* count things per `per`; count 0 = unlimited ("none"). "100/s", "5000/day" (also /m /min /minute /h /hour
 * /d). */
struct rate {
    uint32_t count;
    usec_t per;
};

struct network { /* "127.0.0.0/8", "::1" */
    int family;
    uint8_t bytes[16];
    unsigned bits;
};

enum tls_wish { TLS_WISH_NONE, TLS_WISH_OPPORTUNISTIC, TLS_WISH_REQUIRED };

struct setting_listener {
    char *listen;             /* "0.0.0.0:2525" */
    char *tls_cert, *tls_key; /* null = no TLS */
    bool auth_required;
};

struct setting_source {
    char *address;        /* canonical text of the IP */
    char *public_address; /* canonical; = address unless behind NAT */
    char *helo;           /* lower-case */
    char **pools;
    size_t pool_count;
};

struct setting_pool {
    char *name;
    char *overflow; /* another pool's name, or null */
};

/* Bit 0: the body's is "simple", bit 1: the header's is; else "relaxed" (RFC 6376 section 3.4). */
enum setting_canon { CANON_RELAXED_RELAXED, CANON_RELAXED_SIMPLE, CANON_SIMPLE_RELAXED, CANON_SIMPLE_SIMPLE };

struct setting_dkim {
    char *domain, *selector; /* lower-case A-labels */
    char *key_file;          /* on each node's own disk; not looked at here */
    enum setting_canon canon;
    usec_t expire; /* 0 = without x= */
};

/* How many of a tenant's keys for one domain, and how many of the operator's, sign a message at most. */
#define SETTINGS_DKIM_EACH 4
#define SETTINGS_DKIM_MOST (2 * SETTINGS_DKIM_EACH)

struct setting_tenant {
    char *id;
    char **pools; /* the first is the default */
    size_t pool_count;
    char **domains; /* lower-case A-labels; "*" allows any */
    size_t domain_count;
    char *bounce_domain;         /* or null */
    enum mail_priority priority; /* default normal */
    bool sandbox;
    enum mail_dsn dsn; /* default: delivery.dsn */
    usec_t max_age;    /* default: delivery.max_age */
    struct setting_dkim *dkim;
    size_t dkim_count;
};

struct setting_provider { /* limits are per source and provider */
    char *name;
    char **aliases;
    size_t alias_count;
    char **mx_suffixes; /* lower-case, without leading dot: matches the name itself and names below it */
    size_t mx_suffix_count;
    uint32_t connections;             /* default's default 10 */
    uint32_t messages_per_connection; /* 100; 0 = unlimited */
    struct rate rate;                 /* 100/s */
    bool has_tls;
    enum tls_wish tls;
};

struct setting_route {
    char *domain;
    char *host; /* "10.1.1.1:2525", "[::1]:25" or a bare address (delivery.port) */
};

struct setting_limit {
    char *name;
    char *tenant, *pool, *provider, *campaign; /* null = any */
    struct rate *rates;
    size_t rate_count;
    uint32_t burst;
};

/* While the wall clock shows a time in it; `to` <= `from`: it ends on the next day. */
struct setting_window {
    uint8_t days;      /* bits: Monday is 1 << 0 */
    uint16_t from, to; /* minutes of the day; `to` at most 1440 */
};

struct setting_schedule { /* see cluster/schedule.h */
    char *name;
    char *tenant, *campaign, *pool, *provider, *domain; /* null = any */
    char *timezone;                                     /* default "UTC" */
    struct setting_window *windows;
    size_t window_count;    /* 0 = always */
    uint32_t release_count; /* in each interval; 0 = as many as there are */
    usec_t release_every;
};

struct settings {
    char *file;
    uint64_t config_version; /* of config/, whose cluster-wide part this is; 0 = the file's own */
    struct {
        char *name; /* default "todoku" */
        bool has_etcd;
        char **etcd_endpoints;
        size_t etcd_endpoint_count;
        char *etcd_ca, *etcd_cert, *etcd_key, *etcd_user, *etcd_password;
        uint32_t copies, min_copies;       /* defaults: 1 without etcd, 2 with; = copies */
        uint64_t move_rate, takeover_rate; /* bytes a second; 0 = unlimited */
        uint32_t wire;                     /* the newest version to speak; 0 = the program's */
        char *curve_secret_file;
    } cluster;
    struct {
        char *id;  /* default "c1" */
        char *bus; /* or null */
        struct setting_listener *smtp;
        size_t smtp_count;            /* default one: 127.0.0.1:2525 */
        struct setting_listener http; /* default 127.0.0.1:8025 */
        char *keys_file;              /* or null */
        struct network *trusted;
        size_t trusted_count;
        char *default_tenant;              /* or null */
        uint64_t max_size;                 /* 25MiB */
        uint32_t max_recipients, max_line; /* 1000, 998 */
        uint32_t max_sessions;             /* intake: max_sessions, default 1000 */
        uint32_t loops;                    /* 0 = by the machine's processors */
    } coordinator;
    struct {
        char *id; /* default "n1" */
        char *rack;
        char *data_dir; /* default /var/lib/todoku */
        char *bus;
        uint32_t weight;                       /* 1 .. 1000 */
        uint64_t window;                       /* 128MiB */
        uint64_t memory;                       /* of the whole process; 0 = half of the machine's */
        uint32_t max_queued;                   /* deliveries; 20,000,000 */
        uint32_t loops;                        /* 0 = by the machine's processors */
        uint64_t spool_reserve, spool_segment; /* spool: { reserve: 64MiB, segment: 256MiB } */
        struct setting_source *sources;
        size_t source_count; /* default: none is a fault for up and node */
    } node;
    char *user; /* or null: stay who we are */
    struct {
        char **servers;
        size_t server_count;
        usec_t timeout; /* 5s */
    } resolver;
    struct {
        uint16_t port; /* 25 */
        enum tls_wish tls;
        usec_t max_age; /* 4d */
        usec_t *retry;  /* 5m, 15m, 1h, 4h; the last repeats */
        size_t retry_count;
        enum mail_dsn dsn; /* failure */
        char *sink;        /* "127.0.0.1:2600" or null */
        /* timeouts: { connect: 30s, greeting: 5m, command: 5m, data: 2m, block: 3m, dot: 10m } */
        usec_t connect_timeout, greeting_timeout, command_timeout, data_timeout, block_timeout, dot_timeout;
        usec_t idle; /* an unused connection is kept this long: 5s */
    } delivery;
    struct setting_route *routes;
    size_t route_count;
    struct {
        usec_t keep;       /* 30d */
        uint64_t max_size; /* 20GiB */
    } events;
    struct setting_pool *pools;
    size_t pool_count;
    struct setting_tenant *tenants;
    size_t tenant_count;
    struct setting_dkim *operator_dkim;
    size_t operator_dkim_count;
    struct setting_limit *limits;
    size_t limit_count;
    struct setting_schedule *schedules;
    size_t schedule_count;
    struct setting_provider *providers; /* [0] is always "default" */
    size_t provider_count;
    char *rules_file; /* or null */
};

struct fault { /* one line: "todoku.yaml:12:5: unknown key `raet`; did you mean `rate`?" */
    char text[704];
};

/* Reads the file (relative file names in it are relative to its folder). Null if there is any fault; then
 * *faults_r (free()) lists all of them in the order of lines (at most 100). `origin` names the text in
 * messages; settings_parse is for tests and fuzzing. */
struct settings *settings_load(const char *file, struct fault **faults_r, size_t *fault_count_r);
struct settings *settings_parse(
    const char *text, size_t len, const char *origin, struct fault **faults_r, size_t *fault_count_r);
/* The file again, but for what is cluster-wide (pools, tenants, providers, limits, schedules, routes, delivery,
 * operator_dkim, rules_file): that comes from `text`, version `number` of config/ (its faults are told as
 * "config N:line:column"). What `text` says of cluster, coordinator, node, user, resolver and events is
 * passed over. */
struct settings *settings_load_over(const char *file, uint64_t number, const char *text, size_t len,
    struct fault **faults_r, size_t *fault_count_r);
/* Of a text that is to become a version: the cluster-wide part alone, with the checks that need nothing else.
 * Which pools the nodes use, and which tenant a coordinator takes for its own, must be compared by the
 * caller. */
struct settings *settings_parse_shared(
    const char *text, size_t len, const char *origin, struct fault **faults_r, size_t *fault_count_r);
void settings_free(struct settings **settings);

const struct setting_tenant *settings_tenant(const struct settings *settings, const char *id);
const struct setting_pool *settings_pool(const struct settings *settings, const char *name);
/* The provider that an MX host name belongs to (longest matching suffix), or null. */
const struct setting_provider *settings_provider_of(const struct settings *settings, const char *mx_host);
/* By name or alias, or null. */
const struct setting_provider *settings_provider(const struct settings *settings, const char *name);
/* Whose keys sign a message of this tenant with a From in this domain: all that the tenant has for the closest
 * domain (the From's own, or the nearest above it for which there is one), then all of the operator's. Returns how
 * many. `tenant`, `from_domain` may be unknown or "". */
size_t settings_dkim_for(const struct settings *settings, const char *tenant, const char *from_domain,
    const struct setting_dkim *out[SETTINGS_DKIM_MOST]);
/* Whether the From's domain has to be known for that. */
bool settings_dkim_asks_from(const struct settings *settings, const char *tenant);
const char *setting_canon_name(enum setting_canon canon);
bool network_holds(const struct network *network, const struct sockaddr *address);

#endif
