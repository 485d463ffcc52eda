/* disk - what this disk can do at best: bodies appended in groups, each group synced
 *
 *   disk FOLDER SIZE GROUP SECONDS
 *
 * Appends GROUP bodies of SIZE bytes in one write, calls fdatasync, and again, for SECONDS, into one file
 * that is removed at the end. Prints `N bodies/s, S syncs/s`. That is the most that any server may accept
 * honestly with GROUP clients who each wait for their 250, since it syncs before it answers: no matching, no
 * second write, no reading. The file grows all the time, as a log does. Errors: status 2 and a sentence. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    char path[1024];
    if (argc != 5 || atol(argv[2]) < 1 || atol(argv[3]) < 1) {
        fputs("usage: disk FOLDER SIZE GROUP SECONDS\n", stderr);
        return 2;
    }
    size_t group = (size_t)atol(argv[3]), length = (size_t)atol(argv[2]) * group;
    double seconds = atof(argv[4]);
    snprintf(path, sizeof path, "%s/disk-bound.%ld", argv[1], (long)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    char *bytes = malloc(length);
    if (fd < 0 || !bytes) {
        fprintf(stderr, "disk: cannot write %s: %s\n", path, strerror(errno));
        exit(2);
    }
    unlink(path);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)('!' + (i * 7919 + i / 64) % 90);
    size_t syncs = 0;
    double start = now(), end = start;
    for (; end - start < seconds; end = now(), syncs++) {
        /* A file of more than 1 GiB begins anew, as logs are cut into segments. */
        if (syncs * length > (1UL << 30) && lseek(fd, 0, SEEK_CUR) > (1L << 30) &&
            (ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET)))
            exit(2);
        for (size_t done = 0; done < length;) {
            ssize_t n = write(fd, bytes + done, length - done);
            if (n < 0 && errno != EINTR) {
                fprintf(stderr, "disk: cannot write %s: %s\n", path, strerror(errno));
                exit(2);
            }
            done += n > 0 ? (size_t)n : 0;
        }
        if (fdatasync(fd)) {
            fprintf(stderr, "disk: cannot sync %s: %s\n", path, strerror(errno));
            exit(2);
        }
    }
    printf("%.1f bodies/s, %.1f syncs/s\n", (double)(syncs * group) / (end - start),
        (double)syncs / (end - start));
    free(bytes);
    return 0;
}
