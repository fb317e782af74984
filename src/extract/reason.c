/* Why a document cannot be read, as a sentence for an office manager.
 *
 * The worker sends a code and two numbers; only here do they become words. So a hostile document
 * that has taken over its worker still cannot write into our messages, our logs or our index of
 * failures. */
#include "extract/extract_priv.h"

#include <stdint.h>
#include <string.h>

#define MIB(n) ((unsigned long long)((n) / (1024 * 1024)))
#define U(n)   ((unsigned long long)(n))

static const char *other_name(uint64_t kind)
{
    static const char *const names[OTHER_COUNT] = {
        [OTHER_ZIP] = "a ZIP archive",
        [OTHER_OPENDOCUMENT] = "an OpenDocument file that is no text, sheet or presentation",
        [OTHER_EPUB] = "an e-book (.epub)",
    };
    return kind < OTHER_COUNT ? names[kind] : names[OTHER_ZIP];
}

static enum kt_status zip_fail(struct kt_error *err, const char *name, const struct refusal *r)
{
    switch (r->reason) {
    case REASON_ZIP_ENTRIES:
        return kt_fail(
            err, KT_E_LIMIT,
            "%s: holds %llu parts, at most %llu are read; a Word document has some 20: is "
            "this one?",
            name, U(r->a), U(r->b));
    case REASON_ZIP_NAME:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: part %llu has a name that points outside the document; refused as hostile", name,
            U(r->a));
    case REASON_ZIP_DUPLICATE:
        return kt_fail(err, KT_E_FORMAT,
                       "%s: part %llu has the name of another one, so what it says depends on the "
                       "reader; open it in Word and save it again",
                       name, U(r->a));
    case REASON_ZIP_ENCRYPTED:
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: protected by a password; save a copy without it to have it read", name);
    case REASON_ZIP_METHOD:
        return kt_fail(
            err, KT_E_UNSUPPORTED,
            "%s: part %llu is packed with method %llu, expected 0 or 8 (deflate); open it in "
            "Word and save it again",
            name, U(r->a), U(r->b));
    case REASON_ZIP_BOMB:
        return kt_fail(
            err, KT_E_LIMIT,
            "%s: %llu bytes unpack to %llu MiB or more; a document unpacks to 60 times its size "
            "at most, so this is refused as a decompression bomb",
            name, U(r->b), MIB(r->a));
    case REASON_ZIP_SIZE:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: part %llu unpacks to more than it declares; damaged or hostile: open it in "
            "Word and save it again",
            name, U(r->a));
    default:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: the document's ZIP container is damaged or cut off (libzip error %llu); get "
            "a fresh copy, or open and save it in Word",
            name, U(r->a));
    }
}

static enum kt_status pdf_fail(struct kt_error *err, const char *name, const struct refusal *r)
{
    switch (r->reason) {
    case REASON_PDF_MISSING:
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: reading PDF needs the program pdftotext, which is not there; install "
                       "poppler-utils and add the file again",
                       name);
    case REASON_PDF_PASSWORD:
        return kt_fail(
            err, KT_E_UNSUPPORTED,
            "%s: the PDF is protected by a password; save a copy without it to have it read", name);
    case REASON_PDF_COPYING:
        return kt_fail(
            err, KT_E_UNSUPPORTED,
            "%s: the PDF's owner does not permit copying its text; ask for a copy that does", name);
    case REASON_PDF_SCAN:
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: a scan of %llu pages, without a text layer",
                       name, U(r->a)); /* extract.c goes on from here */
    case REASON_PDF_CRASH:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: pdftotext crashed on it (signal %llu) and was contained; the PDF is damaged "
            "or hostile: print it to a new PDF",
            name, U(r->a));
    case REASON_PDF_CPU:
        return kt_fail(
            err, KT_E_TIMEOUT,
            "%s: reading it used up its processor time; print it to a new PDF, or split it", name);
    case REASON_PDF_OUTPUT:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: pdftotext's output breaks off or is malformed at line %llu; print it to a "
            "new PDF",
            name, U(r->a));
    default:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: not a readable PDF, or cut off (pdftotext ended with status %llu); does it "
            "open in a viewer? Get a fresh copy",
            name, U(r->a));
    }
}

