/* apps/kontor/catalogues.h: the built-in catalogue and the person's own, as one. */
#ifndef KONTOR_CATALOGUES_H
#define KONTOR_CATALOGUES_H

#include "hub/catalogue.h"

struct catalogues {
    struct catalogue own, builtin; /* own ones are looked up first */
};
/* 'own_path' may be NULL: the setting 'catalogue', if there is one. */
KT_MUST_CHECK enum kt_status catalogues_open(struct catalogues *out, const char *own_path,
                                             struct kt_error *err);
void catalogues_close(struct catalogues *c);
const struct catalogue_build *catalogues_find(const struct catalogues *c, const char *name);

#endif
