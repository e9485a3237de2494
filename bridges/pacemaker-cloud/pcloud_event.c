#include "bridges/pacemaker-cloud/pcloud_event.h"

#include <string.h>

#define DEPTH_MAX 16
#define TEXT_MAX  256

G_DEFINE_QUARK(mend-pcloud-event-error-quark, pcloud_event_error)

typedef struct Reading {
    PcloudEvent *event;
    unsigned depth;
    bool in_event, in_state;
} Reading;

static const struct {
    const char *state;
    PcloudWord word;
} states[] = { { "STARTING", PCLOUD_SAYS_NOTHING }, { "RESTARTING", PCLOUD_SAYS_NOTHING }, { "STARTED", PCLOUD_SAYS_WELL },        { "FAILED", PCLOUD_SAYS_ILL },
               { "STOPPING", PCLOUD_SAYS_NOTHING }, { "STOPPED", PCLOUD_SAYS_ILL },        { "ISOLATING", PCLOUD_SAYS_NOTHING }, { "ISOLATED", PCLOUD_SAYS_ILL } };

void pcloud_event_free(PcloudEvent *event)
{
    if (event == NULL)
        return;
    g_free(event->id);
    g_free(event->state);
    g_free(event);
}

static void on_start(GMarkupParseContext *context, const char *element, const char **names, const char **values, void *user, GError **error)
{
    Reading *r = user;
    bool deployment = strcmp(element, "deployment") == 0, item = r->depth == 1 && (deployment || strcmp(element, "instance") == 0);

    if (++r->depth > DEPTH_MAX) {
        g_set_error(error, PCLOUD_EVENT_ERROR, PCLOUD_EVENT_ERROR_XML, "nested deeper than %d", DEPTH_MAX);
        return;
    }
    r->in_event = r->in_event || (r->depth == 1 && strcmp(element, "event") == 0);
    r->in_state = r->depth == 3 && r->event->id != NULL && strcmp(element, "state") == 0;
    for (size_t i = 0; item && r->in_event && names[i] != NULL; i++)
        if (strcmp(names[i], "id") == 0 && r->event->id == NULL) {
            r->event->id = g_strdup(values[i]);
            r->event->of_deployment = deployment;
        }
}

static void on_end(GMarkupParseContext *context, const char *element, void *user, GError **error)
{
    Reading *r = user;

    r->depth--;
    r->in_state = false;
}

static void on_text(GMarkupParseContext *context, const char *text, size_t bytes, void *user, GError **error)
{
    Reading *r = user;

    if (r->in_state && r->event->state == NULL)
        r->event->state = g_strstrip(g_strndup(text, MIN(bytes, TEXT_MAX)));
}

static bool is_known(PcloudEvent *event)
{
    if (event->id == NULL || event->state == NULL || *event->id == '\0' || strlen(event->id) > TEXT_MAX)
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(states); i++)
        if (strcmp(states[i].state, event->state) == 0) {
            event->word = states[i].word;
            return true;
        }
    return false;
}

PcloudEvent *pcloud_event_read(const char *xml, size_t bytes, GError **error)
{
    static const GMarkupParser parser = { on_start, on_end, on_text, NULL, NULL };
    g_autoptr(PcloudEvent) event = g_new0(PcloudEvent, 1);
    Reading reading = { .event = event };
    g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, G_MARKUP_TREAT_CDATA_AS_TEXT, &reading, NULL);
    g_autoptr(GError) local = NULL;

    if (!g_markup_parse_context_parse(context, xml, (gssize) bytes, &local) || !g_markup_parse_context_end_parse(context, &local)) {
        g_set_error(error, PCLOUD_EVENT_ERROR, PCLOUD_EVENT_ERROR_XML, "%s", local->message);
        return NULL;
    }
    if (is_known(event))
        return g_steal_pointer(&event);
    g_set_error(error, PCLOUD_EVENT_ERROR, PCLOUD_EVENT_ERROR_UNKNOWN, "an <event> of a <deployment id=> or <instance id=> with a <state> is wanted: STARTING, RESTARTING, "
                "STARTED, FAILED, STOPPING, STOPPED, ISOLATING or ISOLATED");
    return NULL;
}
