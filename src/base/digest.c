#include "base/digest.h"

#include <sodium.h>

struct digest digest_of(const void *head, size_t head_len, const void *body, size_t body_len)
{
    struct digest out;
    crypto_generichash_state h;
    crypto_generichash_init(&h, NULL, 0, sizeof(out.bytes));
    crypto_generichash_update(&h, head, head_len);
    crypto_generichash_update(&h, body, body_len);
    crypto_generichash_final(&h, out.bytes, sizeof(out.bytes));
    return out;
}
