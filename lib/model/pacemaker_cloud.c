/* Reading. Elements are known by their name and what they stand in; those nobody knows are passed over with a note, for their schema let
 * authors add to it. Both spellings of "parameters" are read: their shell wrote <paramaters><paramater name= value=/>, their engine read
 * <parameters><parameter name=><value>. */
#include "lib/model/pacemaker_cloud.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASSEMBLIES_MAX 1000
#define SERVICES_MAX   1000 /* of one assembly */
#define NOTES_MAX      200
#define DEPTH_MAX      32

G_DEFINE_QUARK(mend-pcloud-error-quark, pcloud_error)

typedef struct Constraint {
    char *first, *then;
    int line;
} Constraint;

typedef struct Reading {
    const char *name;
    GMarkupParseContext *context;
    PcloudDeployable *deployable;
    PcloudAssembly *assembly;   /* the one we are in */
    PcloudService *service;
    PcloudParameter *parameter;
    bool in_value;
    unsigned depth;
    GPtrArray *constraints;
} Reading;

/* ---- what is made ------------------------------------------------------------------------------------------------------------------ */

static void parameter_free(void *data)
{
    PcloudParameter *parameter = data;

    g_free(parameter->name);
    g_free(parameter->value);
    g_free(parameter->reference.assembly);
    g_free(parameter->reference.parameter);
    g_free(parameter);
}

static void service_free(void *data)
{
    PcloudService *service = data;

    g_free(service->name);
    g_free(service->class);
    g_free(service->type);
    g_free(service->provider);
    g_ptr_array_unref(service->parameters);
    g_ptr_array_unref(service->after);
    g_free(service);
}

static void assembly_free(void *data)
{
    PcloudAssembly *assembly = data;

    g_free(assembly->name);
    g_free(assembly->uuid);
    g_ptr_array_unref(assembly->services);
    g_free(assembly);
}

static void constraint_free(void *data)
{
    Constraint *constraint = data;

    g_free(constraint->first);
    g_free(constraint->then);
    g_free(constraint);
}

void pcloud_free(PcloudDeployable *deployable)
{
    if (deployable == NULL)
        return;
    g_free(deployable->name);
    g_free(deployable->uuid);
    g_ptr_array_unref(deployable->assemblies);
    g_ptr_array_unref(deployable->notes);
    g_free(deployable);
}

/* ---- saying where ------------------------------------------------------------------------------------------------------------------ */

static int line_of(const Reading *r)
{
    int line, column;

    g_markup_parse_context_get_position(r->context, &line, &column);
    return line;
}

static void G_GNUC_PRINTF(3, 4) wrong(const Reading *r, GError **error, const char *format, ...)
{
    g_autofree char *text = NULL;
    int line, column;
    va_list arguments;

    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_markup_parse_context_get_position(r->context, &line, &column);
    g_set_error(error, PCLOUD_ERROR, PCLOUD_ERROR_CONTENT, "%s:%d:%d: %s", r->name, line, column, text);
}

static void G_GNUC_PRINTF(3, 4) note(const Reading *r, int line, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list arguments;

    if (r->deployable->notes->len >= NOTES_MAX)
        return;
    va_start(arguments, format);
    text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_ptr_array_add(r->deployable->notes, g_strdup_printf("%s:%d: %s", r->name, line, text));
}

/* ---- elements ---------------------------------------------------------------------------------------------------------------------- */

static const char *attribute(const char **names, const char **values, const char *name)
{
    for (size_t i = 0; names[i] != NULL; i++)
        if (strcmp(names[i], name) == 0)
            return values[i];
    return NULL;
}

/* What a name may be in a policy; it also stands in conditions and ids. */
static bool is_name(const char *name)
{
    return name != NULL && *name != '\0' && strlen(name) <= 128 && strpbrk(name, "\"\\/\n\t${}") == NULL && g_utf8_validate(name, -1, NULL);
}

static bool needs_name(const Reading *r, const char *element, const char *name, GError **error)
{
    if (is_name(name))
        return true;
    wrong(r, error, "<%s> needs a name: one to 128 characters, none of them a quote, backslash, slash or one of ${}", element);
    return false;
}

static bool is_asked(const char *text, int64_t *ret)
{
    char *end;
    long long value = text != NULL ? strtoll(text, &end, 10) : 0;

    *ret = value > 0 ? value : 0;
    return value > 0;
}

/* As strtol() there: absent, "INFINITY", other words and what is not above 0 mean never. */
static PcloudEscalation escalation_of(const char **names, const char **values)
{
    PcloudEscalation e;

    if (is_asked(attribute(names, values, "escalation_failures"), &e.failures) & is_asked(attribute(names, values, "escalation_period"), &e.period_s))
        return (PcloudEscalation) { MIN(e.failures, 1000), MIN(e.period_s, 30 * 24 * 3600) };
    return (PcloudEscalation) { 0, 0 };
}

