/* A probe that hangs is replaced only when the kernel lets it go: a second one would hang beside it. */
#include "agents/host/storage/storage.h"

#include "agents/host/storage/health.h"
#include "agents/host/storage/paths.h"
#include "agents/host/storage/probe.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/uuid.h"

#include <inttypes.h>
#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#define NAMESPACE      "6ba7b811-9dad-11d1-80b4-00c04fd430c8" /* RFC 4122, appendix C: URL */
#define REPEAT_US      (20 * US_PER_S)
#define RESTART_MS     1000
#define ERRORS_TO_FAIL 3
#define HOSTS_MAX      1024 /* of one domain */

typedef struct Seen { /* another host's beat on one domain */
    uint64_t counter;
    int64_t grew_us; /* 0: it never did while we looked */
} Seen;

typedef struct Domain {
    Storage *storage;
    char *name, *id, *folder, *failover;
    Health health;
    GHashTable *hosts; /* UUID → Seen */
    GSubprocess *probe;
    GDataInputStream *lines;
    GCancellable *cancel;
    guint restart;
} Domain;

typedef struct Word { /* what was told of another host */
    bool alive;
    int64_t at_us;
} Word;

struct Storage {
    Host *host;
    StorageOptions options;
    char *program;
    GPtrArray *domains; /* of Domain */
    GHashTable *words;  /* UUID → Word */
    guint timer;
    bool ending; /* the probes are to outlive it */
};

G_DEFINE_QUARK(mend-storage-error-quark, storage_error)

static void probe_start(Domain *d);

/* ---- telling ---- */

static Value *sample_of(const Health *h)
{
    Value *sample = value_map();

    value_set(sample, "latency_p50_ms", value_double(VALUE_DOUBLE, (double) health_percentile_us(h, 50) / US_PER_MS));
    value_set(sample, "latency_p95_ms", value_double(VALUE_DOUBLE, (double) health_percentile_us(h, 95) / US_PER_MS));
    value_set(sample, "free_bytes", value_uint(VALUE_UINT64, h->free_bytes));
    value_set(sample, "total_bytes", value_uint(VALUE_UINT64, h->total_bytes));
    value_set(sample, "paths", value_uint(VALUE_UINT32, h->paths));
    value_set(sample, "paths_up", value_uint(VALUE_UINT32, h->paths_up));
    return sample;
}

static void tell_state(Domain *d)
{
    Value *values = value_map();

    value_set(values, "name", value_string(d->name));
    value_set(values, "host", value_string(host_id(d->storage->host)));
    value_set(values, "reason", value_string(d->health.reason));
    value_set(values, "sample", sample_of(&d->health));
    host_tell(d->storage->host, "storage", d->id, health_name(d->health.state), values);
}

static void judge(Domain *d, int64_t now_us)
{
    if (!health_judge(&d->health, now_us))
        return;
    log_line(d->health.state == HEALTH_WELL ? LOG_LEVEL_NOTICE : LOG_LEVEL_WARNING, "storage %s: %s%s%s", d->name, health_name(d->health.state),
             d->health.reason[0] != '\0' ? ": " : "", d->health.reason);
    tell_state(d);
}

static void tell_host(Storage *storage, const char *id, bool alive, int64_t now_us)
{
    Word *word = g_hash_table_lookup(storage->words, id);
    Value *values;

    if (word != NULL && word->alive == alive && now_us - word->at_us < REPEAT_US)
        return;
    if (word == NULL)
        g_hash_table_insert(storage->words, g_strdup(id), word = g_new0(Word, 1));
    *word = (Word) { alive, now_us };
    values = value_map();
    value_set(values, "channel", value_string("storage"));
    value_set(values, "says", value_string(alive ? "alive" : "gone"));
    value_set(values, "by", value_string(host_id(storage->host)));
    host_tell_happened(storage->host, "host", id, "evidence", "storage", values);
}

/* Alive on one domain is alive. Gone it is when it stands still on every domain we could read where we saw it before; a domain that does
 * not serve us says nothing of others. */
