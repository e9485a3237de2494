#include "agents/guest/matahari/dbus_rules.h"

#include <gio/gio.h>
#include <string.h>

bool dbus_rules_check(char *const *rules, GError **error)
{
    for (; rules != NULL && *rules != NULL; rules++) {
        const char *slash = strchr(*rules, '/');

        if (slash == NULL || slash == *rules || slash[1] == '\0') {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        "'%s' is no rule: wanted is BUS/INTERFACE.MEMBER, for example org.freedesktop.hostname1/*.Get", *rules);
            return false;
        }
    }
    return true;
}

/* The sides are matched apart: no * of one may swallow the slash. */
bool dbus_rules_know(char *const *rules, const char *bus)
{
    for (; rules != NULL && *rules != NULL; rules++) {
        g_autofree char *pattern = g_strndup(*rules, strcspn(*rules, "/"));

        if (g_pattern_match_simple(pattern, bus))
            return true;
    }
    return false;
}

bool dbus_rules_allow(char *const *rules, const char *bus, const char *interface, const char *member)
{
    g_autofree char *name = g_strconcat(interface, ".", member, NULL);

    for (; rules != NULL && *rules != NULL; rules++) {
        char *const one[] = {*rules, NULL};

        if (dbus_rules_know(one, bus) && g_pattern_match_simple(*rules + strcspn(*rules, "/") + 1, name))
            return true;
    }
    return false;
}
