/* source_check - see source_check.h */
#include "node/source_check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

static int try_bind(const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    if (!is_v4 && inet_pton(AF_INET6, address, &v6.sin6_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int status =
        is_v4 ? bind(fd, (struct sockaddr *)&v4, sizeof v4) : bind(fd, (struct sockaddr *)&v6, sizeof v6);
    int why = errno;
    close(fd);
    errno = why;
    return status;
}

int source_check(const struct settings *settings, struct error *error)
{
    for (size_t i = 0; i < settings->node.source_count; i++) {
        const char *address = settings->node.sources[i].address;
        if (try_bind(address) != 0)
            return error_set(error,
                "node.sources: can't send from %s: %s; give the address to this machine (ip addr add) or "
                "correct it",
                address, strerror(errno));
    }
    return 0;
}
