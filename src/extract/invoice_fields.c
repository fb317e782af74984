/* The terms of EN 16931 with their paths: in UBL 2.1 (Invoice and CreditNote) and in UN/CEFACT's Cross Industry Invoice, whose
 * alternatives ("ApplicableHeaderTradeAgreement|ApplicableSupplyChainTradeAgreement") are the names of ZUGFeRD 1.0. */
#include "extract/invoice.h"

#define TRADE      "SupplyChainTradeTransaction|SpecifiedSupplyChainTradeTransaction"
#define AGREEMENT  TRADE "/ApplicableHeaderTradeAgreement|ApplicableSupplyChainTradeAgreement"
#define DELIVERY   TRADE "/ApplicableHeaderTradeDelivery|ApplicableSupplyChainTradeDelivery"
#define SETTLEMENT TRADE "/ApplicableHeaderTradeSettlement|ApplicableSupplyChainTradeSettlement"
#define HEAD       "ExchangedDocument|HeaderExchangedDocument"
#define CONTEXT    "ExchangedDocumentContext|SpecifiedExchangedDocumentContext"
#define NUMBER     "/IssuerAssignedID|ID"
#define DATE       "/DateTimeString|DateString"
#define RATE       "RateApplicablePercent|ApplicablePercent"
#define LINE_OF    "SpecifiedLineTradeAgreement|SpecifiedSupplyChainTradeAgreement"
#define LINE_PAID  "SpecifiedLineTradeSettlement|SpecifiedSupplyChainTradeSettlement"
#define END                                                                                        \
    {                                                                                              \
        NULL, NULL, FIELD_TEXT, NULL, NULL                                                         \
    }

static const struct field head[] = {
    { "BT-3", "Art", FIELD_TYPE, "InvoiceTypeCode|CreditNoteTypeCode", HEAD "/TypeCode" },
    { "BT-1", "Rechnungsnummer", FIELD_TEXT, "ID", HEAD "/ID" },
    { "BT-2", "Rechnungsdatum", FIELD_DATE, "IssueDate", HEAD "/IssueDateTime" DATE },
    { "BT-9", "Fällig am", FIELD_DATE, "DueDate",
      SETTLEMENT "/SpecifiedTradePaymentTerms/DueDateDateTime" DATE },
    { "BT-10", "Leitweg-ID, Referenz des Käufers", FIELD_TEXT, "BuyerReference",
      AGREEMENT "/BuyerReference" },
    { "BT-5", "Währung", FIELD_TEXT, "DocumentCurrencyCode", SETTLEMENT "/InvoiceCurrencyCode" },
    { "BT-6", "Währung der Umsatzsteuer", FIELD_TEXT, "TaxCurrencyCode",
      SETTLEMENT "/TaxCurrencyCode" },
    { "BT-7", "Zeitpunkt der Umsatzsteuer", FIELD_DATE, "TaxPointDate",
      SETTLEMENT "/ApplicableTradeTax/TaxPointDate" DATE },
    { "BT-8", "Umsatzsteuer fällig nach", FIELD_TEXT, "InvoicePeriod/DescriptionCode",
      SETTLEMENT "/ApplicableTradeTax/DueDateTypeCode" },
    { "BT-11", "Projekt", FIELD_TEXT, "ProjectReference/ID",
      AGREEMENT "/SpecifiedProcuringProject/ID" },
    { "BT-11", "Projekt", FIELD_TEXT, "AdditionalDocumentReference[DocumentTypeCode=50]/ID", NULL },
    { "BT-12", "Vertrag", FIELD_TEXT, "ContractDocumentReference/ID",
      AGREEMENT "/ContractReferencedDocument" NUMBER },
    { "BT-13", "Bestellung", FIELD_TEXT, "OrderReference/ID",
      AGREEMENT "/BuyerOrderReferencedDocument" NUMBER },
    { "BT-14", "Auftrag", FIELD_TEXT, "OrderReference/SalesOrderID",
      AGREEMENT "/SellerOrderReferencedDocument" NUMBER },
    { "BT-15", "Wareneingang", FIELD_TEXT, "ReceiptDocumentReference/ID",
      DELIVERY "/ReceivingAdviceReferencedDocument" NUMBER },
    { "BT-16", "Lieferschein", FIELD_TEXT, "DespatchDocumentReference/ID",
      DELIVERY "/DespatchAdviceReferencedDocument" NUMBER },
    { "BT-17", "Vergabe, Los", FIELD_TEXT, "OriginatorDocumentReference/ID",
      AGREEMENT "/AdditionalReferencedDocument[TypeCode=50]" NUMBER },
    { "BT-18", "Abgerechneter Gegenstand", FIELD_TEXT,
      "AdditionalDocumentReference[DocumentTypeCode=130]/ID",
      AGREEMENT "/AdditionalReferencedDocument[TypeCode=130]" NUMBER },
    { "BT-19", "Buchungskonto des Käufers", FIELD_TEXT, "AccountingCost",
      SETTLEMENT "/ReceivableSpecifiedTradeAccountingAccount/ID" },
    { "BT-25", "Frühere Rechnung", FIELD_TEXT, "BillingReference/InvoiceDocumentReference/ID",
      SETTLEMENT "/InvoiceReferencedDocument" NUMBER },
    { "BT-26", "Datum der früheren Rechnung", FIELD_DATE,
      "BillingReference/InvoiceDocumentReference/IssueDate",
      SETTLEMENT "/InvoiceReferencedDocument/FormattedIssueDateTime" DATE },
    { "BT-20", "Zahlungsbedingungen", FIELD_TEXT, "PaymentTerms/Note",
      SETTLEMENT "/SpecifiedTradePaymentTerms/Description" },
    { "BT-21", "Thema der Anmerkung", FIELD_TEXT, NULL, HEAD "/IncludedNote/SubjectCode" },
    { "BT-22", "Anmerkung", FIELD_TEXT, "Note", HEAD "/IncludedNote/Content" },
    { "BT-23", "Geschäftsprozess", FIELD_TEXT, "ProfileID",
      CONTEXT "/BusinessProcessSpecifiedDocumentContextParameter/ID" },
    { "BT-24", "Spezifikation", FIELD_TEXT, "CustomizationID",
      CONTEXT "/GuidelineSpecifiedDocumentContextParameter/ID" },
    END,
};

