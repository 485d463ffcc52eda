/* smtp_ehlo - see smtp_ehlo.h */
#include "proto/smtp_ehlo.h"

#include <string.h>
#include <strings.h>

struct word {
    const char *text;
    size_t len;
};

/* The next word of a line; len 0 = there is none. */
static struct word word_next(const char **at, const char *end)
{
    while (*at < end && (**at == ' ' || **at == '\t'))
        (*at)++;
    struct word word = {*at, 0};
    while (*at < end && **at != ' ' && **at != '\t')
        (*at)++;
    word.len = (size_t)(*at - word.text);
    return word;
}

static bool word_is(struct word word, const char *text)
{
    return word.len == strlen(text) && strncasecmp(word.text, text, word.len) == 0;
}

/* Up to 18 digits, so that it can't overflow; 0 for anything else. */
static uint64_t word_number(struct word word)
{
    uint64_t number = 0;
    if (word.len > 18)
        return 0;
    for (size_t i = 0; i < word.len; i++) {
        if (word.text[i] < '0' || word.text[i] > '9')
            return 0;
        number = number * 10 + (uint64_t)(word.text[i] - '0');
    }
    return number;
}

/* RFC 9422: LIMITS RCPTMAX=100 MAILMAX=20 */
static void limit(struct smtp_ehlo *ehlo, struct word word)
{
    const char *equals = memchr(word.text, '=', word.len);
    if (equals == NULL)
        return;
    struct word name = {word.text, (size_t)(equals - word.text)};
    struct word value = {equals + 1, word.len - name.len - 1};
    if (word_is(name, "RCPTMAX"))
        ehlo->rcpt_max = word_number(value);
    else if (word_is(name, "MAILMAX"))
        ehlo->mail_max = word_number(value);
}

void smtp_ehlo_line(struct smtp_ehlo *ehlo, const char *line, size_t len)
{
    const char *at = line, *end = line + len;
    struct word keyword = word_next(&at, end);
    if (word_is(keyword, "PIPELINING")) {
        ehlo->pipelining = true;
    } else if (word_is(keyword, "8BITMIME")) {
        ehlo->eight_bit = true;
    } else if (word_is(keyword, "STARTTLS")) {
        ehlo->starttls = true;
    } else if (word_is(keyword, "SIZE")) {
        ehlo->size = true;
        ehlo->max_size = word_number(word_next(&at, end));
    } else if (word_is(keyword, "LIMITS")) {
        for (struct word word = word_next(&at, end); word.len > 0; word = word_next(&at, end))
            limit(ehlo, word);
    }
}
