/* The bus against frames that no Todoku sends, over a socket of our own: with a member's key, with none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "base/alloc.h"
#include "base/random.h"
#include "tests/unit/bus_help.h"

#define NOTHING_COMES (100 * USEC_MS)

/* A house, and somebody who has the key of its peer "b" but speaks as it likes. */
struct scene {
    struct house house;
    void *context, *socket;
    struct bus_key key;
    uint64_t offset, sequence;
};

static void set_int(void *socket, int option, int value)
{
    assert_int_equal(zmq_setsockopt(socket, option, &value, sizeof value), 0);
}

static void open_socket(struct scene *scene, bool curve)
{
    scene->socket = zmq_socket(scene->context, ZMQ_DEALER);
    set_int(scene->socket, ZMQ_LINGER, 0);
    set_int(scene->socket, ZMQ_SNDTIMEO, 10000);
    if (curve) {
        zmq_setsockopt(scene->socket, ZMQ_CURVE_SERVERKEY, scene->house.key.public_key, MEMBER_KEY_SIZE);
        zmq_setsockopt(scene->socket, ZMQ_CURVE_PUBLICKEY, scene->key.public_key, MEMBER_KEY_SIZE);
        zmq_setsockopt(scene->socket, ZMQ_CURVE_SECRETKEY, scene->key.secret_key, MEMBER_KEY_SIZE);
    }
    assert_int_equal(zmq_connect(scene->socket, scene->house.endpoint), 0);
}

static void scene_open(struct scene *scene)
{
    *scene = (struct scene){0};
    struct bus_allowed allowed = {.member = "b"};
    house_open(&scene->house, "a", NULL, NULL);
    bus_key_make(&scene->key);
    memcpy(allowed.public_key, scene->key.public_key, sizeof allowed.public_key);
    house_set_allowed(&scene->house, &allowed, 1);
    scene->context = zmq_ctx_new();
    open_socket(scene, true);
}

static void scene_close(struct scene *scene)
{
    zmq_close(scene->socket);
    zmq_ctx_term(scene->context);
    house_close(&scene->house);
}

static struct bus_envelope envelope_of(struct scene *scene)
{
    return (struct bus_envelope){.cluster = "test",
        .from = "b",
        .to = "a",
        .wire = wire_ours.most,
        .process = 5,
        .stream = 6,
        .sequence = ++scene->sequence,
        .offset = scene->offset += 5000,
        .type = BUS_ASK,
        .well = true};
}

static void say(struct scene *scene, const struct bus_envelope *envelope)
{
    struct buffer payload = {0}, frame = {0};
    struct error error;
    struct bus_msg *msg = bus_msg_new(BUS_ASK, "b", "a");
    assert_int_equal(bus_payload_encode(msg, &payload, &error), 0);
    bus_envelope_encode(envelope, envelope->type == 0 ? NULL : buffer_bytes(&payload),
        envelope->type == 0 ? 0 : buffer_len(&payload), &frame);
    assert_true(zmq_send(scene->socket, buffer_bytes(&frame), buffer_len(&frame), 0) >= 0);
    bus_msg_free(&msg);
    buffer_free(&payload);
    buffer_free(&frame);
}

static void say_something_good(struct scene *scene)
{
    struct bus_envelope envelope = envelope_of(scene);
    say(scene, &envelope);
    struct bus_msg *msg = house_receive(&scene->house, HELP_PATIENCE);
    assert_non_null(msg);
    assert_string_equal(msg->from, "b");
    bus_msg_free(&msg);
}

static void expect_dropped(struct scene *scene, uint64_t bad, uint64_t foreign)
{
    assert_true(help_until(bus_zmq_figures(scene->house.door).dropped_bad >= bad));
    assert_true(help_until(bus_zmq_figures(scene->house.door).dropped_foreign >= foreign));
    assert_null(house_receive(&scene->house, NOTHING_COMES));
    say_something_good(scene);
    assert_int_equal(bus_zmq_figures(scene->house.door).dropped_bad, bad);
    assert_int_equal(bus_zmq_figures(scene->house.door).dropped_foreign, foreign);
}

