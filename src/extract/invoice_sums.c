/* Do the totals of an invoice add up? The rules of EN 16931 that need nothing but addition, in whole millionths:
 *
 *   BR-CO-10  BT-106 = sum of BT-131          BR-CO-13  BT-109 = BT-106 - BT-107 + BT-108
 *   BR-CO-11  BT-107 = sum of BT-92           BR-CO-14  BT-110 = sum of BT-117
 *   BR-CO-12  BT-108 = sum of BT-99           BR-CO-15  BT-112 = BT-109 + BT-110
 *                                             BR-CO-16  BT-115 = BT-112 - BT-113 + BT-114
 *
 * What is not there counts as nothing on the right; a rule whose left side is missing is not judged, nor is one with a number
 * that does not fit: that is said instead. Profiles that extend the standard add to some sums (a line that only groups others, a
 * charge for transport, a payment for a third party), and so it is done here. Which of two numbers is the right one is not
 * ours to say. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "extract/invoice.h"

enum { MILLIONTHS = 6 };

bool money_parse(struct span s, int64_t *out)
{
    bool minus = s.len && s.ptr[0] == '-', any = false;
    int64_t v = 0;
    size_t decimals = 0, i = s.len && (s.ptr[0] == '-' || s.ptr[0] == '+');
    bool point = false;
    for (; i < s.len; i++) {
        if (s.ptr[i] == '.' && !point) {
            point = true;
            continue;
        }
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        any = true;
        decimals += point;
        if (decimals > MILLIONTHS) {
            if (s.ptr[i] != '0')
                return false;
            continue;
        }
        if (v > (INT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (s.ptr[i] - '0');
    }
    for (; decimals < MILLIONTHS; decimals++) {
        if (v > INT64_MAX / 10)
            return false;
        v *= 10;
    }
    *out = minus ? -v : v;
    return any;
}

struct sum {
    const struct tree *t;
    int64_t v;
    size_t n;  /* numbers found */
    bool fits; /* every one was a number, and the sum is one */
    bool minus;
};

static void add(void *ctx, uint32_t node)
{
    struct sum *s = ctx;
    int64_t v;
    s->n++;
    if (!money_parse(tree_text(s->t, node), &v)) {
        s->fits = false;
        return;
    }
    if (s->minus)
        v = -v; /* never INT64_MIN: the parser's numbers are symmetric */
    if ((v > 0 && s->v > INT64_MAX - v) || (v < 0 && s->v < -INT64_MAX - v))
        s->fits = false;
    else
        s->v += v;
}

static void sum_add(struct sum *s, uint32_t from, const char *path, bool minus)
{
    s->minus = minus;
    if (from != TREE_NONE && path)
        tree_each(s->t, from, path, add, s);
}

/* Where the numbers stand. */
struct paths {
    const char *lines, *allowances, *charges, *taxes;
    const char *totals; /* below it: */
    const char *line_total, *allowance_total, *charge_total, *net, *gross, *paid, *rounding, *due;
};

#define SETTLEMENT                                                                                 \
    "SupplyChainTradeTransaction|SpecifiedSupplyChainTradeTransaction/"                            \
    "ApplicableHeaderTradeSettlement|ApplicableSupplyChainTradeSettlement/"

static const struct paths ubl = {
    .lines = "InvoiceLine|CreditNoteLine/LineExtensionAmount",
    .allowances = "AllowanceCharge[ChargeIndicator=false]/Amount",
    .charges = "AllowanceCharge[ChargeIndicator=true]/Amount",
    .taxes = "TaxTotal/TaxSubtotal/TaxAmount",
    .totals = "LegalMonetaryTotal",
    .line_total = "LineExtensionAmount",
    .allowance_total = "AllowanceTotalAmount",
    .charge_total = "ChargeTotalAmount",
    .net = "TaxExclusiveAmount",
    .gross = "TaxInclusiveAmount",
    .paid = "PrepaidAmount",
    .rounding = "PayableRoundingAmount",
    .due = "PayableAmount",
};

