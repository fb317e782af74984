/* quality/evaluate.h: a model answers multiple-choice questions.
 *
 * Three ways, all greedy and without luck:
 *
 *   EVAL_LETTER    after the question, its lettered choices and "Answer:", the letter with the largest
 *                  probability. The usual way for models before they learn to converse (MMLU).
 *   EVAL_TEXT      after the question and "Answer:", the choice whose whole text has the largest
 *                  probability, divided by its number of tokens or bytes if so wanted.
 *   EVAL_GENERATE  in the model's chat layout, thinking or not, an answer is written and the letter read
 *                  out of it (letter.h).
 *
 * Examples for few-shot prompts come from a suite of their own: those of the same subject and language
 * first, then of the same language, in their order. What prompts have in common at their beginning is read
 * once (kt_context_copy).
 *
 * The prompt of the first two ways, for each example and the question:
 *
 *     The following are multiple choice questions (with answers) about SUBJECT.     (once)
 *
 *     QUESTION
 *     A. CHOICE                          (lines of choices only with EVAL_LETTER)
 *     Answer: A                          (of the question: ends with "Answer:")
 *
 * Letters and texts follow as " A", " text". Images and videos stand before the question's text (looks.h). */
#ifndef QUALITY_EVALUATE_H
#define QUALITY_EVALUATE_H

#include "kontor/chat.h"
#include "kontor/engine.h"
#include "quality/suite.h"

enum eval_way { EVAL_LETTER, EVAL_TEXT, EVAL_GENERATE };
enum eval_norm { EVAL_SUM, EVAL_BY_TOKENS, EVAL_BY_BYTES }; /* EVAL_TEXT */

struct eval_options {
    enum eval_way way;
    enum eval_norm norm;
    size_t n_shots;
    const struct suite *dev;      /* NULL with n_shots 0 */
    enum kt_thinking thinking;    /* EVAL_GENERATE */
    size_t n_max;                 /* tokens of a reply; 0: 32, and 4096 when it may think */
    size_t n_ctx;                 /* 0: 4096 and n_max */
    const char *model_path;       /* for how images are prepared; may be NULL */
    bool (*cancelled)(void *ctx); /* asked between tokens; may be NULL */
    void *ctx;
};

struct eval_answer {
    int chosen;                /* -1: the reply means no choice */
    double score[CHOICES_MAX]; /* [n_choices], not of EVAL_GENERATE */
    size_t tokens_prompt, tokens_cached, tokens_reply;
    bool cut; /* the reply was as long as allowed */
};

struct eval;

KT_MUST_CHECK enum kt_status eval_create(struct eval **out, struct kt_engine *e,
                                         const struct eval_options *opts, struct kt_error *err);
void eval_destroy(struct eval *v);
/* KT_E_LIMIT when prompt and answer are longer than the context. */
KT_MUST_CHECK enum kt_status eval_question(struct eval *v, const struct question *q,
                                           struct eval_answer *out, struct kt_error *err);
/* A way's or rule's name, as on the command line. */
const char *eval_way_name(enum eval_way w);
const char *eval_norm_name(enum eval_norm n);

#endif
