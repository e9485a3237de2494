/* `mend attach`: the plugin beside a broker that is there already, in the foreground. */
#include "broker-plugin/hosts/attach/attach.h"
#include "broker-plugin/loader.h"
#include "lib/base/credentials.h"
#include "lib/base/file.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/model/shard.h"
#include "mend/foreground.h"
#include "mend/verbs.h"

#include <stdio.h>
#include <string.h>

typedef struct AttachSettings {
    char *broker, *credentials, *user, *password_file, *ca, *dialect, *management, *data, *plugin, *plugin_config, *log;
    char **subscribers;
    int64_t shards;
    bool dialects, lab;
} AttachSettings;

#define FIELD(f) offsetof(AttachSettings, f)
static const Setting rows[] = {
    { "broker", SETTING_STRING, FIELD(broker), 0, 0, NULL, "URL of the broker, or several separated by commas; without it the credentials'" },
    { "credentials", SETTING_STRING, FIELD(credentials), 0, 0, NULL, "FILE with user, password, url and ca (YAML)" },
    { "user", SETTING_STRING, FIELD(user), 0, 0, NULL, "NAME to log in as, instead of the credentials'" },
    { "password-file", SETTING_STRING, FIELD(password_file), 0, 0, NULL, "FILE that holds the password of --user" },
    { "ca", SETTING_STRING, FIELD(ca), 0, 0, NULL, "FILE of the CA that signed the broker's certificate, PEM" },
    { "dialect", SETTING_STRING, FIELD(dialect), 0, 0, NULL, "NAME rabbitmq, qpidd, artemis or generic; without it, as the broker says who it is" },
    { "management", SETTING_STRING, FIELD(management), 0, 0, NULL, "URL of RabbitMQ's HTTP API (http://HOST:15672), to set its policy for subscriptions" },
    { "dialects", SETTING_BOOL, FIELD(dialects), 0, 0, NULL, "print what cannot be had with each dialect, and end" },
    { "subscriber", SETTING_LIST, FIELD(subscribers), 0, 0, NULL,
      "NAME of a durable subscription of mend.events to be made, may be given several times (default: policy-main)" },
    { "shards", SETTING_INTEGER, FIELD(shards), 0, SHARDS_MAX, "0", "N parts the services are shared out in, each healed by its own engine (docs/scaling.md); RabbitMQ only" },
    { "lab", SETTING_BOOL, FIELD(lab), 0, 0, NULL, "believe every agent and every engine its name" },
    { "data", SETTING_STRING, FIELD(data), 0, 0, NULL, "DIR what the plugin keeps (default: $MEND_DATA, then /var/lib/mend)" },
    { "plugin", SETTING_STRING, FIELD(plugin), 0, 0, NULL, "PATH of the plugin to load (default: mend-plugin.so of this installation)" },
    { "plugin-config", SETTING_STRING, FIELD(plugin_config), 0, 0, NULL, "JSON what the plugin is told; see docs/plugins.md" },
    { "log", SETTING_STRING, FIELD(log), 0, 0, "notice", "LEVEL error, warning, notice, info or debug" },
};

typedef struct Attached { Attach *attach; GMainLoop *loop; bool failed, ended; } Attached;

static void on_started(const char *broker, const char *dialect, const char *table, void *user)
{
    printf("mend attach: attached to %s, dialect %s. What is different here:\n%s", broker, dialect, table);
    fflush(stdout);
}

static void on_failed(const char *why, void *user)
{
    Attached *attached = user;

    fprintf(stderr, "mend attach: %s\n", why);
    attached->failed = true;
    foreground_end();
}

static void report(void *user)
{
    g_autoptr(json_t) statistics = attach_statistics(((Attached *) user)->attach);
    g_autofree char *text = json_pretty(statistics);

    fprintf(stderr, "%s\n", text);
}

static void on_closed(void *user) { ((Attached *) user)->ended = true; }

