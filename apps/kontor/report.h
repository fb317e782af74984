/* report.h: what became of the files of a run, for `kontor add` and `kontor watch`. */
#ifndef KONTOR_REPORT_H
#define KONTOR_REPORT_H

#include <jansson.h>

#include "kontor/office.h"

json_t *add_report_json(const struct kt_add_report *r);
void add_report_print(const struct kt_add_report *r);

#endif
