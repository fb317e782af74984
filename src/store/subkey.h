/* store/subkey.h: keys for what is the home's own and belongs to no matter (users and their rights). */
#ifndef STORE_SUBKEY_H
#define STORE_SUBKEY_H

#include "audit/audit.h"
#include "kontor/store.h"
#include "store/keys.h"

/* The master key's own key for 'purpose', a fixed text of the program: BLAKE2b-256 of it, keyed with the
 * master key. Another purpose gives an independent key; neither tells anything of the master key. out: from
 * key_alloc(). */
KT_MUST_CHECK enum kt_status store_subkey(uint8_t *out, const struct kt_store *s,
                                          const char *purpose, struct kt_error *err);
/* The home's record of what happened; borrowed. */
struct audit *store_audit(const struct kt_store *s);
/* Its key, for verifying it; as above. */
KT_MUST_CHECK enum kt_status store_audit_key(uint8_t *out, const struct kt_store *s,
                                             struct kt_error *err);
/* The home folder; borrowed. */
const char *store_home(const struct kt_store *s);

#endif
