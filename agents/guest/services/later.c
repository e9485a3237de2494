#include "agents/guest/services/later.h"

struct Later {
    Later **slot;
    guint source;
    int rc;
    char *text;
    ActionDone done;
    void *user;
};

static gboolean on_turn(void *data)
{
    Later *later = data;
    const ActionResult result = {.rc = later->rc, .text = later->text, .wait_status = -1, .output = ""};

    *later->slot = NULL;
    later->done(&result, later->user);
    g_free(later->text);
    g_free(later);
    return G_SOURCE_REMOVE;
}

void later_answer(Later **slot, int rc, const char *text, ActionDone done, void *user)
{
    Later *later = g_new0(Later, 1);

    g_assert(*slot == NULL);
    *later = (Later){.slot = slot, .rc = rc, .text = g_strdup(text), .done = done, .user = user};
    later->source = g_timeout_add(0, on_turn, later);
    *slot = later;
}

void later_cancel(Later **slot)
{
    Later *later = *slot;

    if (later == NULL)
        return;
    g_source_remove(later->source);
    g_free(later->text);
    g_free(later);
    *slot = NULL;
}
