/* guest-fsfreeze-status is the ping where the agent has it: it is as cheap, works while frozen (as guest-ping does), and tells one from the
 * other. Of an agent that is just freezing nothing is heard until it is done, which takes as long as the guest's disks do: so a silence is
 * no death when a freeze was seen or announced.
 *
 * A command the agent refuses as unknown or disabled (a blocklist) is not asked again until guest-info lists what it can do, ten minutes later
 * or in its next life; the fact grows old and another source counts. */
#include "agents/host/channel/qga.h"

#include "lib/base/clock.h"
#include "lib/base/json.h"

#include <jansson.h>
#include <string.h>

typedef struct Question {
    const char *command, *text, *field;
    int64_t every_us;
    void (*fn)(Qga *qga, const struct Question *question, const json_t *answer);
} Question;

static void take_info(Qga *qga, const Question *question, const json_t *answer);
static void take_status(Qga *qga, const Question *question, const json_t *answer);
static void take_fact(Qga *qga, const Question *question, const json_t *answer);
static void take_hostname(Qga *qga, const Question *question, const json_t *answer);

#define ASK(name, field, every_s, fn) { name, "{\"execute\":\"" name "\"}", field, (every_s) * US_PER_S, fn }
enum { ASK_INFO, ASK_STATUS, ASK_PING };
static const Question questions[] = {
    [ASK_INFO] = ASK("guest-info", "qga_version", 600, take_info),
    [ASK_STATUS] = ASK("guest-fsfreeze-status", NULL, 5, take_status),
    [ASK_PING] = ASK("guest-ping", NULL, 5, NULL),
    ASK("guest-get-host-name", "hostname", 120, take_hostname),
    ASK("guest-get-osinfo", "os", 300, take_fact),
    ASK("guest-get-timezone", "timezone", 300, take_fact),
    ASK("guest-get-users", "users", 10, take_fact),
    ASK("guest-get-fsinfo", "filesystems", 300, take_fact),
    ASK("guest-network-get-interfaces", "interfaces", 60, take_fact),
    ASK("guest-get-vcpus", "cpus", 60, take_fact),
};
#undef ASK
#define N_QUESTIONS G_N_ELEMENTS(questions)

struct Qga {
    QgaHooks hooks;
    bool connected, asked; /* a question is out */
    size_t question;       /* which */
    QgaState state;
    unsigned silences;
    int64_t due[N_QUESTIONS], now_us, heard_us, frozen_us, freezing_until_us;
    GHashTable *commands; /* names of those it will run; NULL: not told yet */
    bool refused[N_QUESTIONS];
};

const char *qga_state_name(QgaState state)
{
    static const char *const names[] = { "unknown", "alive", "frozen", "gone" };

    return names[state];
}

Qga *qga_new(const QgaHooks *hooks)
{
    Qga *qga = g_new0(Qga, 1);

    qga->hooks = *hooks;
    return qga;
}

void qga_free(Qga *qga)
{
    if (qga == NULL)
        return;
    g_clear_pointer(&qga->commands, g_hash_table_unref);
    g_free(qga);
}

static void move(Qga *qga, QgaState state)
{
    if (qga->state == state)
        return;
    qga->state = state;
    if (state == QGA_FROZEN)
        qga->frozen_us = qga->now_us;
    qga->hooks.state(state, qga->hooks.user);
}

void qga_set_connected(Qga *qga, bool connected, int64_t now_us)
{
    if (qga->connected == connected)
        return;
    qga->connected = connected;
    qga->now_us = now_us;
    qga->silences = 0;
    g_clear_pointer(&qga->commands, g_hash_table_unref);
    memset(qga->refused, 0, sizeof qga->refused);
    for (size_t i = 0; i < N_QUESTIONS; i++)
        qga->due[i] = now_us;
    if (!connected)
        move(qga, QGA_UNKNOWN);
}

void qga_freezing(Qga *qga, int64_t until_us) { qga->freezing_until_us = until_us; }
QgaState qga_state(const Qga *qga) { return qga->state; }
bool qga_can(const Qga *qga, const char *command) { return qga->commands != NULL && g_hash_table_contains(qga->commands, command); }

/* ---- asking ---- */

static bool wanted(const Qga *qga, size_t i)
{
    bool has_status = qga->commands == NULL || (qga_can(qga, questions[ASK_STATUS].command) && !qga->refused[ASK_STATUS]);

    if (i == ASK_INFO)
        return true;
    if (qga->commands == NULL)
        return false; /* first what it can do */
    if (i == ASK_STATUS)
        return has_status;
    if (i == ASK_PING)
        return !has_status;
    return qga->state == QGA_ALIVE && !qga->refused[i] && qga_can(qga, questions[i].command);
}

