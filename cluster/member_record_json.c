/* member_record_json - records as JSON text; see member_record.h
 *
 * 64-bit numbers that may be random (process, incarnation) are written as decimal texts: JSON's numbers end
 * at 2^53 in many readers, and at 2^63 in ours. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json_out.h"
#include "cluster/kv.h"
#include "cluster/member_record.h"

#define MAX_HELO 255
#define MAX_ADDRESS 45 /* an IPv6 address as text */
#define MAX_POOLS 1000 /* of one source, as in a file */

/* ---- writing ---- */

static void write_u64(struct buffer *out, const char *name, uint64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    json_text(out, name, text);
}

void member_spec_write(const struct member_spec *spec, struct buffer *out)
{
    json_begin(out, '{');
    json_text(out, "id", spec->id);
    json_text(out, "public_key", spec->public_key);
    json_text(out, "role", member_role_name(spec->role));
    json_number(out, "weight", spec->weight);
    json_bool(out, "drain", spec->drain);
    if (spec->dead != 0)
        write_u64(out, "dead", spec->dead);
    json_end(out, '}');
}

static void write_source(struct buffer *out, const struct view_source *source)
{
    json_begin(out, '{');
    json_text(out, "address", source->address);
    if (source->public_address != NULL && strcmp(source->public_address, source->address) != 0)
        json_text(out, "public_address", source->public_address);
    json_text(out, "helo", source->helo);
    json_begin_named(out, "pools", '[');
    for (size_t i = 0; i < source->pool_count; i++)
        json_text(out, NULL, source->pools[i]);
    json_end(out, ']');
    json_end(out, '}');
}

void member_live_write(const struct member_live *live, struct buffer *out)
{
    json_begin(out, '{');
    json_text(out, "id", live->id);
    json_text(out, "role", member_role_name(live->role));
    json_number(out, "wire_min", live->wire.least);
    json_number(out, "wire", live->wire.most);
    write_u64(out, "process", live->process);
    write_u64(out, "incarnation", live->incarnation);
    json_text(out, "endpoint", live->endpoint);
    json_text(out, "public_key", live->public_key);
    json_text(out, "rack", live->rack);
    json_number(out, "weight", live->weight);
    json_text(out, "disk", live->disk);
    json_text(out, "spool", live->spool);
    if (live->leaving)
        json_bool(out, "leaving", true);
    write_u64(out, "config", live->config);
    if (live->epoch != 0)
        write_u64(out, "epoch", live->epoch);
    json_begin_named(out, "sources", '[');
    for (size_t i = 0; i < live->source_count; i++)
        write_source(out, &live->sources[i]);
    json_end(out, ']');
    json_end(out, '}');
}

void member_claim_write(const struct member_claim *claim, struct buffer *out)
{
    json_begin(out, '{');
    json_text(out, "node", claim->node);
    write_u64(out, "process", claim->process);
    json_end(out, '}');
}

/* ---- reading ---- */

static json_t *parse(const char *text, size_t len, struct error *error)
{
    if (len > KV_MAX_VALUE) {
        error_set(
            error, "the record is %zu bytes long, more than the %u that the store takes", len, KV_MAX_VALUE);
        return NULL;
    }
    json_error_t why;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (json == NULL)
        error_set(error, "the record is no JSON text: %.100s", why.text);
    else if (!json_is_object(json)) {
        error_set(error, "the record is no JSON object");
        json_decref(json);
        json = NULL;
    }
    return json;
}

/* The text `name`, at most `most` bytes; missing: null if it need not be there. Borrowed from `json`. */
static int borrow_text(
    const json_t *json, const char *name, size_t most, bool needed, const char **text_r, struct error *error)
{
    const json_t *value = json_object_get(json, name);
    *text_r = json_string_value(value);
    if (value == NULL)
        return needed ? error_set(error, "the record has no `%s`", name) : 0;
    if (*text_r == NULL)
        return error_set(error, "`%s` in the record is no text", name);
    if (json_string_length(value) > most)
        return error_set(error, "`%s` in the record is longer than %zu bytes", name, most);
    return 0;
}

static int read_text(
    const json_t *json, const char *name, char *to, size_t size, bool needed, struct error *error)
{
    const char *text;
    if (borrow_text(json, name, size - 1, needed, &text, error) != 0)
        return -1;
    snprintf(to, size, "%s", text == NULL ? "" : text);
    return 0;
}

/* Printable ASCII without spaces: whatever goes on into the view must be what its readers take
 * (proto/view_wire_check.c), or one bad record would leave the cluster without a view. */
static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

static int check_plain(const char *name, const char *text, struct error *error)
{
    return is_plain(text) ? 0 : error_set(error, "`%s` in the record holds more than printable ASCII", name);
}

