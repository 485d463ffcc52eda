/* bus_key_zmq - a member's CURVE key pair, and the file that keeps its secret half; see bus_zmq.h
 *
 * The file is text: lines that begin with '#' (the public key is told in one), and the secret key in Z85. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zmq.h>

#include "base/file.h"
#include "base/panic.h"
#include "cluster/bus_zmq.h"

#define FILE_MAX 4096

void bus_key_make(struct bus_key *key_r)
{
    must(zmq_curve_keypair(key_r->public_key, key_r->secret_key) == 0);
}

static bool is_key(const char *line, size_t len)
{
    uint8_t bytes[32];
    char text[MEMBER_KEY_SIZE];
    if (len != MEMBER_KEY_SIZE - 1)
        return false;
    memcpy(text, line, len);
    text[len] = '\0';
    return zmq_z85_decode(bytes, text) != NULL;
}

static int read_key(const char *text, const char *file, struct bus_key *key_r, struct error *error)
{
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\r\n"), rest = strspn(line + len, "\r\n");
        if (len > 0 && line[0] != '#') {
            if (!is_key(line, len))
                break;
            memcpy(key_r->secret_key, line, len);
            key_r->secret_key[len] = '\0';
            must(zmq_curve_public(key_r->public_key, key_r->secret_key) == 0);
            return 0;
        }
        line += len + rest;
    }
    return error_set(error, "%s holds no secret key; make one with `todoku keygen FILE`", file);
}

static int check_file(int fd, const char *file, struct error *error)
{
    struct stat stat;
    if (fstat(fd, &stat) < 0)
        return error_set(error, "%s: %s", file, strerror(errno));
    if (!S_ISREG(stat.st_mode) || stat.st_size > FILE_MAX)
        return error_set(error, "%s is no key file; make one with `todoku keygen FILE`", file);
    if ((stat.st_mode & 077) != 0)
        return error_set(error,
            "%s may be read or written by others (mode %03o), and it holds a secret: run `chmod 600 %s`, or "
            "if "
            "others had access, make a new one with `todoku keygen`",
            file, (unsigned)(stat.st_mode & 0777), file);
    return 0;
}

int bus_key_load(const char *file, struct bus_key *key_r, struct error *error)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return error_set(error, "cannot read the secret key in %s: %s%s", file, strerror(errno),
            errno == ENOENT ? "; make one with `todoku keygen FILE`" : "");
    char text[FILE_MAX + 1];
    int result = check_file(fd, file, error);
    ssize_t len = result < 0 ? 0 : read(fd, text, FILE_MAX);
    if (len < 0)
        result = error_set(error, "%s: %s", file, strerror(errno));
    close(fd);
    if (result < 0)
        return -1;
    text[len] = '\0';
    result = read_key(text, file, key_r, error);
    explicit_bzero(text, sizeof text);
    return result;
}

int bus_key_save(const char *file, const struct bus_key *key, struct error *error)
{
    char text[512];
    int len = snprintf(text, sizeof text,
        "# The secret key of a member of a Todoku cluster; nobody but its owner may read it.\n"
        "# Public key: %s\n%s\n",
        key->public_key, key->secret_key);
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return error_set(error, "%s exists; a key is never overwritten: choose another name", file);
    if (fd < 0)
        return error_set(error, "cannot make %s: %s", file, strerror(errno));
    int result = file_write(fd, text, (size_t)len) == 0 ? fsync(fd) : -1, why = errno;
    explicit_bzero(text, sizeof text);
    if (close(fd) < 0 && result == 0) {
        result = -1;
        why = errno;
    }
    if (result == 0)
        return 0;
    unlink(file);
    return error_set(error, "cannot write %s: %s", file, strerror(why));
}
