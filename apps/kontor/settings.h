/* apps/kontor/settings.h: HOME/settings.ini, one commented file. Every setting is an environment
 * variable too (KONTOR_ and the name in capitals), which wins. */
#ifndef KONTOR_SETTINGS_H
#define KONTOR_SETTINGS_H

#include "kontor/status.h"

/* The value of 'name', from the environment ($KONTOR_CHAT_MODEL) or the file: "chat_model" stands under [models],
 * "serve_listen" is listen under [serve]. NULL when neither has it, or has nothing. Read once; borrowed for the
 * program's life. A line that cannot be understood is reported with its number and ends the program with EXIT_USAGE: a
 * setting is never ignored silently. */
const char *settings_get(const char *home, const char *name);

/* Read the file again. On failure what was read before stays. */
KT_MUST_CHECK enum kt_status settings_reload(const char *home, struct kt_error *err);

/* Write the commented default file if there is none; best effort at the first use of a home. */
void settings_write_default(const char *home);

#endif
