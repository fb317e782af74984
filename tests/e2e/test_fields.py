#!/usr/bin/env python3
"""Electronic invoices that other people made, through the shipped program, against a second reader.

Method: the samples of the packages factur-x and erechnung-core (tools/pins.txt: both syntaxes, ZUGFeRD 1.0, a PDF with an invoice inside)
are read by show_document, and by Python's ElementTree with paths of its own. Every term of the table below must have the same values in
the same order, each on the line where ElementTree's parser saw its element begin; every other text of the file must stand
somewhere in the document; the files inside a PDF must be byte for byte what pdfdetach gives without walls."""
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unicodedata
import unittest
import xml.etree.ElementTree as ET
from xml.parsers import expat

SHOW = os.path.abspath(sys.argv.pop(1))
SAMPLES = pathlib.Path(os.environ["KONTOR_TESTDATA"]).resolve() / "einvoice"

UBL = {
    "BT-1": "ID", "BT-2": "IssueDate", "BT-3": "InvoiceTypeCode", "BT-5": "DocumentCurrencyCode", "BT-10": "BuyerReference",
    "BT-13": "OrderReference/ID", "BT-24": "CustomizationID", "BT-22": "Note",
    "BT-27": "AccountingSupplierParty/Party/PartyLegalEntity/RegistrationName",
    "BT-35": "AccountingSupplierParty/Party/PostalAddress/StreetName",
    "BT-37": "AccountingSupplierParty/Party/PostalAddress/CityName",
    "BT-38": "AccountingSupplierParty/Party/PostalAddress/PostalZone",
    "BT-43": "AccountingSupplierParty/Party/Contact/ElectronicMail",
    "BT-44": "AccountingCustomerParty/Party/PartyLegalEntity/RegistrationName",
    "BT-50": "AccountingCustomerParty/Party/PostalAddress/StreetName",
    "BT-72": "Delivery/ActualDeliveryDate", "BT-73": "InvoicePeriod/StartDate", "BT-74": "InvoicePeriod/EndDate",
    "BT-81": "PaymentMeans/PaymentMeansCode", "BT-84": "PaymentMeans/PayeeFinancialAccount/ID",
    "BT-106": "LegalMonetaryTotal/LineExtensionAmount", "BT-109": "LegalMonetaryTotal/TaxExclusiveAmount",
    "BT-112": "LegalMonetaryTotal/TaxInclusiveAmount", "BT-115": "LegalMonetaryTotal/PayableAmount",
    "BT-116": "TaxTotal/TaxSubtotal/TaxableAmount", "BT-117": "TaxTotal/TaxSubtotal/TaxAmount",
    "BT-119": "TaxTotal/TaxSubtotal/TaxCategory/Percent",
    "BT-126": "InvoiceLine/ID", "BT-129": "InvoiceLine/InvoicedQuantity", "BT-131": "InvoiceLine/LineExtensionAmount",
    "BT-146": "InvoiceLine/Price/PriceAmount", "BT-151": "InvoiceLine/Item/ClassifiedTaxCategory/ID",
    "BT-152": "InvoiceLine/Item/ClassifiedTaxCategory/Percent", "BT-153": "InvoiceLine/Item/Name",
}
DEAL = "SupplyChainTradeTransaction/"
AGREED, DELIVERED, PAID = (DEAL + "ApplicableHeaderTrade" + n + "/" for n in ("Agreement", "Delivery", "Settlement"))
SUMS = PAID + "SpecifiedTradeSettlementHeaderMonetarySummation/"
LINE = DEAL + "IncludedSupplyChainTradeLineItem/"
CII = {
    "BT-1": "ExchangedDocument/ID", "BT-3": "ExchangedDocument/TypeCode",
    "BT-2": "ExchangedDocument/IssueDateTime/DateTimeString", "BT-22": "ExchangedDocument/IncludedNote/Content",
    "BT-24": "ExchangedDocumentContext/GuidelineSpecifiedDocumentContextParameter/ID",
    "BT-10": AGREED + "BuyerReference", "BT-13": AGREED + "BuyerOrderReferencedDocument/IssuerAssignedID",
    "BT-27": AGREED + "SellerTradeParty/Name", "BT-35": AGREED + "SellerTradeParty/PostalTradeAddress/LineOne",
    "BT-37": AGREED + "SellerTradeParty/PostalTradeAddress/CityName",
    "BT-38": AGREED + "SellerTradeParty/PostalTradeAddress/PostcodeCode",
    "BT-44": AGREED + "BuyerTradeParty/Name", "BT-50": AGREED + "BuyerTradeParty/PostalTradeAddress/LineOne",
    "BT-72": DELIVERED + "ActualDeliverySupplyChainEvent/OccurrenceDateTime/DateTimeString",
    "BT-5": PAID + "InvoiceCurrencyCode", "BT-9": PAID + "SpecifiedTradePaymentTerms/DueDateDateTime/DateTimeString",
    "BT-81": PAID + "SpecifiedTradeSettlementPaymentMeans/TypeCode",
    "BT-84": PAID + "SpecifiedTradeSettlementPaymentMeans/PayeePartyCreditorFinancialAccount/IBANID",
    "BT-116": PAID + "ApplicableTradeTax/BasisAmount", "BT-117": PAID + "ApplicableTradeTax/CalculatedAmount",
    "BT-119": PAID + "ApplicableTradeTax/RateApplicablePercent",
    "BT-106": SUMS + "LineTotalAmount", "BT-109": SUMS + "TaxBasisTotalAmount", "BT-112": SUMS + "GrandTotalAmount",
    "BT-115": SUMS + "DuePayableAmount",
    "BT-126": LINE + "AssociatedDocumentLineDocument/LineID", "BT-153": LINE + "SpecifiedTradeProduct/Name",
    "BT-129": LINE + "SpecifiedLineTradeDelivery/BilledQuantity",
    "BT-146": LINE + "SpecifiedLineTradeAgreement/NetPriceProductTradePrice/ChargeAmount",
    "BT-151": LINE + "SpecifiedLineTradeSettlement/ApplicableTradeTax/CategoryCode",
    "BT-152": LINE + "SpecifiedLineTradeSettlement/ApplicableTradeTax/RateApplicablePercent",
    "BT-131": LINE + "SpecifiedLineTradeSettlement/SpecifiedTradeSettlementLineMonetarySummation/LineTotalAmount",
}
DEAL1 = "SpecifiedSupplyChainTradeTransaction/"
PAID1 = DEAL1 + "ApplicableSupplyChainTradeSettlement/"
ZUGFERD1 = {
    "BT-1": "HeaderExchangedDocument/ID", "BT-3": "HeaderExchangedDocument/TypeCode", "BT-5": PAID1 + "InvoiceCurrencyCode",
    "BT-27": DEAL1 + "ApplicableSupplyChainTradeAgreement/SellerTradeParty/Name",
    "BT-44": DEAL1 + "ApplicableSupplyChainTradeAgreement/BuyerTradeParty/Name",
    "BT-117": PAID1 + "ApplicableTradeTax/CalculatedAmount", "BT-119": PAID1 + "ApplicableTradeTax/ApplicablePercent",
    "BT-112": PAID1 + "SpecifiedTradeSettlementMonetarySummation/GrandTotalAmount",
    "BT-131": DEAL1 + "IncludedSupplyChainTradeLineItem/SpecifiedSupplyChainTradeSettlement/"
              "SpecifiedTradeSettlementMonetarySummation/LineTotalAmount",
    "BT-153": DEAL1 + "IncludedSupplyChainTradeLineItem/SpecifiedTradeProduct/Name",
}
# What only says which kind of thing stands beside it.
TOLD = {"ChargeIndicator", "Indicator", "DocumentTypeCode", "TypeCode"}


