/* talk_script - reads a script and its words; see talk.h and README.md */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/talk/talk.h"

static void line_add(struct talk_script *script, int number, const char *text)
{
    const char *space = strchr(text, ' ');
    size_t word_len = space == NULL ? strlen(text) : (size_t)(space - text);
    script->lines = xrealloc(script->lines, (script->count + 1) * sizeof *script->lines);
    script->lines[script->count++] = (struct talk_line){
        .number = number,
        .word = xstrndup(text, word_len),
        .rest = xstrdup(space == NULL ? "" : space + 1),
    };
}

int talk_script_read(struct talk_script *script, const char *path)
{
    *script = (struct talk_script){.path = xstrdup(path)};
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        fprintf(stderr, "%s: can't be read\n", path);
        return -1;
    }
    char *text = NULL;
    size_t room = 0;
    ssize_t len;
    for (int number = 1; (len = getline(&text, &room, file)) >= 0; number++) {
        if (len > 0 && text[len - 1] == '\n')
            text[--len] = '\0';
        if (strcmp(text, "side: server") == 0)
            script->server = true;
        else if (len > 0 && text[0] != '#' && strcmp(text, "side: client") != 0)
            line_add(script, number, text);
    }
    free(text);
    fclose(file);
    if (script->count > 0)
        return 0;
    fprintf(stderr, "%s: an empty script\n", path);
    return -1;
}

void talk_script_free(struct talk_script *script)
{
    for (size_t i = 0; i < script->count; i++) {
        free(script->lines[i].word);
        free(script->lines[i].rest);
    }
    free(script->lines);
    free(script->path);
    *script = (struct talk_script){0};
}

bool talk_wrong(const struct talk_script *script, const struct talk_line *line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", script->path, line->number);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return false;
}

bool talk_is_bytes(const struct talk_line *line, char side)
{
    return line->word[0] == side && line->word[1] != '\0' && strchr(":!*", line->word[1]) != NULL;
}

static int hex(char c)
{
    const char *digits = "0123456789abcdef", *at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits);
}

bool talk_unescape(const char *text, size_t len, struct buffer *out)
{
    static const char names[] = "rnt\\\"", meanings[] = "\r\n\t\\\"";
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '\\' && i + 3 < len && text[i + 1] == 'x' && hex(text[i + 2]) >= 0 &&
            hex(text[i + 3]) >= 0) {
            c = (char)(hex(text[i + 2]) * 16 + hex(text[i + 3]));
            i += 3;
        } else if (c == '\\') {
            const char *name = i + 1 < len && text[i + 1] != '\0' ? strchr(names, text[i + 1]) : NULL;
            if (name == NULL)
                return false;
            c = meanings[name - names];
            i++;
        }
        buffer_add(out, &c, 1);
    }
    return true;
}

bool talk_bytes(const struct talk_line *line, struct buffer *out)
{
    long times = 1;
    if (line->word[1] == ':') {
        buffer_add_text(out, line->rest);
        buffer_add_text(out, "\r\n");
        return line->word[2] == '\0';
    }
    if (line->word[1] == '*')
        times = strtol(line->word + 2, NULL, 10);
    if (times < 1 || times > 1000000 || strlen(line->rest) * (size_t)times > 10000000)
        return false;
    for (; times > 0; times--)
        if (!talk_unescape(line->rest, strlen(line->rest), out))
            return false;
    return true;
}

usec_t talk_duration(const char *text)
{
    static const struct {
        const char *name;
        usec_t length;
    } units[] = {{"ms", USEC_MS}, {"s", USEC_SEC}, {"m", USEC_MIN}, {"h", USEC_HOUR}};
    char *end;
    long number = strtol(text, &end, 10);
    for (size_t i = 0; end != text && number >= 0 && i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].name) == 0)
            return number * units[i].length;
    return -1;
}

char *talk_show(const char *bytes, size_t len, char out[400])
{
    size_t at = 0;
    for (size_t i = 0; i < len && at < 380; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '\r' || c == '\n')
            at += (size_t)snprintf(out + at, 400 - at, "\\%c", c == '\r' ? 'r' : 'n');
        else if (c < 0x20 || c >= 0x7f)
            at += (size_t)snprintf(out + at, 400 - at, "\\x%02x", c);
        else
            out[at++] = (char)c;
    }
    snprintf(out + at, 400 - at, "%s", at >= 380 ? "..." : "");
    return out;
}

char *talk_word(const char **at)
{
    while (**at == ' ')
        (*at)++;
    const char *from = *at;
    bool quoted = false;
    for (; **at != '\0' && (quoted || **at != ' '); (*at)++) {
        if (**at == '\\' && quoted && (*at)[1] != '\0')
            (*at)++;
        else if (**at == '"')
            quoted = !quoted;
    }
    return *at == from ? NULL : xstrndup(from, (size_t)(*at - from));
}

char *talk_value(const char *words, const char *key)
{
    size_t len = strlen(key);
    for (char *word; (word = talk_word(&words)) != NULL; free(word)) {
        if (strncmp(word, key, len) == 0 && word[len] == '=') {
            char *value = xstrdup(word + len + 1);
            free(word);
            return value;
        }
    }
    return NULL;
}
