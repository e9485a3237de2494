/* Writing: as a person would have written it, with what was theirs beside what is ours. Every text is quoted as JSON does, which YAML
 * reads; "$" is doubled, but where we mean it. */
#include "lib/model/pacemaker_cloud.h"

#include "lib/base/uuid.h"

#include <inttypes.h>
#include <string.h>

static bool is_plain(const char *text)
{
    return g_ascii_isalpha(*text) && text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")] == '\0' &&
           !g_strv_contains((const char *const[]){ "true", "false", "null", "yes", "no", "on", "off", "default", NULL }, text);
}

static void put_text(GString *out, const char *text)
{
    g_autoptr(json_t) string = NULL;
    g_autofree char *escaped = NULL, *quoted = NULL;
    g_auto(GStrv) parts = NULL;

    if (is_plain(text)) {
        g_string_append(out, text);
        return;
    }
    parts = g_strsplit(text, "${", -1);
    escaped = g_strjoinv("$${", parts);
    string = json_string(escaped);
    char *dumped = json_dumps(string, JSON_ENCODE_ANY);
    g_string_append(out, dumped);
    free(dumped);
}

static void put_reference(GString *out, const PcloudReference *reference)
{
    g_string_append_printf(out, "\"${vm.%s.%s}\"", reference->assembly, strcmp(reference->parameter, "hostname") == 0 ? "hostname" : "address");
}

static void put_list(GString *out, const char *key, const GPtrArray *names)
{
    g_string_append_printf(out, ", %s: [", key);
    for (guint i = 0; i < names->len; i++) {
        g_string_append(out, i > 0 ? ", " : "");
        put_text(out, names->pdata[i]);
    }
    g_string_append_c(out, ']');
}

static void put_parameters(GString *out, const PcloudService *service)
{
    if (service->parameters->len == 0 || strcmp(service->class, "ocf") != 0)
        return;
    g_string_append(out, ", parameters: {");
    for (guint i = 0; i < service->parameters->len; i++) {
        const PcloudParameter *parameter = service->parameters->pdata[i];

        g_string_append(out, i > 0 ? ", " : "");
        put_text(out, parameter->name);
        g_string_append(out, ": ");
        if (parameter->reference.assembly != NULL)
            put_reference(out, &parameter->reference);
        else
            put_text(out, parameter->value);
    }
    g_string_append_c(out, '}');
}

static void put_service(GString *out, const PcloudService *service)
{
    g_string_append(out, "          - {name: ");
    put_text(out, service->name);
    g_string_append_printf(out, ", standard: %s", service->class);
    if (service->provider != NULL) {
        g_string_append(out, ", provider: ");
        put_text(out, service->provider);
    }
    if (strcmp(service->type, service->name) != 0 || service->provider != NULL) {
        g_string_append(out, ", agent: ");
        put_text(out, service->type);
    }
    put_parameters(out, service);
    if (service->after->len > 0) {
        put_list(out, "after", service->after);
        put_list(out, "needs", service->after);
    }
    g_string_append(out, "}\n");
}

static void put_assembly(GString *out, const PcloudAssembly *assembly)
{
    g_autofree char *uuid = assembly->uuid != NULL ? uuid_canonical(assembly->uuid) : NULL;

    g_string_append(out, "      - name: ");
    put_text(out, assembly->name);
    g_string_append_printf(out, "\n        match: {%s: ", uuid != NULL ? "id" : "name");
    put_text(out, uuid != NULL ? uuid : assembly->name);
    g_string_append(out, "}\n        ha: true\n");
    if (assembly->services->len > 0)
        g_string_append(out, "        services:\n");
    for (guint i = 0; i < assembly->services->len; i++)
        put_service(out, assembly->services->pdata[i]);
}

/* The N-th failure within P takes the larger step; a rule that counts takes nothing until it has counted that many. */
static void put_counting(GString *out, const PcloudEscalation *e)
{
    if (e->failures > 1)
        g_string_append_printf(out, "    count: %" PRId64 "\n    within: %" PRId64 "s\n", e->failures, e->period_s);
}

