/* api_time - a time as RFC 3339 writes it */
#ifndef COORDINATOR_API_TIME_H
#define COORDINATOR_API_TIME_H

#include "base/clock.h"

/* "2027-01-31T08:00:00Z", "2027-01-31T08:00:00.5+02:00". 0, or -1 if it is none or before 1970. */
int api_time(const char *text, usec_t *when_r);

#endif
