/* start and stop act by `ip link`, in a child: bringing a link up may take its driver a while. The original ran ifup and ifdown and looked
 * at once, before they had done anything; here the answer is what is true after it. Addresses are left to who manages them on the machine
 * (networkd, NetworkManager, ifupdown), who see the link change.
 *
 * What is asked costs two netlink dumps and no child. An interface nobody knows is down and has no addresses, as the original says it; to
 * start or stop one is an invalid argument. */
#include "agents/guest/matahari/network.h"

#include "agents/common/child.h"
#include "agents/guest/matahari/links.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <string.h>
#include <sys/wait.h>

#define TOOL_TIMEOUT_US (10 * US_PER_S)
#define CHANGES_MAX     8 /* at once */

struct NetworkClass {
    const ClassContext *context;
    NetworkOptions options;
    QmfObject *object;
    GList *changes; /* of Change */
};

typedef struct Change { /* a start or stop under way */
    NetworkClass *network;
    QmfCall *call;
    Child *tool;
    char *name;
    bool up; /* wanted */
} Change;

static void change_free(Change *change)
{
    change->network->changes = g_list_remove(change->network->changes, change);
    child_free(change->tool);
    g_free(change->name);
    g_free(change);
}

static Value *status_of(const Link *link)
{
    return output("status", value_int(VALUE_INT32, link != NULL && link->up ? 0 : 1));
}

static void refuse(NetworkClass *network, QmfCall *call, const char *text)
{
    command_gate_raise(network->context->gate, call, COMMAND_ERROR_ARGUMENT, text);
}

static void on_tool(const ChildResult *result, void *user)
{
    Change *change = user;
    g_autoptr(GArray) links = links_read(NULL);
    const Link *link = links != NULL ? links_find(links, change->name) : NULL;
    bool done = link != NULL && link->up == change->up;
    const char *said = result->timed_out ? "ip link took too long" : *result->last_words != '\0' ? result->last_words : "it has no effect";

    log_notice("interface %s: %s%s%s", change->name, change->up ? "start" : "stop", done ? "" : ": ", done ? "" : said);
    command_gate_return(change->network->context->gate, change->call, status_of(link), done ? NULL : COMMAND_ERROR_FAILED,
                        done ? NULL : said);
    change_free(change);
}

static void change_start(NetworkClass *network, QmfCall *call, const char *name, bool up)
{
    const char *const argv[] = {"ip", "link", "set", "dev", name, up ? "up" : "down", NULL};
    const ChildOptions options = {.argv = (char *const *) argv, .deadline_us = command_gate_deadline_us(call, TOOL_TIMEOUT_US)};
    g_autoptr(GError) error = NULL;
    Change *change;

    if (g_list_length(network->changes) >= CHANGES_MAX) {
        command_gate_raise(network->context->gate, call, COMMAND_ERROR_FAILED, MH_BACKEND);
        return;
    }
    change = g_new0(Change, 1);
    *change = (Change){.network = network, .call = call, .name = g_strdup(name), .up = up};
    network->changes = g_list_prepend(network->changes, change);
    change->tool = child_start(&options, on_tool, change, &error);
    if (change->tool == NULL) {
        log_warning("%s", error->message);
        command_gate_raise(network->context->gate, call, COMMAND_ERROR_FAILED, MH_BACKEND);
        change_free(change);
    }
}

static bool is_allowed(const NetworkClass *network, const char *name)
{
    for (char *const *pattern = network->options.allowed; pattern != NULL && *pattern != NULL; pattern++)
        if (g_pattern_match_simple(*pattern, name))
            return true;
    return false;
}

static void change_link(NetworkClass *network, QmfCall *call, const GArray *links, const char *name, bool up)
{
    const Link *link = links_find(links, name);
    g_autofree bool *carrying = NULL;

    if (link == NULL) {
        refuse(network, call, MH_INVALID_ARGUMENTS);
        return;
    }
    if (!is_allowed(network, name)) {
        refuse(network, call, MH_DENIED " (mend-guest --network-allow)");
        return;
    }
    if (link->up == up) {
        command_gate_return(network->context->gate, call, status_of(link), NULL, NULL);
        return;
    }
    carrying = links_carrying_us(links);
    if (!up && carrying[link - (const Link *) (const void *) links->data] && !network->options.allow_bus)
        command_gate_raise(network->context->gate, call, COMMAND_ERROR_UNSAFE,
                           "the agent's own connection goes over this interface (mend-guest --network-allow-bus)");
    else
        change_start(network, call, name, up);
}

static Value *names_of(const GArray *links)
{
    Value *names = value_list();

    for (guint i = 0; i < links->len; i++)
        value_append(names, value_string(g_array_index(links, Link, i).name));
    return output("iface_map", names);
}

static Value *mac_of(const Link *link)
{
    char text[18] = "";

    if (link != NULL)
        g_snprintf(text, sizeof text, "%02X:%02X:%02X:%02X:%02X:%02X", link->mac[0], link->mac[1], link->mac[2], link->mac[3],
                   link->mac[4], link->mac[5]);
    return output("mac", value_string(text));
}

static void answer_question(NetworkClass *network, QmfCall *call, const GArray *links, const char *name)
{
    const char *method = qmf_call_method(call);
    const Link *link = links_find(links, name);
    Value *answer = strcmp(method, "status") == 0           ? status_of(link)
                    : strcmp(method, "get_ip_address") == 0 ? output("ip", value_string(link != NULL ? link->ip : ""))
                                                            : mac_of(link);

    command_gate_return(network->context->gate, call, answer, NULL, NULL);
}

static void on_method(QmfCall *call, void *user)
{
    NetworkClass *network = user;
    const char *method = qmf_call_method(call), *name = value_get_string(qmf_call_arguments(call), "iface");
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) links = links_read(&error);

    if (links == NULL) {
        log_warning("%s", error->message);
        command_gate_raise(network->context->gate, call, COMMAND_ERROR_FAILED, MH_BACKEND);
    } else if (strcmp(method, "list") == 0) {
        command_gate_return(network->context->gate, call, names_of(links), NULL, NULL);
    } else if (name == NULL || *name == '\0') {
        refuse(network, call, MH_INVALID_ARGUMENTS);
    } else if (strcmp(method, "start") == 0 || strcmp(method, "stop") == 0) {
        change_link(network, call, links, name, strcmp(method, "start") == 0);
    } else {
        answer_question(network, call, links, name);
    }
}

NetworkClass *network_class_new(const ClassContext *context, const NetworkOptions *options)
{
    NetworkClass *network = g_new0(NetworkClass, 1);

    network->context = context;
    network->options = *options;
    network->object = matahari_object(context, "Network", on_method, network);
    return network;
}

void network_class_free(NetworkClass *network)
{
    if (network == NULL)
        return;
    while (network->changes != NULL) {
        Change *change = network->changes->data;

        command_gate_raise(network->context->gate, change->call, COMMAND_ERROR_INTERRUPTED, "the agent stops");
        change_free(change);
    }
    qmf_agent_remove_object(network->context->agent, network->object);
    g_free(network);
}