static void put_condition(GString *out, const PcloudDeployable *d, const char *vm, const char *service)
{
    GString *condition = g_string_new(NULL);

    g_string_append_printf(condition, "entity.app == \"%s\" && entity.vm == \"%s\"", d->name, vm);
    if (service != NULL)
        g_string_append_printf(condition, " && entity.name == \"%s\"", service);
    g_string_append(condition, " && event.intent == \"none\"");
    if (service == NULL)
        g_string_append(condition, " && event.state in [\"crashed\", \"stopped\", \"lost\"]");
    g_string_append_printf(out, "    where: '");
    for (const char *c = condition->str; *c != '\0'; c++)
        g_string_append(out, *c == '\'' ? "''" : (const char[]){ *c, '\0' });
    g_string_append(out, "'\n");
    g_string_free(condition, TRUE);
}

static void put_name(GString *out, const PcloudDeployable *d, const char *vm, const char *service)
{
    g_autofree char *name = g_strdup_printf("%s %s%s%s escalates", d->name, vm, service != NULL ? " " : "", service != NULL ? service : "");

    g_string_append(out, "  - name: ");
    put_text(out, name);
    g_string_append_c(out, '\n');
}

static void put_rules(GString *out, const PcloudDeployable *d, const PcloudAssembly *assembly)
{
    for (guint i = 0; i < assembly->services->len; i++) {
        const PcloudService *service = assembly->services->pdata[i];

        if (service->escalation.failures == 0)
            continue;
        g_string_append_printf(out, "  # escalation_failures=\"%" PRId64 "\" escalation_period=\"%" PRId64 "\": the VM is restarted instead of the service\n",
                               service->escalation.failures, service->escalation.period_s);
        put_name(out, d, assembly->name, service->name);
        g_string_append(out, "    on: service.failed\n");
        put_condition(out, d, assembly->name, service->name);
        put_counting(out, &service->escalation);
        g_string_append(out, "    ladder: [{do: vm.restart}]\n");
    }
    if (assembly->escalation.failures == 0)
        return;
    g_string_append_printf(out, "  # escalation_failures=\"%" PRId64 "\" escalation_period=\"%" PRId64 "\": the application is restarted instead of the VM\n",
                           assembly->escalation.failures, assembly->escalation.period_s);
    put_name(out, d, assembly->name, NULL);
    g_string_append(out, "    on: vm.*\n");
    put_condition(out, d, assembly->name, NULL);
    put_counting(out, &assembly->escalation);
    g_string_append(out, "    ladder: [{do: app.restart, attempts: 1}]\n");
}

static void put_head(GString *out, const PcloudDeployable *d)
{
    g_string_append_printf(out, "# The application \"%s\" of Pacemaker Cloud%s%s.\n", d->name, d->uuid != NULL ? ", " : "", d->uuid != NULL ? d->uuid : "");
    for (guint i = 0; i < d->notes->len; i++)
        g_string_append_printf(out, "# %s\n", (const char *) d->notes->pdata[i]);
}

static void put_application(GString *out, const PcloudDeployable *d)
{
    g_string_append(out, "  - name: ");
    put_text(out, d->name);
    g_string_append(out, d->assemblies->len > 0 ? "\n    vms:\n" : "\n");
    for (guint i = 0; i < d->assemblies->len; i++)
        put_assembly(out, d->assemblies->pdata[i]);
}

static void put_escalations(GString *out, const PcloudDeployable *d)
{
    for (guint i = 0; i < d->assemblies->len; i++)
        put_rules(out, d, d->assemblies->pdata[i]);
}

char *pcloud_policy_text(const PcloudDeployable *const *deployables, size_t n)
{
    GString *out = g_string_new(NULL);

    for (size_t i = 0; i < n; i++)
        put_head(out, deployables[i]);
    g_string_append(out, "mend: 1\napplications:\n");
    for (size_t i = 0; i < n; i++)
        put_application(out, deployables[i]);
    g_string_append(out, "rules:\n");
    for (size_t i = 0; i < n; i++)
        put_escalations(out, deployables[i]);
    g_string_append(out, "  - default # services and VMs are restarted, hosts fenced, people told\n");
    return g_string_free(out, FALSE);
}

char *pcloud_document_text(const PcloudDeployable *d)
{
    GString *out = g_string_new(NULL), *rules = g_string_new(NULL);

    put_head(out, d);
    g_string_append(out, "mend: 1\napplications:\n");
    put_application(out, d);
    put_escalations(rules, d);
    if (rules->len > 0)
        g_string_append_printf(out, "rules:\n%s", rules->str);
    g_string_free(rules, TRUE);
    return g_string_free(out, FALSE);
}
