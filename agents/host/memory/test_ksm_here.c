/* This machine's KSM, set and put back. Needs root of the host; skipped, with the reason, elsewhere. */
#include "agents/host/host_stand.h"
#include "agents/host/memory/ksm.h"
#include "agents/host/memory/memory.h"

#include "lib/base/json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int64_t set(HostStand *stand, int64_t sleep_ms)
{
    g_autoptr(json_t) answer = host_stand_call(stand, "host_set_ksm", json_pack("{s:s, s:I}", "name", STAND_HOST, "sleep_ms", (json_int_t) sleep_ms), 5000);

    if (strcmp(json_string_or(answer, "state", ""), "done") != 0)
        g_error("host_set_ksm: %s", json_string_or(json_object_get(answer, "values"), "text", "?"));
    return json_int_or(json_object_get(json_object_get(answer, "values"), "values"), "sleep_ms", -1);
}

int main(void)
{
    HostStand *stand;
    Memory *memory;
    Ksm before, now;

    if (!ksm_read(KSM_FOLDER, &before) || access(KSM_FOLDER "/sleep_millisecs", W_OK) != 0) {
        printf("skipped: " KSM_FOLDER " is not there or cannot be written here\n");
        return 77;
    }
    stand = host_stand_new();
    memory = memory_new(stand->host, &(MemoryOptions){ 0 });
    g_assert_cmpint(set(stand, before.values[KSM_SLEEP] + 1), ==, before.values[KSM_SLEEP] + 1);
    ksm_read(KSM_FOLDER, &now);
    g_assert_cmpint(now.values[KSM_SLEEP], ==, before.values[KSM_SLEEP] + 1);
    g_assert_cmpint(now.values[KSM_RUN], ==, before.values[KSM_RUN]);
    g_assert_cmpint(set(stand, before.values[KSM_SLEEP]), ==, before.values[KSM_SLEEP]);
    memory_free(memory);
    host_stand_free(stand);
    printf("this machine's KSM was set and put back\n");
    return 0;
}
