/* One step of a decoder: new tokens of some sequences through all layers. It reads from top to
 * bottom like docs/MODEL.md; what each line does in parallel is in ops.c, attention.c and linear.c.
 */
#include <string.h>

#include "base/status.h"
#include "model/attention.h"
#include "model/experts.h"
#include "model/ops.h"

/* in -> mix, through softmax attention. */
static void attention_layer(struct model_run *r, const struct layer *l, uint32_t i)
{
    struct run_buffers *b = &r->b;
    const struct projection qkv[] = {
        { &l->attn_q, b->q, l->q_bias },
        { &l->attn_k, b->k, l->k_bias },
        { &l->attn_v, b->v, l->v_bias },
    };
    norm_rows(r, l->mix_norm, qkv, ARRAY_LEN(qkv));
    project(r, &b->in, qkv,
            ARRAY_LEN(qkv));  /* q [n, heads * dim (* 2)], k and v [n, kv heads * dim] */
    attention_store(r, l, i); /* norm and turn q and k, append k and v to the caches   */
    attention_read(r, i);     /* mix [n, heads * dim]                                  */
    quantize_rows(r, &b->mix, &l->attn_out);
    project_add(r, &l->attn_out, &b->mix, NULL);
}

/* in -> mix, through the recurrent state. */
static void linear_layer(struct model_run *r, const struct layer *l, uint32_t i)
{
    struct run_buffers *b = &r->b;
    const struct projection in[] = {
        { &l->lin_qkv, b->u, NULL },
        { &l->lin_z, b->z, NULL },
        { &l->lin_b, b->b, NULL },
        { &l->lin_a, b->a, NULL },
    };
    norm_rows(r, l->mix_norm, in, ARRAY_LEN(in));
    project(r, &b->in, in, ARRAY_LEN(in)); /* u [n, 2K + V], z [n, V], b and a [n, value heads] */
    linear_prepare(r, l, i);               /* convolution, q and k of length 1, decay and beta  */
    linear_recur(r, l, i);                 /* mix [n, V], normed and gated by z                 */
    quantize_rows(r, &b->mix, &l->lin_out);
    project_add(r, &l->lin_out, &b->mix, NULL);
}

static void feed_forward(struct model_run *r, const struct layer *l)
{
    const struct projection in[] = { { &l->ffn_gate, NULL, NULL }, { &l->ffn_up, NULL, NULL } };
    norm_rows(r, l->ffn_norm, in, ARRAY_LEN(in));
    feed_forward_gated(r, &l->ffn_gate, &l->ffn_up,
                       &l->ffn_down); /* ff [n, n_ff] = silu(gate) * up */
    project_add(r, &l->ffn_down, &r->b.ff, NULL);
}

static void mixture(struct model_run *r, const struct layer *l)
{
    struct run_buffers *b = &r->b;
    const struct projection in[] = {
        { &l->router, b->probs, NULL }, /* all of them the same rows, so one norm for all */
        { &l->ffn_gate, NULL, NULL },
        { &l->ffn_up, NULL, NULL },
        { l->expert_gate, b->expert_gate, NULL },
        { l->expert_up, b->expert_up, NULL },
    };
    const struct projection shared = { &l->ffn_down, b->y, NULL };
    norm_rows(r, l->ffn_norm, in, ARRAY_LEN(in));
    project(r, &b->in, in, 1);                                     /* probs [n, n_experts]    */
    feed_forward_gated(r, &l->ffn_gate, &l->ffn_up, &l->ffn_down); /* ff [n, n_ff_shared]     */
    project(r, &b->ff, &shared, 1);                                /* y [n, d_model]          */
    experts_route(r, l); /* choices of each row, and the rows of each expert  */
    experts_run(r, l);   /* expert_out [n * n_experts_used, d_model]          */
    experts_add(r);      /* x += the sum of a row's experts, and its part of y */
}

static void second_half(struct model_run *r, const struct layer *l)
{
    if (r->m->shape.n_experts)
        mixture(r, l); /* x += some experts and the shared one, of norm(x) */
    else
        feed_forward(r, l); /* x += feed-forward of norm(x) */
}

static void forward(struct model_run *r)
{
    const struct model *m = r->m;
    embed_tokens(r, &m->w.embd); /* x [n, d_model] */
    for (uint32_t i = 0; i < m->shape.n_layers; i++) {
        const struct layer *l = &m->w.layers[i];
        if (m->shape.recurrent[i])
            linear_layer(r, l, i); /* x += linear attention of norm(x) */
        else
            attention_layer(r, l, i); /* x += attention of norm(x) */
        second_half(r, l);
    }
    norm_outputs(r, m->w.out_norm, &m->w.head); /* in [n_outs, d_model], hidden states copied out */
    project_logits(r, &m->w.head); /* [n_logits, n_vocab], each to its caller's memory */
}

