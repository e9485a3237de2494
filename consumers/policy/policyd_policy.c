/* Which policy is in force: from the file, from an operator, or one of before. Each way ends in one input of the engine, which keeps all of its running
 * state; a text with a mistake never gets so far. */
#include "consumers/policy/policyd_private.h"

#include "consumers/policy/language/policy_file.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>

static Policy *read_checked(const char *name, const char *text, PolicyReport *report, GError **error)
{
    return policy_read(name, text, &(PolicyReading){ .now_us = clock_wall_us(), .report = report }, error);
}

Policy *policy_of_file(const char *path, GError **error)
{
    g_autofree char *text = path == NULL ? NULL : policy_file_text(path, error);
    PolicyReport report = { 0 };

    if (path == NULL)
        return policy_default();
    Policy *policy = text == NULL ? NULL : read_checked(path, text, &report, error);
    if (policy != NULL && report.warnings != NULL)
        log_warning("policy: %s", report.warnings);
    policy_report_clear(&report);
    return policy;
}

static void take(Policyd *p, Policy *policy, const char *from, const char *who)
{
    g_autoptr(json_t) arguments = json_pack("{s:s}", "from", from);
    g_autofree char *asked = who == NULL ? NULL : g_utf8_make_valid(who, -1); /* a peer's text: it goes into the journal */

    policyd_feed(p, &(EngineInput){ .kind = INPUT_POLICY, .policy = policy, .who = asked, .arguments = arguments }, NULL);
    bus_watch(p->bus);
    log_notice("policy %s is in force, %u rules", policy->name, policy->rules->len);
}

static bool is_in_force(const Policyd *p, const char *version)
{
    return g_strcmp0(version, engine_policy(machine_engine(p->machine))->version) == 0;
}

bool policy_begin(Policyd *p, Policy *policy, GError **error)
{
    const Versions *versions = machine_versions(p->machine);
    const Version *of_file = versions_of_file(versions), *current = versions_at(versions, versions_size(versions) - 1);
    bool chosen = strcmp(current->from, "load") == 0 || strcmp(current->from, "rollback") == 0;

    if (is_in_force(p, policy->version))
        return true;
    if (chosen && (of_file == NULL ? p->policy_path == NULL : strcmp(of_file->version, policy->version) == 0)) {
        log_notice("policy %s, version %" G_GINT64_FORMAT " by %s, stays in force: the file is as it was before", current->name, current->number,
                   current->from);
        return true;
    }
    take(p, policy, "file", NULL);
    return true;
}

bool policyd_reload(Policyd *p, GError **error)
{
    g_autoptr(Policy) policy = policy_of_file(p->policy_path, error);

    if (policy == NULL)
        return false;
    if (!is_in_force(p, policy->version))
        take(p, policy, "file", NULL);
    return true;
}

bool policyd_load(Policyd *p, const char *name, const char *text, const char *who, char **ret_text, GError **error)
{
    PolicyReport report = { 0 };
    g_autoptr(Policy) policy = read_checked(name, text, &report, error);
    g_autofree char *warnings = g_strdup(report.warnings);

    policy_report_clear(&report);
    if (policy == NULL)
        return false;
    bool same = is_in_force(p, policy->version);
    if (!same)
        take(p, policy, "load", who);
    *ret_text = g_strdup_printf("%s%s%s: %s, %u rules, %u applications", warnings == NULL ? "" : warnings, warnings == NULL ? "" : "\n", name,
                                same ? "is in force already" : "is in force", policy->rules->len, policy->applications->len);
    return true;
}

static const Version *find_version(const Policyd *p, int64_t number, GError **error)
{
    const Versions *versions = machine_versions(p->machine);
    const Version *version = versions_number(versions, number);

    if (version == NULL)
        g_set_error(error, POLICY_ERROR, POLICY_ERROR_FILE, "no version %" G_GINT64_FORMAT ": %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT " are kept",
                    number, versions_at(versions, 0)->number, versions_at(versions, versions_size(versions) - 1)->number);
    return version;
}

bool policyd_rollback(Policyd *p, int64_t number, const char *who, char **ret_text, GError **error)
{
    const Version *version = number == 0 ? versions_before(machine_versions(p->machine)) : find_version(p, number, error);

    if (version == NULL) {
        if (number == 0)
            g_set_error(error, POLICY_ERROR, POLICY_ERROR_FILE, "no other version is kept");
        return false;
    }
    if (is_in_force(p, version->version)) {
        g_set_error(error, POLICY_ERROR, POLICY_ERROR_FILE, "version %" G_GINT64_FORMAT " is the one in force", version->number);
        return false;
    }
    g_autoptr(Policy) policy = policy_read(version->name, version->text, &(PolicyReading){ .trusted = true }, error);
    if (policy == NULL)
        return false;
    *ret_text = g_strdup_printf("version %" G_GINT64_FORMAT " (%s) is in force again", version->number, version->name);
    take(p, policy, "rollback", who);
    return true;
}

json_t *policyd_versions(const Policyd *p)
{
    const Versions *versions = machine_versions(p->machine);
    json_t *list = json_array();

    for (size_t i = 0; i < versions_size(versions); i++) {
        const Version *v = versions_at(versions, i);

        json_array_append_new(list, json_pack("{s:I, s:I, s:s, s:s, s:s, s:s, s:b}", "number", (json_int_t) v->number, "at_us",
                                              (json_int_t) v->at_us, "name", v->name, "version", v->version, "from", v->from, "who", v->who,
                                              "in_force", i + 1 == versions_size(versions)));
    }
    return list;
}

bool policyd_version(const Policyd *p, int64_t number, char **ret_name, char **ret_text, GError **error)
{
    const Versions *versions = machine_versions(p->machine);
    const Version *version = number == 0 ? versions_at(versions, versions_size(versions) - 1) : find_version(p, number, error);

    if (version == NULL)
        return false;
    *ret_name = g_strdup(version->name);
    *ret_text = g_strdup(version->text);
    return true;
}
