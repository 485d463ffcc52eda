/* keys_file - the file of keys: read whole, changed by replacing it (see keys.h) */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/map.h"
#include "cluster/settings_read.h"
#include "coordinator/keys_inside.h"

#define MAX_FILE ((size_t)KEYS_MAX * 256)
#define FORM "ID tenant:NAME|admin CREATED SALT HASH"

/* --- one line --- */

static bool hex_read(const char *text, uint8_t *out, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != 2 * len)
        return false;
    for (size_t i = 0; i < 2 * len; i++) {
        const char *digit = strchr(digits, text[i]);
        if (digit == NULL)
            return false;
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | (uint8_t)(digit - digits));
    }
    return true;
}

/* The words of a line without its end; false if it isn't of the form. */
static bool line_read(char *line, struct key *key)
{
    char *words[5], *rest = line;
    uint8_t id[6] = {0};
    size_t count = 0;
    for (char *word; (word = strsep(&rest, " \t")) != NULL;) {
        if (*word == 0)
            continue;
        if (count == 5)
            return false;
        words[count++] = word;
    }
    if (count != 5 || !hex_read(words[0], id, sizeof id) || strlen(words[2]) >= sizeof key->created ||
        !hex_read(words[3], key->salt, sizeof key->salt) || !hex_read(words[4], key->hash, sizeof key->hash))
        return false;
    bool admin = strcmp(words[1], "admin") == 0;
    if (!admin && (strncmp(words[1], "tenant:", 7) != 0 || !settings_name_ok(words[1] + 7)))
        return false;
    snprintf(key->id, sizeof key->id, "%s", words[0]);
    snprintf(key->tenant, sizeof key->tenant, "%s", admin ? "" : words[1] + 7);
    snprintf(key->created, sizeof key->created, "%s", words[2]);
    return true;
}

static void line_write(struct buffer *out, const struct key *key)
{
    buffer_printf(
        out, "%s %s%s %s ", key->id, key->tenant[0] == 0 ? "admin" : "tenant:", key->tenant, key->created);
    for (size_t i = 0; i < sizeof key->salt; i++)
        buffer_printf(out, "%02x", key->salt[i]);
    buffer_add_text(out, " ");
    for (size_t i = 0; i < sizeof key->hash; i++)
        buffer_printf(out, "%02x", key->hash[i]);
    buffer_add_text(out, "\n");
}

/* --- the whole file --- */

static int lines_read(const char *file, char *text, struct key_table *table, struct error *error)
{
    struct map seen = {0};
    int result = 0;
    unsigned number = 0;
    size_t size = 0;
    for (char *line; result == 0 && (line = strsep(&text, "\n")) != NULL;) {
        struct key key = {{0}, {0}, {0}, {0}, {0}};
        number++;
        if (line[strspn(line, " \t")] == 0 || line[0] == '#')
            continue;
        if (table->count == KEYS_MAX) {
            result = error_set(error, "%s:%u: more than %d keys; revoke some", file, number, KEYS_MAX);
            break;
        }
        if (!line_read(line, &key)) {
            result = error_set(error,
                "%s:%u: this line is no key; write `" FORM "`, or let `todoku key add` do it", file, number);
            break;
        }
        if (map_set_text(&seen, key.id, table) != NULL)
            result =
                error_set(error, "%s:%u: the key %s is there twice; delete one line", file, number, key.id);
        if (table->count == size) {
            size = size == 0 ? 16 : size * 2;
            table->items = xrealloc(table->items, size * sizeof *table->items);
        }
        table->items[table->count++] = key;
    }
    map_free(&seen);
    return result;
}

static int file_check(const char *file, int fd, struct stat *stat_r, struct error *error)
{
    if (fstat(fd, stat_r) != 0)
        return error_set(error, "%s: %s", file, strerror(errno));
    if (!S_ISREG(stat_r->st_mode))
        return error_set(error, "%s: this is no plain file; name a file of keys", file);
    if ((stat_r->st_mode & 077) != 0)
        return error_set(error, "%s: others may read it (mode %03o); do: chmod 600 %s", file,
            (unsigned)stat_r->st_mode & 0777, file);
    if (stat_r->st_size > (off_t)MAX_FILE)
        return error_set(error, "%s: larger than %zu MiB; this is no file of keys", file, MAX_FILE >> 20);
    return 0;
}

static int table_read_fd(
    const char *file, int fd, struct stat *stat_r, struct key_table *table, struct error *error)
{
    struct buffer text = {0};
    ssize_t got = 1;
    if (file_check(file, fd, stat_r, error) != 0)
        return -1;
    while (got > 0 && buffer_len(&text) <= MAX_FILE) {
        do
            got = read(fd, buffer_room(&text, 65536), 65536);
        while (got < 0 && errno == EINTR);
        if (got > 0)
            buffer_added(&text, (size_t)got);
    }
    int result = 0;
    if (got < 0)
        result = error_set(error, "%s: cannot be read: %s", file, strerror(errno));
    else if (memchr(buffer_bytes(&text), 0, buffer_len(&text)) != NULL)
        result = error_set(error, "%s: this is no text; name a file of keys", file);
    if (result == 0) {
        size_t len;
        char *copy = buffer_steal(&text, &len);
        result = lines_read(file, copy, table, error);
        free(copy);
    }
    buffer_free(&text);
    if (result != 0)
        key_table_free(table);
    return result;
}

