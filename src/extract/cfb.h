/* extract/cfb.h: compound files (OLE2, [MS-CFB]): a small file system inside a file, in which Outlook keeps messages and
 * old Office programs kept documents.
 *
 * An 'entry' is a storage (a folder) or a stream (a file). Everything in the file may lie: sector numbers, sizes, and the
 * tree of names are checked when it is opened, every chain of sectors is followed no longer than the file has sectors, and
 * no entry is met twice. What is read out is bounded by CFB_READ_FACTOR times the file, because streams may claim the same
 * sectors. */
#ifndef EXTRACT_CFB_H
#define EXTRACT_CFB_H

#include "extract/extract_priv.h"

enum { CFB_NAME_MAX = 31 }; /* UTF-16 units */

struct cfb_entry {
    char name[3 * CFB_NAME_MAX + 1]; /* UTF-8 */
    bool is_storage;
    uint64_t size; /* of a stream, bytes */
    uint32_t start;
    uint32_t parent, first,
        next;       /* indexes; CFB_NONE: none. 'first' of a storage, in the order of their names */
    uint32_t depth; /* the root's is 0 */
};
enum { CFB_ROOT = 0 };
#define CFB_NONE UINT32_MAX

struct cfb;
/* 'file' must outlive it. NULL: *why says what is wrong. */
struct cfb *cfb_open(struct span file, struct refusal *why);
void cfb_close(struct cfb *c);
const struct cfb_entry *cfb_entry(const struct cfb *c, uint32_t i);
/* The entry of this name (any case) in a storage; CFB_NONE: there is none. */
uint32_t cfb_child(const struct cfb *c, uint32_t storage, const char *name);
/* Append a stream's bytes. False: *why. */
bool cfb_read(struct cfb *c, uint32_t stream, struct buf *out, struct refusal *why);

/* Where the directory of a compound file begins, from its first 512 bytes; 0: it is none. */
uint64_t cfb_directory_at(struct span head);
/* Do these bytes from there name a stream so? */
bool cfb_directory_names(struct span directory, const char *name);

/* ---- cfb_write.c ---------------------------------------------------------------------------- */

/* A new compound file, held in memory. Names are UTF-8, at most CFB_NAME_MAX units. */
struct cfb_writer;
struct cfb_writer *cfb_writer_create(void); /* NULL: out of memory */
void cfb_writer_destroy(struct cfb_writer *w);
/* A storage or a stream in storage 'parent' (CFB_ROOT: the root). Its index, or CFB_NONE: out of memory, or the name is too
 * long. The bytes are copied. */
uint32_t cfb_writer_storage(struct cfb_writer *w, uint32_t parent, const char *name);
uint32_t cfb_writer_stream(struct cfb_writer *w, uint32_t parent, const char *name,
                           struct span bytes);
/* The whole file. False: out of memory, or above 400 MiB. */
bool cfb_writer_finish(struct cfb_writer *w, struct buf *out);

#endif
