#include "agents/host/libvirt/event_values.h"

#include <stdarg.h>
#include <string.h>

Value *event_value_text(const char *text)
{
    g_autofree char *valid = NULL;

    if (text == NULL)
        return value_null();
    valid = g_utf8_make_valid(text, (gssize) strnlen(text, EVENT_TEXT_BYTES_MAX));
    return value_string(valid);
}

Value *event_values_int(const char *key, int64_t number)
{
    Value *values = value_map();

    value_set(values, key, value_int(VALUE_INT64, number));
    return values;
}

Value *event_values_uint(const char *key, uint64_t number)
{
    Value *values = value_map();

    value_set(values, key, value_uint(VALUE_UINT64, number));
    return values;
}

Value *event_values_texts(const char *key, const char *text, ...)
{
    Value *values = value_map();
    va_list more;

    va_start(more, text);
    while (key != NULL) {
        if (text != NULL)
            value_set(values, key, event_value_text(text));
        key = va_arg(more, const char *);
        text = key != NULL ? va_arg(more, const char *) : NULL;
    }
    va_end(more);
    return values;
}

static Value *param_value(const virTypedParameter *param)
{
    switch (param->type) {
    case VIR_TYPED_PARAM_INT:
        return value_int(VALUE_INT64, param->value.i);
    case VIR_TYPED_PARAM_UINT:
        return value_uint(VALUE_UINT64, param->value.ui);
    case VIR_TYPED_PARAM_LLONG:
        return value_int(VALUE_INT64, param->value.l);
    case VIR_TYPED_PARAM_ULLONG:
        return value_uint(VALUE_UINT64, param->value.ul);
    case VIR_TYPED_PARAM_DOUBLE:
        return value_double(VALUE_DOUBLE, param->value.d);
    case VIR_TYPED_PARAM_BOOLEAN:
        return value_bool(param->value.b != 0);
    case VIR_TYPED_PARAM_STRING:
        return event_value_text(param->value.s);
    default:
        return value_null();
    }
}

Value *event_values_params(virTypedParameterPtr params, int n_params)
{
    Value *values = value_map();

    for (int i = 0; i < MIN(n_params, EVENT_VALUES_MAX); i++)
        value_set(values, params[i].field, param_value(&params[i]));
    return values;
}

static void put_address(Value *values, const char *prefix, const virDomainEventGraphicsAddress *address)
{
    static const char *const families[] = { "ipv4", "ipv6", "unix" };
    g_autofree char *family = g_strconcat(prefix, "_family", NULL), *node = g_strconcat(prefix, "_node", NULL);
    g_autofree char *service = g_strconcat(prefix, "_service", NULL);

    if (address == NULL)
        return;
    if (address->family >= 0 && address->family < (int) G_N_ELEMENTS(families))
        value_set(values, family, value_string(families[address->family]));
    else
        value_set(values, family, value_int(VALUE_INT64, address->family));
    if (address->node != NULL)
        value_set(values, node, event_value_text(address->node));
    if (address->service != NULL)
        value_set(values, service, event_value_text(address->service));
}

Value *event_values_graphics(const virDomainEventGraphicsAddress *local, const virDomainEventGraphicsAddress *remote, const char *scheme,
                             const virDomainEventGraphicsSubject *subject)
{
    Value *values = event_values_texts("scheme", scheme, NULL);
    int n = subject == NULL ? 0 : MIN(subject->nidentity, EVENT_VALUES_MAX);

    put_address(values, "local", local);
    put_address(values, "remote", remote);
    if (n > 0) {
        Value *identities = value_map();

        for (int i = 0; i < n; i++) {
            g_autofree char *type = g_utf8_make_valid(subject->identities[i].type, -1);

            value_set(identities, type, event_value_text(subject->identities[i].name));
        }
        value_set(values, "identities", identities);
    }
    return values;
}
