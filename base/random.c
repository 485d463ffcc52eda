/* random - see random.h */
#include "base/random.h"

#include <sys/random.h>

#include "base/panic.h"

void random_secret(void *bytes, size_t len)
{
    char *at = bytes;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        must(got > 0);
        at += got;
        len -= (size_t)got;
    }
}
