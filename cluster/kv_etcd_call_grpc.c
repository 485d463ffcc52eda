/* kv_etcd_call_grpc - one call to etcd, from its start to its status; see kv_etcd_inside_grpc.h
 *
 * A unary call is one batch of all six operations; so is the keeping of a lease, a stream with one message
 * each way. A watch's stream is three batches: what is sent, the status, and one receive that is started
 * again by its completion (never two receives at once). What a batch points to lives in the call until the
 * last batch is back.
 *
 * gRPC's library is not built for the thread sanitizer, which thus misses that a batch is handed over by the
 * queue: it is told. */
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/panic.h"
#include "cluster/kv_etcd_inside_grpc.h"

#if defined(__SANITIZE_THREAD__)
#define HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_TSAN 1
#endif
#endif
#ifdef HAS_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "ignore_noninstrumented_modules=1";
}
#else
#define __tsan_acquire(address) ((void)(address))
#define __tsan_release(address) ((void)(address))
#endif

static void start(struct call *call, const grpc_op *ops, size_t count, struct call_tag *tag)
{
    call->batches++;
    __tsan_release(tag);
    must(grpc_call_start_batch(call->call, ops, count, tag, NULL) == GRPC_CALL_OK);
}

static void receive(struct call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->received};
    start(call, &op, 1, &call->receiving);
}

/* rpc: metadata "token" is the user's, "hasleader" makes a member without a leader refuse or end the call. */
static size_t fill_metadata(struct call *call)
{
    const struct kv_etcd *etcd = call->etcd;
    size_t count = 0;
    call->metadata[count++] = (grpc_metadata){
        .key = grpc_slice_from_static_string("hasleader"), .value = grpc_slice_from_static_string("true")};
    if (buffer_len(&etcd->token) > 0)
        call->metadata[count++] = (grpc_metadata){.key = grpc_slice_from_static_string("token"),
            .value = grpc_slice_from_copied_buffer(buffer_bytes(&etcd->token), buffer_len(&etcd->token))};
    call->token = etcd->token_number;
    return count;
}

static void start_batches(struct call *call, size_t metadata_count)
{
    grpc_op send[] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA,
            .data.send_initial_metadata = {.count = metadata_count, .metadata = call->metadata}},
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
            .data.recv_initial_metadata.recv_initial_metadata = &call->initial},
        {.op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = call->sent},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
            .data.recv_status_on_client = {.trailing_metadata = &call->trailing,
                .status = &call->status,
                .status_details = &call->details}},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT},
        {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->received},
    };
    if (call->heard == NULL) {
        start(call, send, 6, &call->plain);
        return;
    }
    start(call, send, 3, &call->plain);
    start(call, &send[3], 1, &call->plain);
    receive(call);
}

static gpr_timespec deadline_in(usec_t patience)
{
    if (patience <= 0)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_micros(patience, GPR_TIMESPAN));
}

struct call *call_start(struct kv_etcd *etcd, struct endpoint *endpoint, const struct call_wish *wish)
{
    struct call *call = xcalloc(1, sizeof *call);
    call->etcd = etcd;
    call->endpoint = endpoint;
    call->owner = wish->owner;
    call->over = wish->over;
    call->heard = wish->heard;
    call->plain = (struct call_tag){call, false};
    call->receiving = (struct call_tag){call, true};
    call->details = grpc_empty_slice();
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    grpc_slice message =
        grpc_slice_from_copied_buffer(buffer_bytes(wish->message), buffer_len(wish->message));
    call->sent = grpc_raw_byte_buffer_create(&message, 1);
    grpc_slice_unref(message);
    call->call = grpc_channel_create_call(endpoint->channel, NULL, GRPC_PROPAGATE_DEFAULTS, etcd->queue,
        grpc_slice_from_static_string(wish->method), NULL, deadline_in(wish->patience), NULL);
    list_push_back(&etcd->calls, &call->link);
    start_batches(call, wish->bare ? 0 : fill_metadata(call));
    return call;
}

void call_cancel(struct call *call)
{
    call->cancelled = true;
    grpc_call_cancel(call->call, NULL);
}

static void call_free(struct call *call)
{
    list_remove(&call->link);
    grpc_call_unref(call->call);
    grpc_byte_buffer_destroy(call->sent);
    if (call->received != NULL)
        grpc_byte_buffer_destroy(call->received);
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    grpc_slice_unref(call->details);
    for (size_t i = 0; i < 2; i++)
        grpc_slice_unref(call->metadata[i].value);
    free(call);
}

grpc_slice call_answer(struct call *call)
{
    grpc_byte_buffer_reader reader;
    if (call->received == NULL || !grpc_byte_buffer_reader_init(&reader, call->received))
        return grpc_empty_slice();
    grpc_slice whole = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    grpc_byte_buffer_destroy(call->received);
    call->received = NULL;
    return whole;
}

static void on_message(struct call *call)
{
    if (call->received == NULL)
        return; /* the end of the stream; its status comes */
    grpc_slice message = call_answer(call);
    if (call->owner != NULL && !call->cancelled)
        call->heard(call, GRPC_SLICE_START_PTR(message), GRPC_SLICE_LENGTH(message));
    grpc_slice_unref(message);
    if (!call->cancelled)
        receive(call);
}

void call_event(const grpc_event *event)
{
    struct call_tag *tag = event->tag;
    struct call *call = tag->call;
    __tsan_acquire(tag);
    call->batches--;
    if (tag->receives)
        on_message(call);
    if (call->batches > 0)
        return;
    call->over(call);
    call_free(call);
}

bool call_says(const struct call *call, const char *text)
{
    return memmem(GRPC_SLICE_START_PTR(call->details), GRPC_SLICE_LENGTH(call->details), text,
               strlen(text)) != NULL;
}

void call_details(const struct call *call, char *out, size_t size)
{
    size_t len = GRPC_SLICE_LENGTH(call->details), at = 0;
    const unsigned char *from = GRPC_SLICE_START_PTR(call->details);
    for (size_t i = 0; i < len && at + 1 < size; i++)
        out[at++] = from[i] >= ' ' && from[i] < 0x7f ? (char)from[i] : '?';
    out[at] = '\0';
    if (at == 0)
        snprintf(out, size, "status %d", (int)call->status);
}
