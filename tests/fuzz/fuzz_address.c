/* fuzz_address - any bytes as an address, a path, a domain and a header
 *
 * Held: what is taken is clean (printable ASCII, lower-case domain, within its size) and is taken again,
 * unchanged. */
#include <stdint.h>
#include <string.h>

#include "base/panic.h"
#include "proto/address.h"
#include "proto/mail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_clean(const char *address)
{
    char again[ADDRESS_SIZE], domain[256];
    size_t len = strlen(address);
    must(len >= 3 && len < ADDRESS_SIZE);
    for (size_t i = 0; i < len; i++)
        must(address[i] >= ' ' && address[i] <= '~');
    must(address_clean(address, len, again, NULL, NULL) == 0);
    must(strcmp(address, again) == 0);
    const char *at = mail_domain(address);
    if (*at != '[') {
        must(domain_clean(at, strlen(at), domain, NULL) == 0);
        must(strcmp(domain, at) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    char out[ADDRESS_SIZE];
    struct error error = {{0}};
    size_t used, count;
    bool odd;
    if (address_clean(text, size, out, &odd, &error) == 0)
        check_clean(out);
    else
        must(error.text[0] != '\0');
    if (address_path(text, size, true, out, &used, &error) == 0) {
        must(used >= 2 && used <= size && text[used - 1] == '>');
        if (out[0] != '\0')
            check_clean(out);
    }
    if (domain_clean(text, size, out, &error) == 0)
        must(strlen(out) > 0 && strlen(out) <= 253);
    if (address_of_header(text, size, out, &count, &error) == 0 && count > 0)
        check_clean(out);
    return 0;
}
