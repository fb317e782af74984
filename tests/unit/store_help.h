/* tests/unit/store_help.h: what the store's tests share: a home of their own under the temporary
 * folder, documents from one line of text, and looking for bytes in files. */
#ifndef TESTS_STORE_HELP_H
#define TESTS_STORE_HELP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "kontor/store.h"

/* A new empty folder; heap. home_remove() takes it away with everything in it. */
char *home_make(void);
void home_remove(char *home);

/* Stop with the error's own words unless st is what was expected. */
void expect_status(enum kt_status st, enum kt_status expected, const struct kt_error *err,
                   const char *what);
#define OK(call)          expect_status((call), KT_OK, &err, #call)
#define FAILS(call, with) expect_status((call), (with), &err, #call)

/* Store 'text' under 'path', one chunk a line (lines end with '\n'), with vectors of 'dim' made
 * from the text if dim > 0. */
enum kt_status put_lines(struct kt_matter *m, const char *path, const char *text, size_t dim,
                         struct kt_error *err);
/* The vector put_lines() gives to a line. */
void line_vector(float *v, size_t dim, const char *line, size_t len);

/* The first hit's text for a lexical query, or NULL; heap. */
char *first_hit(struct kt_matter *m, const char *query);

/* How often 'needle' occurs in the files below 'dir', byte for byte. */
size_t count_in_files(const char *dir, const void *needle, size_t len);
size_t count_in_bytes(const uint8_t *hay, size_t hay_len, const void *needle, size_t len);

#endif
