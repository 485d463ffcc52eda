/* talk - the program: talk SCRIPT... plays each script whole and trickling; see talk.h */
#include <stdio.h>

#include "tests/talk/talk.h"

static bool play(const char *path)
{
    struct talk_script script;
    bool good = talk_script_read(&script, path) == 0;
    for (int trickle = 0; good && trickle < 2; trickle++) {
        if (script.server)
            good = talk_server(&script, trickle == 1);
        else
            good = talk_client(&script, trickle == 1);
        if (!good)
            fprintf(stderr, "%s: failed (%s)\n", path, trickle == 1 ? "trickling" : "packets whole");
    }
    talk_script_free(&script);
    return good;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: %s SCRIPT...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++)
        failed += !play(argv[i]);
    printf("%d of %d scripts failed\n", failed, argc - 1);
    return failed == 0 ? 0 : 1;
}
