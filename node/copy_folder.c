/* copy_folder - see copy_folder.h */
#include "node/copy_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "cluster/member_record.h"

#define USELESS "~useless"
#define ASIDE_MOST 1000

static int path_of(
    char path_r[PATH_MAX], const char *dir, const char *name, const char *suffix, struct error *error)
{
    if ((size_t)snprintf(path_r, PATH_MAX, "%s/%s%s", dir, name, suffix) >= PATH_MAX)
        return error_set(error, "%s/%s: the name is too long", dir, name);
    return 0;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t len = strlen(name), end = strlen(suffix);
    return len > end && strcmp(name + len - end, suffix) == 0;
}

/* What a spool or a note makes. */
static bool is_ours(const char *name)
{
    static const char *const names[] = {"lock", "disk", "whole", "note", "home"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return ends_with(name, ".seg") || ends_with(name, ".damaged") || ends_with(name, ".new");
}

static void sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* Its files, then itself. */
static int delete_all(const char *path, struct error *error)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return error_set(error, "%s can't be read: %s", path, strerror(errno));
    int status = 0;
    for (const struct dirent *entry; status == 0 && (entry = readdir(folder)) != NULL;)
        if (is_ours(entry->d_name) && unlinkat(dirfd(folder), entry->d_name, 0) != 0)
            status = error_set(error, "%s/%s can't be deleted: %s", path, entry->d_name, strerror(errno));
    closedir(folder);
    if (status == 0 && rmdir(path) != 0)
        status = error_set(error, "%s can't be deleted: %s", path, strerror(errno));
    return status;
}

int copy_folder_delete(const char *dir, const char *name, struct error *error)
{
    char path[PATH_MAX], gone[PATH_MAX];
    if (path_of(path, dir, name, "", error) != 0 || path_of(gone, dir, name, USELESS, error) != 0)
        return -1;
    if (copy_folder_id(gone).there && delete_all(gone, error) != 0)
        return -1;
    if (rename(path, gone) != 0)
        return error_set(error, "%s can't be renamed: %s", path, strerror(errno));
    sync_folder(dir);
    return delete_all(gone, error);
}

int copy_folder_set_aside(const char *dir, const char *name, char *path_r, size_t size, struct error *error)
{
    char path[PATH_MAX];
    if (path_of(path, dir, name, "", error) != 0)
        return -1;
    for (int number = 1; number <= ASIDE_MOST; number++) {
        if ((size_t)snprintf(path_r, size, "%s~%d", path, number) >= size)
            return error_set(error, "%s: the name is too long", path);
        if (copy_folder_id(path_r).there)
            continue;
        if (rename(path, path_r) != 0)
            return error_set(error, "%s can't be renamed: %s", path, strerror(errno));
        sync_folder(dir);
        return 0;
    }
    return error_set(error, "%s: %d are set aside already", path, ASIDE_MOST);
}

int copy_folder_make_room(const char *dir, const char *spool, struct error *error)
{
    char path[PATH_MAX], old[PATH_MAX];
    if (path_of(path, dir, spool, "", error) != 0 || path_of(old, dir, spool, COPY_FOLDER_OLD, error) != 0)
        return -1;
    if (rename(path, old) != 0)
        return error_set(error, "%s can't be renamed to %s: %s", path, old, strerror(errno));
    sync_folder(dir);
    return 0;
}

static bool is_old(const char *name, char spool_r[MEMBER_ID_SIZE])
{
    if (!ends_with(name, COPY_FOLDER_OLD))
        return false;
    snprintf(spool_r, MEMBER_ID_SIZE, "%.*s", (int)(strlen(name) - strlen(COPY_FOLDER_OLD)), name);
    return member_name_good(spool_r);
}

static void look_at(const char *dir, const char *name,
    void (*found)(void *context, const char *spool, bool old), void *context)
{
    char spool[MEMBER_ID_SIZE];
    struct error error;
    struct stat status;
    char path[PATH_MAX];
    if (path_of(path, dir, name, "", &error) != 0 || lstat(path, &status) != 0 || !S_ISDIR(status.st_mode))
        return;
    if (member_name_good(name))
        found(context, name, false);
    else if (is_old(name, spool))
        found(context, spool, true);
    else if (ends_with(name, USELESS) && delete_all(path, &error) != 0)
        log_warn(path, "%s", error.text);
}

int copy_folder_list(const char *dir, void (*found)(void *context, const char *spool, bool old),
    void *context, struct error *error)
{
    DIR *folder = opendir(dir);
    if (folder == NULL && errno == ENOENT)
        return 0;
    if (folder == NULL)
        return error_set(error, "%s can't be read: %s", dir, strerror(errno));
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        look_at(dir, entry->d_name, found, context);
    closedir(folder);
    return 0;
}

uint64_t copy_folder_free(const char *dir)
{
    struct statvfs system;
    char above[PATH_MAX];
    const char *slash = strrchr(dir, '/');
    snprintf(above, sizeof above, "%.*s", slash == NULL ? 1 : (int)(slash - dir), slash == NULL ? "." : dir);
    if (statvfs(dir, &system) != 0 && statvfs(above, &system) != 0)
        return 0;
    return (uint64_t)system.f_bavail * system.f_frsize;
}

struct copy_folder_id copy_folder_id(const char *path)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return (struct copy_folder_id){0};
    return (struct copy_folder_id){.there = true, .device = status.st_dev, .inode = status.st_ino};
}
