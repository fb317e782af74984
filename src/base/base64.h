/* base/base64.h: RFC 4648's Base64, as files carry other files in it. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/span.h"

/* 0 to 63, or -1. */
int base64_value(char c);
/* Appends what 's' stands for; white space in it is skipped, '=' at the end may be missing. False: another character, or
 * something after the end. Without memory out->failed says so. */
bool base64_decode(struct buf *out, struct span s);

#endif
