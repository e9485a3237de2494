/* A broker of our own in a process of its own, and sessions on it. */
#ifndef MEND_TESTS_QMF_LIVE_H
#define MEND_TESTS_QMF_LIVE_H

#include "lib/qmf/session.h"

#define PATIENCE_US (15 * US_PER_S)

typedef struct Broker {
    GSubprocess *process;
    char *folder, *url, *listen; /* the same after a restart */
} Broker;
extern Broker broker;

void broker_start(void);
void broker_stop(void); /* without a word */
void broker_done(void);

/* One connection with an agent or a console, and what was seen on it. */
typedef struct End {
    AmqpClient *client;
    QmfSession *session;
    QmfAgent *agent;
    QmfConsole *console;
    QmfCall *held;
    bool hold, ready;
    unsigned calls;
    unsigned found, heartbeats, events;
    char *event_class;
    Value *answer;
    char *error;
    unsigned answers;
} End;

End *end_new(void);
void end_free(End *end);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(End, end_free)
void wait_ready(End *end);
bool wait_for(const unsigned *counter, unsigned wanted);
End *console_new(void); /* ready; counts agents, heartbeats, events */
/* For qmf_console_*: the end as user data. */
void on_answer(const Value *answer, const GError *error, void *user);
/* Calls and waits; with one argument or none (NULL). */
void call(End *console, const char *agent, const char *object, const char *method, const char *argument, Value *value);

#endif
