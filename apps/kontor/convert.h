/* apps/kontor/convert.h: what `convert` and `quantize` share: everything but the default type. */
#ifndef KONTOR_CONVERT_H
#define KONTOR_CONVERT_H

#include "cli.h"

/* Parse "IN OUT [--type T] [--replace] [--json]", convert and report. 'type' is the default, NULL:
 * must be given. 'allowed' lists the types, NULL: all. */
int convert_run(const struct command *cmd, int argc, char **argv, const char *type,
                const char *const *allowed);

#endif