static int read_plain(
    const json_t *json, const char *name, char *to, size_t size, bool needed, struct error *error)
{
    return read_text(json, name, to, size, needed, error) == 0 ? check_plain(name, to, error) : -1;
}

static int read_name(const json_t *json, const char *name, char to[MEMBER_ID_SIZE], struct error *error)
{
    if (read_text(json, name, to, MEMBER_ID_SIZE, true, error) != 0)
        return -1;
    return member_name_good(to) ? 0 : error_set(error, "`%s` in the record is no member's name", name);
}

static int read_u64(const json_t *json, const char *name, uint64_t *number_r, struct error *error)
{
    const char *text;
    *number_r = 0;
    if (borrow_text(json, name, 20, true, &text, error) != 0)
        return -1;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        return error_set(error, "`%s` in the record is no number in decimal digits", name);
    *number_r = number;
    return 0;
}

static int read_u32(const json_t *json, const char *name, uint32_t *number_r, struct error *error)
{
    const json_t *value = json_object_get(json, name);
    json_int_t number = json_integer_value(value);
    if (value != NULL && (!json_is_integer(value) || number < 0 || number > UINT32_MAX))
        return error_set(error, "`%s` in the record is no number from 0 to %" PRIu32, name, UINT32_MAX);
    *number_r = (uint32_t)number; /* 0 if it is not there */
    return 0;
}

static int read_bool(const json_t *json, const char *name, bool *value_r, struct error *error)
{
    const json_t *value = json_object_get(json, name);
    if (value != NULL && !json_is_boolean(value))
        return error_set(error, "`%s` in the record is neither true nor false", name);
    *value_r = json_is_true(value);
    return 0;
}

static int read_role(const json_t *json, enum member_role *role_r, struct error *error)
{
    const char *text;
    if (borrow_text(json, "role", 32, true, &text, error) != 0)
        return -1;
    for (int role = MEMBER_ANY; role <= MEMBER_NODE; role++)
        if (strcmp(text, member_role_name((enum member_role)role)) == 0) {
            *role_r = (enum member_role)role;
            return 0;
        }
    return error_set(error, "`role` in the record is neither coordinator nor node");
}

/* Z85 (ZeroMQ RFC 32): 32 bytes are 40 characters. */
static int read_key(const json_t *json, char to[MEMBER_KEY_SIZE], struct error *error)
{
    static const char z85[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                              ".-:+=^!/*?&<>()[]{}@%$#";
    if (read_text(json, "public_key", to, MEMBER_KEY_SIZE, true, error) != 0)
        return -1;
    if (strlen(to) != MEMBER_KEY_SIZE - 1 || strspn(to, z85) != MEMBER_KEY_SIZE - 1)
        return error_set(error, "`public_key` in the record is no key: that is 40 characters of Z85, as "
                                "`todoku keygen` prints it");
    return 0;
}

int member_spec_read(const char *text, size_t len, struct member_spec *spec_r, struct error *error)
{
    *spec_r = (struct member_spec){0};
    json_t *json = parse(text, len, error);
    if (json == NULL)
        return -1;
    bool good =
        read_name(json, "id", spec_r->id, error) == 0 && read_key(json, spec_r->public_key, error) == 0 &&
        read_role(json, &spec_r->role, error) == 0 && read_u32(json, "weight", &spec_r->weight, error) == 0 &&
        read_bool(json, "drain", &spec_r->drain, error) == 0 &&
        (json_object_get(json, "dead") == NULL || read_u64(json, "dead", &spec_r->dead, error) == 0);
    json_decref(json);
    return good ? 0 : -1;
}

static int read_address(const json_t *json, const char *name, bool needed, char **to, struct error *error)
{
    const char *text;
    unsigned char bytes[16];
    if (borrow_text(json, name, MAX_ADDRESS, needed, &text, error) != 0)
        return -1;
    if (text == NULL)
        return 0;
    if (inet_pton(AF_INET, text, bytes) != 1 && inet_pton(AF_INET6, text, bytes) != 1)
        return error_set(error, "`%s` of a source in the record is no IP address", name);
    *to = xstrdup(text);
    return 0;
}

static int read_pools(const json_t *json, struct view_source *source, struct error *error)
{
    const json_t *list = json_object_get(json, "pools");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > MAX_POOLS)
        return error_set(
            error, "`pools` of a source in the record is no list of at most %d names", MAX_POOLS);
    source->pools = xcalloc(count, sizeof *source->pools);
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name == NULL || name[0] == '\0' || strlen(name) >= MEMBER_ID_SIZE || !is_plain(name))
            return error_set(error, "a pool of a source in the record is no name");
        source->pools[source->pool_count++] = xstrdup(name);
    }
    return 0;
}