static const struct paths cii = {
    .lines = "SupplyChainTradeTransaction|SpecifiedSupplyChainTradeTransaction/"
             "IncludedSupplyChainTradeLineItem"
             "[AssociatedDocumentLineDocument/LineStatusReasonCode!=GROUP]"
             "[AssociatedDocumentLineDocument/LineStatusReasonCode!=INFORMATION]/"
             "SpecifiedLineTradeSettlement|SpecifiedSupplyChainTradeSettlement/"
             "SpecifiedTradeSettlementLineMonetarySummation|"
             "SpecifiedTradeSettlementMonetarySummation/LineTotalAmount",
    .allowances =
        SETTLEMENT "SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=false]/ActualAmount",
    .charges =
        SETTLEMENT "SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=true]/ActualAmount",
    .taxes = SETTLEMENT "ApplicableTradeTax/CalculatedAmount",
    .totals = SETTLEMENT "SpecifiedTradeSettlementHeaderMonetarySummation|"
                         "SpecifiedTradeSettlementMonetarySummation",
    .line_total = "LineTotalAmount",
    .allowance_total = "AllowanceTotalAmount",
    .charge_total = "ChargeTotalAmount",
    .net = "TaxBasisTotalAmount",
    .gross = "GrandTotalAmount",
    .paid = "TotalPrepaidAmount",
    .rounding = "RoundingAmount",
    .due = "DuePayableAmount",
};

struct checking {
    struct builder *b;
    const struct tree *t;
    const struct paths *p;
    uint32_t totals;
    struct span currency; /* BT-5 */
    bool said;
};

static struct sum zero(const struct checking *c)
{
    return (struct sum){ .t = c->t, .fits = true };
}

static void note_begin(struct checking *c)
{
    if (!c->said) {
        builder_begin(c->b, BLOCK_HEADING);
        builder_text(c->b, SPAN("Hinweis: Die Summen gehen nicht auf / totals do not add up"));
    }
    c->said = true;
    builder_begin(c->b, BLOCK_PARAGRAPH);
}

static void money_put(struct buf *out, int64_t v)
{
    uint64_t m = v < 0 ? (uint64_t)-v : (uint64_t)v;
    char plain[48];
    snprintf(plain, sizeof(plain), "%s%llu.%06llu", v < 0 ? "-" : "",
             (unsigned long long)(m / 1000000), (unsigned long long)(m % 1000000));
    shown_number(out, span_of(plain), 2);
}

/* 'is' is the number the invoice states, 'should' what it must be. */
static void judge(struct checking *c, const char *rule, const char *what, const struct sum *is,
                  const struct sum *should)
{
    if (is->n != 1 || (is->fits && should->fits && is->v == should->v))
        return;
    struct buf s = { 0 };
    buf_printf(&s, "%s: %s. ", rule, what);
    if (is->fits && should->fits) {
        buf_append_str(&s, "Angegeben sind ");
        money_put(&s, is->v);
        buf_append_str(&s, ", berechnet ");
        money_put(&s, should->v);
        buf_append_char(&s, '.');
    } else {
        buf_append_str(&s, "Nicht geprüft: eine der Zahlen ist keine, oder sie ist zu groß.");
    }
    note_begin(c);
    if (builder_holds(c->b, &s))
        builder_text(c->b, buf_span(&s));
    builder_end(c->b);
    buf_deinit(&s);
}

/* BT-110: of the tax amounts the one in the invoice's currency; with one alone, that. */
struct tax {
    const struct checking *c;
    struct sum sum;
    size_t n;
    bool by_currency;
};

static void tax_take(void *ctx, uint32_t node)
{
    struct tax *x = ctx;
    x->n++;
    if (!x->by_currency || span_eq(span_of(tree_attr(x->c->t, node, "currencyID")), x->c->currency))
        add(&x->sum, node);
}

static struct sum tax_total(const struct checking *c, bool is_cii)
{
    struct tax x = { c, zero(c), 0, false };
    uint32_t from = is_cii ? c->totals : 0;
    const char *path = is_cii ? "TaxTotalAmount" : "TaxTotal/TaxAmount";
    if (from == TREE_NONE)
        return x.sum;
    tree_each(c->t, from, path, tax_take, &x);
    if (x.n > 1) {
        x = (struct tax){ c, zero(c), 0, true };
        tree_each(c->t, from, path, tax_take, &x);
    }
    return x.sum;
}

