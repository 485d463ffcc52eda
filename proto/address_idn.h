/* address_idn - international domain names as A-labels; the only door to libidn2
 *
 * IDNA2008 with the mapping of UTS 46, non-transitional, as browsers do it. For proto/address.c, which hands
 * over only what is not ASCII and checks what comes back like any other domain. */
#ifndef PROTO_ADDRESS_IDN_H
#define PROTO_ADDRESS_IDN_H

#include "base/error.h"

/* `domain` is UTF-8; 0, or -1 with the reason. */
int address_idn_to_ascii(const char *domain, char out[256], struct error *error);

#endif
