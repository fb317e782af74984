/* extract/old.h: Word, Excel and PowerPoint files from before 2007, through LibreOffice, when it is installed.
 *
 * LibreOffice rewrites the file as OpenDocument, which is then read like any other. It is the one program that must
 * write: it gets a folder of its own, in memory where there is such a place, with a copy of the document and its profile, made for this
 * one document and removed after it. Its walls let it do anything in that folder, and nothing outside (sandbox/walls.h).
 *
 *   extract.c: old_folder_make -> a worker that starts LibreOffice -> old_folder_open -> a second worker on what it wrote ->
 *       old_folder_remove */
#ifndef EXTRACT_OLD_H
#define EXTRACT_OLD_H

#include "extract/program.h"

/* Which of them a compound file is, by the beginning of its directory; DOC_UNKNOWN: none. */
enum doc_format old_format(struct span directory);
bool old_is(enum doc_format format);
/* Is it one that is kept inside out: a newer file, protected by a password? */
bool old_is_protected(struct span directory);

/* ---- the parent's side ----------------------------------------------------------------------- */

/* A new folder with a copy of what 'fd' holds. *folder is the caller's: old_folder_remove(), also after a failure. */
KT_MUST_CHECK enum kt_status old_folder_make(char **folder, int fd, const char *name,
                                             struct kt_error *err);
/* What LibreOffice made of it. KT_E_FORMAT: nothing. *fd is the caller's to close. */
KT_MUST_CHECK enum kt_status old_folder_open(int *fd, const char *folder, enum doc_format format,
                                             const char *name, struct kt_error *err);
void old_folder_remove(char *folder);

/* ---- the worker's side ------------------------------------------------------------------------ */

bool old_start(struct program_run *p, const struct walls *w, enum doc_format format,
               const char *folder, struct refusal *why);
/* Waits for its end; a document that says nothing but that it has come. */
void old_pump(struct program_run *p, struct builder *b);

#endif