static void on_deployable(Reading *r, const char **names, const char **values, GError **error)
{
    const char *name = attribute(names, values, "name");

    if (r->deployable->name != NULL) {
        wrong(r, error, "a second <deployable>: one file has one");
        return;
    }
    if (!needs_name(r, "deployable", name, error))
        return;
    r->deployable->name = g_strdup(name);
    r->deployable->uuid = g_strdup(attribute(names, values, "uuid"));
    if (attribute(names, values, "monitor") != NULL)
        note(r, line_of(r), "monitor: how VMs are reached is the agents' matter: mend-guest in them, or mend-bridge ssh");
    if (attribute(names, values, "username") != NULL)
        note(r, line_of(r), "username: who may command is the broker's matter (docs/security.md)");
}

static void on_assembly(Reading *r, const char **names, const char **values, GError **error)
{
    const char *name = attribute(names, values, "name");
    PcloudAssembly *assembly;

    if (!needs_name(r, "assembly", name, error))
        return;
    for (guint i = 0; i < r->deployable->assemblies->len; i++)
        if (strcmp(((PcloudAssembly *) r->deployable->assemblies->pdata[i])->name, name) == 0) {
            wrong(r, error, "there is an assembly \"%s\" above already", name);
            return;
        }
    if (r->deployable->assemblies->len >= ASSEMBLIES_MAX) {
        wrong(r, error, "more than %d assemblies", ASSEMBLIES_MAX);
        return;
    }
    assembly = g_new0(PcloudAssembly, 1);
    *assembly = (PcloudAssembly) { .name = g_strdup(name), .uuid = g_strdup(attribute(names, values, "uuid")), .escalation = escalation_of(names, values),
                                   .services = g_ptr_array_new_with_free_func(service_free), .line = line_of(r) };
    g_ptr_array_add(r->deployable->assemblies, assembly);
    r->assembly = assembly;
}

static bool check_service(const Reading *r, const char *name, const char *class, const char *type, GError **error)
{
    if (!needs_name(r, "service", name, error))
        return false;
    for (guint i = 0; i < r->assembly->services->len; i++)
        if (strcmp(((PcloudService *) r->assembly->services->pdata[i])->name, name) == 0) {
            wrong(r, error, "there is a service \"%s\" in \"%s\" already", name, r->assembly->name);
            return false;
        }
    if (strcmp(class, "ocf") != 0 && strcmp(class, "lsb") != 0 && strcmp(class, "systemd") != 0)
        wrong(r, error, "service \"%s\": class=\"%s\": ocf, lsb or systemd is wanted", name, class);
    else if (!is_name(type))
        wrong(r, error, "service \"%s\" needs a type: the name of its agent, script or unit", name);
    else if (r->assembly->services->len >= SERVICES_MAX)
        wrong(r, error, "more than %d services in \"%s\"", SERVICES_MAX, r->assembly->name);
    else
        return true;
    return false;
}

static void on_service(Reading *r, const char **names, const char **values, GError **error)
{
    const char *name = attribute(names, values, "name"), *class = attribute(names, values, "class"), *type = attribute(names, values, "type");
    const char *provider = attribute(names, values, "provider");
    PcloudService *service;

    if (r->assembly == NULL) {
        wrong(r, error, "<service> stands in no <assembly>");
        return;
    }
    class = class != NULL ? class : "lsb";
    if (!check_service(r, name, class, type, error))
        return;
    service = g_new0(PcloudService, 1);
    *service = (PcloudService) { .name = g_strdup(name), .class = g_strdup(class), .type = g_strdup(type),
                                 .provider = strcmp(class, "ocf") == 0 ? g_strdup(provider != NULL ? provider : "heartbeat") : NULL,
                                 .escalation = escalation_of(names, values), .parameters = g_ptr_array_new_with_free_func(parameter_free),
                                 .after = g_ptr_array_new_with_free_func(g_free), .line = line_of(r) };
    g_ptr_array_add(r->assembly->services, service);
    r->service = service;
    if (attribute(names, values, "monitor_interval") != NULL)
        note(r, service->line, "monitor_interval of %s: how often is looked is the agent's setting (interval in its services file); systemd units are seen at once", name);
}

static void on_parameter(Reading *r, const char **names, const char **values, GError **error)
{
    const char *name = attribute(names, values, "name"), *value = attribute(names, values, "value");
    PcloudParameter *parameter;

    if (r->service == NULL || !needs_name(r, "parameter", name, error)) {
        if (r->service == NULL)
            wrong(r, error, "<parameter> stands in no <service>");
        return;
    }
    parameter = g_new0(PcloudParameter, 1);
    parameter->name = g_strdup(name);
    parameter->value = g_strdup(value != NULL ? value : "");
    g_ptr_array_add(r->service->parameters, parameter);
    r->parameter = parameter;
}

