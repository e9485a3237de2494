#include "broker-plugin/hosts/embedded/certificate.h"

#include <gio/gio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

G_DEFINE_QUARK(mend-certificate-error-quark, certificate_error)

G_DEFINE_AUTOPTR_CLEANUP_FUNC(EVP_PKEY, EVP_PKEY_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(X509, X509_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BIO, BIO_free_all)

static bool fail(GError **error, const char *what)
{
    char text[256] = "";

    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    g_set_error(error, CERTIFICATE_ERROR, CERTIFICATE_ERROR_FAILED, "cannot make a certificate: %s: %s", what, text);
    return false;
}

static bool extension_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool ok = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return ok;
}

/* An address stands there twice, also as a name: proton's clients compare what they call with the DNS names and nothing else. */
static char *hosts_text(const char *const *hosts)
{
    GString *text = g_string_new(NULL);

    for (; *hosts != NULL; hosts++) {
        g_string_append_printf(text, "%sDNS:%s", text->len > 0 ? "," : "", *hosts);
        if (g_hostname_is_ip_address(*hosts))
            g_string_append_printf(text, ",IP:%s", *hosts);
    }
    return g_string_free(text, FALSE);
}

static bool extensions_add(X509 *cert, X509 *issuer, const CertificateWish *wish)
{
    g_autofree char *hosts = wish->hosts != NULL ? hosts_text(wish->hosts) : NULL;
    const char *usage = wish->ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature";

    return extension_add(cert, issuer, NID_basic_constraints, wish->ca ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE")
           && extension_add(cert, issuer, NID_key_usage, usage) && extension_add(cert, issuer, NID_subject_key_identifier, "hash")
           && extension_add(cert, issuer, NID_authority_key_identifier, "keyid:always")
           && (wish->ca || extension_add(cert, issuer, NID_ext_key_usage, wish->server ? "serverAuth" : "clientAuth"))
           && (hosts == NULL || extension_add(cert, issuer, NID_subject_alt_name, hosts));
}

static bool facts_set(X509 *cert, X509 *issuer, EVP_PKEY *key, const CertificateWish *wish)
{
    uint8_t serial[16];
    X509_NAME *name = X509_get_subject_name(cert);

    if (RAND_bytes(serial, sizeof serial) != 1)
        return false;
    serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and always as long */
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    bool ok = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return ok && X509_set_version(cert, X509_VERSION_3) == 1 && X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL
           && X509_time_adj_ex(X509_getm_notAfter(cert), (int) wish->days, 0, NULL) != NULL && X509_set_pubkey(cert, key) == 1
           && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *) wish->name, -1, -1, 0) == 1
           && X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1;
}

static char *bio_text(BIO *bio)
{
    char *bytes = NULL;
    long n = BIO_get_mem_data(bio, &bytes);

    return g_strndup(bytes, (gsize) n);
}

static bool issuer_read(const CertificateWish *wish, X509 **ret_cert, EVP_PKEY **ret_key)
{
    g_autoptr(BIO) cert = BIO_new_mem_buf(wish->issuer_cert, -1), key = BIO_new_mem_buf(wish->issuer_key, -1);

    *ret_cert = PEM_read_bio_X509(cert, NULL, NULL, NULL);
    *ret_key = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
    return *ret_cert != NULL && *ret_key != NULL;
}

bool certificate_make(const CertificateWish *wish, char **ret_cert_pem, char **ret_key_pem, GError **error)
{
    g_autoptr(EVP_PKEY) key = EVP_EC_gen("P-256"), issuer_key = NULL;
    g_autoptr(X509) cert = X509_new(), issuer = NULL;
    g_autoptr(BIO) cert_out = BIO_new(BIO_s_mem()), key_out = BIO_new(BIO_s_mem());

    if (key == NULL || cert == NULL)
        return fail(error, "key");
    if (wish->issuer_cert != NULL && !issuer_read(wish, &issuer, &issuer_key))
        return fail(error, "the issuer's certificate or key");
    if (!facts_set(cert, issuer != NULL ? issuer : cert, key, wish) || !extensions_add(cert, issuer != NULL ? issuer : cert, wish))
        return fail(error, wish->name);
    if (X509_sign(cert, issuer_key != NULL ? issuer_key : key, EVP_sha256()) == 0 || PEM_write_bio_X509(cert_out, cert) != 1
        || PEM_write_bio_PKCS8PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) != 1)
        return fail(error, "signature");
    *ret_cert_pem = bio_text(cert_out);
    *ret_key_pem = bio_text(key_out);
    return true;
}

bool certificate_covers(const char *cert_pem, const char *host)
{
    BIO *bio = BIO_new_mem_buf(cert_pem, -1);
    X509 *cert = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    bool covers = cert != NULL && (g_hostname_is_ip_address(host) ? X509_check_ip_asc(cert, host, 0) : X509_check_host(cert, host, 0, 0, NULL)) == 1;

    X509_free(cert);
    BIO_free(bio);
    return covers;
}
