/* hub/jread.h: reading JSON that came from outside, strictly.
 *
 * Every getter checks type, bounds and characters, and remembers only the first failure, so that a
 * reader reads straight through and asks once at the end. A key that nobody asked for is a failure
 * too: a mistyped one in a person's own catalogue must not be ignored silently. Strings are copied
 * into the arena. They hold no control characters, because they are printed on terminals. */
#ifndef HUB_JREAD_H
#define HUB_JREAD_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/arena.h"
#include "base/status.h"

struct jread {
    const char *name; /* of the file, for messages; borrowed */
    struct arena *arena;
    struct kt_error *err;
    enum kt_status st;
};

/* Parse 'text' into an object; NULL after a failure. The caller's to json_decref(). */
json_t *jread_parse(struct jread *r, struct span text);
void jread_fail(struct jread *r, const char *fmt, ...) KT_PRINTF(2, 3);
/* Fail unless every key of 'obj' is in 'known', a list of names separated by single spaces. */
void jread_known(struct jread *r, const json_t *obj, const char *known);

/* "" when absent and not needed, or after a failure; never NULL. */
const char *jread_text(struct jread *r, const json_t *obj, const char *key, bool needed,
                       size_t max_bytes);
/* 0 when absent and not needed; else in [min, max]. */
uint64_t jread_u64(struct jread *r, const json_t *obj, const char *key, bool needed, uint64_t min,
                   uint64_t max);
bool jread_bool(struct jread *r, const json_t *obj, const char *key);
/* An array of 1 to max elements; NULL after a failure. Borrowed from obj. */
const json_t *jread_array(struct jread *r, const json_t *obj, const char *key, size_t max);

/* Exactly 64 hex digits in lower case, or "" when absent and not needed. */
const char *jread_sha256(struct jread *r, const json_t *obj, const char *key, bool needed);

/* Our own files in a model's folder. */
#define MANIFEST_FILE  "manifest.json"
#define SIGNATURE_FILE "manifest.sig"
#define STATE_FILE     "state.json"
#define PART_SUFFIX    ".part"

/* A model's name: a-z 0-9 . _ -, beginning with a letter or digit, without "..". */
bool model_name_ok(const char *name);
/* A path inside a model's folder: A-Z a-z 0-9 . _ - + and /, no part that begins with a dot, no
 * empty part, bounded in length and depth. Nothing else of a remote text ever becomes a path. */
bool model_path_ok(const char *path);
/* "owner/name", both of the characters of a path. */
bool repository_ok(const char *repo);
/* UTF-8 without control characters and changes of writing direction: safe on a terminal. */
bool text_is_plain(const char *s);
bool hex_ok(const char *s, size_t n);

#endif
