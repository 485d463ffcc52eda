/* address - mail addresses and domains as SMTP writes them
 *
 * RFC 5321 section 4.1.2 (Mailbox), with what real mail needs: dot-atom or quoted local parts, also the
 * ".foo", "foo..bar", "foo.@" that Japanese carriers once gave out (`odd_r` tells; they are kept as they
 * are), domains as LDH labels, IDN domains turned into A-labels (libidn2, proto/address_idn.c), address
 * literals [192.0.2.1] and [IPv6:2001:db8::1]. Local parts are kept byte for byte (64 octets at most, 8-bit
 * ones refused: SMTPUTF8 may wait), domains become lower-case A-labels (255 octets at most). Errors: a
 * sentence for the client. */
#ifndef PROTO_ADDRESS_H
#define PROTO_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define ADDRESS_SIZE 330 /* 64 + 1 + 255 and room */

/* Reads an address without angle brackets; writes its clean form. 0, or -1 with the reason. */
int address_clean(const char *text, size_t len, char out[ADDRESS_SIZE], bool *odd_r, struct error *error);
/* Reads a path "<a@b>", "<@x,@y:a@b>" (source route dropped), "<>" (only if allow_null), at the front of
 * `text`; *used_r = its length. */
int address_path(const char *text, size_t len, bool allow_null, char out[ADDRESS_SIZE], size_t *used_r,
    struct error *error);
/* A domain as a lower-case A-label without a last dot, in place of `out` (256 bytes). */
int domain_clean(const char *text, size_t len, char out[256], struct error *error);
/* The one address of a header field like From: "Name <a@b>", "a@b (comment)", with groups and comments read
 * as RFC 5322 says. *count_r = how many addresses there are; `out` gets the first. */
int address_of_header(
    const char *value, size_t len, char out[ADDRESS_SIZE], size_t *count_r, struct error *error);
/* True if `domain` is `parent` ("*" = any). Exact, no sub-domains. */
bool domain_matches(const char *domain, const char *parent);

#endif
