/* spool_help - see spool_help.h */
#include "spool_help.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/random.h"

bool help_is_base(uint64_t seq)
{
    return seq % 3 != 0;
}

static void fill(struct random *random, struct buffer *out, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = random_next(random);
        buffer_add(out, &word, len - i < 8 ? len - i : 8);
    }
}

struct blob *help_body(const struct help *help, uint64_t seq)
{
    if (!help_is_base(seq))
        return NULL;
    struct random random = {seq};
    struct buffer out = {0};
    if (help->texts > 0) {
        buffer_printf(&out, "Message-ID: <%" PRIu64 ">\r\n\r\n", seq);
        random = (struct random){HELP_MAX + seq % help->texts};
    }
    uint64_t more = random_below(&random, help->max_body + 1);
    fill(&random, &out, (size_t)(help->texts > 0 ? help->max_body + more : more));
    struct blob *body = blob_copy(buffer_bytes(&out), buffer_len(&out));
    buffer_free(&out);
    return body;
}

void help_record(uint64_t seq, struct buffer *out)
{
    buffer_printf(out, "record %" PRIu64 " ", seq);
    for (uint64_t i = 0; i < seq % 97; i++)
        buffer_add(out, "x", 1);
}

void help_path(const struct help *help, const char *name, char out[512])
{
    snprintf(out, 512, "%s/%s", help->dir, name);
}

void help_begin(struct help *help)
{
    *help = (struct help){.segment_size = HELP_SEGMENT, .reserve = 1, .max_body = 3000};
    log_set_level((enum log_level)0);
    pthread_mutex_init(&help->lock, NULL);
    pthread_cond_init(&help->moved, NULL);
    help->there = xcalloc(HELP_MAX + 1, sizeof *help->there);
    const char *tmp = getenv("TMPDIR");
    snprintf(help->dir, sizeof help->dir, "%s/todoku-spool-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    if (mkdtemp(help->dir) == NULL)
        abort();
}

void help_end(struct help *help)
{
    help_close(help);
    DIR *dir = opendir(help->dir);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char path[512];
        help_path(help, entry->d_name, path);
        if (entry->d_name[0] != '.')
            unlink(path);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(help->dir);
    free(help->there);
    buffer_free(&help->record);
    pthread_cond_destroy(&help->moved);
    pthread_mutex_destroy(&help->lock);
}

static void on_committed(void *context, uint64_t seq)
{
    struct help *help = context;
    pthread_mutex_lock(&help->lock);
    if (seq <= help->committed || help->failures > 0)
        help->wrong++;
    help->committed = seq;
    pthread_cond_broadcast(&help->moved);
    pthread_mutex_unlock(&help->lock);
    if (help->pipe > 0 && write(help->pipe, &seq, sizeof seq) != (ssize_t)sizeof seq)
        abort();
}

static void on_failed(void *context, const char *why)
{
    struct help *help = context;
    pthread_mutex_lock(&help->lock);
    help->failures++;
    snprintf(help->why, sizeof help->why, "%s", why);
    pthread_cond_broadcast(&help->moved);
    pthread_mutex_unlock(&help->lock);
}

static void on_record(
    void *context, uint64_t seq, const void *record, size_t len, uint64_t body_len, bool base)
{
    struct help *help = context;
    struct buffer expected = {0};
    struct blob *body = help_body(help, seq);
    help_record(seq, &expected);
    if (seq <= help->last || seq > HELP_MAX || len != buffer_len(&expected) ||
        memcmp(record, buffer_bytes(&expected), len) != 0 || base != help_is_base(seq) ||
        body_len != (body == NULL ? 0 : body->len))
        help->wrong++;
    if (help->first == 0)
        help->first = seq;
    help->last = seq;
    help->count++;
    if (seq <= HELP_MAX)
        help->there[seq] = true;
    blob_drop(&body);
    buffer_free(&expected);
}

static void on_damaged(void *context, const char *file, uint64_t offset, const char *why)
{
    struct help *help = context;
    help->damages++;
    snprintf(help->damaged_file, sizeof help->damaged_file, "%s", file);
    help->damaged_offset = offset;
    snprintf(help->why, sizeof help->why, "%s", why);
}

static void on_progress(void *context, uint64_t done, uint64_t all)
{
    struct help *help = context;
    if (done > all)
        help->wrong++;
    help->progress_done = done;
    help->progress_all = all;
}

static uint64_t on_from(
    void *context, const char *disk_id, uint64_t log_end, const uint64_t **living_r, size_t *living_count_r)
{
    struct help *help = context;
    if (strlen(disk_id) != 32)
        help->wrong++;
    help->log_end = log_end;
    *living_r = help->living;
    *living_count_r = help->living_count;
    return help->from;
}

int help_open(struct help *help, struct error *error)
{
    memset(help->there, 0, HELP_MAX + 1);
    help->first = help->last = help->count = 0;
    help->damages = help->failures = 0;
    help->committed = 0;
    struct spool_settings settings = {
        .dir = help->dir, .segment_size = help->segment_size, .reserve = help->reserve};
    struct spool_listener listener = {help, on_committed, on_failed};
    struct spool_recovery recovery = {.context = help,
        .from = help->asks ? on_from : NULL,
        .record = on_record,
        .damaged = on_damaged,
        .progress = on_progress};
    help->spool = spool_open(&settings, &listener, &recovery, error);
    return help->spool == NULL ? -1 : 0;
}

void help_close(struct help *help)
{
    spool_close(&help->spool);
}

void help_crash(struct help *help)
{
    char path[512];
    help_close(help);
    help_path(help, "whole", path);
    unlink(path);
}

void help_append(struct help *help, uint64_t seq)
{
    struct blob *body = help_body(help, seq);
    help_record(seq, &help->record);
    spool_append(help->spool, seq, &help->record, body, help_is_base(seq));
    if (buffer_len(&help->record) != 0)
        help->wrong++;
    blob_drop(&body);
}

void help_append_upto(struct help *help, uint64_t from, uint64_t upto)
{
    for (uint64_t seq = from; seq <= upto; seq++)
        help_append(help, seq);
}

bool help_wait(struct help *help, uint64_t seq)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 30;
    pthread_mutex_lock(&help->lock);
    int late = 0;
    while (help->committed < seq && help->failures == 0 && late == 0)
        late = pthread_cond_timedwait(&help->moved, &help->lock, &until);
    bool there = help->committed >= seq;
    pthread_mutex_unlock(&help->lock);
    return there;
}

