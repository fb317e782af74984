/* hub/sign.h: a home's signing key and the signature file of an exported model.
 *
 * manifest.sig is text:
 *     kontor-signature 1
 *     key 64 hex digits
 *     signature 128 hex digits
 * over the bytes "kontor model manifest 1\n" and manifest.json. HOME/sign.key is 72 bytes: "KTSIGN1\n",
 * the 32 bytes of the seed, BLAKE2b-256 of the 40 before. It is not sealed by a passphrase: it
 * guards no document, and a stranger who has it could only sign as this home. */
#ifndef HUB_SIGN_H
#define HUB_SIGN_H

#include "base/span.h"
#include "base/status.h"

enum { SIGN_PUBLIC_HEX = 64 };

/* The text of manifest.sig; makes the key if the home has none. */
KT_MUST_CHECK enum kt_status sign_manifest(struct buf *out, char key[static SIGN_PUBLIC_HEX + 1],
                                           const char *home, struct span manifest,
                                           struct kt_error *err);
/* KT_E_KEY when it is not a signature over 'manifest'; 'key' gets who signed. */
KT_MUST_CHECK enum kt_status sign_check(char key[static SIGN_PUBLIC_HEX + 1], struct span signature,
                                        struct span manifest, const char *name,
                                        struct kt_error *err);

#endif
