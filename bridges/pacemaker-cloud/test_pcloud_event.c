#include "bridges/pacemaker-cloud/pcloud_event.h"

#include <string.h>

static void gives(const char *xml, bool of_deployment, const char *id, const char *state, PcloudWord word)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PcloudEvent) event = pcloud_event_read(xml, strlen(xml), &error);

    g_assert_no_error(error);
    g_assert_true(event->of_deployment == of_deployment);
    g_assert_cmpstr(event->id, ==, id);
    g_assert_cmpstr(event->state, ==, state);
    g_assert_cmpint(event->word, ==, word);
}

static void refused(const char *xml, PcloudEventError code)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PcloudEvent) event = pcloud_event_read(xml, strlen(xml), &error);

    g_assert_null(event);
    g_assert_error(error, PCLOUD_EVENT_ERROR, (int) code);
}

static void test_events(void)
{
    gives("<event><datetime>x</datetime><deployment id='blog'><state>STARTED</state></deployment></event>", true, "blog", "STARTED", PCLOUD_SAYS_WELL);
    gives("<?xml version='1.0'?>\n<event>\n <instance id='a'>\n <state> FAILED </state></instance><datetime/></event>", false, "a", "FAILED", PCLOUD_SAYS_ILL);
    gives("<event><instance id='a'><x/><state>STOPPING</state></instance></event>", false, "a", "STOPPING", PCLOUD_SAYS_NOTHING);
    refused("", PCLOUD_EVENT_ERROR_XML);
    refused("<event>", PCLOUD_EVENT_ERROR_XML);
    refused("<event><instance id='a'></event>", PCLOUD_EVENT_ERROR_XML);
    refused("<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>", PCLOUD_EVENT_ERROR_XML);
    refused("<event/>", PCLOUD_EVENT_ERROR_UNKNOWN);
    refused("<event><cloud id='a'><state>FAILED</state></cloud></event>", PCLOUD_EVENT_ERROR_UNKNOWN);
    refused("<event><instance><state>FAILED</state></instance></event>", PCLOUD_EVENT_ERROR_UNKNOWN);
    refused("<event><instance id='a'/></event>", PCLOUD_EVENT_ERROR_UNKNOWN);
    refused("<event><instance id='a'><state>ILL</state></instance></event>", PCLOUD_EVENT_ERROR_UNKNOWN);
    refused("<other><instance id='a'><state>FAILED</state></instance></other>", PCLOUD_EVENT_ERROR_UNKNOWN);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pacemaker-cloud/event", test_events);
    return g_test_run();
}
