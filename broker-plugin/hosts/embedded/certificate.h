/* The site's own certificates: EC P-256 keys, X.509 v3, PEM. */
#ifndef MEND_EMBEDDED_CERTIFICATE_H
#define MEND_EMBEDDED_CERTIFICATE_H

#include "lib/base/base.h"

#define CERTIFICATE_ERROR certificate_error_quark()
GQuark certificate_error_quark(void);
typedef enum { CERTIFICATE_ERROR_FAILED } CertificateError;

typedef struct CertificateWish {
    const char *name;            /* CN */
    bool ca, server;             /* server: usable by one; else, without ca: by a client */
    const char *const *hosts;    /* NULL-terminated names and addresses a server may be called by; NULL: none */
    const char *issuer_cert, *issuer_key; /* PEM; NULL: signs itself */
    unsigned days;
} CertificateWish;

/* Whether a client that calls the server @host (name or address) will take @cert_pem for it. */
bool certificate_covers(const char *cert_pem, const char *host);
/* Both (transfer full). */
bool certificate_make(const CertificateWish *wish, char **ret_cert_pem, char **ret_key_pem, GError **error);

#endif
