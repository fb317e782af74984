/* store/home.h: what happens to a home as a whole happens under one lock. */
#ifndef STORE_HOME_H
#define STORE_HOME_H

#include "base/status.h"

/* Wait for HOME/home.lock: held for moments, while a key is made or a matter is created or
 * destroyed. */
KT_MUST_CHECK enum kt_status home_lock(int *out, const char *home, struct kt_error *err);
void home_unlock(int fd);

#endif
