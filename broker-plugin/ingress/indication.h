/* One message of an agent, decoded and checked: a sign of life with attributes, or events. */
#ifndef MEND_INGRESS_INDICATION_H
#define MEND_INGRESS_INDICATION_H

#include "broker-plugin/plugin.h"
#include "lib/qmf/schema.h"

typedef enum { INDICATION_ALIVE, INDICATION_EVENTS, INDICATION_DATA } IndicationKind;

typedef struct Indication {
    IndicationKind kind;
    char *agent;
    const Value *attributes; /* ALIVE: what the agent says about itself; borrowed from @message */
    GPtrArray *events;       /* EVENTS: of const Value *, each a map with _values; borrowed from @message */
    QmfMessage *message;
} Indication;

#define INDICATION_ERROR indication_error_quark()
GQuark indication_error_quark(void);
typedef enum { INDICATION_ERROR_SIZE, INDICATION_ERROR_MALFORMED, INDICATION_ERROR_SCHEMA } IndicationError;

/* Both forms of body (AMQP 0-10 encoding in a data section, amqp-value). Events of a class the schema knows must have its types;
 * of other classes they are taken as they are. @ret_agent: the name it was sent under, set also on errors when it can be read
 * (caller frees). NULL: error, which says what and where. */
Indication *indication_decode(const mend_msg *msg, const QmfSchema *schema, size_t max_bytes, char **ret_agent, GError **error);
void indication_free(Indication *indication);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Indication, indication_free)

#endif