def clean(s):
    return " ".join(unicodedata.normalize("NFC", s or "").split())


class Second:
    """The file as ElementTree has it, names without namespaces, each element with the line it begins on."""

    def __init__(self, path):
        lines = []
        p = expat.ParserCreate()
        p.StartElementHandler = lambda name, attrs: lines.append(p.CurrentLineNumber)
        p.Parse(path.read_bytes(), True)
        self.root = ET.parse(path).getroot()
        self.line = {}
        for line, e in zip(lines, self.root.iter()):
            e.tag = e.tag.rpartition("}")[2]
            self.line[e] = line
        self.table = {"Invoice": UBL, "CrossIndustryInvoice": CII, "CrossIndustryDocument": ZUGFERD1}[self.root.tag]

    def terms(self):
        return {t: [(clean(e.text), self.line[e]) for e in self.root.findall(p) if clean(e.text)]
                for t, p in self.table.items()}

    def leaves(self):
        parents = {c: p for p in self.root.iter() for c in p}
        for e in self.root.iter():
            if not len(e) and clean(e.text) and e.tag not in TOLD and "mimeCode" not in e.attrib and not (
                    e.tag == "ID" and parents[e].tag == "TaxScheme"):
                yield clean(e.text)


FIELD = re.compile(r"^(.*) \((BT-\d+), Zeile (\d+)\): (.*)$")


