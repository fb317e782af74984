/* http/certificate.c: a look at a certificate before it is served: for those who ask what is wrong. */
#include <openssl/asn1.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "base/clock.h"
#include "http/http_priv.h"

static int64_t unix_of(const ASN1_TIME *t)
{
    struct tm tm;
    return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

enum kt_status http_certificate_look(struct http_certificate *out, const char *cert_path,
                                     const char *key_path, const char *const *names, size_t n_names,
                                     struct kt_error *err)
{
    struct ssl_ctx_st *ctx = NULL;
    *out = (struct http_certificate){ 0 };
    enum kt_status st = tls_load(&ctx, cert_path, key_path, err);
    if (st)
        return st;
    X509 *x = SSL_CTX_get0_certificate(ctx);
    out->from_unix = unix_of(X509_get0_notBefore(x));
    out->until_unix = unix_of(X509_get0_notAfter(x));
    for (size_t i = 0; i < n_names && !out->other_name; i++)
        if (X509_check_host(x, names[i], 0, 0, NULL) != 1 && X509_check_ip_asc(x, names[i], 0) != 1)
            out->other_name = names[i];
    tls_unload(ctx);
    return KT_OK;
}
