#include "agents/host/libvirt/virt_error.h"

#include <libvirt/virterror.h>
#include <string.h>

/* What a number means for the one who sent the command, and what helps. Numbers that are not here: FAILED, libvirt's words alone. */
static const struct {
    int code;
    const char *error, *help;
} meanings[] = {
    { VIR_ERR_NO_DOMAIN, COMMAND_ERROR_NOT_FOUND, "it is not defined here: vm_define" },
    { VIR_ERR_INVALID_DOMAIN, COMMAND_ERROR_NOT_FOUND, NULL },
    { VIR_ERR_INVALID_ARG, COMMAND_ERROR_ARGUMENT, NULL },
    { VIR_ERR_XML_ERROR, COMMAND_ERROR_ARGUMENT, "the definition is not understood" },
    { VIR_ERR_XML_DETAIL, COMMAND_ERROR_ARGUMENT, "the definition is not understood" },
    { VIR_ERR_OPERATION_TIMEOUT, COMMAND_ERROR_TIMEOUT, "another operation on it takes too long; vm_abort_job ends it, vm_stop always works" },
    { VIR_ERR_AGENT_UNRESPONSIVE, COMMAND_ERROR_FAILED, "the guest agent does not answer" },
    { VIR_ERR_AGENT_UNSYNCED, COMMAND_ERROR_FAILED, "the guest agent does not answer" },
    { VIR_ERR_OPERATION_ABORTED, COMMAND_ERROR_FAILED, NULL },
    { VIR_ERR_RPC, COMMAND_ERROR_FAILED, "the connection to libvirtd is lost: whether it was done is not known" },
    { VIR_ERR_NO_CONNECT, COMMAND_ERROR_FAILED, "libvirtd does not answer there" },
    { VIR_ERR_SYSTEM_ERROR, COMMAND_ERROR_FAILED, NULL },
    { VIR_ERR_NO_SUPPORT, COMMAND_ERROR_FAILED, "this hypervisor cannot do that" },
    { VIR_ERR_OPERATION_UNSUPPORTED, COMMAND_ERROR_FAILED, "this hypervisor, or this VM's definition, does not allow it" },
    { VIR_ERR_CONFIG_UNSUPPORTED, COMMAND_ERROR_FAILED, "this VM's definition does not allow it" },
    { VIR_ERR_MIGRATE_UNSAFE, COMMAND_ERROR_FAILED, "cache='none' on storage that is shared is safe; the setting shared-folders names what libvirt does not know to be shared" },
    { VIR_ERR_BLOCK_COPY_ACTIVE, COMMAND_ERROR_FAILED, "a copy of a disk is at work; vm_abort_job ends it" },
};

const char *virt_error_take(const char *doing, char **ret_text)
{
    const virError *last = virGetLastError();
    const char *error = COMMAND_ERROR_FAILED, *help = NULL;

    for (size_t i = 0; last != NULL && i < G_N_ELEMENTS(meanings); i++) {
        if (meanings[i].code == last->code) {
            error = meanings[i].error;
            help = meanings[i].help;
        }
    }
    if (last != NULL && last->code == VIR_ERR_INVALID_ARG && last->message != NULL && strstr(last->message, "unsupported flags") != NULL) {
        error = COMMAND_ERROR_FAILED; /* our flag, nobody's argument */
        help = "this hypervisor cannot do that";
    }
    *ret_text = g_strdup_printf("%s: %s%s%s%s", doing, last != NULL && last->message != NULL ? last->message : "libvirt gave no reason",
                                help != NULL ? " (" : "", help != NULL ? help : "", help != NULL ? ")" : "");
    virResetLastError();
    return error;
}

bool virt_error_is(int code)
{
    const virError *last = virGetLastError();

    return last != NULL && last->code == code;
}

static void say_nothing(void *user, virErrorPtr error) { }

void virt_error_quiet(void) { virSetErrorFunc(NULL, say_nothing); }