static int read_source(const json_t *json, struct view_source *source, struct error *error)
{
    if (!json_is_object(json))
        return error_set(error, "a source in the record is no object");
    const char *helo;
    if (read_address(json, "address", true, &source->address, error) != 0 ||
        read_address(json, "public_address", false, &source->public_address, error) != 0 ||
        borrow_text(json, "helo", MAX_HELO, true, &helo, error) != 0 || check_plain("helo", helo, error) != 0)
        return -1;
    source->helo = xstrdup(helo);
    return read_pools(json, source, error);
}

static int read_sources(const json_t *json, struct member_live *live, struct error *error)
{
    const json_t *list = json_object_get(json, "sources");
    size_t count = json_array_size(list);
    if (list != NULL && (!json_is_array(list) || count > MEMBER_MAX_SOURCES))
        return error_set(
            error, "`sources` in the record is no list of at most %d sources", MEMBER_MAX_SOURCES);
    live->sources = xcalloc(count, sizeof *live->sources);
    live->source_count = count;
    for (size_t i = 0; i < count; i++)
        if (read_source(json_array_get(list, i), &live->sources[i], error) != 0)
            return -1;
    return 0;
}

/* Who says only `wire` speaks nothing else. */
static int read_wire(const json_t *json, struct wire_range *wire_r, struct error *error)
{
    if (read_u32(json, "wire", &wire_r->most, error) != 0 ||
        read_u32(json, "wire_min", &wire_r->least, error) != 0)
        return -1;
    if (json_object_get(json, "wire_min") == NULL)
        wire_r->least = wire_r->most;
    if (wire_r->least > wire_r->most)
        return error_set(error, "`wire_min` in the record is above `wire`, which is %" PRIu32, wire_r->most);
    return 0;
}

/* One that views can go on above. */
static int read_epoch(const json_t *json, struct member_live *live, struct error *error)
{
    if (json_object_get(json, "epoch") == NULL)
        return 0;
    if (read_u64(json, "epoch", &live->epoch, error) != 0)
        return -1;
    return live->epoch <= INT64_MAX / 2 ? 0 : error_set(error, "`epoch` in the record is too high for any");
}

/* What the record of a program that we can talk to has beside id, role and wire. */
static int read_rest(const json_t *json, struct member_live *live, struct error *error)
{
    if (read_u64(json, "process", &live->process, error) != 0 ||
        read_u64(json, "incarnation", &live->incarnation, error) != 0 ||
        read_plain(json, "endpoint", live->endpoint, sizeof live->endpoint, true, error) != 0 ||
        read_key(json, live->public_key, error) != 0 ||
        read_plain(json, "rack", live->rack, sizeof live->rack, false, error) != 0 ||
        read_u32(json, "weight", &live->weight, error) != 0 ||
        read_plain(json, "disk", live->disk, sizeof live->disk, false, error) != 0 ||
        read_plain(json, "spool", live->spool, sizeof live->spool, false, error) != 0 ||
        read_bool(json, "leaving", &live->leaving, error) != 0 ||
        read_u64(json, "config", &live->config, error) != 0 || read_epoch(json, live, error) != 0 ||
        read_sources(json, live, error) != 0)
        return -1;
    if (live->process == 0)
        return error_set(error, "`process` in the record is 0");
    if (live->role == MEMBER_ANY)
        return error_set(error, "`role` in the record is neither coordinator nor node");
    if (live->role == MEMBER_NODE && (live->disk[0] == '\0' || !member_name_good(live->spool)))
        return error_set(error, "the record of a node names no disk or no spool");
    return 0;
}

int member_live_read(const char *text, size_t len, struct member_live *live_r, struct error *error)
{
    *live_r = (struct member_live){0};
    json_t *json = parse(text, len, error);
    if (json == NULL)
        return -1;
    int status = read_name(json, "id", live_r->id, error) == 0 &&
                         read_wire(json, &live_r->wire, error) == 0 &&
                         read_role(json, &live_r->role, error) == 0
                     ? 0
                     : -1;
    if (status == 0 && wire_meets(&live_r->wire, &wire_ours))
        status = read_rest(json, live_r, error);
    if (status != 0)
        member_live_free(live_r);
    json_decref(json);
    return status;
}

int member_claim_read(const char *text, size_t len, struct member_claim *claim_r, struct error *error)
{
    *claim_r = (struct member_claim){0};
    json_t *json = parse(text, len, error);
    if (json == NULL)
        return -1;
    bool good = read_name(json, "node", claim_r->node, error) == 0 &&
                read_u64(json, "process", &claim_r->process, error) == 0;
    json_decref(json);
    return good ? 0 : -1;
}
