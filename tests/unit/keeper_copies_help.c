/* keeper_copies_help - see keeper_copies_help.h */
#include "keeper_copies_help.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "cluster/view.h"
#include "node/copy_note.h"
#include "node/spool.h"

#define P_DISK "00000000000000000000000000000abc"

/* ---- files ---- */

bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

void flip(const char *file, long offset)
{
    FILE *there = fopen(file, "r+be");
    assert_non_null(there);
    assert_int_equal(fseek(there, offset, SEEK_SET), 0);
    int byte = fgetc(there);
    assert_int_equal(fseek(there, offset, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 1, there), byte ^ 1);
    fclose(there);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void each_file(const char *dir, void (*work)(const char *from, const char *name, void *arg), void *arg)
{
    struct dirent **names;
    int count = scandir(dir, &names, NULL, by_name);
    for (int i = 0; i < count; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            work(path, names[i]->d_name, arg);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

static void remove_tree(const char *path, const char *name, void *arg)
{
    (void)name;
    (void)arg;
    struct stat status;
    if (lstat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        each_file(path, remove_tree, NULL);
        rmdir(path);
    } else {
        unlink(path);
    }
}

static void copy_file(const char *from, const char *name, void *arg)
{
    char to[700], block[65536];
    snprintf(to, sizeof to, "%s/%s", (const char *)arg, name);
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return; /* deleted meanwhile */
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(out >= 0);
    for (ssize_t n; (n = read(in, block, sizeof block)) > 0;)
        assert_int_equal(write(out, block, (size_t)n), n);
    close(in);
    close(out);
}

static void copy_tree(const char *from, const char *name, void *arg)
{
    char to[600], note[700], note_to[700];
    struct stat status;
    snprintf(to, sizeof to, "%s/%s", (const char *)arg, name);
    if (lstat(from, &status) != 0 || !S_ISDIR(status.st_mode))
        return;
    assert_int_equal(mkdir(to, 0700), 0);
    each_file(from, copy_file, to); /* segments in the order of their making */
    snprintf(note, sizeof note, "%s/note", from);
    snprintf(note_to, sizeof note_to, "%s/note", to);
    unlink(note_to); /* last: it may be newer than the log, never older */
    copy_file(note, "note", to);
}

void m_path(const struct copy_world *w, const char *name, char path_r[256])
{
    snprintf(path_r, 256, "%s/%s", w->dir, name);
}

int count_dirs(const struct copy_world *w)
{
    struct dirent **names;
    int found = 0, count = scandir(w->dir, &names, NULL, NULL);
    for (int i = 0; i < count; i++) {
        found += names[i]->d_name[0] != '.';
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    return found;
}

/* ---- what frames say ---- */

static void record_of(const struct copy_world *w, size_t at, struct buffer *out)
{
    const struct told_frame *frame = &w->frames[at];
    buffer_printf(
        out, "%s %" PRIx64 " about %" PRIu64, frame->base ? "mail" : "fact", frame->seq, frame->about);
}

static struct blob *body_of(const struct copy_world *w, size_t at)
{
    const struct told_frame *frame = &w->frames[at];
    if (!frame->base)
        return NULL;
    struct random random = {frame->seq};
    size_t len = (size_t)random_below(&random, 3000);
    char *bytes = xmalloc(len + 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)random_next(&random);
    bytes[len] = '\0';
    return blob_take(bytes, len);
}

static size_t frame_at(const struct copy_world *w, uint64_t seq)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->frames[i].seq == seq)
            return i;
    return SIZE_MAX;
}

/* ---- the bus ---- */

static void on_send(void *context, struct bus_msg *msg)
{
    struct copy_world *w = context;
    if (w->wire_count == COPY_WIRE_MOST || random_below(&w->random, 100) < w->loss)
        bus_msg_free(&msg);
    else
        w->wire[w->wire_count++] = msg;
}

static void deliver(struct copy_world *w)
{
    usec_t now = clock_now();
    for (size_t i = 0; i < w->wire_count; i++) { /* more may come */
        struct bus_msg *msg = w->wire[i];
        if (strcmp(msg->to, "m") == 0 && w->copies != NULL) {
            w->copied_bytes += msg->body->len;
            assert_true(keeper_copies_message(w->copies, msg, now));
        } else if (strcmp(msg->to, "p") == 0 && w->core != NULL) {
            copies_message(w->core, msg, now);
        }
        bus_msg_free(&msg);
    }
    w->wire_count = 0;
}

/* ---- m ---- */

static void on_serve(void *context, const struct copy_taken *taken)
{
    struct copy_world *w = context;
    w->served++;
    w->taken = *taken;
    spool_close(&w->taken.log);
    snprintf(w->taken_spool, sizeof w->taken_spool, "%s", taken->spool);
    snprintf(w->taken_dir, sizeof w->taken_dir, "%s", taken->dir);
    w->taken_note = *taken->note;
}

void copy_view(struct copy_world *w, bool p_is_down)
{
    struct error error;
    struct view *view = view_new(++w->view_epoch);
    struct view_node *p = view_add_node(view, "p", "p.0", 1, 100);
    p->process = w->p_process;
    p->down = p_is_down;
    view_add_node(view, "m", "m.0", 1, 100)->process = w->m_process;
    assert_int_equal(view_seal(view, &error), 0);
    keeper_copies_view(w->copies, view, clock_now());
    view_drop(&view);
}

void m_start(struct copy_world *w)
{
    struct keeper_copies_settings settings = {.dir = w->dir,
        .cluster = "t",
        .member = "m",
        .process = ++w->m_process,
        .segment_size = COPY_SEGMENT,
        .reserve = w->reserve == 0 ? 1 << 20 : w->reserve,
        .takes_over = w->takes_over};
    struct keeper_copies_ports ports = {.context = w, .send = on_send, .serve = on_serve};
    w->copies = keeper_copies_open(&w->loop, w->store, &settings, &ports);
    copy_view(w, false);
    if (w->core != NULL)
        copies_want(w->core, "m", w->m_process, clock_now());
}

void m_stop(struct copy_world *w)
{
    keeper_copies_close(&w->copies);
    uv_run(&w->loop, UV_RUN_NOWAIT);
}

void m_kill(struct copy_world *w)
{
    char image[128];
    snprintf(image, sizeof image, "%s/image", w->root);
    assert_int_equal(mkdir(image, 0700), 0);
    each_file(w->dir, copy_tree, image);
    m_stop(w);
    remove_tree(w->dir, NULL, NULL);
    assert_int_equal(rename(image, w->dir), 0);
}

/* ---- p ---- */

static void p_epoch(void *context, uint64_t epoch, uint64_t incarnation)
{
    struct copy_world *w = context;
    (void)incarnation;
    w->epoch = epoch;
    w->number = 0;
}

static void p_read(void *context, uint64_t after, size_t bytes)
{
    struct copy_world *w = context;
    (void)bytes;
    w->reading = true;
    w->read_after = after;
}

static bool p_whole(void *context, uint64_t after)
{
    return after >= ((struct copy_world *)context)->gone;
}

static size_t p_living(void *context, uint64_t after, uint64_t *seqs_r, size_t max)
{
    const struct copy_world *w = context;
    size_t count = 0;
    for (size_t i = 0; i < w->count && count < max; i++)
        if (w->frames[i].base && !w->frames[i].released && w->frames[i].seq > after)
            seqs_r[count++] = w->frames[i].seq;
    return count;
}

static void p_deposed(void *context, uint64_t epoch, const char *heir)
{
    struct copy_world *w = context;
    (void)epoch;
    (void)heir;
    w->deposed++;
}

static void p_notice(void *context, const char *what)
{
    (void)context;
    (void)what;
}

static void p_result(void *context, uint64_t ref, const struct kv_result *result, usec_t now)
{
    struct copy_world *w = context;
    copies_result(w->core, ref, result, now);
}

static void p_news(void *context, const struct kv_news *news, usec_t now)
{
    struct copy_world *w = context;
    copies_register_news(w->core, news, now);
}

void read_register(const struct copy_world *w, struct spool_register *reg_r)
{
    struct buffer text = {0};
    struct error error;
    uint64_t revision;
    assert_int_equal(kv_get(&w->kv, COPY_KEY, &text, &revision, &error), KV_DONE);
    if (buffer_len(&text) == 0)
        *reg_r = (struct spool_register){0};
    else
        assert_int_equal(spool_register_read(buffer_text(&text), buffer_len(&text), reg_r, &error), 0);
    buffer_free(&text);
}

/* Swaps itself in, as a start does; the revision of that in *revision_r. */
static void resume(struct copy_world *w, struct spool_register *next_r, uint64_t *revision_r)
{
    struct spool_register reg;
    struct error error;
    for (int i = 0; i < 100; i++) {
        struct buffer text = {0};
        kv_get(&w->kv, COPY_KEY, &text, revision_r, &error);
        bool there = *revision_r != 0;
        if (there)
            assert_int_equal(spool_register_read(buffer_text(&text), buffer_len(&text), &reg, &error), 0);
        assert_int_equal(spool_register_next(there ? &reg : NULL, "p", P_DISK, w->p_process, next_r, &error),
            SPOOL_REGISTER_SWAP);
        buffer_clear(&text);
        spool_register_write(next_r, &text);
        enum kv_outcome outcome =
            kv_swap(&w->kv, COPY_KEY, *revision_r, buffer_bytes(&text), buffer_len(&text), &error);
        buffer_free(&text);
        if (outcome != KV_DONE)
            continue;
        kv_get(&w->kv, COPY_KEY, &text, revision_r, &error);
        buffer_free(&text);
        return;
    }
    fail_msg("the register can't be swapped");
}

void p_start(struct copy_world *w)
{
    struct spool_register reg;
    uint64_t revision;
    usec_t now = clock_now();
    w->p_process++;
    resume(w, &reg, &revision);
    w->p_user = (struct store_user){.context = w, .key = COPY_KEY, .result = p_result, .news = p_news};
    struct copies_settings settings = {.member = "p",
        .spool = "p.0",
        .key = COPY_KEY,
        .disk = P_DISK,
        .process = w->p_process,
        .min_copies = 2};
    struct copies_ports ports = {.context = w,
        .send = on_send,
        .store = keeper_store_join(w->store, &w->p_user),
        .epoch = p_epoch,
        .read = p_read,
        .whole = p_whole,
        .living = p_living,
        .deposed = p_deposed,
        .notice = p_notice};
    p_epoch(w, reg.epoch, reg.incarnation);
    w->reading = false;
    w->core = copies_new(&settings, &reg, revision, &ports, now);
    for (uint64_t epoch = 0; epoch < COPY_EPOCHS; epoch++)
        if (w->ends[epoch] != 0)
            copies_past(w->core, epoch, w->ends[epoch]);
    for (size_t i = 0; i < w->count; i++) /* what died without being told is told by the log */
        if (w->frames[i].base && w->frames[i].done_by != 0)
            w->frames[i].released = false;
    if (w->copies != NULL) {
        copy_view(w, false);
        copies_want(w->core, "m", w->m_process, now);
    }
}

void p_crash(struct copy_world *w)
{
    keeper_store_leave(w->store, &w->p_user);
    copies_free(&w->core);
    while (w->count > w->synced) {
        const struct told_frame *lost = &w->frames[--w->count];
        if (!lost->base)
            w->frames[lost->about - 1].done_by = 0;
        assert_true(lost->seq > w->claimed);
    }
    memset(w->ends, 0, sizeof w->ends);
    for (size_t i = 0; i < w->count; i++)
        w->ends[copy_epoch_of(w->frames[i].seq)] = w->frames[i].seq;
}

static void append(struct copy_world *w, bool base, size_t about)
{
    if (w->count == COPY_FRAMES || w->core == NULL || copies_deposed(w->core))
        return;
    struct told_frame *frame = &w->frames[w->count++];
    *frame =
        (struct told_frame){.seq = w->epoch << COPY_EPOCH_SHIFT | ++w->number, .base = base, .about = about};
    if (!base)
        w->frames[about - 1].done_by = frame->seq;
    w->ends[w->epoch] = frame->seq;
    struct buffer record = {0};
    record_of(w, w->count - 1, &record);
    struct copy_frame copy = {.seq = frame->seq,
        .base = base,
        .record = buffer_bytes(&record),
        .len = buffer_len(&record),
        .body = body_of(w, w->count - 1)};
    copies_append(w->core, &copy);
    blob_drop(&copy.body);
    buffer_free(&record);
}

void p_append(struct copy_world *w, size_t count)
{
    for (size_t i = 0; i < count; i++)
        append(w, true, 0);
}

void p_end_some(struct copy_world *w, size_t count)
{
    for (size_t i = 0; i < count && w->count > 0; i++) {
        size_t at = (size_t)random_below(&w->random, w->count);
        if (w->frames[at].base && w->frames[at].done_by == 0)
            append(w, false, at + 1);
    }
}

void p_sync(struct copy_world *w)
{
    w->synced = w->count;
    if (w->count > 0 && w->core != NULL)
        copies_synced(w->core, w->frames[w->count - 1].seq, clock_now());
}

void p_end_all_but(struct copy_world *w, size_t which)
{
    for (size_t at = 0, count = w->count; at < count; at++)
        if (w->frames[at].base && w->frames[at].done_by == 0 && at != which)
            append(w, false, at + 1);
}

static void answer_read(struct copy_world *w)
{
    struct copy_frame frames[64];
    struct buffer records[64] = {0};
    size_t count = 0, at = 0;
    if (!w->reading)
        return;
    w->reading = false;
    for (; at < w->synced && count < 64; at++) {
        const struct told_frame *frame = &w->frames[at];
        if (frame->seq <= w->read_after || (frame->base && frame->released))
            continue;
        record_of(w, at, &records[count]);
        frames[count] = (struct copy_frame){.seq = frame->seq,
            .base = frame->base,
            .record = buffer_bytes(&records[count]),
            .len = buffer_len(&records[count]),
            .body = body_of(w, at)};
        count++;
    }
    copies_read(w->core, frames, count, at == w->synced, clock_now());
    for (size_t i = 0; i < count; i++) {
        blob_drop(&frames[i].body);
        buffer_free(&records[i]);
    }
}

static void p_turn(struct copy_world *w)
{
    usec_t now = clock_now();
    if (w->core == NULL)
        return;
    answer_read(w);
    if (copies_deadline(w->core) <= now)
        copies_tick(w->core, now);
    uint64_t committed = copies_committed(w->core);
    if (copies_figures(w->core, now).paired && committed > w->claimed)
        w->claimed = committed;
    for (size_t i = 0; i < w->count; i++) {
        struct told_frame *frame = &w->frames[i];
        if (frame->base && !frame->released && frame->done_by != 0 && frame->done_by <= committed) {
            frame->released = true;
            copies_release(w->core, frame->seq);
        }
    }
}

struct copies_figures p_figures(const struct copy_world *w)
{
    return copies_figures(w->core, clock_now());
}

/* ---- time ---- */

void turn(struct copy_world *w)
{
    uv_run(&w->loop, UV_RUN_NOWAIT);
    p_turn(w);
    deliver(w);
    usleep(200);
}

void turns(struct copy_world *w, usec_t how_long)
{
    for (usec_t until = clock_now() + how_long; clock_now() < until;)
        turn(w);
}

static bool is_paired(const struct copy_world *w)
{
    return p_figures(w).paired && (w->count == 0 || copies_committed(w->core) >= w->frames[w->count - 1].seq);
}

void until_paired(struct copy_world *w)
{
    usec_t until = clock_now() + 30 * USEC_SEC;
    p_sync(w);
    do
        turn(w);
    while (!is_paired(w) && clock_now() < until);
    if (!is_paired(w))
        fail_msg("no mirror after 30 s: %s", copies_shut(w->core) == NULL ? "" : copies_shut(w->core));
    turn(w);
}

void until_served(struct copy_world *w)
{
    usec_t until = clock_now() + 30 * USEC_SEC;
    while (w->served == 0 && clock_now() < until)
        turn(w);
    assert_int_equal(w->served, 1);
}

/* ---- what is on the disk ---- */

struct check {
    const struct copy_world *w;
    struct mirror_note note;
    size_t found;
    bool *there;
};

static void on_record(
    void *context, uint64_t seq, const void *record, size_t len, uint64_t body_len, bool base)
{
    struct check *check = context;
    struct buffer wanted = {0};
    if (mirror_note_is_cut(&check->note, seq))
        return;
    size_t at = frame_at(check->w, seq);
    check->found++;
    if (at == SIZE_MAX) { /* its tail, that p has lost; it will be cut */
        assert_true(seq > check->w->claimed);
        return;
    }
    record_of(check->w, at, &wanted);
    struct blob *body = body_of(check->w, at);
    assert_int_equal(len, buffer_len(&wanted));
    assert_memory_equal(record, buffer_bytes(&wanted), len);
    assert_int_equal(body_len, body == NULL ? 0 : body->len);
    assert_int_equal(base, check->w->frames[at].base);
    check->there[at] = true;
    buffer_free(&wanted);
    blob_drop(&body);
}

static void check_body(const struct check *check, struct spool *spool, size_t at)
{
    struct error error;
    struct blob *body, *wanted = body_of(check->w, at);
    if (spool_read(spool, check->w->frames[at].seq, &body, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(body == NULL ? 0 : body->len, wanted->len);
    if (body != NULL)
        assert_memory_equal(body->bytes, wanted->bytes, wanted->len);
    blob_drop(&body);
    blob_drop(&wanted);
}

size_t check_disk(const struct copy_world *w, const char *dir)
{
    struct error error;
    struct check check = {.w = w, .there = xcalloc(COPY_FRAMES, 1)};
    assert_int_equal(copy_note_load(dir, "p.0", &check.note, &error), 0);
    struct spool_settings settings = {.dir = dir, .segment_size = COPY_SEGMENT, .reserve = 1};
    struct spool_listener nobody = {NULL, NULL, NULL};
    struct spool_recovery recovery = {.context = &check, .record = on_record};
    struct spool *spool = spool_open(&settings, &nobody, &recovery, &error);
    if (spool == NULL)
        fail_msg("%s", error.text);
    for (size_t i = 0; i < w->count && w->frames[i].seq <= w->claimed; i++) {
        const struct told_frame *frame = &w->frames[i];
        bool needed = frame->base ? frame->done_by == 0 || frame->done_by > w->claimed
                                  : !w->frames[frame->about - 1].released;
        if (needed && !check.there[i])
            fail_msg("frame %" PRIx64 " was said to be on both disks, and is not (up to %" PRIx64 ")",
                frame->seq, w->claimed);
        if (needed && frame->base)
            check_body(&check, spool, i);
    }
    spool_close(&spool);
    free(check.there);
    return check.found;
}

/* ---- life ---- */

struct copy_world *copy_world(uint64_t seed)
{
    struct copy_world *w = xcalloc(1, sizeof *w);
    struct error error;
    strcpy(w->root, "/tmp/todoku-copies-XXXXXX");
    assert_non_null(mkdtemp(w->root));
    snprintf(w->dir, sizeof w->dir, "%s/copies", w->root);
    snprintf(w->file, sizeof w->file, "%s/store", w->root);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->file_store = kv_file_open(w->file, &error);
    assert_non_null(w->file_store);
    w->kv = kv_file_face(w->file_store);
    w->store = keeper_store_open(&w->loop, &w->kv, "/todoku/t/spool/");
    w->random = (struct random){seed};
    w->m_process = 1000;
    w->p_process = 2000;
    return w;
}

void copy_world_free(struct copy_world *w)
{
    if (w->core != NULL) {
        keeper_store_leave(w->store, &w->p_user);
        copies_free(&w->core);
    }
    keeper_copies_close(&w->copies);
    keeper_store_close(&w->store);
    while (uv_run(&w->loop, UV_RUN_DEFAULT) != 0)
        ;
    assert_int_equal(uv_loop_close(&w->loop), 0);
    kv_file_close(&w->file_store);
    for (size_t i = 0; i < w->wire_count; i++)
        bus_msg_free(&w->wire[i]);
    remove_tree(w->root, NULL, NULL);
    free(w);
}
