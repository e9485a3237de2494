/* What libvirt's callbacks are given, as maps. Texts that are absent are left out; what is not UTF-8 is made so; at most
 * EVENT_VALUES_MAX entries, texts of EVENT_TEXT_BYTES_MAX: a guest can choose device names and paths it is known by. Thread: any. */
#ifndef MEND_HOST_EVENT_VALUES_H
#define MEND_HOST_EVENT_VALUES_H

#include "lib/amqp/value.h"

#include <libvirt/libvirt.h>

#define EVENT_VALUES_MAX 64
#define EVENT_TEXT_BYTES_MAX 4096

/* (transfer full) all. */
Value *event_values_int(const char *key, int64_t number);
Value *event_values_uint(const char *key, uint64_t number);
Value *event_values_texts(const char *key, const char *text, ...) G_GNUC_NULL_TERMINATED; /* pairs */
Value *event_values_params(virTypedParameterPtr params, int n_params);
Value *event_values_graphics(const virDomainEventGraphicsAddress *local, const virDomainEventGraphicsAddress *remote, const char *scheme,
                             const virDomainEventGraphicsSubject *subject);
Value *event_value_text(const char *text); /* one of them; NULL: null */

#endif