/* A party's address has the same paths everywhere; its terms differ. */
#define ADDRESS(street, more, third, city, zip, part, country, at)                                 \
    { street, "Straße", FIELD_TEXT, at "/StreetName", "PostalTradeAddress/LineOne" },              \
        { more, "Adresszusatz", FIELD_TEXT, at "/AdditionalStreetName",                            \
          "PostalTradeAddress/LineTwo" },                                                          \
        { third, "Adresszusatz", FIELD_TEXT, at "/AddressLine/Line",                               \
          "PostalTradeAddress/LineThree" },                                                        \
        { zip, "Postleitzahl", FIELD_TEXT, at "/PostalZone", "PostalTradeAddress/PostcodeCode" },  \
        { city, "Ort", FIELD_TEXT, at "/CityName", "PostalTradeAddress/CityName" },                \
        { part, "Region", FIELD_TEXT, at "/CountrySubentity",                                      \
          "PostalTradeAddress/CountrySubDivisionName" },                                           \
    {                                                                                              \
        country, "Land", FIELD_TEXT, at "/Country/IdentificationCode",                             \
            "PostalTradeAddress/CountryID"                                                         \
    }

#define CONTACT(name, phone, mail)                                                                 \
    { name, "Kontakt", FIELD_TEXT, "Contact/Name",                                                 \
      "DefinedTradeContact/PersonName|DepartmentName" },                                           \
        { phone, "Telefon", FIELD_TEXT, "Contact/Telephone",                                       \
          "DefinedTradeContact/TelephoneUniversalCommunication/CompleteNumber" },                  \
    {                                                                                              \
        mail, "E-Mail", FIELD_TEXT, "Contact/ElectronicMail",                                      \
            "DefinedTradeContact/EmailURIUniversalCommunication/URIID|CompleteNumber"              \
    }

#define VAT_ID(term)                                                                               \
    {                                                                                              \
        term, "Umsatzsteuer-ID", FIELD_TEXT, "PartyTaxScheme[TaxScheme/ID=VAT]/CompanyID",         \
            "SpecifiedTaxRegistration/ID[@schemeID=VA]"                                            \
    }

