/* constrain/schema_row.c: parts in a row, some of which may be missing, with something between them: members of objects,
 * values that are all different. */
#include "constrain/schema_priv.h"

#include "base/size.h"

struct row {
    struct compilation *c;
    const struct part *part;
    size_t n;
    const struct expr *between, *other; /* other: one more behind the parts; EX_NEVER: none */
    uint64_t lo, hi;                    /* UINT64_MAX: no end */
    struct production **rule;
    size_t n_counts;
};

static const struct expr *with_comma(const struct row *r, const struct expr *e)
{
    return ex_cat(r->c, r->between, e);
}

/* Behind part i - 1, something being written already: up to the next place that has a rule. */
static const struct expr *rest_of_row(struct row *r, size_t i, size_t n_ruled)
{
    struct compilation *c = r->c;
    struct list l = { 0 };
    for (size_t k = i; k < r->n && !c->st; k++) {
        const struct expr *e = with_comma(r, r->part[k].expr);
        list_push(c, &l, r->part[k].is_required ? e : ex_repeat(c, e, 0, 1));
        if (k + 1 < n_ruled) {
            list_push(c, &l, ex_rule(c, r->rule[k + 1]));
            return ex_all(c, &l);
        }
    }
    list_push(c, &l, ex_repeat(c, with_comma(r, r->other), 0, EX_ENDLESS));
    return ex_all(c, &l);
}

static const struct expr *plain_row(struct row *r)
{
    struct compilation *c = r->c;
    struct list ways = { 0 };
    size_t k = 0; /* the first one that is required */
    while (k < r->n && !r->part[k].is_required)
        k++;
    size_t n_ruled =
        k == 0 ? 0 : MIN(k + 2, r->n + 1); /* places 1 ... are reached in several ways */
    r->rule = sc_alloc(c, r->n + 2, sizeof(*r->rule));
    for (size_t i = 1; i < n_ruled && r->rule && !c->st; i++)
        r->rule[i] = rule_new(c, SPAN("rest"));
    for (size_t i = 1; i < n_ruled && r->rule && !c->st; i++)
        r->rule[i]->body = rest_of_row(r, i, n_ruled);
    for (size_t i = 0; i <= k && i < r->n && !c->st; i++) {
        const struct expr *rest =
            i + 1 < n_ruled ? ex_rule(c, r->rule[i + 1]) : rest_of_row(r, i + 1, 0);
        list_push(c, &ways, ex_cat(c, r->part[i].expr, rest));
    }
    if (k == r->n) {
        list_push(c, &ways,
                  ex_cat(c, r->other, ex_repeat(c, with_comma(r, r->other), 0, EX_ENDLESS)));
        list_push(c, &ways, ex_empty(c));
    }
    return ex_any(c, &ways);
}

/* Behind all parts, with 'count' of them written. */
static const struct expr *end_of_row(struct row *r, uint64_t count)
{
    struct compilation *c = r->c;
    uint64_t need = count < r->lo ? r->lo - count : 0;
    uint32_t room = r->hi == UINT64_MAX ? EX_ENDLESS
                    : r->hi < count     ? 0
                                        : (uint32_t)MIN(r->hi - count, (uint64_t)SCHEMA_COUNT_MAX);
    if (r->hi < count || need > 1 || (need && r->other->kind == EX_NEVER))
        return ex_never(c);
    if (room == 0 || r->other->kind == EX_NEVER)
        return ex_empty(c);
    const struct expr *next = with_comma(r, r->other);
    if (count)
        return ex_repeat(c, next, (uint32_t)need, room);
    const struct expr *some =
        ex_cat(c, r->other, ex_repeat(c, next, 0, room == EX_ENDLESS ? room : room - 1));
    return need ? some : ex_repeat(c, some, 0, 1);
}

/* Place and count are the state: a rule for each pair that can be reached. */
static const struct expr *counted_row(struct row *r)
{
    struct compilation *c = r->c;
    bool endless = r->hi == UINT64_MAX;
    r->n_counts = (size_t)MIN(endless ? r->lo : r->hi, (uint64_t)r->n) + 1;
    if (r->n * r->n_counts > SCHEMA_STATES_MAX) {
        sc_fail(
            c, KT_E_LIMIT, NULL, NULL,
            "an object with %zu properties and minProperties or maxProperties takes too many rules",
            r->n);
        return NULL;
    }
    r->rule = sc_alloc(c, (r->n + 1) * r->n_counts, sizeof(*r->rule));
    for (size_t i = 0; r->rule && i < (r->n + 1) * r->n_counts && !c->st; i++)
        r->rule[i] = rule_new(c, SPAN("count"));
    for (size_t i = r->n + 1; i-- > 0 && r->rule && !c->st;) {
        for (size_t k = 0; k < r->n_counts && !c->st; k++) {
            struct list ways = { 0 };
            struct production *rule = r->rule[i * r->n_counts + k];
            if (i == r->n) {
                rule->body = end_of_row(r, k);
                continue;
            }
            size_t next = MIN(k + 1, r->n_counts - 1);
            const struct expr *part = r->part[i].expr;
            if (endless || k + 1 <= r->hi)
                list_push(c, &ways,
                          ex_cat(c, k ? with_comma(r, part) : part,
                                 ex_rule(c, r->rule[(i + 1) * r->n_counts + next])));
            if (!r->part[i].is_required)
                list_push(c, &ways, ex_rule(c, r->rule[(i + 1) * r->n_counts + k]));
            rule->body = ex_any(c, &ways);
        }
    }
    return c->st ? NULL : ex_rule(c, r->rule[0]);
}

const struct expr *ex_row(struct compilation *c, const struct part *part, size_t n, uint64_t lo,
                          uint64_t hi, const struct expr *between, const struct expr *other)
{
    struct row r = {
        .c = c, .part = part, .n = n, .between = between, .other = other, .lo = lo, .hi = hi
    };
    size_t n_required = 0;
    if (c->st || !other)
        return NULL;
    for (size_t i = 0; i < n; i++)
        n_required += part[i].is_required;
    if (hi < n_required || hi < lo)
        return ex_never(c);
    bool none_other = other->kind == EX_NEVER;
    if (lo <= n_required && (hi == UINT64_MAX || (none_other && hi >= n)))
        return plain_row(&r);
    return counted_row(&r);
}
