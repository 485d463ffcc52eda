/* bench_spool - what the spool costs beside plain writing
 *
 * bench_spool [DIR [SECONDS [BODY]]]: for SECONDS each (default 2) appends bodies of BODY bytes (default
 * 10240) in DIR (default: a folder under /tmp, which should be a real disk): plainly with write and
 * fdatasync, then through the spool with 1, 8 and 64 outstanding: bodies that are all different, and bodies
 * of one text. Prints appends a second, the ratio to plain, CPU time an append of the whole process, frames a
 * sync and bytes a frame. Trust the ratios; what a sync costs is the disk's affair. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "node/spool.h"
#include "tests/bench/bench_help.h"

#define RECORD 300
#define HEAD 600

struct bench {
    char dir[512];
    struct spool *spool;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint64_t committed;
    bool failed;
};

static double report(
    const char *what, uint64_t count, usec_t wall, usec_t cpu, double plain, uint64_t syncs, uint64_t bytes)
{
    double rate = (double)count * 1e6 / (double)wall;
    printf("%-19s %8.0f appends/s %6.2f x plain %7.1f us CPU/append %6.1f frames/sync %7.0f bytes/frame\n",
        what, rate, plain > 0 ? rate / plain : 1.0, (double)cpu / (double)count,
        (double)count / (double)syncs, (double)bytes / (double)count);
    return rate;
}

static double bench_plain(const struct bench *bench, const char *body, size_t len, usec_t seconds)
{
    char path[600];
    snprintf(path, sizeof path, "%s/plain", bench->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    usec_t start = clock_now(), cpu = bench_cpu();
    uint64_t count = 0;
    while (clock_now() - start < seconds * USEC_SEC) {
        if (fd < 0 || write(fd, body, len) != (ssize_t)len || fdatasync(fd) < 0) {
            perror(path);
            exit(1);
        }
        count++;
    }
    double rate = report("plain", count, clock_now() - start, bench_cpu() - cpu, 0, count, count * len);
    close(fd);
    unlink(path);
    return rate;
}

static void on_committed(void *context, uint64_t seq)
{
    struct bench *bench = context;
    pthread_mutex_lock(&bench->lock);
    bench->committed = seq;
    pthread_cond_signal(&bench->moved);
    pthread_mutex_unlock(&bench->lock);
}

static void on_failed(void *context, const char *why)
{
    struct bench *bench = context;
    fprintf(stderr, "%s\n", why);
    pthread_mutex_lock(&bench->lock);
    bench->failed = true;
    pthread_cond_signal(&bench->moved);
    pthread_mutex_unlock(&bench->lock);
}

static void wait_for(struct bench *bench, uint64_t seq)
{
    pthread_mutex_lock(&bench->lock);
    while (bench->committed < seq && !bench->failed)
        pthread_cond_wait(&bench->moved, &bench->lock);
    pthread_mutex_unlock(&bench->lock);
    if (bench->failed)
        exit(1);
}

/* As it comes from the network: a block of its own, a header of its own. */
static struct blob *body_of(uint64_t seq, size_t len, bool one_text)
{
    char *bytes = malloc(len + 1);
    if (bytes == NULL)
        exit(1);
    memset(bytes, 'b', len + 1);
    bytes[len] = '\0';
    if (len > HEAD + 16) {
        memcpy(bytes, &seq, sizeof seq);
        memcpy(bytes + HEAD - 4, "\r\n\r\n", 4);
        if (!one_text)
            memcpy(bytes + len - sizeof seq, &seq, sizeof seq);
    }
    return blob_take(bytes, len);
}

static void bench_flight(
    struct bench *bench, size_t len, bool one_text, uint64_t flight, usec_t seconds, double plain)
{
    char what[64], record[RECORD];
    struct buffer buffer = {0};
    memset(record, 'r', sizeof record);
    uint64_t first = spool_last_seq(bench->spool) + 1, seq = first;
    uint64_t written = 0;
    struct spool_figures before = spool_figures(bench->spool);
    usec_t start = clock_now(), cpu = bench_cpu();
    for (; clock_now() - start < seconds * USEC_SEC; seq++) {
        buffer_add(&buffer, record, sizeof record);
        struct blob *body = body_of(seq, len, one_text);
        spool_append(bench->spool, seq, &buffer, body, true);
        blob_drop(&body);
        written += RECORD + len;
        if (seq > first + 1000)
            spool_release(bench->spool, seq - 1000);
        if (seq >= first + flight)
            wait_for(bench, seq + 1 - flight);
    }
    wait_for(bench, seq - 1);
    struct spool_figures after = spool_figures(bench->spool);
    written -= after.saved - before.saved;
    snprintf(what, sizeof what, "spool, %d%s", (int)flight, one_text ? ", one text" : "");
    report(what, seq - first, clock_now() - start, bench_cpu() - cpu, plain, after.syncs - before.syncs,
        written);
    for (uint64_t i = first; i < seq; i++)
        spool_release(bench->spool, i);
    buffer_free(&buffer);
}

int main(int argc, char **argv)
{
    struct bench bench = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER, .dir = ""};
    snprintf(bench.dir, sizeof bench.dir, "%s/bench-spool-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    usec_t seconds = argc > 2 ? atoi(argv[2]) : 2;
    size_t len = argc > 3 ? (size_t)atoi(argv[3]) : 10240;
    if (mkdtemp(bench.dir) == NULL || seconds < 1) {
        fprintf(stderr, "usage: %s [DIR [SECONDS [BODY]]]\n", argv[0]);
        return 2;
    }
    char *bytes = malloc(len + 1);
    memset(bytes, 'b', len);
    bytes[len] = '\0';
    double plain = bench_plain(&bench, bytes, len, seconds);
    free(bytes);
    struct spool_settings settings = {.dir = bench.dir};
    struct spool_listener listener = {&bench, on_committed, on_failed};
    struct error error;
    bench.spool = spool_open(&settings, &listener, NULL, &error);
    if (bench.spool == NULL) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    for (uint64_t flight = 1; flight <= 64; flight *= 8)
        for (int one_text = 0; one_text <= 1; one_text++)
            bench_flight(&bench, len, one_text == 1, flight, seconds, plain);
    spool_close(&bench.spool);
    bench_remove(bench.dir);
    return 0;
}