static const struct field seller[] = {
    { "BT-27", "Name", FIELD_TEXT, "PartyLegalEntity/RegistrationName", "Name" },
    { "BT-28", "Handelsname", FIELD_TEXT, "PartyName/Name",
      "SpecifiedLegalOrganization/TradingBusinessName" },
    ADDRESS("BT-35", "BT-36", "BT-162", "BT-37", "BT-38", "BT-39", "BT-40", "PostalAddress"),
    VAT_ID("BT-31"),
    { "BT-32", "Steuernummer", FIELD_TEXT, "PartyTaxScheme[TaxScheme/ID!=VAT]/CompanyID",
      "SpecifiedTaxRegistration/ID[@schemeID!=VA]" },
    { "BT-29", "Kennung", FIELD_TEXT, "PartyIdentification/ID[@schemeID!=SEPA]", "ID|GlobalID" },
    { "BT-90", "Gläubiger-ID", FIELD_TEXT, "PartyIdentification/ID[@schemeID=SEPA]", NULL },
    { "BT-30", "Register", FIELD_TEXT, "PartyLegalEntity/CompanyID",
      "SpecifiedLegalOrganization/ID" },
    { "BT-33", "Rechtliches", FIELD_TEXT, "PartyLegalEntity/CompanyLegalForm", "Description" },
    { "BT-34", "Elektronische Adresse", FIELD_TEXT, "EndpointID",
      "URIUniversalCommunication/URIID" },
    CONTACT("BT-41", "BT-42", "BT-43"),
    END,
};

static const struct field buyer[] = {
    { "BT-44", "Name", FIELD_TEXT, "PartyLegalEntity/RegistrationName", "Name" },
    { "BT-45", "Handelsname", FIELD_TEXT, "PartyName/Name",
      "SpecifiedLegalOrganization/TradingBusinessName" },
    ADDRESS("BT-50", "BT-51", "BT-163", "BT-52", "BT-53", "BT-54", "BT-55", "PostalAddress"),
    VAT_ID("BT-48"),
    { "BT-46", "Kennung", FIELD_TEXT, "PartyIdentification/ID", "ID|GlobalID" },
    { "BT-47", "Register", FIELD_TEXT, "PartyLegalEntity/CompanyID",
      "SpecifiedLegalOrganization/ID" },
    { "BT-49", "Elektronische Adresse", FIELD_TEXT, "EndpointID",
      "URIUniversalCommunication/URIID" },
    CONTACT("BT-56", "BT-57", "BT-58"),
    END,
};

static const struct field payee[] = {
    { "BT-59", "Name", FIELD_TEXT, "PartyName/Name", "Name" },
    { "BT-60", "Kennung", FIELD_TEXT, "PartyIdentification/ID[@schemeID!=SEPA]", "ID|GlobalID" },
    { "BT-90", "Gläubiger-ID", FIELD_TEXT, "PartyIdentification/ID[@schemeID=SEPA]", NULL },
    { "BT-61", "Register", FIELD_TEXT, "PartyLegalEntity/CompanyID",
      "SpecifiedLegalOrganization/ID" },
    END,
};

static const struct field representative[] = {
    { "BT-62", "Name", FIELD_TEXT, "PartyName/Name", "Name" },
    VAT_ID("BT-63"),
    ADDRESS("BT-64", "BT-65", "BT-164", "BT-66", "BT-67", "BT-68", "BT-69", "PostalAddress"),
    END,
};

static const struct field delivered[] = {
    { "BT-72", "Lieferdatum", FIELD_DATE, "ActualDeliveryDate",
      "ActualDeliverySupplyChainEvent/OccurrenceDateTime" DATE },
    { "BT-70", "Name", FIELD_TEXT, "DeliveryParty/PartyName/Name", "ShipToTradeParty/Name" },
    { "BT-71", "Kennung", FIELD_TEXT, "DeliveryLocation/ID", "ShipToTradeParty/ID|GlobalID" },
    { "BT-75", "Straße", FIELD_TEXT, "DeliveryLocation/Address/StreetName",
      "ShipToTradeParty/PostalTradeAddress/LineOne" },
    { "BT-76", "Adresszusatz", FIELD_TEXT, "DeliveryLocation/Address/AdditionalStreetName",
      "ShipToTradeParty/PostalTradeAddress/LineTwo" },
    { "BT-165", "Adresszusatz", FIELD_TEXT, "DeliveryLocation/Address/AddressLine/Line",
      "ShipToTradeParty/PostalTradeAddress/LineThree" },
    { "BT-78", "Postleitzahl", FIELD_TEXT, "DeliveryLocation/Address/PostalZone",
      "ShipToTradeParty/PostalTradeAddress/PostcodeCode" },
    { "BT-77", "Ort", FIELD_TEXT, "DeliveryLocation/Address/CityName",
      "ShipToTradeParty/PostalTradeAddress/CityName" },
    { "BT-79", "Region", FIELD_TEXT, "DeliveryLocation/Address/CountrySubentity",
      "ShipToTradeParty/PostalTradeAddress/CountrySubDivisionName" },
    { "BT-80", "Land", FIELD_TEXT, "DeliveryLocation/Address/Country/IdentificationCode",
      "ShipToTradeParty/PostalTradeAddress/CountryID" },
    END,
};

