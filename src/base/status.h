/* base/status.h: filling a kt_error. See kontor/status.h for what the codes mean. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <assert.h>
#include <stdbool.h>

#include "kontor/status.h"

/* Record 'status' and a message; returns 'status', so that failing is one line:
 *     return kt_fail(err, KT_E_FORMAT, "%s: magic is %08x, expected GGUF", path, magic);
 * 'err' may be NULL. Over-long messages are cut at a character boundary. */
enum kt_status kt_fail(struct kt_error *err, enum kt_status status, const char *fmt, ...)
    KT_PRINTF(3, 4);

/* The same from errno: ENOENT becomes KT_E_NOTFOUND, ENOSPC and EDQUOT KT_E_NOSPACE, ENOMEM
 * KT_E_NOMEM, everything else KT_E_IO. The system's own words are appended after ": ". */
enum kt_status kt_fail_errno(struct kt_error *err, int errnum, const char *fmt, ...)
    KT_PRINTF(3, 4);

/* Put "prefix: " before the message already in 'err', e.g. the file a parser was reading. */
void kt_error_prefix(struct kt_error *err, const char *fmt, ...) KT_PRINTF(2, 3);

/* For a condition that cannot be true but would be survivable: aborts in debug builds. */
#ifdef NDEBUG
#define NEVER(x) (x)
#else
#define NEVER(x) (assert(!(x)), false)
#endif

#endif
