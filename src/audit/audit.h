/* audit/audit.h: who did what and when, in a record that cannot be changed unnoticed.
 *
 * HOME/audit/ holds lines of JSON, one an event: a number, the time (UTC), the user's id, what happened, the ids of the
 * matter and the document, a count. Never a name, a path, a question or a text. The file is audit.log; when it is full it
 * becomes audit-<number of its first line>.log and another one begins.
 *
 * Every line ends with a hash: BLAKE2b-256, keyed with a key of the home's, of the hash of the line before and of the line
 * itself. So whoever has not the home's key can change no line, take none out and put none elsewhere. A sealed head (the
 * file 'head': the last number and hash, keyed likewise) says how far the record went, so that the end cannot be cut off
 * either. The head is written with every event that has to be durable, with every 64th of the others, and when the record is
 * closed; lines behind it are part of the chain, but nobody would miss them if they were cut off before that.
 * What it cannot show: that the whole folder was put back to an earlier state, and what somebody does who has the home's
 * key. Keep `kontor audit verify`'s last number and hash elsewhere to be able to see that, too.
 *
 * Any number of processes write to one record (a lock file), any number of threads to one handle. A process that is killed
 * may leave half a line: the next one takes it away, and its own line says that one was lost. */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { AUDIT_KEY_BYTES = 32, AUDIT_HASH_HEX = 64, AUDIT_LINE_MAX = 512 };

struct audit;

enum audit_kind {
    AUDIT_STORED,   /* a document, with 'count' pieces; also again                          */
    AUDIT_RENAMED,  /* a document has another path                                          */
    AUDIT_REMOVED,  /* a document was taken out                                             */
    AUDIT_ERASED,   /* the traces of what was taken out are gone                             */
    AUDIT_READ,     /* a document was shown                                                 */
    AUDIT_FETCHED,  /* the file it was made of was given out                                */
    AUDIT_SEARCHED, /* 'count' passages were found                                          */
    AUDIT_ANSWERED, /* a question, with 'count' citations                                   */
    AUDIT_MATTER_MADE,
    AUDIT_MATTER_DESTROYED,
    AUDIT_LOGIN,
    AUDIT_LOGIN_REFUSED, /* a wrong name or password                                          */
    AUDIT_LOGOUT,
    AUDIT_USER,  /* a user was made, changed or removed: 'subject'                       */
    AUDIT_KEY,   /* a key was made or taken back: 'subject' is whose                     */
    AUDIT_RIGHT, /* a right to a matter: 'subject' is whose, 'count' the right           */
    AUDIT_KINDS
};
const char *audit_kind_name(enum audit_kind k);

struct audit_event {
    enum audit_kind kind;
    const char *matter; /* its id, hex digits; NULL: none */
    int64_t document;   /* 0: none */
    int64_t subject;    /* the id of a user whom it happens to; 0: none */
    uint64_t count;
};

/* Events of this thread are from here on this user's; 0, which every thread begins with: whoever runs the program. */
void audit_actor(int64_t user);

/* 'key' is copied. A folder that cannot be written is no failure here: see below. */
KT_MUST_CHECK enum kt_status audit_open(struct audit **out, const char *home,
                                        const uint8_t key[static AUDIT_KEY_BYTES],
                                        struct kt_error *err);
/* Seals what is not sealed yet. NULL is fine. */
void audit_close(struct audit *a);
/* What happened is noted after it happened. It has happened: so a line that cannot be written (a full disk, a home that
 * is not to be written to) is counted, and the next one that can says how many are lost before it. NULL is fine. */
void audit_note(struct audit *a, const struct audit_event *e);

/* ---- reading ---- */

/* One line without its end; false ends. */
typedef bool (*audit_fn)(void *ctx, const char *line, size_t len);
/* All lines in order, or those from number 'from' on. Nothing is judged. */
KT_MUST_CHECK enum kt_status audit_each(const char *home, uint64_t from, audit_fn fn, void *ctx,
                                        struct kt_error *err);

struct audit_report {
    uint64_t n;                    /* good lines, from the first on */
    uint64_t n_lost;               /* events that could not be written, as the lines say */
    uint64_t n_unsealed;           /* behind the head */
    char hash[AUDIT_HASH_HEX + 1]; /* of the last good line */
    char fault[200];               /* "" : none. The first thing that is wrong, and where */
};
/* A record that was changed is a report with a fault, not a failure. */
KT_MUST_CHECK enum kt_status audit_verify(struct audit_report *out, const char *home,
                                          const uint8_t key[static AUDIT_KEY_BYTES],
                                          struct kt_error *err);

#endif
