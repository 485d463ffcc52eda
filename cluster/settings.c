/* settings - see settings.h: loading, defaults that depend on others, look-ups */
#include "cluster/settings.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "cluster/settings_inside.h"
#include "cluster/settings_rows.h"

#define MAX_HINTS 1000 /* names that a wrong one is compared with */

/* --- loading --- */

static struct settings_block *block_of(const struct settings *settings)
{
    return (struct settings_block *)settings;
}

void settings_free(struct settings **settings)
{
    struct settings_block *block = block_of(*settings);
    *settings = NULL;
    if (block == NULL)
        return;
    map_free(&block->tenants);
    map_free(&block->pools);
    map_free(&block->providers);
    map_free(&block->suffixes);
    arena_free(&block->arena);
    free(block);
}

void settings_complete(struct settings_check *check)
{
    struct settings *settings = &check->block->settings;
    if (settings->cluster.copies == 0)
        settings->cluster.copies = settings->cluster.has_etcd ? 2 : 1;
    if (settings->cluster.min_copies == 0)
        settings->cluster.min_copies = settings->cluster.copies;
    for (size_t i = 0; i < settings->node.source_count; i++) {
        struct setting_source *source = &settings->node.sources[i];
        if (source->public_address == NULL)
            source->public_address = source->address;
    }
    for (size_t i = 0; i < settings->tenant_count; i++) {
        struct setting_tenant *tenant = &settings->tenants[i];
        if (!check_given(check, &tenant->dsn))
            tenant->dsn = settings->delivery.dsn;
        if (tenant->max_age == 0)
            tenant->max_age = settings->delivery.max_age;
    }
}

void settings_tell_faults(
    struct config *config, const char *origin, struct fault **faults_r, size_t *fault_count_r)
{
    size_t count = config_fault_count(config);
    const struct config_fault *faults = config_faults(config);
    *faults_r = xrealloc(*faults_r, (*fault_count_r + count + 1) * sizeof **faults_r);
    for (size_t i = 0; i < count; i++) {
        struct fault *to = &(*faults_r)[(*fault_count_r)++];
        if (faults[i].line == 0)
            snprintf(to->text, sizeof to->text, "%.200s: %s", origin, faults[i].text);
        else
            snprintf(to->text, sizeof to->text, "%.200s:%u:%u: %s", origin, faults[i].line, faults[i].column,
                faults[i].text);
    }
}

void settings_judge(struct settings_check *check, bool doors)
{
    settings_complete(check);
    if (doors)
        settings_check_doors(check);
    settings_check_sending(check);
    settings_providers(check);
    settings_check_tenants(check);
    settings_check_schedules(check);
}

struct settings *settings_parse_rows(const struct config_row *rows, bool doors, const char *text, size_t len,
    const char *origin, struct fault **faults_r, size_t *fault_count_r)
{
    struct settings_block *block = xcalloc(1, sizeof *block);
    struct settings *settings = &block->settings;
    struct config *config = config_open(text, len, origin);
    struct settings_check check = {config, NULL, block};
    *faults_r = NULL;
    *fault_count_r = 0;
    config_read(config, rows, settings, &block->arena);
    settings->file = arena_text(&block->arena, origin, strlen(origin));
    settings_judge(&check, doors);
    if (config_fault_count(config) > 0) {
        settings_tell_faults(config, origin, faults_r, fault_count_r);
        settings_free(&settings);
    }
    config_close(&config);
    return settings;
}

struct settings *settings_parse(
    const char *text, size_t len, const char *origin, struct fault **faults_r, size_t *fault_count_r)
{
    return settings_parse_rows(settings_rows, true, text, len, origin, faults_r, fault_count_r);
}

static int one_fault(const char *file, const char *text, struct fault **faults_r, size_t *fault_count_r)
{
    *faults_r = xcalloc(1, sizeof **faults_r);
    *fault_count_r = 1;
    snprintf((*faults_r)->text, sizeof(*faults_r)->text, "%.300s: %s", file, text);
    return -1;
}

