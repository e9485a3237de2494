#include "broker-plugin/hosts/attach/dialect.h"

#include <string.h>

const AttachDialect *attach_dialect_named(const char *name)
{
    const AttachDialect *const all[] = { &attach_rabbitmq, &attach_qpidd, &attach_artemis, &attach_generic };

    for (size_t i = 0; name != NULL && i < G_N_ELEMENTS(all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

void attach_plain_source(int32_t mode, const char *address, const char *subject, AttachSource *ret)
{
    bool queue = strcmp(address, AMQP_RESULTS) == 0;

    ret->literal = true;
    ret->filter = subject != NULL && subject[0] != '\0' ? g_strdup(subject) : NULL;
    if (mode == MEND_GATE)
        ret->address = g_strdup(AMQP_CONTROL_ENTRANCE);
    else if (mode == MEND_TAP && queue) { /* nobody sees what enters a queue: it enters by us */
        ret->address = g_strdup(AMQP_RESULTS_ENTRANCE);
        ret->forward = AMQP_RESULTS;
    } else if (mode != MEND_TAP || strcmp(address, "mend.deadletter") != 0)
        ret->address = g_strdup(address);
}

char *attach_plain_queue(const char *address) { return g_strdup(address); }

char *attach_tap_name(const char *address, const char *subject)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);

    g_checksum_update(sum, (const guchar *) address, -1);
    g_checksum_update(sum, (const guchar *) " ", 1);
    g_checksum_update(sum, (const guchar *) subject, -1);
    return g_strdup_printf("mend.tap.%.12s", g_checksum_get_string(sum));
}
