/* link_tls.c -- certificates: what a tls link shows, what it asks for, and what is said where they do not fit. */
#include <stdio.h>
#include <string.h>

#include "bus/bus.h"
#include "remote/link_own.h"

#include <nng/supplemental/tls/tls.h> /* wants nng.h before it */

/* Both sides show a certificate, and both look whether it is of their authority.  Whom it names the dialler alone can look at, in
 * nng 1.5.2. */
static int load_tls(const char *folder, const char *name, nng_tls_mode mode, nng_tls_config **ret_config)
{
    nng_tls_config *config;
    char path[500];
    int error = nng_tls_config_alloc(&config, mode);

    if (error != 0)
        return error;
    error = nng_tls_config_version(config, NNG_TLS_1_2, NNG_TLS_1_3);
    if (error == NNG_ENOTSUP) /* mbedtls 2 has no 1.3 */
        error = nng_tls_config_version(config, NNG_TLS_1_2, NNG_TLS_1_2);
    if (error == 0)
        error = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED);
    snprintf(path, sizeof path, "%s/ca.crt", folder);
    if (error == 0)
        error = nng_tls_config_ca_file(config, path);
    snprintf(path, sizeof path, "%s/node.pem", folder);
    if (error == 0)
        error = nng_tls_config_cert_key_file(config, path, NULL);
    if (error == 0 && name[0] != '\0')
        error = nng_tls_config_server_name(config, name);
    if (error != 0)
        nng_tls_config_free(config);
    else
        *ret_config = config;
    return error;
}

int pti_link_prepare_dialer(nng_stream_dialer *dialer, const struct pti_tls *tls)
{
    nng_tls_config *config;
    int error = load_tls(tls->folder, tls->name, NNG_TLS_MODE_CLIENT, &config);

    if (error != 0)
        return error;
    error = nng_stream_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
    nng_tls_config_free(config); /* the dialer holds it */
    return error;
}

enum ptq_err pti_shown_load(const char *folder, struct ptq_error *error, struct pti_shown **ret_shown)
{
    nng_tls_config *config;
    int failed = load_tls(folder, "", NNG_TLS_MODE_SERVER, &config);

    if (failed != 0)
        return pti_error(error, pti_link_err(failed), "nng cannot use the certificates in '%s': %s", folder, nng_strerror(failed));
    *ret_shown = (struct pti_shown *)(void *)config;
    return PTQ_OK;
}

void pti_shown_drop(struct pti_shown *shown)
{
    if (shown != NULL)
        nng_tls_config_free((nng_tls_config *)(void *)shown); /* it counts who holds it */
}

struct pti_shown *pti_shown_hold(struct pti_shown *shown)
{
    nng_tls_config_hold((nng_tls_config *)(void *)shown);
    return shown;
}

int pti_link_show(nng_stream_listener *listener, struct pti_shown *shown)
{
    return nng_stream_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, shown);
}

const char *pti_link_explain(struct pti_link *link, int error)
{
    if (link->tls && (error == NNG_EPEERAUTH || error == NNG_ECRYPTO)) {
        pthread_mutex_lock(&link->mutex);
        link->distrusted |= !link->closed;
        pthread_mutex_unlock(&link->mutex);
    }
    if (link->tls && (error == NNG_EPEERAUTH || error == NNG_ECRYPTO))
        return "no tls: the certificate of one of both is of another authority, of another name, out of its time, or missing; or it is no tls";
    if (link->tls && !pti_load_relaxed(&link->heard) && (error == 0 || error == NNG_ECONNRESET || error == NNG_ECONNSHUT))
        return "the link ended before tls was agreed on: perhaps the certificate of this side is refused there, and the log there says why";
    return error == 0 ? "the other side closed the link" : nng_strerror(error);
}

bool pti_link_is_tls(const struct pti_link *link)
{
    return link->tls;
}

bool pti_link_is_distrusted(struct pti_link *link)
{
    pthread_mutex_lock(&link->mutex);
    bool distrusted = link->distrusted;
    pthread_mutex_unlock(&link->mutex);
    return distrusted;
}

bool pti_link_is_verified(struct pti_link *link)
{
    bool verified = false;

    return link->tls && nng_stream_get_bool(link->stream, NNG_OPT_TLS_VERIFIED, &verified) == 0 && verified;
}

bool pti_link_certificate_name(struct pti_link *link, char *buffer, size_t size)
{
    char *subject = NULL;

#ifdef PTQ_NNG_TELLS_NAMES
    if (!link->tls || nng_stream_get_string(link->stream, NNG_OPT_TLS_PEER_CN, &subject) != 0)
        return false;
#else
    (void)link;
#endif
    if (subject == NULL)
        return false;
    snprintf(buffer, size, "%.*s", (int)strcspn(subject, ","), subject); /* what else it says of the subject stands behind */
    nng_strfree(subject);
    return true;
}
