/* hub/models_priv.h: paths below HOME/models, for the files that keep it. */
#ifndef HUB_MODELS_PRIV_H
#define HUB_MODELS_PRIV_H

/* HOME/models/BEFORE NAME AFTER, heap. */
char *models_path(const char *home, const char *before, const char *name, const char *after);

#endif