static void forward_mtp(struct model_run *r)
{
    const struct mtp *h = &r->m->w.mtp;
    const struct projection fc = { &h->fc, r->b.x, NULL };
    embed_tokens(r, &h->embd);      /* x [n, d_model]: the tokens that follow     */
    pair_rows(r, h);                /* pair [n, 2 d_model]: norms of x and hidden */
    project(r, &r->b.pair, &fc, 1); /* x [n, d_model]                             */
    attention_layer(r, &h->layer, r->m->shape.n_layers);
    second_half(r, &h->layer);
    norm_outputs(r, h->out_norm, &h->head);
    project_logits(r, &h->head);
}

/* ---- what a step consists of ---- */

static enum kt_status check_tokens(const struct model *m, const struct model_span *sp,
                                   struct kt_error *err)
{
    for (size_t t = 0; t < sp->n_tokens; t++) {
        if (sp->tokens[t] < 0 || (uint32_t)sp->tokens[t] >= m->shape.n_vocab)
            return kt_fail(err, KT_E_USAGE, "token %zu is %d, expected 0 to %u", t, sp->tokens[t],
                           m->shape.n_vocab - 1);
    }
    return KT_OK;
}

static enum kt_status check_positions(const struct model_span *sp, struct kt_error *err)
{
    for (size_t t = 0; sp->positions && t < sp->n_tokens; t++) {
        for (size_t axis = 0; axis < 3; axis++) {
            if (sp->positions[t][axis] >= MODEL_POSITION_MAX)
                return kt_fail(err, KT_E_USAGE, "position %zu is %u, expected less than %d", t,
                               sp->positions[t][axis], MODEL_POSITION_MAX);
        }
    }
    return KT_OK;
}

static enum kt_status check_span(const struct model *m, const struct model_span *sp, bool mtp,
                                 struct kt_error *err)
{
    if (!sp->state || !sp->tokens || sp->n_tokens == 0)
        return kt_fail(err, KT_E_USAGE, "a span without state or tokens");
    if (sp->state->m != m)
        return kt_fail(err, KT_E_USAGE, "a state of another model");
    if (sp->state->mtp != mtp)
        return kt_fail(err, KT_E_USAGE, "a state of the %s", mtp ? "trunk" : "multi-token head");
    if (sp->state->tentative.n_rows)
        return kt_fail(err, KT_E_USAGE, "a state with tentative tokens nobody has decided about");
    if (sp->tentative && sp->positions)
        return kt_fail(err, KT_E_USAGE, "tentative tokens with positions; only text is guessed");
    if (sp->tentative && (mtp || sp->n_tokens > sp->state->tentative.n_max))
        return kt_fail(err, KT_E_USAGE, "%zu tentative tokens, this state takes up to %zu",
                       sp->n_tokens, mtp ? 0 : sp->state->tentative.n_max);
    if (mtp && !sp->hidden_in)
        return kt_fail(err, KT_E_USAGE, "a span of the multi-token head without hidden states");
    if (sp->n_ids > m->shape.n_vocab || sp->n_more_ids > m->shape.n_vocab)
        return kt_fail(err, KT_E_USAGE, "logits of %zu and %zu ids, the model has %u", sp->n_ids,
                       sp->n_more_ids, m->shape.n_vocab);
    if (sp->logits_of != OUT_NONE && !sp->logits)
        return kt_fail(err, KT_E_USAGE, "logits are wanted but there is no place for them");
    if (sp->n_tokens > sp->state->n_ctx - sp->state->n_past)
        return kt_fail(err, KT_E_LIMIT,
                       "the context holds %zu tokens: %zu are in it and %zu more do not fit",
                       sp->state->n_ctx, sp->state->n_past, sp->n_tokens);
    enum kt_status st = check_positions(sp, err);
    return st ? st : check_tokens(m, sp, err);
}

static enum kt_status check_step(const struct model_run *r, const struct model_span *spans,
                                 size_t n_spans, bool mtp, struct kt_error *err)
{
    if (r->m->shape.arch == ARCH_BERT)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "a bert model encodes whole texts; it predicts no next token");
    size_t n_rows = 0;
    for (size_t i = 0; i < n_spans; i++) {
        enum kt_status st = check_span(r->m, &spans[i], mtp, err);
        if (st)
            return st;
        for (size_t k = 0; k < i; k++) {
            if (spans[k].state == spans[i].state)
                return kt_fail(err, KT_E_USAGE, "spans %zu and %zu continue the same sequence", k,
                               i);
        }
        if (spans[i].n_ids != spans[0].n_ids || spans[i].n_more_ids != spans[0].n_more_ids ||
            spans[i].more_ids != spans[0].more_ids)
            return kt_fail(err, KT_E_USAGE, "logits of other ids than the first span's");
        n_rows +=
            spans[i].n_tokens; /* each at most n_ctx, checked above; n_spans is bounded below */
        if (n_rows > r->n_batch)
            return kt_fail(err, KT_E_USAGE, "a step of more than %zu rows", r->n_batch);
    }
    return KT_OK;
}

