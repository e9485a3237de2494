#include "tests/sim-host/sim_host.h"

#include <string.h>

static void str_own(mend_str *text) { text->ptr = g_strndup(text->ptr != NULL ? text->ptr : "", text->len); }

static mend_str *const *msg_texts(mend_msg *m, mend_str *(*texts)[7])
{
    mend_str *all[] = { &m->address, &m->subject, &m->message_id, &m->correlation_id, &m->reply_to, &m->content_type, &m->body };

    memcpy(*texts, all, sizeof all);
    return *texts;
}

SimMessage *sim_message_copy(const mend_msg *msg)
{
    SimMessage *copy = g_new0(SimMessage, 1);
    mend_str *texts[7];
    mend_prop *props = g_new0(mend_prop, msg->n_props + 1);

    copy->msg = *msg;
    msg_texts(&copy->msg, &texts);
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        size_t n = texts[i]->len; /* a body may hold zeros: copied by length */
        char *bytes = g_malloc(n + 1);

        if (n > 0)
            memcpy(bytes, texts[i]->ptr, n);
        bytes[n] = '\0';
        texts[i]->ptr = bytes;
    }
    for (size_t i = 0; i < msg->n_props; i++) {
        props[i] = msg->props[i];
        str_own(&props[i].key);
        str_own(&props[i].str);
    }
    copy->msg.props = props;
    return copy;
}

void sim_message_free(SimMessage *message)
{
    mend_str *texts[7];

    if (message == NULL)
        return;
    msg_texts(&message->msg, &texts);
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free((char *) texts[i]->ptr);
    for (size_t i = 0; i < message->msg.n_props; i++) {
        g_free((char *) message->msg.props[i].key.ptr);
        g_free((char *) message->msg.props[i].str.ptr);
    }
    g_free((mend_prop *) message->msg.props);
    g_free(message->reason);
    g_free(message);
}

bool topic_matches(const char *pattern, const char *subject)
{
    size_t n = strcspn(pattern, "."), m = strcspn(subject, ".");
    const char *rest = pattern + n + (pattern[n] == '.');

    if (pattern[0] == '\0')
        return subject[0] == '\0';
    if (n == 1 && pattern[0] == '#') {
        if (pattern[n] == '\0')
            return true;
        for (const char *at = subject; ; at = strchr(at, '.') + 1) {
            if (topic_matches(rest, at))
                return true;
            if (strchr(at, '.') == NULL)
                return false;
        }
    }
    if (subject[0] == '\0' || !((n == 1 && pattern[0] == '*') || (n == m && strncmp(pattern, subject, n) == 0)))
        return false;
    if (pattern[n] == '\0' || subject[m] == '\0')
        return pattern[n] == subject[m] || (subject[m] == '\0' && strcmp(rest, "#") == 0);
    return topic_matches(rest, subject + m + 1);
}
