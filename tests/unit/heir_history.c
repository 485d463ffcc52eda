/* heir_history - see heir_history.h */
#include "heir_history.h"

#include <stdio.h>
#include <string.h>

struct history history;

bool history_one_in(uint64_t n)
{
    return random_below(&history.dice, n) == 0;
}

static void make_mail(unsigned number)
{
    char to[128] = "";
    history.recipients[number] = 1 + (uint32_t)random_below(&history.dice, HISTORY_RECIPIENTS);
    for (uint32_t i = 0; i < history.recipients[number]; i++) {
        size_t len = strlen(to);
        snprintf(to + len, sizeof to - len, "%su%u@d%u.test", i == 0 ? "" : ",", i,
            (unsigned)random_below(&history.dice, 10));
    }
    estate_mail(number, to, estate.now + (usec_t)random_below(&history.dice, 4) * USEC_MIN);
}

static struct delivery *held(unsigned number, uint32_t index)
{
    struct delivery *delivery = estate_dead(number, index);
    return delivery != NULL && delivery->state == CUSTODY_HELD && delivery->committed ? delivery : NULL;
}

/* Whatever is in flight reaches those who live, or does not. */
static void pass_some(void)
{
    for (unsigned i = 0; i < 8 && estate.sent_count > 0; i++) {
        size_t at = (size_t)random_below(&history.dice, estate.sent_count);
        if (history_one_in(3))
            estate_drop(at);
        else
            estate_deliver(at, history_one_in(4));
    }
}

static void live_on(unsigned number)
{
    for (uint32_t i = 0; i < history.recipients[number]; i++) {
        struct delivery *delivery = held(number, i);
        if (delivery == NULL || delivery->attempt != 0)
            continue;
        switch (random_below(&history.dice, 7)) {
        case 0:
            custody_done(estate.dead, delivery, RESULT_DELIVERED, 250, "{}", estate.now);
            history.ended[number][i] = true;
            break;
        case 1:
            custody_attempt(estate.dead, &delivery, 1, estate.now);
            if (history_one_in(2)) {
                estate_dead_commits();
                custody_retry(estate.dead, delivery, estate.now + USEC_MIN, "{}", estate.now);
            }
            break;
        case 2:
            custody_retry(estate.dead, delivery, estate.now + USEC_MIN, "{}", estate.now);
            break;
        case 3:
            if (delivery->settled)
                custody_move(estate.dead, &delivery, 1, "b", estate.now);
            break;
        case 4:
            custody_restate(estate.dead, estate_oldest(), history_one_in(2), estate.now);
            break;
        default:
            break;
        }
        estate_dead_commits();
        pass_some();
    }
}

/* b had some of it, and moves it back. */
static void come_back(unsigned number)
{
    struct mail_id id = bench_id(number);
    struct held *at_b = custody_find(estate.b.custody, &id);
    for (uint32_t i = 0; at_b != NULL && i < at_b->count; i++) {
        struct delivery *delivery = at_b->deliveries[i];
        if (delivery->state != CUSTODY_HELD || !delivery->committed || !delivery->settled ||
            !history_one_in(2))
            continue;
        custody_move(estate.b.custody, &delivery, 1, "a", estate.now);
        estate_b_words();
        pass_some();
    }
}

void history_make(uint64_t seed)
{
    history = (struct history){.dice = {seed}};
    for (unsigned number = 0; number < HISTORY_MAILS; number++)
        make_mail(number);
    for (unsigned i = 0; i < 2 * HISTORY_MAILS; i++) {
        live_on((unsigned)random_below(&history.dice, HISTORY_MAILS));
        come_back((unsigned)random_below(&history.dice, HISTORY_MAILS));
    }
}