def fields(document):
    """term -> [(value, line)] of what we say; a value that runs over lines is put together."""
    found = []
    for block in document["blocks"]:
        for line in block["text"].split("\n"):
            m = FIELD.match(line)
            if m:
                found.append([m[2], m[4], int(m[3])])
            elif found:
                found[-1][1] += " " + line
    terms = {}
    for term, value, line in found:
        terms.setdefault(term, []).append((value, line))
    return terms


def says(shown, value):
    """Is 'shown' the value, as it is or with its unit and how people write it?"""
    return clean(shown) == value or clean(shown).startswith((value + " ", value + "="))


class Fields(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        tmp = tempfile.TemporaryDirectory(prefix="kontor-e2e-")
        cls.addClassCleanup(tmp.cleanup)
        cls.dir = pathlib.Path(tmp.name)
        os.chmod(cls.dir, 0o755)

    def show(self, *files):
        p = subprocess.run([SHOW, str(self.dir), *map(str, files)], capture_output=True, timeout=600)
        self.assertEqual(p.returncode, 0, p.stderr)
        return [json.loads(line) for line in p.stdout.splitlines()]

    def invoices(self):
        files = sorted(p for p in SAMPLES.glob("*.xml") if not p.name.startswith("order"))
        self.assertGreaterEqual(len(files), 15)
        return zip(files, self.show(*files))

    def test_every_term_is_what_a_second_reader_says(self):
        n = 0
        for path, document in self.invoices():
            self.assertEqual(document.get("format"), "invoice", f"{path.name}: {document.get('error')}")
            ours = fields(document)
            for term, theirs in Second(path).terms().items():
                mine = ours.get(term, [])
                same = len(mine) == len(theirs) and all(
                    says(m[0], t[0]) and m[1] == t[1] for m, t in zip(mine, theirs))
                self.assertTrue(same, f"{path.name}: {term}\nexpected {theirs}\nfound    {mine}")
                n += len(theirs)
        self.assertGreater(n, 400)
        print(f"{n} values of {len(UBL)}, {len(CII)} and {len(ZUGFERD1)} terms agree", file=sys.stderr)

    def test_nothing_that_stands_there_is_lost(self):
        for path, document in self.invoices():
            text = clean(" ".join(b["text"] for b in document["blocks"]))
            for leaf in Second(path).leaves():
                self.assertIn(leaf, text, path.name)

    def test_files_inside_a_pdf(self):
        pdf = SAMPLES / "invoice_EN16931.pdf"
        document = self.show(pdf)[0]
        names = [p["name"] for p in document["parts"]]
        self.assertEqual(names, ["Bon_de_livraison.pdf", "factur-x.xml"])
        for i, part in enumerate(document["parts"], 1):
            out = self.dir / "theirs"
            subprocess.run(["pdfdetach", "-save", str(i), "-o", out, pdf], check=True)
            self.assertEqual(pathlib.Path(part["path"]).read_bytes(), out.read_bytes(), part["name"])
        xml = self.dir / "factur-x.xml"
        xml.write_bytes(out.read_bytes())
        inside = self.show(xml)[0]
        self.assertEqual(inside["format"], "invoice")
        self.assertEqual(fields(inside)["BT-1"], Second(xml).terms()["BT-1"])

    def test_an_order_is_no_invoice(self):
        for document in self.show(*SAMPLES.glob("order*.xml")):
            self.assertEqual(document["format"], "text")


if __name__ == "__main__":
    unittest.main()