const char *qga_next(Qga *qga, int64_t now_us, int *ret_limit_s)
{
    if (!qga->connected || qga->asked)
        return NULL;
    for (size_t i = 0; i < N_QUESTIONS; i++) {
        if (qga->due[i] > now_us || !wanted(qga, i))
            continue;
        qga->asked = true;
        qga->question = i;
        qga->due[i] = now_us + questions[i].every_us;
        *ret_limit_s = i <= ASK_PING ? QGA_PING_LIMIT_S : QGA_ASK_LIMIT_S;
        return questions[i].text;
    }
    return NULL;
}

/* ---- answers ---- */

static void give(Qga *qga, const Question *question, Value *value /* (transfer full) */)
{
    qga->hooks.fact(question->field, value, 3 * question->every_us, qga->hooks.user);
}

static void take_fact(Qga *qga, const Question *question, const json_t *answer)
{
    give(qga, question, value_from_json(answer));
}

static void take_hostname(Qga *qga, const Question *question, const json_t *answer)
{
    const char *name = json_string_or(answer, "host-name", NULL);

    if (name != NULL)
        give(qga, question, value_string(name));
}

static void take_info(Qga *qga, const Question *question, const json_t *answer)
{
    const json_t *list = json_object_get(answer, "supported_commands");
    size_t i;
    json_t *each;

    g_clear_pointer(&qga->commands, g_hash_table_unref);
    qga->commands = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    memset(qga->refused, 0, sizeof qga->refused);
    json_array_foreach(list, i, each)
        if (json_string_or(each, "name", NULL) != NULL && json_bool_or(each, "enabled", false) && i < 1000)
            g_hash_table_add(qga->commands, g_strdup(json_string_or(each, "name", "")));
    give(qga, question, value_string(json_string_or(answer, "version", "")));
}

static void take_status(Qga *qga, const Question *question, const json_t *answer)
{
    move(qga, g_strcmp0(json_string_value(answer), "frozen") == 0 ? QGA_FROZEN : QGA_ALIVE);
}

static void answered(Qga *qga, const char *text)
{
    const Question *question = &questions[qga->question];
    json_t *json = json_loads(text, 0, NULL), *answer = json_object_get(json, "return");

    qga->silences = 0;
    if (qga->question == ASK_STATUS && json_is_string(answer))
        take_status(qga, question, answer);
    else if (qga->state != QGA_FROZEN || qga->question == ASK_PING)
        move(qga, QGA_ALIVE);
    if (question->fn != NULL && answer != NULL && qga->question != ASK_STATUS)
        question->fn(qga, question, answer);
    json_decref(json);
}

/* It answers, and will not do this. */
static void refused(Qga *qga, const char *text)
{
    qga->silences = 0;
    if (strstr(text, "frozen") != NULL) {
        move(qga, QGA_FROZEN);
        return;
    }
    qga->refused[qga->question] = true; /* INFO and PING have no "refused" that matters: they are asked on */
    if (qga->question == ASK_INFO && qga->commands == NULL)
        qga->commands = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL); /* a life of pings */
    if (qga->state != QGA_FROZEN)
        move(qga, QGA_ALIVE);
}

static void silent(Qga *qga, int64_t now_us)
{
    bool frozen = qga->state == QGA_FROZEN && now_us - qga->frozen_us < QGA_FROZEN_MAX_US;

    qga->silences++;
    if (qga->question == ASK_INFO)
        qga->due[ASK_INFO] = now_us + QGA_PING_US;
    if (now_us < qga->freezing_until_us && qga->state == QGA_ALIVE)
        move(qga, QGA_FROZEN);
    else if (qga->silences >= QGA_SILENCES && !frozen && qga->state != QGA_UNKNOWN)
        move(qga, QGA_GONE);
}

void qga_answer(Qga *qga, QgaOutcome outcome, const char *answer, int64_t now_us)
{
    if (!qga->asked)
        return;
    qga->asked = false;
    qga->now_us = now_us;
    if (!qga->connected)
        return;
    if (outcome == QGA_NOT_ASKED) {
        if (qga->state == QGA_ALIVE && now_us - qga->heard_us >= QGA_SILENCES * QGA_PING_US)
            move(qga, QGA_UNKNOWN); /* that it lived is no news any more */
        return;
    }
    if (outcome != QGA_SILENT)
        qga->heard_us = now_us;
    if (outcome == QGA_ANSWERED)
        answered(qga, answer);
    else if (outcome == QGA_REFUSED)
        refused(qga, answer);
    else
        silent(qga, now_us);
}