static void test_rubbish(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    say_something_good(&scene);
    zmq_send(scene.socket, "\xff\xff\xff\xff rubbish", 12, 0);
    expect_dropped(&scene, 1, 0);
    zmq_send(scene.socket, "", 0, 0);
    expect_dropped(&scene, 2, 0);
    for (int i = 0; i < 50; i++)
        zmq_send(scene.socket, "part", 4, i < 49 ? ZMQ_SNDMORE : 0);
    expect_dropped(&scene, 3, 0);
    struct bus_envelope envelope = envelope_of(&scene);
    envelope.stream = 0;
    say(&scene, &envelope);
    expect_dropped(&scene, 4, 0);
    struct random random = {.state = 1};
    for (int i = 0; i < 500; i++) {
        char bytes[300];
        size_t len = 1 + random_below(&random, sizeof bytes - 1);
        for (size_t j = 0; j < len; j++)
            bytes[j] = (char)random_next(&random);
        zmq_send(scene.socket, bytes, len, 0);
    }
    expect_dropped(&scene, 504, 0);
    scene_close(&scene);
}

static void test_forged(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct bus_envelope envelope = envelope_of(&scene);
    memcpy(envelope.from, "c", 2);
    say(&scene, &envelope);
    expect_dropped(&scene, 1, 0);
    envelope = envelope_of(&scene);
    memcpy(envelope.to, "c", 2);
    say(&scene, &envelope);
    expect_dropped(&scene, 2, 0);
    envelope = envelope_of(&scene);
    memcpy(envelope.cluster, "other", 6);
    say(&scene, &envelope);
    expect_dropped(&scene, 2, 1);
    scene_close(&scene);
}

/* Field 1 of the envelope is the version: 0x08, and its number. */
static void test_another_version(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    zmq_send(scene.socket,
        "\x08\x09\x12\x04test\x1a\x01"
        "b",
        11, 0);
    expect_dropped(&scene, 1, 0);
    scene_close(&scene);
}

static void test_too_large(void **state)
{
    (void)state;
    struct scene scene;
    char *bytes = xcalloc(BUS_MAX_BODY + 1000, 1);
    scene_open(&scene);
    zmq_send(scene.socket, bytes, BUS_MAX_FRAME + 1, 0);
    expect_dropped(&scene, 1, 0);
    /* Above MAXMSGSIZE the connection ends; the next one is good again. */
    zmq_send(scene.socket, bytes, BUS_MAX_BODY + 1000, 0);
    assert_null(house_receive(&scene.house, NOTHING_COMES));
    zmq_close(scene.socket);
    open_socket(&scene, true);
    say_something_good(&scene);
    free(bytes);
    scene_close(&scene);
}

/* A body where none belongs, and none where one does. */
static void test_wrong_body(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct buffer frame = {0};
    struct bus_envelope envelope = envelope_of(&scene);
    bus_envelope_encode(&envelope, "", 0, &frame);
    zmq_send(scene.socket, buffer_bytes(&frame), buffer_len(&frame), ZMQ_SNDMORE);
    zmq_send(scene.socket, "body", 4, 0);
    expect_dropped(&scene, 1, 0);
    envelope = envelope_of(&scene);
    envelope.type = BUS_INJECT;
    buffer_clear(&frame);
    bus_envelope_encode(&envelope, "", 0, &frame);
    zmq_send(scene.socket, buffer_bytes(&frame), buffer_len(&frame), 0);
    expect_dropped(&scene, 2, 0);
    buffer_free(&frame);
    scene_close(&scene);
}

static void test_without_curve(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    zmq_close(scene.socket);
    open_socket(&scene, false);
    struct bus_envelope envelope = envelope_of(&scene);
    say(&scene, &envelope);
    assert_null(house_receive(&scene.house, 3 * NOTHING_COMES));
    assert_int_equal(bus_zmq_figures(scene.house.door).received, 0);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rubbish),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_another_version),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_wrong_body),
        cmocka_unit_test(test_without_curve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
