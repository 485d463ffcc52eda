/* mirror_help - see mirror_help.h */
#include "mirror_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct scene scene;

/* ---- ports ---- */

static void on_append(void *context, const struct copy_frame *frame)
{
    (void)context;
    assert_true(scene.count < sizeof scene.log / sizeof *scene.log);
    scene.log[scene.count++] = (struct log_entry){frame->seq, frame->base, frame->base};
}

static void on_release(void *context, uint64_t seq)
{
    (void)context;
    for (size_t i = 0; i < scene.count; i++)
        if (scene.log[i].seq == seq)
            scene.log[i].live = false;
}

static bool is_among(uint64_t seq, const uint64_t *seqs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (seqs[i] == seq)
            return true;
    return false;
}

static void on_living(void *context, uint64_t after, uint64_t upto, const uint64_t *seqs, size_t count)
{
    (void)context;
    for (size_t i = 0; i < scene.count; i++)
        if (scene.log[i].seq > after && scene.log[i].seq <= upto && !is_among(scene.log[i].seq, seqs, count))
            scene.log[i].live = false;
}

static void on_note(void *context, const struct mirror_note *note)
{
    (void)context;
    assert_false(scene.is_noting);
    scene.noting = *note;
    scene.is_noting = true;
}

static void on_send(void *context, struct bus_msg *msg)
{
    (void)context;
    struct error error;
    assert_int_equal(msg->type, BUS_COPIED);
    assert_string_equal(msg->to, "p");
    assert_int_equal(copy_answer_read(msg->body, &scene.answer, &error), 0);
    scene.answer_ref = msg->ref;
    scene.answers++;
    bus_msg_free(&msg);
}

static void on_serve(
    void *context, const struct spool_register *reg, const struct mirror_note *note, uint64_t told)
{
    (void)context;
    (void)note;
    scene.served++;
    scene.served_reg = *reg;
    scene.served_told = told;
}

static void on_anew(void *context)
{
    (void)context;
    scene.outdated++;
}

static void on_useless(void *context)
{
    (void)context;
    scene.uselessed++;
}

static void on_notice(void *context, const char *what)
{
    (void)context;
    scene.notices++;
    snprintf(scene.notice, sizeof scene.notice, "%s", what);
}

static void on_result(void *arg, uint64_t ref, const struct kv_result *result)
{
    (void)arg;
    mirror_result(scene.mirror, ref, result, scene.now);
}

/* ---- the scene ---- */

static void start(uint64_t process, uint64_t last_seq)
{
    struct mirror_settings settings = {
        .member = "m", .spool = "s", .key = KEY, .disk = "disk-m", .process = process};
    struct mirror_ports ports = {.append = on_append,
        .release = on_release,
        .living = on_living,
        .note = on_note,
        .send = on_send,
        .serve = on_serve,
        .useless = on_useless,
        .anew = on_anew,
        .notice = on_notice};
    scene.client = (struct fake_client){.store = &scene.store, .result = on_result};
    ports.store = fake_port(&scene.client);
    scene.mirror = mirror_new(&settings, &scene.note, last_seq, &ports, scene.now);
}

void scene_begin(void)
{
    memset(&scene, 0, sizeof scene);
    scene.now = USEC_SEC;
    start(M, 0);
    scene_put(1, "disk-p", "disk-m", "", P);
    scene_tell();
}

void scene_end(void)
{
    mirror_free(&scene.mirror);
    fake_forget(&scene.client);
    fake_free(&scene.store);
}

void scene_restart(uint64_t process, size_t keep)
{
    mirror_free(&scene.mirror);
    fake_forget(&scene.client);
    scene.is_noting = false;
    assert_true(keep <= scene.count);
    scene.count = keep;
    start(process, keep == 0 ? 0 : scene.log[keep - 1].seq);
}

void scene_put(uint64_t epoch, const char *disk, const char *mirror, const char *old, uint64_t process)
{
    struct spool_register reg = {.epoch = epoch, .incarnation = 1, .process = process};
    struct buffer text = {0};
    snprintf(reg.node, sizeof reg.node, "%s", strcmp(disk, "disk-m") == 0 ? "m" : "p");
    snprintf(reg.disk, sizeof reg.disk, "%s", disk);
    snprintf(reg.mirror, sizeof reg.mirror, "%s", mirror);
    if (mirror[0] != '\0')
        snprintf(reg.mirror_node, sizeof reg.mirror_node, "m");
    snprintf(reg.old, sizeof reg.old, "%s", old);
    spool_register_write(&reg, &text);
    fake_put_bytes(&scene.store, KEY, buffer_bytes(&text), buffer_len(&text), 0);
    buffer_free(&text);
}

