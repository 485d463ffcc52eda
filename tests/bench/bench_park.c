/* bench_park - what it costs to park messages, to wake them and to see their end, beside appending them to the log
 *
 * bench_park [DIR [MESSAGES [waiting|shuffled|ready]]]: in DIR (default: a folder under /tmp, which should be a
 * real disk), with MESSAGES (default 1,000,000) rows of 200 to 300 bytes of which half is text that repeats:
 *
 *     log      their records are appended to a log, no body, one after another
 *     park     rows are put and deliveries counted, 100 messages a commit
 *     start    the table is closed and opened, what a start wants to know is read
 *     counts   the queues' numbers are read
 *     wake     100 at a time: ids are looked up in order, their rows got, and removed again as ended
 *
 * `waiting`: due dates of a retry after 15 minutes with a fifth of jitter, while 1,000 messages a second are
 * parked, woken by the agenda; `shuffled`: drawn from a day, which is what a table has to fear. `ready`: each
 * stands under one of 1,000 backlogs, drawn, which are woken in turn. Queues: 10,000, drawn. Flushes as a
 * checkpoint does, every 200,000. Prints messages a second, CPU time of the whole process a message and its
 * ratio to the log's, what RSS has come to (the process keeps little else), bytes on disk a message. Trust the
 * ratios. */
#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/random.h"
#include "node/park.h"
#include "node/park_rocks.h"
#include "node/spool.h"
#include "tests/bench/bench_help.h"

#define BATCH 100
#define CHECKPOINT 200000
#define ROW_MAX 300
#define BACKLOGS 1000
#define QUEUES 10000

struct bench {
    char dir[400], table_dir[420], spool_dir[420];
    uint64_t messages;
    bool shuffled, ready;
    struct park_table table;
    struct park *park;
    struct park_mark marks[BACKLOGS];
    uint64_t counted; /* deliveries, by the table */
    usec_t began, cpu_began;
    double log_cpu; /* a message */
};

static void check(int outcome, const struct error *why)
{
    if (outcome >= 0)
        return;
    fprintf(stderr, "%s\n", why->text);
    exit(1);
}

static double rss_mib(const char *what)
{
    char line[128];
    long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, what, strlen(what)) == 0)
            kib = strtol(line + strlen(what), NULL, 10);
    if (file != NULL)
        fclose(file);
    return (double)kib / 1024;
}

static uint64_t bytes_in(const char *path)
{
    uint64_t bytes = 0;
    DIR *dir = opendir(path);
    struct stat info;
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        if (fstatat(dirfd(dir), entry->d_name, &info, 0) == 0 && S_ISREG(info.st_mode))
            bytes += (uint64_t)info.st_blocks * 512;
    if (dir != NULL)
        closedir(dir);
    return bytes;
}

static void begin(struct bench *bench)
{
    bench->began = clock_now();
    bench->cpu_began = bench_cpu();
}

static void report(struct bench *bench, const char *what, const char *dir)
{
    usec_t wall = clock_now() - bench->began;
    double count = (double)bench->messages, cpu = (double)(bench_cpu() - bench->cpu_began) / count;
    if (bench->log_cpu <= 0)
        bench->log_cpu = cpu;
    printf("%-8s %9.0f messages/s %7.2f us CPU/message %6.2f x log %7.1f MiB RSS (peak %.1f) %7.1f "
           "bytes/message\n",
        what, count * 1e6 / (double)wall, cpu, cpu / bench->log_cpu, rss_mib("VmRSS:"), rss_mib("VmHWM:"),
        (double)bytes_in(dir) / count);
    fflush(stdout);
}

/* ---- messages: all that is known of one follows from its number ---- */

static void write_number(unsigned char *out, uint64_t number)
{
    for (int i = 7; i >= 0; i--, number >>= 8)
        out[i] = (unsigned char)number;
}

static void make_id(uint64_t number, unsigned char id[16])
{
    struct random random = {number};
    write_number(id, (1700000000000 + number) << 16 | 0x7000);
    write_number(id + 8, random_next(&random));
}

