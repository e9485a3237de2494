/* Selectors: the SQL-92 conditions of JMS (JMS 2.0, §3.8) over application properties and some fields of the message, as clients write
 * them into the filter apache.org:selector-filter:string.
 *
 *   NOT AND OR  = <> < <= > >=  [NOT] BETWEEN … AND …  [NOT] IN ('a', …)  [NOT] LIKE '…%_' [ESCAPE 'c']  IS [NOT] NULL
 *   + - * /  'text'  123 0x1f 1.5e3  TRUE FALSE  name  "name.with.dots"
 *   JMSPriority JMSMessageID JMSCorrelationID JMSDeliveryMode JMSType amqp.subject amqp.to amqp.reply_to … amqp.priority amqp.durable
 *
 * Unknown stays unknown (three-valued); only TRUE selects. A selector is limited in length and nesting. Immutable; thread: any. */
#ifndef MEND_EMBEDDED_SELECTOR_H
#define MEND_EMBEDDED_SELECTOR_H

#include "broker-plugin/hosts/embedded/message.h"

#define SELECTOR_ERROR selector_error_quark()
GQuark selector_error_quark(void);
typedef enum { SELECTOR_ERROR_SYNTAX, SELECTOR_ERROR_LIMIT } SelectorError;

typedef struct Selector Selector;
Selector *selector_parse(const char *text, GError **error); /* the text names the column */
void selector_free(Selector *selector);                     /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Selector, selector_free)
bool selector_match(const Selector *selector, const Message *message);

#endif
