/* file - see file.h */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int file_write(int fd, const void *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, (const char *)bytes + done, len - done);
        if (n < 0 && errno != EINTR)
            return -1;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int write_beside(const char *beside, const void *bytes, size_t len, mode_t mode)
{
    if (unlink(beside) != 0 && errno != ENOENT)
        return -1;
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return -1;
    int status = file_write(fd, bytes, len) == 0 && fsync(fd) == 0 ? 0 : -1, why = errno;
    if (close(fd) != 0 && status == 0)
        return -1;
    errno = why;
    return status;
}

static int sync_folder(const char *file)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", file);
    int fd = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int status = fsync(fd), why = errno;
    close(fd);
    errno = why;
    return status;
}

int file_replace(const char *file, const void *bytes, size_t len, mode_t mode, struct error *error)
{
    char beside[PATH_MAX];
    if ((size_t)snprintf(beside, sizeof beside, "%s.new", file) >= sizeof beside)
        return error_set(error, "%s: the name is too long", file);
    if (write_beside(beside, bytes, len, mode) == 0 && rename(beside, file) == 0 && sync_folder(file) == 0)
        return 0;
    return error_set(error, "%s can't be written: %s", file, strerror(errno));
}