enum kt_status refusal_fail(struct kt_error *err, const char *name, const struct refusal *r)
{
    switch (r->reason) {
    case REASON_NOMEM:
        return kt_fail(err, KT_E_LIMIT,
                       "%s: reading it needs more memory than one document may have; split it",
                       name);
    case REASON_TEXT_TOO_LONG:
        return kt_fail(err, KT_E_LIMIT, "%s: holds more than %llu MiB of text; split it", name,
                       MIB(r->a));
    case REASON_TOO_MANY_BLOCKS:
        return kt_fail(err, KT_E_LIMIT, "%s: holds more than %llu paragraphs; split it", name,
                       U(r->a));
    case REASON_FILE_TOO_LARGE:
        return kt_fail(err, KT_E_LIMIT,
                       "%s: larger than the %llu MiB that are read of this kind of file; split it",
                       name, MIB(r->a));
    case REASON_READ:
        return kt_fail(err, KT_E_IO, "%s: reading failed: %s; is the disk or the share all right?",
                       name, r->a < 4096 ? strerror((int)r->a) : "unknown error");
    case REASON_NO_TEXT:
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: no text in it; nothing to index", name);
    case REASON_NOT_TEXT:
        return kt_fail(err, KT_E_FORMAT,
                       "%s: named like a text file, but its content is not text (byte %llu); what "
                       "program made it?",
                       name, U(r->a));
    case REASON_TOO_DEEP:
        return kt_fail(err, KT_E_LIMIT,
                       "%s: nested more than %llu levels deep, as no real document is; refused as "
                       "damaged or hostile",
                       name, U(r->a));
    case REASON_OOXML_OTHER:
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: this is %s; " EXTRACT_FORMATS " are read", name,
                       other_name(r->a));
    case REASON_XML_SYNTAX:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: the document's XML is damaged at line %llu (expat error %llu); get a fresh copy, "
            "or open it in the program that made it and save it again",
            name, U(r->a), U(r->b));
    case REASON_XML_DOCTYPE:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: the document's XML has a DOCTYPE (line %llu), which neither Word nor an "
            "invoice ever has; refused as hostile",
            name, U(r->a));
    case REASON_PARTS:
        return kt_fail(err, KT_E_LIMIT,
                       "%s: holds %llu files or more, of which at most %d and %llu MiB are read; "
                       "unpack it into a folder and add that",
                       name, U(r->b), DOC_PARTS_MAX, MIB(r->a));
    case REASON_MAIL_MISSING:
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: reading mail needs the library GMime, which is not installed; install "
                       "the package libgmime-3.0-0 and add it again",
                       name);
    case REASON_MAIL_DAMAGED:
        return kt_fail(err, KT_E_FORMAT,
                       "%s: named like a mail, but there is no message in it; save it again from "
                       "the mail program",
                       name);
    case REASON_CFB_DAMAGED:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: the message file is damaged or cut off (step %llu); save it again from Outlook",
            name, U(r->a));
    case REASON_MSG_OTHER:
        return kt_fail(
            err, KT_E_UNSUPPORTED,
            "%s: this is no Outlook message but an old Office file, or one protected by a "
            "password; " EXTRACT_FORMATS " are read",
            name);
    case REASON_UNPACK_MISSING:
        return kt_fail(
            err, KT_E_UNSUPPORTED,
            "%s: reading this archive needs the library libarchive, which is not installed; "
            "install the package libarchive13 and add it again",
            name);
    case REASON_UNPACK_DAMAGED:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: the archive is damaged, cut off or of a kind that is not read (%llu files in "
            "it were read); unpack it into a folder and add that",
            name, U(r->a));
    case REASON_UNPACK_LOCKED:
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: protected by a password; unpack it into a folder and add that", name);
    case REASON_CARDS_DAMAGED:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: named like a calendar or an address file, but no entry is in it; export it "
            "again",
            name);
    case REASON_OLD_MISSING:
        return kt_fail(
            err, KT_E_UNSUPPORTED,
            "%s: an old Office file; to have it read, install the package %s and add it again",
            name,
            r->a == 1   ? "libreoffice-calc-nogui"
            : r->a == 2 ? "libreoffice-impress-nogui"
                        : "libreoffice-writer-nogui");
    case REASON_OLD_FAILED:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: LibreOffice could not read it (status %llu); is it damaged, or protected by a "
            "password? Open it and save it in the new format",
            name, U(r->a));
    case REASON_OLD_CPU:
        return kt_fail(
            err, KT_E_TIMEOUT,
            "%s: LibreOffice takes too long to read it; open it and save it in the new format",
            name);
    case REASON_OLD_PASSWORD:
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: protected by a password; save a copy without it to have it read", name);
    case REASON_OCR_MISSING:
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: a picture or a scan; to have its text recognised, install the packages "
                       "tesseract-ocr and tesseract-ocr-deu and add it again",
                       name);
    case REASON_OCR_FAILED:
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: the picture could not be read (status %llu); save it as PNG or JPEG and "
            "add it again",
            name, U(r->a));
    case REASON_OCR_PAGES:
        return kt_fail(
            err, KT_E_LIMIT,
            "%s: a scan of %llu pages, at most %llu are read; split it into several files", name,
            U(r->a), U(r->b));
    case REASON_OCR_CPU:
        return kt_fail(err, KT_E_TIMEOUT,
                       "%s: recognising the text takes too long; scan it in gray with 300 dpi",
                       name);
    case REASON_WALLS:
        return kt_fail(
            err, KT_E_INTERNAL,
            "%s: not read, because the sandbox for reading could not be put up (step %llu: "
            "%s); run kontor doctor",
            name, U(r->a), r->b < 4096 ? strerror((int)r->b) : "unknown error");
    case REASON_PDF_MISSING:
    case REASON_PDF_PASSWORD:
    case REASON_PDF_COPYING:
    case REASON_PDF_DAMAGED:
    case REASON_PDF_CRASH:
    case REASON_PDF_CPU:
    case REASON_PDF_OUTPUT:
    case REASON_PDF_SCAN:
        return pdf_fail(err, name, r);
    case REASON_ZIP_DAMAGED:
    case REASON_ZIP_ENTRIES:
    case REASON_ZIP_NAME:
    case REASON_ZIP_DUPLICATE:
    case REASON_ZIP_ENCRYPTED:
    case REASON_ZIP_METHOD:
    case REASON_ZIP_BOMB:
    case REASON_ZIP_SIZE:
        return zip_fail(err, name, r);
    case REASON_NONE:
    case REASON_INTERNAL:
    case REASON_COUNT:
        break;
    }
    return kt_fail(err, KT_E_INTERNAL, "%s: the reader failed at step %llu; please report this",
                   name, U(r->a));
}
