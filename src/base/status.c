/* Statuses and the sentences that go with them. */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *kt_status_name(enum kt_status status)
{
    switch (status) {
    case KT_OK:
        return "ok";
    case KT_E_USAGE:
        return "bad usage";
    case KT_E_FORMAT:
        return "bad format";
    case KT_E_UNSUPPORTED:
        return "not supported";
    case KT_E_LIMIT:
        return "over a limit";
    case KT_E_NOMEM:
        return "out of memory";
    case KT_E_IO:
        return "input/output error";
    case KT_E_NOSPACE:
        return "disk full";
    case KT_E_NOTFOUND:
        return "not found";
    case KT_E_EXISTS:
        return "exists already";
    case KT_E_BUSY:
        return "busy";
    case KT_E_KEY:
        return "wrong key";
    case KT_E_TIMEOUT:
        return "timed out";
    case KT_E_CANCELLED:
        return "cancelled";
    case KT_E_INTERNAL:
        return "internal error";
    }
    return "unknown status";
}

/* A message cut by snprintf may end inside a UTF-8 character: drop the torn tail. */
static void trim_torn_tail(char *s)
{
    size_t n = strlen(s);
    size_t back = 0;
    while (back < n && back < 4 && ((unsigned char)s[n - 1 - back] & 0xC0) == 0x80)
        back++;
    if (back == n)
        return;
    unsigned char lead = (unsigned char)s[n - 1 - back];
    size_t want = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    if (back < want)
        s[n - 1 - back] = '\0';
}

KT_PRINTF(3, 0)
static void vset(struct kt_error *err, enum kt_status status, const char *fmt, va_list ap)
{
    if (!err)
        return;
    err->status = status;
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
    trim_torn_tail(err->text);
}

enum kt_status kt_fail(struct kt_error *err, enum kt_status status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vset(err, status, fmt, ap);
    va_end(ap);
    return status;
}

static enum kt_status status_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
    case ENOTDIR:
        return KT_E_NOTFOUND;
    case ENOSPC:
    case EDQUOT:
        return KT_E_NOSPACE;
    case ENOMEM:
        return KT_E_NOMEM;
    default:
        return KT_E_IO;
    }
}

enum kt_status kt_fail_errno(struct kt_error *err, int errnum, const char *fmt, ...)
{
    enum kt_status status = status_of_errno(errnum);
    if (!err)
        return status;
    va_list ap;
    va_start(ap, fmt);
    vset(err, status, fmt, ap);
    va_end(ap);

    size_t used = strlen(err->text);
    char room[128]; /* the GNU form: returns the words, which may stand elsewhere */
    const char *why = strerror_r(errnum, room, sizeof(room));
    snprintf(err->text + used, sizeof(err->text) - used, ": %s", why);
    return status;
}

void kt_error_prefix(struct kt_error *err, const char *fmt, ...)
{
    if (!err)
        return;
    char head[KT_ERROR_TEXT_MAX];
    char whole[2 * KT_ERROR_TEXT_MAX + 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(head, sizeof(head), fmt, ap);
    va_end(ap);
    snprintf(whole, sizeof(whole), "%s: %s", head, err->text);
    whole[KT_ERROR_TEXT_MAX - 1] = '\0';
    memcpy(err->text, whole, strlen(whole) + 1);
    trim_torn_tail(err->text);
}
