/* fuzz_dns_answer - raw DNS answers
 *
 * The first byte chooses the type asked for; the rest is the packet. The name asked is the one the corpus'
 * packets repeat. What is read must be bounded and its names clean. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/dns_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *name)
{
    size_t len = strnlen(name, DNS_NAME_SIZE);
    if (len == DNS_NAME_SIZE || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.\\") != len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = {DNS_MX, DNS_A, DNS_AAAA};
    struct dns_answer answer;
    struct error error;
    if (size == 0)
        return 0;
    if (dns_answer_read(data + 1, size - 1, "example.com", types[data[0] % 3], &answer, &error) != 0)
        return 0;
    if (answer.count > DNS_MAX_RECORDS || (answer.truncated && answer.count > 0))
        abort();
    for (size_t i = 0; i < answer.count; i++)
        if (answer.records[i].type == DNS_MX)
            check_name(answer.records[i].name);
    return 0;
}