static uint64_t due_of(const struct bench *bench, uint64_t number)
{
    struct random random = {number * 3};
    uint64_t jitter = random_below(&random, bench->shuffled ? USEC_DAY : 3 * USEC_MIN);
    return (bench->shuffled ? 0 : number * 1000 + 15 * (uint64_t)USEC_MIN) + jitter;
}

static size_t make_row(uint64_t number, unsigned char row[ROW_MAX])
{
    static const char text[] = "sender@customers.example recipient@provider.example mx1.provider.example "
                               "451 4.7.1 try again later; campaign spring tenant acme";
    struct random random = {number * 7};
    size_t len = 200 + random_below(&random, ROW_MAX - 200);
    write_number(row, number);
    memcpy(row + 8, text, sizeof text);
    for (size_t at = 8 + sizeof text; at < len; at++)
        row[at] = (unsigned char)random_next(&random);
    return len;
}

struct message {
    struct custody_row row;
    struct row_place place;
    char queue[48];
    size_t queue_len;
    unsigned char bytes[ROW_MAX];
};

/* The bytes begin with the number. */
static void make_message(const struct bench *bench, uint64_t number, struct message *message)
{
    struct random random = {number * 5};
    uint64_t queue = random_below(&random, QUEUES);
    message->place =
        (struct row_place){queue % BACKLOGS * 0x9e3779b97f4a7c15u, 1700000000000000 + number * 1000};
    message->row = (struct custody_row){.base_seq = number,
        .last_seq = number,
        .due = (usec_t)due_of(bench, number),
        .open_count = 1,
        .places = &message->place,
        .place_count = bench->ready,
        .bytes = message->bytes};
    make_id(number, message->row.id.bytes);
    message->queue_len = (size_t)snprintf(
        message->queue, sizeof message->queue, "1acme%cspring%c%cd%u.example", 0, 0, 0, (unsigned)queue);
}

/* ---- the parts ---- */

static void bench_log(struct bench *bench)
{
    struct spool_settings settings = {.dir = bench->spool_dir};
    struct error why;
    struct buffer record = {0};
    unsigned char row[ROW_MAX];
    struct spool *spool = spool_open(&settings, &(struct spool_listener){.context = NULL}, NULL, &why);
    check(spool == NULL ? -1 : 0, &why);
    begin(bench);
    for (uint64_t i = 1; i <= bench->messages; i++) {
        buffer_add(&record, row, make_row(i, row));
        spool_append(spool, i, &record, NULL, true);
        while (i % BATCH == 0 && spool_figures(spool).pending > (4u << 20))
            usleep(100);
    }
    spool_close(&spool);
    report(bench, "log", bench->spool_dir);
    buffer_free(&record);
}

static void flush(const struct bench *bench)
{
    struct error why;
    check(bench->table.flush(bench->table.context, &why), &why);
}

static void commit(const struct bench *bench, bool checkpoint)
{
    if (!park_commit(bench->park)) {
        fprintf(stderr, "%s\n", park_trouble(bench->park));
        exit(1);
    }
    if (checkpoint)
        flush(bench);
}

static void bench_parking(struct bench *bench)
{
    struct message message;
    begin(bench);
    for (uint64_t i = 1; i <= bench->messages; i++) {
        make_message(bench, i, &message);
        message.row.len = make_row(i, message.bytes);
        park_row_put(bench->park, &message.row, NULL);
        park_count(bench->park, message.queue, message.queue_len, 1);
        if (i % BATCH == 0)
            commit(bench, i % CHECKPOINT == 0);
    }
    flush(bench);
    report(bench, "park", bench->table_dir);
}

/* Of a custody only the counters are used. */
static void open_park(struct bench *bench)
{
    const struct custody_ports ports = {.context = bench};
    struct custody *custody = custody_new("bench", "bench", 1, &ports);
    struct park_start start;
    struct error why;
    bench->park = park_new(&bench->table);
    check(park_open(bench->park, "disk", "bench", UINT64_MAX - 1, custody, &start, &why), &why);
    free(start.living);
    custody_free(&custody);
}

static void open_table(struct bench *bench, struct park_rocks **rocks)
{
    struct park_rocks_settings settings = {.dir = bench->table_dir};
    struct error why;
    *rocks = park_rocks_open(&settings, &why);
    check(*rocks == NULL ? -1 : 0, &why);
    bench->table = park_rocks_table(*rocks);
    open_park(bench);
}