static const struct field period[] = {
    { "BT-73", "Von", FIELD_DATE, "StartDate", "StartDateTime" DATE },
    { "BT-74", "Bis", FIELD_DATE, "EndDate", "EndDateTime" DATE },
    END,
};

static const struct field line[] = {
    { "BT-126", "Position", FIELD_TEXT, "ID", "AssociatedDocumentLineDocument/LineID" },
    { "BT-153", "Artikel", FIELD_TEXT, "Item/Name", "SpecifiedTradeProduct/Name" },
    { "BT-154", "Beschreibung", FIELD_TEXT, "Item/Description",
      "SpecifiedTradeProduct/Description" },
    { "BT-129", "Menge", FIELD_QUANTITY, "InvoicedQuantity|CreditedQuantity",
      "SpecifiedLineTradeDelivery|SpecifiedSupplyChainTradeDelivery/BilledQuantity" },
    { "BT-146", "Preis", FIELD_AMOUNT, "Price/PriceAmount",
      LINE_OF "/NetPriceProductTradePrice/ChargeAmount" },
    { "BT-149", "Preis gilt für", FIELD_QUANTITY, "Price/BaseQuantity",
      LINE_OF "/NetPriceProductTradePrice/BasisQuantity" },
    { "BT-148", "Listenpreis", FIELD_AMOUNT, "Price/AllowanceCharge/BaseAmount",
      LINE_OF "/GrossPriceProductTradePrice/ChargeAmount" },
    { "BT-147", "Nachlass auf den Preis", FIELD_AMOUNT, "Price/AllowanceCharge/Amount",
      LINE_OF "/GrossPriceProductTradePrice/AppliedTradeAllowanceCharge/ActualAmount" },
    { "BT-131", "Netto", FIELD_AMOUNT, "LineExtensionAmount",
      LINE_PAID "/SpecifiedTradeSettlementLineMonetarySummation|"
                "SpecifiedTradeSettlementMonetarySummation/LineTotalAmount" },
    { "BT-151", "Umsatzsteuer", FIELD_VAT, "Item/ClassifiedTaxCategory/ID",
      LINE_PAID "/ApplicableTradeTax/CategoryCode" },
    { "BT-152", "Steuersatz", FIELD_PERCENT, "Item/ClassifiedTaxCategory/Percent",
      LINE_PAID "/ApplicableTradeTax/" RATE },
    { "BT-155", "Artikelnummer des Verkäufers", FIELD_TEXT, "Item/SellersItemIdentification/ID",
      "SpecifiedTradeProduct/SellerAssignedID" },
    { "BT-156", "Artikelnummer des Käufers", FIELD_TEXT, "Item/BuyersItemIdentification/ID",
      "SpecifiedTradeProduct/BuyerAssignedID" },
    { "BT-157", "Artikelkennung", FIELD_TEXT, "Item/StandardItemIdentification/ID",
      "SpecifiedTradeProduct/GlobalID" },
    { "BT-158", "Klasse", FIELD_TEXT, "Item/CommodityClassification/ItemClassificationCode",
      "SpecifiedTradeProduct/DesignatedProductClassification/ClassCode" },
    { "BT-159", "Herkunft", FIELD_TEXT, "Item/OriginCountry/IdentificationCode",
      "SpecifiedTradeProduct/OriginTradeCountry/ID" },
    { "BT-160", "Eigenschaft", FIELD_TEXT, "Item/AdditionalItemProperty/Name",
      "SpecifiedTradeProduct/ApplicableProductCharacteristic/Description" },
    { "BT-161", "Wert der Eigenschaft", FIELD_TEXT, "Item/AdditionalItemProperty/Value",
      "SpecifiedTradeProduct/ApplicableProductCharacteristic/Value" },
    { "BT-134", "Leistung von", FIELD_DATE, "InvoicePeriod/StartDate",
      LINE_PAID "/BillingSpecifiedPeriod/StartDateTime" DATE },
    { "BT-135", "Leistung bis", FIELD_DATE, "InvoicePeriod/EndDate",
      LINE_PAID "/BillingSpecifiedPeriod/EndDateTime" DATE },
    { "BT-136", "Nachlass", FIELD_AMOUNT, "AllowanceCharge[ChargeIndicator=false]/Amount",
      LINE_PAID "/SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=false]/ActualAmount" },
    { "BT-137", "Nachlass auf", FIELD_AMOUNT, "AllowanceCharge[ChargeIndicator=false]/BaseAmount",
      LINE_PAID "/SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=false]/BasisAmount" },
    { "BT-138", "Nachlass in Prozent", FIELD_PERCENT,
      "AllowanceCharge[ChargeIndicator=false]/MultiplierFactorNumeric",
      LINE_PAID
      "/SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=false]/CalculationPercent" },
    { "BT-139", "Grund des Nachlasses", FIELD_TEXT,
      "AllowanceCharge[ChargeIndicator=false]/AllowanceChargeReason",
      LINE_PAID "/SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=false]/Reason" },
    { "BT-140", "Grund des Nachlasses, Code", FIELD_TEXT,
      "AllowanceCharge[ChargeIndicator=false]/AllowanceChargeReasonCode",
      LINE_PAID "/SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=false]/ReasonCode" },
    { "BT-141", "Zuschlag", FIELD_AMOUNT, "AllowanceCharge[ChargeIndicator=true]/Amount",
      LINE_PAID "/SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=true]/ActualAmount" },
    { "BT-142", "Zuschlag auf", FIELD_AMOUNT, "AllowanceCharge[ChargeIndicator=true]/BaseAmount",
      LINE_PAID "/SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=true]/BasisAmount" },
    { "BT-143", "Zuschlag in Prozent", FIELD_PERCENT,
      "AllowanceCharge[ChargeIndicator=true]/MultiplierFactorNumeric",
      LINE_PAID
      "/SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=true]/CalculationPercent" },
    { "BT-144", "Grund des Zuschlags", FIELD_TEXT,
      "AllowanceCharge[ChargeIndicator=true]/AllowanceChargeReason",
      LINE_PAID "/SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=true]/Reason" },
    { "BT-145", "Grund des Zuschlags, Code", FIELD_TEXT,
      "AllowanceCharge[ChargeIndicator=true]/AllowanceChargeReasonCode",
      LINE_PAID "/SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=true]/ReasonCode" },
    { "BT-127", "Anmerkung", FIELD_TEXT, "Note",
      "AssociatedDocumentLineDocument/IncludedNote/Content" },
    { "BT-128", "Gegenstand", FIELD_TEXT, "DocumentReference/ID",
      LINE_PAID "/AdditionalReferencedDocument" NUMBER },
    { "BT-132", "Position der Bestellung", FIELD_TEXT, "OrderLineReference/LineID",
      LINE_OF "/BuyerOrderReferencedDocument/LineID" },
    { "BT-133", "Buchungskonto des Käufers", FIELD_TEXT, "AccountingCost",
      LINE_PAID "/ReceivableSpecifiedTradeAccountingAccount/ID" },
    END,
};