void scene_get(struct spool_register *reg_r)
{
    const struct fake_key *key = fake_get(&scene.store, KEY);
    struct error error;
    assert_non_null(key);
    assert_int_equal(spool_register_read(key->value, key->len, reg_r, &error), 0);
}

void scene_tell(void)
{
    const struct fake_key *key = fake_get(&scene.store, KEY);
    struct kv_pair pair = {.key = KEY};
    struct kv_news news = {
        .type = KV_LIST, .pairs = &pair, .revision = scene.store.revision, .history = scene.store.history};
    if (key != NULL) {
        pair = (struct kv_pair){KEY, key->value, key->len, key->revision, key->created, 0, false};
        news.pair_count = 1;
    }
    mirror_register_news(scene.mirror, &news, scene.now);
}

void scene_noted(void)
{
    assert_true(scene.is_noting);
    scene.note = scene.noting;
    scene.is_noting = false;
    mirror_noted(scene.mirror, scene.now);
}

/* ---- the primary ---- */

void say(const struct copy_header *header, const struct copy_entry *entries, size_t count)
{
    static uint64_t refs;
    struct bus_msg *msg = bus_msg_new(BUS_COPY, "p", "m");
    struct buffer out = {0};
    size_t len;
    copy_header_add(header, &out);
    for (size_t i = 0; i < count; i++)
        copy_entry_add(&entries[i], &out);
    char *bytes = buffer_steal(&out, &len);
    msg->body = blob_take(bytes, len);
    msg->ref = ++refs;
    snprintf(msg->spool, sizeof msg->spool, "s");
    mirror_message(scene.mirror, msg, scene.now);
    bus_msg_free(&msg);
}

void say_ask(uint64_t epoch)
{
    say(&(struct copy_header){.verb = COPY_ASK, .epoch = epoch, .process = P}, NULL, 0);
}

void say_anew(uint64_t epoch, const char *disk)
{
    struct copy_header header = {
        .verb = COPY_ANEW, .epoch = epoch, .process = P, .count = (uint32_t)strlen(disk)};
    snprintf(header.disk, sizeof header.disk, "%s", disk);
    say(&header, NULL, 0);
}

void say_open(uint64_t epoch, uint64_t process, uint64_t stream, uint64_t cut_after)
{
    struct copy_header header = {.verb = COPY_OPEN,
        .epoch = epoch,
        .process = process,
        .stream = stream,
        .copy_process = scene.answer.copy_process,
        .have = scene.answer.last_seq,
        .cut_after = cut_after};
    say(&header, NULL, 0);
    if (scene.is_noting)
        scene_noted();
}

void say_frames(uint64_t epoch, uint64_t stream, uint64_t first, size_t count, const uint64_t *seqs)
{
    struct copy_entry entries[16] = {0};
    struct copy_header header = {.verb = COPY_STREAM,
        .epoch = epoch,
        .process = P,
        .stream = stream,
        .first = first,
        .count = (uint32_t)count,
        .told = seqs[0]};
    assert_true(count <= 16);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct copy_entry){
            .kind = COPY_FRAME, .frame = {.seq = seqs[i], .base = true, .record = "record", .len = 6}};
    say(&header, entries, count);
}

void say_entry(uint64_t epoch, uint64_t stream, uint64_t first, const struct copy_entry *entry)
{
    struct copy_header header = {
        .verb = COPY_STREAM, .epoch = epoch, .process = P, .stream = stream, .first = first, .count = 1};
    say(&header, entry, 1);
}

void check_log(size_t count, const uint64_t *seqs)
{
    assert_int_equal(scene.count, count);
    for (size_t i = 0; i < count; i++)
        assert_true(scene.log[i].seq == seqs[i]);
}

bool is_live(uint64_t seq)
{
    for (size_t i = 0; i < scene.count; i++)
        if (scene.log[i].seq == seq)
            return scene.log[i].live;
    return false;
}