static int print_dialects(void)
{
    static const char *const names[] = { "rabbitmq", "qpidd", "artemis", "generic" };

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *table = attach_table(names[i]);

        printf("%s\n%s", names[i], table);
    }
    return 0;
}

/* What the plugin is told beside what was given: a laboratory believes everybody. */
static char *plugin_config(const AttachSettings *s, GError **error)
{
    const char *given = s->plugin_config != NULL ? s->plugin_config : "{}";
    g_autoptr(json_t) config = json_parse(given, strlen(given), "--plugin-config", error);

    if (config == NULL)
        return NULL;
    if (s->lab && json_is_object(config) && json_object_get(config, "identity") == NULL)
        json_object_set_new(config, "identity", json_string("off"));
    if (s->shards > 0 && json_is_object(config))
        json_object_set_new(config, "shards", json_integer(s->shards));
    return json_text(config);
}

static Attach *open_attach(const AttachSettings *s, Attached *attached, GError **error)
{
    static const char *const usual[] = { "policy-main", NULL };
    g_autoptr(Credentials) credentials = s->credentials != NULL ? credentials_read(s->credentials, error) : g_new0(Credentials, 1);
    g_autofree char *password = s->password_file != NULL ? file_read_line(s->password_file, 1024, error) : NULL;
    g_autofree char *plugin = NULL, *config = NULL, *state = g_build_filename(credentials_folder(s->data), "attach", NULL);
    const char *url = s->broker != NULL ? s->broker : credentials != NULL ? credentials->url : NULL;

    if (credentials == NULL || (s->password_file != NULL && password == NULL))
        return NULL;
    if (url == NULL) {
        g_set_error(error, ATTACH_ERROR, ATTACH_ERROR_DIALECT, "which broker? --broker URL, or --credentials FILE with a url");
        return NULL;
    }
    plugin = s->plugin != NULL ? g_strdup(s->plugin) : loader_find(error);
    config = plugin != NULL ? plugin_config(s, error) : NULL;
    if (config == NULL)
        return NULL;
    return attach_new(&(AttachOptions) {
        .url = url, .user = s->user != NULL ? s->user : credentials->user, .password = password != NULL ? password : credentials->password,
        .ca_file = s->ca != NULL ? s->ca : credentials->ca_file, .management = s->management, .dialect = s->dialect, .plugin_path = plugin, .plugin_config = config,
        .state_folder = state, .shards = (unsigned) s->shards, .subscribers = s->subscribers != NULL && s->subscribers[0] != NULL ? (const char *const *) s->subscribers : usual,
        .on_started = on_started, .on_failed = on_failed, .callback_user = attached }, error);
}

static int run(const AttachSettings *s)
{
    g_autoptr(GError) error = NULL;
    Attached attached = { 0 };

    attached.attach = open_attach(s, &attached, &error);
    if (attached.attach == NULL) {
        fprintf(stderr, "mend attach: %s\n", error->message);
        return 1;
    }
    foreground_run(NULL, report, &attached);
    attach_close(attached.attach, on_closed, &attached);
    while (!attached.ended)
        g_main_context_iteration(NULL, TRUE);
    attach_free(attached.attach);
    return attached.failed ? 1 : 0;
}

int verb_attach(char **argv)
{
    g_autoptr(GArray) table = g_array_new(false, false, sizeof(Setting));
    AttachSettings settings = { 0 };
    LogLevel level;
    int status;

    g_array_append_vals(table, rows, G_N_ELEMENTS(rows));
    if (!foreground_settings("attach", "usage: mend attach --broker URL [options]\n\nRuns Mend's plugin beside an AMQP 1.0 broker that is there already "
                             "(docs/attach.md). SIGTERM stops it; SIGUSR1 prints its statistics to stderr.\n", table, &settings, argv, NULL, &status))
        return status;
    log_open("mend attach", log_level_parse(settings.log, &level) ? level : LOG_LEVEL_NOTICE);
    status = settings.dialects ? print_dialects() : run(&settings);
    settings_done(rows, G_N_ELEMENTS(rows), &settings);
    return status;
}
