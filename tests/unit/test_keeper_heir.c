/* A spool that was taken over, on a real disk and a real loop: everything moves once, also when the process is killed
 * amid it, when little of it fits into memory, and when its log was not handed over; then it is retired and its directory
 * may go.
 *
 *     test_keeper_heir                          the tests
 *     test_keeper_heir DIR MAILS BYTES          how long it takes: the first run makes DIR, later ones read it */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/random.h"
#include "custody_help.h"
#include "node/keeper_heir_uv.h"
#include "node/spool.h"

#define KEY "/todoku/t/spool/a.0"
#define SEGMENT (256u << 10)

struct world {
    char root[128], dir[160], file[160];
    uv_loop_t loop;
    struct kv_file *file_store;
    struct kv kv;
    struct keeper_store *store;
    struct keeper_heirs *heirs;
    struct spool_register reg;
    struct mirror_note note;
    struct bench h, b;
    struct bus_msg **wire;
    size_t wire_count, wire_size;
    uint64_t at_hand, segment;
    bool opens_itself; /* the heir is not given the open log */
    uint64_t most_waiting;
    usec_t least, quarantine;
    unsigned retired, events, moves;
    usec_t first_move, first_cpu; /* when, and how much of the processor it took until then */
};
static struct world *world;

/* ---- files ---- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Segments in the order of their making. */
static void each_file(
    const char *dir, void (*work)(const char *path, const char *name, const char *to), const char *to)
{
    struct dirent **names;
    int count = scandir(dir, &names, NULL, by_name);
    for (int i = 0; i < count; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            work(path, names[i]->d_name, to);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

static void remove_tree(const char *path, const char *name, const char *to)
{
    struct stat status;
    (void)name;
    if (lstat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        each_file(path, remove_tree, to);
        rmdir(path);
    } else {
        unlink(path);
    }
}

static void copy_file(const char *path, const char *name, const char *to)
{
    char target[700], block[65536];
    snprintf(target, sizeof target, "%s/%s", to, name);
    int in = open(path, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return; /* deleted meanwhile */
    int out = open(target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(out >= 0);
    for (ssize_t n; (n = read(in, block, sizeof block)) > 0;)
        assert_int_equal(write(out, block, (size_t)n), n);
    close(in);
    close(out);
}

/* ---- the dead node's log ---- */

static _Atomic uint64_t log_committed;

static void on_committed(void *context, uint64_t seq)
{
    (void)context;
    log_committed = seq;
}

static void on_failed(void *context, const char *why)
{
    (void)context;
    fail_msg("%s", why);
}

static void append_mail(struct spool *spool, unsigned number, size_t bytes)
{
    struct mail *mail = mail_new();
    struct buffer out = {0};
    char to[64], *body = xmalloc(bytes);
    usec_t now = clock_now();
    struct random random = {number};
    for (size_t i = 0; i + 8 <= bytes; i += 8)
        *(uint64_t *)(void *)(body + i) = random_next(&random);
    mail->id = bench_id(number);
    mail->created = now;
    mail->expires = now + USEC_DAY;
    mail->body_len = bytes;
    mail_set(&mail->tenant, "acme");
    mail_set(&mail->campaign, "news");
    mail_set(&mail->pool, "main");
    mail_set(&mail->from, "bounce+123456@news.acme.test");
    snprintf(to, sizeof to, "user%u@domain%u.test", number, number % 50000);
    mail_add_recipient(mail, to);
    struct record_item item = {.state = CUSTODY_HELD, .due = now + (usec_t)(number % 1000) * USEC_MS};
    struct spool_record record = {
        .kind = RECORD_HOLD, .id = mail->id, .mail = mail, .at = now, .items = &item, .item_count = 1};
    record_encode(&record, &out);
    struct blob *blob = blob_take(body, bytes);
    spool_append(spool, ((uint64_t)1 << COPY_EPOCH_SHIFT) + number + 1, &out, blob, true);
    blob_drop(&blob);
    mail_drop(&mail);
    buffer_free(&out);
}

static struct spool *open_log(void);

static void make_log(unsigned mails, size_t bytes)
{
    struct spool *spool = open_log();
    for (unsigned i = 0; i < mails; i++) {
        append_mail(spool, i, bytes);
        while (i % 1000 == 0 && spool_figures(spool).pending > (64u << 20))
            usleep(1000);
    }
    spool_close(&spool);
}

static void read_disk_id(void)
{
    struct spool *spool = open_log();
    snprintf(world->reg.disk, sizeof world->reg.disk, "%s", spool_disk_id(spool));
    spool_close(&spool);
}

/* ---- the world ---- */

static void on_send(void *context, struct bus_msg *msg)
{
    (void)context;
    if (world->wire_count == world->wire_size) {
        world->wire_size = world->wire_size == 0 ? 1024 : 2 * world->wire_size;
        world->wire = xrealloc(world->wire, world->wire_size * sizeof(struct bus_msg *));
    }
    world->wire[world->wire_count++] = msg;
}

static void on_event(void *context, const char *json, size_t len)
{
    (void)context;
    assert_int_equal(strlen(json), len);
    world->events++;
}

static void on_retired(void *context, const char *spool)
{
    (void)context;
    assert_string_equal(spool, "a.0");
    world->retired++;
}

static struct world *world_begin(void)
{
    const char *tmp = getenv("TMPDIR");
    struct error error;
    world = xcalloc(1, sizeof *world);
    snprintf(world->root, sizeof world->root, "%.80s/todoku-heir-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(world->root));
    snprintf(world->dir, sizeof world->dir, "%s/a.0", world->root);
    snprintf(world->file, sizeof world->file, "%s/store", world->root);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    world->file_store = kv_file_open(world->file, &error);
    assert_non_null(world->file_store);
    world->kv = kv_file_face(world->file_store);
    world->store = keeper_store_open(&world->loop, &world->kv, "/todoku/t/spool/");
    world->segment = SEGMENT;
    world->reg = (struct spool_register){.epoch = 1, .incarnation = 1, .node = "h"};
    bench_open(&world->h, "h");
    bench_open(&world->b, "b");
    world->h.keeps_no_frames = world->b.keeps_no_frames = true;
    return world;
}

static void put_register(void)
{
    struct buffer text = {0}, was = {0};
    struct error error;
    uint64_t revision;
    spool_register_write(&world->reg, &text);
    assert_int_equal(kv_get(&world->kv, KEY, &was, &revision, &error), KV_DONE);
    assert_int_equal(
        kv_swap(&world->kv, KEY, revision, buffer_bytes(&text), buffer_len(&text), &error), KV_DONE);
    buffer_free(&text);
    buffer_free(&was);
}

static void open_heirs(void)
{
    struct keeper_heirs_settings settings = {.member = "h",
        .home = "h",
        .cluster = "t",
        .process = ++world->reg.process,
        .segment_size = world->segment,
        .quarantine = world->quarantine,
        .least = world->least,
        .at_hand = world->at_hand};
    struct keeper_heirs_ports ports = {.send = on_send, .event = on_event, .retired = on_retired};
    world->heirs = keeper_heirs_open(&world->loop, world->store, &settings, &ports);
    static const char *const pools[] = {"main"};
    struct view *view = view_new(1);
    view_add_source(view_add_node(view, "h", "h", 1, 100), "127.0.0.1", "h.test", pools, 1);
    view_add_source(view_add_node(view, "b", "b", 1, 100), "127.0.0.2", "b.test", pools, 1);
    keeper_heirs_view(world->heirs, view, clock_now());
    view_drop(&view);
}

static struct spool *open_log(void)
{
    struct spool_settings settings = {.dir = world->dir, .segment_size = world->segment};
    struct spool_listener listener = {.committed = on_committed, .failed = on_failed};
    struct error error;
    struct spool *spool = spool_open(&settings, &listener, NULL, &error);
    assert_non_null(spool);
    return spool;
}

static void take_log(struct spool *log)
{
    open_heirs();
    world->reg.epoch++;
    put_register();
    struct copy_taken taken = {
        .spool = "a.0", .dir = world->dir, .reg = world->reg, .note = &world->note, .log = log};
    strcpy(world->note.spool, "a.0");
    keeper_heirs_take(world->heirs, &taken);
}

static void take(void)
{
    take_log(world->opens_itself ? NULL : open_log());
}

/* As a kill at this moment leaves it: what goes on meanwhile is not seen by the next one. */
static void kill_heirs(void)
{
    char snapshot[200];
    snprintf(snapshot, sizeof snapshot, "%s/snapshot", world->root);
    assert_int_equal(mkdir(snapshot, 0700), 0);
    each_file(world->dir, copy_file, snapshot);
    keeper_heirs_close(&world->heirs);
    uv_run(&world->loop, UV_RUN_NOWAIT);
    remove_tree(world->dir, "", NULL);
    assert_int_equal(rename(snapshot, world->dir), 0);
}

static usec_t cpu_used(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * USEC_SEC + used.tv_nsec / 1000;
}

static void tell_bench(struct bench *bench, const struct bus_msg *msg)
{
    bench->now = clock_now();
    if (msg->type == BUS_MOVE && world->moves++ == 0) {
        world->first_move = clock_now();
        world->first_cpu = cpu_used();
    }
    custody_message(bench->custody, msg, NULL, bench->now);
    bench_commit(bench);
    for (size_t i = 0; i < bench->sent_count; i++)
        on_send(NULL, bench->sent[i]);
    bench->sent_count = 0;
}

static void deliver(struct bus_msg *msg)
{
    if (!keeper_heirs_message(world->heirs, msg, clock_now()))
        tell_bench(strcmp(msg->to, "h") == 0 ? &world->h : &world->b, msg);
    bus_msg_free(&msg);
}

static void turn(void)
{
    struct bus_msg **wire = world->wire;
    size_t count = world->wire_count;
    world->wire = NULL;
    world->wire_count = world->wire_size = 0;
    for (size_t i = 0; i < count; i++)
        deliver(wire[i]);
    free(wire);
    struct heir_figures figures = keeper_heirs_figures(world->heirs);
    if (figures.held + figures.leaving > world->most_waiting)
        world->most_waiting = figures.held + figures.leaving;
    uv_run(&world->loop, world->wire_count > 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
}

static bool is_done(void)
{
    return keeper_heirs_figures(world->heirs).state >= HEIR_WAITS;
}

static void world_end(void)
{
    keeper_heirs_close(&world->heirs);
    keeper_store_close(&world->store);
    while (uv_run(&world->loop, UV_RUN_DEFAULT) != 0)
        ;
    assert_int_equal(uv_loop_close(&world->loop), 0);
    kv_file_close(&world->file_store);
    for (size_t i = 0; i < world->wire_count; i++)
        bus_msg_free(&world->wire[i]);
    free(world->wire);
    bench_close(&world->h);
    bench_close(&world->b);
    remove_tree(world->root, "", NULL);
    free(world);
}

static unsigned holders(unsigned number)
{
    const struct delivery *at_h = bench_delivery(&world->h, number, 0);
    const struct delivery *at_b = bench_delivery(&world->b, number, 0);
    return (at_h != NULL && at_h->state == CUSTODY_HELD) + (at_b != NULL && at_b->state == CUSTODY_HELD);
}

static void check_once(unsigned mails)
{
    for (unsigned i = 0; i < mails; i++)
        if (holders(i) != 1)
            fail_msg("mail %u is held by %u", i, holders(i));
    assert_int_equal(world->h.gained + world->b.gained, mails);
}

/* ---- the tests ---- */

static void move_all(unsigned mails, unsigned kills)
{
    make_log(mails, 2000);
    read_disk_id();
    take();
    for (unsigned killed = 0; killed < kills; killed++) {
        unsigned upto = world->moves + mails / (2 * kills);
        while (world->moves < upto && !is_done())
            turn();
        assert_false(is_done());
        kill_heirs();
        take();
    }
    for (usec_t end = clock_now() + 60 * USEC_SEC; !is_done() && clock_now() < end;)
        turn();
    assert_true(is_done());
    check_once(mails);
    assert_int_equal(keeper_heirs_count(world->heirs), 1);
}

static void test_moves(void **state)
{
    (void)state;
    world_begin();
    move_all(3000, 0);
    world_end();
}

static void test_killed(void **state)
{
    (void)state;
    world_begin();
    move_all(3000, 6);
    world_end();
}

/* What is not read yet waits in the log. */
static void test_killed_with_little_room(void **state)
{
    (void)state;
    world_begin();
    world->at_hand = 100;
    move_all(12000, 6);
    assert_true(world->most_waiting < 100 + 2 * 2048);
    world_end();
}

static void test_opens_the_log(void **state)
{
    (void)state;
    world_begin();
    world->opens_itself = true;
    move_all(3000, 3);
    world_end();
}

/* What is due first does not stand at the log's end: nothing waits for all to be read. */
static void test_moves_while_it_reads(void **state)
{
    (void)state;
    world_begin();
    make_log(12000, 200);
    read_disk_id();
    world->at_hand = 1000;
    take();
    while (world->moves == 0)
        turn();
    assert_int_equal(keeper_heirs_figures(world->heirs).state, HEIR_READS);
    assert_true(keeper_heirs_figures(world->heirs).unread > 5000);
    world_end();
}

/* What it tells, and asks others, must not stand on a disk that has not got it yet. */
static void test_reads_what_is_on_the_disk(void **state)
{
    (void)state;
    world_begin();
    make_log(10, 200);
    read_disk_id();
    struct spool *log = open_log();
    for (unsigned i = 10; i < 200; i++)
        append_mail(log, i, 200000);
    uint64_t last = spool_last_seq(log);
    take_log(log);
    bool begun = keeper_heirs_figures(world->heirs).unread > 0;
    assert_true(!begun || spool_committed(log) >= last);
    for (usec_t end = clock_now() + 60 * USEC_SEC; !is_done() && clock_now() < end;)
        turn();
    check_once(200);
    world_end();
}

static void test_closed_while_it_reads(void **state)
{
    (void)state;
    world_begin();
    make_log(2000, 200);
    read_disk_id();
    take();
    keeper_heirs_close(&world->heirs);
    uv_run(&world->loop, UV_RUN_NOWAIT);
    take();
    for (int i = 0; i < 3; i++)
        turn();
    world_end();
}

static void test_retires(void **state)
{
    struct buffer value = {0};
    struct spool_register reg;
    struct error error;
    uint64_t revision;
    (void)state;
    world_begin();
    world->least = 50 * USEC_MS;
    make_log(0, 0);
    read_disk_id();
    take();
    for (usec_t end = clock_now() + 20 * USEC_SEC; world->retired == 0 && clock_now() < end;)
        turn();
    assert_int_equal(world->retired, 1);
    assert_int_equal(keeper_heirs_count(world->heirs), 0);
    assert_int_equal(kv_get(&world->kv, KEY, &value, &revision, &error), KV_DONE);
    assert_int_equal(spool_register_read(buffer_bytes(&value), buffer_len(&value), &reg, &error), 0);
    assert_true(reg.retired);
    buffer_free(&value);
    world_end();
}

/* Somebody put another directory there. */
static void test_another_disk(void **state)
{
    (void)state;
    world_begin();
    make_log(10, 200);
    strcpy(world->reg.disk, "00000000000000000000000000000001");
    take();
    for (usec_t end = clock_now() + USEC_SEC / 2; clock_now() < end;)
        uv_run(&world->loop, UV_RUN_NOWAIT);
    assert_true(world->moves == 0 && keeper_heirs_figures(world->heirs).state == HEIR_READS);
    world_end();
}

/* ---- how long it takes ---- */

static double seconds(usec_t from, usec_t to)
{
    return (double)(to - from) / USEC_SEC;
}

static void measure(const char *dir, unsigned mails, size_t bytes)
{
    world_begin();
    snprintf(world->dir, sizeof world->dir, "%s", dir);
    world->segment = 0;
    const char *at_hand = getenv("AT_HAND");
    world->at_hand = at_hand == NULL ? 0 : strtoull(at_hand, NULL, 10);
    if (access(dir, F_OK) != 0) {
        make_log(mails, bytes);
        printf("made\n");
        exit(0);
    }
    read_disk_id();
    struct spool *log = open_log();
    usec_t start = clock_now(), told = start, cpu = cpu_used(), turned = start, longest = 0, read = 0;
    uint64_t before = 0;
    take_log(log);
    while (!is_done()) {
        turn();
        usec_t now = clock_now();
        struct heir_figures figures = keeper_heirs_figures(world->heirs);
        longest = now - turned > longest ? now - turned : longest;
        turned = now;
        if (figures.state > HEIR_READS && read == 0)
            read = now;
        if (now < told + USEC_SEC)
            continue;
        printf("%6.2f s: %lu moved (%lu/s), %lu held, %lu leaving\n", seconds(start, now), figures.moved,
            (figures.moved - before) * USEC_SEC / (uint64_t)(now - told), figures.held, figures.leaving);
        before = figures.moved;
        told = now;
    }
    printf("first move after %.3f s (processor: %.2f s), all read after %.2f s, ",
        seconds(start, world->first_move), seconds(cpu, world->first_cpu), seconds(start, read));
    printf("all moved after %.2f s (%.2f s); longest turn %.0f ms, %lu waited at most\n",
        seconds(start, clock_now()), seconds(cpu, cpu_used()), (double)longest / USEC_MS,
        world->most_waiting);
    exit(0); /* the log stays, with what was moved in it */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_killed_with_little_room),
        cmocka_unit_test(test_opens_the_log),
        cmocka_unit_test(test_moves_while_it_reads),
        cmocka_unit_test(test_reads_what_is_on_the_disk),
        cmocka_unit_test(test_closed_while_it_reads),
        cmocka_unit_test(test_retires),
        cmocka_unit_test(test_another_disk),
    };
    if (argc == 4)
        measure(argv[1], (unsigned)strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
