/* An alert is its labels: the same entity under the same rule is the same alert, whichever incident it is by now. That Mend has given up
 * is another alert than that it is at work, for it wakes people. */
#include "bridges/alertmanager/alerts.h"

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/base/settings.h"
#include "lib/model/entity.h"

#include <string.h>

#define STORY_MAX 3000

typedef struct Alert {
    char *name, *entity, *rule, *text, *story, *incident;
    int64_t opened_us, ended_us; /* ended 0: open */
    bool seen, human;
} Alert;

struct Alerts {
    GHashTable *all; /* key → Alert */
    char **labels;
};

static void alert_free(void *data)
{
    Alert *alert = data;

    g_free(alert->name);
    g_free(alert->entity);
    g_free(alert->rule);
    g_free(alert->text);
    g_free(alert->story);
    g_free(alert->incident);
    g_free(alert);
}

Alerts *alerts_new(const char *const *labels)
{
    Alerts *alerts = g_new0(Alerts, 1);

    alerts->all = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, alert_free);
    alerts->labels = g_strdupv((char **) labels);
    return alerts;
}

void alerts_free(Alerts *alerts)
{
    if (alerts == NULL)
        return;
    g_hash_table_unref(alerts->all);
    g_strfreev(alerts->labels);
    g_free(alerts);
}

/* Prometheus' label names: [a-zA-Z_][a-zA-Z0-9_]* */
bool alerts_check_labels(const char *const *labels, GError **error)
{
    for (; labels != NULL && *labels != NULL; labels++) {
        size_t length = strspn(*labels, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

        if (length == 0 || g_ascii_isdigit(**labels) || (*labels)[length] != '=' || !g_utf8_validate(*labels, -1, NULL)) {
            g_set_error(error, SETTINGS_ERROR, SETTINGS_ERROR_INVALID, "--label: '%s': NAME=VALUE is wanted, the name of letters, digits and _", *labels);
            return false;
        }
    }
    return true;
}

/* ---- what is open ------------------------------------------------------------------------------------------------------------------ */

static Alert *ensure(Alerts *alerts, const char *name, const char *entity, const char *rule, int64_t opened_us)
{
    g_autofree char *key = g_strjoin("\n", name, entity, rule, NULL);
    Alert *alert = g_hash_table_lookup(alerts->all, key);

    if (alert == NULL && g_hash_table_size(alerts->all) >= ALERTS_MAX)
        return NULL;
    if (alert == NULL) {
        alert = g_new0(Alert, 1);
        alert->name = g_strdup(name);
        alert->entity = g_strdup(entity);
        alert->rule = g_strdup(rule);
        alert->human = strcmp(name, ALERT_INCIDENT) != 0;
        g_hash_table_insert(alerts->all, g_steal_pointer(&key), alert);
    }
    if (alert->ended_us != 0 || alert->opened_us == 0) {
        alert->opened_us = opened_us;
        g_clear_pointer(&alert->story, g_free);
    }
    alert->ended_us = 0;
    alert->seen = true;
    return alert;
}

static void set(char **slot, const char *text)
{
    g_free(*slot);
    *slot = g_strdup(text);
}

static void take_one(Alerts *alerts, const json_t *incident, int64_t now_us)
{
    const char *entity = json_string_or(incident, "entity", NULL), *rule = json_string_or(incident, "rule", "");
    bool human = strcmp(json_string_or(incident, "state", ""), "needs-human") == 0;
    Alert *alert = entity == NULL ? NULL : ensure(alerts, human ? ALERT_NEEDS_HUMAN : ALERT_INCIDENT, entity, rule, json_int_or(incident, "opened_us", now_us));

    if (alert == NULL)
        return;
    set(&alert->text, json_string_or(incident, "waits_for", ""));
    set(&alert->incident, json_string_or(incident, "id", ""));
}

static void end_unseen(Alerts *alerts, const char *only, const char *but, int64_t now_us)
{
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, alerts->all);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Alert *alert = value;

        if ((only == NULL || strcmp(alert->name, only) == 0) && (but == NULL || strcmp(alert->name, but) != 0) && !alert->seen && alert->ended_us == 0)
            alert->ended_us = now_us;
        alert->seen = false;
    }
}

void alerts_take(Alerts *alerts, const json_t *incidents, int64_t now_us)
{
    size_t i;
    json_t *incident;

    json_array_foreach(incidents, i, incident)
        take_one(alerts, incident, now_us);
    end_unseen(alerts, NULL, ALERT_POLICY_SILENT, now_us);
}

