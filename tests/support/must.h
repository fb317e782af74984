/* tests/support/must.h: calls that may not fail in a test, and the error they leave. */
#ifndef SUPPORT_MUST_H
#define SUPPORT_MUST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kontor/status.h"

static struct kt_error err;

#define must(call)                                                                                 \
    do {                                                                                           \
        if (call)                                                                                  \
            fail_msg("%s: %s", #call, err.text);                                                   \
    } while (0)

#endif