static void on_reference(Reading *r, const char **names, const char **values, GError **error)
{
    const char *assembly = attribute(names, values, "assembly"), *parameter = attribute(names, values, "parameter");

    if (r->parameter == NULL || assembly == NULL || parameter == NULL) {
        wrong(r, error, "<reference> needs assembly and parameter, and stands in a <parameter>");
        return;
    }
    g_free(r->parameter->reference.assembly);
    g_free(r->parameter->reference.parameter);
    r->parameter->reference = (PcloudReference) { g_strdup(assembly), g_strdup(parameter) };
}

static void on_dependency(Reading *r, const char **names, const char **values, GError **error)
{
    const char *first = attribute(names, values, "first"), *then = attribute(names, values, "then");
    Constraint *constraint;

    if (first == NULL || then == NULL) {
        wrong(r, error, "<service_dependancy> needs first and then");
        return;
    }
    constraint = g_new(Constraint, 1);
    *constraint = (Constraint) { g_strdup(first), g_strdup(then), line_of(r) };
    g_ptr_array_add(r->constraints, constraint);
}

static void on_start(GMarkupParseContext *context, const char *element, const char **names, const char **values, void *user, GError **error)
{
    static const char *const holders[] = { "assemblies", "services", "parameters", "paramaters", "constraints", NULL };
    static const struct {
        const char *element;
        void (*read)(Reading *r, const char **names, const char **values, GError **error);
    } elements[] = { { "deployable", on_deployable }, { "assembly", on_assembly }, { "service", on_service }, { "parameter", on_parameter },
                     { "paramater", on_parameter }, { "reference", on_reference }, { "service_dependancy", on_dependency }, { "service_dependency", on_dependency } };
    Reading *r = user;

    if (++r->depth > DEPTH_MAX) {
        wrong(r, error, "nested deeper than %d", DEPTH_MAX);
        return;
    }
    if (r->deployable->name == NULL && strcmp(element, "deployable") != 0) {
        wrong(r, error, "<%s>: an application of Pacemaker Cloud begins with <deployable>", element);
        return;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(elements); i++)
        if (strcmp(elements[i].element, element) == 0) {
            elements[i].read(r, names, values, error);
            return;
        }
    r->in_value = strcmp(element, "value") == 0 && r->parameter != NULL;
    if (strcmp(element, "configure_executable") == 0)
        note(r, line_of(r), "configure_executable%s%s is not run: Mend starts services, it does not install them", r->service != NULL ? " of " : "",
             r->service != NULL ? r->service->name : "");
    else if (!r->in_value && !g_strv_contains(holders, element))
        note(r, line_of(r), "<%s> is not known, and passed over", element);
}

static void on_end(GMarkupParseContext *context, const char *element, void *user, GError **error)
{
    Reading *r = user;

    r->depth--;
    if (strcmp(element, "assembly") == 0)
        r->assembly = NULL;
    else if (strcmp(element, "service") == 0)
        r->service = NULL;
    else if (strcmp(element, "parameter") == 0 || strcmp(element, "paramater") == 0)
        r->parameter = NULL;
    r->in_value = false;
}

static void on_text(GMarkupParseContext *context, const char *text, size_t bytes, void *user, GError **error)
{
    Reading *r = user;
    g_autofree char *piece = NULL, *before = NULL;

    if (!r->in_value)
        return;
    piece = g_strndup(text, bytes);
    before = r->parameter->value;
    r->parameter->value = g_strconcat(before, g_strstrip(piece), NULL);
}

/* ---- what refers to what ------------------------------------------------------------------------------------------------------------ */

static const PcloudAssembly *assembly_named(const PcloudDeployable *d, const char *name)
{
    for (guint i = 0; i < d->assemblies->len; i++)
        if (strcmp(((PcloudAssembly *) d->assemblies->pdata[i])->name, name) == 0)
            return d->assemblies->pdata[i];
    return NULL;
}

/* "_" may be in both names, so the id is looked for among those the declared pairs have. False: none, or more than one. */
static bool pair_of(const PcloudDeployable *d, const char *id, const PcloudAssembly **ret_assembly, PcloudService **ret_service)
{
    unsigned n = 0;

    for (guint i = 0; i < d->assemblies->len; i++) {
        const PcloudAssembly *assembly = d->assemblies->pdata[i];

        for (guint k = 0; k < assembly->services->len; k++) {
            PcloudService *service = assembly->services->pdata[k];
            g_autofree char *rsc = g_strdup_printf("rsc_%s_%s", assembly->name, service->name), *cfg = g_strdup_printf("cfg_%s_%s", assembly->name, service->name);

            if (strcmp(id, rsc) != 0 && strcmp(id, cfg) != 0)
                continue;
            *ret_assembly = assembly;
            *ret_service = service;
            n++;
        }
    }
    return n == 1;
}