#define ALLOWANCE(label, amount, base, percent, vat, rate, reason, code)                           \
    { amount, label, FIELD_AMOUNT, "Amount", "ActualAmount" },                                     \
        { base, label " auf", FIELD_AMOUNT, "BaseAmount", "BasisAmount" },                         \
        { percent, label " in Prozent", FIELD_PERCENT, "MultiplierFactorNumeric",                  \
          "CalculationPercent" },                                                                  \
        { vat, "Umsatzsteuer", FIELD_VAT, "TaxCategory/ID", "CategoryTradeTax/CategoryCode" },     \
        { rate, "Steuersatz", FIELD_PERCENT, "TaxCategory/Percent", "CategoryTradeTax/" RATE },    \
        { reason, "Grund", FIELD_TEXT, "AllowanceChargeReason", "Reason" },                        \
    {                                                                                              \
        code, "Grund, Code", FIELD_TEXT, "AllowanceChargeReasonCode", "ReasonCode"                 \
    }

static const struct field allowance[] = {
    ALLOWANCE("Nachlass", "BT-92", "BT-93", "BT-94", "BT-95", "BT-96", "BT-97", "BT-98"), END
};
static const struct field charge[] = {
    ALLOWANCE("Zuschlag", "BT-99", "BT-100", "BT-101", "BT-102", "BT-103", "BT-104", "BT-105"), END
};

