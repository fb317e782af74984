/* hub/tar.h: the little of the tar format that one exported model needs (POSIX ustar, with GNU's
 * binary numbers for sizes of 8 GB and more, which GNU tar, bsdtar, Windows and macOS read).
 *
 * A header is a block of 512 bytes: name at 0 (100), mode 100 (8), uid 108 (8), gid 116 (8), size 124
 * (12), time 136 (12), checksum 148 (8), kind 156, magic "ustar\0" "00" at 257, prefix 345 (155).
 * Content follows, padded to blocks; two blocks of zeros end the file. */
#ifndef HUB_TAR_H
#define HUB_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TAR_BLOCK = 512, TAR_NAME_MAX = 255 };

struct tar_member {
    char name[TAR_NAME_MAX + 1];
    uint64_t bytes;
};

/* False when the name does not fit. */
bool tar_header(unsigned char block[static TAR_BLOCK], const char *name, uint64_t bytes);

enum tar_kind { TAR_FILE, TAR_END, TAR_BAD };
/* A header block: a regular file, the end, or something that we do not write and do not read. */
enum tar_kind tar_parse(struct tar_member *out, const unsigned char block[static TAR_BLOCK]);
/* How many zeros follow a content of this size. */
size_t tar_padding(uint64_t bytes);

#endif
