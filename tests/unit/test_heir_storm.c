/* A spool that was taken over, under lost, doubled and late messages, refusals, silence, unreadable bodies and crashes of
 * the heir at any moment: whatever was not ended when its node died is held by exactly one node in the end, and never by
 * two. Half of the runs have a table and hardly any memory.
 *
 *     test_heir_storm              the seeds of every run
 *     test_heir_storm 7 1000       1,000 seeds from 7 on */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "heir_help.h"

enum { MAILS = 24, STEPS = 600, RECIPIENTS = 3 };

static uint64_t first_seed = 1, seeds = 400;
static struct random dice;
static bool ended[MAILS][RECIPIENTS];
static uint32_t recipients[MAILS];
static unsigned doubtful;

static bool one_in(uint64_t n)
{
    return random_below(&dice, n) == 0;
}

/* ---- while the node lived ---- */

static void make_mail(unsigned number)
{
    char to[128] = "";
    recipients[number] = 1 + (uint32_t)random_below(&dice, RECIPIENTS);
    for (uint32_t i = 0; i < recipients[number]; i++) {
        size_t len = strlen(to);
        snprintf(to + len, sizeof to - len, "%su%u@d%u.test", i == 0 ? "" : ",", i,
            (unsigned)random_below(&dice, 10));
    }
    estate_mail(number, to, estate.now + (usec_t)random_below(&dice, 4) * USEC_MIN);
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
        size_t at = (size_t)random_below(&dice, estate.sent_count);
        if (one_in(3))
            estate_drop(at);
        else
            estate_deliver(at, one_in(4));
    }
}

static void live_on(unsigned number)
{
    for (uint32_t i = 0; i < recipients[number]; i++) {
        struct delivery *delivery = held(number, i);
        if (delivery == NULL || delivery->attempt != 0)
            continue;
        switch (random_below(&dice, 6)) {
        case 0:
            custody_done(estate.dead, delivery, RESULT_DELIVERED, 250, "{}", estate.now);
            ended[number][i] = true;
            break;
        case 1:
            custody_attempt(estate.dead, &delivery, 1, estate.now);
            if (one_in(2)) {
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
        if (delivery->state != CUSTODY_HELD || !delivery->committed || !delivery->settled || !one_in(2))
            continue;
        custody_move(estate.b.custody, &delivery, 1, "a", estate.now);
        estate_b_words();
        pass_some();
    }
}

/* ---- the storm ---- */

static void check_holders(uint64_t seed, bool at_the_end)
{
    for (unsigned number = 0; number < MAILS; number++)
        for (uint32_t i = 0; i < recipients[number]; i++) {
            unsigned holders = estate_holders(number, i);
            if (holders > 1 || (at_the_end && holders != (ended[number][i] ? 0 : 1)))
                fail_msg("seed %llu: mail %u, recipient %u (%s) is held by %u", (unsigned long long)seed,
                    number, i, ended[number][i] ? "ended" : "open", holders);
        }
}

static void check_end(uint64_t seed)
{
    struct map_entry *at = NULL;
    if (heir_figures(estate.heir).state == HEIR_WAITS)
        return;
    for (const struct held *held; (held = custody_next(heir_custody(estate.heir), &at)) != NULL;)
        for (uint32_t i = 0; i < held->count && held->open > 0; i++) {
            const struct delivery *delivery = held->deliveries[i];
            print_message("%u.%u: %s, hop %u, %s, %ssettled, mood %u\n",
                *(const unsigned *)held->mail->id.bytes, delivery->index,
                custody_state_name((enum custody_state)delivery->state), delivery->hop,
                delivery->peer == NULL ? "-" : delivery->peer, delivery->settled ? "" : "un", delivery->mood);
        }
    fail_msg("seed %llu: the spool is not empty", (unsigned long long)seed);
}

static void step(void)
{
    size_t at = estate.sent_count == 0 ? 0 : (size_t)random_below(&dice, estate.sent_count);
    switch (random_below(&dice, 16)) {
    case 0:
        estate.now += (usec_t)random_below(&dice, 300) * USEC_MS;
        heir_tick(estate.heir, estate.now);
        break;
    case 1:
        estate_b_words();
        break;
    case 2:
        if (one_in(8))
            estate_crash((size_t)random_below(&dice, 3));
        break;
    case 3:
        estate.h_shut = one_in(8);
        estate.b_shut = one_in(4);
        estate.bodies_fail = one_in(6);
        break;
    case 4:
        heir_set_silent(estate.heir, "b", one_in(4), estate.now);
        heir_set_paired(estate.heir, one_in(2));
        break;
    case 5:
    case 6:
    case 7:
        estate_commit_some((size_t)random_below(&dice, 4));
        break;
    case 8:
    case 9:
        estate_read();
        break;
    default:
        if (estate.sent_count > 0 && one_in(6))
            estate_drop(at);
        else if (estate.sent_count > 0)
            estate_deliver(at, one_in(5));
        break;
    }
}

static void calm(void)
{
    estate.h_shut = estate.b_shut = estate.bodies_fail = false;
    heir_set_silent(estate.heir, "b", false, estate.now);
    heir_set_paired(estate.heir, true);
    for (unsigned i = 0; i < 300 && heir_figures(estate.heir).state != HEIR_WAITS; i++)
        estate_run(1, 2 * USEC_SEC);
    estate_run(40, 2 * USEC_SEC); /* what b asks of it */
}

static void run(uint64_t seed)
{
    dice = (struct random){seed};
    memset(ended, 0, sizeof ended);
    estate_begin();
    if (seed % 2 == 1) {
        estate.table = park_memory_new();
        estate.at_hand = 8;
    }
    estate.window = 1 + (uint32_t)random_below(&dice, 8);
    estate.quarantine = 5 * USEC_SEC;
    for (unsigned number = 0; number < MAILS; number++)
        make_mail(number);
    for (unsigned i = 0; i < 2 * MAILS; i++) {
        live_on((unsigned)random_below(&dice, MAILS));
        come_back((unsigned)random_below(&dice, MAILS));
    }
    estate_inherit(0);
    doubtful += heir_figures(estate.heir).in_doubt > 0;
    for (unsigned i = 0; i < STEPS; i++) {
        step();
        check_holders(seed, false);
    }
    calm();
    check_end(seed);
    check_holders(seed, true);
    assert_int_equal(heir_figures(estate.heir).in_doubt, 0);
    estate_end();
}

static void test_storm(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++)
        run(seed);
    assert_true(doubtful > seeds / 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_storm)};
    if (argc == 3) {
        first_seed = strtoull(argv[1], NULL, 10);
        seeds = strtoull(argv[2], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
