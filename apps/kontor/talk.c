/* apps/kontor/talk.c: see talk.h. */
#include "talk.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

enum kt_status talk_init(struct talk *t, struct kt_error *err)
{
    *t = (struct talk){ .msgs = calloc(TALK_MESSAGES_MAX, sizeof(*t->msgs)) };
    return t->msgs ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory");
}

static void message_deinit(struct kt_chat_message *m)
{
    free((char *)m->text);
    free((char *)m->reasoning);
    for (size_t i = 0; i < m->n_parts; i++)
        free((char *)m->parts[i].text);
    free((struct kt_chat_part *)m->parts);
    for (size_t i = 0; i < m->n_calls; i++) {
        free((char *)m->calls[i].name);
        free((char *)m->calls[i].arguments);
    }
    free((struct kt_chat_call *)m->calls);
    *m = (struct kt_chat_message){ 0 };
}

void talk_deinit(struct talk *t)
{
    for (size_t i = 0; i < t->n; i++)
        message_deinit(&t->msgs[i]);
    free(t->msgs);
    *t = (struct talk){ 0 };
}

/* The message stays when all of it could be copied. */
static enum kt_status keep(struct talk *t, struct kt_chat_message *m, bool whole,
                           struct kt_error *err)
{
    if (t->n == TALK_MESSAGES_MAX || !whole) {
        message_deinit(m);
        return whole ? kt_fail(err, KT_E_LIMIT, "a conversation ends after %d messages",
                               TALK_MESSAGES_MAX)
                     : kt_fail(err, KT_E_NOMEM, "out of memory");
    }
    t->msgs[t->n++] = *m;
    return KT_OK;
}

enum kt_status talk_push(struct talk *t, const char *role, const char *text, size_t len,
                         const struct kt_chat_part *parts, size_t n_parts, struct kt_error *err)
{
    struct kt_chat_message m = { .role = role };
    char *copy = strndup(text, len);
    struct kt_chat_part *all = n_parts ? calloc(n_parts + 1, sizeof(*all)) : NULL;
    if (!copy || (n_parts && !all)) {
        free(copy);
        free(all);
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    }
    if (n_parts) {
        memcpy(all, parts, n_parts * sizeof(*all));
        all[n_parts] = (struct kt_chat_part){ .text = copy, .text_len = strlen(copy) };
        m.parts = all;
        m.n_parts = n_parts + 1;
    } else {
        m.text = copy;
        m.text_len = strlen(copy);
    }
    return keep(t, &m, true, err);
}

enum kt_status talk_push_reply(struct talk *t, const struct kt_reply *r, struct kt_error *err)
{
    struct kt_chat_message m = { .role = "assistant",
                                 .text = strndup(r->text, r->text_len),
                                 .reasoning = strndup(r->reasoning, r->reasoning_len) };
    struct kt_chat_call *calls = calloc(r->n_calls + 1, sizeof(*calls));
    bool whole = m.text && m.reasoning && calls;
    m.calls = calls;
    m.text_len = m.text ? strlen(m.text) : 0;
    m.reasoning_len = m.reasoning ? strlen(m.reasoning) : 0;
    for (size_t i = 0; i < r->n_calls && calls; i++) {
        calls[i] = (struct kt_chat_call){ strdup(r->calls[i].name), strdup(r->calls[i].arguments) };
        whole = whole && calls[i].name && calls[i].arguments;
        m.n_calls++;
    }
    return keep(t, &m, whole, err);
}

void talk_drop(struct talk *t, size_t first, size_t n)
{
    for (size_t i = 0; i < n; i++)
        message_deinit(&t->msgs[first + i]);
    memmove(t->msgs + first, t->msgs + first + n, (t->n - first - n) * sizeof(*t->msgs));
    t->n -= n;
}

void talk_drop_last(struct talk *t)
{
    for (size_t i = t->n; i-- > 0;) {
        if (strcmp(t->msgs[i].role, "user") == 0) {
            talk_drop(t, i, t->n - i);
            return;
        }
    }
}

size_t talk_oldest(const struct talk *t, size_t first)
{
    for (size_t i = first + 1; i < t->n; i++)
        if (strcmp(t->msgs[i].role, "user") == 0)
            return i - first;
    return 0;
}
