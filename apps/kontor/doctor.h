/* apps/kontor/doctor.h: what the parts of `kontor doctor` share. A check says one thing; whatever is not fine comes with
 * one next step, the first to take. */
#ifndef KONTOR_DOCTOR_H
#define KONTOR_DOCTOR_H

#include "cli.h"
#include "serve.h"

enum verdict { FINE, NOTE, BAD };

struct checkup {
    struct serve_options serve; /* of the command line and the settings */
    json_t *checks;
    bool as_json;
    size_t n_bad;
};

/* next_step: NULL when it is fine, and only then. */
void doctor_say(struct checkup *c, enum verdict v, const char *what, const char *next_step,
                const char *fmt, ...) KT_PRINTF(5, 6);

/* ---- doctor_machine.c: memory, clock, limits, the walls ---- */
void doctor_machine(struct checkup *c);
/* ---- doctor_home.c: the folder where everything is kept ---- */
void doctor_home(struct checkup *c);
/* ---- doctor_models.c ---- */
void doctor_models(struct checkup *c);
/* ---- doctor_server.c: addresses, certificate, users ---- */
void doctor_server(struct checkup *c);

#endif
