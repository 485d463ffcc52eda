/* keygen - `todoku keygen FILE`: a member's key pair for the bus
 *
 * The file gets the secret half and is never overwritten; the public half is printed alone, so that a script
 * can hand it to `todoku members add`. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"
#include "cluster/bus_zmq.h"

const struct cli_option cli_keygen_options[] = {
    {'p', "public", NULL, "print the public key of a FILE that is there"},
};
const size_t cli_keygen_option_count = sizeof cli_keygen_options / sizeof *cli_keygen_options;

/* A key that begins with a minus would be an option of `members add`; four of five begin well. */
static void make(struct bus_key *key)
{
    do
        bus_key_make(key);
    while (!isalnum((unsigned char)key->public_key[0]));
}

int cli_keygen(int argc, char **argv)
{
    struct cli_args args;
    struct bus_key key;
    struct error error = {0};
    int code = cli_parse(argc, argv, &args), rc;
    if (code >= 0)
        return code;
    if (args.rest_count != 1)
        return cli_wrong(args.command, "name one file for the secret key");
    if (cli_value(&args, "public") != NULL) {
        rc = bus_key_load(args.rest[0], &key, &error);
    } else {
        make(&key);
        rc = bus_key_save(args.rest[0], &key, &error);
    }
    if (rc == 0)
        puts(key.public_key);
    else
        fprintf(stderr, "todoku keygen: %s\n", error.text);
    explicit_bzero(&key, sizeof key);
    return rc == 0 ? 0 : 1;
}
