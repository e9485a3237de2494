/* Any JSON as a notification. */
#include "bridges/masakari/masakari_notice.h"

#include "lib/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(json_t) body = json_parse((const char *) data, size, "fuzz", NULL);
    g_autoptr(MasakariNotice) notice = body != NULL ? masakari_notice_read(body, NULL) : NULL;

    return 0;
}
