/* mend: one executable, verbs. Each verb is a function in a file of its own. */
#include "consumers/cli/verbs.h"
#include "lib/base/settings.h"
#include "mend/verbs.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(char **argv);
    const char *meaning;
} verbs[] = {
#define X(name, meaning) { #name, verb_##name, meaning },
    MEND_VERBS(X) CLI_VERBS(X)
#undef X
};

/* "why_not" in C is "why-not" to people. */
static const char *verb_text(char text[24], const char *name)
{
    g_strlcpy(text, name, 24);
    return g_strdelimit(text, "_", '-');
}

static int usage(FILE *to)
{
    char text[24];

    fprintf(to, "usage: mend VERB [options]\n\n");
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
        fprintf(to, "  %-10s %s\n", verb_text(text, verbs[i].name), verbs[i].meaning);
    fprintf(to, "\nmend VERB --help explains a verb. New here? mend up --demo\n");
    return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    const char *known[G_N_ELEMENTS(verbs) + 1] = { NULL };
    char texts[G_N_ELEMENTS(verbs)][24];

    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return usage(stdout);
    if (strcmp(argv[1], "--version") == 0) {
        printf("mend %s\n", MEND_VERSION);
        return 0;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
        known[i] = verb_text(texts[i], verbs[i].name);
        if (strcmp(argv[1], known[i]) == 0)
            return verbs[i].run(argv + 1);
    }
    const char *near = nearest_word(argv[1], known);
    fprintf(stderr, "mend: there is no verb \"%s\"%s%s%s (mend --help lists them)\n", argv[1], near != NULL ? "; did you mean \"" : "",
            near != NULL ? near : "", near != NULL ? "\"?" : "");
    return 2;
}
