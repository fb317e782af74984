/* extract/program.h: another program behind walls of its own, and what it writes.
 *
 * A worker starts the programs it needs before it has read a byte, each locked in as a program (sandbox/walls.h), then locks
 * itself in as a parser and reads their output from pipes. None can start anything else. They get the document as an open
 * descriptor, so they never learn its name. */
#ifndef EXTRACT_PROGRAM_H
#define EXTRACT_PROGRAM_H

#include "extract/extract_priv.h"
#include "sandbox/walls.h"

struct program_run { /* a started program */
    long pid;
    int out_fd, err_fd; /* err_fd -1: nobody listens */
};

/* The first of these paths that may be executed, NULL: none. 'places' ends with NULL. */
const char *program_find(const char *const *places);
/* Starts w->program with argv (its last is NULL). in_fd becomes its standard input, unless it is negative: then it
 * has the document as WORKER_INPUT_FD. With 'quiet' what it complains about is thrown away. */
bool program_start(struct program_run *p, const struct walls *w, char *const argv[], int in_fd,
                   bool quiet, struct refusal *why);
/* Takes in all it writes. fn gets its output in pieces and returns false to stop it; 'errors' what it complained about, a
 * bounded part. Then waits for its end. False: refused, but fn's own refusals are fn's. */
typedef bool (*program_fn)(void *ctx, struct span piece);
bool program_pump(struct program_run *p, struct builder *b, program_fn fn, void *ctx,
                  struct buf *errors, int *status);

#endif
