/* `mend schema`: for those who write schema files. */
#include "lib/qmf/schema.h"
#include "mend/verbs.h"

#include <stdio.h>
#include <string.h>

static const char usage[] = "usage: mend schema check FILE…   reads QMF schema files (Matahari's XML form) and lists their classes\n"
                            "       mend schema list          the classes this program knows\n";

static void print_classes(const QmfSchema *schema)
{
    for (size_t i = 0; i < qmf_schema_size(schema); i++) {
        const QmfClass *class = qmf_schema_at(schema, i);

        printf("%s:%s  %s, %zu properties, %zu methods\n", class->package, class->name, class->event ? "event" : "class",
               class->n_properties, class->n_methods);
    }
}

int verb_schema(char **argv)
{
    g_autoptr(QmfSchema) schema = qmf_schema_new();
    g_autoptr(GError) error = NULL;

    if (argv[1] != NULL && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    if (argv[1] != NULL && strcmp(argv[1], "list") == 0 && argv[2] == NULL) {
        print_classes(qmf_schema_builtin());
        return 0;
    }
    if (argv[1] == NULL || strcmp(argv[1], "check") != 0 || argv[2] == NULL) {
        fputs(usage, stderr);
        return 2;
    }
    for (char **file = argv + 2; *file != NULL; file++)
        if (!qmf_schema_add_file(schema, *file, &error)) {
            fprintf(stderr, "mend schema: %s\n", error->message);
            return 1;
        }
    print_classes(schema);
    return 0;
}
