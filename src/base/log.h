/* base/log.h: structured lines on stderr, never content.
 *
 * A line is an event name and key=value pairs: sizes, ids, times, statuses. There is no way to pass
 * a document's or a prompt's text: values are numbers and short fixed words, and LOG_ID takes an
 * opaque id. log_event(LOG_INFO, "document.indexed", LOG_U64("pages", n_pages), LOG_U64("ms", ms),
 * LOG_END); Level from $KONTOR_LOG (error, warn, info, debug; default warn). Thread-safe: one
 * write() a line. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_kind { LOG_KIND_END, LOG_KIND_U64, LOG_KIND_I64, LOG_KIND_WORD };

struct log_field {
    enum log_kind kind;
    const char *key;
    union {
        uint64_t u64;
        int64_t i64;
        const char *word; /* a literal of the program, or an id; anything else is printed as '?' */
    } v;
};

#define LOG_U64(k, n)  ((struct log_field){ LOG_KIND_U64, (k), { .u64 = (n) } })
#define LOG_I64(k, n)  ((struct log_field){ LOG_KIND_I64, (k), { .i64 = (n) } })
#define LOG_WORD(k, w) ((struct log_field){ LOG_KIND_WORD, (k), { .word = (w) } })
#define LOG_END        ((struct log_field){ LOG_KIND_END, 0, { 0 } })

void log_event(enum log_level level, const char *event, ...);
/* Lines of this thread belong to the request of that id from here on, and say so ("id="); NULL: to none. */
void log_request(const char *id);
void log_set_level(enum log_level level);

#endif
