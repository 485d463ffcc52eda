/* bench_park - what it costs to park messages and to wake them, beside appending them to the log
 *
 * bench_park [DIR [MESSAGES [shuffled]]]: in DIR (default: a folder under /tmp, which should be a real disk),
 * with MESSAGES (default 1,000,000) rows of 200 to 300 bytes of which half is text that repeats:
 *
 *     spool    their records are appended to a log, no body, one after another
 *     park     row, base and agenda keys put, 100 messages a commit
 *     start    the table is closed and opened, all base keys are read
 *     wake     the agenda is read in order of due, 100 at a time; the rows are got, then all keys removed
 *
 * Due dates are those of a retry after 15 minutes with a fifth of jitter, while 1,000 messages a second are
 * parked; `shuffled`: drawn from a day, which is what a table has to fear. Flushes as a checkpoint does, every
 * 200,000. Prints messages a second, CPU time of the whole process a message and its ratio to the log's, what
 * RSS has come to (the process keeps nothing else), bytes on disk a message. Trust the ratios. */
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
#include "node/park_rocks.h"
#include "node/spool.h"
#include "tests/bench/bench_help.h"

#define BATCH 100
#define CHECKPOINT 200000
#define ROW_MAX 300
#define AGENDA_KEY 25

struct bench {
    char dir[400], table_dir[420], spool_dir[420];
    uint64_t messages;
    bool shuffled;
    struct park_table table;
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

static void make_agenda_key(const struct bench *bench, uint64_t number, unsigned char key[AGENDA_KEY])
{
    key[0] = 't';
    write_number(key + 1, due_of(bench, number));
    make_id(number, key + 9);
}

static void make_base_key(uint64_t number, unsigned char key[9])
{
    key[0] = 'b';
    write_number(key + 1, number);
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

static void commit(const struct bench *bench, uint64_t done)
{
    struct error why;
    check(bench->table.commit(bench->table.context, &why), &why);
    if (done % CHECKPOINT == 0)
        flush(bench);
}

static void bench_parking(struct bench *bench)
{
    const struct park_table *table = &bench->table;
    unsigned char row_key[17] = {'m'}, base_key[9], agenda_key[AGENDA_KEY], row[ROW_MAX];
    begin(bench);
    for (uint64_t i = 1; i <= bench->messages; i++) {
        make_id(i, row_key + 1);
        make_base_key(i, base_key);
        make_agenda_key(bench, i, agenda_key);
        table->put(table->context, row_key, sizeof row_key, row, make_row(i, row));
        table->put(table->context, base_key, sizeof base_key, row_key + 1, 16);
        table->put(table->context, agenda_key, sizeof agenda_key, "", 0);
        if (i % BATCH == 0)
            commit(bench, i);
    }
    flush(bench);
    report(bench, "park", bench->table_dir);
}

static bool count(void *with, const void *key, size_t key_len, const void *value, size_t value_len)
{
    (void)key, (void)key_len, (void)value, (void)value_len;
    ++*(uint64_t *)with;
    return true;
}

static void bench_start(struct bench *bench, struct park_rocks **rocks)
{
    struct park_rocks_settings settings = {.dir = bench->table_dir};
    struct error why;
    uint64_t counted = 0;
    begin(bench);
    park_rocks_close(rocks);
    *rocks = park_rocks_open(&settings, &why);
    check(*rocks == NULL ? -1 : 0, &why);
    bench->table = park_rocks_table(*rocks);
    check(bench->table.scan(bench->table.context, "b", 1, 1, count, &counted, &why), &why);
    report(bench, "start", bench->table_dir);
    if (counted != bench->messages)
        fprintf(stderr, "%llu messages were counted\n", (unsigned long long)counted);
}

struct agenda {
    unsigned char keys[BATCH][AGENDA_KEY];
    size_t count;
};

static bool note(void *with, const void *key, size_t key_len, const void *value, size_t value_len)
{
    struct agenda *agenda = with;
    (void)value, (void)value_len;
    memcpy(agenda->keys[agenda->count++], key, key_len);
    return agenda->count < BATCH;
}

static void wake(const struct bench *bench, const unsigned char *agenda_key, struct buffer *row)
{
    const struct park_table *table = &bench->table;
    unsigned char row_key[17] = {'m'}, base_key[9] = {'b'};
    struct error why = {"a row is missing"};
    memcpy(row_key + 1, agenda_key + 9, 16);
    buffer_clear(row);
    check(table->get(table->context, row_key, sizeof row_key, row, &why) == 1 ? 0 : -1, &why);
    memcpy(base_key + 1, buffer_bytes(row), 8);
    table->remove(table->context, row_key, sizeof row_key);
    table->remove(table->context, base_key, sizeof base_key);
    table->remove(table->context, agenda_key, AGENDA_KEY);
}

static void bench_waking(struct bench *bench)
{
    const struct park_table *table = &bench->table;
    unsigned char low[AGENDA_KEY] = {'t'};
    struct agenda agenda;
    struct buffer row = {0};
    struct error why;
    usec_t longest = 0;
    begin(bench);
    for (uint64_t done = 0; done < bench->messages; done += agenda.count) {
        usec_t start = clock_now();
        agenda.count = 0;
        check(table->scan(table->context, low, sizeof low, 1, note, &agenda, &why), &why);
        check(agenda.count > 0 ? 0 : -1, &(struct error){"the agenda ended too early"});
        memcpy(low, agenda.keys[agenda.count - 1], sizeof low);
        for (size_t i = 0; i < agenda.count; i++)
            wake(bench, agenda.keys[i], &row);
        commit(bench, done + agenda.count);
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
    struct bench bench = {.messages = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000,
        .shuffled = argc > 3 && strcmp(argv[3], "shuffled") == 0};
    struct error why;
    bench.messages -= bench.messages % BATCH;
    snprintf(bench.dir, sizeof bench.dir, "%s/bench-park-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    if (bench.messages == 0 || mkdtemp(bench.dir) == NULL) {
        fprintf(stderr, "usage: %s [DIR [MESSAGES [shuffled]]]\n", argv[0]);
        return 2;
    }
    snprintf(bench.table_dir, sizeof bench.table_dir, "%s/park", bench.dir);
    snprintf(bench.spool_dir, sizeof bench.spool_dir, "%s/spool", bench.dir);
    bench_log(&bench);
    bench_remove(bench.spool_dir);
    struct park_rocks_settings settings = {.dir = bench.table_dir};
    struct park_rocks *rocks = park_rocks_open(&settings, &why);
    check(rocks == NULL ? -1 : 0, &why);
    bench.table = park_rocks_table(rocks);
    bench_parking(&bench);
    bench_start(&bench, &rocks);
    bench_waking(&bench);
    park_rocks_close(&rocks);
    check(park_rocks_destroy(bench.table_dir, &why), &why);
    bench_remove(bench.dir);
    return 0;
}
