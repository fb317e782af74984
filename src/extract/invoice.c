/* Electronic invoices: XRechnung and other EN 16931 invoices in UBL and CII, Factur-X and ZUGFeRD 1.0 to 2.
 *
 * First what the standard has a name for, group by group (invoice_fields.c); then, when totals do not add up, which rule says
 * so; at the end whatever else holds text. Files inside are parts. Whether a field may stand where it stands, and whether the
 * invoice is a valid one, is for a validator to say. */
#include "extract/invoice.h"

#include <string.h>

#define HEAD  "ExchangedDocument|HeaderExchangedDocument"
#define TRADE "SupplyChainTradeTransaction|SpecifiedSupplyChainTradeTransaction"

/* What chose a field or its group, and says nothing more: which kind of tax, document, allowance. */
static const char *const told[][2] = {
    { "AllowanceCharge", "ChargeIndicator" },
    { "ChargeIndicator", "Indicator" },
    { "TaxScheme", "ID" },
    { "AdditionalDocumentReference", "DocumentTypeCode" },
    { "DocumentReference", "DocumentTypeCode" },
    { "AdditionalReferencedDocument", "TypeCode" },
    { "ApplicableTradeTax", "TypeCode" },
    { "CategoryTradeTax", "TypeCode" },
    { NULL, NULL },
};

static void title_put(struct form *f)
{
    static const char seller_cii[] =
        TRADE "/ApplicableHeaderTradeAgreement|ApplicableSupplyChainTradeAgreement/"
              "SellerTradeParty/Name";
    static const char seller_ubl[] =
        "AccountingSupplierParty/Party/PartyLegalEntity/RegistrationName";
    struct buf s = { 0 };
    struct span number = tree_value(&f->t, 0, f->other ? HEAD "/ID" : "ID");
    struct span type = tree_value(&f->t, 0, f->other ? HEAD "/TypeCode" : "InvoiceTypeCode");
    struct span seller = tree_value(&f->t, 0, f->other ? seller_cii : seller_ubl);
    bool credit = strcmp(tree_name(&f->t, 0), "CreditNote") == 0 || span_eq_str(type, "381");
    buf_append_str(&s, credit ? "Gutschrift " : "Rechnung ");
    buf_append_span(&s, number);
    if (seller.len) {
        buf_append_str(&s, ", ");
        buf_append_span(&s, seller);
    }
    form_title(f, &s);
}

void invoice_parse(struct builder *b, struct span file)
{
    static const char currency_cii[] =
        TRADE "/ApplicableHeaderTradeSettlement|ApplicableSupplyChainTradeSettlement/"
              "InvoiceCurrencyCode";
    struct form f = { .b = b, .told = told };
    if (tree_read(&f.t, b, file)) {
        f.other = strncmp(tree_name(&f.t, 0), "Cross", 5) == 0;
        f.currency = tree_value(&f.t, 0, f.other ? currency_cii : "DocumentCurrencyCode");
        title_put(&f);
        form_groups(&f, invoice_groups);
        invoice_sums(b, &f.t, f.other);
        form_rest(&f);
    }
    tree_deinit(&f.t);
}
