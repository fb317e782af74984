/* sandbox/house.h: the wall around a server: nothing in this process, and no program it starts, can call out.
 *
 * What an office hands to the server must not leave the house, whatever a document, a model or a mistake of ours makes the
 * process do. So once its listening sockets are open it gives up, for good, the calls by which a connection or a datagram
 * goes out. It can still accept connections and answer on them; files, threads and the readers of documents are untouched. */
#ifndef SANDBOX_HOUSE_H
#define SANDBOX_HOUSE_H

#include "base/status.h"

/* Put it up around all threads of this process, and try it out. KT_E_UNSUPPORTED: this kernel cannot (no seccomp), or the wall
 * does not hold; nothing can then be promised. */
KT_MUST_CHECK enum kt_status house_wall_up(struct kt_error *err);

/* The other wall: this thread, and the threads and programs it starts from here on, write, make, rename and remove files
 * beneath 'folders' (ends with NULL; one that is not there is passed over) and nowhere else; they read as before. Where the
 * kernel checks outgoing TCP itself (Linux 6.7), that is forbidden here, too. To be called while there is one thread.
 * *abi: the version of Landlock; below 2 (before Linux 5.19) nothing is done: renaming from folder to folder could not be
 * allowed. */
KT_MUST_CHECK enum kt_status house_writes_up(const char *const *folders, int *abi,
                                             struct kt_error *err);

#endif
