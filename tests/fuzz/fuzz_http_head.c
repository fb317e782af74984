/* Any bytes as the head of a request: the verdict does not depend on how many of them have come, and what is let
 * through has one meaning, as told by checks that are written another way than the judge. */
#include <stdlib.h>
#include <string.h>

#include "http/head.h"
#include "http/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

/* Lines that begin with 'name' and a colon, in any case. */
static size_t count_fields(struct span head, const char *name)
{
    size_t n = 0, len = strlen(name);
    for (size_t i = 0; i + len + 2 < head.len; i++)
        n += head.ptr[i] == '\n' && strncasecmp(head.ptr + i + 1, name, len) == 0 &&
             head.ptr[i + 1 + len] == ':';
    return n;
}

static void check_passed(const struct http_head *h, struct span in)
{
    REQUIRE(h->len >= 4 && h->len <= in.len && h->len <= HTTP_HEAD_BYTES);
    struct span head = span_sub(in, 0, h->len);
    REQUIRE(memcmp(head.ptr + head.len - 4, "\r\n\r\n", 4) == 0);
    REQUIRE(!memchr(head.ptr, 0, head.len));
    for (size_t i = 0; i < head.len; i++) {
        if (head.ptr[i] == '\n') {
            REQUIRE(i > 0 && head.ptr[i - 1] == '\r');
            REQUIRE(i + 1 == head.len || (head.ptr[i + 1] != ' ' && head.ptr[i + 1] != '\t'));
        }
        if (head.ptr[i] == '\r')
            REQUIRE(head.ptr[i + 1] == '\n');
        if (i + 4 < head.len)
            REQUIRE(memcmp(head.ptr + i, "\r\n\r\n", 4) != 0);
    }
    REQUIRE(h->target.len > 0 && h->target.ptr[0] == '/');
    REQUIRE(!memchr(h->target.ptr, ' ', h->target.len));
    size_t lengths = count_fields(head, "content-length"),
           codings = count_fields(head, "transfer-encoding");
    REQUIRE(lengths + codings <= 1 && count_fields(head, "host") <= 1);
    REQUIRE(h->chunked == (codings == 1));
    REQUIRE(h->has_body == (h->chunked || h->body_len > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    struct http_head whole, part;
    const char *why = "", *why_part = "";
    int verdict = http_head_judge(&whole, in, &why);
    REQUIRE(verdict == 0 || verdict == 200 || (verdict >= 400 && verdict <= 505));
    if (verdict == 200)
        check_passed(&whole, in);
    for (size_t cut = 0; cut < 4; cut++) {
        size_t n = size * (cut + 1) / 5;
        int early = http_head_judge(&part, span_sub(in, 0, n), &why_part);
        if (early != 0) /* nothing that comes later changes it */
            REQUIRE(early == verdict && part.len == whole.len && why == why_part);
        if (verdict == 200)
            REQUIRE((early == 200) == (n >= whole.len));
    }
    return 0;
}
