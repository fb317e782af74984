/* Keys and values in pages.
 *
 * A page is made when a step first needs it, so that memory follows use, and belongs to every state that
 * refers to it. Copying a state is referring to its pages. A state that goes on writes to a page only if
 * nobody else refers to it; otherwise it takes a copy of the rows that it has there: at most one page, the
 * last one, because full pages are never written again. So states may be copied and dropped from several
 * threads, as long as each belongs to one of them.
 *
 * The memory comes from the system page by page and goes back to it at once; new pages are zero. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/size.h"
#include "base/status.h"
#include "model/model_priv.h"

static size_t row_bytes(const struct model_state *s)
{
    return kv_row_bytes(s->types.kv, s->m->shape.head_dim);
}

size_t state_keys_at(const struct model_state *s, uint32_t layer, size_t kv_head)
{
    size_t head = (size_t)s->m->slot[layer] * 2 * s->m->shape.n_kv_heads + kv_head;
    return head * ATTN_PAGE * row_bytes(s);
}

size_t state_values_at(const struct model_state *s, uint32_t layer, size_t kv_head)
{
    return state_keys_at(s, layer, s->m->shape.n_kv_heads + kv_head);
}

size_t state_pages_used(const struct model_state *s)
{
    return s->sizes.n_pages ? (s->n_past + ATTN_PAGE - 1) / ATTN_PAGE : 0;
}

static struct kv_page *page_create(size_t bytes)
{
    struct kv_page *p = calloc(1, sizeof(*p));
    void *rows = p ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                   : MAP_FAILED;
    if (rows == MAP_FAILED) {
        free(p);
        return NULL;
    }
    atomic_init(&p->n_users, 1);
    p->bytes = bytes;
    p->rows = rows;
    return p;
}

static void page_release(struct kv_page *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->n_users, 1, memory_order_acq_rel) > 1)
        return;
    munmap(p->rows, p->bytes);
    free(p);
}

void state_release(struct model_state *s, size_t first)
{
    for (size_t i = first; i < s->sizes.n_pages && s->pages[i]; i++) {
        page_release(s->pages[i]);
        s->pages[i] = NULL;
        s->page_rows[i] = NULL;
    }
}

void state_share(struct model_state *dst, const struct model_state *src, size_t n_tokens)
{
    state_release(dst, 0);
    for (size_t i = 0; i < dst->sizes.n_pages && i * ATTN_PAGE < n_tokens; i++) {
        dst->pages[i] = src->pages[i];
        dst->page_rows[i] = src->page_rows[i];
        atomic_fetch_add_explicit(&src->pages[i]->n_users, 1, memory_order_relaxed);
    }
}

/* The first n rows of every head. */
static void copy_rows(const struct model_state *s, char *to, const char *from, size_t n)
{
    size_t head = ATTN_PAGE * row_bytes(s), used = n * row_bytes(s);
    for (size_t at = 0; n && at + head <= s->sizes.page; at += head)
        memcpy(to + at, from + at, used);
}

static enum kt_status own_page(struct model_state *s, size_t i, struct kt_error *err)
{
    struct kv_page *old = s->pages[i];
    if (old && atomic_load_explicit(&old->n_users, memory_order_acquire) == 1)
        return KT_OK;
    struct kv_page *p = page_create(s->sizes.page);
    if (!p)
        return kt_fail(err, KT_E_NOMEM, "the context grows: %zu KiB are not available",
                       s->sizes.page >> 10);
    size_t first = i * ATTN_PAGE;
    if (old && s->n_past > first)
        copy_rows(s, p->rows, old->rows, MIN(s->n_past - first, (size_t)ATTN_PAGE));
    page_release(old);
    s->pages[i] = p;
    s->page_rows[i] = p->rows;
    return KT_OK;
}

enum kt_status state_reserve(struct model_state *s, size_t n, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    if (n == 0 || s->sizes.n_pages == 0)
        return KT_OK;
    for (size_t i = s->n_past / ATTN_PAGE; i <= (s->n_past + n - 1) / ATTN_PAGE && !st; i++)
        st = own_page(s, i, err);
    return st;
}

size_t model_state_keep(const struct model_state *s, bool keep)
{
    size_t bytes = 0;
    for (size_t i = 0; i < state_pages_used(s); i++) {
        struct kv_page *p = s->pages[i];
        if (keep ? p->n_kept++ == 0 : --p->n_kept == 0)
            bytes += p->bytes;
    }
    return bytes;
}

size_t model_state_own_bytes(const struct model_state *s)
{
    return s->sizes.block;
}

size_t model_page_tokens(void)
{
    return ATTN_PAGE;
}

size_t model_state_page_bytes(const struct model_state *s)
{
    return s->sizes.page;
}
