/* home - see home.h */
#include "node/home.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "cluster/member_record.h"
#include "node/copy_note.h"

#define HOME_HEAD "todoku-home 1\nspool "
#define DIGITS 8

/* ---- the file ---- */

static int parse(const char *text, size_t len, char spool_r[MEMBER_ID_SIZE])
{
    size_t head = strlen(HOME_HEAD);
    if (len <= head + 1 || len - head - 1 >= MEMBER_ID_SIZE || memcmp(text, HOME_HEAD, head) != 0 ||
        text[len - 1] != '\n')
        return -1;
    memcpy(spool_r, text + head, len - head - 1);
    spool_r[len - head - 1] = '\0';
    return strlen(spool_r) == len - head - 1 && member_name_good(spool_r) ? 0 : -1;
}

int home_read(const char *dir, char spool_r[MEMBER_ID_SIZE], struct error *error)
{
    char path[PATH_MAX], text[2 * MEMBER_ID_SIZE];
    spool_r[0] = '\0';
    snprintf(path, sizeof path, "%s/" HOME_FILE, dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text);
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (len < 0)
        return error_set(error, "%s can't be read: %s", path, strerror(why));
    if (parse(text, (size_t)len, spool_r) == 0)
        return 0;
    spool_r[0] = '\0';
    return error_set(error,
        "%s is not what Todoku wrote: it says which spool the log beside it is of. If you know that (it is "
        "in "
        "etcd, under spool/: the one whose `disk` is the id in the file `disk` here), write two lines into "
        "it: "
        "\"todoku-home 1\" and \"spool NAME\"",
        path);
}

int home_write(const char *dir, const char *spool, struct error *error)
{
    char path[PATH_MAX], text[2 * MEMBER_ID_SIZE];
    int len = snprintf(text, sizeof text, HOME_HEAD "%s\n", spool);
    snprintf(path, sizeof path, "%s/" HOME_FILE, dir);
    return file_replace(path, text, (size_t)len, 0600, error);
}

/* A node's name may leave too little room: the digits alone make the difference. */
void home_name(const char *node, const char *disk, char spool_r[MEMBER_ID_SIZE])
{
    int room = MEMBER_ID_SIZE - 2 - DIGITS - 1;
    snprintf(spool_r, MEMBER_ID_SIZE, "%.*s.%.*s", room, node, DIGITS, disk);
}

/* ---- setting aside ---- */

struct places {
    char spool[PATH_MAX], copies[PATH_MAX], aside[PATH_MAX];
};

static int sync_folder(const char *dir, struct error *error)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int status = fd < 0 ? -1 : fsync(fd);
    if (status != 0)
        error_set(error, "%s can't be synced: %s", dir, strerror(errno));
    if (fd >= 0)
        close(fd);
    return status;
}

static int make_folder(const char *dir, struct error *error)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return error_set(error, "%s can't be made: %s", dir, strerror(errno));
    return 0;
}

static int move(const struct places *places, struct error *error)
{
    if (rename(places->spool, places->aside) == 0)
        return 0;
    return error_set(error,
        "the spool in %s was taken over, and can't be set aside as %s: %s. Stop this node, move it "
        "somewhere else yourself, and start the node again",
        places->spool, places->aside, strerror(errno));
}

static int step(
    const struct home_aside *aside, const struct places *places, enum home_step step, struct error *error)
{
    switch (step) {
    case HOME_FOLDER:
        return make_folder(places->copies, error);
    case HOME_NOTE:
        return copy_note_save(places->spool, aside->note, error);
    case HOME_MOVE:
        return move(places, error);
    case HOME_SYNC:
        return sync_folder(places->copies, error) == 0 ? sync_folder(aside->data_dir, error) : -1;
    }
    return 0;
}

int home_set_aside(const struct home_aside *aside, struct error *error)
{
    struct places places;
    enum home_step end = aside->last == 0 ? HOME_SYNC : aside->last;
    snprintf(places.spool, sizeof places.spool, "%.3900s/spool", aside->data_dir);
    snprintf(places.copies, sizeof places.copies, "%.3900s/copies", aside->data_dir);
    snprintf(places.aside, sizeof places.aside, "%.3900s/copies/%s", aside->data_dir, aside->note->spool);
    for (enum home_step at = HOME_FOLDER; at <= end; at++)
        if (step(aside, &places, at, error) != 0)
            return -1;
    return 0;
}
