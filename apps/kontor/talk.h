/* apps/kontor/talk.h: a conversation as `kontor chat` keeps it: messages that own what they say. */
#ifndef KONTOR_TALK_H
#define KONTOR_TALK_H

#include "kontor/chat.h"

enum { TALK_MESSAGES_MAX = 4096 };

struct talk {
    struct kt_chat_message *msgs; /* [n], for kt_chat_build(); what they point to is the talk's */
    size_t n;
};

KT_MUST_CHECK enum kt_status talk_init(struct talk *t, struct kt_error *err);
void talk_deinit(struct talk *t);
/* 'parts' [n_parts] come before the text; their pixels stay the caller's. */
KT_MUST_CHECK enum kt_status talk_push(struct talk *t, const char *role, const char *text,
                                       size_t len, const struct kt_chat_part *parts, size_t n_parts,
                                       struct kt_error *err);
KT_MUST_CHECK enum kt_status talk_push_reply(struct talk *t, const struct kt_reply *r,
                                             struct kt_error *err);
void talk_drop(struct talk *t, size_t first, size_t n);
/* The last question and all that followed it. */
void talk_drop_last(struct talk *t);
/* Messages of the oldest question and all that followed it, from 'first' on; 0 when there is one
 * question only. */
size_t talk_oldest(const struct talk *t, size_t first);

#endif