void alerts_policy_silent(Alerts *alerts, const char *name, int64_t since_us, int64_t now_us)
{
    g_autofree char *entity = g_strconcat("policy/", name, NULL);
    Alert *alert = since_us != 0 ? ensure(alerts, ALERT_POLICY_SILENT, entity, "", since_us) : NULL;

    if (alert != NULL) {
        set(&alert->text, "the policy engine does not answer: nothing is mended, and what is open is not known; is `mend policy` running, and does it reach the broker?");
        set(&alert->story, "");
    }
    end_unseen(alerts, ALERT_POLICY_SILENT, NULL, now_us);
}

const char *alerts_without_story(const Alerts *alerts)
{
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, alerts->all);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Alert *alert = value;

        if (alert->human && alert->story == NULL && alert->ended_us == 0)
            return alert->entity;
    }
    return NULL;
}

void alerts_set_story(Alerts *alerts, const char *entity, const char *text)
{
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, alerts->all);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Alert *alert = value;

        if (strcmp(alert->entity, entity) == 0 && alert->human && alert->story == NULL)
            alert->story = g_utf8_make_valid(text, (gssize) MIN(strlen(text), STORY_MAX));
    }
}

/* ---- saying it --------------------------------------------------------------------------------------------------------------------- */

static json_t *time_json(int64_t wall_us)
{
    g_autoptr(GDateTime) second = g_date_time_new_from_unix_utc(wall_us / US_PER_S);
    g_autofree char *text = g_date_time_format(second, "%Y-%m-%dT%H:%M:%S");

    return json_sprintf("%s.%03dZ", text, (int) (wall_us % US_PER_S / US_PER_MS));
}

static void put(json_t *map, const char *key, const char *text)
{
    if (text != NULL && *text != '\0')
        json_object_set_new(map, key, json_string(text));
}

static json_t *labels_json(const Alerts *alerts, const Alert *alert)
{
    json_t *labels = json_object();
    g_auto(GStrv) parts = g_strsplit(alert->entity, "/", 3);

    for (char **label = alerts->labels; label != NULL && *label != NULL; label++) {
        char *equals = strchr(*label, '=');
        g_autofree char *name = g_strndup(*label, (size_t) (equals - *label));

        put(labels, name, equals + 1);
    }
    put(labels, "alertname", alert->name);
    put(labels, "severity", alert->human ? "critical" : "warning");
    put(labels, "entity", alert->entity);
    put(labels, "kind", parts[0]);
    put(labels, strcmp(parts[0], "host") == 0 ? "host" : "vm", strcmp(parts[0], "vm") == 0 || strcmp(parts[0], "service") == 0 || strcmp(parts[0], "host") == 0 ? parts[1] : NULL);
    put(labels, "service", strcmp(parts[0], "service") == 0 && parts[1] != NULL ? parts[2] : NULL);
    put(labels, "rule", alert->rule);
    return labels;
}

static json_t *annotations_json(const Alert *alert)
{
    json_t *annotations = json_object();
    g_autofree char *summary = strcmp(alert->name, ALERT_POLICY_SILENT) == 0 ? g_strdup(alert->text)
                               : alert->human ? g_strdup_printf("%s: Mend has given up, a human is needed", alert->entity)
                                              : g_strdup_printf("%s: Mend is at it%s%s", alert->entity, *alert->text != '\0' ? "; waits: " : "", alert->text);

    put(annotations, "summary", summary);
    put(annotations, "description", alert->story);
    put(annotations, "incident", alert->incident);
    if (alert->incident != NULL)
        json_object_set_new(annotations, "why", json_sprintf("mend why %s", alert->entity));
    return annotations;
}

json_t *alerts_body(const Alerts *alerts, int64_t now_us, int64_t lasts_us)
{
    json_t *body = json_array();
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, alerts->all);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Alert *alert = value;

        json_array_append_new(body, json_pack("{s:o, s:o, s:o, s:o}", "labels", labels_json(alerts, alert), "annotations", annotations_json(alert), "startsAt",
                                              time_json(alert->opened_us), "endsAt", time_json(alert->ended_us != 0 ? alert->ended_us : now_us + lasts_us)));
    }
    return body;
}

static gboolean has_ended(void *key, void *value, void *unused) { return ((const Alert *) value)->ended_us != 0; }

void alerts_sent(Alerts *alerts) { g_hash_table_foreach_remove(alerts->all, has_ended, NULL); }

unsigned alerts_open(const Alerts *alerts)
{
    GHashTableIter iter;
    void *value;
    unsigned n = 0;

    g_hash_table_iter_init(&iter, alerts->all);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        n += ((const Alert *) value)->ended_us == 0;
    return n;
}
