/* hold_cache - see hold_cache.h */
#include "node/hold_cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

#define HEAD "todoku holds 1 "
#define MAX_FILE ((size_t)200 << 20) /* HOLD_MAX of the longest records, with room */

int hold_cache_write(const char *file, const struct holds *holds, usec_t told, struct error *error)
{
    struct buffer text = {0}, record = {0};
    buffer_printf(&text, HEAD "%lld\n", (long long)told);
    for (size_t i = 0; i < holds_count(holds); i++) {
        buffer_clear(&record);
        hold_write(holds_at(holds, i), &record);
        buffer_printf(&text, "%s %s\n", holds_at(holds, i)->id, buffer_text(&record));
    }
    buffer_free(&record);
    int rc = file_replace(file, buffer_bytes(&text), buffer_len(&text), 0640, error);
    buffer_free(&text);
    return rc;
}

static int read_line(const char *line, size_t len, struct holds *holds, struct error *error)
{
    char id[HOLD_ID_SIZE];
    const char *space = memchr(line, ' ', len < sizeof id ? len : sizeof id);
    if (space == NULL || (size_t)(space - line) >= sizeof id)
        return error_set(error, "a line begins with no id");
    memcpy(id, line, (size_t)(space - line));
    id[space - line] = '\0';
    return holds_read(holds, id, space + 1, len - (size_t)(space + 1 - line), error);
}

static int read_text(struct buffer *text, struct holds *holds, usec_t *told_r, struct error *error)
{
    const char *at = buffer_text(text), *end = at + buffer_len(text);
    char *after;
    if (strncmp(at, HEAD, strlen(HEAD)) != 0)
        return error_set(error, "it does not begin with \"" HEAD "\"");
    *told_r = strtoll(at + strlen(HEAD), &after, 10);
    for (at = after; at < end && *at == '\n'; at = after) {
        const char *line = at + 1, *stop = line == end ? NULL : memchr(line, '\n', (size_t)(end - line));
        after = (char *)(stop == NULL ? end : stop);
        if (stop != NULL && read_line(line, (size_t)(stop - line), holds, error) != 0)
            return -1;
    }
    return 0;
}

static int read_file(const char *file, struct buffer *text, usec_t *written_r, struct error *error)
{
    struct stat st;
    FILE *in = fopen(file, "rbe");
    if (in == NULL)
        return errno == ENOENT ? 1 : error_set(error, "%s can't be read: %s", file, strerror(errno));
    if (fstat(fileno(in), &st) == 0)
        *written_r = (usec_t)st.st_mtime * USEC_SEC;
    for (size_t n = 1; n > 0 && buffer_len(text) <= MAX_FILE;) {
        n = fread(buffer_room(text, 65536), 1, 65536, in);
        buffer_added(text, n);
    }
    bool broken = ferror(in) != 0 || buffer_len(text) > MAX_FILE;
    fclose(in);
    return broken ? error_set(error, "%s can't be read to its end", file) : 0;
}

int hold_cache_read(
    const char *file, struct holds **holds_r, usec_t *told_r, usec_t *written_r, struct error *error)
{
    struct buffer text = {0};
    *holds_r = holds_new();
    *told_r = *written_r = 0;
    int rc = read_file(file, &text, written_r, error);
    if (rc == 0 && read_text(&text, *holds_r, told_r, error) != 0)
        rc = error_prefix(error, "%s is damaged", file);
    buffer_free(&text);
    return rc > 0 ? 0 : rc;
}
