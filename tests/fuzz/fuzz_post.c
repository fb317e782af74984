/* Any bytes as what else comes by mail: Outlook's messages, winmail.dat, saved pages, calendars, addresses, HTML that is hidden
 * in RTF, packed files. Which of them the first bytes say, and for what has no sign of its own a letter in front. */
#include "fuzz/check_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
    const char *sign;
    bool skip; /* the sign is no part of the file */
    enum doc_format format;
} KINDS[] = {
    { "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", false, DOC_OUTLOOK },
    { "\x78\x9f\x3e\x22", false, DOC_TNEF },
    { "BEGIN:VCARD", false, DOC_CONTACTS },
    { "BEGIN:VCAL", false, DOC_CALENDAR },
    { "c", true, DOC_CALENDAR },
    { "v", true, DOC_CONTACTS },
    { "h", true, DOC_MHTML },
    { "{\\rtf", false, DOC_RTF },
};

static void hidden_html(struct span in)
{
    struct builder b;
    struct buf html = { 0 };
    builder_init(&b, (size_t)1 << 20);
    if (rtf_html(&b, in, &html) && html.len)
        html_parse(&b, buf_span(&html));
    buf_deinit(&html);
    check_document(&b, DOC_HTML);
    builder_deinit(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    enum doc_format format = DOC_ARCHIVE;
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        struct span sign = span_of(KINDS[i].sign);
        if (!span_starts(in, sign))
            continue;
        format = KINDS[i].format;
        if (KINDS[i].skip)
            in = (struct span){ in.ptr + sign.len, in.len - sign.len };
        break;
    }
    charset_prepare();
    html_prepare();
    mail_prepare();
    unpack_prepare();
    if (format == DOC_RTF) {
        hidden_html(in);
        return 0;
    }
    struct builder b;
    builder_init(&b, (size_t)1 << 20);
    parse_memory(&b, format, in);
    check_document(&b, format);
    builder_deinit(&b);
    return 0;
}
