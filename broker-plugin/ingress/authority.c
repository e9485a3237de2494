#include "broker-plugin/ingress/authority.h"

#include <string.h>

#define HOST_PRODUCT ":mend-host:"

static bool is_under(const char *entity, const char *kind, const char *id)
{
    size_t n = strlen(kind), m = id != NULL ? strlen(id) : 0;

    return m > 0 && strncmp(entity, kind, n) == 0 && strncmp(entity + n, id, m) == 0 && (entity[n + m] == '\0' || entity[n + m] == '/');
}

static char *host_refusal(const Claim *claim, const char *id)
{
    bool of_host = g_str_has_prefix(claim->entity, "host/"), of_vm = g_str_has_prefix(claim->entity, "vm/");

    if (!of_host && !of_vm && !g_str_has_prefix(claim->entity, "storage/"))
        return g_strdup_printf("a host agent tells of hosts, VMs and storage, not of %s", claim->entity);
    if (g_str_has_suffix(claim->kind, ".evidence"))
        return NULL;
    if (of_host && !is_under(claim->entity, "host/", id) && !g_str_has_suffix(claim->kind, "fenceable"))
        return g_strdup_printf("of another host (%s) an agent tells evidence only, not %s", claim->entity, claim->kind);
    if (of_vm && claim->host != NULL && *claim->host != '\0' && strcmp(claim->host, id) != 0)
        return g_strdup_printf("%s says what is so on host %s, where it does not run", claim->entity, claim->host);
    return NULL;
}

char *authority_refusal(const Claim *claim)
{
    const char *product = strstr(claim->agent, HOST_PRODUCT), *machine = claim->vm != NULL ? claim->vm : claim->agent;

    if (product != NULL)
        return host_refusal(claim, product + strlen(HOST_PRODUCT));
    if (is_under(claim->entity, "service/", machine) || (is_under(claim->entity, "vm/", machine) && strchr(claim->entity + 3, '/') == NULL))
        return NULL;
    return g_strdup_printf("an agent in a machine tells of that machine and its services, not of %s", claim->entity);
}
