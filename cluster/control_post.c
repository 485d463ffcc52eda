/* control_post - what the store answers, copied and handed from the store's thread to control's */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cluster/control_state.h"

/* Whom an answer is for. */
struct asked {
    struct control *control;
    enum control_core core;
    uint64_t ref;
};

static struct kv_pair *copy_pairs(const struct kv_pair *pairs, size_t count)
{
    struct kv_pair *copies = xcalloc(count + 1, sizeof *copies);
    for (size_t i = 0; i < count; i++) {
        copies[i] = pairs[i];
        copies[i].key = xstrdup(pairs[i].key);
        void *value = xmalloc(pairs[i].len + 1);
        if (pairs[i].len > 0)
            memcpy(value, pairs[i].value, pairs[i].len);
        copies[i].value = value;
    }
    return copies;
}

static void leave(struct control *control, struct control_post *post)
{
    pthread_mutex_lock(&control->lock);
    list_push_back(&control->posts, &post->link);
    pthread_mutex_unlock(&control->lock);
    bus_zmq_wake(control->bus);
}

static void on_result(void *arg, const struct kv_result *result)
{
    struct asked *asked = arg;
    struct control_post *post = xcalloc(1, sizeof *post);
    post->core = asked->core;
    post->ref = asked->ref;
    post->result = *result;
    post->result.pairs = post->pairs = copy_pairs(result->pairs, result->pair_count);
    post->result.why = post->why = result->why == NULL ? NULL : xstrdup(result->why);
    leave(asked->control, post);
    free(asked);
}

void control_request(
    struct control *control, enum control_core core, uint64_t ref, const struct kv_request *request)
{
    struct asked *asked = xcalloc(1, sizeof *asked);
    *asked = (struct asked){control, core, ref};
    control->kv.request(control->kv.context, request, on_result, asked);
}

void control_told(void *arg, const struct kv_news *news)
{
    const struct control_topic *topic = arg;
    struct control_post *post = xcalloc(1, sizeof *post);
    post->is_news = true;
    post->topic = topic->topic;
    post->news = *news;
    post->news.pairs = post->pairs = copy_pairs(news->pairs, news->pair_count);
    post->news.why = post->why = news->why == NULL ? NULL : xstrdup(news->why);
    leave(topic->control, post);
}

struct control_post *control_post_take(struct control *control)
{
    pthread_mutex_lock(&control->lock);
    struct list *link = list_pop(&control->posts);
    pthread_mutex_unlock(&control->lock);
    return link == NULL ? NULL : list_item(link, struct control_post, link);
}

void control_post_free(struct control_post **post)
{
    struct control_post *p = *post;
    *post = NULL;
    size_t count = p->is_news ? p->news.pair_count : p->result.pair_count;
    for (size_t i = 0; i < count; i++) {
        free((char *)p->pairs[i].key);
        free((void *)p->pairs[i].value);
    }
    free(p->pairs);
    free(p->why);
    free(p);
}
