/* kontor/status.h: how every function of Kontor says what went wrong.
 *
 * Two nouns: a kt_status, which programs compare, and a kt_error, which people read. A function
 * that can fail returns a status and, through its last parameter, fills a kt_error with one
 * sentence: where, what, expected and found, and the next step. The text of documents and prompts
 * never enters it. */
#ifndef KONTOR_STATUS_H
#define KONTOR_STATUS_H

#if defined(__GNUC__)
#define KT_MUST_CHECK               __attribute__((warn_unused_result))
#define KT_PRINTF(fmt_idx, arg_idx) __attribute__((format(printf, fmt_idx, arg_idx)))
#define KT_API                      __attribute__((visibility("default")))
#else
#define KT_MUST_CHECK
#define KT_PRINTF(fmt_idx, arg_idx)
#define KT_API
#endif

enum kt_status {
    KT_OK = 0,
    KT_E_USAGE,       /* the caller asked for something that makes no sense              */
    KT_E_FORMAT,      /* a file's content breaks its own format, or is hostile           */
    KT_E_UNSUPPORTED, /* a well-formed file or request of a kind we do not handle        */
    KT_E_LIMIT,       /* larger than a stated bound, or than this machine                */
    KT_E_NOMEM,       /* out of memory                                                   */
    KT_E_IO,          /* the operating system refused a read, write or other call        */
    KT_E_NOSPACE,     /* the disk is full                                                */
    KT_E_NOTFOUND,    /* no such file, matter, document, model                           */
    KT_E_EXISTS,      /* there is one already                                            */
    KT_E_BUSY,        /* another process holds it                                        */
    KT_E_KEY,         /* wrong key, or damaged key material                              */
    KT_E_TIMEOUT,     /* took longer than allowed                                        */
    KT_E_CANCELLED,   /* somebody asked to stop; ordinary                                */
    KT_E_INTERNAL,    /* cannot happen; survivable; please report                        */
};

#define KT_ERROR_TEXT_MAX 512

struct kt_error {
    enum kt_status status;
    char text[KT_ERROR_TEXT_MAX]; /* UTF-8, one line, never longer than fits */
};

/* A short fixed name such as "not found"; never NULL, also for values outside the enum. */
KT_API const char *kt_status_name(enum kt_status status);

#endif
