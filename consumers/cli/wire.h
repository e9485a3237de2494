/* A verb's connection to its site: options every verb has, the broker, a QMF console, and calls that wait for their answer. Runs the
 * thread's default main context while it waits. Thread: one. */
#ifndef MEND_CLI_WIRE_H
#define MEND_CLI_WIRE_H

#include "lib/base/settings.h"
#include "lib/qmf/session.h"

typedef struct WireOptions {
    char *broker, *user, *password_file, *data, *ca;
    int64_t timeout_us;
    bool json, help;
} WireOptions;

/* The rows every verb begins its own with; @type has a WireOptions as its member `site`. */
#define WIRE_ROWS(type)                                                                                                               \
    { "broker", SETTING_STRING, offsetof(type, site.broker), 0, 0, NULL, "URL of the broker; without it the local site's" },          \
    { "user", SETTING_STRING, offsetof(type, site.user), 0, 0, NULL, "NAME to log in as; without it the local site's operator" },     \
    { "password-file", SETTING_STRING, offsetof(type, site.password_file), 0, 0, NULL, "FILE that holds the password of --user" },    \
    { "ca", SETTING_STRING, offsetof(type, site.ca), 0, 0, NULL, "FILE with the certificate the broker's must be signed by" },        \
    { "data", SETTING_STRING, offsetof(type, site.data), 0, 0, NULL, "FOLDER of the local site" },                                    \
    { "timeout", SETTING_DURATION, offsetof(type, site.timeout_us), 100 * US_PER_MS, US_PER_HOUR, "5s", "longest wait for an answer" }, \
    { "json", SETTING_BOOL, offsetof(type, site.json), 0, 0, NULL, "print JSON" },                                                    \
    { "help", SETTING_BOOL, offsetof(type, site.help), 0, 0, NULL, "explain this verb" }

typedef enum { EXIT_DONE = 0, EXIT_NO = 1, EXIT_WRONG = 2 } ExitStatus;

#define WIRE_ERROR wire_error_quark()
GQuark wire_error_quark(void);
typedef enum {
    WIRE_ERROR_UNREACHABLE, /* no broker, or it does not accept us: exit status 2 */
    WIRE_ERROR_ABSENT,      /* no such agent, object, method; the message may say what was meant */
} WireError;

typedef struct Wire Wire;

/* What the options and the local site's files say. Strings are owned by the result: wire_login_clear(). */
typedef struct WireLogin {
    char *url, *user, *password, *ca_file;
} WireLogin;
bool wire_login(const WireOptions *options, const char *fallback_user, WireLogin *ret_login, GError **error);
void wire_login_clear(WireLogin *login);

/* Connects and waits until the links are there. @events may be NULL. */
Wire *wire_open(const WireOptions *options, GError **error);
void wire_close(Wire *wire);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Wire, wire_close)
AmqpClient *wire_client(Wire *wire);

/* Runs the loop until *@flag, the connection is lost (error) or @timeout_us passed (no error, false). 0: for ever. */
bool wire_wait(Wire *wire, const bool *flag, int64_t timeout_us, GError **error);
/* The agent named so, or the only one whose name has @part in it. (transfer full) ABSENT says who is there, or was meant. */
char *wire_agent(Wire *wire, const char *part, GError **error);
/* The plugin's agent (transfer full). */
char *wire_broker_agent(Wire *wire, GError **error);
/* The policy engine called @name; NULL: the one that acts (transfer full). */
char *wire_engine_agent(Wire *wire, const char *name, GError **error);

/* Each waits for its answer. (transfer full) */
Value *wire_call(Wire *wire, const char *agent, const char *object, const char *method, const Value *arguments, GError **error);
Value *wire_call_id(Wire *wire, const char *agent, const Value *object_id, const char *method, const Value *arguments, GError **error);
Value *wire_objects(Wire *wire, const char *agent, const char *class, GError **error); /* of a class of ours */
Value *wire_objects_of(Wire *wire, const char *agent, const char *package, const char *class, GError **error);
Value *wire_object(Wire *wire, const char *agent, const char *object, GError **error);
Value *wire_schema_ids(Wire *wire, const char *agent, GError **error);
Value *wire_schema(Wire *wire, const char *agent, const Value *schema_id, GError **error);

/* The frame of a verb: reads its settings, prints help when asked for, says what is wrong. True: go on; false: return *@ret_status. */
bool verb_begin(const char *usage, const Setting *rows, size_t n_rows, void *options, const bool *help, char **argv, char ***ret_rest,
                ExitStatus *ret_status);
/* Says @error as the verb's and answers the exit status it stands for. */
ExitStatus verb_fail(const char *verb, const GError *error);

#endif
