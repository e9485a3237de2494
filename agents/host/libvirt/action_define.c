#include "agents/host/libvirt/action.h"
#include "agents/host/libvirt/definitions.h"

void action_define(Action *action)
{
    const char *given = action_text(action, "definition");
    g_autofree char *kept = given == NULL ? definition_kept(action_folder(action), action->vm) : NULL;
    const char *xml = given != NULL ? given : kept;
    g_autoptr(GError) error = NULL;
    virDomainPtr domain;

    if (xml == NULL) {
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: definition: none came, and none is kept here");
        return;
    }
    if (!definition_check(xml, action->vm, &error)) {
        action_refused(action, COMMAND_ERROR_ARGUMENT, "Invalid argument: definition: %s", error->message);
        return;
    }
    domain = virDomainDefineXML(action->connection, xml);
    if (domain == NULL) {
        action_failed_by_libvirt(action, "cannot define it");
        return;
    }
    virDomainFree(domain);
    if (given != NULL && !definition_keep(action_folder(action), action->vm, given, &error))
        action_done(action, NULL, "libvirt knows it; the agent's own copy could not be written: %s", error->message);
    else
        action_done(action, NULL, given != NULL ? "libvirt knows it" : "libvirt knows it, from the agent's own copy");
}

static int undefine(virDomainPtr domain)
{
    unsigned common = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
    int rc = virDomainUndefineFlags(domain, common | VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_KEEP_NVRAM);

    return rc < 0 && virt_error_is(VIR_ERR_INVALID_ARG) ? virDomainUndefineFlags(domain, common) : rc; /* not every driver knows all flags */
}

/* Keeps the definition: what is forgotten here may have to start here all the same. Its firmware's variables stay, too. */
void action_undefine(Action *action)
{
    int state = action_domain_state(action, NULL);
    virDomainPtr left;
    char *xml;

    if (action->domain == NULL) {
        action_done(action, NULL, "it was not known here");
        return;
    }
    if (action_is_active(state) || state == -1) {
        action_refused(action, COMMAND_ERROR_UNSAFE, "it is %s: only a VM that is off is forgotten; vm_stop before", action_state_name(state));
        return;
    }
    xml = virDomainGetXMLDesc(action->domain, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
    if (xml != NULL)
        definition_keep(action_folder(action), action->vm, xml, NULL);
    free(xml);
    if (undefine(action->domain) < 0) {
        action_failed_by_libvirt(action, "cannot forget it");
        return;
    }
    left = virDomainLookupByUUIDString(action->connection, action->vm);
    if (left == NULL) {
        virResetLastError();
        action_done(action, NULL, "it is not known here any more");
        return;
    }
    virDomainFree(left);
    action_failed(action, COMMAND_ERROR_FAILED, "it is still known here: somebody started it meanwhile");
}
