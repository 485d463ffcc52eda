/* settings_over - the file's own part under the cluster-wide part of a version of config/ (settings.h)
 *
 * Both texts are read by the same table into the same settings, each by its half of the rows; the other half
 * is passed over. A cross check finds the text that said a field by the field's address. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/settings_inside.h"
#include "cluster/settings_rows.h"

static bool is_shared(const char *name)
{
    static const char *const shared[] = {"delivery", "limits", "operator_dkim", "pools", "providers",
        "routes", "rules_file", "schedules", "tenants"};
    for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++)
        if (strcmp(shared[i], name) == 0)
            return true;
    return false;
}

/* The table with one half passed over. */
static void halve(bool shared, struct config_row rows_r[CONFIG_MAX_ROWS])
{
    size_t i = 0;
    for (; settings_rows[i].name != NULL; i++) {
        must(i + 1 < CONFIG_MAX_ROWS);
        rows_r[i] = settings_rows[i];
        if (is_shared(rows_r[i].name) != shared)
            rows_r[i] = (struct config_row){.name = settings_rows[i].name, .type = CONFIG_PASSED};
    }
    rows_r[i] = (struct config_row){.name = NULL};
}

static void read_half(struct config *config, bool shared, struct settings_block *block)
{
    struct config_row rows[CONFIG_MAX_ROWS];
    halve(shared, rows);
    config_read(config, rows, &block->settings, &block->arena);
}

struct settings *settings_parse_shared(
    const char *text, size_t len, const char *origin, struct fault **faults_r, size_t *fault_count_r)
{
    struct config_row rows[CONFIG_MAX_ROWS];
    halve(true, rows);
    return settings_parse_rows(rows, false, text, len, origin, faults_r, fault_count_r);
}

/* `file_text` under `text`; relative names of files count from the file's folder in both. */
static struct settings *parse_over(const char *file, struct buffer *file_text, uint64_t number,
    const char *text, size_t len, struct fault **faults_r, size_t *fault_count_r)
{
    struct settings_block *block = xcalloc(1, sizeof *block);
    struct settings *settings = &block->settings;
    struct config *config = config_open(buffer_bytes(file_text), buffer_len(file_text), file);
    struct config *over = config_open(text, len, file);
    struct settings_check check = {config, over, block};
    char origin[40];
    snprintf(origin, sizeof origin, "config %llu", (unsigned long long)number);
    read_half(config, false, block);
    read_half(over, true, block);
    settings->file = arena_text(&block->arena, file, strlen(file));
    settings->config_version = number;
    settings_judge(&check, true);
    if (config_fault_count(config) + config_fault_count(over) > 0) {
        settings_tell_faults(config, file, faults_r, fault_count_r);
        settings_tell_faults(over, origin, faults_r, fault_count_r);
        settings_free(&settings);
    }
    config_close(&over);
    config_close(&config);
    return settings;
}

struct settings *settings_load_over(const char *file, uint64_t number, const char *text, size_t len,
    struct fault **faults_r, size_t *fault_count_r)
{
    struct buffer file_text = {0};
    struct settings *settings = NULL;
    *faults_r = NULL;
    *fault_count_r = 0;
    if (settings_read_file(file, &file_text, faults_r, fault_count_r) == 0)
        settings = parse_over(file, &file_text, number, text, len, faults_r, fault_count_r);
    buffer_free(&file_text);
    return settings;
}
