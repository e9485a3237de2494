#include "agents/guest/matahari/dbus_job.h"

#include "agents/guest/matahari/dbus_introspection.h"
#include "agents/guest/matahari/dbus_value.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

#define JOBS_MAX        32
#define INTROSPECTABLE  "org.freedesktop.DBus.Introspectable"

DbusJob *dbus_job_new(DbusBridge *bridge, QmfCall *call)
{
    DbusJob *job;

    if (g_list_length(bridge->jobs) >= JOBS_MAX) {
        command_gate_raise(bridge->context->gate, call, COMMAND_ERROR_FAILED, MH_BACKEND ": too many calls at once");
        return NULL;
    }
    job = g_new0(DbusJob, 1);
    job->bridge = bridge;
    job->call = call;
    job->deadline_us = command_gate_deadline_us(call, DBUS_JOB_US);
    g_queue_init(&job->paths);
    job->found = g_ptr_array_new_with_free_func(g_free);
    job->infos = g_ptr_array_new_with_free_func((GDestroyNotify) g_dbus_interface_info_unref);
    bridge->jobs = g_list_prepend(bridge->jobs, job);
    return job;
}

void dbus_job_free(DbusJob *job)
{
    job->bridge->jobs = g_list_remove(job->bridge->jobs, job);
    dbus_ask_forget(job->ask);
    g_queue_clear_full(&job->paths, g_free);
    g_ptr_array_unref(job->found);
    g_ptr_array_unref(job->infos);
    g_free(job->problem);
    g_free(job);
}

void dbus_job_return(DbusJob *job, Value *outputs)
{
    command_gate_return(job->bridge->context->gate, job->call, outputs, NULL, NULL);
    dbus_job_free(job);
}

void dbus_job_raise(DbusJob *job, const char *error, const char *text)
{
    command_gate_raise(job->bridge->context->gate, job->call, error, text);
    dbus_job_free(job);
}

static void on_reply(GVariant *reply, const GError *error, void *user)
{
    DbusJob *job = user;

    job->ask = NULL;
    if (reply != NULL) {
        job->step(job, reply);
    } else if (job->failed != NULL) {
        job->failed(job, NULL);
    } else {
        g_autoptr(GError) said = g_error_copy(error);
        bool timed_out = g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT) || g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_NO_REPLY);

        g_dbus_error_strip_remote_error(said);
        g_autofree char *text = g_strdup_printf("%s%.1000s", job->problem, said->message);
        dbus_job_raise(job, timed_out ? COMMAND_ERROR_TIMEOUT : COMMAND_ERROR_FAILED, text);
    }
}

void dbus_job_ask(DbusJob *job, const DbusRequest *request, DbusStep step, char *problem)
{
    DbusRequest timed = *request;

    timed.timeout_us = job->deadline_us - clock_now_us();
    g_free(job->problem);
    job->problem = problem;
    job->step = step;
    job->n_asked++;
    job->ask = dbus_ask(job->bridge->link, &timed, on_reply, job);
}

void dbus_job_introspect(DbusJob *job, const char *path, DbusStep step)
{
    const DbusRequest request = {job->bus, path, INTROSPECTABLE, "Introspect", NULL, "(s)", 0};

    dbus_job_ask(job, &request, step, g_strdup_printf("Unable to introspect: %.255s %.255s: ", job->bus, path));
}

GDBusNodeInfo *dbus_job_node(GVariant *reply)
{
    const char *xml = NULL;

    g_variant_get(reply, "(&s)", &xml);
    return dbus_node_parse(xml);
}

Value *dbus_job_results(DbusJob *job, GVariant *reply)
{
    g_autoptr(GError) error = NULL;
    Value *results = value_from_variant(reply, &error);

    if (results == NULL)
        dbus_job_raise(job, COMMAND_ERROR_FAILED, error->message);
    return results;
}

static GVariant *arguments_of(const GDBusMethodInfo *method, const Value *list, const Value *by_name, GError **error)
{
    g_autoptr(GVariantBuilder) builder = g_variant_builder_new(G_VARIANT_TYPE_TUPLE);

    for (size_t i = 0; method->in_args != NULL && method->in_args[i] != NULL; i++) {
        const Value *value = by_name != NULL ? value_get(by_name, method->in_args[i]->name) : value_at(list, i);
        GVariant *argument = variant_from_value(value, G_VARIANT_TYPE(method->in_args[i]->signature), error);

        if (argument == NULL) {
            g_prefix_error(error, MH_INVALID_ARGUMENTS ": %s: ", method->in_args[i]->name);
            return NULL;
        }
        g_variant_builder_add_value(builder, argument);
    }
    return g_variant_builder_end(builder);
}

void dbus_job_call_method(DbusJob *job, const GDBusMethodInfo *method, const Value *list, const Value *by_name, DbusStep step)
{
    g_autoptr(GError) error = NULL;
    DbusRequest request = {job->bus, job->path, job->interface, method->name, NULL, NULL, 0};

    request.parameters = arguments_of(method, list, by_name, &error);
    if (request.parameters == NULL)
        dbus_job_raise(job, COMMAND_ERROR_ARGUMENT, error->message);
    else
        dbus_job_ask(job, &request, step, g_strdup("Unable to call DBus method: "));
}
