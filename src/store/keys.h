/* store/keys.h: the master key of a home and the wrapped key of a matter. File layouts are in
 * keys.c. */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include <stdint.h>

#include "base/status.h"

enum { KEY_BYTES = 32, MATTER_ID_HEX = 32 };

/* Locked memory for a key, wiped by key_free(). NULL when out of memory. */
uint8_t *key_alloc(void);
void key_free(uint8_t *key);

/* Read, or on first use make, HOME/master.key. */
KT_MUST_CHECK enum kt_status master_key_load(uint8_t *out, const char *home, const char *passphrase,
                                             struct kt_error *err);

/* DIR/matter.key for matter 'id': a fresh key and the sealed name. */
KT_MUST_CHECK enum kt_status matter_key_create(uint8_t *out, const char *dir, const char *id,
                                               const char *name, const uint8_t *master,
                                               struct kt_error *err);
/* 'out' may be NULL when only the name is wanted; *name is heap, 'name' may be NULL. */
KT_MUST_CHECK enum kt_status matter_key_load(uint8_t *out, char **name, const char *dir,
                                             const char *id, const uint8_t *master,
                                             struct kt_error *err);
/* Overwrite the key file in place, flush it to the medium, then unlink it. */
KT_MUST_CHECK enum kt_status matter_key_destroy(const char *dir, struct kt_error *err);

#endif
