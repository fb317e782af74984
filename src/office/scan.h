/* office/scan.h: which files are at and below the paths a person named. */
#ifndef OFFICE_SCAN_H
#define OFFICE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct scan_file {
    char *path; /* absolute, links in the folders above resolved */
    int64_t size, mtime_ns;
};

struct scan_root {
    char *path; /* absolute */
    bool is_folder;
    bool complete; /* every folder below could be read: what is missing is really gone */
    size_t n_files;
};

struct scan {
    struct scan_file *files; /* sorted by path, no duplicates */
    size_t n_files, cap_files;
    struct scan_root *roots;
    size_t n_roots;
    char **unreadable; /* folders that could not be read */
    size_t n_unreadable;
    struct scan_left {
        char *path;
        const char *reason; /* a fixed text */
    } * left_out;
    size_t n_left_out, cap_left_out;
};

/* Hidden files and folders (names beginning with a dot), office lock files (~$...), links and
 * special files are left out, and listed as such; a hidden folder is one entry, with all that is in it. KT_E_NOTFOUND when a named path does not exist. */
KT_MUST_CHECK enum kt_status scan_paths(struct scan *out, const char *const *paths, size_t n_paths,
                                        struct kt_error *err);
void scan_deinit(struct scan *s);
const struct scan_file *scan_find(const struct scan *s, const char *path);

#endif
