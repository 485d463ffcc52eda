/* dkim_sign - signs messages in files, for verifiers that are not ours (dkim_verifiers.py)
 *
 *     dkim_sign public KEY_FILE        prints what DNS says in p=
 *     dkim_sign sign                   reads lines "KEY_FILE SELECTOR HEADER BODY IN OUT" (HEADER, BODY: relaxed
 *                                      or simple), writes the message of IN, signed for acme.example, to OUT
 *
 * A missing line end at the message's end is added to OUT behind the signing, as SMTP would do it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/digest_ossl.h"
#include "base/signing_key_ossl.h"
#include "proto/dkim.h"

static const struct dkim_digest sha256 = {digest_begin, digest_add, digest_end};

static void __attribute__((noreturn)) fail(const char *what, const char *why)
{
    fprintf(stderr, "dkim_sign: %s: %s\n", what, why);
    exit(1);
}

static struct signing_key *load(const char *file)
{
    struct error error;
    struct signing_key *key = signing_key_load(file, &error);
    if (key == NULL)
        fail("key", error.text);
    return key;
}

static void read_message(const char *file, struct buffer *message)
{
    FILE *in = fopen(file, "rb");
    if (in == NULL)
        fail(file, "can't be read");
    for (size_t got = 1; got > 0;) {
        got = fread(buffer_room(message, 65536), 1, 65536, in);
        buffer_added(message, got);
    }
    fclose(in);
}

static void write_message(const char *file, const struct buffer *field, const struct buffer *message)
{
    FILE *out = fopen(file, "wb");
    const char *bytes = buffer_bytes(message);
    size_t len = buffer_len(message);
    if (out == NULL)
        fail(file, "can't be written");
    fwrite(buffer_bytes(field), 1, buffer_len(field), out);
    fwrite(bytes, 1, len, out);
    if (len < 2 || memcmp(bytes + len - 2, "\r\n", 2) != 0)
        fwrite("\r\n", 1, 2, out);
    if (fclose(out) != 0)
        fail(file, "can't be written");
}

static enum dkim_canon canon_of(const char *word)
{
    return strcmp(word, "simple") == 0 ? DKIM_SIMPLE : DKIM_RELAXED;
}

static void sign(const struct signing_key *key, const char *selector, enum dkim_canon header,
    enum dkim_canon body, const struct buffer *message, struct buffer *field)
{
    uint8_t hash[DKIM_HASH_SIZE], to_sign[DKIM_HASH_SIZE], signature[SIGNATURE_MAX];
    struct error error;
    struct dkim_wish wish = {.domain = "acme.example",
        .selector = selector,
        .algorithm = signing_key_kind(key) == SIGNING_RSA ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256,
        .header = header,
        .body = body,
        .body_hash = hash,
        .now = clock_now(),
        .lifetime = USEC_DAY};
    dkim_body_hash(&sha256, body, buffer_bytes(message), buffer_len(message), hash);
    if (dkim_prepare(&wish, &sha256, buffer_bytes(message), buffer_len(message), field, to_sign, &error) != 0)
        fail("header", error.text);
    int len = signing_key_sign(key, to_sign, signature, &error);
    if (len < 0)
        fail("signature", error.text);
    dkim_finish(field, signature, (size_t)len);
}

static void sign_all(void)
{
    char line[2000], *words[6], *rest;
    char last[500] = "";
    struct signing_key *key = NULL;
    while (fgets(line, sizeof line, stdin) != NULL) {
        struct buffer message = {0}, field = {0};
        rest = line;
        for (int i = 0; i < 6; i++)
            if ((words[i] = strtok_r(rest, " \n", &rest)) == NULL)
                fail("stdin", "a line has not six words");
        if (strcmp(words[0], last) != 0) {
            signing_key_drop(&key);
            key = load(words[0]);
            snprintf(last, sizeof last, "%s", words[0]);
        }
        read_message(words[4], &message);
        sign(key, words[1], canon_of(words[2]), canon_of(words[3]), &message, &field);
        write_message(words[5], &field, &message);
        buffer_free(&message);
        buffer_free(&field);
    }
    signing_key_drop(&key);
}

static void print_public(const char *file)
{
    struct signing_key *key = load(file);
    struct buffer p = {0};
    signing_key_public(key, &p);
    puts(buffer_text(&p));
    buffer_free(&p);
    signing_key_drop(&key);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "public") == 0)
        print_public(argv[2]);
    else if (argc == 2 && strcmp(argv[1], "sign") == 0)
        sign_all();
    else
        fail("usage", "dkim_sign public KEY_FILE | dkim_sign sign");
    return 0;
}
