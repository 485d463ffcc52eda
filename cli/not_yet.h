/* not_yet - says which settings have no effect so far
 *
 * The whole configuration is read and checked, also what later versions will act on. Nobody should believe
 * that his mail is signed because a key is configured: each such setting is named in the log at the start. */
#ifndef CLI_NOT_YET_H
#define CLI_NOT_YET_H

#include "cluster/settings.h"

void not_yet_warn(const struct settings *settings);

#endif