static bool take_constraint(const Reading *r, const Constraint *constraint, GError **error)
{
    const PcloudAssembly *first_vm, *then_vm;
    PcloudService *first, *then;
    const char *unknown = !pair_of(r->deployable, constraint->first, &first_vm, &first)  ? constraint->first
                          : !pair_of(r->deployable, constraint->then, &then_vm, &then) ? constraint->then
                                                                                         : NULL;

    if (unknown != NULL) {
        g_set_error(error, PCLOUD_ERROR, PCLOUD_ERROR_CONTENT,
                    "%s:%d: service_dependancy: \"%s\" is no service of this file, or more than one: rsc_ASSEMBLY_SERVICE is wanted", r->name, constraint->line, unknown);
        return false;
    }
    if (first == then)
        return true; /* its configure script before itself */
    g_ptr_array_add(then->after, first_vm == then_vm ? g_strdup(first->name) : g_strconcat(first_vm->name, "/", first->name, NULL));
    return true;
}

static bool check_references(const Reading *r, const PcloudService *service, GError **error)
{
    for (guint i = 0; i < service->parameters->len; i++) {
        const PcloudParameter *parameter = service->parameters->pdata[i];

        if (strcmp(service->class, "ocf") != 0) {
            note(r, service->line, "parameter %s of %s: %s takes none", parameter->name, service->name, service->class);
            continue;
        }
        if (parameter->reference.assembly != NULL && assembly_named(r->deployable, parameter->reference.assembly) == NULL) {
            g_set_error(error, PCLOUD_ERROR, PCLOUD_ERROR_CONTENT, "%s:%d: parameter %s of %s: there is no assembly \"%s\"", r->name, service->line, parameter->name,
                        service->name, parameter->reference.assembly);
            return false;
        }
    }
    return true;
}

static bool link_all(const Reading *r, GError **error)
{
    for (guint i = 0; i < r->constraints->len; i++)
        if (!take_constraint(r, r->constraints->pdata[i], error))
            return false;
    for (guint i = 0; i < r->deployable->assemblies->len; i++) {
        const PcloudAssembly *assembly = r->deployable->assemblies->pdata[i];

        for (guint k = 0; k < assembly->services->len; k++)
            if (!check_references(r, assembly->services->pdata[k], error))
                return false;
    }
    return true;
}

/* GMarkup tells the place in words of its own. */
static void place_error(const char *name, const GError *problem, GError **error)
{
    int line, column, end = 0;

    if (sscanf(problem->message, "Error on line %d char %d: %n", &line, &column, &end) == 2 && end > 0)
        g_set_error(error, PCLOUD_ERROR, PCLOUD_ERROR_CONTENT, "%s:%d:%d: %s", name, line, column, problem->message + end);
    else
        g_set_error(error, PCLOUD_ERROR, PCLOUD_ERROR_CONTENT, "%s: %s", name, problem->message);
}

PcloudDeployable *pcloud_read(const char *name, const char *xml, size_t bytes, GError **error)
{
    static const GMarkupParser parser = { on_start, on_end, on_text, NULL, NULL };
    g_autoptr(PcloudDeployable) deployable = g_new0(PcloudDeployable, 1);
    g_autoptr(GPtrArray) constraints = g_ptr_array_new_with_free_func(constraint_free);
    Reading r = { .name = name, .deployable = deployable, .constraints = constraints };
    g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, G_MARKUP_TREAT_CDATA_AS_TEXT, &r, NULL);
    g_autoptr(GError) local = NULL;

    deployable->assemblies = g_ptr_array_new_with_free_func(assembly_free);
    deployable->notes = g_ptr_array_new_with_free_func(g_free);
    r.context = context;
    if (bytes > PCLOUD_MAX_BYTES) {
        g_set_error(error, PCLOUD_ERROR, PCLOUD_ERROR_CONTENT, "%s: more than %d bytes", name, PCLOUD_MAX_BYTES);
        return NULL;
    }
    if (!g_markup_parse_context_parse(context, xml, (gssize) bytes, &local) || !g_markup_parse_context_end_parse(context, &local)) {
        if (local->domain == PCLOUD_ERROR)
            g_propagate_error(error, g_steal_pointer(&local));
        else
            place_error(name, local, error);
        return NULL;
    }
    return link_all(&r, error) ? g_steal_pointer(&deployable) : NULL;
}
