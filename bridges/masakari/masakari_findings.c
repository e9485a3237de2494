/* An incident is told once, by its id. Until it is, its first time is kept: Masakari takes two of the same type, host and payload for one for a while, so a
 * post whose answer was lost does no harm when it is soon repeated. */
#include "bridges/masakari/masakari_findings.h"

#include "lib/base/clock.h"
#include "lib/base/json.h"
#include "lib/model/entity.h"

#include <string.h>

#define FIRST_PAUSE_US (5 * US_PER_S)
#define LAST_PAUSE_US  (10 * US_PER_MINUTE)
#define PROCESS_MAX    4096

typedef struct Finding {
    char *entity;
    int64_t wall_us, next_us, pause_us; /* wall: of the first try; 0: none yet */
    bool told, seen;
} Finding;

struct Findings {
    GHashTable *names;
    GHashTable *all; /* incident's id → Finding */
};

static void finding_free(void *data)
{
    Finding *finding = data;

    g_free(finding->entity);
    g_free(finding);
}

Findings *findings_new(GHashTable *names)
{
    Findings *findings = g_new0(Findings, 1);

    findings->names = names;
    findings->all = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, finding_free);
    return findings;
}

void findings_free(Findings *findings)
{
    if (findings == NULL)
        return;
    g_hash_table_unref(findings->all);
    g_free(findings);
}

static Finding *ensure(Findings *findings, const char *id, const char *entity)
{
    Finding *finding = g_hash_table_lookup(findings->all, id);

    if (finding != NULL || g_hash_table_size(findings->all) >= FINDINGS_MAX)
        return finding;
    finding = g_new0(Finding, 1);
    finding->entity = g_strdup(entity);
    g_hash_table_insert(findings->all, g_strdup(id), finding);
    return finding;
}

static gboolean is_gone(void *id, void *value, void *user)
{
    Finding *finding = value;
    bool gone = !finding->seen;

    finding->seen = false;
    return gone;
}

void findings_take(Findings *findings, const json_t *incidents)
{
    size_t i;
    json_t *incident;

    json_array_foreach(incidents, i, incident) {
        const char *id = json_string_or(incident, "id", NULL), *entity = json_string_or(incident, "entity", NULL);
        bool human = strcmp(json_string_or(incident, "state", ""), "needs-human") == 0;
        Finding *finding;

        if (id == NULL || entity == NULL)
            continue;
        finding = human ? ensure(findings, id, entity) : g_hash_table_lookup(findings->all, id);
        if (finding != NULL)
            finding->seen = true; /* told and tried again by a person: still told */
        if (finding != NULL && !human && !finding->told)
            finding->seen = false;
    }
    g_hash_table_foreach_remove(findings->all, is_gone, NULL);
}

const char *findings_next(Findings *findings, int64_t now_us, const char **ret_entity)
{
    GHashTableIter iter;
    void *id, *value;
    const char *first = NULL;
    int64_t first_us = INT64_MAX;

    g_hash_table_iter_init(&iter, findings->all);
    while (g_hash_table_iter_next(&iter, &id, &value)) {
        const Finding *finding = value;

        if (finding->told || finding->next_us > now_us || finding->next_us >= first_us)
            continue;
        first = id;
        first_us = finding->next_us;
        *ret_entity = finding->entity;
    }
    return first;
}

/* ---- words --------------------------------------------------------------------------------------------------------------------------------- */

/* (transfer full) NULL: *@ret_why. */
static json_t *payload_of(const Entity *entity, const char *state, const json_t *data, const char **ret_type, const char **ret_why)
{
    static const char *const ended[] = { "stopped", "crashed", NULL }, *const failed[] = { "failed", "lost", NULL };
    const char *intent = json_string_or(data, "intent", "none");

    *ret_why = "its state is not one that Masakari acts on";
    switch (entity->kind) {
    case ENTITY_HOST:
        *ret_type = "COMPUTE_HOST";
        *ret_why = "that it is off is not certain";
        return strcmp(state, "off") != 0 ? NULL : json_pack("{s:s, s:s, s:s}", "event", "STOPPED", "cluster_status", "OFFLINE", "host_status", "NORMAL");
    case ENTITY_VM:
        *ret_type = "VM";
        if (!g_strv_contains(ended, state) || strcmp(intent, "none") != 0)
            return NULL;
        return json_pack("{s:s, s:s, s:s}", "instance_uuid", entity->id, "event", "LIFECYCLE", "vir_domain_event", "STOPPED_FAILED");
    case ENTITY_SERVICE:
        *ret_type = "PROCESS";
        if (!g_strv_contains(failed, state) || strlen(entity->name) > PROCESS_MAX)
            return NULL;
        return json_pack("{s:s, s:s}", "process_name", entity->name, "event", "STOPPED");
    default:
        return NULL;
    }
}

json_t *findings_body(Findings *findings, const char *id, const char *state, const json_t *data, int64_t wall_us, const char **ret_why)
{
    Finding *finding = g_hash_table_lookup(findings->all, id);
    g_autoptr(Entity) entity = finding != NULL ? entity_parse(finding->entity, NULL) : NULL;
    g_autoptr(json_t) payload = NULL;
    g_autofree char *time = NULL;
    const char *type = NULL, *host, *name;

    *ret_why = "it is not known";
    if (entity == NULL || (payload = payload_of(entity, state, data, &type, ret_why)) == NULL)
        return NULL;
    host = entity->kind == ENTITY_VM ? json_string_or(data, "host", "") : entity->id;
    name = g_hash_table_lookup(findings->names, host);
    if (name == NULL) {
        *ret_why = "it is on no host of --hosts";
        return NULL;
    }
    if (finding->wall_us == 0)
        finding->wall_us = wall_us;
    time = time_format(finding->wall_us);
    return json_pack("{s:{s:s, s:s, s:s, s:O}}", "notification", "type", type, "hostname", name, "generated_time", time, "payload", payload);
}

/* ---- what became of it --------------------------------------------------------------------------------------------------------------------- */

void findings_told(Findings *findings, const char *id)
{
    Finding *finding = g_hash_table_lookup(findings->all, id);

    if (finding != NULL)
        finding->told = true;
}

void findings_failed(Findings *findings, const char *id, int64_t now_us)
{
    Finding *finding = g_hash_table_lookup(findings->all, id);

    if (finding == NULL)
        return;
    finding->pause_us = CLAMP(2 * finding->pause_us, FIRST_PAUSE_US, LAST_PAUSE_US);
    finding->next_us = now_us + finding->pause_us;
}

json_t *findings_save(const Findings *findings)
{
    json_t *saved = json_object();
    GHashTableIter iter;
    void *id, *value;

    g_hash_table_iter_init(&iter, findings->all);
    while (g_hash_table_iter_next(&iter, &id, &value)) {
        const Finding *finding = value;

        if (finding->told || finding->wall_us != 0)
            json_object_set_new(saved, id,
                                json_pack("{s:s, s:b, s:I}", "entity", finding->entity, "told", (int) finding->told, "at_us", (json_int_t) finding->wall_us));
    }
    return saved;
}

void findings_load(Findings *findings, const json_t *saved)
{
    const char *id;
    json_t *value;

    json_object_foreach((json_t *) saved, id, value) {
        const char *entity = json_string_or(value, "entity", NULL);
        Finding *finding = entity != NULL ? ensure(findings, id, entity) : NULL;

        if (finding == NULL)
            continue;
        finding->told = json_bool_or(value, "told", false);
        finding->wall_us = MAX(0, json_int_or(value, "at_us", 0));
    }
}
