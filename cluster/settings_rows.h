/* settings_rows - the tables of the operator's file (internal to cluster/settings*.c)
 *
 * One row a key: name, type, default, bounds, target. This is the place to look up what a file may say. */
#ifndef CLUSTER_SETTINGS_ROWS_H
#define CLUSTER_SETTINGS_ROWS_H

#include "base/config.h"

extern const struct config_row settings_rows[];
/* The shipped providers.yaml: `providers` only, into a struct settings too. */
extern const struct config_row settings_shipped_rows[];

#endif
