/* replay - runs a fuzz target over the files of its corpus, where libFuzzer is not linked
 *
 * fuzz_reply DIR: every file in DIR is given to the target once. An empty or missing folder fails: a corpus
 * is part of the test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return -1;
    uint8_t *bytes = malloc(1 << 20);
    size_t len = bytes == NULL ? 0 : fread(bytes, 1, 1 << 20, file);
    fclose(file);
    /* An exact copy, so that the sanitizer sees a read past the end. */
    uint8_t *exact = malloc(len > 0 ? len : 1);
    if (exact != NULL && bytes != NULL) {
        memcpy(exact, bytes, len);
        LLVMFuzzerTestOneInput(exact, len);
    }
    free(exact);
    free(bytes);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS_DIR\n", argv[0]);
        return 2;
    }
    DIR *dir = opendir(argv[1]);
    int count = 0;
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        if (replay_file(path) == 0)
            count++;
    }
    if (dir != NULL)
        closedir(dir);
    printf("%d inputs replayed from %s\n", count, argv[1]);
    return count > 0 ? 0 : 1;
}