static void bench_start(struct bench *bench, struct park_rocks **rocks)
{
    begin(bench);
    park_free(&bench->park);
    park_rocks_close(rocks);
    open_table(bench, rocks);
    report(bench, "start", bench->table_dir);
}

static void add_count(void *with, const void *queue_key, size_t len, uint64_t count)
{
    struct bench *bench = with;
    (void)queue_key, (void)len;
    bench->counted += count;
}

static void bench_counts(struct bench *bench)
{
    struct error why;
    begin(bench);
    bench->counted = 0;
    check(park_counts(bench->park, add_count, bench, &why), &why);
    report(bench, "counts", bench->table_dir);
    if (bench->counted != bench->messages)
        fprintf(stderr, "%llu deliveries were counted\n", (unsigned long long)bench->counted);
}

static void wake(struct bench *bench, const struct mail_id *id, struct buffer *row)
{
    struct message message;
    uint64_t number = 0;
    buffer_clear(row);
    check(park_row_get(bench->park, id, row) == 1 ? 0 : -1, &(struct error){"a row is missing"});
    for (size_t i = 0; i < 8; i++)
        number = number << 8 | (unsigned char)buffer_bytes(row)[i];
    make_message(bench, number, &message);
    park_row_remove(bench->park, &message.row);
    park_count(bench->park, message.queue, message.queue_len, -1);
}

/* The next ids to be woken. */
static size_t look(struct bench *bench, uint64_t round, struct mail_id ids[BATCH])
{
    bool more;
    size_t which = round % BACKLOGS;
    if (!bench->ready)
        return park_agenda(bench->park, USEC_NEVER - 1, ids, BATCH);
    return park_backlog_next(
        bench->park, which * 0x9e3779b97f4a7c15u, &bench->marks[which], ids, BATCH, &more);
}

static void bench_waking(struct bench *bench)
{
    struct mail_id ids[BATCH];
    struct buffer row = {0};
    usec_t longest = 0;
    uint64_t round = 0, flushed = 0;
    begin(bench);
    for (uint64_t done = 0; done < bench->messages; round++) {
        usec_t start = clock_now();
        size_t count = look(bench, round, ids);
        check(count > 0 || bench->ready ? 0 : -1, &(struct error){"the agenda ended too early"});
        for (size_t i = 0; i < count; i++)
            wake(bench, &ids[i], &row);
        done += count;
        commit(bench, done / CHECKPOINT > flushed);
        flushed = done / CHECKPOINT;
        if (clock_now() - start > longest)
            longest = clock_now() - start;
    }
    flush(bench);
    report(bench, "wake", bench->table_dir);
    printf("the longest step of %d took %.1f ms\n", BATCH, (double)longest / 1000);
    buffer_free(&row);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    const char *how = argc > 3 ? argv[3] : "waiting";
    struct error why;
    bench.messages = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    bench.shuffled = strcmp(how, "shuffled") == 0;
    bench.ready = strcmp(how, "ready") == 0;
    bench.messages -= bench.messages % BATCH;
    snprintf(bench.dir, sizeof bench.dir, "%s/bench-park-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    if (bench.messages == 0 || mkdtemp(bench.dir) == NULL) {
        fprintf(stderr, "usage: %s [DIR [MESSAGES [waiting|shuffled|ready]]]\n", argv[0]);
        return 2;
    }
    snprintf(bench.table_dir, sizeof bench.table_dir, "%s/park", bench.dir);
    snprintf(bench.spool_dir, sizeof bench.spool_dir, "%s/spool", bench.dir);
    bench_log(&bench);
    bench_remove(bench.spool_dir);
    struct park_rocks *rocks;
    open_table(&bench, &rocks);
    bench_parking(&bench);
    bench_start(&bench, &rocks);
    bench_counts(&bench);
    bench_waking(&bench);
    park_free(&bench.park);
    park_rocks_close(&rocks);
    check(park_rocks_destroy(bench.table_dir, &why), &why);
    bench_remove(bench.dir);
    return 0;
}
