/* apps/kontor/settings.h: HOME/settings.ini, one commented file. Every setting is an environment
 * variable too (KONTOR_ and the name in capitals), which wins. */
#ifndef KONTOR_SETTINGS_H
#define KONTOR_SETTINGS_H

/* The value of 'name' ("chat_model"), from the environment ($KONTOR_CHAT_MODEL) or from under
 * [models]; NULL when neither has it. Read once; borrowed for the program's life. A line that
 * cannot be understood is reported with its number and ends the program with EXIT_USAGE: a setting
 * is never ignored silently. */
const char *settings_get(const char *home, const char *name);

/* Write the commented default file if there is none; best effort at the first use of a home. */
void settings_write_default(const char *home);

#endif
