/* queue_key - see queue_key.h */
#include "node/queue_key.h"

#include <string.h>

void queue_key_add(struct buffer *key, const struct mail *mail, const char *domain)
{
    const char *names[] = {mail->tenant, mail->campaign, mail->pool, domain};
    char class = (char)mail->priority;
    buffer_add(key, &class, 1);
    for (size_t i = 0; i < 4; i++)
        buffer_add(key, names[i], strlen(names[i]) + 1);
}

bool queue_key_read(const void *key, size_t len, struct queue_names *names_r)
{
    const char *bytes = key, *at = bytes + 1, *names[4];
    if (len == 0 || (unsigned char)bytes[0] > MAIL_BULK)
        return false;
    for (size_t i = 0; i < 4; i++) {
        const char *end = memchr(at, '\0', (size_t)(bytes + len - at));
        if (end == NULL)
            return false;
        names[i] = at;
        at = end + 1;
    }
    *names_r = (struct queue_names){(enum mail_priority)bytes[0], names[0], names[1], names[2], names[3]};
    return at == bytes + len;
}