static void tell_hosts(Storage *storage, int64_t now_us)
{
    g_autoptr(GHashTable) alive = g_hash_table_new(g_str_hash, g_str_equal); /* UUID → non-NULL: alive */
    GHashTableIter iter;
    void *key, *value;

    for (guint i = 0; i < storage->domains->len; i++) {
        Domain *d = storage->domains->pdata[i];

        if (d->health.state == HEALTH_FAILED || now_us - d->health.heard_us > storage->options.gone_us / 2)
            continue;
        g_hash_table_iter_init(&iter, d->hosts);
        while (g_hash_table_iter_next(&iter, &key, &value)) {
            const Seen *seen = value;
            bool lives = seen->grew_us != 0 && now_us - seen->grew_us <= storage->options.gone_us;

            if (seen->grew_us != 0 && (lives || !g_hash_table_contains(alive, key)))
                g_hash_table_insert(alive, key, GINT_TO_POINTER(lives));
        }
    }
    g_hash_table_iter_init(&iter, alive);
    while (g_hash_table_iter_next(&iter, &key, &value))
        tell_host(storage, key, value != NULL, now_us);
}

/* ---- the probe's lines ---- */

static void take_host(Domain *d, const char *text, int64_t now_us)
{
    g_auto(GStrv) words = g_strsplit(text, " ", 3);
    g_autofree char *id = words[0] != NULL ? uuid_canonical(words[0]) : NULL;
    uint64_t counter = id != NULL && words[1] != NULL && words[2] != NULL ? g_ascii_strtoull(words[2], NULL, 10) : 0;
    Seen *seen;

    if (counter == 0)
        return;
    seen = g_hash_table_lookup(d->hosts, id);
    if (seen == NULL) {
        if (g_hash_table_size(d->hosts) >= HOSTS_MAX)
            return;
        seen = g_new0(Seen, 1);
        seen->counter = counter;
        g_hash_table_insert(d->hosts, g_steal_pointer(&id), seen);
    } else if (counter != seen->counter) {
        seen->counter = counter;
        seen->grew_us = now_us;
    }
}

static void take_line(Domain *d, const char *line)
{
    int64_t now_us = clock_now_us();
    char *end;

    if (g_str_has_prefix(line, "host ")) {
        take_host(d, line + 5, now_us);
    } else if (g_str_has_prefix(line, "space ")) {
        uint64_t free_bytes = g_ascii_strtoull(line + 6, &end, 10);

        health_space(&d->health, free_bytes, g_ascii_strtoull(end, NULL, 10));
    } else if (g_str_has_prefix(line, "beat ")) {
        unsigned paths, up;

        paths_of(d->folder, &paths, &up);
        health_paths(&d->health, paths, up);
        health_beat(&d->health, g_ascii_strtoll(line + 5, NULL, 10), now_us);
        judge(d, now_us);
    } else if (g_str_has_prefix(line, "error ")) {
        long number = strtol(line + 6, &end, 10);

        health_error(&d->health, (int) number, *end == ' ' ? end + 1 : end, now_us);
        judge(d, now_us);
    }
}

static gboolean on_restart(void *user)
{
    Domain *d = user;

    d->restart = 0;
    probe_start(d);
    return G_SOURCE_REMOVE;
}

static void on_line(GObject *source, GAsyncResult *result, void *user)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *line = g_data_input_stream_read_line_finish(G_DATA_INPUT_STREAM(source), result, NULL, &error);
    Domain *d = user;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return; /* and @d is gone */
    if (line == NULL) {
        log_warning("storage %s: its probe ended; started again", d->name);
        d->restart = g_timeout_add(RESTART_MS, on_restart, d);
        return;
    }
    take_line(d, line);
    g_data_input_stream_read_line_async(d->lines, G_PRIORITY_DEFAULT, d->cancel, on_line, d);
}

static void probe_stop(Domain *d)
{
    if (d->cancel != NULL)
        g_cancellable_cancel(d->cancel);
    if (d->probe != NULL && !d->storage->ending)
        g_subprocess_force_exit(d->probe);
    g_clear_object(&d->cancel);
    g_clear_object(&d->lines);
    g_clear_object(&d->probe);
}

