#include "lib/qmf/schema.h"

#include <string.h>

static void test_builtin(void)
{
    g_assert_cmpuint(qmf_schema_size(qmf_schema_builtin()), >, 10);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/schema/builtin", test_builtin);
    return g_test_run();
}