int key_table_read(const char *file, struct key_table *table_r, struct error *error)
{
    struct stat stat;
    *table_r = (struct key_table){NULL, 0};
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return error_set(error,
            "%s: there is no such file; make a key: todoku key add --keys-file %s --admin", file, file);
    if (fd < 0)
        return error_set(error, "%s: cannot be opened: %s", file, strerror(errno));
    int result = table_read_fd(file, fd, &stat, table_r, error);
    close(fd);
    return result;
}

void key_table_free(struct key_table *table)
{
    free(table->items);
    *table = (struct key_table){NULL, 0};
}

/* --- changing it --- */

/* An open change: the folder is locked until change_end(). */
struct change {
    const char *file;
    char *temporary;
    int folder;
    bool existed;
    struct stat stat;
    struct key_table table;
};

static int change_begin(struct change *change, const char *file, struct error *error)
{
    const char *slash = strrchr(file, '/');
    char *folder = slash == NULL ? xstrdup(".") : xstrndup(file, (size_t)(slash - file) + 1);
    *change = (struct change){.file = file};
    change->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = 0;
    if (change->folder < 0 || flock(change->folder, LOCK_EX) != 0)
        result = error_set(error, "%s: its folder cannot be opened: %s", file, strerror(errno));
    free(folder);
    if (result != 0)
        return -1;
    change->temporary = xcalloc(1, strlen(file) + 5);
    snprintf(change->temporary, strlen(file) + 5, "%s.new", file);
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_set(error, "%s: cannot be opened: %s", file, strerror(errno));
    change->existed = true;
    result = table_read_fd(file, fd, &change->stat, &change->table, error);
    close(fd);
    return result;
}

static void change_end(struct change *change)
{
    if (change->folder >= 0)
        close(change->folder);
    free(change->temporary);
    key_table_free(&change->table);
}

/* The new file beside the old one, on the disk. A left-over of a change that was killed is replaced: the lock
 * says that nobody is writing it. */
static int temporary_write(struct change *change, const struct buffer *text)
{
    if (unlink(change->temporary) != 0 && errno != ENOENT)
        return -1;
    int fd = open(change->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    bool moved = change->existed && (change->stat.st_uid != geteuid() || change->stat.st_gid != getegid());
    int result = file_write(fd, buffer_bytes(text), buffer_len(text));
    if (result == 0 && moved)
        result = fchown(fd, change->stat.st_uid, change->stat.st_gid);
    if (result == 0)
        result = fsync(fd);
    if (close(fd) != 0)
        result = -1;
    return result;
}

static int change_commit(struct change *change, struct error *error)
{
    struct buffer text = {0};
    buffer_add_text(
        &text, "# Keys of todoku: " FORM "\n# Hashes, no secrets; change it with `todoku key`.\n");
    for (size_t i = 0; i < change->table.count; i++)
        line_write(&text, &change->table.items[i]);
    int result = temporary_write(change, &text);
    if (result == 0)
        result = rename(change->temporary, change->file);
    if (result == 0)
        result = fsync(change->folder);
    int why = errno;
    buffer_free(&text);
    if (result == 0)
        return 0;
    unlink(change->temporary);
    return error_set(error, "%s: cannot be written: %s", change->file, strerror(why));
}

int key_add(const char *file, const char *tenant, usec_t now, char secret_r[KEY_SECRET_SIZE],
    struct key *key_r, struct error *error)
{
    struct change change;
    int result = change_begin(&change, file, error);
    if (result == 0 && tenant[0] != 0 && !settings_name_ok(tenant))
        result = error_set(error, "`%.80s` is no tenant's name", tenant);
    if (result == 0 && change.table.count == KEYS_MAX)
        result = error_set(error, "%s: it holds %d keys already; revoke some", file, KEYS_MAX);
    if (result == 0) {
        struct key_table *table = &change.table;
        key_make(tenant, now, secret_r, key_r);
        table->items = xrealloc(table->items, (table->count + 1) * sizeof *table->items);
        table->items[table->count++] = *key_r;
        result = change_commit(&change, error);
        if (result != 0)
            key_wipe(secret_r, KEY_SECRET_SIZE);
    }
    change_end(&change);
    return result;
}

int key_revoke(const char *file, const char *id, const char *tenant, size_t *count_r, struct error *error)
{
    struct change change;
    int result = change_begin(&change, file, error);
    size_t kept = 0;
    *count_r = 0;
    for (size_t i = 0; result == 0 && i < change.table.count; i++) {
        struct key *key = &change.table.items[i];
        bool meant = (id != NULL || tenant != NULL) && (id == NULL || strcmp(id, key->id) == 0) &&
                     (tenant == NULL || strcmp(tenant, key->tenant) == 0);
        if (meant)
            (*count_r)++;
        else
            change.table.items[kept++] = *key;
    }
    change.table.count = kept;
    if (result == 0 && *count_r == 0)
        result =
            error_set(error, "%s: there is no such key; see: todoku key list --keys-file %s", file, file);
    else if (result == 0)
        result = change_commit(&change, error);
    change_end(&change);
    return result;
}
