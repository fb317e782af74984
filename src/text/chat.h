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

/* A piece of what a message says: text, or an image or a video where it stands. */
enum chat_part_kind { CHAT_PART_TEXT, CHAT_PART_IMAGE, CHAT_PART_VIDEO };
struct chat_part {
    enum chat_part_kind kind;
    struct span text; /* CHAT_PART_TEXT */
    size_t media_idx; /* the caller's number for it: given back in chat_seen        */
    size_t
        n_pads; /* that the image takes, or each pair of a video's frames; 0: one, as the template
                         writes it (neither times nor pairs) */
    size_t n_pairs;        /* of a video */
    const double *seconds; /* [n_pairs] */
};

struct chat_message {
    enum chat_role role;           /* CHAT_TOOL: what a tool answered */
    struct span text;              /* any text; control strings in it stay text */
    const struct chat_part *parts; /* [n_parts] instead of 'text'; NULL: none */
    size_t n_parts;
    /* of an assistant */
    struct span thought; /* what it thought, if that is kept apart; ptr NULL: it is in 'text' */
    const struct chat_call *calls; /* [n_calls] */
    size_t n_calls;
};

enum chat_layout chat_layout_of(const struct model_file *f, const struct tokenizer *t);
const char *chat_layout_name(enum chat_layout l);

/* May a model of this layout begin its turn with a thought that the layout did not open? */
bool chat_may_think(const struct tokenizer *t, enum chat_layout layout, enum chat_thinking thinking);

struct chat_request {
    const struct chat_message *msgs;
    size_t n_msgs;
    const struct tool_set *tools; /* that the model may call; NULL or empty: none */
    enum chat_thinking thinking;
    bool generate;     /* with the opening of the assistant's turn */
    bool number_media; /* "Picture 1: " before each image, "Video 1: " before each video */
};

/* The media that stand in the tokens, in their order. What the layout leaves out (an earlier thought) is
 * not among them. */
struct chat_seen {
    size_t *media_idx; /* [n] */
    size_t n, cap;
};
void chat_seen_deinit(struct chat_seen *seen);

/* Append the tokens of the conversation. Every text of a message is encoded as TOK_PLAIN. Where the
 * model's template has a system text for conversations that bring none (SmolLM2, Qwen2), it is used,
 * read from the model file. CHAT_THINK_DEFAULT: Qwen3.5 answers without thinking, whatever the file's
 * template would do (templates of one model disagree); Qwen3 as its template, which is thinking.
 * KT_E_USAGE for an order of messages the layout has no place for (the message says which). Tools, calls,
 * their answers, images and videos have a place in Qwen3.5's layout; KT_E_UNSUPPORTED in others. 'seen'
 * may be NULL; after a failure it is empty. */
KT_MUST_CHECK enum kt_status
chat_encode_request(const struct tokenizer *t, enum chat_layout layout, struct token_vec *out,
                    const struct chat_request *rq, struct chat_seen *seen, struct kt_error *err);
/* The same as text, for people and tests (control tokens spelled out). */
KT_MUST_CHECK enum kt_status chat_render_request(const struct tokenizer *t, enum chat_layout layout,
                                                 struct buf *out, const struct chat_request *rq,
                                                 struct kt_error *err);
/* Of messages alone. */
KT_MUST_CHECK enum kt_status chat_encode(const struct tokenizer *t, enum chat_layout layout,
                                         struct token_vec *out, const struct chat_message *msgs,
                                         size_t n_msgs, bool generate, enum chat_thinking thinking,
                                         struct kt_error *err);
KT_MUST_CHECK enum kt_status chat_render(const struct tokenizer *t, enum chat_layout layout,
                                         struct buf *out, const struct chat_message *msgs,
                                         size_t n_msgs, bool generate, enum chat_thinking thinking,
                                         struct kt_error *err);

#endif