static const struct field totals[] = {
    { "BT-106", "Summe der Positionen", FIELD_AMOUNT, "LineExtensionAmount", "LineTotalAmount" },
    { "BT-107", "Summe der Nachlässe", FIELD_AMOUNT, "AllowanceTotalAmount",
      "AllowanceTotalAmount" },
    { "BT-108", "Summe der Zuschläge", FIELD_AMOUNT, "ChargeTotalAmount", "ChargeTotalAmount" },
    { "BT-109", "Netto", FIELD_AMOUNT, "TaxExclusiveAmount", "TaxBasisTotalAmount" },
    { "BT-112", "Brutto", FIELD_AMOUNT, "TaxInclusiveAmount", "GrandTotalAmount" },
    { "BT-113", "Bereits bezahlt", FIELD_AMOUNT, "PrepaidAmount", "TotalPrepaidAmount" },
    { "BT-114", "Rundung", FIELD_AMOUNT, "PayableRoundingAmount", "RoundingAmount" },
    { "BT-115", "Zu zahlen", FIELD_AMOUNT, "PayableAmount", "DuePayableAmount" },
    END,
};

/* Which of several is BT-110 and which BT-111 depends on the currency: invoice.c. */
static const struct field vat_total[] = {
    { "BT-110", "Umsatzsteuer", FIELD_AMOUNT, "TaxAmount", "TaxTotalAmount" },
    END,
};

static const struct field vat[] = {
    { "BT-118", "Umsatzsteuer", FIELD_VAT, "TaxCategory/ID", "CategoryCode" },
    { "BT-119", "Steuersatz", FIELD_PERCENT, "TaxCategory/Percent", RATE },
    { "BT-116", "Netto", FIELD_AMOUNT, "TaxableAmount", "BasisAmount" },
    { "BT-117", "Steuer", FIELD_AMOUNT, "TaxAmount", "CalculatedAmount" },
    { "BT-120", "Grund der Befreiung", FIELD_TEXT, "TaxCategory/TaxExemptionReason",
      "ExemptionReason" },
    { "BT-121", "Grund der Befreiung, Code", FIELD_TEXT, "TaxCategory/TaxExemptionReasonCode",
      "ExemptionReasonCode" },
    END,
};

static const struct field payment[] = {
    { "BT-81", "Zahlungsart", FIELD_MEANS, "PaymentMeansCode", "TypeCode" },
    { "BT-82", "Zahlungsart in Worten", FIELD_TEXT, "PaymentMeansCode/@name", "Information" },
    { "BT-84", "IBAN", FIELD_ACCOUNT, "PayeeFinancialAccount/ID",
      "PayeePartyCreditorFinancialAccount/IBANID" },
    { "BT-84", "Kontonummer", FIELD_ACCOUNT, NULL,
      "PayeePartyCreditorFinancialAccount/ProprietaryID" },
    { "BT-85", "Kontoinhaber", FIELD_TEXT, "PayeeFinancialAccount/Name",
      "PayeePartyCreditorFinancialAccount/AccountName" },
    { "BT-86", "BIC", FIELD_TEXT,
      "PayeeFinancialAccount/FinancialInstitutionBranch/ID|FinancialInstitution",
      "PayeeSpecifiedCreditorFinancialInstitution/BICID" },
    { "BT-83", "Verwendungszweck", FIELD_TEXT, "PaymentID", NULL },
    { "BT-9", "Fällig am", FIELD_DATE, "PaymentDueDate", NULL },
    { "BT-87", "Karte", FIELD_TEXT, "CardAccount/PrimaryAccountNumberID",
      "ApplicableTradeSettlementFinancialCard/ID" },
    { "BT-88", "Karteninhaber", FIELD_TEXT, "CardAccount/HolderName",
      "ApplicableTradeSettlementFinancialCard/CardholderName" },
    { "BT-89", "Mandat", FIELD_TEXT, "PaymentMandate/ID", NULL },
    { "BT-91", "Zu belastende IBAN", FIELD_ACCOUNT, "PaymentMandate/PayerFinancialAccount/ID",
      "PayerPartyDebtorFinancialAccount/IBANID|ProprietaryID" },
    END,
};

