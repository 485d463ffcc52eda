/* park_library_rocks - see park_library_rocks.h */
#include "node/park_library_rocks.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

static struct park_library library;
static struct error trouble;
static bool loaded;

/* What is found goes into the member at `place`. */
static bool find(void *handle, const char *name, void *place)
{
    void *function = dlsym(handle, name);
    if (function == NULL)
        error_set(&trouble, "%s has no function %s", PARK_LIBRARY_FILE, name);
    memcpy(place, &function, sizeof function);
    return function != NULL;
}

static void load(void)
{
    void *handle = dlopen(PARK_LIBRARY_FILE, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        error_set(&trouble, "RocksDB can't be loaded: %s; install librocksdb", dlerror());
        return;
    }
    loaded = true;
#define PARK_LIBRARY_FIND(name) loaded = loaded && find(handle, "rocksdb_" #name, &library.name);
    PARK_LIBRARY(PARK_LIBRARY_FIND)
#undef PARK_LIBRARY_FIND
}

const struct park_library *park_library(struct error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    if (!loaded)
        error_set(error, "%s", trouble.text);
    return loaded ? &library : NULL;
}
