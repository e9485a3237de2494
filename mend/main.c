/* mend: one executable, verbs. Each verb is a file with one function. */
#include "consumers/cli/verbs.h"
#include "mend/verbs.h"

#include <stdio.h>
#include <string.h>

static const Verb verbs[] = {
    {"broker", verb_broker, "the message broker alone"},
#define X(name, meaning) {#name, verb_##name, meaning},
    CLI_VERBS(X)
#undef X
};

static int usage(FILE *to)
{
    fprintf(to, "usage: mend VERB [options]\n\n");
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
        fprintf(to, "  %-10s %s\n", verbs[i].name, verbs[i].meaning);
    fprintf(to, "\nmend VERB --help explains a verb.\n");
    return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    const char *known[G_N_ELEMENTS(verbs) + 1] = {NULL}, *near;

    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout);
    if (strcmp(argv[1], "--version") == 0) {
        printf("mend %s\n", MEND_VERSION);
        return 0;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argv + 1);
        known[i] = verbs[i].name;
    }
    near = nearest_word(argv[1], known);
    fprintf(stderr, "mend: no verb \"%s\"%s%s%s\n", argv[1], near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
            near != NULL ? "\"?" : "");
    return 2;
}
