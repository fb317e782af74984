/* extract/archive_api.h: libarchive, loaded when an archive is to be read: its functions are looked up by name, so that the
 * program starts without it. Objects are opaque here; names are libarchive 3's without "archive_". A text that is returned
 * is borrowed until the next entry. */
#ifndef EXTRACT_ARCHIVE_API_H
#define EXTRACT_ARCHIVE_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What its functions return; a read returns bytes, or one of the negative ones. */
enum { LIBARCHIVE_OK = 0, LIBARCHIVE_EOF = 1, LIBARCHIVE_WARN = -20, LIBARCHIVE_FATAL = -30 };
enum {
    LIBARCHIVE_REGULAR = 0100000,
    LIBARCHIVE_ENOMEM = 12,
    LIBARCHIVE_TAR = 0x30000,
    LIBARCHIVE_7Z = 0xE0000,
    LIBARCHIVE_FORMATS = 0xFF0000
};

struct archive_api {
    void *(*read_new)(void);
    int (*read_free)(void *a);
    int (*read_support_filter_gzip)(void *a);
    int (*read_support_filter_bzip2)(void *a);
    int (*read_support_filter_xz)(void *a);
    int (*read_support_filter_lzma)(void *a);
    int (*read_support_filter_zstd)(void *a);
    int (*read_support_format_tar)(void *a);
    int (*read_support_format_7zip)(void *a);
    int (*read_support_format_raw)(void *a);
    int (*read_open_memory)(void *a, const void *ptr, size_t len);
    int (*read_next_header)(void *a, void **entry);
    long (*read_data)(void *a, void *ptr, size_t len);
    int (*read_has_encrypted_entries)(void *a);
    int (*error_number)(void *a);
    int (*format)(void *a);
    const char *(*entry_pathname_utf8)(void *entry);
    const char *(*entry_pathname)(
        void *entry); /* bytes as they stand there, where they are no UTF-8 */
    unsigned (*entry_filetype)(void *entry);
    const char *(*entry_hardlink)(void *entry); /* NULL: none */
    int (*entry_is_data_encrypted)(void *entry);
};

/* Loads it at the first call, which must come before the walls. NULL: not installed. */
const struct archive_api *archive_api(void);

#endif