static void total_check(struct checking *c, const char *rule, const char *what, const char *stated,
                        const char *parts, const char *more)
{
    struct sum is = zero(c), should = zero(c);
    sum_add(&is, c->totals, stated, false);
    sum_add(&should, 0, parts, false);
    sum_add(&should, 0, more, false);
    judge(c, rule, what, &is, &should);
}

static void totals_check(struct checking *c, bool is_cii)
{
    const struct paths *p = c->p;
    struct sum has_lines = zero(c);
    sum_add(&has_lines, 0, p->lines, false);
    if (has_lines.n) /* the profiles MINIMUM and BASIC WL have no lines */
        total_check(c, "BR-CO-10",
                    "Die Summe der Positionen (BT-106) muss die der Nettobeträge (BT-131) sein",
                    p->line_total, p->lines, NULL);
    total_check(c, "BR-CO-11",
                "Die Summe der Nachlässe (BT-107) muss die der Nachlässe (BT-92) sein",
                p->allowance_total, p->allowances, NULL);
    total_check(c, "BR-CO-12",
                "Die Summe der Zuschläge (BT-108) muss die der Zuschläge (BT-99) sein",
                p->charge_total, p->charges,
                is_cii ? SETTLEMENT "SpecifiedLogisticsServiceCharge/AppliedAmount" : NULL);

    struct sum is = zero(c), should = zero(c);
    sum_add(&is, c->totals, p->net, false);
    sum_add(&should, c->totals, p->line_total, false);
    bool is_minimum =
        should.n == 0; /* the profile that has neither this sum nor what was paid before */
    if (!is_minimum) {
        sum_add(&should, c->totals, p->allowance_total, true);
        sum_add(&should, c->totals, p->charge_total, false);
        judge(c, "BR-CO-13", "Netto (BT-109) muss BT-106 - BT-107 + BT-108 sein", &is, &should);
    }

    struct sum tax = tax_total(c, is_cii), taxes = zero(c);
    sum_add(&taxes, 0, p->taxes, false);
    if (taxes.n && (is_cii || tax.n < 2))
        judge(c, "BR-CO-14", "Die Umsatzsteuer (BT-110) muss die Summe der Steuern (BT-117) sein",
              &tax, &taxes);

    is = zero(c);
    should = zero(c);
    sum_add(&is, c->totals, p->gross, false);
    sum_add(&should, c->totals, p->net, false);
    bool has_net = should.n == 1;
    if (tax.n == 1 && (tax.v > 0 ? should.v <= INT64_MAX - tax.v : should.v >= -INT64_MAX - tax.v))
        should.v += tax.v;
    should.fits = should.fits && tax.fits;
    if (has_net)
        judge(c, "BR-CO-15", "Brutto (BT-112) muss BT-109 + BT-110 sein", &is, &should);

    is = zero(c);
    should = zero(c);
    sum_add(&is, c->totals, p->due, false);
    sum_add(&should, c->totals, p->gross, false);
    if (should.n != 1 || is_minimum)
        return;
    sum_add(&should, c->totals, p->paid, true);
    sum_add(&should, c->totals, p->rounding, false);
    if (!is_cii)
        sum_add(&should, 0, "PrepaidPayment/PaidAmount", false);
    judge(c, "BR-CO-16", "Zu zahlen (BT-115) muss BT-112 - BT-113 + BT-114 sein", &is, &should);
}

void invoice_sums(struct builder *b, const struct tree *t, bool is_cii)
{
    struct checking c = { .b = b, .t = t, .p = is_cii ? &cii : &ubl };
    c.totals = tree_find(t, 0, c.p->totals);
    c.currency =
        tree_value(t, 0, is_cii ? SETTLEMENT "InvoiceCurrencyCode" : "DocumentCurrencyCode");
    if (c.totals != TREE_NONE)
        totals_check(&c, is_cii);
}