static const struct field payment_cii[] = {
    { "BT-83", "Verwendungszweck", FIELD_TEXT, NULL, "PaymentReference" },
    { "BT-90", "Gläubiger-ID", FIELD_TEXT, NULL, "CreditorReferenceID" },
    { "BT-89", "Mandat", FIELD_TEXT, NULL, "SpecifiedTradePaymentTerms/DirectDebitMandateID" },
    END,
};

static const struct field document[] = {
    { "BT-122", "Kennung", FIELD_TEXT, "ID", "IssuerAssignedID" },
    { "BT-123", "Beschreibung", FIELD_TEXT, "DocumentDescription", "Name" },
    { "BT-124", "Ort im Netz", FIELD_TEXT, "Attachment/ExternalReference/URI", "URIID" },
    { "BT-125", "Datei", FIELD_FILE, "Attachment/EmbeddedDocumentBinaryObject",
      "AttachmentBinaryObject" },
    END,
};

const struct field_group invoice_groups[] = {
    { "", NULL, ".", ".", head, false },
    { "BG-4", "Verkäufer", "AccountingSupplierParty/Party", AGREEMENT "/SellerTradeParty", seller,
      false },
    { "BG-7", "Käufer", "AccountingCustomerParty/Party", AGREEMENT "/BuyerTradeParty", buyer,
      false },
    { "BG-10", "Zahlungsempfänger", "PayeeParty", SETTLEMENT "/PayeeTradeParty", payee, false },
    { "BG-11", "Steuervertreter des Verkäufers", "TaxRepresentativeParty",
      AGREEMENT "/SellerTaxRepresentativeTradeParty", representative, false },
    { "BG-13", "Lieferung", "Delivery", DELIVERY, delivered, false },
    { "BG-14", "Abrechnungszeitraum", "InvoicePeriod", SETTLEMENT "/BillingSpecifiedPeriod", period,
      false },
    { "BG-25", "Positionen", "InvoiceLine|CreditNoteLine",
      TRADE "/IncludedSupplyChainTradeLineItem", line, true },
    /* XRechnung's extension: lines in lines, as deep as it allows and one more */
    { "BG-DEX-01", "Unterpositionen", "InvoiceLine/SubInvoiceLine", NULL, line, true },
    { "BG-DEX-01", "Unterpositionen", "InvoiceLine/SubInvoiceLine/SubInvoiceLine", NULL, line,
      true },
    { "BG-DEX-01", "Unterpositionen", "InvoiceLine/SubInvoiceLine/SubInvoiceLine/SubInvoiceLine",
      NULL, line, true },
    { "BG-20", "Nachlässe", "AllowanceCharge[ChargeIndicator=false]",
      SETTLEMENT "/SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=false]", allowance,
      true },
    { "BG-21", "Zuschläge", "AllowanceCharge[ChargeIndicator=true]",
      SETTLEMENT "/SpecifiedTradeAllowanceCharge[ChargeIndicator/Indicator=true]", charge, true },
    { "BG-22", "Summen", "LegalMonetaryTotal",
      SETTLEMENT "/SpecifiedTradeSettlementHeaderMonetarySummation|"
                 "SpecifiedTradeSettlementMonetarySummation",
      totals, true },
    { "BG-22", "Summen", "TaxTotal",
      SETTLEMENT "/SpecifiedTradeSettlementHeaderMonetarySummation|"
                 "SpecifiedTradeSettlementMonetarySummation",
      vat_total, true },
    { "BG-23", "Umsatzsteuer", "TaxTotal/TaxSubtotal", SETTLEMENT "/ApplicableTradeTax", vat,
      true },
    { "BG-16", "Zahlung", "PaymentMeans", SETTLEMENT "/SpecifiedTradeSettlementPaymentMeans",
      payment, true },
    { "BG-16", "Zahlung", NULL, SETTLEMENT, payment_cii, true },
    { "BG-24", "Unterlagen",
      "AdditionalDocumentReference[DocumentTypeCode!=130][DocumentTypeCode!=50]",
      AGREEMENT "/AdditionalReferencedDocument[TypeCode!=50][TypeCode!=130]", document, true },
    { NULL, NULL, NULL, NULL, NULL, false },
};
