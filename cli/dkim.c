/* dkim - `todoku dkim`: the keys that sign, the records to publish for them, and new keys
 *
 * Works on files alone and asks no server. Exit: 0 done, 1 a key can't be read or made, 2 wrong usage or config. */
#include <string.h>

#include "base/json_out.h"
#include "base/signing_key_make_ossl.h"
#include "base/units.h"
#include "cli/dkim_keys.h"
#include "cli/options.h"
#include "cli/start.h"
#include "node/keyring.h"

#define DEFAULT_CONFIG "/etc/todoku/todoku.yaml"
/* Of one string in a TXT record (RFC 1035 section 3.3.14). */
#define STRING_MOST 255

const struct cli_option cli_dkim_options[] = {
    {'c', "config", "FILE", "the configuration that names the keys (default: " DEFAULT_CONFIG ")"},
    {'j', "json", NULL, "one object a line"},
    {'g', "generate", "FILE", "make a new key in FILE instead, readable for you alone"},
    {'t', "type", "rsa|ed25519", "of the new key (default: rsa)"},
    {'b', "bits", "N", "of a new RSA key: 1024 to 8192 (default: 2048)"},
};
const size_t cli_dkim_option_count = sizeof cli_dkim_options / sizeof *cli_dkim_options;

struct listing {
    bool json;
    size_t faults, count;
    struct buffer out;
};

/* RFC 6376 section 3.6.1, RFC 8463 section 4. */
static void record_of(const struct signing_key *key, struct buffer *out)
{
    buffer_clear(out);
    buffer_printf(out, "v=DKIM1; k=%s; p=", signing_key_kind(key) == SIGNING_RSA ? "rsa" : "ed25519");
    signing_key_public(key, out);
}

static void print_strings(const char *record)
{
    for (size_t len = strlen(record), at = 0; at < len; at += STRING_MOST)
        printf(" \"%.*s\"", (int)(len - at < STRING_MOST ? len - at : STRING_MOST), record + at);
    putchar('\n');
}

static void print_lines(const char *tenant, const struct setting_dkim *setting, const struct signing_key *key,
    const char *record, const char *trouble)
{
    printf("; %s, %s: ", tenant == NULL ? "the operator" : tenant, setting->key_file);
    if (key == NULL) {
        printf("CAN'T BE USED: %s\n; %s._domainkey.%s\n", trouble, setting->selector, setting->domain);
        return;
    }
    printf("%s, %u bits, %s\n%s._domainkey.%s. IN TXT", keyring_algorithm(signing_key_kind(key)),
        signing_key_bits(key), setting_canon_name(setting->canon), setting->selector, setting->domain);
    print_strings(record);
}

static void print_json(const char *tenant, const struct setting_dkim *setting, const struct signing_key *key,
    const char *record, const char *trouble)
{
    struct buffer row = {0};
    json_begin(&row, '{');
    if (tenant != NULL)
        json_text(&row, "tenant", tenant);
    json_text(&row, "domain", setting->domain);
    json_text(&row, "selector", setting->selector);
    json_text(&row, "file", setting->key_file);
    json_text(&row, "canonicalization", setting_canon_name(setting->canon));
    if (setting->expire > 0)
        json_number(&row, "expire_s", setting->expire / USEC_SEC);
    if (key == NULL) {
        json_text(&row, "error", trouble);
    } else {
        char name[600];
        snprintf(name, sizeof name, "%s._domainkey.%s", setting->selector, setting->domain);
        json_text(&row, "algorithm", keyring_algorithm(signing_key_kind(key)));
        json_number(&row, "bits", signing_key_bits(key));
        json_text(&row, "name", name);
        json_text(&row, "record", record);
    }
    json_end(&row, '}');
    puts(buffer_text(&row));
    buffer_free(&row);
}

static void list_one(void *context, const char *tenant, const struct setting_dkim *setting)
{
    struct listing *listing = context;
    struct error why = {""};
    struct signing_key *key = signing_key_load(setting->key_file, &why);
    buffer_clear(&listing->out);
    if (key != NULL)
        record_of(key, &listing->out);
    (listing->json ? print_json : print_lines)(tenant, setting, key, buffer_text(&listing->out), why.text);
    listing->faults += key == NULL;
    listing->count++;
    signing_key_drop(&key);
}

static int list(const char *file, bool json)
{
    struct settings *settings;
    if (start_read_settings(file, NULL, &settings) != 0)
        return 2;
    struct listing listing = {.json = json};
    dkim_keys_each(settings, list_one, &listing);
    if (listing.count == 0 && !json)
        printf("%s names no keys: mail leaves unsigned (tenants: dkim, operator_dkim)\n", file);
    buffer_free(&listing.out);
    settings_free(&settings);
    return listing.faults > 0 ? 1 : 0;
}

static int generate(const struct cli_args *args, const char *file)
{
    const char *type = cli_value(args, "type"), *bits = cli_value(args, "bits");
    struct error error;
    uint64_t count = 2048;
    bool ed25519 = type != NULL && strcmp(type, "ed25519") == 0;
    if (type != NULL && !ed25519 && strcmp(type, "rsa") != 0)
        return cli_wrong(args->command, "`%s` is no type of key; rsa or ed25519", type);
    if (cli_value(args, "config") != NULL || cli_value(args, "json") != NULL)
        return cli_wrong(args->command, "--generate takes neither --config nor --json");
    if (bits != NULL && (ed25519 || units_number(bits, 1024, 8192, &count, &error) != 0))
        return cli_wrong(args->command, "--bits is for RSA: 1024 to 8192");
    if (signing_key_make(file, ed25519 ? SIGNING_ED25519 : SIGNING_RSA, (unsigned)count, &error) != 0) {
        fprintf(stderr, "todoku dkim: %s\n", error.text);
        return 1;
    }
    struct signing_key *key = signing_key_load(file, &error);
    if (key == NULL) {
        fprintf(stderr, "todoku dkim: %s\n", error.text);
        return 1;
    }
    struct buffer record = {0};
    record_of(key, &record);
    printf("SELECTOR._domainkey.DOMAIN. IN TXT");
    print_strings(buffer_text(&record));
    buffer_free(&record);
    signing_key_drop(&key);
    return 0;
}

int cli_dkim(int argc, char **argv)
{
    struct cli_args args;
    int code = cli_parse(argc, argv, &args);
    if (code >= 0)
        return code;
    const char *file = cli_value(&args, "config"), *fresh = cli_value(&args, "generate");
    if (args.rest_count > 0)
        return cli_wrong(args.command, "what is `%s`?", args.rest[0]);
    if (fresh != NULL)
        return generate(&args, fresh);
    if (cli_value(&args, "type") != NULL || cli_value(&args, "bits") != NULL)
        return cli_wrong(args.command, "--type and --bits are for --generate");
    return list(file == NULL ? DEFAULT_CONFIG : file, cli_value(&args, "json") != NULL);
}