int settings_read_file(
    const char *file, struct buffer *text_r, struct fault **faults_r, size_t *fault_count_r)
{
    char why[200] = "";
    FILE *in = fopen(file, "re");
    if (in == NULL) {
        snprintf(why, sizeof why, "cannot be opened: %s; check its name and its mode", strerror(errno));
        return one_fault(file, why, faults_r, fault_count_r);
    }
    /* One byte above the limit is enough for config_open() to say that it is too large. */
    while (!feof(in) && !ferror(in) && buffer_len(text_r) <= CONFIG_MAX_TEXT)
        buffer_added(text_r, fread(buffer_room(text_r, 65536), 1, 65536, in));
    if (ferror(in))
        snprintf(why, sizeof why, "cannot be read: %s", strerror(errno));
    fclose(in);
    return why[0] == 0 ? 0 : one_fault(file, why, faults_r, fault_count_r);
}

struct settings *settings_load(const char *file, struct fault **faults_r, size_t *fault_count_r)
{
    struct buffer text = {0};
    struct settings *settings = NULL;
    if (settings_read_file(file, &text, faults_r, fault_count_r) == 0)
        settings = settings_parse(buffer_bytes(&text), buffer_len(&text), file, faults_r, fault_count_r);
    buffer_free(&text);
    return settings;
}

const char *check_hint(const char *text, const void *names, size_t count, size_t stride, char out[128])
{
    const char *nearest = NULL;
    const char *name;
    out[0] = 0;
    for (size_t i = 0; i < count && i < MAX_HINTS && nearest == NULL; i++) {
        memcpy(&name, (const char *)names + i * stride, sizeof name);
        nearest = name == NULL ? NULL : config_nearest(text, &name, 1);
    }
    if (nearest != NULL)
        snprintf(out, 128, "; did you mean `%.80s`?", nearest);
    return out;
}

/* --- look-ups --- */

const struct setting_tenant *settings_tenant(const struct settings *settings, const char *id)
{
    return map_get_text(&block_of(settings)->tenants, id);
}

const struct setting_pool *settings_pool(const struct settings *settings, const char *name)
{
    return map_get_text(&block_of(settings)->pools, name);
}

const struct setting_provider *settings_provider(const struct settings *settings, const char *name)
{
    return map_get_text(&block_of(settings)->providers, name);
}

const struct setting_provider *settings_provider_of(const struct settings *settings, const char *mx_host)
{
    char host[256];
    size_t len = strlen(mx_host);
    if (len > 0 && mx_host[len - 1] == '.')
        len--;
    if (len == 0 || len >= sizeof host)
        return NULL;
    for (size_t i = 0; i < len; i++)
        host[i] = (char)tolower((unsigned char)mx_host[i]);
    host[len] = 0;
    const struct setting_provider *provider = NULL;
    for (const char *at = host; at != NULL && provider == NULL;) {
        provider = map_get_text(&block_of(settings)->suffixes, at);
        at = strchr(at, '.');
        at = at == NULL ? NULL : at + 1;
    }
    return provider;
}

bool network_holds(const struct network *network, const struct sockaddr *address)
{
    const uint8_t *bytes;
    int family = address->sa_family;
    if (family == AF_INET) {
        bytes = (const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr;
    } else if (family == AF_INET6) {
        bytes = (const uint8_t *)&((const struct sockaddr_in6 *)address)->sin6_addr;
        /* A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2). */
        if (network->family == AF_INET && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)bytes)) {
            bytes += 12;
            family = AF_INET;
        }
    } else {
        return false;
    }
    if (family != network->family || memcmp(bytes, network->bytes, network->bits / 8) != 0)
        return false;
    unsigned rest = network->bits % 8;
    uint8_t mask = (uint8_t)(0xff00U >> rest);
    return rest == 0 || (bytes[network->bits / 8] & mask) == (network->bytes[network->bits / 8] & mask);
}
