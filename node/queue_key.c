/* queue_key - see queue_key.h */
#include "node/queue_key.h"

#include <string.h>

void queue_names_add(struct buffer *key, const struct queue_names *names)
{
    const char *texts[] = {names->tenant, names->campaign, names->pool, names->domain};
    char class = (char)names->class;
    buffer_add(key, &class, 1);
    for (size_t i = 0; i < 4; i++)
        buffer_add(key, texts[i], strlen(texts[i]) + 1);
}

void queue_key_add(struct buffer *key, const struct mail *mail, const char *domain)
{
    struct queue_names names = {mail->priority, mail->tenant, mail->campaign, mail->pool, domain};
    queue_names_add(key, &names);
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