bool help_intact(struct help *help, uint64_t seq)
{
    struct blob *expected = help_body(help, seq), *body = NULL;
    struct error error;
    bool same = spool_read(help->spool, seq, &body, &error) == 0 && body->len == expected->len &&
                memcmp(body->bytes, expected->bytes, body->len) == 0;
    if (body == NULL)
        snprintf(help->why, sizeof help->why, "%s", error.text);
    blob_drop(&expected);
    blob_drop(&body);
    return same;
}

int help_files(const struct help *help, const char *suffix)
{
    int count = 0;
    DIR *dir = opendir(help->dir);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        size_t len = strlen(entry->d_name), end = strlen(suffix);
        count += len >= end && strcmp(entry->d_name + len - end, suffix) == 0;
    }
    if (dir != NULL)
        closedir(dir);
    return count;
}

void help_flip(const struct help *help, const char *name, uint64_t offset, uint8_t mask)
{
    char path[512];
    uint8_t byte = 0;
    help_path(help, name, path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || pread(fd, &byte, 1, (off_t)offset) != 1)
        abort();
    byte ^= mask;
    if (pwrite(fd, &byte, 1, (off_t)offset) != 1)
        abort();
    close(fd);
}

void help_must_open(struct help *help)
{
    struct error error = {{0}};
    if (help_open(help, &error) < 0)
        fail_msg("%s", error.text);
}

int help_setup(void **state)
{
    struct help *help = xcalloc(1, sizeof *help);
    help_begin(help);
    *state = help;
    return 0;
}

int help_setup_texts(void **state)
{
    if (help_setup(state) != 0)
        return -1;
    struct help *help = *state;
    help->texts = 4;
    help->max_body = 1500;
    help->segment_size = HELP_SEGMENT / 4; /* what is shared takes less */
    return 0;
}

int help_teardown(void **state)
{
    struct help *help = *state;
    help_end(help);
    free(help);
    return 0;
}