static void probe_start(Domain *d)
{
    const Storage *storage = d->storage;
    g_autofree char *interval = g_strdup_printf("%" PRId64, storage->options.interval_us / US_PER_MS);
    const char *const argv[] = { storage->program, PROBE_VERB, d->folder, host_id(storage->host), host_boot_id(storage->host), interval, host_data(storage->host), NULL };
    g_autoptr(GError) error = NULL;

    probe_stop(d);
    d->probe = g_subprocess_newv(argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
    if (d->probe == NULL) {
        log_error("storage %s: no probe: %s", d->name, error->message);
        d->restart = g_timeout_add(RESTART_MS, on_restart, d);
        return;
    }
    d->cancel = g_cancellable_new();
    d->lines = g_data_input_stream_new(g_subprocess_get_stdout_pipe(d->probe));
    g_data_input_stream_read_line_async(d->lines, G_PRIORITY_DEFAULT, d->cancel, on_line, d);
}

static gboolean on_timer(void *user)
{
    Storage *storage = user;
    int64_t now_us = clock_now_us();

    for (guint i = 0; i < storage->domains->len; i++)
        judge(storage->domains->pdata[i], now_us);
    tell_hosts(storage, now_us);
    return G_SOURCE_CONTINUE;
}

static void on_online(void *user)
{
    Storage *storage = user;

    for (guint i = 0; i < storage->domains->len; i++)
        if (((Domain *) storage->domains->pdata[i])->health.state != HEALTH_UNKNOWN)
            tell_state(storage->domains->pdata[i]);
}

/* ---- start ---- */

char *storage_id(const char *name)
{
    g_autofree char *text = g_strconcat("mend-storage:", name, NULL);
    uuid_t space, id;
    char *ret = g_malloc(UUID_TEXT_SIZE);

    uuid_parse(NAMESPACE, space);
    uuid_generate_sha1(id, space, text, strlen(text));
    uuid_unparse_lower(id, ret);
    return ret;
}

static void domain_free(void *data)
{
    Domain *d = data;

    probe_stop(d);
    if (d->restart != 0)
        g_source_remove(d->restart);
    g_hash_table_unref(d->hosts);
    g_free(d->name);
    g_free(d->id);
    g_free(d->folder);
    g_free(d->failover);
    g_free(d);
}

static bool take_option(Domain *d, const char *text, const char *option, GError **error)
{
    if (g_str_has_prefix(option, "uuid=")) {
        g_free(d->id);
        d->id = uuid_canonical(option + 5);
        if (d->id != NULL)
            return true;
    } else if (g_str_has_prefix(option, "failover=") && option[9] != '\0') {
        g_free(d->failover);
        d->failover = g_strdup(option + 9);
        return true;
    }
    g_set_error(error, STORAGE_ERROR, STORAGE_ERROR_SETTING, "--storage %s: '%s' is not understood; want NAME=FOLDER[,uuid=UUID][,failover=NAME]", text, option);
    return false;
}

static bool add_domain(Storage *storage, const char *text, GError **error)
{
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    const char *equals = words[0] != NULL ? strchr(words[0], '=') : NULL;
    Domain *d;

    if (equals == NULL || equals == words[0] || equals[1] != '/') {
        g_set_error(error, STORAGE_ERROR, STORAGE_ERROR_SETTING, "--storage %s: want NAME=FOLDER[,uuid=UUID][,failover=NAME], FOLDER with its whole path", text);
        return false;
    }
    if (storage->domains->len >= STORAGE_MAX) {
        g_set_error(error, STORAGE_ERROR, STORAGE_ERROR_SETTING, "--storage: more than %d", STORAGE_MAX);
        return false;
    }
    d = g_new0(Domain, 1);
    d->storage = storage;
    d->name = g_strndup(words[0], (size_t) (equals - words[0]));
    d->id = storage_id(d->name);
    d->folder = g_canonicalize_filename(equals + 1, NULL);
    d->hosts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_ptr_array_add(storage->domains, d);
    for (char **option = words + 1; *option != NULL; option++)
        if (!take_option(d, text, *option, error))
            return false;
    return true;
}

static const Domain *domain_named(const Storage *storage, const char *name)
{
    for (guint i = 0; i < storage->domains->len; i++) {
        const Domain *d = storage->domains->pdata[i];

        if (strcmp(d->name, name) == 0)
            return d;
    }
    return NULL;
}

static bool check_failover(const Storage *storage, const Domain *d, GError **error)
{
    const Domain *to = d->failover == NULL ? NULL : domain_named(storage, d->failover);

    if (d->failover == NULL || (to != NULL && to != d))
        return true;
    g_set_error(error, STORAGE_ERROR, STORAGE_ERROR_SETTING, "--storage %s: failover=%s: %s", d->name, d->failover,
                to == d ? "wants another one than itself" : "no --storage has this name");
    return false;
}

/* With host.up: where a VM that uses it can run. */
static void tell_domains(Storage *storage)
{
    Value *list = value_list();

    for (guint i = 0; i < storage->domains->len; i++)
        value_append(list, value_string(((const Domain *) storage->domains->pdata[i])->id));
    host_set_fact(storage->host, "storage", list);
}

Storage *storage_new(Host *host, const StorageOptions *options, GError **error)
{
    g_autoptr(Storage) storage = g_new0(Storage, 1);
    const HealthLimits limits = { options->slow_us, options->silent_us, ERRORS_TO_FAIL, options->full_percent, options->error_percent, options->paths };

    storage->host = host;
    storage->options = *options;
    storage->program = g_strdup(options->program);
    storage->domains = g_ptr_array_new_with_free_func(domain_free);
    storage->words = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (const char *const *text = options->domains; text != NULL && *text != NULL; text++)
        if (!add_domain(storage, *text, error))
            return NULL;
    for (guint i = 0; i < storage->domains->len; i++)
        if (!check_failover(storage, storage->domains->pdata[i], error))
            return NULL;
    for (guint i = 0; i < storage->domains->len; i++) {
        Domain *d = storage->domains->pdata[i];

        health_init(&d->health, &limits, clock_now_us());
        probe_start(d);
    }
    tell_domains(storage);
    storage->timer = g_timeout_add((guint) MAX(options->interval_us / US_PER_MS, 20), on_timer, storage);
    host_on_online(host, on_online, storage);
    return g_steal_pointer(&storage);
}

void storage_free(Storage *storage)
{
    if (storage == NULL)
        return;
    storage->ending = storage->options.outlive;
    if (storage->timer != 0)
        g_source_remove(storage->timer);
    g_ptr_array_unref(storage->domains);
    g_hash_table_unref(storage->words);
    g_free(storage->program);
    g_free(storage);
}

const char *storage_of_path(const Storage *storage, const char *path)
{
    const Domain *found = NULL;

    for (guint i = 0; path != NULL && i < storage->domains->len; i++) {
        const Domain *d = storage->domains->pdata[i];
        size_t n = strlen(d->folder);

        if (strncmp(path, d->folder, n) == 0 && (path[n] == '/' || path[n] == '\0') && (found == NULL || n > strlen(found->folder)))
            found = d;
    }
    return found != NULL ? found->id : NULL;
}

static const Domain *domain_of(const Storage *storage, const char *id)
{
    for (guint i = 0; i < storage->domains->len; i++) {
        const Domain *d = storage->domains->pdata[i];

        if (g_strcmp0(d->id, id) == 0)
            return d;
    }
    return NULL;
}

const char *storage_folder(const Storage *storage, const char *id)
{
    const Domain *d = domain_of(storage, id);

    return d == NULL ? NULL : d->folder;
}

const char *storage_failover(const Storage *storage, const char *id)
{
    const Domain *d = domain_of(storage, id);

    return d == NULL || d->failover == NULL ? NULL : domain_named(storage, d->failover)->id;
}

const char *storage_folder_named(const Storage *storage, const char *name)
{
    const Domain *d = domain_named(storage, name);

    return d == NULL ? NULL : d->folder;
}
