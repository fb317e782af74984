/* Structured lines on stderr, never content. */
#include "base/log.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int level_now = -1; /* -1: not read from the environment yet */

static const char *const LEVEL_NAME[] = { "error", "warn", "info", "debug" };

static int level_from_env(void)
{
    const char *s = getenv("KONTOR_LOG");
    for (int i = 0; s && i < 4; i++) {
        if (strcmp(s, LEVEL_NAME[i]) == 0)
            return i;
    }
    return LOG_WARN;
}

void log_set_level(enum log_level level)
{
    atomic_store(&level_now, (int)level);
}

static _Thread_local char request_id[32];

void log_request(const char *id)
{
    snprintf(request_id, sizeof(request_id), "%s", id ? id : "");
}

/* Only what a literal, a route or an id is made of: so that no sentence of a document can ride along. */
static bool word_ok(const char *w)
{
    size_t n = strlen(w);
    if (n == 0 || n > 64)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)w[i]) && !strchr("._-:/{}", w[i]))
            return false;
    }
    return true;
}

void log_event(enum log_level level, const char *event, ...)
{
    int limit = atomic_load(&level_now);
    if (limit < 0) {
        limit = level_from_env();
        atomic_store(&level_now, limit);
    }
    if ((int)level > limit)
        return;

    char line[1024];
    struct timespec ts;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    size_t n = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%SZ", &tm);
    n += (size_t)snprintf(line + n, sizeof(line) - n, " %s %s", LEVEL_NAME[level], event);
    if (request_id[0])
        n += (size_t)snprintf(line + n, sizeof(line) - n, " id=%s", request_id);

    va_list ap;
    va_start(ap, event);
    for (;;) {
        struct log_field f = va_arg(ap, struct log_field);
        if (f.kind == LOG_KIND_END || n + 128 > sizeof(line))
            break;
        size_t room = sizeof(line) - n;
        if (f.kind == LOG_KIND_U64)
            n += (size_t)snprintf(line + n, room, " %s=%" PRIu64, f.key, f.v.u64);
        else if (f.kind == LOG_KIND_I64)
            n += (size_t)snprintf(line + n, room, " %s=%" PRId64, f.key, f.v.i64);
        else
            n += (size_t)snprintf(line + n, room, " %s=%s", f.key,
                                  word_ok(f.v.word) ? f.v.word : "?");
    }
    va_end(ap);
    line[n++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, n); /* a lost log line must not stop the work */
    (void)ignored;
}