static void add_out(struct model_run *r, const struct model_span *sp, size_t row0, size_t t)
{
    bool all = sp->logits_of == OUT_ALL, last = sp->logits_of == OUT_LAST && t + 1 == sp->n_tokens;
    struct out_row o = { .row = row0 + t };
    if (all || last)
        o.logits = sp->logits + (all ? t * (r->n_ids + r->n_more_ids) : 0);
    if (sp->hidden)
        o.hidden = sp->hidden + t * r->m->shape.d_model;
    if (!o.logits && !o.hidden)
        return;
    /* Rows with logits come first, so that the head multiplies no others. */
    size_t at = r->n_outs++;
    if (o.logits) {
        r->b.outs[at] = r->b.outs[r->n_logits];
        at = r->n_logits++;
    }
    r->b.outs[at] = o;
}

/* Where token t of a span is. */
static void place_token(struct row *row, const struct model_span *sp, size_t t)
{
    uint32_t next = model_state_next_position(sp->state) + (uint32_t)t;
    for (size_t axis = 0; axis < 3; axis++)
        row->at[axis] = sp->positions ? sp->positions[t][axis] : next;
}

/* After the step: text goes on behind the largest position so far. */
static void advance(struct model_state *s, const struct model_span *sp)
{
    int64_t next = model_state_next_position(s) + (sp->positions ? 0 : (int64_t)sp->n_tokens);
    for (size_t t = 0; sp->positions && t < sp->n_tokens; t++) {
        for (size_t axis = 0; axis < 3; axis++)
            next = MAX(next, (int64_t)sp->positions[t][axis] + 1);
    }
    s->n_past += sp->n_tokens;
    s->shift = next - (int64_t)s->n_past;
}

static void add_span(struct model_run *r, const struct model_span *sp)
{
    uint32_t pos0 = (uint32_t)sp->state->n_past;
    size_t row0 = r->n_rows;
    r->b.spans[r->n_spans++] =
        (struct row_span){ sp->state, row0, sp->n_tokens, pos0, sp->tentative };
    for (size_t t = 0; t < sp->n_tokens; t++) {
        r->b.rows[row0 + t] = (struct row){
            .state = sp->state,
            .pos = pos0 + (uint32_t)t,
            .token = sp->tokens[t],
            .embed = sp->embeds ? sp->embeds[t] : NULL,
            .hidden_in = sp->hidden_in ? sp->hidden_in + t * r->m->shape.d_model : NULL,
        };
        place_token(&r->b.rows[row0 + t], sp, t);
        add_out(r, sp, row0, t);
    }
    r->n_rows += sp->n_tokens;
}

static enum kt_status step(struct model_run *r, const struct model_span *spans, size_t n_spans,
                           bool mtp, struct kt_error *err)
{
    enum kt_status st = check_step(r, spans, n_spans, mtp, err);
    for (size_t i = 0; i < n_spans && !st; i++)
        st = state_reserve(spans[i].state, spans[i].n_tokens, err);
    if (st)
        return st;
    r->n_rows = r->n_spans = r->n_outs = r->n_logits = 0;
    bool some = n_spans && spans[0].n_ids;
    r->n_ids = some ? spans[0].n_ids : r->m->shape.n_vocab;
    r->n_more_ids = some ? spans[0].n_more_ids : 0;
    r->more_ids = some ? spans[0].more_ids : NULL;
    for (size_t i = 0; i < n_spans; i++)
        add_span(r, &spans[i]);
    if (r->n_rows == 0)
        return KT_OK;
    if (mtp)
        forward_mtp(r);
    else
        forward(r);
    for (size_t i = 0; i < n_spans; i++) {
        advance(spans[i].state, &spans[i]);
        tentative_after_step(spans[i].state, spans[i].tentative ? spans[i].n_tokens : 0);
    }
    return KT_OK;
}

enum kt_status model_step(struct model_run *r, const struct model_span *spans, size_t n_spans,
                          struct kt_error *err)
{
    return step(r, spans, n_spans, false, err);
}

enum kt_status model_mtp_step(struct model_run *r, const struct model_span *spans, size_t n_spans,
                              struct kt_error *err)
{
    if (!model_has_mtp(r->m))
        return kt_fail(err, KT_E_UNSUPPORTED, "this model has no multi-token head");
    return step(r, spans, n_spans, true, err);
}
