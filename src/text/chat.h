/* text/chat.h: from messages to tokens, in the layout the model was trained on.
 *
 * The layout is recognised from the model file (its template's markers and architecture), then
 * rendered by our own code: templates are data, never executed. ChatML covers SmolLM2, Qwen2,
 * Qwen3; Qwen3.5 has its own rules (thinking, history), spec section 7. A model without a known
 * layout has none: chat is then refused with a message, raw generation still works. */
#ifndef TEXT_CHAT_H
#define TEXT_CHAT_H

#include "text/tokenizer.h"
#include "text/tool.h"

enum chat_layout { CHAT_NONE, CHAT_CHATML, CHAT_QWEN35 };
enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT, CHAT_TOOL };
enum chat_thinking { CHAT_THINK_DEFAULT, CHAT_THINK_ON, CHAT_THINK_OFF };

struct chat_call {
    struct span name, arguments; /* a JSON object, or empty for none */
};

struct chat_message {
    enum chat_role role; /* CHAT_TOOL: what a tool answered */
    struct span text;    /* any text; control strings in it stay text */
    /* of an assistant */
    struct span thought; /* what it thought, if that is kept apart; ptr NULL: it is in 'text' */
    const struct chat_call *calls; /* [n_calls] */
    size_t n_calls;
};

enum chat_layout chat_layout_of(const struct model_file *f, const struct tokenizer *t);
const char *chat_layout_name(enum chat_layout l);

/* Append the tokens of the conversation; with 'generate', also the opening of the assistant's turn.
 * Every text of a message is encoded as TOK_PLAIN. Where the model's template has a system text for
 * conversations that bring none (SmolLM2, Qwen2), it is used, read from the model file.
 * CHAT_THINK_DEFAULT: Qwen3.5 answers without thinking, whatever the file's template would do
 * (templates of one model disagree); Qwen3 as its template, which is thinking. KT_E_USAGE for an
 * order of messages the layout has no place for (the message says which). */
KT_MUST_CHECK enum kt_status chat_encode(const struct tokenizer *t, enum chat_layout layout,
                                         struct token_vec *out, const struct chat_message *msgs,
                                         size_t n_msgs, bool generate, enum chat_thinking thinking,
                                         struct kt_error *err);
/* The same with tools the model may call (NULL or empty: none). Tools, calls and their answers have a
 * place in Qwen3.5's layout; KT_E_UNSUPPORTED in others. */
KT_MUST_CHECK enum kt_status
chat_encode_tools(const struct tokenizer *t, enum chat_layout layout, struct token_vec *out,
                  const struct tool_set *tools, const struct chat_message *msgs, size_t n_msgs,
                  bool generate, enum chat_thinking thinking, struct kt_error *err);
/* The same as text, for people and tests (control tokens spelled out). */
KT_MUST_CHECK enum kt_status chat_render(const struct tokenizer *t, enum chat_layout layout,
                                         struct buf *out, const struct chat_message *msgs,
                                         size_t n_msgs, bool generate, enum chat_thinking thinking,
                                         struct kt_error *err);
KT_MUST_CHECK enum kt_status
chat_render_tools(const struct tokenizer *t, enum chat_layout layout, struct buf *out,
                  const struct tool_set *tools, const struct chat_message *msgs, size_t n_msgs,
                  bool generate, enum chat_thinking thinking, struct kt_error *err);

#endif
