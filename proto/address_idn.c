/* address_idn - see address_idn.h */
#include "proto/address_idn.h"

#include <idn2.h>
#include <stdint.h>
#include <string.h>

int address_idn_to_ascii(const char *domain, char out[256], struct error *error)
{
    uint8_t *ascii = NULL;
    int rc = idn2_lookup_u8((const uint8_t *)domain, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
    if (rc != IDN2_OK)
        return error_set(error, "the international domain cannot be written in ASCII: %s", idn2_strerror(rc));
    size_t len = strlen((const char *)ascii);
    if (len < 256)
        memcpy(out, ascii, len + 1);
    idn2_free(ascii);
    return len < 256 ? 0 : error_set(error, "the domain is longer than 255 octets");
}
