/* Matahari looks into the DNS when nothing is named at all; Mend does not: whoever answers for the domain would get the agent without anybody's having
 * said so. "amqp+srv://DOMAIN" says so. What is in the environment wins over a file of credentials and loses against an option, as there.
 * QPID_SSL_CERT_DB, an NSS data base, is not read: TLS is by Mend's own files. */
#include "lib/base/matahari_environment.h"

#include <string.h>

#define PORT "49000"

static const char *setting(const char *name)
{
    const char *text = g_getenv(name);

    return text != NULL && *text != '\0' ? text : NULL;
}

char *matahari_environment_url(void)
{
    const char *host = setting("MATAHARI_BROKER"), *port = setting("MATAHARI_PORT");

    if (host == NULL && port == NULL)
        return NULL;
    if (host != NULL && strstr(host, "://") != NULL)
        return g_strdup(host);
    if (host == NULL)
        host = "127.0.0.1";
    return g_strdup_printf(strchr(host, ':') != NULL && *host != '[' ? "amqp://[%s]:%s" : "amqp://%s:%s", host, port != NULL ? port : PORT);
}
