#include "agents/guest/classes.h"

const QmfClass *matahari_class(const char *name)
{
    const QmfClass *class = qmf_schema_find(qmf_schema_builtin(), "org.matahariproject", name);

    g_assert(class != NULL); /* schemas/ is compiled in */
    return class;
}

QmfObject *matahari_object(const ClassContext *context, const char *name, QmfMethodFn handler, void *user)
{
    const QmfClass *class = matahari_class(name);
    Value *values = value_map();

    value_set(values, "uuid", value_string(context->identity->machine_id));
    value_set(values, "hostname", value_string(context->identity->hostname));
    qmf_agent_add_class(context->agent, class);
    qmf_agent_on_method(context->agent, class, handler, user);
    return qmf_agent_add_object(context->agent, class, name, values);
}

Value *value_strings(char *const *texts)
{
    Value *list = value_list();

    for (; texts != NULL && *texts != NULL; texts++)
        value_append(list, value_string(*texts));
    return list;
}

Value *output(const char *name, Value *item)
{
    Value *map = value_map();

    value_set(map, name, item);
    return map;
}
