/* A whole plugin for a stranger to start from: counts the messages of a topic by the first word of their subject, and every so
 * often publishes what it counted. Plain C over plugin.h and libc: no GLib, no proton, nothing of this project's libraries.
 *
 * docs/plugins.md walks through it. */
#include "broker-plugin/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 64     /* subjects are chosen by peers: what they make us hold has a limit */
#define WORD_BYTES 32
#define INTERVAL_US INT64_C(1000000)

enum { METRIC_COUNTED, METRIC_PUBLISHED, METRIC_N };

typedef struct Counter {
    mend_host *host;
    struct { char word[WORD_BYTES]; int64_t n; } words[WORDS_MAX];
    size_t n_words;
    int64_t others;      /* did not fit */
    mend_id timer, sub;
    int in_flight;       /* a summary is on its way */
    mend_task_fn drained;
    void *drained_user;
} Counter;

static mend_str str(const char *text) { return (mend_str) { text, strlen(text) }; }

static mend_rc create(mend_host *host, mend_str config, void **ret_self, mend_error *why)
{
    Counter *c = calloc(1, sizeof *c);

    if (c == NULL)
        return MEND_ENOMEM;
    c->host = host;
    *ret_self = c;
    return MEND_OK;
}

static int64_t *counter_of(Counter *c, const char *word)
{
    for (size_t i = 0; i < c->n_words; i++)
        if (strcmp(c->words[i].word, word) == 0)
            return &c->words[i].n;
    if (c->n_words == WORDS_MAX)
        return &c->others;
    strcpy(c->words[c->n_words].word, word);
    return &c->words[c->n_words++].n;
}

/* What arrives is borrowed until we return, and not terminated: copy what is kept. */
static int32_t on_message(void *user, mend_id delivery, const mend_msg *msg)
{
    Counter *c = user;
    char word[WORD_BYTES] = "";
    size_t n = 0;

    while (n < msg->subject.len && n < WORD_BYTES - 1 && msg->subject.ptr[n] != '.')
        n++;
    if (n > 0)
        memcpy(word, msg->subject.ptr, n);
    ++*counter_of(c, word);
    c->host->count(c->host, METRIC_COUNTED, 1);
    return MEND_ACCEPT; /* a TAP cannot stop a message; the verdict is not looked at */
}

static void on_published(void *user, int32_t verdict)
{
    Counter *c = user;

    c->in_flight = 0;
    if (verdict == MEND_ACCEPT)
        c->host->count(c->host, METRIC_PUBLISHED, 1);
    if (c->drained != NULL) {
        mend_task_fn done = c->drained;

        c->drained = NULL;
        done(c->drained_user);
    }
}

static void publish_summary(Counter *c)
{
    char body[64 * (WORDS_MAX + 1)];
    size_t n = 0;
    mend_msg msg = { .size = sizeof msg, .address = str("counter.summary"), .subject = str("summary"),
                     .content_type = str("text/plain"), .body_kind = MEND_BODY_DATA, .priority = 4 };

    for (size_t i = 0; i < c->n_words; i++)
        n += (size_t) snprintf(body + n, sizeof body - n, "%s %lld\n", c->words[i].word, (long long) c->words[i].n);
    if (c->others > 0)
        n += (size_t) snprintf(body + n, sizeof body - n, "* %lld\n", (long long) c->others);
    msg.body = (mend_str) { body, n };
    if (c->host->publish(c->host, &msg, on_published, c) == MEND_OK)
        c->in_flight = 1; /* BUSY: the next tick tries again, with newer numbers */
}

static void on_tick(void *user, int64_t now_us)
{
    Counter *c = user;

    c->timer = 0;
    if (!c->in_flight)
        publish_summary(c);
    if (c->host->timer_start(c->host, INTERVAL_US, on_tick, c, &c->timer) != MEND_OK) {
        mend_error why = { .size = sizeof why, .code = MEND_EFAULT, .text = "the host gives no timer" };

        c->host->failed(c->host, &why);
    }
}

static mend_rc start(void *self, mend_error *why)
{
    Counter *c = self;
    const mend_node summary = { .size = sizeof summary, .address = str("counter.summary"), .kind = MEND_NODE_QUEUE, .ring = 1, .max_messages = 1 };
    const mend_subscription tap = { .size = sizeof tap, .address = str("qmf.default.topic"), .subject = str("#"), .mode = MEND_TAP, .window = 100 };

    if (c->host->declare(c->host, &summary) != MEND_OK) {
        snprintf(why->text, sizeof why->text, "cannot make counter.summary");
        return MEND_EFAULT;
    }
    if (c->host->subscribe(c->host, &tap, on_message, c, &c->sub) != MEND_OK ||
        c->host->timer_start(c->host, INTERVAL_US, on_tick, c, &c->timer) != MEND_OK) {
        snprintf(why->text, sizeof why->text, "cannot listen to qmf.default.topic");
        return MEND_EFAULT; /* the host calls destroy, and ends what was begun */
    }
    return MEND_OK;
}

static mend_rc reload(void *self, mend_str config, mend_error *why) { return MEND_OK; /* nothing to set */ }

static void drain(void *self, mend_task_fn done, void *user)
{
    Counter *c = self;

    if (c->in_flight) {
        c->drained = done;
        c->drained_user = user;
    } else {
        done(user);
    }
}

static void destroy(void *self) { free(self); }

static const mend_metric metrics[METRIC_N] = {
    [METRIC_COUNTED] = { "counted", "messages", "seen on the topic" },
    [METRIC_PUBLISHED] = { "published", "messages", "summaries" },
};

const mend_plugin mend_plugin_v1 = {
    .magic = MEND_MAGIC, .abi_major = MEND_ABI_MAJOR, .abi_minor = 0, .size = sizeof mend_plugin_v1,
    .name = "counter", .version = "1.0", .config_schema = "{\"type\":\"object\",\"additionalProperties\":false}",
    .needs = MEND_CAP_TAP | MEND_CAP_DECLARE, .metrics = metrics, .n_metrics = METRIC_N,
    .create = create, .start = start, .reload = reload, .drain = drain, .destroy = destroy,
};
