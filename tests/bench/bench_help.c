/* bench_help - see bench_help.h */
#include "tests/bench/bench_help.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

usec_t bench_cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * USEC_SEC + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

void bench_remove(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        closedir(dir);
    rmdir(path);
}
