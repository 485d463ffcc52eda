/* heir_history - what the dead node of an estate did while it lived, at random: mail came, was tried, ended, left for "b" and came
 * back, and the log was tidied */
#ifndef TESTS_UNIT_HEIR_HISTORY_H
#define TESTS_UNIT_HEIR_HISTORY_H

#include "base/random.h"
#include "heir_help.h"

enum { HISTORY_MAILS = 24, HISTORY_RECIPIENTS = 3 };

struct history {
    struct random dice;
    bool ended[HISTORY_MAILS][HISTORY_RECIPIENTS];
    uint32_t recipients[HISTORY_MAILS];
};
extern struct history history;

/* Between estate_begin and estate_inherit. */
void history_make(uint64_t seed);
bool history_one_in(uint64_t n);

#endif
