/* quality/suite.h: multiple-choice questions from files.
 *
 *   struct suite      a list of questions, and what the file or folder is called
 *   struct question   a text, 2 to 26 choices, the right one, a subject, a language, perhaps images
 *
 * Files are what the usual suites come as, and are checked like anything from outside:
 *
 *   .csv     question, choices, answer letter: six columns in MMLU. With a first row that names "question"
 *            and "answer", columns go by name: question, a, b, c ..., answer, subject, language; others are
 *            ignored (MMMLU).
 *   .jsonl   an object a line: "question", "choices" (or "options"): strings, "answer": the number of the
 *            right one from 0, or its letter; and optionally "subject" (or "category"), "language",
 *            "images": file names, "video": a name.
 *
 * Where a row does not say its subject or language, the file's name does: high_school_physics_test.csv,
 * mmlu_DE-DE.csv. Names of images are relative to the file's folder and stay inside it. A folder is all
 * its files in the order of their names; one with a folder "test" in it is that, and its "dev" holds the
 * examples for few-shot prompts. */
#ifndef QUALITY_SUITE_H
#define QUALITY_SUITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"

enum { CHOICES_MAX = 26, IMAGES_MAX = 64 };

struct question {
    struct span text;
    struct span choices[CHOICES_MAX]; /* [n_choices] */
    uint32_t n_choices, answer;
    struct span subject, language; /* "" when unknown */
    const char **images;           /* [n_images] paths */
    uint32_t n_images;
    const char *video; /* a path, or NULL */
    uint64_t id;       /* of all of the above */
};

struct suite {
    struct question *list; /* [n] */
    size_t n, cap;
    char *name;          /* of the file or folder, without extension */
    struct arena memory; /* everything that the questions point to */
};

/* KT_E_FORMAT names file and line of a row that is none; KT_E_NOTFOUND a folder without questions. */
KT_MUST_CHECK enum kt_status suite_open(struct suite *out, const char *path, struct kt_error *err);
/* The examples that come with it: 'path'/dev, when it is a folder with one; otherwise an empty suite. */
KT_MUST_CHECK enum kt_status suite_open_dev(struct suite *out, const char *path,
                                            struct kt_error *err);
/* Add what is in 'bytes', "csv" or "jsonl"; 'path' is for messages, names and images. */
KT_MUST_CHECK enum kt_status suite_add(struct suite *s, struct span bytes, const char *path,
                                       struct kt_error *err);
void suite_close(struct suite *s);

/* The next record of comma-separated text at *at: fields into out[0 .. CSV_FIELDS_MAX), memory from 'a'.
 * Fields in double quotes may hold commas, line ends and, doubled, quotes. False at the end or for what is
 * no record; then *error says which (NULL at the end). */
enum { CSV_FIELDS_MAX = 64 };
bool csv_next(struct span text, size_t *at, struct arena *a, struct span *out, size_t *n_fields,
              const char **error);

#endif
